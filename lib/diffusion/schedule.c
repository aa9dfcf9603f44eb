/* SPDX-License-Identifier: MIT */
/*
 * Betas and what follows from them. Each rounding to float stands where torch
 * has one: a beta is made in float (linspace from the nearer end), a cumulative
 * product in double and rounded at each timestep.
 */
#include "diffusion/schedule.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

static const char *const beta_schedules[] = {
    "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", NULL};
static const char *const prediction_types[] = {"epsilon", "v_prediction",
                                               "sample", NULL};
static const char *const spacings[] = {"leading", "trailing", "linspace", NULL};
static const char *const variance_types[] = {
    "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log",
    "learned",     "learned_range",   NULL};

#define FIELD(field) offsetof(struct db_schedule_config, field)

static const struct db_option config_rows[] = {
    {.name = "num_train_timesteps",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(num_train_timesteps),
     .default_text = "1000",
     .minimum = 1,
     .maximum = 1000000,
     .help = "timesteps of the diffusion process"},
    {.name = "beta_start",
     .type = DB_OPTION_REAL,
     .offset = FIELD(beta_start),
     .default_text = "0.0001",
     .maximum = 1,
     .help = "share of noise added at the first timestep"},
    {.name = "beta_end",
     .type = DB_OPTION_REAL,
     .offset = FIELD(beta_end),
     .default_text = "0.02",
     .maximum = 1,
     .help = "share of noise added at the last timestep"},
    {.name = "beta_schedule",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(beta_schedule),
     .choices = beta_schedules,
     .help = "how beta goes from one to the other"},
    {.name = "prediction_type",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(prediction_type),
     .choices = prediction_types,
     .help = "what the model predicts"},
    {.name = "timestep_spacing",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(timestep_spacing),
     .choices = spacings,
     .help = "how the steps of a sampler lie among the timesteps"},
    {.name = "steps_offset",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(steps_offset),
     .maximum = 1000000,
     .help = "added to the timesteps with leading spacing"},
    {.name = "set_alpha_to_one",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(set_alpha_to_one),
     .help = "the last step of a sampler goes to no noise at all, instead of "
             "to the noise of timestep 0"},
    {.name = "skip_prk_steps",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(skip_prk_steps),
     .help = "PNDM starts without Runge-Kutta steps"},
    {.name = "clip_sample",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(clip_sample),
     .help = "clip the predicted sample"},
    {.name = "clip_sample_range",
     .type = DB_OPTION_REAL,
     .offset = FIELD(clip_sample_range),
     .default_text = "1",
     .maximum = INFINITY,
     .minimum_open = true,
     .help = "to this largest magnitude"},
    {.name = "thresholding",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(thresholding),
     .help = "clip the predicted sample at a quantile and rescale it"},
    {.name = "dynamic_thresholding_ratio",
     .type = DB_OPTION_REAL,
     .offset = FIELD(dynamic_thresholding_ratio),
     .default_text = "0.995",
     .maximum = 1,
     .help = "which quantile"},
    {.name = "sample_max_value",
     .type = DB_OPTION_REAL,
     .offset = FIELD(sample_max_value),
     .default_text = "1",
     .maximum = INFINITY,
     .minimum_open = true,
     .help = "largest value of that threshold"},
    {.name = "rescale_betas_zero_snr",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(rescale_betas_zero_snr),
     .help = "rescale the betas so that no signal is left at the end"},
    {.name = "variance_type",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(variance_type),
     .choices = variance_types,
     .help = "variance of the noise that DDPM adds"},
};

const struct db_option_table db_schedule_config_table = {
    "a scheduler", config_rows, DB_COUNT(config_rows)};

int db_schedule_config_init(struct db_env *env,
                            struct db_schedule_config *config)
{
    memset(config, 0, sizeof(*config));
    return db_options_init(env, &db_schedule_config_table, config);
}

void db_schedule_config_release(struct db_env *env,
                                struct db_schedule_config *config)
{
    db_free(env, config->trained_betas);
    config->trained_betas = NULL;
    config->trained_count = 0;
}

int db_schedule_config_copy(struct db_env *env, struct db_schedule_config *to,
                            const struct db_schedule_config *from)
{
    float *betas = NULL;

    if (from->trained_betas != NULL) {
        size_t count = (size_t)from->trained_count;

        betas = db_alloc_array(env, count, sizeof(*betas));
        if (betas == NULL)
            return env->error_status;
        memcpy(betas, from->trained_betas, count * sizeof(*betas));
    }
    *to = *from;
    to->trained_betas = betas;
    return DREAMBOOTH_OK;
}

static void mark_given(struct db_schedule_config *config, const char *name)
{
    const struct db_option *option =
        db_option_lookup(&db_schedule_config_table, name);

    config->given |= 1u << (option - config_rows);
}

bool db_schedule_config_given(const struct db_schedule_config *config,
                              const char *name)
{
    const struct db_option *option =
        db_option_lookup(&db_schedule_config_table, name);

    return option != NULL && (config->given >> (option - config_rows) & 1) != 0;
}

int db_schedule_config_set(struct db_env *env,
                           struct db_schedule_config *config, const char *name,
                           const char *text)
{
    int status =
        db_options_set(env, &db_schedule_config_table, config, name, text);

    if (status == DREAMBOOTH_OK)
        mark_given(config, name);
    return status;
}

int db_schedule_config_set_real(struct db_env *env,
                                struct db_schedule_config *config,
                                const char *name, double value)
{
    int status = db_options_set_real(env, &db_schedule_config_table, config,
                                     name, value);

    if (status == DREAMBOOTH_OK)
        mark_given(config, name);
    return status;
}

void db_schedule_config_correct(struct db_schedule_config *config)
{
    config->steps_offset = 1;
    config->clip_sample = false;
    mark_given(config, "steps_offset");
    mark_given(config, "clip_sample");
}

int db_schedule_config_set_betas(struct db_env *env,
                                 struct db_schedule_config *config,
                                 const double *betas, int64_t count)
{
    float *copy;
    int64_t i;

    for (i = 0; i < count; i++) {
        if (!(betas[i] >= 0 && betas[i] <= 1))
            return db_fail(env, DREAMBOOTH_EINVAL,
                           "trained_betas: number %lld is %g; a beta lies "
                           "between 0 and 1",
                           (long long)i, betas[i]);
    }
    copy = db_alloc_array(env, (size_t)count, sizeof(*copy));
    if (copy == NULL)
        return env->error_status;
    for (i = 0; i < count; i++)
        copy[i] = (float)betas[i];
    db_free(env, config->trained_betas);
    config->trained_betas = copy;
    config->trained_count = count;
    return DREAMBOOTH_OK;
}

/* torch.linspace() in float: counted from the nearer end. */
static void linspace(float *out, int64_t count, double start, double end)
{
    float first = (float)start, last = (float)end;
    float step = count > 1 ? (last - first) / (float)(count - 1) : 0;
    int64_t i;

    for (i = 0; i < count; i++) {
        if (i < count / 2 || count == 1)
            out[i] = first + step * (float)i;
        else
            out[i] = last - step * (float)(count - 1 - i);
    }
}

static void linear_betas(const struct db_schedule_config *config, float *betas)
{
    linspace(betas, config->num_train_timesteps, config->beta_start,
             config->beta_end);
}

static void scaled_linear_betas(const struct db_schedule_config *config,
                                float *betas)
{
    int64_t i;

    linspace(betas, config->num_train_timesteps, sqrt(config->beta_start),
             sqrt(config->beta_end));
    for (i = 0; i < config->num_train_timesteps; i++)
        betas[i] *= betas[i];
}

static double cosine_alpha_bar(double t)
{
    double c = cos((t + 0.008) / 1.008 * PI / 2);

    return c * c;
}

static void cosine_betas(const struct db_schedule_config *config, float *betas)
{
    double count = (double)config->num_train_timesteps;
    int64_t i;

    for (i = 0; i < config->num_train_timesteps; i++) {
        double now = cosine_alpha_bar((double)i / count);
        double next = cosine_alpha_bar((double)(i + 1) / count);

        betas[i] = (float)fmin(1 - next / now, 0.999);
    }
}

static void sigmoid_betas(const struct db_schedule_config *config, float *betas)
{
    float range = (float)(config->beta_end - config->beta_start);
    float start = (float)config->beta_start;
    int64_t i;

    linspace(betas, config->num_train_timesteps, -6, 6);
    for (i = 0; i < config->num_train_timesteps; i++)
        betas[i] = 1 / (1 + (float)exp(-(double)betas[i])) * range + start;
}

/* In the order of enum db_beta_schedule. */
static void (*const beta_functions[])(const struct db_schedule_config *config,
                                      float *betas) = {
    linear_betas, scaled_linear_betas, cosine_betas, sigmoid_betas};

static void multiply_up(const float *betas, int64_t count, float *out)
{
    double product = 1;
    int64_t i;

    for (i = 0; i < count; i++) {
        product *= 1 - betas[i];
        out[i] = (float)product;
    }
}

/*
 * Lin et al., 2023, "Common diffusion noise schedules and sample steps are
 * flawed", algorithm 1: shift sqrt(ab) so that it ends at 0, and scale it so
 * that it starts where it did. ALPHAS is room for COUNT numbers.
 */
static void rescale_zero_snr(float *betas, int64_t count, float *alphas)
{
    float first, last, scale, before = 1;
    int64_t i;

    multiply_up(betas, count, alphas);
    first = sqrtf(alphas[0]);
    last = sqrtf(alphas[count - 1]);
    scale = first / (first - last);
    for (i = 0; i < count; i++) {
        float root = (sqrtf(alphas[i]) - last) * scale;
        float bar = root * root;

        betas[i] = 1 - (i == 0 ? bar : bar / before);
        before = bar;
    }
}

static int check_config(struct db_env *env,
                        const struct db_schedule_config *config)
{
    if (config->trained_betas != NULL &&
        config->trained_count != config->num_train_timesteps)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "trained_betas has %lld numbers, but "
                       "num_train_timesteps is %lld",
                       (long long)config->trained_count,
                       (long long)config->num_train_timesteps);
    if (config->rescale_betas_zero_snr && config->num_train_timesteps < 2)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "rescale_betas_zero_snr needs num_train_timesteps of "
                       "at least 2");
    return DREAMBOOTH_OK;
}

static bool all_finite(const float *values, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return false;
    }
    return true;
}

/* Fills both arrays, which are there. */
static int fill(struct db_schedule *schedule,
                const struct db_schedule_config *config)
{
    int64_t count = schedule->count;

    if (config->trained_betas != NULL)
        memcpy(schedule->betas, config->trained_betas,
               (size_t)count * sizeof(float));
    else
        beta_functions[config->beta_schedule](config, schedule->betas);
    if (config->rescale_betas_zero_snr)
        rescale_zero_snr(schedule->betas, count, schedule->alphas_cumprod);
    multiply_up(schedule->betas, count, schedule->alphas_cumprod);
    if (!all_finite(schedule->betas, count))
        return db_fail(schedule->env, DREAMBOOTH_EINVAL,
                       "the scheduler's betas are not finite: beta_start, "
                       "beta_end and rescale_betas_zero_snr do not fit");
    return DREAMBOOTH_OK;
}

int db_schedule_new(struct db_env *env, const struct db_schedule_config *config,
                    struct db_schedule **out)
{
    int64_t count = config->num_train_timesteps;
    struct db_schedule *schedule;
    int status = check_config(env, config);

    if (status != DREAMBOOTH_OK)
        return status;
    schedule = db_alloc_zero(env, sizeof(*schedule));
    if (schedule == NULL)
        return env->error_status;
    schedule->env = env;
    schedule->count = count;
    schedule->prediction_type =
        (enum db_prediction_type)config->prediction_type;
    schedule->betas = db_alloc_array(env, (size_t)count, sizeof(float));
    schedule->alphas_cumprod =
        db_alloc_array(env, (size_t)count, sizeof(float));
    if (schedule->betas == NULL || schedule->alphas_cumprod == NULL)
        status = env->error_status;
    else
        status = fill(schedule, config);
    if (status != DREAMBOOTH_OK) {
        db_schedule_free(schedule);
        return status;
    }
    *out = schedule;
    return DREAMBOOTH_OK;
}

void db_schedule_free(struct db_schedule *schedule)
{
    if (schedule == NULL)
        return;
    db_free(schedule->env, schedule->alphas_cumprod);
    db_free(schedule->env, schedule->betas);
    db_free(schedule->env, schedule);
}

double db_schedule_snr(const struct db_schedule *schedule, int64_t timestep)
{
    double left = (double)schedule->alphas_cumprod[timestep];

    return left / (1 - left);
}

double db_schedule_min_snr_weight(const struct db_schedule *schedule,
                                  int64_t timestep, double gamma)
{
    double snr = db_schedule_snr(schedule, timestep);
    double clipped = fmin(snr, gamma);

    switch (schedule->prediction_type) {
    case DB_PREDICTION_SAMPLE:
        return clipped;
    case DB_PREDICTION_V:
        return clipped / (snr + 1);
    default:
        return snr > gamma ? gamma / snr : 1;
    }
}

/* out = a x + b y */
static void combine(float a, const float *x, float b, const float *y,
                    int64_t count, float *out)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = a * x[i] + b * y[i];
}

void db_schedule_add_noise(const struct db_schedule *schedule, int64_t timestep,
                           const float *sample, const float *noise,
                           int64_t count, float *out)
{
    float left = schedule->alphas_cumprod[timestep];

    combine(sqrtf(left), sample, sqrtf(1 - left), noise, count, out);
}

void db_schedule_velocity(const struct db_schedule *schedule, int64_t timestep,
                          const float *sample, const float *noise,
                          int64_t count, float *out)
{
    float left = schedule->alphas_cumprod[timestep];

    combine(sqrtf(left), noise, -sqrtf(1 - left), sample, count, out);
}

void db_schedule_target(const struct db_schedule *schedule, int64_t timestep,
                        const float *sample, const float *noise, int64_t count,
                        float *out)
{
    if (schedule->prediction_type == DB_PREDICTION_V)
        db_schedule_velocity(schedule, timestep, sample, noise, count, out);
    else
        memmove(out,
                schedule->prediction_type == DB_PREDICTION_SAMPLE ? sample
                                                                  : noise,
                (size_t)count * sizeof(*out));
}

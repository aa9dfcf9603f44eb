/* SPDX-License-Identifier: MIT */
/*
 * Noise schedules against closed forms, and steppers against an oracle: a model
 * that knows the image must be led to it by every sampler.
 */
#include "unit.h"

#include <math.h>

#include "diffusion/schedule.h"
#include "diffusion/stepper.h"

#define SIZE 12
#define IMAGES 2
#define COUNT (SIZE * IMAGES)

static struct db_env env;
static struct db_schedule_config config;

/* Stable Diffusion's schedule, with the fields and values in PAIRS. */
static void begin(const char *const (*pairs)[2], size_t count)
{
    size_t i;

    db_env_init(&env);
    ck_assert_int_eq(db_schedule_config_init(&env, &config), 0);
    ck_assert_int_eq(
        db_schedule_config_set(&env, &config, "beta_start", "0.00085"), 0);
    ck_assert_int_eq(
        db_schedule_config_set_real(&env, &config, "beta_end", 0.012), 0);
    ck_assert_int_eq(
        db_schedule_config_set(&env, &config, "beta_schedule", "scaled_linear"),
        0);
    ck_assert_int_eq(
        db_schedule_config_set(&env, &config, "clip_sample", "false"), 0);
    for (i = 0; i < count; i++)
        ck_assert_int_eq(
            db_schedule_config_set(&env, &config, pairs[i][0], pairs[i][1]), 0);
}

static void end(void)
{
    db_schedule_config_release(&env, &config);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static struct db_schedule *new_schedule(void)
{
    struct db_schedule *schedule;

    ck_assert_int_eq(db_schedule_new(&env, &config, &schedule), 0);
    return schedule;
}

START_TEST(betas_of_each_schedule)
{
    static const char *const names[] = {"linear", "scaled_linear",
                                        "squaredcos_cap_v2", "sigmoid"};
    double first[4], last[4];
    struct db_schedule *schedule;
    size_t i;

    first[0] = first[1] = 0.00085;
    last[0] = last[1] = 0.012;
    first[2] = 1 - pow(cos((0.001 + 0.008) / 1.008 * 3.14159265358979 / 2) /
                           cos(0.008 / 1.008 * 3.14159265358979 / 2),
                       2);
    last[2] = 0.999;
    first[3] = 0.00085 + (0.012 - 0.00085) / (1 + exp(6));
    last[3] = 0.00085 + (0.012 - 0.00085) / (1 + exp(-6));
    for (i = 0; i < 4; i++) {
        const char *const pairs[][2] = {{"beta_schedule", names[i]}};

        begin(pairs, 1);
        schedule = new_schedule();
        ck_assert_double_eq_tol((double)schedule->betas[0], first[i], 1e-8);
        ck_assert_double_eq_tol((double)schedule->betas[999], last[i], 1e-7);
        ck_assert_double_eq_tol((double)schedule->alphas_cumprod[0],
                                1 - first[i], 1e-7);
        db_schedule_free(schedule);
        end();
    }
}
END_TEST

START_TEST(own_betas)
{
    static const double betas[] = {0.5, 0.25}, wrong[] = {0.5, 1.5};
    struct db_schedule_config copy;
    struct db_schedule *schedule;

    begin(NULL, 0);
    ck_assert_int_eq(db_schedule_config_set_betas(&env, &config, wrong, 2),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_schedule_config_set_betas(&env, &config, betas, 2), 0);
    ck_assert_int_eq(db_schedule_new(&env, &config, &schedule),
                     DREAMBOOTH_EINVAL);
    ck_assert_ptr_nonnull(strstr(env.error_text, "trained_betas has 2"));
    ck_assert_int_eq(
        db_schedule_config_set_real(&env, &config, "num_train_timesteps", 2),
        0);
    ck_assert_int_eq(db_schedule_config_copy(&env, &copy, &config), 0);
    schedule = new_schedule();
    ck_assert_float_eq(schedule->alphas_cumprod[0], 0.5f);
    ck_assert_float_eq(schedule->alphas_cumprod[1], 0.375f);
    ck_assert_double_eq(db_schedule_snr(schedule, 0), 1);
    ck_assert_double_eq(db_schedule_snr(schedule, 1), 0.6);
    db_schedule_free(schedule);
    db_schedule_config_release(&env, &copy);
    end();
}
END_TEST

START_TEST(zero_terminal_snr)
{
    static const char *const pairs[][2] = {{"rescale_betas_zero_snr", "true"}};
    struct db_schedule *schedule, *plain;

    begin(pairs, 1);
    schedule = new_schedule();
    config.rescale_betas_zero_snr = false;
    plain = new_schedule();
    ck_assert_float_eq(schedule->alphas_cumprod[999], 0);
    ck_assert_double_eq(db_schedule_snr(schedule, 999), 0);
    ck_assert_float_eq_tol(schedule->alphas_cumprod[0],
                           plain->alphas_cumprod[0], 1e-6f);
    ck_assert_double_eq(db_schedule_min_snr_weight(schedule, 999, 5), 1);
    db_schedule_free(plain);
    db_schedule_free(schedule);
    config.num_train_timesteps = 1;
    config.rescale_betas_zero_snr = true;
    ck_assert_int_eq(db_schedule_new(&env, &config, &schedule),
                     DREAMBOOTH_EINVAL);
    config.num_train_timesteps = 10;
    config.beta_start = config.beta_end = 0;
    ck_assert_int_eq(db_schedule_new(&env, &config, &schedule),
                     DREAMBOOTH_EINVAL);
    end();
}
END_TEST

START_TEST(min_snr_weights)
{
    struct db_schedule *schedule;
    double snr;

    begin(NULL, 0);
    schedule = new_schedule();
    snr = db_schedule_snr(schedule, 10);
    ck_assert_double_gt(snr, 5);
    ck_assert_double_eq_tol(db_schedule_min_snr_weight(schedule, 10, 5),
                            5 / snr, 1e-12);
    ck_assert_double_eq(db_schedule_min_snr_weight(schedule, 900, 5), 1);
    schedule->prediction_type = DB_PREDICTION_V;
    ck_assert_double_eq_tol(db_schedule_min_snr_weight(schedule, 10, 5),
                            5 / (snr + 1), 1e-12);
    schedule->prediction_type = DB_PREDICTION_SAMPLE;
    ck_assert_double_eq(db_schedule_min_snr_weight(schedule, 10, 5), 5);
    db_schedule_free(schedule);
    end();
}
END_TEST

/* Two images and their noise. */
static void make_images(float *image, float *noise)
{
    int i;

    for (i = 0; i < COUNT; i++) {
        image[i] = (float)sin(i * 1.3);
        noise[i] = (float)cos(i * 2.1 + 1);
    }
}

/* z = a x - b v and noise = b x + a v, where x is the noisy sample. */
START_TEST(noise_and_velocity_are_a_rotation)
{
    float image[COUNT], noise[COUNT], x[COUNT], v[COUNT], target[COUNT];
    struct db_schedule *schedule;
    double a, b;
    int i;

    begin(NULL, 0);
    make_images(image, noise);
    schedule = new_schedule();
    a = sqrt((double)schedule->alphas_cumprod[400]);
    b = sqrt(1 - a * a);
    db_schedule_add_noise(schedule, 400, image, noise, COUNT, x);
    db_schedule_velocity(schedule, 400, image, noise, COUNT, v);
    for (i = 0; i < COUNT; i++) {
        ck_assert_double_eq_tol(a * x[i] - b * v[i], (double)image[i], 1e-6);
        ck_assert_double_eq_tol(b * x[i] + a * v[i], (double)noise[i], 1e-6);
    }
    db_schedule_target(schedule, 400, image, noise, COUNT, target);
    ck_assert_mem_eq(target, noise, sizeof(target));
    schedule->prediction_type = DB_PREDICTION_V;
    db_schedule_target(schedule, 400, image, noise, COUNT, target);
    ck_assert_mem_eq(target, v, sizeof(target));
    schedule->prediction_type = DB_PREDICTION_SAMPLE;
    db_schedule_target(schedule, 400, image, noise, COUNT, target);
    ck_assert_mem_eq(target, image, sizeof(target));
    db_schedule_free(schedule);
    end();
}
END_TEST

START_TEST(config_fields)
{
    begin(NULL, 0);
    ck_assert(db_schedule_config_given(&config, "beta_start"));
    ck_assert(!db_schedule_config_given(&config, "steps_offset"));
    ck_assert_int_eq(db_schedule_config_set(&env, &config, "beta_star", "1"),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_str_eq(env.error_text,
                     "unknown option \"beta_star\" for a scheduler; did you "
                     "mean \"beta_start\"?");
    ck_assert_int_eq(
        db_schedule_config_set(&env, &config, "prediction_type", "flow"),
        DREAMBOOTH_EINVAL);
    ck_assert(!db_schedule_config_given(&config, "prediction_type"));
    db_schedule_config_correct(&config);
    ck_assert_int_eq(config.steps_offset, 1);
    end();
}
END_TEST

START_TEST(kinds_have_their_own_defaults)
{
    static const char *const pairs[][2] = {{"rescale_betas_zero_snr", "true"}};
    struct db_schedule_config resolved;
    enum db_stepper_kind kind;

    begin(pairs, 1);
    ck_assert(db_stepper_find_class("PNDMScheduler", &kind));
    ck_assert_int_eq(kind, DB_STEPPER_PNDM);
    ck_assert(!db_stepper_find_class("HeunDiscreteScheduler", &kind));
    resolved = config;
    db_stepper_resolve_config(&env, DB_STEPPER_DDIM, &resolved);
    ck_assert(resolved.set_alpha_to_one && !resolved.clip_sample);
    ck_assert(resolved.rescale_betas_zero_snr);
    resolved = config;
    db_stepper_resolve_config(&env, DB_STEPPER_PNDM, &resolved);
    ck_assert(!resolved.set_alpha_to_one && !resolved.rescale_betas_zero_snr);
    resolved = config;
    db_stepper_resolve_config(&env, DB_STEPPER_EULER_ANCESTRAL, &resolved);
    ck_assert_int_eq(resolved.timestep_spacing, DB_SPACING_LINSPACE);
    end();
}
END_TEST

/* The output of a model that knows IMAGE, for its INPUT at an alpha. */
static void oracle(const float *image, const float *input, double alpha,
                   int prediction_type, float *output)
{
    double a = sqrt(alpha), b = sqrt(1 - alpha);
    int i;

    for (i = 0; i < COUNT; i++) {
        double noise = ((double)input[i] - a * (double)image[i]) / b;

        if (prediction_type == DB_PREDICTION_EPSILON)
            output[i] = (float)noise;
        else if (prediction_type == DB_PREDICTION_V)
            output[i] = (float)(a * noise - b * (double)image[i]);
        else
            output[i] = image[i];
    }
}

/* alphas_cumprod between timesteps, linear in sigma as Euler's samplers are. */
static double alpha_at(const struct db_schedule *schedule, double timestep)
{
    int64_t below = (int64_t)timestep;
    double s0 = sqrt(1 / db_schedule_snr(schedule, below)), s1 = s0, sigma;

    if (below + 1 < schedule->count)
        s1 = sqrt(1 / db_schedule_snr(schedule, below + 1));
    sigma = s0 + (s1 - s0) * (timestep - (double)below);
    return 1 / (1 + sigma * sigma);
}

/* From pure noise to the image that the oracle knows. */
static void sample_with_oracle(enum db_stepper_kind kind, int64_t steps,
                               double eta)
{
    struct db_stepper_settings settings = {steps, eta, false};
    float image[COUNT], noise[COUNT], x[COUNT], input[COUNT], output[COUNT];
    struct db_schedule *schedule = new_schedule();
    struct db_stepper *stepper;
    int64_t step;
    int i;

    make_images(image, noise);
    ck_assert_msg(db_stepper_new(&env, kind, &config, &settings, IMAGES, SIZE,
                                 &stepper) == 0,
                  "%s", env.error_text);
    for (i = 0; i < COUNT; i++) {
        double alpha =
            alpha_at(schedule, (double)db_stepper_timestep(stepper, 0));

        x[i] = (float)(sqrt(alpha) * (double)image[i] +
                       sqrt(1 - alpha) * (double)noise[i]);
        if (kind == DB_STEPPER_EULER_ANCESTRAL)
            x[i] /= (float)sqrt(alpha);
    }
    for (step = 0; step < db_stepper_calls(stepper); step++) {
        double timestep = (double)db_stepper_timestep(stepper, step);

        db_stepper_scale_input(stepper, step, x, input);
        oracle(image, input, alpha_at(schedule, timestep),
               config.prediction_type, output);
        ck_assert_int_eq(db_stepper_step(stepper, step, output, x, noise), 0);
    }
    for (i = 0; i < COUNT; i++)
        ck_assert_msg(fabs((double)x[i] - (double)image[i]) < 2e-3,
                      "%s, %d steps of spacing %d, prediction %d: %g for %g",
                      db_stepper_names[kind], (int)steps,
                      config.timestep_spacing, config.prediction_type,
                      (double)x[i], (double)image[i]);
    db_stepper_free(stepper);
    db_schedule_free(schedule);
}

static void sample_with_all(int spacing, int prediction_type, int64_t steps)
{
    sample_with_oracle(DB_STEPPER_DDPM, steps, 0);
    sample_with_oracle(DB_STEPPER_DDIM, steps, 0);
    sample_with_oracle(DB_STEPPER_DDIM, steps, 1);
    if (prediction_type == DB_PREDICTION_SAMPLE)
        return;
    sample_with_oracle(DB_STEPPER_EULER_ANCESTRAL, steps, 0);
    /* Its steps are T / N long, whatever lies between the timesteps, and it
     * combines outputs as they are, so that only noise stays what it is. */
    if (spacing != DB_SPACING_LINSPACE &&
        prediction_type == DB_PREDICTION_EPSILON)
        sample_with_oracle(DB_STEPPER_PNDM, steps, 0);
}

/* The numbers of steps divide 1000, and 1000 / N is even: DDIM and PNDM with
 * another N and "trailing" timesteps stop short of the image, and Runge-Kutta
 * starts miss half steps by one timestep, in diffusers as here. */
START_TEST(an_oracle_leads_to_its_image)
{
    static const char *const spacings[] = {"leading", "trailing", "linspace"};
    static const char *const types[] = {"epsilon", "v_prediction", "sample"};
    static const int64_t steps[] = {1, 2, 4, 5, 10, 20, 50};
    size_t i;
    int run;

    for (run = 0; run < 3 * 3 * 2; run++) {
        int spacing = run % 3, type = run / 3 % 3, skip = run / 9;
        const char *const pairs[][2] = {
            {"timestep_spacing", spacings[spacing]},
            {"prediction_type", types[type]},
            {"set_alpha_to_one", "true"},
            {"skip_prk_steps", skip ? "true" : "false"}};

        begin(pairs, 4);
        for (i = skip ? 0 : 2; i < DB_COUNT(steps); i++)
            sample_with_all(spacing, type, steps[i]);
        end();
    }
}
END_TEST

START_TEST(every_timestep_can_be_a_step)
{
    static const char *const pairs[][2] = {{"set_alpha_to_one", "true"},
                                           {"skip_prk_steps", "true"}};

    begin(pairs, 2);
    sample_with_all(DB_SPACING_LEADING, DB_PREDICTION_EPSILON, 1000);
    end();
}
END_TEST

START_TEST(trailing_timesteps_are_as_many_as_asked_for)
{
    static const char *const pairs[][2] = {{"timestep_spacing", "trailing"},
                                           {"skip_prk_steps", "true"}};
    struct db_stepper_settings settings = {0, 0, false};
    struct db_stepper *stepper;
    int64_t steps, i;

    begin(pairs, 2);
    for (steps = 1; steps <= 1000; steps += 3) {
        settings.steps = steps;
        ck_assert_int_eq(db_stepper_new(&env, DB_STEPPER_DDIM, &config,
                                        &settings, 1, 1, &stepper),
                         0);
        ck_assert_int_eq(db_stepper_calls(stepper), steps);
        ck_assert_float_eq(db_stepper_timestep(stepper, 0), 999);
        for (i = 1; i < steps; i++)
            ck_assert_float_lt(db_stepper_timestep(stepper, i),
                               db_stepper_timestep(stepper, i - 1));
        ck_assert_float_ge(db_stepper_timestep(stepper, steps - 1), 0);
        db_stepper_free(stepper);
    }
    end();
}
END_TEST

/* Outputs are far too large: the predicted sample is clipped to 1. */
START_TEST(predicted_samples_are_clipped)
{
    static const char *const fields[] = {"clip_sample", "thresholding"};
    struct db_stepper_settings settings = {1, 0, false};
    float x[COUNT] = {0}, output[COUNT];
    struct db_stepper *stepper;
    int way, i;

    for (way = 0; way < 2; way++) {
        const char *const pairs[][2] = {{"prediction_type", "sample"},
                                        {"set_alpha_to_one", "true"},
                                        {fields[way], "true"}};

        begin(pairs, 3);
        for (i = 0; i < COUNT; i++)
            output[i] = (float)(i - 5) * 10;
        ck_assert_int_eq(db_stepper_new(&env, DB_STEPPER_DDIM, &config,
                                        &settings, IMAGES, SIZE, &stepper),
                         0);
        ck_assert_int_eq(db_stepper_step(stepper, 0, output, x, NULL), 0);
        for (i = 0; i < COUNT; i++)
            ck_assert_float_eq_tol(x[i], (float)((i > 5) - (i < 5)), 1e-6f);
        db_stepper_free(stepper);
        end();
    }
}
END_TEST

static void expect_refusal(enum db_stepper_kind kind, int64_t steps, double eta,
                           int status, const char *part)
{
    struct db_stepper_settings settings = {steps, eta, false};
    struct db_stepper *stepper = NULL;

    ck_assert_int_eq(
        db_stepper_new(&env, kind, &config, &settings, 1, 4, &stepper), status);
    ck_assert_ptr_null(stepper);
    ck_assert_msg(strstr(env.error_text, part) != NULL, "%s", env.error_text);
}

static void set(const char *name, const char *text)
{
    ck_assert_int_eq(db_schedule_config_set(&env, &config, name, text), 0);
}

START_TEST(what_cannot_be_is_refused)
{
    begin(NULL, 0);
    expect_refusal(DB_STEPPER_DDIM, 1001, 0, DREAMBOOTH_EINVAL,
                   "1001 steps: give 1 to 1000");
    expect_refusal(DB_STEPPER_DDIM, 0, 0, DREAMBOOTH_EINVAL, "0 steps: give 1");
    expect_refusal(DB_STEPPER_DDIM, 10, 1.5, DREAMBOOTH_EINVAL, "eta is 1.5");
    expect_refusal(DB_STEPPER_PNDM, 3, 0, DREAMBOOTH_EINVAL, "at least 4");
    set("steps_offset", "1");
    expect_refusal(DB_STEPPER_DDPM, 1000, 0, DREAMBOOTH_EINVAL,
                   "reach timestep 1000");
    set("skip_prk_steps", "true");
    expect_refusal(DB_STEPPER_PNDM, 1000, 0, DREAMBOOTH_EINVAL,
                   "reach timestep 1000");
    set("variance_type", "learned");
    expect_refusal(DB_STEPPER_DDPM, 10, 0, DREAMBOOTH_EUNSUPPORTED,
                   "variance_type");
    set("rescale_betas_zero_snr", "true");
    set("timestep_spacing", "trailing");
    expect_refusal(DB_STEPPER_DDIM, 10, 0, DREAMBOOTH_EUNSUPPORTED, "epsilon");
    set("prediction_type", "sample");
    expect_refusal(DB_STEPPER_PNDM, 10, 0, DREAMBOOTH_EUNSUPPORTED, "sample");
    expect_refusal(DB_STEPPER_EULER_ANCESTRAL, 10, 0, DREAMBOOTH_EUNSUPPORTED,
                   "sample");
    end();
}
END_TEST

START_TEST(steps_are_taken_in_order)
{
    struct db_stepper_settings settings = {2, 0, false};
    float x[4] = {1, 2, 3, 4}, before[4] = {1, 2, 3, 4}, output[4] = {0};
    struct db_stepper *stepper;

    begin(NULL, 0);
    ck_assert_int_eq(db_stepper_new(&env, DB_STEPPER_DDPM, &config, &settings,
                                    1, 4, &stepper),
                     0);
    ck_assert_int_eq(db_stepper_step(stepper, 1, output, x, output),
                     DREAMBOOTH_ESTATE);
    ck_assert(db_stepper_needs_noise(stepper, 0));
    ck_assert_int_eq(db_stepper_step(stepper, 0, output, x, NULL),
                     DREAMBOOTH_EINVAL);
    ck_assert_mem_eq(x, before, sizeof(x));
    ck_assert_int_eq(db_stepper_step(stepper, 0, output, x, output), 0);
    ck_assert(!db_stepper_needs_noise(stepper, 1));
    ck_assert_int_eq(db_stepper_step(stepper, 1, output, x, NULL), 0);
    ck_assert_int_eq(db_stepper_step(stepper, 2, output, x, NULL),
                     DREAMBOOTH_ESTATE);
    db_stepper_free(stepper);
    end();
}
END_TEST

/* An allocator that fails at its n-th call. */
static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    int *left = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if ((*left)-- <= 0)
        return NULL;
    return realloc(pointer, size);
}

/* How many allocations a stepper makes, each of which has failed once. */
static int fail_each_allocation(enum db_stepper_kind kind)
{
    struct db_stepper_settings settings = {5, 0, false};
    struct db_stepper *stepper;
    int calls, left, status = DREAMBOOTH_ENOMEM;
    uint64_t live = env.live_bytes;

    for (calls = 0; status != DREAMBOOTH_OK; calls++) {
        ck_assert_int_lt(calls, 100);
        left = calls;
        env.resize = failing_resize;
        env.resize_user = &left;
        status = db_stepper_new(&env, kind, &config, &settings, IMAGES, SIZE,
                                &stepper);
        ck_assert(status == DREAMBOOTH_OK || status == DREAMBOOTH_ENOMEM);
        if (status == DREAMBOOTH_OK)
            db_stepper_free(stepper);
        ck_assert_uint_eq(env.live_bytes, live);
    }
    return calls;
}

START_TEST(every_allocation_may_fail)
{
    static const char *const pairs[][2] = {{"num_train_timesteps", "10"},
                                           {"thresholding", "true"}};
    double betas[10] = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
    int kind;

    begin(pairs, 2);
    ck_assert_int_eq(db_schedule_config_set_betas(&env, &config, betas, 10), 0);
    for (kind = DB_STEPPER_DDPM; kind <= DB_STEPPER_EULER_ANCESTRAL; kind++)
        ck_assert_int_gt(fail_each_allocation((enum db_stepper_kind)kind), 5);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("diffusion");

    unit_add(suite, "betas", betas_of_each_schedule);
    unit_add(suite, "own betas", own_betas);
    unit_add(suite, "zero terminal SNR", zero_terminal_snr);
    unit_add(suite, "min-SNR", min_snr_weights);
    unit_add(suite, "velocity", noise_and_velocity_are_a_rotation);
    unit_add(suite, "config", config_fields);
    unit_add(suite, "defaults", kinds_have_their_own_defaults);
    unit_add(suite, "oracle", an_oracle_leads_to_its_image);
    unit_add(suite, "1000 steps", every_timestep_can_be_a_step);
    unit_add(suite, "trailing", trailing_timesteps_are_as_many_as_asked_for);
    unit_add(suite, "clipping", predicted_samples_are_clipped);
    unit_add(suite, "refusals", what_cannot_be_is_refused);
    unit_add(suite, "order", steps_are_taken_in_order);
    unit_add(suite, "allocation failure", every_allocation_may_fail);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/*
 * The common half of all steppers: the choice of timesteps, the predicted
 * sample with its clipping, and the order of calls.
 */
#include "diffusion/stepper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/stepper_int.h"

const char *const db_stepper_names[] = {"ddpm", "ddim", "pndm",
                                        "euler-ancestral", NULL};

/* In the order of enum db_stepper_kind. */
static const struct db_stepper_class *const classes[] = {
    &db_stepper_ddpm, &db_stepper_ddim, &db_stepper_pndm,
    &db_stepper_euler_ancestral};

bool db_stepper_find_class(const char *class_name, enum db_stepper_kind *kind)
{
    size_t i;

    for (i = 0; i < DB_COUNT(classes); i++) {
        if (strcmp(classes[i]->class_name, class_name) == 0) {
            *kind = (enum db_stepper_kind)i;
            return true;
        }
    }
    return false;
}

int db_stepper_resolve_config(struct db_env *env, enum db_stepper_kind kind,
                              struct db_schedule_config *config)
{
    const struct db_stepper_class *class = classes[kind];
    int status = DREAMBOOTH_OK;
    size_t i;

    for (i = 0; i < DB_COUNT(class->defaults); i++) {
        const char *name = class->defaults[i].name;

        if (name == NULL || db_schedule_config_given(config, name))
            continue;
        status = db_options_set(env, &db_schedule_config_table, config, name,
                                class->defaults[i].text);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    if (!class->rescales)
        config->rescale_betas_zero_snr = false;
    return status;
}

double db_spaced_timestep(const struct db_stepper *stepper, int64_t index)
{
    int64_t steps = stepper->settings.steps;
    int64_t back = steps - 1 - index;
    double count = (double)stepper->schedule->count;

    switch (stepper->config.timestep_spacing) {
    case DB_SPACING_LINSPACE:
        if (steps == 1)
            return 0;
        if (index == 0)
            return count - 1;
        return (double)back * ((count - 1) / (double)(steps - 1));
    case DB_SPACING_TRAILING: {
        /* numpy.arange(): a step is the difference of the first two values. */
        double distance = (count - count / (double)steps) - count;

        return rint(count + (double)index * distance) - 1;
    }
    default:
        return (double)(back * (stepper->schedule->count / steps) +
                        stepper->config.steps_offset);
    }
}

int db_stepper_check_timestep(struct db_stepper *stepper, int64_t timestep)
{
    if (timestep >= 0 && timestep < stepper->schedule->count)
        return DREAMBOOTH_OK;
    return db_fail(
        stepper->env, DREAMBOOTH_EINVAL,
        "%lld steps with steps_offset %lld reach timestep %lld, but the "
        "model's last is %lld; use fewer steps",
        (long long)stepper->settings.steps,
        (long long)stepper->config.steps_offset, (long long)timestep,
        (long long)stepper->schedule->count - 1);
}

static int check_terminal(struct db_stepper *stepper)
{
    int64_t first = (int64_t)stepper->timesteps[0];

    if (stepper->schedule->prediction_type != DB_PREDICTION_EPSILON ||
        stepper->schedule->alphas_cumprod[first] > 0)
        return DREAMBOOTH_OK;
    return db_fail(
        stepper->env, DREAMBOOTH_EUNSUPPORTED,
        "prediction_type \"epsilon\" says nothing where no signal is "
        "left (rescale_betas_zero_snr): the model should predict v");
}

int db_stepper_begin_whole(struct db_stepper *stepper)
{
    struct db_env *env = stepper->env;
    int64_t steps = stepper->settings.steps;
    int64_t i;
    int status;

    stepper->calls = steps;
    stepper->timesteps = db_alloc_array(env, (size_t)steps, sizeof(float));
    stepper->predicted =
        db_alloc_array(env, (size_t)stepper->count, sizeof(float));
    if (stepper->timesteps == NULL || stepper->predicted == NULL)
        return env->error_status;
    if (stepper->config.thresholding) {
        stepper->sorted =
            db_alloc_array(env, (size_t)stepper->size, sizeof(float));
        if (stepper->sorted == NULL)
            return env->error_status;
    }
    for (i = 0; i < steps; i++) {
        int64_t timestep = (int64_t)rint(db_spaced_timestep(stepper, i));

        status = db_stepper_check_timestep(stepper, timestep);
        if (status != DREAMBOOTH_OK)
            return status;
        stepper->timesteps[i] = (float)timestep;
    }
    return check_terminal(stepper);
}

float db_alpha_at(const struct db_stepper *stepper, int64_t timestep,
                  float final)
{
    return timestep >= 0 ? stepper->schedule->alphas_cumprod[timestep] : final;
}

static int compare_magnitudes(const void *a, const void *b)
{
    uint32_t x, y;

    /* Bits of floats >= 0 are ordered as the floats are, NaN last. */
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* torch.quantile() of the magnitudes of SIZE numbers, interpolated. */
static float quantile(const float *values, int64_t size, double ratio,
                      float *sorted)
{
    float rank = (float)ratio * (float)(size - 1), weight;
    int64_t below = (int64_t)floorf(rank), above = (int64_t)ceilf(rank), i;

    for (i = 0; i < size; i++)
        sorted[i] = fabsf(values[i]);
    qsort(sorted, (size_t)size, sizeof(*sorted), compare_magnitudes);
    weight = rank - (float)below;
    if (weight < 0.5f)
        return sorted[below] + weight * (sorted[above] - sorted[below]);
    return sorted[above] - (sorted[above] - sorted[below]) * (1 - weight);
}

static float clamp(float x, float low, float high)
{
    return x < low ? low : (x > high ? high : x);
}

/* Saharia et al., 2022, "Photorealistic text-to-image diffusion models",
 * section 2.3: each image is clipped at a quantile s >= 1 and divided by s. */
static void threshold(struct db_stepper *stepper, float *values)
{
    const struct db_schedule_config *config = &stepper->config;
    int64_t image, i;

    for (image = 0; image < stepper->images; image++) {
        float *x = values + image * stepper->size;
        float s = quantile(x, stepper->size, config->dynamic_thresholding_ratio,
                           stepper->sorted);

        s = fminf(fmaxf(s, 1), (float)config->sample_max_value);
        for (i = 0; i < stepper->size; i++)
            x[i] = clamp(x[i], -s, s) / s;
    }
}

void db_predict_sample(struct db_stepper *stepper, int64_t timestep,
                       const float *output, const float *sample)
{
    float left = stepper->schedule->alphas_cumprod[timestep];
    float a = sqrtf(left), b = sqrtf(1 - left);
    float range = (float)stepper->config.clip_sample_range;
    float *x = stepper->predicted;
    int64_t i;

    if (stepper->schedule->prediction_type == DB_PREDICTION_EPSILON) {
        for (i = 0; i < stepper->count; i++)
            x[i] = (sample[i] - b * output[i]) / a;
    } else if (stepper->schedule->prediction_type == DB_PREDICTION_V) {
        for (i = 0; i < stepper->count; i++)
            x[i] = a * sample[i] - b * output[i];
    } else {
        memcpy(x, output, (size_t)stepper->count * sizeof(*x));
    }
    if (stepper->config.thresholding) {
        threshold(stepper, x);
    } else if (stepper->config.clip_sample) {
        for (i = 0; i < stepper->count; i++)
            x[i] = clamp(x[i], -range, range);
    }
}

static int check_settings(struct db_env *env,
                          const struct db_schedule_config *config,
                          const struct db_stepper_settings *settings)
{
    if (settings->steps < 1 || settings->steps > config->num_train_timesteps)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "%lld steps: give 1 to %lld, the number of timesteps "
                       "that the model was trained with",
                       (long long)settings->steps,
                       (long long)config->num_train_timesteps);
    if (!(settings->eta >= 0 && settings->eta <= 1))
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "eta is %g; give a number from 0 to 1", settings->eta);
    return DREAMBOOTH_OK;
}

int db_stepper_new(struct db_env *env, enum db_stepper_kind kind,
                   const struct db_schedule_config *config,
                   const struct db_stepper_settings *settings, int64_t images,
                   int64_t size, struct db_stepper **out)
{
    struct db_stepper *stepper;
    int status = check_settings(env, config, settings);

    if (status != DREAMBOOTH_OK)
        return status;
    if (images < 1 || size < 1 || images > INT64_MAX / 16 / size)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "samples of %lld images of %lld numbers are impossible",
                       (long long)images, (long long)size);
    stepper = db_alloc_zero(env, sizeof(*stepper));
    if (stepper == NULL)
        return env->error_status;
    stepper->env = env;
    stepper->class = classes[kind];
    stepper->settings = *settings;
    stepper->images = images;
    stepper->size = size;
    stepper->count = images * size;
    stepper->init_noise_sigma = 1;
    status = db_schedule_config_copy(env, &stepper->config, config);
    if (status != DREAMBOOTH_OK)
        goto fail;
    status = db_stepper_resolve_config(env, kind, &stepper->config);
    if (status != DREAMBOOTH_OK)
        goto fail;
    status = db_schedule_new(env, &stepper->config, &stepper->schedule);
    if (status != DREAMBOOTH_OK)
        goto fail;
    status = stepper->class->begin(stepper);
    if (status != DREAMBOOTH_OK)
        goto fail;
    *out = stepper;
    return DREAMBOOTH_OK;
fail:
    db_stepper_free(stepper);
    return status;
}

void db_stepper_free(struct db_stepper *stepper)
{
    struct db_env *env;

    if (stepper == NULL)
        return;
    env = stepper->env;
    if (stepper->class->end != NULL)
        stepper->class->end(stepper);
    db_free(env, stepper->sorted);
    db_free(env, stepper->predicted);
    db_free(env, stepper->timesteps);
    db_schedule_free(stepper->schedule);
    db_schedule_config_release(env, &stepper->config);
    db_free(env, stepper);
}

int64_t db_stepper_calls(const struct db_stepper *stepper)
{
    return stepper->calls;
}

float db_stepper_timestep(const struct db_stepper *stepper, int64_t step)
{
    return stepper->timesteps[step];
}

float db_stepper_init_noise_sigma(const struct db_stepper *stepper)
{
    return stepper->init_noise_sigma;
}

bool db_stepper_needs_noise(const struct db_stepper *stepper, int64_t step)
{
    return stepper->class->needs_noise != NULL &&
           stepper->class->needs_noise(stepper, step);
}

void db_stepper_scale_input(const struct db_stepper *stepper, int64_t step,
                            const float *sample, float *out)
{
    float divisor;
    int64_t i;

    if (stepper->class->input_divisor == NULL) {
        memmove(out, sample, (size_t)stepper->count * sizeof(*out));
        return;
    }
    divisor = stepper->class->input_divisor(stepper, step);
    for (i = 0; i < stepper->count; i++)
        out[i] = sample[i] / divisor;
}

int db_stepper_step(struct db_stepper *stepper, int64_t step,
                    const float *output, float *sample, const float *noise)
{
    if (step != stepper->position || step >= stepper->calls)
        return db_fail(stepper->env, DREAMBOOTH_ESTATE,
                       "sampler step %lld was asked for, but %lld of %lld is "
                       "next",
                       (long long)step, (long long)stepper->position,
                       (long long)stepper->calls);
    if (noise == NULL && db_stepper_needs_noise(stepper, step))
        return db_fail(stepper->env, DREAMBOOTH_EINVAL,
                       "sampler step %lld needs a noise", (long long)step);
    stepper->class->step(stepper, step, output, sample, noise);
    stepper->position++;
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * Ancestral sampling with Euler steps (Karras et al., 2022, "Elucidating the
 * design space of diffusion-based generative models", and Crowson's
 * k-diffusion): the sample is z + sigma noise with sigma^2 = (1 - ab) / ab; a
 * step goes down to less than the next sigma and comes up to it with fresh
 * noise. Noise is drawn at every step, the last too, where it counts for 0.
 */
#include <math.h>

#include "diffusion/stepper_int.h"

/* What stands for alphas_cumprod 0, so that sigma stays finite. */
#define SMALLEST_ALPHA 0x1p-24f

static float sigma_of(const struct db_schedule *schedule, int64_t timestep)
{
    float alpha = schedule->alphas_cumprod[timestep];

    return sqrtf((1 - alpha) / alpha);
}

/* Sigma at a timestep with a fraction, linear between its neighbours. */
static float interpolated_sigma(const struct db_schedule *schedule,
                                float timestep)
{
    int64_t below = (int64_t)floorf(timestep);
    double start, end;

    if (below >= schedule->count - 1)
        return sigma_of(schedule, schedule->count - 1);
    start = (double)sigma_of(schedule, below);
    end = (double)sigma_of(schedule, below + 1);
    return (float)((end - start) * ((double)timestep - (double)below) + start);
}

static int check_config(struct db_stepper *stepper)
{
    if (stepper->schedule->prediction_type == DB_PREDICTION_SAMPLE)
        return db_fail(
            stepper->env, DREAMBOOTH_EUNSUPPORTED,
            "prediction_type \"sample\" does not go with the sampler "
            "euler-ancestral; ddim and ddpm take it");
    return DREAMBOOTH_OK;
}

static void end(struct db_stepper *stepper)
{
    db_free(stepper->env, stepper->state);
}

/* The state is the sigmas [steps + 1], the last 0. */
static int begin(struct db_stepper *stepper)
{
    struct db_env *env = stepper->env;
    struct db_schedule *schedule = stepper->schedule;
    int64_t steps = stepper->settings.steps, i;
    float *sigmas, largest = 0;
    int status = check_config(stepper);

    if (status != DREAMBOOTH_OK)
        return status;
    stepper->calls = steps;
    stepper->timesteps = db_alloc_array(env, (size_t)steps, sizeof(float));
    if (stepper->timesteps == NULL)
        return env->error_status;
    sigmas = db_alloc_array(env, (size_t)steps + 1, sizeof(float));
    stepper->state = sigmas;
    if (sigmas == NULL)
        return env->error_status;
    if (stepper->config.rescale_betas_zero_snr)
        schedule->alphas_cumprod[schedule->count - 1] = SMALLEST_ALPHA;
    for (i = 0; i < steps; i++) {
        stepper->timesteps[i] = (float)db_spaced_timestep(stepper, i);
        sigmas[i] = interpolated_sigma(schedule, stepper->timesteps[i]);
        largest = fmaxf(largest, sigmas[i]);
    }
    sigmas[steps] = 0;
    stepper->init_noise_sigma =
        stepper->config.timestep_spacing == DB_SPACING_LEADING
            ? sqrtf(largest * largest + 1)
            : largest;
    return DREAMBOOTH_OK;
}

static bool needs_noise(const struct db_stepper *stepper, int64_t step)
{
    (void)stepper;
    (void)step;
    return true;
}

static float input_divisor(const struct db_stepper *stepper, int64_t step)
{
    float sigma = ((const float *)stepper->state)[step];

    return sqrtf(sigma * sigma + 1);
}

static void step_euler_ancestral(struct db_stepper *stepper, int64_t step,
                                 const float *output, float *sample,
                                 const float *noise)
{
    const float *sigmas = stepper->state;
    bool predicts_v = stepper->schedule->prediction_type == DB_PREDICTION_V;
    float sigma = sigmas[step], next = sigmas[step + 1];
    float square = sigma * sigma, next_square = next * next;
    float up = sqrtf(next_square * (square - next_square) / square);
    float distance = sqrtf(next_square - up * up) - sigma;
    float of_output = -sigma / sqrtf(square + 1);
    int64_t i;

    for (i = 0; i < stepper->count; i++) {
        float predicted = sample[i] - sigma * output[i];

        if (predicts_v)
            predicted = output[i] * of_output + sample[i] / (square + 1);
        sample[i] += (sample[i] - predicted) / sigma * distance;
        sample[i] += noise[i] * up;
    }
}

const struct db_stepper_class db_stepper_euler_ancestral = {
    .class_name = "EulerAncestralDiscreteScheduler",
    .rescales = true,
    .defaults = {{"timestep_spacing", "linspace"}},
    .begin = begin,
    .end = end,
    .needs_noise = needs_noise,
    .input_divisor = input_divisor,
    .step = step_euler_ancestral};

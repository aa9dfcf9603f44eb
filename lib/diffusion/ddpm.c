/* SPDX-License-Identifier: MIT */
/*
 * Ancestral sampling: each step draws from the posterior of the previous
 * timestep given the predicted sample (Ho et al., 2020, "Denoising diffusion
 * probabilistic models", equations 6 and 7). Steps may leave timesteps out.
 */
#include <math.h>

#include "diffusion/stepper_int.h"

static int begin(struct db_stepper *stepper)
{
    int variance = stepper->config.variance_type;

    if (variance == DB_VARIANCE_LEARNED ||
        variance == DB_VARIANCE_LEARNED_RANGE)
        return db_fail(stepper->env, DREAMBOOTH_EUNSUPPORTED,
                       "variance_type: models that predict their variance are "
                       "not supported; \"fixed_small\" is");
    return db_stepper_begin_whole(stepper);
}

static bool needs_noise(const struct db_stepper *stepper, int64_t step)
{
    return stepper->timesteps[step] > 0;
}

/* The standard deviation of the noise between two timesteps with these
 * alphas_cumprod. */
static float deviation(int variance_type, float alpha, float alpha_before)
{
    float beta = 1 - alpha / alpha_before;
    float variance = (1 - alpha_before) / (1 - alpha) * beta;

    if (!(variance >= 1e-20f))
        variance = 1e-20f;
    switch (variance_type) {
    case DB_VARIANCE_FIXED_SMALL_LOG:
        return (float)exp(0.5 * log((double)variance));
    case DB_VARIANCE_FIXED_LARGE:
    case DB_VARIANCE_FIXED_LARGE_LOG:
        return sqrtf(beta);
    default:
        return sqrtf(variance);
    }
}

static void step_ddpm(struct db_stepper *stepper, int64_t step,
                      const float *output, float *sample, const float *noise)
{
    int64_t timestep = (int64_t)stepper->timesteps[step];
    int64_t before =
        step + 1 < stepper->calls ? (int64_t)stepper->timesteps[step + 1] : -1;
    float alpha = db_alpha_at(stepper, timestep, 1);
    float alpha_before = db_alpha_at(stepper, before, 1);
    float current = alpha / alpha_before;
    float of_predicted = sqrtf(alpha_before) * (1 - current) / (1 - alpha);
    float of_sample = sqrtf(current) * (1 - alpha_before) / (1 - alpha);
    float of_noise;
    int64_t i;

    db_predict_sample(stepper, timestep, output, sample);
    for (i = 0; i < stepper->count; i++)
        sample[i] =
            of_predicted * stepper->predicted[i] + of_sample * sample[i];
    if (timestep == 0)
        return;
    of_noise = deviation(stepper->config.variance_type, alpha, alpha_before);
    for (i = 0; i < stepper->count; i++)
        sample[i] += of_noise * noise[i];
}

const struct db_stepper_class db_stepper_ddpm = {
    .class_name = "DDPMScheduler",
    .rescales = true,
    .defaults = {{"clip_sample", "true"}},
    .begin = begin,
    .needs_noise = needs_noise,
    .step = step_ddpm};

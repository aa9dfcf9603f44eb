/* SPDX-License-Identifier: MIT */
/*
 * Implicit sampling: the predicted sample and the predicted noise are mixed
 * anew for the previous timestep, with a share eta of fresh noise (Song et al.,
 * 2021, "Denoising diffusion implicit models", equations 12 and 16).
 */
#include <math.h>

#include "diffusion/stepper_int.h"

static bool needs_noise(const struct db_stepper *stepper, int64_t step)
{
    (void)step;
    return stepper->settings.eta > 0;
}

/* The noise that number I of OUTPUT stands for; a and b are sqrt(ab) and
 * sqrt(1 - ab). */
static float predict_noise(const struct db_stepper *stepper, int64_t i, float a,
                           float b, const float *output, const float *sample)
{
    if (stepper->settings.use_clipped_model_output ||
        stepper->schedule->prediction_type == DB_PREDICTION_SAMPLE)
        return (sample[i] - a * (stepper->settings.use_clipped_model_output
                                     ? stepper->predicted[i]
                                     : output[i])) /
               b;
    if (stepper->schedule->prediction_type == DB_PREDICTION_V)
        return a * output[i] + b * sample[i];
    return output[i];
}

static void step_ddim(struct db_stepper *stepper, int64_t step,
                      const float *output, float *sample, const float *noise)
{
    const struct db_schedule *schedule = stepper->schedule;
    int64_t timestep = (int64_t)stepper->timesteps[step];
    int64_t before = timestep - schedule->count / stepper->settings.steps;
    float final =
        stepper->config.set_alpha_to_one ? 1 : schedule->alphas_cumprod[0];
    float alpha = db_alpha_at(stepper, timestep, final);
    float alpha_before = db_alpha_at(stepper, before, final);
    float variance =
        (1 - alpha_before) / (1 - alpha) * (1 - alpha / alpha_before);
    float deviation = (float)stepper->settings.eta * sqrtf(variance);
    float direction = sqrtf(fmaxf(1 - alpha_before - deviation * deviation, 0));
    float a = sqrtf(alpha), b = sqrtf(1 - alpha), c = sqrtf(alpha_before);
    int64_t i;

    db_predict_sample(stepper, timestep, output, sample);
    for (i = 0; i < stepper->count; i++) {
        float epsilon = predict_noise(stepper, i, a, b, output, sample);

        sample[i] = c * stepper->predicted[i] + direction * epsilon;
        if (stepper->settings.eta > 0)
            sample[i] += deviation * noise[i];
    }
}

const struct db_stepper_class db_stepper_ddim = {
    .class_name = "DDIMScheduler",
    .rescales = true,
    .defaults = {{"clip_sample", "true"}, {"set_alpha_to_one", "true"}},
    .begin = db_stepper_begin_whole,
    .needs_noise = needs_noise,
    .step = step_ddim};

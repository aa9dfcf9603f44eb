/* SPDX-License-Identifier: MIT */
/*
 * Samplers' step rules: where to evaluate the model, and how its output takes
 * the sample one step from noise to image. A stepper is pure arithmetic on
 * arrays of floats of any layout; it draws no noise and calls no model.
 *
 *     for (step = 0; step < db_stepper_calls(stepper); step++) {
 *         db_stepper_scale_input(stepper, step, sample, input);
 *         output = model(input, db_stepper_timestep(stepper, step));
 *         if (db_stepper_needs_noise(stepper, step)) draw noise;
 *         db_stepper_step(stepper, step, output, sample, noise);
 *     }
 *
 * Timesteps, arithmetic and the steps at which noise is drawn are those of
 * diffusers' schedulers, but for these: "trailing" spacing gives as many
 * timesteps as asked for where diffusers' rounding adds one below zero, the
 * variance "fixed_large_log" is what its name says where diffusers' is NaN, and
 * what would end there in a NaN or an index out of range is an error here.
 */
#ifndef DB_DIFFUSION_STEPPER_H
#define DB_DIFFUSION_STEPPER_H

#include "base/env.h"
#include "diffusion/schedule.h"

enum db_stepper_kind {
    DB_STEPPER_DDPM, /* Ho et al., 2020: ancestral */
    DB_STEPPER_DDIM, /* Song et al., 2021 */
    DB_STEPPER_PNDM, /* Liu et al., 2022 */
    DB_STEPPER_EULER_ANCESTRAL
};

/* "ddpm", "ddim", "pndm", "euler-ancestral", NULL: for an option table. */
extern const char *const db_stepper_names[];

/* The kind of one of diffusers' scheduler classes, "PNDMScheduler"; false if
 * it is none of ours. */
bool db_stepper_find_class(const char *class_name, enum db_stepper_kind *kind);

/*
 * What diffusers would make of a config for a scheduler of this kind: fields
 * that were not given take the kind's own default, and what the kind does not
 * know counts as off. db_stepper_new() does it by itself.
 */
int db_stepper_resolve_config(struct db_env *env, enum db_stepper_kind kind,
                              struct db_schedule_config *config);

struct db_stepper_settings {
    int64_t steps;                 /* 1..num_train_timesteps */
    double eta;                    /* DDIM: 0 (no noise) to 1 (as DDPM's) */
    bool use_clipped_model_output; /* DDIM: noise from the clipped sample */
};

struct db_stepper;

/*
 * A stepper for samples of IMAGES images with SIZE numbers each. The config is
 * copied. EINVAL for a number of steps or an eta that the kind cannot do,
 * EUNSUPPORTED for a config that it cannot.
 */
int db_stepper_new(struct db_env *env, enum db_stepper_kind kind,
                   const struct db_schedule_config *config,
                   const struct db_stepper_settings *settings, int64_t images,
                   int64_t size, struct db_stepper **out);
void db_stepper_free(struct db_stepper *stepper); /* NULL is fine */

/* How often the model is called: the number of steps, or a few more. */
int64_t db_stepper_calls(const struct db_stepper *stepper);
/* The timestep for the model at call STEP; Euler's may have a fraction. */
float db_stepper_timestep(const struct db_stepper *stepper, int64_t step);
/* What the first standard normal sample is multiplied by. */
float db_stepper_init_noise_sigma(const struct db_stepper *stepper);
/* Does call STEP take a noise? Then its caller must draw one. */
bool db_stepper_needs_noise(const struct db_stepper *stepper, int64_t step);

/* OUT [images, size]: the model's input for SAMPLE; OUT may be SAMPLE. */
void db_stepper_scale_input(const struct db_stepper *stepper, int64_t step,
                            const float *sample, float *out);

/*
 * Takes SAMPLE [images, size] one step on with the model's OUTPUT. NOISE is
 * standard normal, or NULL where none is needed. ESTATE when the steps are not
 * taken in order, EINVAL when a noise is missing; nothing is changed then.
 */
int db_stepper_step(struct db_stepper *stepper, int64_t step,
                    const float *output, float *sample, const float *noise);

#endif

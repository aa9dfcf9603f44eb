/* SPDX-License-Identifier: MIT */
/*
 * What the step rules share: a kind of stepper is a table of functions over
 * this struct, and keeps what it alone needs in its state.
 */
#ifndef DB_DIFFUSION_STEPPER_INT_H
#define DB_DIFFUSION_STEPPER_INT_H

#include "diffusion/stepper.h"

struct db_stepper;

/* A field that this kind has another default for. */
struct db_stepper_default {
    const char *name;
    const char *text;
};

struct db_stepper_class {
    const char *class_name; /* diffusers' */
    bool rescales;          /* knows rescale_betas_zero_snr */
    struct db_stepper_default defaults[2];

    /* Sets calls, timesteps, init_noise_sigma if it is not 1, and state. */
    int (*begin)(struct db_stepper *stepper);
    void (*end)(struct db_stepper *stepper); /* NULL: no state */
    /* NULL: never */
    bool (*needs_noise)(const struct db_stepper *stepper, int64_t step);
    /* The model sees sample / input_divisor; NULL: 1 */
    float (*input_divisor)(const struct db_stepper *stepper, int64_t step);
    void (*step)(struct db_stepper *stepper, int64_t step, const float *output,
                 float *sample, const float *noise);
};

struct db_stepper {
    struct db_env *env;
    const struct db_stepper_class *class;
    struct db_schedule_config config; /* resolved */
    struct db_stepper_settings settings;
    struct db_schedule *schedule;
    int64_t images, size;
    int64_t count; /* images * size */
    int64_t calls;
    float *timesteps; /* [calls] */
    float init_noise_sigma;
    int64_t position; /* the next call */
    float *predicted; /* [count], for db_predict_sample() */
    float *sorted;    /* [size], for thresholding */
    void *state;
};

extern const struct db_stepper_class db_stepper_ddpm;
extern const struct db_stepper_class db_stepper_ddim;
extern const struct db_stepper_class db_stepper_pndm;
extern const struct db_stepper_class db_stepper_euler_ancestral;

/* Timestep INDEX of settings.steps, the first the noisiest, before rounding. */
double db_spaced_timestep(const struct db_stepper *stepper, int64_t index);

/*
 * begin() of kinds that call the model once a step at whole timesteps: sets
 * calls, timesteps and predicted. EINVAL when a timestep lies outside the
 * schedule.
 */
int db_stepper_begin_whole(struct db_stepper *stepper);
/* EINVAL when TIMESTEP lies outside the schedule. */
int db_stepper_check_timestep(struct db_stepper *stepper, int64_t timestep);

/* alphas_cumprod at TIMESTEP, FINAL below 0. */
float db_alpha_at(const struct db_stepper *stepper, int64_t timestep,
                  float final);

/* The sample without noise that OUTPUT at TIMESTEP stands for, clipped or
 * thresholded as configured: into stepper->predicted. */
void db_predict_sample(struct db_stepper *stepper, int64_t timestep,
                       const float *output, const float *sample);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a sampler can be told: one struct, and the option table that names,
 * checks and explains each of its fields.
 */
#ifndef DB_SAMPLE_OPTIONS_H
#define DB_SAMPLE_OPTIONS_H

#include "base/option.h"

/* The choices of "sampler". AUTO: the model's own scheduler where it is one of
 * the others, else PNDM. */
enum db_sampler_choice {
    DB_SAMPLER_AUTO,
    DB_SAMPLER_DDPM,
    DB_SAMPLER_DDIM,
    DB_SAMPLER_PNDM,
    DB_SAMPLER_EULER_ANCESTRAL
};

struct db_sampler_settings {
    char *prompt;          /* NULL: the empty text */
    char *negative_prompt; /* NULL: the empty text */
    int64_t steps;
    double guidance_scale; /* <= 1: without guidance */
    int sampler;           /* enum db_sampler_choice */
    double eta;            /* of DDIM: 0 deterministic, 1 as DDPM */
    int64_t seed;
    int rng;                     /* enum db_noise_kind */
    int64_t size, width, height; /* pixels; 0: see db_sampler_new() */
    int64_t count;               /* images in all */
    int64_t batch;               /* images at once */
    int64_t first_image;         /* the number of the first, from 0 */
};

extern const struct db_option_table db_sampler_options;

#endif

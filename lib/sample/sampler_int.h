/* SPDX-License-Identifier: MIT */
/* A sampler from the inside: what is fixed for a run, and the batch at hand. */
#ifndef DB_SAMPLE_SAMPLER_INT_H
#define DB_SAMPLE_SAMPLER_INT_H

#include "base/noise.h"
#include "diffusion/stepper.h"
#include "sample/sampler.h"

/* Images that go through the UNet together. All zero: none. */
struct db_sampler_batch {
    int64_t first, count; /* counted from the run's first image */
    int64_t call;         /* the next call of the UNet */
    int64_t noise_call;   /* the call that noise was drawn for; -1: none */
    int64_t decoded;      /* images */
    struct db_stepper *stepper;
    struct db_unet_steps unet; /* of [calls] */
    struct db_noise *sources;  /* [count] */
    struct db_tensor *latents; /* [count, h, w, c] */
    struct db_tensor *noise;   /* the same */
    struct db_tensor *context; /* [rows, length, width]; rows are count, or
                                * twice that: unconditional ones first */
};

struct db_sampler {
    struct db_env *env;
    struct db_device *device;
    const struct db_pipeline *pipeline;
    struct db_sampler_settings settings;
    enum db_stepper_kind kind;
    struct db_schedule_config config;
    bool guided;
    int64_t calls;                       /* of the UNet, for a batch */
    int64_t height, width, channels;     /* of the latents */
    struct db_tensor *prompt, *negative; /* [1, length, width]; negative NULL
                                          * without guidance */
    struct db_sampler_batch batch;
    struct db_image **images; /* [settings.count]; NULL: not finished */
    int64_t finished;
};

/* Makes a batch of the next images, with their first latents. */
int db_sampler_batch_begin(struct db_sampler *sampler, int64_t first,
                           struct db_sampler_batch *out);
void db_sampler_batch_free(struct db_env *env, struct db_sampler_batch *batch);
/* One call of the UNet and one update of the latents. */
int db_sampler_batch_step(struct db_sampler *sampler);
/* Image INDEX of the batch, from its latents as they are. */
int db_sampler_decode(struct db_sampler *sampler, int64_t index,
                      struct db_image **out);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a trainer can be told: one struct, and the option table that names,
 * checks and explains each of its fields. Rows without DB_OPTION_CHANGEABLE
 * must be the same when a stopped run is resumed.
 */
#ifndef DB_TRAIN_OPTIONS_H
#define DB_TRAIN_OPTIONS_H

#include "base/option.h"

enum db_crop { DB_CROP_CENTER, DB_CROP_RANDOM };
enum db_optimizer_kind { DB_ADAMW, DB_ADAMW_8BIT };
enum db_gradients_kind { DB_GRADIENTS_F32, DB_GRADIENTS_BF16 };
enum db_recompute { DB_RECOMPUTE_AUTO, DB_RECOMPUTE_ON, DB_RECOMPUTE_OFF };

struct db_trainer_settings {
    char *instance_dir, *instance_prompt;
    char *identifier;   /* what [V] stood for in the prompts */
    char *class_dir;    /* NULL: out/class */
    char *class_prompt; /* NULL or "": no prior preservation */
    int64_t class_images;
    int64_t class_batch; /* images at once, when they are made */
    int64_t class_steps;
    double class_guidance_scale;

    int64_t steps;
    int64_t batch; /* instance images a step; as many class images besides */
    int64_t gradient_accumulation;
    double learning_rate;
    int64_t learning_rate_warmup; /* steps from 0 to learning_rate */
    double beta1, beta2, epsilon, weight_decay;
    double max_gradient_norm;
    int optimizer; /* enum db_optimizer_kind */
    int gradients; /* enum db_gradients_kind */
    double prior_loss_weight;
    double snr_gamma; /* 0: off */
    bool train_text_encoder;

    int64_t size; /* pixels, both sides */
    int crop;     /* enum db_crop */
    bool flip;
    int64_t seed;
    int rng;       /* enum db_noise_kind */
    int recompute; /* enum db_recompute */

    char *out;
    bool resume;
    int64_t checkpoint_every; /* 0: never */
    int64_t keep_checkpoints;
    int64_t sample_every; /* 0: never */
    char *sample_prompt;  /* NULL: the instance prompt */
    int64_t sample_count;
    int64_t sample_steps;
};

extern const struct db_option_table db_trainer_options;

/* Does the run have a prior-preservation half? */
bool db_trainer_has_prior(const struct db_trainer_settings *settings);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * AdamW (Loshchilov and Hutter, 2019) over every trained parameter, with one
 * joint gradient clip, as torch.optim.AdamW and clip_grad_norm_ do it.
 *
 * To save memory, parameters and gradients may be bfloat16 and moments codes of
 * 8 bits with a scale for each block (Dettmers et al., 2022). What is rounded
 * in an update is rounded at random, by numbers that are a function of seed,
 * step, parameter and place.
 */
#ifndef DB_TRAIN_OPTIMIZER_H
#define DB_TRAIN_OPTIMIZER_H

#include "model/pipeline.h"
#include "train/options.h"

/* A trained parameter with its moments, which have the parameter's layout: F32,
 * or U8 with the scales of their blocks. */
struct db_trained {
    enum db_part part;
    struct db_param *param;
    struct db_tensor *m, *v;
    struct db_tensor *m_scales, *v_scales; /* NULL without codes */
};

struct db_optimizer {
    struct db_env *env;
    struct db_device *device;
    double beta1, beta2, epsilon, weight_decay, max_gradient_norm;
    struct db_trained *items; /* text encoder first, if it is trained */
    size_t count;
    int64_t step; /* updates so far */
    uint64_t seed;
    bool eight_bits, narrow_gradients;
};

/* Marks what SETTINGS train as trainable, and the rest not; moments are zero.
 */
int db_optimizer_new(struct db_device *device, struct db_pipeline *pipeline,
                     const struct db_trainer_settings *settings,
                     struct db_optimizer **out);
void db_optimizer_free(struct db_optimizer *optimizer); /* NULL is fine */

/* The joint L2 norm of all gradients. ENONFINITE, naming STEP and the first
 * parameter whose gradient is not finite. */
int db_optimizer_norm(struct db_optimizer *optimizer, int64_t step,
                      double *norm);
/* Clips and updates, given the norm. Parameters without a gradient stay. */
int db_optimizer_update(struct db_optimizer *optimizer, double learning_rate,
                        double norm);
/* ENONFINITE, naming STEP and the first trained parameter that is not finite:
 * nothing of that kind is to be kept. */
int db_optimizer_check(struct db_optimizer *optimizer, int64_t step);
void db_optimizer_free_gradients(struct db_optimizer *optimizer);

#endif

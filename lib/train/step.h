/* SPDX-License-Identifier: MIT */
/*
 * The loss of DreamBooth and its gradients, for a batch whose latents, noise
 * and timesteps are given: no randomness, no state.
 *
 *     L = mean over instance rows w_t ||target - prediction||^2
 *         + prior_loss_weight * mean over class rows ||target - prediction||^2
 *
 * (Ruiz et al., 2022, equation 2, without w_t's of the class rows), norms being
 * means over elements. w_t is 1, or min-SNR's weight at the row's own timestep.
 */
#ifndef DB_TRAIN_STEP_H
#define DB_TRAIN_STEP_H

#include "diffusion/schedule.h"
#include "model/pipeline.h"

/* Instance rows come first. rows = instances + classes. */
struct db_train_batch {
    int64_t instances, classes;
    struct db_tensor *latents; /* [rows, h, w, c], times scaling_factor */
    struct db_tensor *noise;   /* the same */
    int64_t *timesteps;        /* [rows] */
    struct db_tensor *context; /* [rows, length, width]; NULL: from ids */
    int64_t *ids;              /* [rows, length]: for a trained text encoder */
    int64_t length;            /* of ids */
};

struct db_train_form {
    double prior_loss_weight;
    double snr_gamma; /* 0: off */
    double scale;     /* of the gradients: 1 / gradient accumulation */
    bool recompute;   /* activations, in the backward pass */
    const struct db_segments *kept; /* but for those of these; NULL: none */
    int64_t step;                   /* the number of the step, for messages */
};

struct db_train_losses {
    double loss, instance, prior;
};

/* What a step computed on its way, for whoever compares; to be released. */
struct db_train_trace {
    struct db_tensor *noisy, *context, *prediction, *target;
};
void db_train_trace_release(struct db_train_trace *trace);

/*
 * Adds the batch's gradients to those of the trainable parameters, and gives
 * the losses. TRACE may be NULL. ENONFINITE where the loss is not finite,
 * naming the step and the first tensor with such a value: parameters, then
 * latents, context and prediction.
 */
int db_train_gradients(struct db_device *device,
                       const struct db_pipeline *pipeline,
                       const struct db_schedule *schedule,
                       const struct db_train_batch *batch,
                       const struct db_train_form *form,
                       struct db_train_losses *losses,
                       struct db_train_trace *trace);

/* Is every number in TENSOR, F32 or BF16, finite? */
bool db_tensor_is_finite(const struct db_tensor *tensor);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The differentiable operations. Images are [batch, height, width, channels],
 * sequences [batch, length, channels]; both are rows of channels to the
 * operations that work on rows. Each takes over the references of its
 * variables (tape.h) and keeps none of the parameters.
 *
 * Shapes that do not fit are an error (EINTERNAL, naming the operation): models
 * are checked when they are read, so that none should get this far.
 */
#ifndef DB_GRAD_OPS_H
#define DB_GRAD_OPS_H

#include "grad/tape.h"

/* y = x W^T + b: x [.., in], weight [out, in], bias [out] or NULL. */
struct db_var *db_linear(struct db_tape *tape, struct db_var *x,
                         struct db_param *weight, struct db_param *bias);

/* Convolution with zero padding; weight of DB_LAYOUT_CONV. */
struct db_conv2d_form {
    int64_t stride;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
};
struct db_var *db_conv2d(struct db_tape *tape, struct db_var *x,
                         struct db_param *weight, struct db_param *bias,
                         const struct db_conv2d_form *form);

/* Over [batch, .., channels]: statistics of each image and group. With SILU the
 * result is the SiLU of it, and what lies between is never in memory. */
struct db_var *db_group_norm(struct db_tape *tape, struct db_var *x,
                             struct db_param *weight, struct db_param *bias,
                             int64_t groups, float epsilon, bool silu);
/* Over the last dimension. */
struct db_var *db_layer_norm(struct db_tape *tape, struct db_var *x,
                             struct db_param *weight, struct db_param *bias,
                             float epsilon);

/* The same in bfloat16, where db_tape_narrows(). */
struct db_var *db_layer_norm_narrow(struct db_tape *tape, struct db_var *x,
                                    struct db_param *weight,
                                    struct db_param *bias, float epsilon);

/* softmax(q k^T / sqrt(head size)) v; q [B, Lq, heads * size], k and v
 * [B, Lk, heads * size]; causal: query i sees keys 0..i. */
struct db_var *db_attention(struct db_tape *tape, struct db_var *q,
                            struct db_var *k, struct db_var *v, int64_t heads,
                            bool causal);
/* In bfloat16, where db_tape_narrows(), queries have this factor already, and
 * the result is in bfloat16, too. */
float db_attention_factor(int64_t head_size);
/* Over the last dimension. */
struct db_var *db_softmax(struct db_tape *tape, struct db_var *x);

struct db_var *db_activation(struct db_tape *tape, struct db_var *x,
                             enum dreambooth_activation activation);
/* x [.., 2 width] to [.., width]: first half times gelu(second half). */
struct db_var *db_geglu(struct db_tape *tape, struct db_var *x);
/* factor x W^T in bfloat16, where db_tape_narrows(). */
struct db_var *db_linear_narrow(struct db_tape *tape, struct db_var *x,
                                struct db_param *weight, float factor);
/* A linear layer of x, and RESIDUAL; over that where db_tape_narrows(). */
struct db_var *db_linear_add(struct db_tape *tape, struct db_var *x,
                             struct db_param *weight, struct db_param *bias,
                             struct db_var *residual);
/* The same of a linear layer of x. While nothing is recorded it may be one
 * operation, and where products round their factors to bfloat16, so may this
 * result be: it is for db_linear() alone. */
struct db_var *db_linear_geglu(struct db_tape *tape, struct db_var *x,
                               struct db_param *weight, struct db_param *bias);

/* x + y of equal shapes. */
struct db_var *db_add(struct db_tape *tape, struct db_var *x, struct db_var *y);
struct db_var *db_scale(struct db_tape *tape, struct db_var *x, float factor);
/* x [batch, .., channels] + v [batch, channels], or [1, channels] for all. */
struct db_var *db_add_rows(struct db_tape *tape, struct db_var *x,
                           struct db_var *v);
/* x [batch, length, channels] + w [>= length, channels], for each batch row. */
struct db_var *db_add_positions(struct db_tape *tape, struct db_var *x,
                                struct db_param *w);
/* Joins along the last dimension. */
struct db_var *db_concat(struct db_tape *tape, struct db_var *x,
                         struct db_var *y);
/* Channels FIRST..FIRST+COUNT-1 of the last dimension. */
struct db_var *db_channels(struct db_tape *tape, struct db_var *x,
                           int64_t first, int64_t count);
/* The same elements in another shape. */
struct db_var *db_reshape(struct db_tape *tape, struct db_var *x,
                          const struct db_shape *shape);

/* x [N, h, w, C] to [N, height, width, C]. */
struct db_var *db_upsample_nearest(struct db_tape *tape, struct db_var *x,
                                   int64_t height, int64_t width);
/* 2x2, stride 2; an odd last row or column is dropped. */
struct db_var *db_average_pool(struct db_tape *tape, struct db_var *x);

/* Rows of TABLE [entries, channels]: ids [batch * length] to [batch, length,
 * channels]. An id out of range is EINVAL. The ids are copied. */
struct db_var *db_embedding(struct db_tape *tape, struct db_param *table,
                            const int64_t *ids, int64_t batch, int64_t length);

/* (1/batch) sum_b weight[b] mean((x_b - target_b)^2), shape [1]; weight NULL:
 * ones; it is copied. The value is also stored to *LOSS unless that is NULL. */
struct db_var *db_mse(struct db_tape *tape, struct db_var *x,
                      struct db_tensor *target, const float *weight,
                      double *loss);

/*
 * Sinusoidal timestep embedding (Ho et al. 2020; diffusers'
 * get_timestep_embedding) into y [count, width], in float32: no gradient.
 */
void db_timestep_embedding(const float *timesteps, int64_t count, int64_t width,
                           bool flip_sin_to_cos, float downscale_freq_shift,
                           float *y);

#endif

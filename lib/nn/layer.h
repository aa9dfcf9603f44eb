/* SPDX-License-Identifier: MIT */
/*
 * The leaves of every model: linear layers, convolutions, norms. A layer is
 * pointers to its parameters and the numbers that its operation needs.
 *
 * PREFIX.NAME is the layer's name in files. Parameters get PyTorch's first
 * values: weights and biases U(-b, b) with b = 1/sqrt(inputs of one output),
 * norms one and zero.
 */
#ifndef DB_NN_LAYER_H
#define DB_NN_LAYER_H

#include "grad/ops.h"
#include "nn/param.h"
#include "nn/trace.h"

struct db_linear_layer {
    struct db_param *weight, *bias; /* bias: may be NULL */
};

void db_linear_build(struct db_linear_layer *layer, struct db_params *params,
                     const char *prefix, const char *name, int64_t inputs,
                     int64_t outputs);
/* Without a bias. */
void db_linear_build_plain(struct db_linear_layer *layer,
                           struct db_params *params, const char *prefix,
                           const char *name, int64_t inputs, int64_t outputs);
/* With a weight from N(0, deviation^2) and a bias of zero, as transformers. */
void db_linear_build_normal(struct db_linear_layer *layer,
                            struct db_params *params, const char *prefix,
                            const char *name, int64_t inputs, int64_t outputs,
                            double deviation);
/* With a bias; both parameters are OLD_NAME.weight and .bias in older files. */
void db_linear_build_renamed(struct db_linear_layer *layer,
                             struct db_params *params, const char *prefix,
                             const char *name, const char *old_name,
                             int64_t inputs, int64_t outputs);
/* The same, looking into the tape's memo first. */
struct db_var *db_linear_forward_known(struct db_tape *tape,
                                       const struct db_linear_layer *layer,
                                       struct db_var *x);
struct db_var *db_linear_forward(struct db_tape *tape,
                                 const struct db_linear_layer *layer,
                                 struct db_var *x);

/* And RESIDUAL. */
struct db_var *db_linear_forward_add(struct db_tape *tape,
                                     const struct db_linear_layer *layer,
                                     struct db_var *x, struct db_var *residual);

struct db_conv_layer {
    struct db_param *weight, *bias;
    struct db_conv2d_form form;
};

/* KERNEL x KERNEL with stride 1, which keeps the image's size. */
void db_conv_build(struct db_conv_layer *layer, struct db_params *params,
                   const char *prefix, const char *name, int64_t inputs,
                   int64_t outputs, int64_t kernel);
struct db_var *db_conv_forward(struct db_tape *tape,
                               const struct db_conv_layer *layer,
                               struct db_var *x);

struct db_norm {
    struct db_param *weight, *bias;
    int64_t groups; /* 0: layer norm */
    float epsilon;
};

void db_group_norm_build(struct db_norm *norm, struct db_params *params,
                         const char *prefix, const char *name, int64_t channels,
                         int64_t groups, double epsilon);
void db_layer_norm_build(struct db_norm *norm, struct db_params *params,
                         const char *prefix, const char *name, int64_t channels,
                         double epsilon);
struct db_var *db_norm_forward(struct db_tape *tape, const struct db_norm *norm,
                               struct db_var *x);
/* For products alone: in bfloat16 where that changes no bit. */
struct db_var *db_norm_forward_narrow(struct db_tape *tape,
                                      const struct db_norm *norm,
                                      struct db_var *x);
/* The SiLU of a group normalisation. */
struct db_var *db_norm_silu_forward(struct db_tape *tape,
                                    const struct db_norm *norm,
                                    struct db_var *x);

/* The change of size between levels: a 3x3 convolution, after repeating pixels
 * on the way up, with stride 2 on the way down. NAME is "downsamplers.0" or
 * "upsamplers.0". */
void db_upsampler_build(struct db_conv_layer *layer, struct db_params *params,
                        const char *prefix, int64_t channels);
/* To HEIGHT x WIDTH. */
struct db_var *db_upsampler_forward(struct db_tape *tape,
                                    const struct db_conv_layer *layer,
                                    struct db_var *x, int64_t height,
                                    int64_t width);
/* Padded by 1 all around (UNet), or at the bottom and right only (VAE). */
void db_downsampler_build(struct db_conv_layer *layer, struct db_params *params,
                          const char *prefix, int64_t channels,
                          bool pad_all_around);

#endif

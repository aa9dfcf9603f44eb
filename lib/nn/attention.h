/* SPDX-License-Identifier: MIT */
/*
 * Multi-head attention between its four linear layers, and the form of it that
 * the VAE has in its middle.
 */
#ifndef DB_NN_ATTENTION_H
#define DB_NN_ATTENTION_H

#include "nn/layer.h"

struct db_attention_layer {
    struct db_linear_layer to_q, to_k, to_v, to_out;
    int64_t heads; /* divides the channels */
    bool causal;
};

/* diffusers' Attention of a transformer: no biases but to_out's. Keys and
 * values come from a context of CONTEXT_CHANNELS. */
void db_attention_build(struct db_attention_layer *layer,
                        struct db_params *params, const char *name,
                        int64_t channels, int64_t context_channels,
                        int64_t heads);
/* X [B, L, channels], CONTEXT [B, M, context_channels] or, if SELF, not given:
 * then X is the context. Without the residual. */
struct db_var *db_attention_forward(struct db_tape *tape,
                                    const struct db_attention_layer *layer,
                                    struct db_var *x, struct db_var *context,
                                    bool self);

/* The same before to_out. */
struct db_var *db_attention_heads(struct db_tape *tape,
                                  const struct db_attention_layer *layer,
                                  struct db_var *x, struct db_var *context,
                                  bool self);

/* Attention of an image's pixels to each other, with its norm and residual. */
struct db_image_attention {
    const char *name;
    struct db_norm group_norm;
    struct db_attention_layer attention; /* one head, biases */
};

void db_image_attention_build(struct db_image_attention *layer,
                              struct db_params *params, const char *name,
                              int64_t channels, int64_t groups, double epsilon);
/* X [N, h, w, channels]. */
struct db_var *db_image_attention_forward(
    struct db_tape *tape, const struct db_image_attention *layer,
    struct db_var *x, const struct db_trace *trace);

/* [N, h, w, C] to [N, h w, C]. */
struct db_var *db_image_to_sequence(struct db_tape *tape, struct db_var *x);

#endif

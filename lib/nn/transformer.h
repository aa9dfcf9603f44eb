/* SPDX-License-Identifier: MIT */
/*
 * diffusers' Transformer2DModel: an image's pixels as tokens that attend to
 * each other and to the prompt.
 */
#ifndef DB_NN_TRANSFORMER_H
#define DB_NN_TRANSFORMER_H

#include "nn/attention.h"

/* BasicTransformerBlock. */
struct db_transformer_block {
    const char *name;
    struct db_norm norm1, norm2, norm3;
    struct db_attention_layer attn1, attn2; /* to itself, to the prompt */
    struct db_linear_layer ff_in, ff_out;   /* around GEGLU */
};

struct db_transformer {
    const char *name;
    struct db_norm norm;
    bool linear; /* proj_in and proj_out are linear, not 1x1 convolutions */
    struct db_linear_layer linear_in, linear_out;
    struct db_conv_layer conv_in, conv_out;
    struct db_transformer_block *blocks;
    int64_t count;
};

struct db_transformer_sizes {
    int64_t channels, context_channels;
    int64_t heads;
    int64_t layers;
    int64_t groups;
    bool linear;
};

/* NAME must live as long as PARAMS. */
void db_transformer_build(struct db_transformer *transformer,
                          struct db_params *params, const char *name,
                          const struct db_transformer_sizes *sizes);
/* X [N, h, w, channels], CONTEXT [N, L, context_channels]. */
struct db_var *db_transformer_forward(struct db_tape *tape,
                                      const struct db_transformer *transformer,
                                      struct db_var *x, struct db_var *context,
                                      const struct db_trace *trace);

#endif

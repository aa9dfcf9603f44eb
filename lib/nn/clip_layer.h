/* SPDX-License-Identifier: MIT */
/* A layer of CLIP's text transformer (transformers' CLIPEncoderLayer). */
#ifndef DB_NN_CLIP_LAYER_H
#define DB_NN_CLIP_LAYER_H

#include "nn/attention.h"

struct db_clip_layer {
    const char *name;
    struct db_norm layer_norm1, layer_norm2;
    struct db_attention_layer self_attn; /* causal */
    struct db_linear_layer fc1, fc2;
    enum dreambooth_activation activation;
};

struct db_clip_sizes {
    int64_t channels, inner_channels;
    int64_t heads;
    int64_t layers; /* of the whole model: first values depend on it */
    double epsilon;
    double initializer_factor;
    enum dreambooth_activation activation;
};

/* NAME must live as long as PARAMS. */
void db_clip_layer_build(struct db_clip_layer *layer, struct db_params *params,
                         const char *name, const struct db_clip_sizes *sizes);
/* X [B, L, channels]. */
struct db_var *db_clip_layer_forward(struct db_tape *tape,
                                     const struct db_clip_layer *layer,
                                     struct db_var *x);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * diffusers' ResnetBlock2D: two rounds of group norm, SiLU and 3x3 convolution
 * beside a shortcut, with the timestep's embedding added between them.
 */
#ifndef DB_NN_RESNET_H
#define DB_NN_RESNET_H

#include "nn/layer.h"

struct db_resnet {
    const char *name;
    struct db_norm norm1, norm2;
    struct db_conv_layer conv1, conv2;
    struct db_linear_layer time_emb_proj;
    struct db_conv_layer conv_shortcut;
    bool has_time, has_shortcut;
};

struct db_resnet_sizes {
    int64_t inputs, outputs;
    int64_t time_channels; /* 0: not told the timestep */
    int64_t groups;
    double epsilon;
};

/* NAME must live as long as PARAMS. */
void db_resnet_build(struct db_resnet *resnet, struct db_params *params,
                     const char *name, const struct db_resnet_sizes *sizes);
/* X [N, h, w, inputs]; TIME [N, time_channels], the embedding behind its SiLU,
 * or NULL where there is none. To [N, h, w, outputs]. */
struct db_var *db_resnet_forward(struct db_tape *tape,
                                 const struct db_resnet *resnet,
                                 struct db_var *x, struct db_var *time,
                                 const struct db_trace *trace);

#endif

/* SPDX-License-Identifier: MIT */
/* What the files of the UNet share. */
#ifndef DB_MODEL_UNET_INT_H
#define DB_MODEL_UNET_INT_H

#include "model/unet.h"

/* One level, on the way down or up. */
struct db_unet_block {
    const char *name; /* "down_blocks.0" */
    struct db_resnet *resnets;
    struct db_transformer *attentions; /* NULL where there are none */
    int64_t count;                     /* of each */
    bool has_sampler;
    struct db_conv_layer sampler; /* to the next level */
};

/* The sinusoids of COUNT timesteps through two linear layers, and the SiLU with
 * which every residual block begins. */
struct db_var *db_unet_embed(struct db_tape *tape, const struct db_unet *unet,
                             const float *timesteps, int64_t count,
                             const struct db_trace *trace);
/* The rest. Takes over SAMPLE, TIME and CONTEXT. */
struct db_var *db_unet_run(struct db_tape *tape, const struct db_unet *unet,
                           struct db_var *sample, struct db_var *time,
                           struct db_var *context,
                           const struct db_trace *trace);

int db_unet_config_read(struct db_env *env, const char *file,
                        const json_t *object, struct db_unet_config *out);

#endif

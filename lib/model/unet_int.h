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

int db_unet_config_read(struct db_env *env, const char *file,
                        const json_t *object, struct db_unet_config *out);

#endif

/* SPDX-License-Identifier: MIT */
/* What the files of the VAE share. */
#ifndef DB_MODEL_VAE_INT_H
#define DB_MODEL_VAE_INT_H

#include "model/vae.h"

/* One level of the encoder or decoder. */
struct db_vae_block {
    const char *name; /* "encoder.down_blocks.0" */
    struct db_resnet *resnets;
    int64_t count;
    bool has_sampler;
    struct db_conv_layer sampler; /* to the next level */
};

int db_vae_config_read(struct db_env *env, const char *file,
                       const json_t *object, struct db_vae_config *out);

#endif

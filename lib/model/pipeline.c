/* SPDX-License-Identifier: MIT */
/* Pipelines as they are in memory: their parts and how these fit together. */
#include "model/pipeline_int.h"

#include "file/json.h"

const char *const db_part_names[DB_PARTS] = {"text_encoder", "unet", "vae"};

const char *db_part_weights_name(enum db_part part)
{
    return part == DB_TEXT_ENCODER ? "model" : "diffusion_pytorch_model";
}

int db_pipeline_new(struct db_env *env, const char *path,
                    struct db_pipeline **out)
{
    struct db_pipeline *pipeline = db_alloc_zero(env, sizeof(*pipeline));

    if (pipeline == NULL)
        return env->error_status;
    pipeline->env = env;
    pipeline->path = db_copy_text(env, path);
    if (pipeline->path == NULL) {
        db_free(env, pipeline);
        return env->error_status;
    }
    *out = pipeline;
    return DREAMBOOTH_OK;
}

void db_pipeline_free(struct db_pipeline *pipeline)
{
    struct db_env *env;
    int part;

    if (pipeline == NULL)
        return;
    env = pipeline->env;
    db_text_encoder_free(pipeline->text_encoder);
    db_unet_free(pipeline->unet);
    db_vae_free(pipeline->vae);
    if (pipeline->tokenizer != NULL)
        db_tokenizer_free(pipeline->tokenizer);
    db_pipeline_free_record(pipeline);
    for (part = 0; part < DB_PARTS; part++)
        db_free(env, pipeline->configs[part]);
    db_free(env, pipeline->model_index);
    db_free(env, pipeline->scheduler_config);
    db_free(env, pipeline->scheduler_class);
    db_free(env, pipeline->path);
    db_free(env, pipeline);
}

struct db_params *db_pipeline_params(const struct db_pipeline *pipeline,
                                     enum db_part part)
{
    switch (part) {
    case DB_TEXT_ENCODER:
        return &pipeline->text_encoder->params;
    case DB_UNET:
        return &pipeline->unet->params;
    case DB_VAE:
        return &pipeline->vae->params;
    case DB_PARTS:
        break;
    }
    return NULL;
}

void db_pipeline_set_weights(struct db_pipeline *pipeline, enum db_dtype dtype)
{
    int part;

    pipeline->weights = dtype;
    for (part = 0; part < DB_PARTS; part++)
        db_params_set_weights(db_pipeline_params(pipeline, (enum db_part)part),
                              dtype);
}

int db_pipeline_build_part(struct db_pipeline *pipeline, enum db_part part,
                           const char *file, const json_t *config,
                           const char *prefix)
{
    struct db_env *env = pipeline->env;
    int status = db_json_text(env, config, &pipeline->configs[part]);

    if (status != DREAMBOOTH_OK)
        return status;
    switch (part) {
    case DB_TEXT_ENCODER:
        return db_text_encoder_new(env, file, config, prefix,
                                   &pipeline->text_encoder);
    case DB_UNET:
        return db_unet_new(env, file, config, &pipeline->unet);
    case DB_VAE:
        return db_vae_new(env, file, config, &pipeline->vae);
    case DB_PARTS:
        break;
    }
    return db_fail(env, DREAMBOOTH_EINTERNAL, "there is no part %d", (int)part);
}

/* What must be the same on both sides, named by the fields that say so. */
struct agreement {
    const char *left_name, *right_name;
    int64_t left, right;
};

static int check_agreement(const struct db_pipeline *pipeline,
                           const struct agreement *agreement)
{
    if (agreement->left == agreement->right)
        return DREAMBOOTH_OK;
    return db_fail(pipeline->env, DREAMBOOTH_EFORMAT,
                   "%s: the parts do not fit: %s is %lld, but %s is %lld",
                   pipeline->path, agreement->left_name,
                   (long long)agreement->left, agreement->right_name,
                   (long long)agreement->right);
}

static int check_vocabulary(const struct db_pipeline *pipeline)
{
    size_t have = db_tokenizer_vocabulary_size(pipeline->tokenizer);
    int64_t room = pipeline->text_encoder->config.vocab_size;

    if ((uint64_t)have <= (uint64_t)room)
        return DREAMBOOTH_OK;
    return db_fail(pipeline->env, DREAMBOOTH_EFORMAT,
                   "%s: the tokenizer has %zu tokens, but vocab_size in "
                   "text_encoder/config.json is %lld",
                   pipeline->path, have, (long long)room);
}

int db_pipeline_check(const struct db_pipeline *pipeline)
{
    const struct db_unet_config *unet = &pipeline->unet->config;
    const struct agreement channels[] = {
        {"in_channels of the unet", "latent_channels of the vae",
         unet->in_channels, pipeline->vae->config.latent_channels},
        {"out_channels of the unet", "its in_channels", unet->out_channels,
         unet->in_channels},
    };
    int64_t level;
    size_t i;

    for (i = 0; i < DB_COUNT(channels); i++) {
        int status = check_agreement(pipeline, &channels[i]);

        if (status != DREAMBOOTH_OK)
            return status;
    }
    for (level = 0; level < unet->levels; level++) {
        const struct agreement context = {
            "cross_attention_dim of the unet",
            "hidden_size of the text encoder", unet->cross_attention_dim[level],
            pipeline->text_encoder->config.hidden_size};
        int status = check_agreement(pipeline, &context);

        if (status != DREAMBOOTH_OK)
            return status;
    }
    return check_vocabulary(pipeline);
}

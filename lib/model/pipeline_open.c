/* SPDX-License-Identifier: MIT */
/*
 * Opening a pipeline folder. Files are checked, and stay open for weights to be
 * read from them when they are needed; describing goes the same way and leaves
 * that last step out.
 */
#include "model/pipeline_int.h"

#include <string.h>

#include "file/folder.h"
#include "file/json.h"
#include "tensor/convert.h"

#define TEXT_PREFIX "text_model."
#define FALLBACK_VARIANT "fp16"

/* The full weights, or those of the variant where there are no others. */
static int open_weights(struct db_env *env, const char *folder,
                        enum db_part part, struct db_weights **out)
{
    const char *base = db_part_weights_name(part);
    int status = db_weights_open(env, folder, base, NULL, out);

    if (status != DREAMBOOTH_ENOTFOUND && status != DREAMBOOTH_EUNSUPPORTED)
        return status;
    status = db_weights_open(env, folder, base, FALLBACK_VARIANT, out);
    if (status != DREAMBOOTH_ENOTFOUND && status != DREAMBOOTH_EUNSUPPORTED)
        return status;
    /* Once more, for its error. */
    return db_weights_open(env, folder, base, NULL, out);
}

/* Buffers of ids, which old files carry, are no parameters. */
static void measure(const struct db_weights *weights,
                    struct db_part_facts *facts)
{
    uint64_t largest = 0;
    size_t i;

    for (i = 0; i < db_weights_count(weights); i++) {
        const struct db_safetensors_entry *entry = db_weights_at(weights, i);

        if (!db_dtype_is_float(entry->dtype))
            continue;
        facts->tensors++;
        facts->parameters += entry->count;
        facts->bytes += entry->size;
        if (entry->size > largest) {
            largest = entry->size;
            facts->dtype = entry->dtype;
        }
    }
}

/* Which spelling of CLIPTextModel's names the file has. */
static const char *find_prefix(const struct db_weights *weights)
{
    size_t i;

    for (i = 0; i < db_weights_count(weights); i++)
        if (strncmp(db_weights_at(weights, i)->name, TEXT_PREFIX,
                    strlen(TEXT_PREFIX)) == 0)
            return TEXT_PREFIX;
    return "";
}

/* A part whose configuration is read and whose weights are open. They become
 * the part's where they are to be read. */
static int build_and_load(struct db_pipeline *pipeline, enum db_part part,
                          const char *file, const json_t *config,
                          struct db_weights **weights, bool load)
{
    struct db_params *params;
    int status = db_pipeline_build_part(pipeline, part, file, config,
                                        find_prefix(*weights));

    if (status != DREAMBOOTH_OK)
        return status;
    measure(*weights, &pipeline->facts[part]);
    /* CLIPTextModel has none; files of CLIPTextModelWithProjection do. */
    if (part == DB_TEXT_ENCODER)
        db_weights_take(*weights, "text_projection.weight");
    params = db_pipeline_params(pipeline, part);
    if (!load)
        return db_params_check(params, *weights);
    db_params_set_weights(params, pipeline->weights);
    status = db_params_open(params, *weights);
    if (status == DREAMBOOTH_OK)
        *weights = NULL;
    return status;
}

static int open_part(struct db_pipeline *pipeline, enum db_part part, bool load)
{
    struct db_env *env = pipeline->env;
    struct db_weights *weights = NULL;
    char *folder = db_path_join(env, pipeline->path, db_part_names[part]);
    char *file = NULL;
    json_t *config = NULL;
    int status = DREAMBOOTH_ENOMEM;

    if (folder != NULL)
        file = db_path_join(env, folder, "config.json");
    if (file == NULL)
        status = env->error_status;
    else
        status = db_json_load(env, file, &config);
    if (status == DREAMBOOTH_OK)
        status = open_weights(env, folder, part, &weights);
    if (status == DREAMBOOTH_OK)
        status = build_and_load(pipeline, part, file, config, &weights, load);
    db_weights_free(weights);
    json_decref(config);
    db_free(env, file);
    db_free(env, folder);
    return status;
}

static int open_pipeline(struct db_env *env, const char *folder,
                         const char *vocabulary_folder, bool load,
                         enum db_dtype weights, struct db_pipeline **out)
{
    struct db_pipeline *pipeline;
    int status = db_pipeline_new(env, folder, &pipeline);
    int part;

    if (status != DREAMBOOTH_OK)
        return status;
    pipeline->weights = weights;
    status = db_pipeline_read_index(pipeline, folder);
    for (part = 0; part < DB_PARTS && status == DREAMBOOTH_OK; part++)
        status = open_part(pipeline, (enum db_part)part, load);
    if (status == DREAMBOOTH_OK)
        status =
            db_pipeline_open_tokenizer(pipeline, folder, vocabulary_folder);
    if (status == DREAMBOOTH_OK)
        status = db_pipeline_check(pipeline);
    if (status == DREAMBOOTH_OK)
        status = db_pipeline_read_record(pipeline, folder);
    if (status == DREAMBOOTH_OK)
        *out = pipeline;
    else
        db_pipeline_free(pipeline);
    return status;
}

int db_pipeline_open(struct db_env *env, const char *folder,
                     struct db_pipeline **out)
{
    return open_pipeline(env, folder, NULL, true, DB_F32, out);
}

int db_pipeline_open_as(struct db_env *env, const char *folder,
                        enum db_dtype weights, struct db_pipeline **out)
{
    return open_pipeline(env, folder, NULL, true, weights, out);
}

int db_pipeline_open_vocabulary(struct db_env *env, const char *folder,
                                const char *vocabulary_folder,
                                struct db_pipeline **out)
{
    return open_pipeline(env, folder, vocabulary_folder, true, DB_F32, out);
}

int db_pipeline_describe(struct db_env *env, const char *folder,
                         struct db_pipeline **out)
{
    return open_pipeline(env, folder, NULL, false, DB_F32, out);
}

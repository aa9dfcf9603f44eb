/* SPDX-License-Identifier: MIT */
/* Saving a pipeline as the folder that diffusers would write. */
#include "model/pipeline_int.h"

#include <string.h>

#include "file/atomic.h"
#include "file/folder.h"
#include "file/json.h"

/* What the small files come to, at most, but for the vocabulary. */
#define SMALL_FILES_BYTES 65536u

static int write_text(struct db_env *env, const char *folder, const char *name,
                      const char *text)
{
    char *path = db_path_join(env, folder, name);
    int status = env->error_status;

    if (path != NULL)
        status = db_atomic_write_file(env, path, text, strlen(text));
    db_free(env, path);
    return status;
}

/* torch's name of a type. */
static const char *torch_name(enum db_dtype dtype)
{
    switch (dtype) {
    case DB_F16:
        return "float16";
    case DB_BF16:
        return "bfloat16";
    default:
        return "float32";
    }
}

/*
 * transformers reads weights as the type that the configuration tells, where it
 * tells one: it must be that of the file.
 */
static int write_config(const struct db_pipeline *pipeline, enum db_part part,
                        const char *folder, enum db_dtype dtype)
{
    static const char *const keys[] = {"dtype", "torch_dtype"};
    struct db_env *env = pipeline->env;
    const char *text = pipeline->configs[part];
    char *path = db_path_join(env, folder, "config.json");
    json_t *config = NULL;
    int status = env->error_status;
    size_t i;

    if (path != NULL)
        status = db_json_parse(env, path, text, strlen(text), &config);
    for (i = 0; i < DB_COUNT(keys) && status == DREAMBOOTH_OK; i++)
        if (json_object_get(config, keys[i]) != NULL &&
            json_object_set_new(config, keys[i],
                                json_string(torch_name(dtype))) != 0)
            status = db_fail(env, DREAMBOOTH_ENOMEM, "out of memory writing %s",
                             path);
    if (status == DREAMBOOTH_OK)
        status = db_json_save(env, path, config);
    json_decref(config);
    db_free(env, path);
    return status;
}

static int save_part(const struct db_pipeline *pipeline, enum db_part part,
                     const char *folder, enum db_dtype dtype)
{
    struct db_env *env = pipeline->env;
    char *inner = db_path_join(env, folder, db_part_names[part]);
    char *path = NULL;
    int status = env->error_status;

    if (inner != NULL)
        path = db_format(env, "%s/%s.safetensors", inner,
                         db_part_weights_name(part));
    if (path == NULL)
        status = env->error_status;
    else
        status = db_make_folders(env, inner);
    if (status == DREAMBOOTH_OK)
        status = write_config(pipeline, part, inner, dtype);
    if (status == DREAMBOOTH_OK)
        status =
            db_params_save(db_pipeline_params(pipeline, part), path, dtype);
    db_free(env, path);
    db_free(env, inner);
    return status;
}

static int save_scheduler(const struct db_pipeline *pipeline,
                          const char *folder)
{
    struct db_env *env = pipeline->env;
    char *inner = db_path_join(env, folder, "scheduler");
    int status;

    if (inner == NULL)
        return env->error_status;
    status = db_make_folders(env, inner);
    if (status == DREAMBOOTH_OK)
        status = write_text(env, inner, "scheduler_config.json",
                            pipeline->scheduler_config);
    db_free(env, inner);
    return status;
}

static int save_tokenizer(const struct db_pipeline *pipeline,
                          const char *folder)
{
    struct db_env *env = pipeline->env;
    char *inner = db_path_join(env, folder, "tokenizer");
    int status;

    if (inner == NULL)
        return env->error_status;
    status = db_make_folders(env, inner);
    if (status == DREAMBOOTH_OK)
        status = db_tokenizer_save(pipeline->tokenizer, inner);
    db_free(env, inner);
    return status;
}

int db_pipeline_save(const struct db_pipeline *pipeline, const char *folder,
                     enum db_dtype dtype)
{
    struct db_env *env = pipeline->env;
    int status = db_make_folders(env, folder);
    int part;

    for (part = 0; part < DB_PARTS && status == DREAMBOOTH_OK; part++)
        status = save_part(pipeline, (enum db_part)part, folder, dtype);
    if (status == DREAMBOOTH_OK)
        status = save_scheduler(pipeline, folder);
    if (status == DREAMBOOTH_OK)
        status = save_tokenizer(pipeline, folder);
    if (status == DREAMBOOTH_OK && pipeline->record_count > 0)
        status = db_pipeline_write_record(pipeline, folder);
    if (status == DREAMBOOTH_OK)
        status =
            write_text(env, folder, "model_index.json", pipeline->model_index);
    return status;
}

uint64_t db_pipeline_save_size(const struct db_pipeline *pipeline,
                               enum db_dtype dtype)
{
    uint64_t total = SMALL_FILES_BYTES;
    struct db_text_file file;
    size_t i;
    int part;

    for (part = 0; part < DB_PARTS; part++) {
        const struct db_params *params =
            db_pipeline_params(pipeline, (enum db_part)part);

        total += (uint64_t)db_params_elements(params) * db_dtype_size(dtype) +
                 /* the header's line for each */
                 (uint64_t)params->count * 192;
    }
    for (i = 0; db_tokenizer_file(pipeline->tokenizer, i, &file); i++)
        total += file.length;
    return total;
}

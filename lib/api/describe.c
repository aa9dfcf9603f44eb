/* SPDX-License-Identifier: MIT */
/*
 * Descriptions: what a model's folder or file holds, read from the heads of its
 * weight files alone. A pipeline that the library can use is checked as if it
 * were opened; anything else with weights in it is at least listed.
 */
#include "api/handle_int.h"

#include <string.h>

#include "file/folder.h"
#include "file/safetensors.h"
#include "file/weights.h"

/* Counts a tensor; a part's precision is that of its largest one. */
static void count_tensor(struct db_part_facts *facts, uint64_t *largest,
                         const struct db_safetensors_entry *entry)
{
    facts->tensors++;
    facts->bytes += entry->size;
    facts->parameters += (int64_t)(entry->size / db_dtype_size(entry->dtype));
    if (entry->size < *largest)
        return;
    *largest = entry->size;
    facts->dtype = entry->dtype;
}

static int add_file(dreambooth_model *model, const char *path)
{
    struct db_part_facts facts = {0};
    struct db_safetensors *file;
    uint64_t largest = 0;
    size_t i;
    int status = db_safetensors_open(&model->context->env, path, &file);

    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < db_safetensors_count(file); i++)
        count_tensor(&facts, &largest, db_safetensors_at(file, i));
    db_safetensors_free(file);
    return db_model_add_part(model, db_path_name(path), &facts);
}

static int add_weights(dreambooth_model *model, const char *name,
                       struct db_weights *weights)
{
    struct db_part_facts facts = {0};
    uint64_t largest = 0;
    size_t i;

    for (i = 0; i < db_weights_count(weights); i++)
        count_tensor(&facts, &largest, db_weights_at(weights, i));
    return db_model_add_part(model, name, &facts);
}

/* Adds the weights in FOLDER as a part called NAME, if there are any. */
static int add_folder(dreambooth_model *model, const char *name,
                      const char *folder)
{
    static const char *const bases[] = {"diffusion_pytorch_model", "model"};
    static const char *const variants[] = {NULL, "fp16"};
    struct db_weights *weights;
    size_t i;
    int status = DREAMBOOTH_OK;

    for (i = 0; i < DB_COUNT(bases) * DB_COUNT(variants); i++) {
        status = db_weights_open(&model->context->env, folder, bases[i % 2],
                                 variants[i / 2], &weights);
        if (status == DREAMBOOTH_OK) {
            status = add_weights(model, name, weights);
            db_weights_free(weights);
            return status;
        }
        if (status != DREAMBOOTH_ENOTFOUND && status != DREAMBOOTH_EUNSUPPORTED)
            return status;
    }
    return DREAMBOOTH_OK;
}

/* The weights in FOLDER itself and in the folders in it. */
static int add_folders(dreambooth_model *model, const char *folder)
{
    struct db_env *env = &model->context->env;
    struct db_folder_list list = {0};
    size_t i;
    int status = db_folder_folders(env, folder, &list);

    if (status == DREAMBOOTH_OK)
        status = add_folder(model, db_path_name(folder), folder);
    for (i = 0; i < list.count && status == DREAMBOOTH_OK; i++) {
        char *path = db_path_join(env, folder, list.names[i]);

        status = path == NULL ? env->error_status
                              : add_folder(model, list.names[i], path);
        db_free(env, path);
    }
    db_folder_list_free(env, &list);
    return status;
}

/* A pipeline that is beyond us, or lacks something, can still be listed; one
 * with damaged files cannot. */
static bool is_final(int status)
{
    return status != DREAMBOOTH_OK && status != DREAMBOOTH_EUNSUPPORTED &&
           status != DREAMBOOTH_ENOTFOUND;
}

static bool is_pipeline(struct db_env *env, const char *folder)
{
    char *path = db_path_join(env, folder, "model_index.json");
    bool is = path != NULL && db_path_is_file(path);

    db_free(env, path);
    return is;
}

/* As a pipeline, or else as folders with weights; where there are none either,
 * the error is why it is no pipeline. */
static int describe_folder(dreambooth_model *model, const char *folder)
{
    struct db_env *env = &model->context->env;
    char reason[sizeof(env->error_text)];
    int refusal = db_pipeline_describe(env, folder, &model->pipeline);
    int status;

    if (refusal == DREAMBOOTH_OK) {
        db_pipeline_set_weights(model->pipeline,
                                db_context_weights(model->context));
        return db_model_add_pipeline_parts(model);
    }
    if (is_final(refusal))
        return refusal;
    memcpy(reason, env->error_text, sizeof(reason));
    status = add_folders(model, folder);
    if (is_final(status))
        return status;
    if (model->part_count == 0)
        return db_fail(env, refusal, "%s", reason);
    if (status == DREAMBOOTH_OK && is_pipeline(env, folder))
        db_log(env, DB_LOG_WARNING, "this pipeline cannot be used: %s", reason);
    return status;
}

int dreambooth_model_describe(dreambooth_model **out,
                              dreambooth_context *context, const char *path)
{
    dreambooth_model *model;
    int status = db_model_new(context, path, &model);

    if (status != DREAMBOOTH_OK)
        return status;
    model->described = true;
    status = db_path_is_file(path) ? add_file(model, path)
                                   : describe_folder(model, path);
    if (status != DREAMBOOTH_OK) {
        dreambooth_model_free(model);
        return status;
    }
    *out = model;
    return DREAMBOOTH_OK;
}

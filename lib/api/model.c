/* SPDX-License-Identifier: MIT */
/*
 * The model handle: a pipeline bound to its context's threads and kernels, or
 * the description of one.
 */
#include "api/handle_int.h"

#include <stdio.h>
#include <string.h>

#include "file/folder.h"
#include "model/prompt.h"

/* For dreambooth_fact_info(): the values are found by name, below. */
static const struct db_fact fact_rows[] = {
    {"path", DB_FACT_TEXT, 0, NULL, "folder or file that it was read from"},
    {"parts", DB_FACT_INTEGER, 0, NULL, "how many parts it has"},
    {"part.N.name", DB_FACT_TEXT, 0, NULL, "name of a part, such as unet"},
    {"part.N.parameters", DB_FACT_INTEGER, 0, NULL, "its numbers"},
    {"part.N.tensors", DB_FACT_INTEGER, 0, NULL, "its tensors"},
    {"part.N.bytes", DB_FACT_INTEGER, 0, "bytes", "its size in the file"},
    {"part.N.precision", DB_FACT_TEXT, 0, NULL,
     "its precision in the file, as in safetensors: F32, F16 or BF16"},
    {"size", DB_FACT_INTEGER, 0, "pixels",
     "side of the images it was made for"},
    {"prompt-length", DB_FACT_INTEGER, 0, "tokens",
     "length of a prompt with start, end and padding"},
    {"scheduler", DB_FACT_TEXT, 0, NULL, "class of its scheduler in diffusers"},
    {"record.KEY", DB_FACT_TEXT, 0, NULL,
     "what dreambooth.json says of its training, such as record.identifier"},
};

const struct db_fact_table db_model_facts = {fact_rows, DB_COUNT(fact_rows)};

int db_model_new(dreambooth_context *context, const char *path,
                 dreambooth_model **out)
{
    struct db_env *env = &context->env;
    dreambooth_model *model;
    int status = db_check_given(env, path, "folder");

    if (status != DREAMBOOTH_OK)
        return status;
    if (!db_path_exists(path))
        return db_fail(env, DREAMBOOTH_ENOTFOUND,
                       "%s: there is no such file or folder", path);
    model = db_alloc_zero(env, sizeof(*model));
    if (model == NULL)
        return env->error_status;
    model->context = db_context_hold(context);
    model->references = 1;
    context->models++;
    model->path = db_copy_text(env, path);
    status = model->path == NULL ? env->error_status
                                 : db_context_device(context, &model->device);
    if (status != DREAMBOOTH_OK) {
        dreambooth_model_free(model);
        return status;
    }
    *out = model;
    return DREAMBOOTH_OK;
}

dreambooth_model *db_model_hold(dreambooth_model *model)
{
    model->references++;
    return model;
}

void dreambooth_model_free(dreambooth_model *model)
{
    dreambooth_context *context;
    struct db_env *env;
    int64_t i;

    if (model == NULL || --model->references > 0)
        return;
    context = model->context;
    env = &context->env;
    for (i = 0; i < model->part_count; i++)
        db_free(env, model->parts[i].name);
    db_free(env, model->parts);
    db_pipeline_free(model->pipeline);
    db_free(env, model->path);
    db_free(env, model->text);
    db_free(env, model);
    db_return_blocks(env);
    if (--context->models == 0)
        db_context_rest(context);
    db_context_release(context);
}

int db_model_add_part(dreambooth_model *model, const char *name,
                      const struct db_part_facts *facts)
{
    struct db_env *env = &model->context->env;
    size_t count = (size_t)model->part_count + 1;
    struct db_model_part *parts =
        db_resize(env, model->parts, count * sizeof(*parts));

    if (parts == NULL)
        return env->error_status;
    model->parts = parts;
    parts[count - 1].facts = *facts;
    parts[count - 1].name = db_copy_text(env, name);
    if (parts[count - 1].name == NULL)
        return env->error_status;
    model->part_count++;
    return DREAMBOOTH_OK;
}

int db_model_add_pipeline_parts(dreambooth_model *model)
{
    int status = DREAMBOOTH_OK;
    int i;

    for (i = 0; i < DB_PARTS && status == DREAMBOOTH_OK; i++)
        status = db_model_add_part(model, db_part_names[i],
                                   &model->pipeline->facts[i]);
    return status;
}

int dreambooth_model_open(dreambooth_model **out, dreambooth_context *context,
                          const char *folder)
{
    dreambooth_model *model = NULL;
    int status = db_model_new(context, folder, &model);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_pipeline_open_as(&context->env, folder,
                                 db_context_weights(context), &model->pipeline);
    if (status == DREAMBOOTH_OK)
        status = db_model_add_pipeline_parts(model);
    if (status != DREAMBOOTH_OK) {
        dreambooth_model_free(model);
        return status;
    }
    *out = model;
    return DREAMBOOTH_OK;
}

int dreambooth_model_init(dreambooth_model **out, dreambooth_context *context,
                          const char *config_folder,
                          const char *tokenizer_folder, uint64_t seed)
{
    dreambooth_model *model = NULL;
    int status = db_model_new(context, config_folder, &model);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_pipeline_init(&context->env, config_folder, tokenizer_folder,
                              seed, &model->pipeline);
    if (status == DREAMBOOTH_OK)
        status = db_model_add_pipeline_parts(model);
    if (status != DREAMBOOTH_OK) {
        dreambooth_model_free(model);
        return status;
    }
    *out = model;
    return DREAMBOOTH_OK;
}

int db_model_check_whole(const dreambooth_model *model)
{
    if (!model->described)
        return DREAMBOOTH_OK;
    return db_fail(&model->context->env, DREAMBOOTH_ESTATE,
                   "%s was only described: open it for its weights",
                   model->path);
}

int dreambooth_model_save(const dreambooth_model *model, const char *folder,
                          const char *precision)
{
    static const struct {
        const char *name;
        enum db_dtype dtype;
    } precisions[] = {{"f32", DB_F32}, {"f16", DB_F16}, {"bf16", DB_BF16}};
    int status = db_model_check_whole(model);
    size_t i;

    if (status == DREAMBOOTH_OK)
        status = db_check_given(&model->context->env, folder, "folder");
    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < DB_COUNT(precisions); i++)
        if (precision == NULL || strcmp(precision, precisions[i].name) == 0)
            return db_pipeline_save(model->pipeline, folder,
                                    precisions[i].dtype);
    return db_fail(&model->context->env, DREAMBOOTH_EINVAL,
                   "precision \"%s\" is not one of f32, f16, bf16", precision);
}

static int no_fact(const dreambooth_model *model, const char *name)
{
    return db_fail(&model->context->env, DREAMBOOTH_ENOTFOUND,
                   "%s: a model has no fact \"%s\"", model->path, name);
}

/* Splits "part.N.KEY"; NULL where it is not that or there is no part N. */
static const struct db_model_part *find_part(const dreambooth_model *model,
                                             const char *name, char key[24])
{
    int number = -1;

    if (sscanf(name, "part.%1d.%23s", &number, key) != 2 || number < 0 ||
        number >= model->part_count)
        return NULL;
    return &model->parts[number];
}

static bool find_integer(const dreambooth_model *model, const char *name,
                         int64_t *out)
{
    const struct db_pipeline *pipeline = model->pipeline;
    char key[24];
    const struct db_model_part *part = find_part(model, name, key);

    if (strcmp(name, "parts") == 0)
        *out = model->part_count;
    else if (part != NULL && strcmp(key, "parameters") == 0)
        *out = part->facts.parameters;
    else if (part != NULL && strcmp(key, "tensors") == 0)
        *out = (int64_t)part->facts.tensors;
    else if (part != NULL && strcmp(key, "bytes") == 0)
        *out = (int64_t)part->facts.bytes;
    else if (pipeline != NULL && strcmp(name, "size") == 0)
        *out = pipeline->unet->config.sample_size * pipeline->vae->factor;
    else if (pipeline != NULL && strcmp(name, "prompt-length") == 0)
        *out = db_prompt_length(pipeline);
    else
        return false;
    return true;
}

int dreambooth_model_get_integer(dreambooth_model *model, const char *name,
                                 int64_t *out)
{
    int status = db_check_given(&model->context->env, name, "name");

    if (status != DREAMBOOTH_OK)
        return status;
    return find_integer(model, name, out) ? DREAMBOOTH_OK
                                          : no_fact(model, name);
}

static const char *find_text(const dreambooth_model *model, const char *name)
{
    char key[24];
    const struct db_model_part *part = find_part(model, name, key);

    if (strcmp(name, "path") == 0)
        return model->path;
    if (part != NULL && strcmp(key, "name") == 0)
        return part->name;
    if (part != NULL && strcmp(key, "precision") == 0)
        return db_dtype_name(part->facts.dtype);
    if (model->pipeline != NULL && strcmp(name, "scheduler") == 0)
        return model->pipeline->scheduler_class;
    if (model->pipeline != NULL && strncmp(name, "record.", 7) == 0)
        return db_pipeline_get(model->pipeline, name + 7);
    return NULL;
}

int dreambooth_model_get_text(dreambooth_model *model, const char *name,
                              const char **out)
{
    struct db_env *env = &model->context->env;
    const char *found;
    char *text;
    int64_t number;
    int status = db_check_given(env, name, "name");

    if (status != DREAMBOOTH_OK)
        return status;
    found = find_text(model, name);
    if (found != NULL)
        text = db_copy_text(env, found);
    else if (find_integer(model, name, &number))
        text = db_format(env, "%lld", (long long)number);
    else
        return no_fact(model, name);
    if (text == NULL)
        return env->error_status;
    db_free(env, model->text);
    model->text = text;
    *out = text;
    return DREAMBOOTH_OK;
}

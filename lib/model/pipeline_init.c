/* SPDX-License-Identifier: MIT */
/*
 * New models: the parts from a folder of configurations, with random weights,
 * around somebody else's vocabulary.
 */
#include "model/pipeline_int.h"

#include <string.h>

#include "file/folder.h"
#include "file/json.h"
#include "file/map.h"

/* How published models spell their text encoders' names. */
#define TEXT_PREFIX "text_model."

static int init_part(struct db_pipeline *pipeline, const char *folder,
                     enum db_part part, uint64_t seed)
{
    struct db_env *env = pipeline->env;
    char *file =
        db_format(env, "%s/%s/config.json", folder, db_part_names[part]);
    struct db_part_facts *facts = &pipeline->facts[part];
    struct db_params *params;
    json_t *config = NULL;
    int status;

    if (file == NULL)
        return env->error_status;
    status = db_json_load(env, file, &config);
    if (status == DREAMBOOTH_OK)
        status =
            db_pipeline_build_part(pipeline, part, file, config, TEXT_PREFIX);
    json_decref(config);
    db_free(env, file);
    if (status != DREAMBOOTH_OK)
        return status;
    params = db_pipeline_params(pipeline, part);
    facts->parameters = db_params_elements(params);
    facts->tensors = params->count;
    facts->dtype = DB_F32;
    facts->bytes = (uint64_t)facts->parameters * sizeof(float);
    return db_params_randomize(params, db_part_names[part], seed);
}

/* The text of FOLDER/tokenizer/tokenizer_config.json, or where there is none,
 * CLIP's for the model's length. */
static int tokenizer_config(const struct db_pipeline *pipeline,
                            const char *folder, char **out)
{
    struct db_env *env = pipeline->env;
    char *path = db_path_join(env, folder, "tokenizer/tokenizer_config.json");
    json_t *config = NULL;
    int status;

    if (path == NULL)
        return env->error_status;
    if (db_path_is_file(path)) {
        status = db_json_load(env, path, &config);
        if (status == DREAMBOOTH_OK)
            status = db_json_text(env, config, out);
        json_decref(config);
        db_free(env, path);
        return status;
    }
    db_free(env, path);
    *out = db_format(
        env,
        "{\n  \"bos_token\": \"<|startoftext|>\",\n"
        "  \"do_lower_case\": true,\n"
        "  \"eos_token\": \"<|endoftext|>\",\n"
        "  \"model_max_length\": %lld,\n"
        "  \"pad_token\": \"<|endoftext|>\",\n"
        "  \"tokenizer_class\": \"CLIPTokenizer\",\n"
        "  \"unk_token\": \"<|endoftext|>\"\n}\n",
        (long long)pipeline->text_encoder->config.max_position_embeddings);
    return *out != NULL ? DREAMBOOTH_OK : env->error_status;
}

static int map_file(struct db_env *env, const char *folder, const char *name,
                    struct db_map *map)
{
    char *path = db_path_join(env, folder, name);
    int status = path != NULL ? db_map_open(env, path, map) : env->error_status;

    db_free(env, path);
    return status;
}

/* A bare vocabulary, with the configuration of the model's own folder. */
static int open_vocabulary(struct db_pipeline *pipeline, const char *folder,
                           const char *tokenizer_folder)
{
    struct db_env *env = pipeline->env;
    struct db_map vocab = {NULL, 0}, merges = {NULL, 0};
    char *config = NULL;
    int status = tokenizer_config(pipeline, folder, &config);

    if (status == DREAMBOOTH_OK)
        status = map_file(env, tokenizer_folder, "vocab.json", &vocab);
    if (status == DREAMBOOTH_OK)
        status = map_file(env, tokenizer_folder, "merges.txt", &merges);
    if (status == DREAMBOOTH_OK)
        status =
            db_tokenizer_open_memory(env, (const char *)vocab.data, vocab.size,
                                     (const char *)merges.data, merges.size,
                                     config, NULL, &pipeline->tokenizer);
    db_map_close(&merges);
    db_map_close(&vocab);
    db_free(env, config);
    return status;
}

static int init_tokenizer(struct db_pipeline *pipeline, const char *folder,
                          const char *tokenizer_folder)
{
    struct db_env *env = pipeline->env;
    char *own = db_path_join(env, folder, "tokenizer");
    const char *source = tokenizer_folder != NULL ? tokenizer_folder : own;
    char *config = NULL;
    int status;

    if (own != NULL)
        config = db_path_join(env, source, "tokenizer_config.json");
    if (config == NULL)
        status = env->error_status;
    else if (db_path_is_file(config))
        status = db_tokenizer_open(env, source, &pipeline->tokenizer);
    else
        status = open_vocabulary(pipeline, folder, source);
    db_free(env, config);
    db_free(env, own);
    return status;
}

int db_pipeline_init(struct db_env *env, const char *config_folder,
                     const char *tokenizer_folder, uint64_t seed,
                     struct db_pipeline **out)
{
    struct db_pipeline *pipeline;
    int status = db_pipeline_new(env, "", &pipeline);
    int part;

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_pipeline_read_index(pipeline, config_folder);
    for (part = 0; part < DB_PARTS && status == DREAMBOOTH_OK; part++)
        status = init_part(pipeline, config_folder, (enum db_part)part, seed);
    if (status == DREAMBOOTH_OK)
        status = init_tokenizer(pipeline, config_folder, tokenizer_folder);
    if (status == DREAMBOOTH_OK)
        status = db_pipeline_check(pipeline);
    if (status == DREAMBOOTH_OK)
        *out = pipeline;
    else
        db_pipeline_free(pipeline);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * New models: the parts from a folder of configurations, with random weights,
 * around somebody else's vocabulary.
 */
#include "model/pipeline_int.h"

#include "file/json.h"

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
        status = db_pipeline_open_tokenizer(pipeline, config_folder,
                                            tokenizer_folder);
    if (status == DREAMBOOTH_OK)
        status = db_pipeline_check(pipeline);
    if (status == DREAMBOOTH_OK)
        *out = pipeline;
    else
        db_pipeline_free(pipeline);
    return status;
}

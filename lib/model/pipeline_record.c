/* SPDX-License-Identifier: MIT */
/*
 * dreambooth.json: what is known about how a model came about (its identifier,
 * the prompts, the settings), as texts by key. diffusers passes it over.
 */
#include "model/pipeline_int.h"

#include <string.h>

#include "file/folder.h"
#include "file/json.h"

void db_pipeline_free_record(struct db_pipeline *pipeline)
{
    struct db_env *env = pipeline->env;
    size_t i;

    for (i = 0; i < pipeline->record_count; i++) {
        db_free(env, pipeline->record[i].key);
        db_free(env, pipeline->record[i].value);
    }
    db_free(env, pipeline->record);
    pipeline->record = NULL;
    pipeline->record_count = 0;
}

/* The index of KEY, or of where it belongs. */
static size_t find_key(const struct db_pipeline *pipeline, const char *key,
                       bool *found)
{
    size_t i;

    *found = false;
    for (i = 0; i < pipeline->record_count; i++) {
        int order = strcmp(pipeline->record[i].key, key);

        *found = order == 0;
        if (order >= 0)
            return i;
    }
    return i;
}

const char *db_pipeline_get(const struct db_pipeline *pipeline, const char *key)
{
    bool found;
    size_t i = find_key(pipeline, key, &found);

    return found ? pipeline->record[i].value : NULL;
}

static void remove_fact(struct db_pipeline *pipeline, size_t index)
{
    struct db_pipeline_fact *fact = &pipeline->record[index];

    db_free(pipeline->env, fact->key);
    db_free(pipeline->env, fact->value);
    pipeline->record_count--;
    memmove(fact, fact + 1, (pipeline->record_count - index) * sizeof(*fact));
}

static int replace_value(struct db_pipeline *pipeline, size_t index,
                         const char *value)
{
    char *copy = db_copy_text(pipeline->env, value);

    if (copy == NULL)
        return pipeline->env->error_status;
    db_free(pipeline->env, pipeline->record[index].value);
    pipeline->record[index].value = copy;
    return DREAMBOOTH_OK;
}

static int insert_fact(struct db_pipeline *pipeline, size_t index,
                       const char *key, const char *value)
{
    struct db_env *env = pipeline->env;
    struct db_pipeline_fact fact = {db_copy_text(env, key), NULL};
    struct db_pipeline_fact *larger = NULL;

    if (fact.key != NULL)
        fact.value = db_copy_text(env, value);
    if (fact.value != NULL)
        larger = db_resize(env, pipeline->record,
                           (pipeline->record_count + 1) * sizeof(*larger));
    if (larger == NULL) {
        db_free(env, fact.key);
        db_free(env, fact.value);
        return env->error_status;
    }
    pipeline->record = larger;
    memmove(larger + index + 1, larger + index,
            (pipeline->record_count - index) * sizeof(*larger));
    larger[index] = fact;
    pipeline->record_count++;
    return DREAMBOOTH_OK;
}

int db_pipeline_set(struct db_pipeline *pipeline, const char *key,
                    const char *value)
{
    bool found;
    size_t index = find_key(pipeline, key, &found);

    if (found && value != NULL)
        return replace_value(pipeline, index, value);
    if (found)
        remove_fact(pipeline, index);
    else if (value != NULL)
        return insert_fact(pipeline, index, key, value);
    return DREAMBOOTH_OK;
}

static int read_facts(struct db_pipeline *pipeline, const char *file,
                      json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        int status;

        if (!json_is_string(value))
            return db_fail(pipeline->env, DREAMBOOTH_EFORMAT,
                           "%s: field \"%.100s\" must be text", file, key);
        status = db_pipeline_set(pipeline, key, json_string_value(value));
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

int db_pipeline_read_record(struct db_pipeline *pipeline, const char *folder)
{
    struct db_env *env = pipeline->env;
    char *path = db_path_join(env, folder, DB_RECORD_FILE);
    json_t *object = NULL;
    int status = DREAMBOOTH_OK;

    if (path == NULL)
        return env->error_status;
    if (db_path_exists(path)) {
        status = db_json_load(env, path, &object);
        if (status == DREAMBOOTH_OK)
            status = read_facts(pipeline, path, object);
    }
    json_decref(object);
    db_free(env, path);
    return status;
}

/* The record as a new JSON object, or NULL with the error set. */
static json_t *record_object(const struct db_pipeline *pipeline)
{
    json_t *object = json_object();
    size_t i;

    for (i = 0; i < pipeline->record_count && object != NULL; i++) {
        const struct db_pipeline_fact *fact = &pipeline->record[i];

        if (json_object_set_new(object, fact->key, json_string(fact->value)) !=
            0) {
            json_decref(object);
            db_fail(pipeline->env, DREAMBOOTH_EINVAL,
                    "%s: the text of \"%.100s\" is not UTF-8", DB_RECORD_FILE,
                    fact->key);
            return NULL;
        }
    }
    if (object == NULL)
        db_fail(pipeline->env, DREAMBOOTH_ENOMEM, "out of memory writing %s",
                DB_RECORD_FILE);
    return object;
}

int db_pipeline_write_record(const struct db_pipeline *pipeline,
                             const char *folder)
{
    struct db_env *env = pipeline->env;
    json_t *object = record_object(pipeline);
    char *path;
    int status;

    if (object == NULL)
        return env->error_status;
    path = db_path_join(env, folder, DB_RECORD_FILE);
    status = path != NULL ? db_json_save(env, path, object) : env->error_status;
    db_free(env, path);
    json_decref(object);
    return status;
}

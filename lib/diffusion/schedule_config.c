/* SPDX-License-Identifier: MIT */
/*
 * scheduler_config.json: each key that the table of fields knows is set by its
 * JSON type; the list of trained betas is the one that is no plain value.
 */
#include "diffusion/schedule_config.h"

#include <jansson.h>
#include <string.h>

static int set_betas(struct db_env *env, struct db_schedule_config *config,
                     const json_t *list)
{
    size_t count = json_array_size(list);
    double *betas = db_alloc_array(env, count, sizeof(*betas));
    int status = DREAMBOOTH_OK;
    size_t i;

    if (betas == NULL)
        return env->error_status;
    for (i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        const json_t *value = json_array_get(list, i);

        if (json_is_number(value))
            betas[i] = json_number_value(value);
        else
            status = db_fail(env, DREAMBOOTH_EFORMAT,
                             "trained_betas[%zu] is not a number", i);
    }
    if (status == DREAMBOOTH_OK)
        status =
            db_schedule_config_set_betas(env, config, betas, (int64_t)count);
    db_free(env, betas);
    return status;
}

static int set_value(struct db_env *env, struct db_schedule_config *config,
                     const char *key, const json_t *value)
{
    if (strcmp(key, "trained_betas") == 0) {
        if (json_is_null(value))
            return DREAMBOOTH_OK;
        if (json_is_array(value))
            return set_betas(env, config, value);
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "trained_betas is neither null nor a list");
    }
    if (db_option_lookup(&db_schedule_config_table, key) == NULL) {
        db_log(env, DB_LOG_DEBUG, "scheduler: \"%s\" is not used", key);
        return DREAMBOOTH_OK;
    }
    if (json_is_null(value))
        return DREAMBOOTH_OK;
    if (json_is_boolean(value))
        return db_schedule_config_set(env, config, key,
                                      json_is_true(value) ? "true" : "false");
    if (json_is_number(value))
        return db_schedule_config_set_real(env, config, key,
                                           json_number_value(value));
    if (json_is_string(value))
        return db_schedule_config_set(env, config, key,
                                      json_string_value(value));
    return db_fail(env, DREAMBOOTH_EFORMAT,
                   "%s is neither a number, a text nor true or false", key);
}

int db_schedule_config_read(struct db_env *env, const char *file,
                            const char *text, struct db_schedule_config *config)
{
    struct db_schedule_config fresh;
    json_error_t error;
    json_t *object;
    json_t *value;
    const char *key;
    int status;

    object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s:%d:%d: %s", file,
                       error.line, error.column, error.text);
    status = db_schedule_config_init(env, &fresh);
    if (status != DREAMBOOTH_OK)
        goto done;
    if (!json_is_object(object))
        status = db_fail(env, DREAMBOOTH_EFORMAT, "not a JSON object");
    json_object_foreach(object, key, value)
    {
        if (key[0] != '_' && status == DREAMBOOTH_OK)
            status = set_value(env, &fresh, key, value);
    }
    if (status == DREAMBOOTH_OK) {
        *config = fresh;
    } else {
        db_schedule_config_release(env, &fresh);
        status = db_fail_prefix(env, status, "%s", file);
    }
done:
    json_decref(object);
    return status;
}

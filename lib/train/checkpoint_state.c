/* SPDX-License-Identifier: MIT */
/*
 * state.json: {"state": {...}, "checksum": of the text of the former}. Numbers
 * of 64 bits are hexadecimal texts, since JSON's need not be exact.
 */
#include "train/checkpoint_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "file/folder.h"
#include "file/json.h"

#define TORCH_WORDS 624

const char *const db_checkpoint_bases[DB_CHECKPOINT_FILES] = {
    "unet", "text_encoder", "optimizer"};

/* Puts VALUE, whose reference it takes over, under KEY. */
static int put(struct db_env *env, json_t *object, const char *key,
               json_t *value)
{
    if (value == NULL || json_object_set_new(object, key, value) != 0)
        return db_fail(env, DREAMBOOTH_ENOMEM,
                       "out of memory while writing a checkpoint's state");
    return DREAMBOOTH_OK;
}

static int put_hex(struct db_env *env, json_t *object, const char *key,
                   uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%016" PRIx64, value);
    return put(env, object, key, json_string(text));
}

static int put_settings(struct db_env *env, json_t *state,
                        const struct db_trainer_settings *settings)
{
    json_t *object = json_object();
    int status = put(env, state, "settings", object);
    size_t i;

    for (i = 0; i < db_trainer_options.count && status == DREAMBOOTH_OK; i++) {
        const char *name = db_trainer_options.rows[i].name;
        char *text = NULL;

        status = db_options_get_text(env, &db_trainer_options, settings, name,
                                     &text);
        if (status == DREAMBOOTH_OK && text != NULL)
            status = put(env, object, name, json_string(text));
        db_free(env, text);
    }
    return status;
}

/* The torch stream; the counter streams have no state. */
static int put_noise(struct db_env *env, json_t *state,
                     const struct db_noise *noise)
{
    const struct db_torch_random *torch_random = &noise->torch;
    json_t *object, *words;
    uint64_t bits;
    int i, status;

    if (noise->kind != DB_NOISE_TORCH)
        return DREAMBOOTH_OK;
    object = json_object();
    status = put(env, state, "torch", object);
    if (status != DREAMBOOTH_OK)
        return status;
    memcpy(&bits, &torch_random->normal, sizeof(bits));
    status = put_hex(env, object, "normal", bits);
    if (status == DREAMBOOTH_OK)
        status = put(env, object, "has_normal",
                     json_boolean(torch_random->has_normal));
    if (status == DREAMBOOTH_OK)
        status = put(env, object, "next", json_integer(torch_random->next));
    words = json_array();
    if (status == DREAMBOOTH_OK)
        status = put(env, object, "words", words);
    else
        json_decref(words);
    for (i = 0; i < TORCH_WORDS && status == DREAMBOOTH_OK; i++) {
        if (json_array_append_new(words,
                                  json_integer(torch_random->words[i])) != 0)
            status = put(env, object, "words", NULL);
    }
    return status;
}

static int put_sums(struct db_env *env, json_t *state,
                    const struct db_checkpoint_sums *sums)
{
    json_t *object = json_object();
    int status = put(env, state, "files", object);
    int i;

    for (i = 0; i < DB_CHECKPOINT_FILES && status == DREAMBOOTH_OK; i++) {
        if (sums->there[i])
            status = put_hex(env, object, db_checkpoint_bases[i], sums->sum[i]);
    }
    return status;
}

static int text_sum(struct db_env *env, const json_t *state, uint64_t *out)
{
    char *text = NULL;
    int status = db_json_text(env, state, &text);

    if (status == DREAMBOOTH_OK)
        *out = crc32_z(0, (const Bytef *)text, strlen(text));
    db_free(env, text);
    return status;
}

/* As the context's option says it. */
static const char *weights_name(enum db_dtype dtype)
{
    return dtype == DB_BF16 ? "bfloat16" : "float32";
}

static int fill_state(struct db_env *env, json_t *object,
                      const struct db_checkpoint_state *state,
                      const struct db_checkpoint_sums *sums)
{
    int status = put(env, object, "step", json_integer(state->step));

    if (status == DREAMBOOTH_OK)
        status = put_hex(env, object, "instance_images", state->instance_hash);
    if (status == DREAMBOOTH_OK)
        status = put_hex(env, object, "class_images", state->class_hash);
    if (status == DREAMBOOTH_OK)
        status = put_hex(env, object, "frozen", state->frozen_hash);
    if (status == DREAMBOOTH_OK)
        status = put(env, object, "weights",
                     json_string(weights_name(state->weights)));
    if (status == DREAMBOOTH_OK)
        status = put_settings(env, object, state->settings);
    if (status == DREAMBOOTH_OK)
        status = put_noise(env, object, state->noise);
    if (status == DREAMBOOTH_OK)
        status = put_sums(env, object, sums);
    return status;
}

int db_checkpoint_state_save(struct db_env *env, const char *folder,
                             const struct db_checkpoint_state *state,
                             const struct db_checkpoint_sums *sums)
{
    json_t *file = json_object();
    json_t *object = json_object();
    char *path = db_path_join(env, folder, "state.json");
    uint64_t sum = 0;
    int status = path == NULL ? env->error_status : DREAMBOOTH_OK;

    if (status == DREAMBOOTH_OK)
        status = put(env, file, "state", object);
    else
        json_decref(object);
    if (status == DREAMBOOTH_OK)
        status = fill_state(env, object, state, sums);
    if (status == DREAMBOOTH_OK)
        status = text_sum(env, object, &sum);
    if (status == DREAMBOOTH_OK)
        status = put_hex(env, file, "checksum", sum);
    if (status == DREAMBOOTH_OK)
        status = db_json_save(env, path, file);
    db_free(env, path);
    json_decref(file);
    return status;
}

static int get_hex(const struct db_json_reader *reader, const char *key,
                   uint64_t *out)
{
    const char *text = NULL;
    char *end = NULL;
    int status = db_json_get_text(reader, key, DB_JSON_REQUIRED, &text);

    if (status != DREAMBOOTH_OK)
        return status;
    *out = strtoull(text, &end, 16);
    if (end == text || *end != '\0')
        return db_fail(reader->env, DREAMBOOTH_EFORMAT,
                       "%s: %s is not a hexadecimal number", reader->file, key);
    return DREAMBOOTH_OK;
}

static int get_noise(const struct db_json_reader *reader,
                     const struct db_noise *present, struct db_noise *out)
{
    struct db_json_reader inner = *reader;
    struct db_torch_random *torch_random = &out->torch;
    const json_t *words = NULL;
    int64_t next = 0;
    uint64_t bits = 0;
    size_t i;
    int status;

    *out = *present;
    if (out->kind != DB_NOISE_TORCH)
        return DREAMBOOTH_OK;
    status =
        db_json_get_object(reader, "torch", DB_JSON_REQUIRED, &inner.object);
    if (status == DREAMBOOTH_OK)
        status = get_hex(&inner, "normal", &bits);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_boolean(&inner, "has_normal", DB_JSON_REQUIRED,
                                     &torch_random->has_normal);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_integer(&inner, "next", DB_JSON_REQUIRED, &next);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_array(&inner, "words", DB_JSON_REQUIRED, &words);
    if (status != DREAMBOOTH_OK)
        return status;
    if (json_array_size(words) != TORCH_WORDS || next < 0 || next > TORCH_WORDS)
        return db_fail(reader->env, DREAMBOOTH_EFORMAT,
                       "%s: the random stream has the wrong size",
                       reader->file);
    for (i = 0; i < TORCH_WORDS; i++)
        torch_random->words[i] =
            (uint32_t)json_integer_value(json_array_get(words, i));
    torch_random->next = (int)next;
    memcpy(&torch_random->normal, &bits, sizeof(bits));
    return DREAMBOOTH_OK;
}

static int get_sums(const struct db_json_reader *reader,
                    struct db_checkpoint_sums *out)
{
    struct db_json_reader inner = *reader;
    int i;
    int status =
        db_json_get_object(reader, "files", DB_JSON_REQUIRED, &inner.object);

    for (i = 0; i < DB_CHECKPOINT_FILES && status == DREAMBOOTH_OK; i++) {
        out->there[i] = db_json_has(&inner, db_checkpoint_bases[i]);
        if (out->there[i])
            status = get_hex(&inner, db_checkpoint_bases[i], &out->sum[i]);
    }
    return status;
}

/* Rows about class images mean nothing without prior preservation. */
static bool must_agree(const struct db_option *row,
                       const struct db_trainer_settings *settings)
{
    if (row->flags & DB_OPTION_CHANGEABLE)
        return false;
    return db_trainer_has_prior(settings) ||
           strncmp(row->name, "class-", 6) != 0 ||
           strcmp(row->name, "class-prompt") == 0;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static int differs(const struct db_json_reader *reader, const char *name,
                   const char *then, const char *now)
{
    return db_fail(reader->env, DREAMBOOTH_EINVAL,
                   "cannot resume: option \"%s\" is \"%s\" now and was \"%s\" "
                   "in %s; set it back, or choose another out",
                   name, now != NULL ? now : "", then != NULL ? then : "",
                   reader->file);
}

/* An option that the checkpoint lacks is newer than it: the run was as the
 * default is. */
static int compare_setting(const struct db_json_reader *reader,
                           const struct db_option *row,
                           const struct db_trainer_settings *settings,
                           const struct db_trainer_settings *defaults)
{
    struct db_env *env = reader->env;
    const char *then = NULL;
    char *now = NULL, *usual = NULL;
    int status = db_json_get_text(reader, row->name, DB_JSON_OPTIONAL, &then);

    if (status == DREAMBOOTH_OK)
        status = db_options_get_text(env, &db_trainer_options, settings,
                                     row->name, &now);
    if (status == DREAMBOOTH_OK && then == NULL)
        status = db_options_get_text(env, &db_trainer_options, defaults,
                                     row->name, &usual);
    if (then == NULL)
        then = usual;
    if (status == DREAMBOOTH_OK && !same_text(then, now))
        status = differs(reader, row->name, then, now);
    db_free(env, now);
    db_free(env, usual);
    return status;
}

static int compare_settings(const struct db_json_reader *reader,
                            const struct db_trainer_settings *settings)
{
    struct db_json_reader inner = *reader;
    struct db_trainer_settings defaults;
    size_t i;
    int status =
        db_json_get_object(reader, "settings", DB_JSON_REQUIRED, &inner.object);

    if (status == DREAMBOOTH_OK)
        status = db_options_init(reader->env, &db_trainer_options, &defaults);
    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < db_trainer_options.count && status == DREAMBOOTH_OK; i++) {
        const struct db_option *row = &db_trainer_options.rows[i];

        if (must_agree(row, settings))
            status = compare_setting(&inner, row, settings, &defaults);
    }
    db_options_release(reader->env, &db_trainer_options, &defaults);
    return status;
}

/* How weights are kept is no option of the trainer, but as good as one. */
static int compare_weights(const struct db_json_reader *reader,
                           enum db_dtype weights)
{
    const char *then = weights_name(DB_F32), *now = weights_name(weights);
    int status = db_json_get_text(reader, "weights", DB_JSON_OPTIONAL, &then);

    if (status == DREAMBOOTH_OK && strcmp(then, now) != 0)
        return differs(reader, "weights", then, now);
    return status;
}

static int compare_hashes(const struct db_json_reader *reader,
                          const struct db_checkpoint_state *state)
{
    const struct {
        const char *key, *what;
        uint64_t now;
    } rows[] = {{"instance_images", "photos", state->instance_hash},
                {"class_images", "class images", state->class_hash},
                {"frozen", "model's other parts", state->frozen_hash}};
    size_t i;

    for (i = 0; i < DB_COUNT(rows); i++) {
        uint64_t then = 0;
        int status = get_hex(reader, rows[i].key, &then);

        if (status != DREAMBOOTH_OK)
            return status;
        if (then != rows[i].now)
            return db_fail(reader->env, DREAMBOOTH_EINVAL,
                           "cannot resume: the %s are not those that %s was "
                           "made with; put them back, or choose another out",
                           rows[i].what, reader->file);
    }
    return DREAMBOOTH_OK;
}

/* The inner object, once its checksum is found right. */
static int open_state(const struct db_json_reader *outer,
                      struct db_json_reader *inner)
{
    uint64_t stored = 0, computed = 0;
    int status = get_hex(outer, "checksum", &stored);

    *inner = *outer;
    if (status == DREAMBOOTH_OK)
        status = db_json_get_object(outer, "state", DB_JSON_REQUIRED,
                                    &inner->object);
    if (status == DREAMBOOTH_OK)
        status = text_sum(outer->env, inner->object, &computed);
    if (status == DREAMBOOTH_OK && stored != computed)
        status = db_fail(outer->env, DREAMBOOTH_EFORMAT,
                         "%s: its checksum does not fit", outer->file);
    return status;
}

static bool is_state_key(const char *key)
{
    static const char *const keys[] = {
        "step",  "instance_images", "frozen", "class_images",
        "files", "settings",        "torch",  "weights"};
    size_t i;

    for (i = 0; i < DB_COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static int is_newer(const struct db_json_reader *reader, const char *key)
{
    return db_fail(reader->env, DREAMBOOTH_EUNSUPPORTED,
                   "cannot resume: %s is of a newer version, with \"%.100s\"; "
                   "resume it with that, or choose another out",
                   reader->file, key);
}

/* A run with something that is unknown here would not go on as it was. */
static int check_known(const struct db_json_reader *reader, json_t *state)
{
    const char *key;
    json_t *value;

    json_object_foreach(state, key, value)
    {
        if (!is_state_key(key))
            return is_newer(reader, key);
    }
    json_object_foreach(json_object_get(state, "settings"), key, value)
    {
        if (db_option_lookup(&db_trainer_options, key) == NULL)
            return is_newer(reader, key);
    }
    return DREAMBOOTH_OK;
}

int db_checkpoint_state_load(struct db_env *env, const char *folder,
                             const struct db_checkpoint_state *state,
                             bool compare, struct db_checkpoint_read *out)
{
    struct db_json_reader outer = {.env = env}, inner;
    struct db_checkpoint_read result = {0};
    char *path = db_path_join(env, folder, "state.json");
    json_t *file = NULL;
    int status = path == NULL ? env->error_status : DREAMBOOTH_OK;

    if (status == DREAMBOOTH_OK)
        status = db_json_load(env, path, &file);
    outer.file = path;
    outer.object = file;
    if (status == DREAMBOOTH_OK)
        status = open_state(&outer, &inner);
    if (status == DREAMBOOTH_OK)
        status =
            db_json_get_integer(&inner, "step", DB_JSON_REQUIRED, &result.step);
    if (status == DREAMBOOTH_OK && compare)
        status = check_known(&inner, json_object_get(file, "state"));
    if (status == DREAMBOOTH_OK && compare)
        status = compare_settings(&inner, state->settings);
    if (status == DREAMBOOTH_OK && compare)
        status = compare_weights(&inner, state->weights);
    if (status == DREAMBOOTH_OK && compare)
        status = compare_hashes(&inner, state);
    if (status == DREAMBOOTH_OK)
        status = get_sums(&inner, &result.sums);
    if (status == DREAMBOOTH_OK && compare)
        status = get_noise(&inner, state->noise, &result.noise);
    if (status == DREAMBOOTH_OK)
        *out = result;
    json_decref(file);
    db_free(env, path);
    return status;
}

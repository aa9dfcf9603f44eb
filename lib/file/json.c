/* SPDX-License-Identifier: MIT */
/*
 * Reading, looking up and writing JSON; see json.h. Writing is our own, because
 * what people look at should have 0.18215 where they wrote 0.18215.
 */
#include "file/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "file/atomic.h"
#include "file/reader.h"

/* Deeper values than this are refused when writing. */
#define MAX_DEPTH 64

int db_json_parse(struct db_env *env, const char *file, const void *bytes,
                  size_t size, json_t **out)
{
    json_error_t error;
    json_t *value;

    /* Out of memory, jansson may fail without a word in it. */
    memset(&error, 0, sizeof(error));
    value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL && (error.text[0] == '\0' ||
                          json_error_code(&error) == json_error_out_of_memory))
        return db_fail(env, DREAMBOOTH_ENOMEM, "%s: no memory to read it",
                       file);
    if (value == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: line %d, column %d: not valid JSON: %s", file,
                       error.line, error.column, error.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: a JSON object {...} is expected", file);
    }
    *out = value;
    return DREAMBOOTH_OK;
}

int db_json_load(struct db_env *env, const char *path, json_t **out)
{
    char *bytes;
    size_t size;
    int status = db_file_load(env, path, &bytes, &size);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_json_parse(env, path, bytes, size, out);
    db_free(env, bytes);
    return status;
}

static int write_value(struct db_env *env, struct db_text *text,
                       const json_t *value, int depth);

static int write_string(struct db_env *env, struct db_text *text,
                        const char *bytes, size_t length)
{
    int status = db_text_append(env, text, "\"");
    size_t clean;

    while (status == DREAMBOOTH_OK && length > 0) {
        for (clean = 0; clean < length; clean++)
            if ((unsigned char)bytes[clean] < 0x20 || bytes[clean] == '"' ||
                bytes[clean] == '\\')
                break;
        status = db_text_append_bytes(env, text, bytes, clean);
        bytes += clean;
        length -= clean;
        if (status != DREAMBOOTH_OK || length == 0)
            break;
        if (bytes[0] == '"' || bytes[0] == '\\')
            status = db_text_appendf(env, text, "\\%c", bytes[0]);
        else if (bytes[0] == '\n')
            status = db_text_append(env, text, "\\n");
        else
            status = db_text_appendf(env, text, "\\u%04x",
                                     (unsigned)(unsigned char)bytes[0]);
        bytes++;
        length--;
    }
    if (status != DREAMBOOTH_OK)
        return status;
    return db_text_append(env, text, "\"");
}

static int write_number(struct db_env *env, struct db_text *text,
                        const json_t *value)
{
    char number[DB_REAL_TEXT];

    if (json_is_integer(value))
        return db_text_appendf(env, text, "%" JSON_INTEGER_FORMAT,
                               json_integer_value(value));
    db_real_text(json_real_value(value), number);
    /* A real stays one when it is read again. */
    return db_text_appendf(env, text, "%s%s", number,
                           strpbrk(number, ".en") == NULL ? ".0" : "");
}

static int write_line_start(struct db_env *env, struct db_text *text, int depth)
{
    return db_text_appendf(env, text, "\n%*s", 2 * depth, "");
}

static int write_array(struct db_env *env, struct db_text *text,
                       const json_t *array, int depth)
{
    size_t count = json_array_size(array);
    int status = db_text_append(env, text, "[");

    for (size_t i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        if (i > 0)
            status = db_text_append(env, text, ",");
        if (status == DREAMBOOTH_OK)
            status = write_line_start(env, text, depth + 1);
        if (status == DREAMBOOTH_OK)
            status =
                write_value(env, text, json_array_get(array, i), depth + 1);
    }
    if (status == DREAMBOOTH_OK && count > 0)
        status = write_line_start(env, text, depth);
    if (status != DREAMBOOTH_OK)
        return status;
    return db_text_append(env, text, "]");
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of OBJECT, sorted, in fresh memory. */
static const char **sorted_keys(struct db_env *env, const json_t *object)
{
    size_t count = json_object_size(object), i = 0;
    const char **keys = db_alloc_array(env, count, sizeof(*keys));
    void *position = json_object_iter((json_t *)(uintptr_t)object);

    if (keys == NULL)
        return NULL;
    for (; position != NULL && i < count; i++) {
        keys[i] = json_object_iter_key(position);
        position = json_object_iter_next((json_t *)(uintptr_t)object, position);
    }
    if (count > 0)
        qsort(keys, count, sizeof(*keys), compare_keys);
    return keys;
}

static int write_member(struct db_env *env, struct db_text *text,
                        const json_t *object, const char *key, int depth)
{
    int status = write_line_start(env, text, depth);

    if (status == DREAMBOOTH_OK)
        status = write_string(env, text, key, strlen(key));
    if (status == DREAMBOOTH_OK)
        status = db_text_append(env, text, ": ");
    if (status != DREAMBOOTH_OK)
        return status;
    return write_value(env, text, json_object_get(object, key), depth);
}

static int write_object(struct db_env *env, struct db_text *text,
                        const json_t *object, int depth)
{
    size_t count = json_object_size(object);
    const char **keys = sorted_keys(env, object);
    int status;

    if (keys == NULL)
        return env->error_status;
    status = db_text_append(env, text, "{");
    for (size_t i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        if (i > 0)
            status = db_text_append(env, text, ",");
        if (status == DREAMBOOTH_OK)
            status = write_member(env, text, object, keys[i], depth + 1);
    }
    db_free(env, keys);
    if (status == DREAMBOOTH_OK && count > 0)
        status = write_line_start(env, text, depth);
    if (status != DREAMBOOTH_OK)
        return status;
    return db_text_append(env, text, "}");
}

static int write_value(struct db_env *env, struct db_text *text,
                       const json_t *value, int depth)
{
    if (depth > MAX_DEPTH)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "JSON of more than %d levels cannot be written",
                       MAX_DEPTH);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return write_object(env, text, value, depth);
    case JSON_ARRAY:
        return write_array(env, text, value, depth);
    case JSON_STRING:
        return write_string(env, text, json_string_value(value),
                            json_string_length(value));
    case JSON_INTEGER:
    case JSON_REAL:
        return write_number(env, text, value);
    case JSON_TRUE:
        return db_text_append(env, text, "true");
    case JSON_FALSE:
        return db_text_append(env, text, "false");
    default:
        return db_text_append(env, text, "null");
    }
}

int db_json_text(struct db_env *env, const json_t *value, char **out)
{
    struct db_text text = {0};
    int status;

    if (value == NULL)
        return db_fail(env, DREAMBOOTH_ENOMEM, "no memory for a JSON value");
    status = write_value(env, &text, value, 0);
    if (status == DREAMBOOTH_OK)
        status = db_text_append(env, &text, "\n");
    if (status == DREAMBOOTH_OK)
        status = db_text_take(env, &text, out);
    if (status != DREAMBOOTH_OK)
        db_text_free(env, &text);
    return status;
}

int db_json_save(struct db_env *env, const char *path, const json_t *value)
{
    char *text;
    int status = db_json_text(env, value, &text);

    if (status != DREAMBOOTH_OK)
        return db_fail_prefix(env, status, "%s", path);
    status = db_atomic_write_file(env, path, text, strlen(text));
    db_free(env, text);
    return status;
}

bool db_json_has(const struct db_json_reader *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);

    return value != NULL && !json_is_null(value);
}

/* What a key may hold: one of two jansson types, and its name in errors. */
struct kind {
    json_type type, other;
    const char *expected;
};

static const struct kind integer_kind = {JSON_INTEGER, JSON_INTEGER,
                                         "an integer"};
static const struct kind number_kind = {JSON_INTEGER, JSON_REAL, "a number"};
static const struct kind boolean_kind = {JSON_TRUE, JSON_FALSE,
                                         "true or false"};
static const struct kind text_kind = {JSON_STRING, JSON_STRING, "a string"};
static const struct kind array_kind = {JSON_ARRAY, JSON_ARRAY,
                                       "an array [...]"};
static const struct kind object_kind = {JSON_OBJECT, JSON_OBJECT,
                                        "an object {...}"};
static const struct kind integers_kind = {JSON_ARRAY, JSON_ARRAY,
                                          "an array of integers"};

static int mistyped(const struct db_json_reader *reader, const char *key,
                    const struct kind *kind)
{
    return db_fail(reader->env, DREAMBOOTH_EFORMAT,
                   "%s: \"%s\" is not what it should be: %s is expected",
                   reader->file, key, kind->expected);
}

/* The value of KEY, which is of KIND, into *OUT; NULL there for one that is
 * optional and absent. */
static int look_up(const struct db_json_reader *reader, const char *key,
                   enum db_json_need need, const struct kind *kind,
                   const json_t **out)
{
    const json_t *value =
        db_json_has(reader, key) ? json_object_get(reader->object, key) : NULL;

    if (value == NULL && need == DB_JSON_REQUIRED)
        return db_fail(reader->env, DREAMBOOTH_EFORMAT,
                       "%s: \"%s\" is missing; %s is expected", reader->file,
                       key, kind->expected);
    if (value != NULL && json_typeof(value) != kind->type &&
        json_typeof(value) != kind->other)
        return mistyped(reader, key, kind);
    *out = value;
    return DREAMBOOTH_OK;
}

int db_json_get_integer(const struct db_json_reader *reader, const char *key,
                        enum db_json_need need, int64_t *out)
{
    const json_t *value;
    int status = look_up(reader, key, need, &integer_kind, &value);

    if (status == DREAMBOOTH_OK && value != NULL)
        *out = (int64_t)json_integer_value(value);
    return status;
}

int db_json_get_real(const struct db_json_reader *reader, const char *key,
                     enum db_json_need need, double *out)
{
    const json_t *value;
    int status = look_up(reader, key, need, &number_kind, &value);

    if (status == DREAMBOOTH_OK && value != NULL)
        *out = json_number_value(value);
    return status;
}

int db_json_get_boolean(const struct db_json_reader *reader, const char *key,
                        enum db_json_need need, bool *out)
{
    const json_t *value;
    int status = look_up(reader, key, need, &boolean_kind, &value);

    if (status == DREAMBOOTH_OK && value != NULL)
        *out = json_is_true(value);
    return status;
}

int db_json_get_text(const struct db_json_reader *reader, const char *key,
                     enum db_json_need need, const char **out)
{
    const json_t *value;
    int status = look_up(reader, key, need, &text_kind, &value);

    if (status == DREAMBOOTH_OK && value != NULL)
        *out = json_string_value(value);
    return status;
}

int db_json_get_array(const struct db_json_reader *reader, const char *key,
                      enum db_json_need need, const json_t **out)
{
    const json_t *value;
    int status = look_up(reader, key, need, &array_kind, &value);

    if (status == DREAMBOOTH_OK && value != NULL)
        *out = value;
    return status;
}

int db_json_get_object(const struct db_json_reader *reader, const char *key,
                       enum db_json_need need, const json_t **out)
{
    const json_t *value;
    int status = look_up(reader, key, need, &object_kind, &value);

    if (status == DREAMBOOTH_OK && value != NULL)
        *out = value;
    return status;
}

int db_json_get_integers(const struct db_json_reader *reader, const char *key,
                         enum db_json_need need, int64_t *values,
                         size_t capacity, size_t *count)
{
    const json_t *value;
    int status = look_up(reader, key, need, &integers_kind, &value);

    if (status != DREAMBOOTH_OK || value == NULL)
        return status;
    if (json_array_size(value) > capacity)
        return db_fail(reader->env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: \"%s\" has %zu entries; at most %zu are supported",
                       reader->file, key, json_array_size(value), capacity);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_integer(json_array_get(value, i)))
            return mistyped(reader, key, &integers_kind);
    for (size_t i = 0; i < json_array_size(value); i++)
        values[i] = (int64_t)json_integer_value(json_array_get(value, i));
    *count = json_array_size(value);
    return DREAMBOOTH_OK;
}

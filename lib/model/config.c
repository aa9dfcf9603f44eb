/* SPDX-License-Identifier: MIT */
/* Walking a configuration against its table. */
#include "model/config.h"

#include <string.h>

/* A field that is being read. */
struct reading {
    struct db_env *env;
    const char *file;
    const struct db_config_field *field;
    const json_t *value;
    void *out; /* the field's place */
};

static int wrong(const struct reading *reading, const char *wanted)
{
    return db_fail(reading->env, DREAMBOOTH_EFORMAT,
                   "%s: field \"%s\" must be %s", reading->file,
                   reading->field->name, wanted);
}

/* EUNSUPPORTED, telling the value and what would do. */
static int unsupported(const struct reading *reading, const json_t *value,
                       const char *supported)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    int status = db_fail(reading->env, DREAMBOOTH_EUNSUPPORTED,
                         "%s: field \"%s\" has the value %.200s, which is not "
                         "supported (only %s)",
                         reading->file, reading->field->name,
                         text != NULL ? text : "?", supported);

    free(text);
    return status;
}

static int out_of_range(const struct reading *reading, double value)
{
    return db_fail(reading->env, DREAMBOOTH_EFORMAT,
                   "%s: field \"%s\" is %.10g, which is not in %.10g to %.10g",
                   reading->file, reading->field->name, value,
                   reading->field->minimum, reading->field->maximum);
}

static bool in_range(const struct reading *reading, double value)
{
    return value >= reading->field->minimum && value <= reading->field->maximum;
}

static int integer_of(const struct reading *reading, const json_t *value,
                      int64_t *out)
{
    if (!json_is_integer(value))
        return wrong(reading, "an integer");
    if (!in_range(reading, (double)json_integer_value(value)))
        return out_of_range(reading, (double)json_integer_value(value));
    *out = json_integer_value(value);
    return DREAMBOOTH_OK;
}

/* The choices as "a, b, c" for a message. */
static void choices_text(const char *const *choices, char *text, size_t size)
{
    size_t length = 0;
    size_t i;

    text[0] = '\0';
    for (i = 0; choices[i] != NULL; i++) {
        const char *comma = i > 0 ? ", " : "";
        size_t more = strlen(comma) + strlen(choices[i]);

        if (length + more >= size)
            return;
        memcpy(text + length, comma, strlen(comma));
        memcpy(text + length + strlen(comma), choices[i],
               strlen(choices[i]) + 1);
        length += more;
    }
}

static int choice_of(const struct reading *reading, const json_t *value,
                     int64_t *out)
{
    const char *const *choices = reading->field->choices;
    char text[256];
    int64_t i;

    if (!json_is_string(value))
        return wrong(reading, "text");
    for (i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], json_string_value(value)) == 0) {
            *out = i;
            return DREAMBOOTH_OK;
        }
    choices_text(choices, text, sizeof(text));
    return unsupported(reading, value, text);
}

typedef int read_function(const struct reading *reading);

static int read_integer(const struct reading *reading)
{
    return integer_of(reading, reading->value, reading->out);
}

static int read_choice(const struct reading *reading)
{
    return choice_of(reading, reading->value, reading->out);
}

static int read_real(const struct reading *reading)
{
    double value = json_number_value(reading->value);

    if (!json_is_number(reading->value))
        return wrong(reading, "a number");
    if (!in_range(reading, value))
        return out_of_range(reading, value);
    memcpy(reading->out, &value, sizeof(value));
    return DREAMBOOTH_OK;
}

static int read_boolean(const struct reading *reading)
{
    bool value = json_is_true(reading->value);

    if (!json_is_boolean(reading->value))
        return wrong(reading, "true or false");
    memcpy(reading->out, &value, sizeof(value));
    return DREAMBOOTH_OK;
}

static int read_list_of(const struct reading *reading,
                        int (*element)(const struct reading *, const json_t *,
                                       int64_t *))
{
    struct db_config_list list = {{0}, 1, true};
    const json_t *value = reading->value;
    size_t i;
    int status;

    if (!json_is_array(value)) {
        status = element(reading, value, &list.values[0]);
    } else {
        if (json_array_size(value) < 1 ||
            json_array_size(value) > DB_CONFIG_LIST_MAX)
            return wrong(reading, "a list of 1 to 8 values");
        list.single = false;
        list.count = (int64_t)json_array_size(value);
        status = DREAMBOOTH_OK;
        for (i = 0; i < json_array_size(value) && status == DREAMBOOTH_OK; i++)
            status =
                element(reading, json_array_get(value, i), &list.values[i]);
    }
    if (status == DREAMBOOTH_OK)
        memcpy(reading->out, &list, sizeof(list));
    return status;
}

static int read_list(const struct reading *reading)
{
    return read_list_of(reading, integer_of);
}

static int read_choices(const struct reading *reading)
{
    return read_list_of(reading, choice_of);
}

/* 1 and 1.0 are the same. */
static bool same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return !(json_number_value(a) < json_number_value(b)) &&
               !(json_number_value(a) > json_number_value(b));
    return json_equal(a, b) != 0;
}

static int read_only(const struct reading *reading)
{
    const char *only = reading->field->only;
    json_t *supported = json_loads(only, 0, NULL);
    bool found = false;
    char text[256];
    size_t i;

    if (supported == NULL)
        return db_fail(reading->env, DREAMBOOTH_ENOMEM,
                       "out of memory reading %s", reading->file);
    for (i = 0; i < json_array_size(supported); i++)
        found |= same_value(reading->value, json_array_get(supported, i));
    json_decref(supported);
    if (found)
        return DREAMBOOTH_OK;
    strncpy(text, only + 1, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[strcspn(text, "]")] = '\0';
    return unsupported(reading, reading->value, text);
}

static int read_ignored(const struct reading *reading)
{
    (void)reading;
    return DREAMBOOTH_OK;
}

/* How each type is read, and whether null means that the field is absent. */
static const struct {
    read_function *read;
    bool null_is_absent;
} types[] = {
    [DB_CONFIG_INTEGER] = {read_integer, true},
    [DB_CONFIG_REAL] = {read_real, true},
    [DB_CONFIG_BOOLEAN] = {read_boolean, true},
    [DB_CONFIG_CHOICE] = {read_choice, true},
    [DB_CONFIG_LIST] = {read_list, true},
    [DB_CONFIG_CHOICES] = {read_choices, true},
    [DB_CONFIG_ONLY] = {read_only, false},
    [DB_CONFIG_IGNORED] = {read_ignored, true},
};

static const struct db_config_field *find_field(
    const struct db_config_field *fields, size_t count, const char *name)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

int db_config_read(struct db_env *env, const char *file, const json_t *object,
                   const struct db_config_field *fields, size_t count,
                   void *out)
{
    struct reading reading = {.env = env, .file = file};
    void *at = json_object_iter((json_t *)(uintptr_t)object);
    int status = DREAMBOOTH_OK;

    for (; at != NULL && status == DREAMBOOTH_OK;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *name = json_object_iter_key(at);

        if (name[0] == '_')
            continue;
        reading.value = json_object_iter_value(at);
        reading.field = find_field(fields, count, name);
        if (reading.field == NULL)
            return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                           "%s: field \"%s\" is not known to this version",
                           file, name);
        reading.out = (char *)out + reading.field->offset;
        if (!json_is_null(reading.value) ||
            !types[reading.field->type].null_is_absent)
            status = types[reading.field->type].read(&reading);
    }
    return status;
}

int db_config_spread(struct db_env *env, const char *file, const char *field,
                     const struct db_config_list *list, int64_t count,
                     int64_t *values)
{
    int64_t i;

    if (!list->single && list->count != count)
        return db_fail(
            env, DREAMBOOTH_EFORMAT,
            "%s: field \"%s\" has %d values, but there are %d blocks", file,
            field, (int)list->count, (int)count);
    for (i = 0; i < count; i++)
        values[i] = list->values[list->single ? 0 : i];
    return DREAMBOOTH_OK;
}

int db_config_divides(struct db_env *env, const char *file, const char *what,
                      int64_t value, const char *divisor_what, int64_t divisor)
{
    if (value % divisor == 0)
        return DREAMBOOTH_OK;
    return db_fail(env, DREAMBOOTH_EFORMAT,
                   "%s: \"%s\" has %lld, which \"%s\", %lld, does not divide",
                   file, what, (long long)value, divisor_what,
                   (long long)divisor);
}

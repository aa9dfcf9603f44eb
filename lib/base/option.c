/* SPDX-License-Identifier: MIT */
/*
 * Option tables: a value is read into a local of every type first, checked
 * against its row, and stored only then, so that a refused value leaves the
 * settings as they were.
 */
#include "base/option.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* A value on its way in; the row's type says which member counts. */
struct value {
    bool boolean;
    int64_t integer;
    double real;
    const char *text;
    int choice;
};

static void *field_of(void *settings, const struct db_option *option)
{
    return (char *)settings + option->offset;
}

static const void *field_in(const void *settings,
                            const struct db_option *option)
{
    return (const char *)settings + option->offset;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
            return false;
    }
    return *a == *b;
}

const struct db_option *db_option_lookup(const struct db_option_table *table,
                                         const char *name)
{
    size_t i;

    for (i = 0; i < table->count; i++) {
        if (same_name(table->rows[i].name, name))
            return &table->rows[i];
    }
    return NULL;
}

/* The closest name, if it is close enough to have been meant. */
static const char *suggestion(const struct db_option_table *table,
                              const char *name)
{
    size_t best = 1 + strlen(name) / 3;
    const char *closest = NULL;
    size_t i;

    if (best > 4)
        best = 4;
    for (i = 0; i < table->count; i++) {
        size_t distance = db_edit_distance(table->rows[i].name, name);

        if (distance < best || (distance == best && closest == NULL)) {
            best = distance;
            closest = table->rows[i].name;
        }
    }
    return closest;
}

int db_options_find(struct db_env *env, const struct db_option_table *table,
                    const char *name, const struct db_option **out)
{
    const struct db_option *option;
    const char *closest;

    if (name == NULL)
        return db_fail(env, DREAMBOOTH_EINVAL, "the name of an option is NULL");
    option = db_option_lookup(table, name);
    if (option != NULL) {
        *out = option;
        return DREAMBOOTH_OK;
    }
    closest = suggestion(table, name);
    if (closest == NULL)
        return db_fail(env, DREAMBOOTH_ENOTFOUND,
                       "unknown option \"%s\" for %s", name, table->handle);
    return db_fail(env, DREAMBOOTH_ENOTFOUND,
                   "unknown option \"%s\" for %s; did you mean \"%s\"?", name,
                   table->handle, closest);
}

static void describe_choices(const struct db_option *option, char *text,
                             size_t size)
{
    size_t length = (size_t)snprintf(text, size, "one of");
    size_t i;

    for (i = 0; option->choices[i] != NULL && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s %s",
                                   i == 0 ? "" : ",", option->choices[i]);
}

static void describe_range(const struct db_option *option, const char *kind,
                           char *text, size_t size)
{
    char low[DB_REAL_TEXT], high[DB_REAL_TEXT];
    bool has_low = isfinite(option->minimum);
    bool has_high = isfinite(option->maximum);

    db_real_text(option->minimum, low);
    db_real_text(option->maximum, high);
    if (option->minimum >= option->maximum)
        snprintf(text, size, "%s", kind);
    else if (has_low && has_high && !option->minimum_open)
        snprintf(text, size, "%s from %s to %s", kind, low, high);
    else
        snprintf(text, size, "%s%s%s%s%s%s", kind,
                 !has_low               ? ""
                 : option->minimum_open ? " > "
                                        : " >= ",
                 has_low ? low : "", has_low && has_high ? " and" : "",
                 has_high ? " <= " : "", has_high ? high : "");
}

void db_option_describe(const struct db_option *option, char *text, size_t size)
{
    switch (option->type) {
    case DB_OPTION_BOOL:
        snprintf(text, size, "true or false");
        break;
    case DB_OPTION_INTEGER:
        describe_range(option, "a whole number", text, size);
        break;
    case DB_OPTION_REAL:
        describe_range(option, "a number", text, size);
        break;
    case DB_OPTION_TEXT:
        snprintf(text, size, "a text");
        break;
    case DB_OPTION_CHOICE:
        describe_choices(option, text, size);
        break;
    }
}

/* "option "x": VALUE WRONG; give ..., such as DEFAULT" */
static int refuse(struct db_env *env, const struct db_option *option,
                  const char *value, const char *wrong)
{
    char takes[400];
    bool example =
        option->default_text != NULL &&
        (option->type == DB_OPTION_INTEGER || option->type == DB_OPTION_REAL);

    db_option_describe(option, takes, sizeof(takes));
    return db_fail(env, DREAMBOOTH_EINVAL,
                   "option \"%s\": \"%.200s\" %s; give %s%s%s", option->name,
                   value, wrong, takes, example ? ", such as " : "",
                   example ? option->default_text : "");
}

static bool in_range(const struct db_option *option, double value)
{
    if (option->minimum >= option->maximum)
        return true;
    if (value < option->minimum || value > option->maximum)
        return false;
    return !option->minimum_open || value > option->minimum;
}

static bool read_boolean(const char *text, bool *out)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    size_t i;
    int value;

    for (i = 0; i < DB_COUNT(words); i++) {
        for (value = 0; value < 2; value++) {
            if (strcmp(text, words[i][value]) == 0) {
                *out = value == 1;
                return true;
            }
        }
    }
    return false;
}

static bool read_choice(const struct db_option *option, const char *text,
                        int *out)
{
    int i;

    for (i = 0; option->choices[i] != NULL; i++) {
        if (same_name(option->choices[i], text)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static int read_value(struct db_env *env, const struct db_option *option,
                      const char *text, struct value *value)
{
    switch (option->type) {
    case DB_OPTION_BOOL:
        if (!read_boolean(text, &value->boolean))
            return refuse(env, option, text, "is neither yes nor no");
        break;
    case DB_OPTION_INTEGER:
        if (!db_read_integer(text, &value->integer))
            return refuse(env, option, text, "is not a whole number");
        if (!in_range(option, (double)value->integer))
            return refuse(env, option, text, "is out of range");
        break;
    case DB_OPTION_REAL:
        if (!db_read_real(text, &value->real))
            return refuse(env, option, text, "is not a number");
        if (!in_range(option, value->real))
            return refuse(env, option, text, "is out of range");
        break;
    case DB_OPTION_CHOICE:
        if (!read_choice(option, text, &value->choice))
            return refuse(env, option, text, "is not known");
        break;
    case DB_OPTION_TEXT:
        value->text = text;
        break;
    }
    return DREAMBOOTH_OK;
}

static int store_text(struct db_env *env, char **field, const char *text)
{
    char *copy = NULL;

    if (text != NULL) {
        copy = db_copy_text(env, text);
        if (copy == NULL)
            return env->error_status;
    }
    db_free(env, *field);
    *field = copy;
    return DREAMBOOTH_OK;
}

static int store(struct db_env *env, const struct db_option *option,
                 void *field, const struct value *value)
{
    switch (option->type) {
    case DB_OPTION_BOOL:
        *(bool *)field = value->boolean;
        break;
    case DB_OPTION_INTEGER:
        *(int64_t *)field = value->integer;
        break;
    case DB_OPTION_REAL:
        *(double *)field = value->real;
        break;
    case DB_OPTION_CHOICE:
        *(int *)field = value->choice;
        break;
    case DB_OPTION_TEXT:
        return store_text(env, field, value->text);
    }
    return DREAMBOOTH_OK;
}

static int set_option(struct db_env *env, const struct db_option *option,
                      void *settings, const char *text)
{
    struct value value = {0};
    int status;

    if (text == NULL && option->type != DB_OPTION_TEXT)
        return refuse(env, option, "(null)", "is no value");
    if (text != NULL) {
        status = read_value(env, option, text, &value);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return store(env, option, field_of(settings, option), &value);
}

int db_options_set(struct db_env *env, const struct db_option_table *table,
                   void *settings, const char *name, const char *text)
{
    const struct db_option *option;
    int status = db_options_find(env, table, name, &option);

    if (status != DREAMBOOTH_OK)
        return status;
    return set_option(env, option, settings, text);
}

int db_options_set_integer(struct db_env *env,
                           const struct db_option_table *table, void *settings,
                           const char *name, int64_t value)
{
    const struct db_option *option;
    char text[24];
    int status = db_options_find(env, table, name, &option);

    if (status != DREAMBOOTH_OK)
        return status;
    snprintf(text, sizeof(text), "%lld", (long long)value);
    if (option->type == DB_OPTION_TEXT || option->type == DB_OPTION_CHOICE)
        return refuse(env, option, text, "is a number");
    return set_option(env, option, settings, text);
}

int db_options_set_real(struct db_env *env, const struct db_option_table *table,
                        void *settings, const char *name, double value)
{
    const struct db_option *option;
    char text[DB_REAL_TEXT];
    int status = db_options_find(env, table, name, &option);

    if (status != DREAMBOOTH_OK)
        return status;
    if (option->type != DB_OPTION_REAL && value == floor(value) &&
        fabs(value) < 0x1p63)
        return db_options_set_integer(env, table, settings, name,
                                      (int64_t)value);
    db_real_text(value, text);
    if (option->type == DB_OPTION_TEXT || option->type == DB_OPTION_CHOICE)
        return refuse(env, option, text, "is a number");
    return set_option(env, option, settings, text);
}

int db_options_init(struct db_env *env, const struct db_option_table *table,
                    void *settings)
{
    static const struct value zero;
    const struct db_option *option;
    size_t i;
    int status;

    for (i = 0; i < table->count; i++) {
        option = &table->rows[i];
        if (option->type == DB_OPTION_TEXT)
            *(char **)field_of(settings, option) = NULL;
        else
            store(env, option, field_of(settings, option), &zero);
    }
    for (i = 0; i < table->count; i++) {
        option = &table->rows[i];
        if (option->default_text == NULL)
            continue;
        status = set_option(env, option, settings, option->default_text);
        if (status != DREAMBOOTH_OK) {
            db_options_release(env, table, settings);
            return status;
        }
    }
    return DREAMBOOTH_OK;
}

void db_options_release(struct db_env *env, const struct db_option_table *table,
                        void *settings)
{
    size_t i;

    for (i = 0; i < table->count; i++) {
        if (table->rows[i].type == DB_OPTION_TEXT)
            store_text(env, field_of(settings, &table->rows[i]), NULL);
    }
}

static void load(const struct db_option *option, const void *settings,
                 struct value *value)
{
    const void *field = field_in(settings, option);

    switch (option->type) {
    case DB_OPTION_BOOL:
        value->boolean = *(const bool *)field;
        break;
    case DB_OPTION_INTEGER:
        value->integer = *(const int64_t *)field;
        break;
    case DB_OPTION_REAL:
        value->real = *(const double *)field;
        break;
    case DB_OPTION_CHOICE:
        value->choice = *(const int *)field;
        break;
    case DB_OPTION_TEXT:
        value->text = *(char *const *)field;
        break;
    }
}

/* Copies of all texts of SETTINGS, one for each row (NULL where there is none),
 * so that db_options_copy() cannot fail half way. */
static int copy_texts(struct db_env *env, const struct db_option_table *table,
                      const void *settings, char **copies)
{
    size_t i;

    for (i = 0; i < table->count; i++) {
        struct value value = {0};

        load(&table->rows[i], settings, &value);
        if (value.text == NULL)
            continue;
        copies[i] = db_copy_text(env, value.text);
        if (copies[i] == NULL)
            goto fail;
    }
    return DREAMBOOTH_OK;
fail:
    while (i-- > 0)
        db_free(env, copies[i]);
    return env->error_status;
}

int db_options_copy(struct db_env *env, const struct db_option_table *table,
                    void *to, const void *from)
{
    char **copies = db_alloc_zero(env, table->count * sizeof(*copies));
    size_t i;
    int status;

    if (copies == NULL)
        return env->error_status;
    status = copy_texts(env, table, from, copies);
    for (i = 0; i < table->count && status == DREAMBOOTH_OK; i++) {
        const struct db_option *option = &table->rows[i];
        struct value value = {0};

        if (option->type == DB_OPTION_TEXT) {
            char **field = field_of(to, option);

            db_free(env, *field);
            *field = copies[i];
            continue;
        }
        load(option, from, &value);
        store(env, option, field_of(to, option), &value);
    }
    db_free(env, copies);
    return status;
}

int db_options_get_text(struct db_env *env, const struct db_option_table *table,
                        const void *settings, const char *name, char **out)
{
    const struct db_option *option;
    struct value value = {0};
    char number[DB_REAL_TEXT];
    const char *text = number;
    char *copy = NULL;
    int status = db_options_find(env, table, name, &option);

    if (status != DREAMBOOTH_OK)
        return status;
    load(option, settings, &value);
    if (option->type == DB_OPTION_BOOL)
        text = value.boolean ? "true" : "false";
    else if (option->type == DB_OPTION_INTEGER)
        snprintf(number, sizeof(number), "%lld", (long long)value.integer);
    else if (option->type == DB_OPTION_REAL)
        db_real_text(value.real, number);
    else if (option->type == DB_OPTION_CHOICE)
        text = option->choices[value.choice];
    else
        text = value.text;
    status = store_text(env, &copy, text);
    if (status == DREAMBOOTH_OK)
        *out = copy;
    return status;
}

int db_options_get_integer(struct db_env *env,
                           const struct db_option_table *table,
                           const void *settings, const char *name, int64_t *out)
{
    const struct db_option *option;
    struct value value = {0};
    int status = db_options_find(env, table, name, &option);

    if (status != DREAMBOOTH_OK)
        return status;
    load(option, settings, &value);
    if (option->type == DB_OPTION_BOOL)
        *out = value.boolean;
    else if (option->type == DB_OPTION_INTEGER)
        *out = value.integer;
    else
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "option \"%s\" is no whole number; get it as %s", name,
                       option->type == DB_OPTION_REAL ? "a double" : "text");
    return DREAMBOOTH_OK;
}

int db_options_get_real(struct db_env *env, const struct db_option_table *table,
                        const void *settings, const char *name, double *out)
{
    const struct db_option *option;
    struct value value = {0};
    int64_t integer;
    int status = db_options_find(env, table, name, &option);

    if (status != DREAMBOOTH_OK)
        return status;
    if (option->type == DB_OPTION_TEXT)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "option \"%s\" is no number; get it as text", name);
    load(option, settings, &value);
    if (option->type == DB_OPTION_REAL) {
        *out = value.real;
        return DREAMBOOTH_OK;
    }
    status = db_options_get_integer(env, table, settings, name, &integer);
    if (status == DREAMBOOTH_OK)
        *out = (double)integer;
    return status;
}

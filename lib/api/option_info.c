/* SPDX-License-Identifier: MIT */
/* The tables of options and facts as texts, for those who make flags, manuals
 * and attributes of them. */
#include "api/handle_int.h"

#include <stdio.h>
#include <string.h>

#include "sample/options.h"
#include "train/options.h"

static const struct {
    const char *handle;
    const struct db_option_table *options; /* NULL: none */
    const struct db_fact_table *facts;     /* NULL: none */
} tables[] = {
    {"context", &db_context_options, &db_context_facts},
    {"identifier", &db_identifier_option_table, NULL},
    {"model", NULL, &db_model_facts},
    {"sampler", &db_sampler_options, &db_sampler_facts},
    {"trainer", &db_trainer_options, &db_trainer_facts},
};

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static void join_choices(const struct db_option *option, char *text,
                         size_t size)
{
    size_t length = 0, i;

    text[0] = '\0';
    for (i = 0; option->choices != NULL && option->choices[i] != NULL; i++)
        if (length < size)
            length += (size_t)snprintf(text + length, size - length, "%s%s",
                                       i == 0 ? "" : " ", option->choices[i]);
}

/* The value of FIELD, in TEXT or static; NULL for an unknown field. */
static const char *option_text(const struct db_option *option,
                               const char *field, char *text, size_t size)
{
    static const char *const types[] = {"boolean", "integer", "real", "text",
                                        "choice"};

    if (strcmp(field, "name") == 0)
        return option->name;
    if (strcmp(field, "type") == 0)
        return types[option->type];
    if (strcmp(field, "default") == 0)
        return or_empty(option->default_text);
    if (strcmp(field, "placeholder") == 0)
        return or_empty(option->placeholder);
    if (strcmp(field, "unit") == 0)
        return or_empty(option->unit);
    if (strcmp(field, "help") == 0)
        return or_empty(option->help);
    if (strcmp(field, "advanced") == 0)
        return (option->flags & DB_OPTION_ADVANCED) != 0 ? "yes" : "no";
    if (strcmp(field, "range") == 0)
        db_option_describe(option, text, size);
    else if (strcmp(field, "choices") == 0)
        join_choices(option, text, size);
    else
        return NULL;
    return text;
}

static const char *fact_text(const struct db_fact *fact, const char *field)
{
    static const char *const types[] = {"integer", "integer", "real", "boolean",
                                        "text"};

    if (strcmp(field, "name") == 0)
        return fact->name;
    if (strcmp(field, "type") == 0)
        return types[fact->type];
    if (strcmp(field, "unit") == 0)
        return or_empty(fact->unit);
    if (strcmp(field, "help") == 0)
        return fact->help;
    return NULL;
}

/* The place of HANDLE in the tables; their number if there is none. */
static size_t find_handle(const char *handle)
{
    size_t i = 0;

    while (i < DB_COUNT(tables) && strcmp(tables[i].handle, handle) != 0)
        i++;
    return i;
}

static int give(const char *value, char *text, size_t size)
{
    if (value == NULL)
        return DREAMBOOTH_ENOTFOUND;
    if (size > 0)
        snprintf(text, size, "%s", value);
    return DREAMBOOTH_OK;
}

int dreambooth_option_info(const char *handle, size_t index, const char *field,
                           char *text, size_t size)
{
    const struct db_option_table *table;
    char made[512];
    size_t i;

    if (handle == NULL || field == NULL || (text == NULL && size > 0))
        return DREAMBOOTH_EINVAL;
    i = find_handle(handle);
    table = i < DB_COUNT(tables) ? tables[i].options : NULL;
    if (table == NULL || index >= table->count)
        return DREAMBOOTH_ENOTFOUND;
    return give(option_text(&table->rows[index], field, made, sizeof(made)),
                text, size);
}

int dreambooth_fact_info(const char *handle, size_t index, const char *field,
                         char *text, size_t size)
{
    const struct db_fact_table *table;
    size_t i;

    if (handle == NULL || field == NULL || (text == NULL && size > 0))
        return DREAMBOOTH_EINVAL;
    i = find_handle(handle);
    table = i < DB_COUNT(tables) ? tables[i].facts : NULL;
    if (table == NULL || index >= table->count)
        return DREAMBOOTH_ENOTFOUND;
    return give(fact_text(&table->rows[index], field), text, size);
}

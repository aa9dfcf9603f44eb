/* SPDX-License-Identifier: MIT */
/* The option tables as texts, for those who make flags and manuals of them. */
#include "api/handle_int.h"

#include <stdio.h>
#include <string.h>

#include "sample/options.h"
#include "train/options.h"

static const struct {
    const char *handle;
    const struct db_option_table *table;
} tables[] = {
    {"context", &db_context_options},
    {"identifier", &db_identifier_option_table},
    {"sampler", &db_sampler_options},
    {"trainer", &db_trainer_options},
};

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* The value of FIELD, in TEXT or static; NULL for an unknown field. */
static const char *field_text(const struct db_option *option, const char *field,
                              char *text, size_t size)
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
    if (strcmp(field, "range") != 0)
        return NULL;
    db_option_describe(option, text, size);
    return text;
}

int dreambooth_option_info(const char *handle, size_t index, const char *field,
                           char *text, size_t size)
{
    char range[512];
    const char *value;
    size_t i;

    if (handle == NULL || field == NULL || (text == NULL && size > 0))
        return DREAMBOOTH_EINVAL;
    for (i = 0; i < DB_COUNT(tables); i++) {
        if (strcmp(tables[i].handle, handle) != 0)
            continue;
        if (index >= tables[i].table->count)
            return DREAMBOOTH_ENOTFOUND;
        value = field_text(&tables[i].table->rows[index], field, range,
                           sizeof(range));
        if (value == NULL)
            return DREAMBOOTH_ENOTFOUND;
        if (size > 0)
            snprintf(text, size, "%s", value);
        return DREAMBOOTH_OK;
    }
    return DREAMBOOTH_ENOTFOUND;
}

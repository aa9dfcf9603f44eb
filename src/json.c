/* SPDX-License-Identifier: MIT */
/* Texts and numbers as JSON. */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit.h"
#include "text.h"

/* For free(); NULL without memory. */
static char *repair(const char *text)
{
    char *repaired = malloc(3 * strlen(text) + 1), *to = repaired;

    if (repaired == NULL)
        return NULL;
    while (*text != '\0') {
        size_t length = text_character(text);

        if (length == 0) {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            text++;
            continue;
        }
        memcpy(to, text, length);
        to += length;
        text += length;
    }
    *to = '\0';
    return repaired;
}

json_t *json_text(const char *text)
{
    char *repaired;
    json_t *json;

    if (text == NULL)
        return json_null();
    repaired = repair(text);
    if (repaired == NULL)
        return NULL;
    json = json_string(repaired);
    free(repaired);
    return json;
}

json_t *json_ids(const int32_t *ids, size_t count)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < count; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

int json_print(json_t *object)
{
    char *text =
        object == NULL
            ? NULL
            : json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9));

    json_decref(object);
    if (text == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    puts(text);
    free(text);
    return EXIT_DONE;
}

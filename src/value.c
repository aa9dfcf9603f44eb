/* SPDX-License-Identifier: MIT */
/* The values of flags: checks by type, and sizes with a suffix. */
#include "value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit.h"
#include "suggest.h"
#include "text.h"

static int refuse(const struct flag *flag, const char *what, const char *value)
{
    bool bytes = strcmp(flag->unit, "bytes") == 0;

    return complain(EXIT_USAGE, "%s: \"%.*s\" is not right; give %s", what,
                    text_cut(value, 100), value,
                    bytes ? "a size such as 500M or 8G" : flag->range);
}

/* Bytes in a unit such as "k" or "GB"; 0 for what is none. */
static long long unit_factor(const char *unit)
{
    static const char letters[] = "kmgt";
    long long factor = 1;
    size_t i;

    if (unit[0] == '\0')
        return 1;
    if (unit[1] != '\0' && strcmp(unit + 1, "B") != 0)
        return 0;
    for (i = 0; letters[i] != '\0'; i++) {
        factor *= 1000;
        if (letters[i] == unit[0] || letters[i] - 32 == unit[0])
            return factor;
    }
    return 0;
}

static bool read_bytes(const char *value, long long *out)
{
    char *end;
    double number;
    long long factor;

    errno = 0;
    number = strtod(value, &end);
    factor = unit_factor(end);
    if (end == value || errno != 0 || factor == 0 || !isfinite(number) ||
        number < 0 || number * (double)factor > 9e15)
        return false;
    *out = (long long)(number * (double)factor);
    return true;
}

static bool is_number(const char *value, bool whole)
{
    char *end;

    errno = 0;
    if (whole)
        strtoll(value, &end, 10);
    else
        strtod(value, &end);
    return end != value && *end == '\0' && errno == 0;
}

static bool is_boolean(const char *value)
{
    static const char *const words[] = {"true", "false", "yes", "no",
                                        "on",   "off",   "1",   "0"};
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

int value_check_choice(const char *choices, const char *what, const char *value)
{
    struct suggestion suggestion = suggestion_for(value);
    char words[256];
    char *word, *next = NULL;

    snprintf(words, sizeof(words), "%s", choices);
    for (word = strtok_r(words, " ", &next); word != NULL;
         word = strtok_r(NULL, " ", &next)) {
        if (strcmp(word, value) == 0)
            return EXIT_DONE;
        suggestion_consider(&suggestion, word);
    }
    if (suggestion.best != NULL)
        return complain(EXIT_USAGE,
                        "%s: \"%.*s\" is not known; did you mean %s?", what,
                        text_cut(value, 100), value, suggestion.best);
    return complain(EXIT_USAGE, "%s: \"%.*s\" is not known; give one of: %s",
                    what, text_cut(value, 100), value, choices);
}

int value_check(const struct flag *flag, const char *what, const char *value)
{
    long long bytes;
    bool good = true;

    if (strcmp(flag->type, "choice") == 0)
        return value_check_choice(flag->choices, what, value);
    if (strcmp(flag->unit, "bytes") == 0)
        good = read_bytes(value, &bytes);
    else if (strcmp(flag->type, "integer") == 0)
        good = is_number(value, true);
    else if (strcmp(flag->type, "real") == 0)
        good = is_number(value, false);
    else if (strcmp(flag->type, "boolean") == 0)
        good = is_boolean(value);
    return good ? EXIT_DONE : refuse(flag, what, value);
}

char *value_copy(const struct flag *flag, const char *value)
{
    char text[24];
    long long bytes = 0;

    if (strcmp(flag->unit, "bytes") != 0 || !read_bytes(value, &bytes))
        return strdup(value);
    snprintf(text, sizeof(text), "%lld", bytes);
    return strdup(text);
}

bool value_is_yes(const char *value)
{
    return strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 ||
           strcmp(value, "on") == 0 || strcmp(value, "1") == 0;
}

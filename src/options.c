/* SPDX-License-Identifier: MIT */
/* The command line: making flags of option tables, and reading arguments. */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/context.h>

#include "exit.h"
#include "suggest.h"
#include "value.h"

const struct own_flag global_flags[] = {
    {"help", NULL, NULL, "say this", NULL},
    {"help-all", NULL, NULL, "say this with the options for experts", NULL},
    {"quiet", NULL, NULL, "say nothing but warnings and errors", NULL},
    {"verbose", NULL, NULL, "say more", NULL},
    {"color", "WHEN", "auto",
     "colours in messages; auto: on a terminal, unless NO_COLOR is set",
     "auto always never"},
    {"config", "FILE", NULL, "read options from this file, too", NULL},
    {"no-config", NULL, NULL,
     "leave out the usual configuration files; that of --config is read "
     "nonetheless",
     NULL},
    {"version", NULL, NULL, "say the version", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct option_group option_groups[] = {
    {"trainer", "The training"},
    {"sampler", "The picture"},
    {"identifier", "The picker"},
    {"own", "This command"},
    {"context", "Threads and memory"},
    {"global", "Every command"},
    {NULL, NULL},
};

static size_t count_table(const char *handle)
{
    char name[2];
    size_t count = 0;

    while (dreambooth_option_info(handle, count, "name", name, sizeof(name)) ==
           DREAMBOOTH_OK)
        count++;
    return count;
}

static size_t count_own(const struct own_flag *own)
{
    size_t count = 0;

    while (own != NULL && own[count].name != NULL)
        count++;
    return count;
}

static void fill_flag(struct flag *flag, const char *handle, size_t index)
{
    char advanced[4] = "";

    dreambooth_option_info(handle, index, "name", flag->name,
                           sizeof(flag->name));
    dreambooth_option_info(handle, index, "type", flag->type,
                           sizeof(flag->type));
    dreambooth_option_info(handle, index, "range", flag->range,
                           sizeof(flag->range));
    dreambooth_option_info(handle, index, "choices", flag->choices,
                           sizeof(flag->choices));
    dreambooth_option_info(handle, index, "default", flag->default_text,
                           sizeof(flag->default_text));
    dreambooth_option_info(handle, index, "placeholder", flag->placeholder,
                           sizeof(flag->placeholder));
    dreambooth_option_info(handle, index, "unit", flag->unit,
                           sizeof(flag->unit));
    dreambooth_option_info(handle, index, "help", flag->help,
                           sizeof(flag->help));
    dreambooth_option_info(handle, index, "advanced", advanced,
                           sizeof(advanced));
    flag->advanced = strcmp(advanced, "yes") == 0;
    flag->group = handle;
    /* The library starts one thread unless it is told otherwise, the command
     * as many as there are processors. */
    if (strcmp(handle, "context") == 0 && strcmp(flag->name, "threads") == 0)
        snprintf(flag->default_text, sizeof(flag->default_text), "0");
}

/* "f32 f16" as the library words it: "one of f32, f16". */
static void describe_choices(const char *choices, char *range, size_t size)
{
    size_t length = (size_t)snprintf(range, size, "one of ");

    for (; *choices != '\0' && length + 2 < size; choices++) {
        if (*choices == ' ')
            range[length++] = ',';
        range[length++] = *choices;
    }
    range[length] = '\0';
}

static void fill_own(struct flag *flag, const char *group,
                     const struct own_flag *own)
{
    snprintf(flag->name, sizeof(flag->name), "%s", own->name);
    snprintf(flag->type, sizeof(flag->type), "%s",
             own->placeholder == NULL ? "boolean"
             : own->choices == NULL   ? "text"
                                      : "choice");
    if (own->choices != NULL) {
        snprintf(flag->choices, sizeof(flag->choices), "%s", own->choices);
        describe_choices(own->choices, flag->range, sizeof(flag->range));
    }
    if (own->placeholder != NULL)
        snprintf(flag->placeholder, sizeof(flag->placeholder), "%s",
                 own->placeholder);
    if (own->default_text != NULL)
        snprintf(flag->default_text, sizeof(flag->default_text), "%s",
                 own->default_text);
    snprintf(flag->help, sizeof(flag->help), "%s", own->help);
    flag->group = group;
}

static void add_own(struct options *options, const char *group,
                    const struct own_flag *own)
{
    size_t i, count = count_own(own);

    for (i = 0; i < count; i++)
        fill_own(&options->flags[options->count++], group, &own[i]);
}

int options_new(struct options *options, const struct subcommand *subcommand)
{
    size_t count = count_own(subcommand->own) + count_own(global_flags);
    const char *const *handle;
    size_t i, of_handle;

    for (handle = subcommand->handles; *handle != NULL; handle++)
        count += count_table(*handle);
    memset(options, 0, sizeof(*options));
    options->subcommand = subcommand;
    options->flags = calloc(count, sizeof(*options->flags));
    if (options->flags == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    add_own(options, "own", subcommand->own);
    for (handle = subcommand->handles; *handle != NULL; handle++) {
        of_handle = count_table(*handle);
        for (i = 0; i < of_handle; i++)
            fill_flag(&options->flags[options->count++], *handle, i);
    }
    add_own(options, "global", global_flags);
    return EXIT_DONE;
}

void options_free(struct options *options)
{
    size_t i;

    for (i = 0; i < options->count; i++) {
        free(options->flags[i].value);
        free(options->flags[i].origin);
    }
    free(options->flags);
}

static struct flag *find(const struct options *options, const char *name,
                         size_t length)
{
    size_t i;

    for (i = 0; i < options->count; i++)
        if (strlen(options->flags[i].name) == length &&
            strncmp(options->flags[i].name, name, length) == 0)
            return &options->flags[i];
    return NULL;
}

const struct flag *options_find(const struct options *options, const char *name)
{
    return find(options, name, strlen(name));
}

static int unknown(const struct options *options, const char *name,
                   size_t length)
{
    char wrong[64];
    struct suggestion suggestion;
    size_t i;

    snprintf(wrong, sizeof(wrong), "%.*s", (int)(length > 60 ? 60 : length),
             name);
    suggestion = suggestion_for(wrong);
    for (i = 0; i < options->count; i++)
        suggestion_consider(&suggestion, options->flags[i].name);
    if (suggestion.best != NULL)
        return complain(EXIT_USAGE, "unknown option --%s; did you mean --%s?",
                        wrong, suggestion.best);
    return complain(EXIT_USAGE,
                    "unknown option --%s; \"dreambooth %s --help\" lists them",
                    wrong, options->subcommand->name);
}

/* WHERE in a configuration file, or NULL for the command line, which wins. */
static int keep(struct flag *flag, const char *where, const char *value)
{
    char *copy, *origin = NULL, what[512];
    int code;

    if (where == NULL)
        snprintf(what, sizeof(what), "option --%s", flag->name);
    else
        snprintf(what, sizeof(what), "%s: option %s", where, flag->name);
    code = value_check(flag, what, value);
    if (code != EXIT_DONE)
        return code;
    if (where != NULL && flag->value != NULL && flag->origin == NULL)
        return EXIT_DONE;
    copy = value_copy(flag, value);
    if (where != NULL)
        origin = strdup(where);
    if (copy == NULL || (where != NULL && origin == NULL)) {
        free(copy);
        free(origin);
        return complain(EXIT_RESOURCES, "out of memory");
    }
    free(flag->value);
    free(flag->origin);
    flag->value = copy;
    flag->origin = origin;
    return EXIT_DONE;
}

int options_set(struct options *options, const char *name, const char *where,
                const char *value)
{
    return keep(find(options, name, strlen(name)), where, value);
}

/* "--name=VALUE", "--name VALUE", "--name" and "--no-name"; *USED is how many
 * of the ARGUMENTS it was. */
static int parse_long(struct options *options, int count, char **arguments,
                      int *used)
{
    const char *name = arguments[0] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
    struct flag *flag = find(options, name, length);
    bool negated = false;

    *used = 1;
    if (flag == NULL && strncmp(name, "no-", 3) == 0) {
        flag = find(options, name + 3, length - 3);
        negated = flag != NULL && strcmp(flag->type, "boolean") == 0;
        flag = negated ? flag : NULL;
    }
    if (flag == NULL)
        return unknown(options, name, length);
    if (negated && equals != NULL)
        return complain(EXIT_USAGE, "option --no-%s takes no value",
                        flag->name);
    if (equals != NULL)
        return keep(flag, NULL, equals + 1);
    if (strcmp(flag->type, "boolean") == 0)
        return keep(flag, NULL, negated ? "false" : "true");
    if (count < 2 || strncmp(arguments[1], "--", 2) == 0)
        return complain(EXIT_USAGE, "option --%s needs a value: --%s %s",
                        flag->name, flag->name, flag->placeholder);
    *used = 2;
    return keep(flag, NULL, arguments[1]);
}

static int parse_short(struct options *options, const char *argument)
{
    static const char *const names[] = {"help", "quiet", "verbose", NULL};
    size_t i;

    for (i = 0; names[i] != NULL; i++)
        if (argument[1] == names[i][0] && argument[2] == '\0')
            return options_set(options, names[i], NULL, "true");
    return complain(EXIT_USAGE, "unknown option %s; options begin with --",
                    argument);
}

static int parse_positional(struct options *options, const char *argument)
{
    const struct subcommand *subcommand = options->subcommand;
    const struct positional *next =
        &subcommand->positionals[options->positional_count];

    if (next->name == NULL)
        return complain(EXIT_USAGE,
                        "\"%s\" is one argument too many: usage: dreambooth %s "
                        "%s (texts with blanks go into quotes)",
                        argument, subcommand->name, subcommand->arguments);
    options->positionals[options->positional_count++] = argument;
    return next->choices == NULL
               ? EXIT_DONE
               : value_check_choice(next->choices, next->name, argument);
}

int options_parse(struct options *options, int count, char **arguments)
{
    bool only_positionals = false;
    int code = EXIT_DONE;
    int i, used;

    for (i = 0; i < count && code == EXIT_DONE; i += used) {
        const char *argument = arguments[i];

        used = 1;
        if (only_positionals || argument[0] != '-' || argument[1] == '\0')
            code = parse_positional(options, argument);
        else if (strcmp(argument, "--") == 0)
            only_positionals = true;
        else if (argument[1] == '-')
            code = parse_long(options, count - i, arguments + i, &used);
        else
            code = parse_short(options, argument);
    }
    return code;
}

int options_check_positionals(const struct options *options)
{
    const struct subcommand *subcommand = options->subcommand;
    const struct positional *next =
        &subcommand->positionals[options->positional_count];

    if (next->name == NULL || next->optional)
        return EXIT_DONE;
    return complain(EXIT_USAGE, "%s is missing: usage: dreambooth %s %s",
                    next->name, subcommand->name, subcommand->arguments);
}

const char *options_text(const struct options *options, const char *name)
{
    const struct flag *flag = options_find(options, name);

    if (flag->value != NULL)
        return flag->value;
    return flag->default_text[0] != '\0' ? flag->default_text : NULL;
}

bool options_yes(const struct options *options, const char *name)
{
    const char *text = options_text(options, name);

    return text != NULL && value_is_yes(text);
}

int options_need(const struct options *options, const char *name)
{
    const struct flag *flag = options_find(options, name);

    if (flag->value != NULL)
        return EXIT_DONE;
    return complain(EXIT_USAGE, "--%s %s is missing: %s", name,
                    flag->placeholder, flag->help);
}

int options_apply(const struct options *options, const char *handle,
                  option_setter *set, void *to)
{
    int status = DREAMBOOTH_OK;
    size_t i;

    for (i = 0; i < options->count && status == DREAMBOOTH_OK; i++) {
        const struct flag *flag = &options->flags[i];

        if (flag->value != NULL && strcmp(flag->group, handle) == 0)
            status = set(to, flag->name, flag->value);
    }
    return status;
}

int options_complain(const struct options *options, int code, const char *name,
                     const char *format, ...)
{
    const char *origin = options_find(options, name)->origin;
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (origin == NULL)
        return complain(code, "%s", text);
    return complain(code, "%s: %s", origin, text);
}

/* Whether TEXT begins with WORD. */
static bool begins_with(const char *text, const char *word)
{
    size_t length = strlen(word);

    return length > 0 && strncmp(text, word, length) == 0 &&
           strchr(":\" ", text[length]) != NULL && text[length] != '\0';
}

/* Whether TEXT has WORD in quotes. */
static bool quotes(const char *text, const char *word)
{
    size_t length = strlen(word);

    while ((text = strchr(text, '"')) != NULL) {
        text++;
        if (strncmp(text, word, length) == 0 && text[length] == '"')
            return true;
    }
    return false;
}

const char *options_origin(const struct options *options, const char *error)
{
    const char *text = error;
    size_t i;

    if (strncmp(text, "option \"", 8) == 0)
        text += 8;
    for (i = 0; i < options->count; i++) {
        const struct flag *flag = &options->flags[i];

        if (flag->origin != NULL &&
            (begins_with(text, flag->name) || begins_with(text, flag->value) ||
             quotes(text, flag->value)))
            return flag->origin;
    }
    return NULL;
}

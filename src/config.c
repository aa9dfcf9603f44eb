/* SPDX-License-Identifier: MIT */
/* Which configuration files there are, and what their lines mean. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "config_line.h"
#include "exit.h"
#include "suggest.h"
#include "text.h"

#define SYSTEM_FILE DREAMBOOTH_SYSCONFDIR "/dreambooth.conf"

const struct named_text config_files[] = {
    {SYSTEM_FILE, "for everybody on the machine"},
    {"${XDG_CONFIG_HOME:-$HOME/.config}/dreambooth.conf", "your own"},
    {"--config FILE", "for one run"},
    {NULL, NULL},
};

const struct named_text environment_variables[] = {
    {"DREAMBOOTH_CONFIG",
     "a configuration file to be read instead of the usual ones; empty: none"},
    {"XDG_CONFIG_HOME", "where your configuration lies, if not in ~/.config"},
    {"NO_COLOR", "if it is not empty: no colours, unless --color=always"},
    {"TERM", "dumb: neither colours nor a progress line"},
    {NULL, NULL},
};

struct reader {
    struct options *options; /* to be set */
    struct options *all;     /* of all commands, to know what is right */
    struct options *section; /* one of all; NULL: for all commands */
    const char *path;
    size_t line;
};

/* "FILE:LINE" */
static char *place(const struct reader *reader)
{
    size_t size = strlen(reader->path) + 24;
    char *text = malloc(size);

    if (text != NULL)
        snprintf(text, size, "%s:%zu", reader->path, reader->line);
    return text;
}

static int wrong(const struct reader *reader, const char *text)
{
    return complain(EXIT_USAGE, "%s:%zu: %s", reader->path, reader->line, text);
}

static int unknown(const struct reader *reader, const char *kind,
                   const char *name, const char *best, const char *otherwise)
{
    int length = text_cut(name, 40);

    if (best != NULL)
        return complain(EXIT_USAGE, "%s:%zu: unknown %s %.*s; did you mean %s?",
                        reader->path, reader->line, kind, length, name, best);
    return complain(EXIT_USAGE, "%s:%zu: unknown %s %.*s; %s", reader->path,
                    reader->line, kind, length, name, otherwise);
}

static int begin_section(struct reader *reader, const char *name)
{
    struct suggestion suggestion = suggestion_for(name);
    size_t i;

    for (i = 0; all_commands[i] != NULL; i++) {
        if (strcmp(all_commands[i]->name, name) == 0) {
            reader->section = &reader->all[i];
            return EXIT_DONE;
        }
        suggestion_consider(&suggestion, all_commands[i]->name);
    }
    return unknown(reader, "section", name, suggestion.best,
                   "a section is called like a command, such as [train]");
}

/* Whose flag NAME is: the section's command, or where there is no section ours
 * or any other. NULL and a suggestion if there is none. */
static struct options *find(const struct reader *reader, const char *name,
                            struct suggestion *suggestion)
{
    struct options *found = NULL;
    size_t i, j;

    if (reader->section == NULL && options_find(reader->options, name) != NULL)
        return reader->options;
    for (i = 0; all_commands[i] != NULL && found == NULL; i++) {
        struct options *options = &reader->all[i];

        if (reader->section != NULL && reader->section != options)
            continue;
        if (options_find(options, name) != NULL)
            found = options;
        for (j = 0; j < options->count; j++)
            suggestion_consider(suggestion, options->flags[j].name);
    }
    if (found != NULL && found->subcommand == reader->options->subcommand)
        return reader->options;
    return found;
}

/* Those that are about a run as it is typed. */
static bool is_for_command_line(const char *name)
{
    static const char *const names[] = {"help", "help-all", "version", "config",
                                        "no-config"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* What is for another command is set in vain, but is checked by that. */
static int set(const struct reader *reader, const char *name, const char *value)
{
    struct suggestion suggestion = suggestion_for(name);
    struct options *options = find(reader, name, &suggestion);
    char *where;
    int code;

    if (options == NULL)
        return unknown(reader, "option", name, suggestion.best,
                       "options are called as in --help-all, without --");
    if (is_for_command_line(name))
        return wrong(reader, "help, version and config are for the command "
                             "line only: take this line out");
    where = place(reader);
    if (where == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    code = options_set(options, name, where, value);
    free(where);
    return code;
}

static int read_line(struct reader *reader, char *text)
{
    struct config_line line;
    const char *error = config_line_read(text, &line);

    if (error != NULL)
        return wrong(reader, error);
    if (line.section != NULL)
        return begin_section(reader, line.section);
    if (line.name != NULL)
        return set(reader, line.name, line.value);
    return EXIT_DONE;
}

/* TEXT has LENGTH bytes and a NUL behind them. */
static int read_text(struct reader *reader, char *text, size_t length)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of some editors */
    char *end = text + length, *next;
    int code = EXIT_DONE;

    if (strncmp(text, mark, sizeof(mark) - 1) == 0)
        text += sizeof(mark) - 1;
    for (; text < end && code == EXIT_DONE; text = next) {
        size_t rest = (size_t)(end - text);

        next = memchr(text, '\n', rest);
        next = next == NULL ? end : next;
        reader->line++;
        if (memchr(text, '\0', (size_t)(next - text)) != NULL)
            return wrong(reader, "a NUL byte: this is no text file");
        *next = '\0';
        code = read_line(reader, text);
        next += next < end;
    }
    return code;
}

static void say_file(const char *path)
{
    char text[256];

    snprintf(text, sizeof(text), "options are read from %s", path);
    remark("detail", text);
}

static int read_file(struct options *options, struct options *all,
                     const char *path, bool must)
{
    struct reader reader = {.options = options, .all = all, .path = path};
    size_t length = 0;
    char *text = NULL;
    const char *error = config_load(path, &text, &length);
    int code;

    if (error != NULL) {
        if (!must && (errno == ENOENT || errno == ENOTDIR))
            return EXIT_DONE;
        return complain(EXIT_USAGE, "%s: %s", path[0] == '\0' ? "\"\"" : path,
                        error);
    }
    if (options_yes(options, "verbose"))
        say_file(path);
    code = read_text(&reader, text, length);
    free(text);
    return code;
}

/* ${XDG_CONFIG_HOME:-$HOME/.config}/dreambooth.conf, for free(); "" without
 * either, NULL without memory. */
static char *own_file(void)
{
    const char *folder = getenv("XDG_CONFIG_HOME"), *below = "";
    size_t size;
    char *path;

    if (folder == NULL || folder[0] != '/') {
        folder = getenv("HOME");
        below = "/.config";
    }
    if (folder == NULL || folder[0] == '\0')
        return strdup("");
    size = strlen(folder) + strlen(below) + sizeof("/dreambooth.conf");
    path = malloc(size);
    if (path != NULL)
        snprintf(path, size, "%s%s/dreambooth.conf", folder, below);
    return path;
}

static int read_usual(struct options *options, struct options *all)
{
    const char *named = getenv("DREAMBOOTH_CONFIG");
    char *own;
    int code;

    if (named != NULL)
        return named[0] == '\0' ? EXIT_DONE
                                : read_file(options, all, named, true);
    own = own_file();
    if (own == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    code = read_file(options, all, SYSTEM_FILE, false);
    if (code == EXIT_DONE && own[0] != '\0')
        code = read_file(options, all, own, false);
    free(own);
    return code;
}

int config_read(struct options *options)
{
    const char *given = options_text(options, "config");
    struct options *all;
    int code;

    if (options->subcommand->handles[0] == NULL)
        return EXIT_DONE;
    code = commands_options(&all);
    if (code != EXIT_DONE)
        return code;
    if (!options_yes(options, "no-config"))
        code = read_usual(options, all);
    if (code == EXIT_DONE && given != NULL)
        code = read_file(options, all, given, true);
    commands_options_free(all);
    return code;
}

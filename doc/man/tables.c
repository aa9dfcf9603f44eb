/* SPDX-License-Identifier: MIT */
/* Insertions made of the option tables, the facts and the subcommands. */
#include "pages.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/context.h>

#include "commands.h"
#include "config.h"
#include "exit.h"
#include "prose.h"

static const struct subject nothing;

static const struct subcommand *command_of(const char *name)
{
    const struct subcommand *command = command_find(name);

    if (command == NULL)
        give_up("there is no command \"%s\"", name);
    return command;
}

/* Values ---------------------------------------------------------------------
 */

/* "NAME is one of a, b or c." */
static void print_choices(FILE *out, const char *choices)
{
    size_t length;

    while (*choices != '\0') {
        const char *next;

        length = strcspn(choices, " ");
        next = choices + length + strspn(choices + length, " ");
        fprintf(out, ".Cm %.*s%s\n", (int)length, choices,
                *next == '\0'               ? " ."
                : strchr(next, ' ') != NULL ? " ,"
                                            : "");
        if (*next != '\0' && strchr(next, ' ') == NULL)
            fputs("or\n", out);
        choices = next;
    }
}

static void print_values(FILE *out, const struct flag *flag)
{
    bool number =
        strcmp(flag->type, "integer") == 0 || strcmp(flag->type, "real") == 0;
    bool bytes = strcmp(flag->unit, "bytes") == 0;

    if (flag->choices[0] == '\0' && !number)
        return;
    fputs(".Ar", out);
    print_argument(out, flag->placeholder);
    if (flag->choices[0] != '\0') {
        fputs("\nis one of\n", out);
        print_choices(out, flag->choices);
    } else if (bytes) {
        fputs("\nis a number of bytes, or one of thousands, millions, "
              "thousand\nmillions or millions of millions with\n"
              ".Cm k , M , G\nor\n.Cm T\nbehind it.\n",
              out);
    } else {
        fprintf(out, "\nis %s.\n", flag->range);
    }
}

static void print_default(FILE *out, const char *text, const char *unit)
{
    if (text[0] == '\0')
        return;
    fputs("The default is\n.Cm", out);
    print_argument(out, text);
    if (unit[0] != '\0' && strcmp(text, "0") != 0)
        fprintf(out, "\n%s.\n", unit);
    else
        fputs(" .\n", out);
}

/* Flags ----------------------------------------------------------------------
 */

static void print_flag(FILE *out, const struct subcommand *command,
                       const struct flag *flag)
{
    struct subject subject = {.command = command};
    bool boolean = strcmp(flag->type, "boolean") == 0;
    bool on = boolean && strcmp(flag->default_text, "true") == 0;

    fprintf(out, ".It Fl -%s%s", on ? "no-" : "", flag->name);
    if (!boolean) {
        fputs(" Ar", out);
        print_argument(out, flag->placeholder);
    }
    putc('\n', out);
    prose_sentence(out, &subject, flag->help);
    print_values(out, flag);
    if (!boolean)
        print_default(out, flag->default_text, flag->unit);
}

/* Those of GROUP that are, or are not, for experts. */
static void print_group(FILE *out, const struct options *options,
                        const struct option_group *group, bool advanced)
{
    bool any = false;
    size_t i;

    for (i = 0; i < options->count; i++) {
        const struct flag *flag = &options->flags[i];

        if (strcmp(flag->group, group->name) != 0 || flag->advanced != advanced)
            continue;
        if (!any)
            fprintf(out, ".Ss %s%s\n.Bl -tag -width Ds\n", group->title,
                    advanced ? ", for experts" : "");
        any = true;
        print_flag(out, options->subcommand, flag);
    }
    if (any)
        fputs(".El\n", out);
}

void insert_flags(const struct page *page, const char *what, const char *which)
{
    const struct option_group *group;
    struct options options;

    (void)which;
    if (options_new(&options, command_of(what)) != EXIT_DONE)
        give_up("the options of %s cannot be listed", what);
    for (group = option_groups; group->title != NULL; group++) {
        print_group(page->out, &options, group, false);
        print_group(page->out, &options, group, true);
    }
    options_free(&options);
}

/* Subcommands ----------------------------------------------------------------
 */

/* A word of the usage line: "[--count", "N]", "MODEL". */
static void print_usage_word(FILE *out, const char *word, size_t length,
                             bool *line_open)
{
    bool opens = word[0] == '[', closes = word[length - 1] == ']';
    bool is_flag;

    word += opens;
    length -= (size_t)opens + (size_t)closes;
    is_flag = length > 2 && strncmp(word, "--", 2) == 0;
    if (!*line_open || opens || is_flag)
        fprintf(out, "%s.%s", *line_open ? "\n" : "", opens ? "Op " : "");
    else
        putc(' ', out);
    if (is_flag)
        fprintf(out, "Fl %.*s", (int)length - 1, word + 1);
    else
        fprintf(out, "Ar %.*s", (int)length, word);
    *line_open = is_flag && !closes;
    if (!*line_open)
        putc('\n', out);
}

void insert_usage(const struct page *page, const char *what, const char *which)
{
    const struct subcommand *command = command_of(what);
    const char *at = command->arguments;
    bool line_open = false;
    size_t length;

    (void)which;
    fprintf(page->out, ".Nm dreambooth\n.Cm %s\n", command->name);
    for (; *at != '\0'; at += length + strspn(at + length, " ")) {
        length = strcspn(at, " ");
        print_usage_word(page->out, at, length, &line_open);
    }
    if (line_open)
        putc('\n', page->out);
    fputs(".Op Ar options\n", page->out);
}

void insert_description(const struct page *page, const char *what,
                        const char *which)
{
    struct subject subject = {.command = command_of(what)};

    (void)which;
    prose(page->out, &subject, subject.command->description);
}

void insert_arguments(const struct page *page, const char *what,
                      const char *which)
{
    struct subject subject = {.command = command_of(what)};
    const struct positional *positional = subject.command->positionals;

    (void)which;
    if (positional->name == NULL)
        return;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (; positional->name != NULL; positional++) {
        fputs(".It Ar", page->out);
        print_argument(page->out, positional->name);
        putc('\n', page->out);
        prose_sentence(page->out, &subject, positional->help);
    }
    fputs(".El\n", page->out);
}

/* A shell line, broken before its flags where it is long. */
void insert_command_example(const struct page *page, const char *what,
                            const char *which)
{
    const char *at = command_of(what)->example;
    size_t column = 0, length;

    (void)which;
    fputs(".Bd -literal -offset indent\n", page->out);
    if (strlen(at) > 60)
        while (*at != '\0') {
            const char *next = strstr(at + 1, " --");

            length = next == NULL ? strlen(at) : (size_t)(next - at);
            if (column > 0 && column + length > 56) {
                fputs(" \\e\n   ", page->out);
                column = 4;
            }
            fprintf(page->out, "%.*s", (int)length, at);
            column += length;
            at += length;
        }
    fprintf(page->out, "%s\n.Ed\n", at);
}

void insert_commands(const struct page *page, const char *what,
                     const char *which)
{
    const struct subcommand *const *command;

    (void)what;
    (void)which;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (command = all_commands; *command != NULL; command++) {
        fprintf(page->out, ".It Xr dreambooth-%s 1\n", (*command)->name);
        prose_sentence(page->out, &nothing, (*command)->summary);
    }
    fputs(".El\n", page->out);
}

void insert_exit_codes(const struct page *page, const char *what,
                       const char *which)
{
    const struct exit_meaning *row;

    (void)what;
    (void)which;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (row = exit_meanings; row->meaning != NULL; row++) {
        fprintf(page->out, ".It %d\n", row->code);
        prose_sentence(page->out, &nothing, row->meaning);
    }
    fputs(".El\n", page->out);
}

void insert_environment(const struct page *page, const char *what,
                        const char *which)
{
    const struct named_text *row;

    (void)what;
    (void)which;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (row = environment_variables; row->name != NULL; row++) {
        fprintf(page->out, ".It Ev %s\n", row->name);
        prose_sentence(page->out, &nothing, row->text);
    }
    fputs(".El\n", page->out);
}

/* Paths, and flags that name one: "--config FILE". */
void insert_config_files(const struct page *page, const char *what,
                         const char *which)
{
    const struct named_text *row;

    (void)what;
    (void)which;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (row = config_files; row->name != NULL; row++) {
        size_t length = strcspn(row->name, " ");

        if (strncmp(row->name, "--", 2) == 0)
            fprintf(page->out, ".It Fl %.*s Ar%s\n", (int)length - 1,
                    row->name + 1, row->name + length);
        else
            fprintf(page->out, ".It Pa %s\n", row->name);
        prose_sentence(page->out, &nothing, row->text);
    }
    fputs(".El\n", page->out);
}

/* Options and facts of a handle ----------------------------------------------
 */

typedef int info_function(const char *handle, size_t index, const char *field,
                          char *text, size_t size);

static void read_field(info_function *info, const char *handle, size_t index,
                       const char *field, char *text, size_t size)
{
    text[0] = '\0';
    info(handle, index, field, text, size);
}

static void print_option(FILE *out, const char *handle, size_t index)
{
    struct flag row = {0};
    bool boolean;

    read_field(dreambooth_option_info, handle, index, "name", row.name,
               sizeof(row.name));
    read_field(dreambooth_option_info, handle, index, "type", row.type,
               sizeof(row.type));
    read_field(dreambooth_option_info, handle, index, "range", row.range,
               sizeof(row.range));
    read_field(dreambooth_option_info, handle, index, "choices", row.choices,
               sizeof(row.choices));
    read_field(dreambooth_option_info, handle, index, "default",
               row.default_text, sizeof(row.default_text));
    read_field(dreambooth_option_info, handle, index, "unit", row.unit,
               sizeof(row.unit));
    read_field(dreambooth_option_info, handle, index, "help", row.help,
               sizeof(row.help));
    boolean = strcmp(row.type, "boolean") == 0;
    fprintf(out, ".It Cm %s Pq %s\n", row.name, row.type);
    prose_sentence(out, &nothing, row.help);
    if (row.choices[0] != '\0') {
        fputs("One of\n", out);
        print_choices(out, row.choices);
    } else if (!boolean && strcmp(row.type, "text") != 0) {
        prose_sentence(out, &nothing, row.range);
    }
    print_default(out,
                  boolean && row.default_text[0] == '\0' ? "false"
                                                         : row.default_text,
                  row.unit);
}

void insert_options(const struct page *page, const char *what,
                    const char *which)
{
    char name[2];
    size_t index;

    (void)which;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (index = 0; dreambooth_option_info(what, index, "name", name,
                                           sizeof(name)) == DREAMBOOTH_OK;
         index++)
        print_option(page->out, what, index);
    if (index == 0)
        give_up("there are no options of \"%s\"", what);
    fputs(".El\n", page->out);
}

static void print_fact(FILE *out, const char *handle, size_t index)
{
    char name[64], type[16], unit[32], help[256], text[320];

    read_field(dreambooth_fact_info, handle, index, "name", name, sizeof(name));
    read_field(dreambooth_fact_info, handle, index, "type", type, sizeof(type));
    read_field(dreambooth_fact_info, handle, index, "unit", unit, sizeof(unit));
    read_field(dreambooth_fact_info, handle, index, "help", help, sizeof(help));
    fprintf(out, ".It Cm %s Pq %s\n", name, type);
    snprintf(text, sizeof(text), "%s%s%s", help, unit[0] == '\0' ? "" : ", in ",
             unit);
    prose_sentence(out, &nothing, text);
}

void insert_facts(const struct page *page, const char *what, const char *which)
{
    char name[2];
    size_t index;

    (void)which;
    fputs(".Bl -tag -width Ds\n", page->out);
    for (index = 0; dreambooth_fact_info(what, index, "name", name,
                                         sizeof(name)) == DREAMBOOTH_OK;
         index++)
        print_fact(page->out, what, index);
    if (index == 0)
        give_up("there are no facts of \"%s\"", what);
    fputs(".El\n", page->out);
}

/* SPDX-License-Identifier: MIT */
/* What --help says: flags in a column on the left, wrapped text on the right.*/
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "config.h"
#include "exit.h"

#define COLUMNS 79
#define INDENT 29

/* The length of a word, or of "--out DIR", which stays together. */
static int word_length(const char *text)
{
    size_t length = strcspn(text, " ");
    const char *next = text + length + 1;

    if (text[length] != '\0' && strchr("-[\"", *next) == NULL &&
        (strncmp(text, "--", 2) == 0 || strncmp(text, "[--", 3) == 0))
        length += 1 + strcspn(next, " ");
    return (int)length;
}

/* Writes TEXT from column COLUMN on, wrapped at words to lines that begin at
 * column INDENTED. */
static void print_wrapped(const char *text, int column, int indented)
{
    while (*text != '\0') {
        int length = word_length(text);

        if (column > indented && column + 1 + length > COLUMNS) {
            printf("\n%*s", indented, "");
            column = indented;
        } else if (column > indented) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void describe(const struct flag *flag, char *text, size_t size)
{
    char extra[sizeof(flag->range) + 16] = "";
    char standard[sizeof(flag->default_text) + 24] = "";

    if (strcmp(flag->type, "choice") == 0)
        snprintf(extra, sizeof(extra), " (%s)", flag->range);
    if (flag->default_text[0] != '\0' && strcmp(flag->type, "boolean") != 0)
        snprintf(standard, sizeof(standard), " [%s%s%s]", flag->default_text,
                 flag->unit[0] == '\0' ? "" : " ", flag->unit);
    snprintf(text, size, "%s%s%s", flag->help, extra, standard);
}

static void print_flag(const struct flag *flag)
{
    char left[80], right[4096];
    bool boolean = strcmp(flag->type, "boolean") == 0;
    bool on = boolean && strcmp(flag->default_text, "true") == 0;
    int column;

    column = snprintf(left, sizeof(left), "  --%s%s%s%s", on ? "no-" : "",
                      flag->name, boolean ? "" : " ",
                      boolean ? "" : flag->placeholder);
    describe(flag, right, sizeof(right));
    if (column > INDENT - 2)
        printf("%s\n%*s", left, INDENT, "");
    else
        printf("%-*s", INDENT, left);
    print_wrapped(right, INDENT, INDENT);
}

/* Gives how many flags were left out. */
static size_t print_group(const struct options *options,
                          const struct option_group *group, bool all)
{
    size_t i, hidden = 0, printed = 0;

    for (i = 0; i < options->count; i++) {
        const struct flag *flag = &options->flags[i];

        if (strcmp(flag->group, group->name) != 0)
            continue;
        if (flag->advanced && !all) {
            hidden++;
            continue;
        }
        if (printed++ == 0)
            printf("\n%s:\n", group->title);
        print_flag(flag);
    }
    return hidden;
}

/* Paragraphs, which have an empty line between them, from the first column. */
static void print_paragraphs(const char *text)
{
    char paragraph[1024];
    size_t length;

    while (*text != '\0') {
        length = strcspn(text, "\n");
        snprintf(paragraph, sizeof(paragraph), "%.*s", (int)length, text);
        putchar('\n');
        print_wrapped(paragraph, 0, 0);
        text += length;
        text += strspn(text, "\n");
    }
}

static void print_positionals(const struct positional *positional)
{
    if (positional->name == NULL)
        return;
    puts("\nArguments:");
    for (; positional->name != NULL; positional++) {
        printf("  %-*s", INDENT - 2, positional->name);
        print_wrapped(positional->help, INDENT, INDENT);
    }
}

static void print_exit_codes(void)
{
    const struct exit_meaning *row;

    puts("\nExit codes:");
    for (row = exit_meanings; row->meaning != NULL; row++)
        printf("  %-5d%s\n", row->code, row->meaning);
}

void help_subcommand(const struct options *options, bool all)
{
    const struct subcommand *subcommand = options->subcommand;
    const struct option_group *group;
    size_t hidden = 0;

    printf("Usage: dreambooth %s", subcommand->name);
    print_wrapped(subcommand->arguments, 18 + (int)strlen(subcommand->name),
                  18);
    printf("\n%s.\nSuch as:\n  ", subcommand->summary);
    print_wrapped(subcommand->example, 2, 6);
    print_paragraphs(subcommand->description);
    print_positionals(subcommand->positionals);
    for (group = option_groups; group->title != NULL; group++)
        hidden += print_group(options, group, all);
    if (hidden > 0)
        printf("\n%zu more options for experts: dreambooth %s --help-all\n",
               hidden, subcommand->name);
    print_exit_codes();
}

/* What threads and memory are, and the flags of every command. */
static int print_common(void)
{
    const struct option_group *group;
    struct options options;
    int code = options_new(&options, all_commands[0]);

    if (code != EXIT_DONE)
        return code;
    for (group = option_groups; group->title != NULL; group++)
        if (strcmp(group->name, "context") == 0 ||
            strcmp(group->name, "global") == 0)
            print_group(&options, group, false);
    options_free(&options);
    return EXIT_DONE;
}

static void print_named(const char *title, const struct named_text *row)
{
    printf("\n%s:\n", title);
    for (; row->name != NULL; row++) {
        if (printf("  %-*s", INDENT - 3, row->name) < INDENT)
            putchar(' ');
        else
            printf("\n%*s", INDENT, "");
        print_wrapped(row->text, INDENT, INDENT);
    }
}

int help_overview(void)
{
    const struct subcommand *const *command;
    int code;

    puts("Usage: dreambooth COMMAND [ARGUMENTS] [OPTIONS]\n\n"
         "Teaches a Stable Diffusion model a subject from a few photos, and "
         "draws it.\n\n"
         "Commands:");
    for (command = all_commands; *command != NULL; command++)
        printf("  %-12s%s\n", (*command)->name, (*command)->summary);
    code = print_common();
    print_named("Configuration files, of options for all runs", config_files);
    print_named("Environment", environment_variables);
    print_exit_codes();
    return code;
}

void help_first_steps(void)
{
    puts(
        "dreambooth teaches a Stable Diffusion model a subject from a few "
        "photos.\n\n"
        "1. Get a model: the folder of a Stable Diffusion 1.x pipeline in the "
        "form of\n   diffusers (with unet/, vae/, text_encoder/, "
        "tokenizer/). See whether it\n   is whole:\n\n"
        "   dreambooth info MODEL\n\n"
        "2. Put three to five photos of the subject into a folder.\n"
        "3. Teach it. [V] stands for a rare word that is picked for you; "
        "--dry-run says\n"
        "   what the run will take:\n\n"
        "   dreambooth train MODEL --instance-dir PHOTOS \\\n"
        "       --instance-prompt \"a [V] dog\" --class-prompt \"a dog\" "
        "--out my-dog\n\n"
        "4. Draw it:\n\n"
        "   dreambooth sample my-dog --prompt \"a [V] dog on the beach\" "
        "--out beach.png\n\n"
        "\"dreambooth --help\" lists the commands, \"dreambooth train --help\" "
        "the options.");
}

static int run(const struct options *options)
{
    const struct subcommand *command;
    struct options of_command;
    int code;

    if (options->positional_count == 0)
        return help_overview();
    command = command_find(options->positionals[0]);
    if (command == NULL)
        return command_unknown(options->positionals[0]);
    code = options_new(&of_command, command);
    if (code != EXIT_DONE)
        return code;
    help_subcommand(&of_command, false);
    options_free(&of_command);
    return EXIT_DONE;
}

static const char *const handles[] = {NULL};
static const struct positional positionals[] = {
    {"COMMAND", "what to say more about; default: all commands", NULL, true},
    {NULL, NULL, NULL, false},
};

const struct subcommand help_command = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Says more about a command",
    .description = "\"dreambooth help train\" says what \"dreambooth train "
                   "--help\" does.",
    .example = "dreambooth help train",
    .handles = handles,
    .positionals = positionals,
    .run = run,
};

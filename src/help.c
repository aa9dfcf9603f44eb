/* SPDX-License-Identifier: MIT */
/* What --help says: flags in a column on the left, wrapped text on the right.*/
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "exit.h"

#define COLUMNS 79
#define INDENT 29

/* Writes TEXT from column COLUMN on, wrapped at words to lines that begin at
 * column INDENTED. */
static void print_wrapped(const char *text, int column, int indented)
{
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");

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
    char left[80], right[1024];
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

/* The flags of HANDLE, or the command's own where it is NULL. */
static size_t print_group(const struct options *options, const char *title,
                          const char *handle, bool all)
{
    size_t i, hidden = 0, printed = 0;

    for (i = 0; i < options->count; i++) {
        const struct flag *flag = &options->flags[i];
        bool own = flag->handle == NULL && handle == NULL;

        if (!own && (flag->handle == NULL || handle == NULL ||
                     strcmp(flag->handle, handle) != 0))
            continue;
        if (flag->advanced && !all) {
            hidden++;
            continue;
        }
        if (printed++ == 0)
            printf("\n%s\n", title);
        print_flag(flag);
    }
    return hidden;
}

void help_subcommand(const struct options *options, bool all)
{
    static const char *const titles[][2] = {
        {"context", "Threads and memory:"},
        {"identifier", "The picker:"},
        {"sampler", "The picture:"},
        {"trainer", "The training:"},
    };
    const struct subcommand *subcommand = options->subcommand;
    size_t i, hidden = 0;

    printf("Usage: dreambooth %s", subcommand->name);
    print_wrapped(subcommand->arguments, 18 + (int)strlen(subcommand->name),
                  18);
    printf("\n%s.\nSuch as:\n  ", subcommand->summary);
    print_wrapped(subcommand->example, 2, 6);
    for (i = sizeof(titles) / sizeof(titles[0]); i-- > 0;)
        hidden += print_group(options, titles[i][1], titles[i][0], all);
    print_group(options, "This command:", NULL, all);
    if (hidden > 0)
        printf("\n%zu more options for experts: dreambooth %s --help-all\n",
               hidden, subcommand->name);
    putchar('\n');
    print_exit_codes();
}

void help_overview(const struct subcommand *commands)
{
    puts("Usage: dreambooth COMMAND [ARGUMENTS] [OPTIONS]\n\n"
         "Teaches a Stable Diffusion model a subject from a few photos, and "
         "draws it.\n\n"
         "Commands:");
    for (; commands->name != NULL; commands++)
        printf("  %-12s%s\n", commands->name, commands->summary);
    puts(
        "  help        Says more about a command: dreambooth help train\n\n"
        "Options of all commands: --threads N, --memory-limit BYTES, "
        "--backend NAME,\n--quiet, --verbose, --help, --help-all, --version\n");
    print_exit_codes();
}

void help_first_steps(void)
{
    puts(
        "dreambooth teaches a Stable Diffusion model a subject from a few "
        "photos.\n\n"
        "1. Get a model: a folder of a Stable Diffusion 1.x pipeline in the "
        "form of\n   diffusers (with unet/, vae/, text_encoder/, "
        "tokenizer/).\n"
        "2. Put three to five photos of the subject into a folder.\n"
        "3. Teach it (see first what it takes, with --dry-run):\n\n"
        "   dreambooth train MODEL --instance-dir PHOTOS \\\n"
        "       --instance-prompt \"a [V] dog\" --class-prompt \"a dog\" "
        "--out my-dog\n\n"
        "4. Draw it:\n\n"
        "   dreambooth sample my-dog --prompt \"a [V] dog on the beach\" "
        "--out beach.png\n\n"
        "\"dreambooth --help\" lists the commands, \"dreambooth train --help\" "
        "the options.");
}

/* SPDX-License-Identifier: MIT */
/* `dreambooth completion`: what the scripts of all shells have in common. */
#include "completion.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "exit.h"

static enum completion_kind kind_of(const char *choices,
                                    const char *placeholder)
{
    static const struct {
        const char *placeholder;
        enum completion_kind kind;
    } kinds[] = {
        {"DIR", COMPLETE_FOLDERS},      {"CONFIG", COMPLETE_FOLDERS},
        {"FILE", COMPLETE_FILES},       {"MODEL", COMPLETE_FILES},
        {"COMMAND", COMPLETE_COMMANDS},
    };
    size_t i;

    if (choices != NULL && choices[0] != '\0')
        return COMPLETE_WORDS;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].placeholder, placeholder) == 0)
            return kinds[i].kind;
    return COMPLETE_NOTHING;
}

enum completion_kind completion_of_flag(const struct flag *flag)
{
    if (strcmp(flag->type, "boolean") == 0)
        return COMPLETE_FLAG;
    return kind_of(flag->choices, flag->placeholder);
}

enum completion_kind completion_of_positional(const struct positional *one)
{
    return kind_of(one->choices, one->name);
}

const char *completion_name(const struct flag *flag, char *text, size_t size)
{
    bool on = strcmp(flag->type, "boolean") == 0 &&
              strcmp(flag->default_text, "true") == 0;

    snprintf(text, size, "%s%s", on ? "no-" : "", flag->name);
    return text;
}

void completion_escape(const char *text, const char *special, const char *quote)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs(quote, stdout);
            continue;
        }
        if (strchr(special, *text) != NULL)
            putchar('\\');
        putchar(*text);
    }
}

void completion_commands(void)
{
    const struct subcommand *const *command;

    for (command = all_commands; *command != NULL; command++)
        printf("%s%s", command == all_commands ? "" : " ", (*command)->name);
}

static int run(const struct options *options)
{
    static const struct {
        const char *shell;
        void (*script)(const struct options *flags);
    } scripts[] = {
        {"bash", completion_bash},
        {"zsh", completion_zsh},
        {"fish", completion_fish},
    };
    struct options *flags;
    int code = commands_options(&flags);
    size_t i;

    if (code != EXIT_DONE)
        return code;
    for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        if (strcmp(scripts[i].shell, options->positionals[0]) == 0)
            scripts[i].script(flags);
    commands_options_free(flags);
    return EXIT_DONE;
}

static const char *const handles[] = {NULL};
static const struct positional positionals[] = {
    {"SHELL", "bash, zsh or fish", "bash zsh fish", false},
    {NULL, NULL, NULL, false},
};

const struct subcommand completion_command = {
    .name = "completion",
    .arguments = "SHELL",
    .summary = "Prints a script by which a shell completes this command",
    .description =
        "Where the command was installed with its completions, there is "
        "nothing to do. Elsewhere: put \"source <(dreambooth completion "
        "bash)\" into ~/.bashrc, the same with zsh into ~/.zshrc behind "
        "compinit, or \"dreambooth completion fish | source\" into fish's "
        "config.fish.",
    .example = "dreambooth completion fish | source",
    .handles = handles,
    .positionals = positionals,
    .run = run,
};

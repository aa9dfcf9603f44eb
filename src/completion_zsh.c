/* SPDX-License-Identifier: MIT */
/* The script for zsh, which leaves the work to _arguments. */
#include "completion.h"

#include <stdio.h>

#include <dreambooth/base.h>

#include "commands.h"

/* A single quote inside of single quotes. */
#define QUOTE "'\\''"

/* ":NAME:" and what is offered. */
static void print_value(enum completion_kind kind, const char *name,
                        const char *choices)
{
    static const char *const actions[] = {
        " ", "_files -/", "_files", "_dreambooth_commands", NULL, NULL};

    printf(":%s:", name);
    if (kind == COMPLETE_WORDS)
        printf("(%s)", choices);
    else
        fputs(actions[kind], stdout);
}

static void print_flag(const struct flag *flag)
{
    enum completion_kind kind = completion_of_flag(flag);
    char name[48];

    printf("            '--%s%s[", completion_name(flag, name, sizeof(name)),
           kind == COMPLETE_FLAG ? "" : "=");
    completion_escape(flag->help, "[]:\\", QUOTE);
    putchar(']');
    if (kind != COMPLETE_FLAG)
        print_value(kind, flag->placeholder, flag->choices);
    puts("' \\");
}

static void print_command(const struct options *flags)
{
    const struct positional *positional = flags->subcommand->positionals;
    size_t i;

    printf("    (%s)\n        _arguments -S \\\n", flags->subcommand->name);
    for (i = 0; i < flags->count; i++)
        print_flag(&flags->flags[i]);
    for (i = 0; positional[i].name != NULL; i++) {
        printf("            '%zu", i + 1);
        print_value(completion_of_positional(&positional[i]),
                    positional[i].name, positional[i].choices);
        puts("' \\");
    }
    puts("            && return\n        ;;");
}

void completion_zsh(const struct options *flags)
{
    size_t i;

    printf("#compdef dreambooth\n"
           "# Completion of dreambooth %s for zsh; made by\n"
           "# \"dreambooth completion zsh\".\n\n"
           "_dreambooth_commands() {\n    local -a commands\n    commands=(\n",
           dreambooth_version());
    for (i = 0; all_commands[i] != NULL; i++) {
        printf("        '%s:", all_commands[i]->name);
        completion_escape(all_commands[i]->summary, ":\\", QUOTE);
        puts("'");
    }
    puts("    )\n    _describe -t commands command commands\n}\n\n"
         "_dreambooth() {\n"
         "    local curcontext=$curcontext state line ret=1\n"
         "    typeset -A opt_args\n"
         "    _arguments -C \\\n"
         "        '(- *)--help[say this]' \\\n"
         "        '(- *)--help-all[say this]' \\\n"
         "        '(- *)--version[say the version]' \\\n"
         "        '1:command:_dreambooth_commands' \\\n"
         "        '*::argument:->argument' && ret=0\n"
         "    [[ $state == argument ]] || return ret\n"
         "    curcontext=\"${curcontext%:*:*}:dreambooth-$words[1]:\"\n"
         "    case $words[1] in");
    for (i = 0; all_commands[i] != NULL; i++)
        print_command(&flags[i]);
    puts("    esac\n"
         "    return ret\n"
         "}\n\n"
         "# Loaded by compinit, or read by source.\n"
         "if [[ $funcstack[1] == _dreambooth ]]; then\n"
         "    _dreambooth \"$@\"\n"
         "else\n"
         "    compdef _dreambooth dreambooth\n"
         "fi");
}

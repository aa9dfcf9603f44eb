/* SPDX-License-Identifier: MIT */
/*
 * The script for bash. It needs nothing of the package bash-completion; files
 * and folders are left to readline, which knows about quotes and tildes.
 */
#include "completion.h"

#include <stdio.h>

#include <dreambooth/base.h>

#include "commands.h"

static void print_kind(enum completion_kind kind, const char *choices)
{
    static const char *const kinds[] = {"nothing", "folders", "files",
                                        "words",   "words",   "flag"};

    printf("kind=%s", kinds[kind]);
    if (kind != COMPLETE_WORDS && kind != COMPLETE_COMMANDS)
        return;
    fputs(" words='", stdout);
    if (kind == COMPLETE_COMMANDS)
        completion_commands();
    else
        fputs(choices, stdout);
    putchar('\'');
}

/* What each flag and argument takes; arguments are called by their number. */
static void print_kinds(const struct options *flags)
{
    const struct positional *positional = flags->subcommand->positionals;
    const char *command = flags->subcommand->name;
    char name[48];
    size_t i;

    for (i = 0; i < flags->count; i++) {
        printf("    '%s --%s') ", command,
               completion_name(&flags->flags[i], name, sizeof(name)));
        print_kind(completion_of_flag(&flags->flags[i]),
                   flags->flags[i].choices);
        puts(" ;;");
    }
    for (i = 0; positional[i].name != NULL; i++) {
        printf("    '%s %zu') ", command, i + 1);
        print_kind(completion_of_positional(&positional[i]),
                   positional[i].choices);
        puts(" ;;");
    }
}

static void print_flags(const struct options *flags)
{
    char name[48];
    size_t i;

    printf("    %s) words='", flags->subcommand->name);
    for (i = 0; i < flags->count; i++)
        printf("%s--%s", i == 0 ? "" : " ",
               completion_name(&flags->flags[i], name, sizeof(name)));
    puts("' ;;");
}

static const char *const complete =
    "# Which argument is to be completed: $position, if it is none of a flag.\n"
    "_dreambooth_count() { # COMMAND\n"
    "    local i word\n"
    "    position=1 only_arguments=\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ -n $only_arguments || $word != -* ]]; then\n"
    "            ((position++))\n"
    "        elif [[ $word == -- ]]; then\n"
    "            only_arguments=yes\n"
    "        elif [[ ${COMP_WORDS[i + 1]-} == = ]]; then\n"
    "            ((i += 2))\n"
    "        else\n"
    "            _dreambooth_kind \"$1 $word\"\n"
    "            [[ -z $kind || $kind == flag ]] || ((i++))\n"
    "        fi\n"
    "    done\n"
    "}\n"
    "\n"
    "_dreambooth_offer() { # WORD\n"
    "    local IFS=$' \\t\\n'\n"
    "    case $kind in\n"
    "    words) COMPREPLY=($(compgen -W \"$words\" -- \"$1\")) ;;\n"
    "    folders) compopt -o dirnames ;;\n"
    "    files) compopt -o default ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "_dreambooth() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}\n"
    "    local before=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local kind= words= position only_arguments\n"
    "    COMPREPLY=()\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        kind=words words=\"$_dreambooth_commands\"\n"
    "        [[ $word != -* ]] || words='--help --help-all --version'\n"
    "        _dreambooth_offer \"$word\"\n"
    "        return\n"
    "    fi\n"
    "    # --flag=value comes as three words.\n"
    "    if [[ $word == = ]]; then\n"
    "        word=\n"
    "    elif [[ $before == = ]] && ((COMP_CWORD > 3)); then\n"
    "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    _dreambooth_count \"$command\"\n"
    "    kind= words=\n"
    "    if [[ -z $only_arguments && $before == -* ]]; then\n"
    "        _dreambooth_kind \"$command $before\"\n"
    "        if [[ -n $kind && $kind != flag ]]; then\n"
    "            _dreambooth_offer \"$word\"\n"
    "            return\n"
    "        fi\n"
    "        kind=\n"
    "    fi\n"
    "    if [[ -z $only_arguments && $word == -* ]]; then\n"
    "        kind=words\n"
    "        _dreambooth_flags \"$command\"\n"
    "    else\n"
    "        _dreambooth_kind \"$command $position\"\n"
    "    fi\n"
    "    _dreambooth_offer \"$word\"\n"
    "}\n"
    "\n"
    "complete -F _dreambooth dreambooth";

void completion_bash(const struct options *flags)
{
    size_t i;

    printf("# Completion of dreambooth %s for bash; made by\n"
           "# \"dreambooth completion bash\".\n\n"
           "_dreambooth_commands='",
           dreambooth_version());
    completion_commands();
    puts("'\n\n# What a flag or an argument takes: $kind, and $words for a "
         "choice.\n"
         "_dreambooth_kind() { # \"COMMAND FLAG\" or \"COMMAND NUMBER\"\n"
         "    kind= words=\n"
         "    case $1 in");
    for (i = 0; all_commands[i] != NULL; i++)
        print_kinds(&flags[i]);
    puts("    esac\n}\n\n_dreambooth_flags() { # COMMAND\n    case $1 in");
    for (i = 0; all_commands[i] != NULL; i++)
        print_flags(&flags[i]);
    puts("    esac\n}\n");
    puts(complete);
}

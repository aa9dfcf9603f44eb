/* SPDX-License-Identifier: MIT */
/* The script for fish: one line of complete for each flag. */
#include "completion.h"

#include <stdio.h>
#include <string.h>

#include <dreambooth/base.h>

#include "commands.h"

/* Text inside of single quotes. */
static void print_text(const char *text)
{
    completion_escape(text, "\\", "\\'");
}

/* What is offered for a value or an argument. */
static void print_offer(enum completion_kind kind, const char *choices)
{
    static const char *const offers[] = {
        "", " -a '(__fish_complete_directories)'", " -F", NULL, NULL, ""};

    if (offers[kind] != NULL) {
        fputs(offers[kind], stdout);
        return;
    }
    fputs(" -a '", stdout);
    if (kind == COMPLETE_COMMANDS)
        completion_commands();
    else
        fputs(choices, stdout);
    putchar('\'');
}

static void print_flag(const char *command, const struct flag *flag)
{
    enum completion_kind kind = completion_of_flag(flag);
    char name[48];

    printf("complete -c dreambooth -n '__dreambooth_in %s' -l %s", command,
           completion_name(flag, name, sizeof(name)));
    if (kind != COMPLETE_FLAG)
        fputs(kind == COMPLETE_FILES ? " -r" : " -x", stdout);
    print_offer(kind, flag->choices);
    fputs(" -d '", stdout);
    print_text(flag->help);
    puts("'");
}

static void print_command(const struct options *flags)
{
    const struct subcommand *command = flags->subcommand;
    const struct positional *positional;
    size_t i, number = 0;

    printf("\ncomplete -c dreambooth -n __dreambooth_first -a %s -d '",
           command->name);
    print_text(command->summary);
    puts("'");
    for (positional = command->positionals; positional->name != NULL;
         positional++) {
        printf("complete -c dreambooth -n '__dreambooth_at %s %zu'",
               command->name, ++number);
        print_offer(completion_of_positional(positional), positional->choices);
        putchar('\n');
    }
    for (i = 0; i < flags->count; i++)
        print_flag(command->name, &flags->flags[i]);
}

/* The flags that take no value: where one of the others stands, the word
 * behind it is its value. */
static void print_booleans(const struct options *flags)
{
    char name[48];
    size_t i, j;

    fputs("set -g __dreambooth_booleans -h -q -v", stdout);
    for (i = 0; all_commands[i] != NULL; i++)
        for (j = 0; j < flags[i].count; j++)
            if (completion_of_flag(&flags[i].flags[j]) == COMPLETE_FLAG &&
                (i == 0 || strcmp(flags[i].flags[j].group, "global") != 0))
                printf(" --%s",
                       completion_name(&flags[i].flags[j], name, sizeof(name)));
    putchar('\n');
}

static const char *const functions =
    "\nfunction __dreambooth_first\n"
    "    test (count (commandline -opc)) -eq 1\n"
    "end\n"
    "\n"
    "function __dreambooth_in --argument-names command\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -gt 1; and test $words[2] = $command\n"
    "end\n"
    "\n"
    "# Whether the argument of this number is to be completed.\n"
    "function __dreambooth_at --argument-names command number\n"
    "    __dreambooth_in $command; or return\n"
    "    set -l words (commandline -opc)\n"
    "    set -l position 1\n"
    "    set -l is_value no\n"
    "    for word in $words[3..]\n"
    "        if test $is_value = yes\n"
    "            set is_value no\n"
    "        else if not string match -q -- '-*' $word\n"
    "            set position (math $position + 1)\n"
    "        else if not string match -q -- '*=*' $word\n"
    "            and not contains -- $word -- $__dreambooth_booleans\n"
    "            set is_value yes\n"
    "        end\n"
    "    end\n"
    "    test $is_value = no -a $position -eq $number\n"
    "end";

void completion_fish(const struct options *flags)
{
    size_t i;

    printf("# Completion of dreambooth %s for fish; made by\n"
           "# \"dreambooth completion fish\".\n\n",
           dreambooth_version());
    print_booleans(flags);
    puts(functions);
    puts("\ncomplete -c dreambooth -f\n"
         "complete -c dreambooth -n __dreambooth_first -l help -d 'say this'\n"
         "complete -c dreambooth -n __dreambooth_first -l help-all\n"
         "complete -c dreambooth -n __dreambooth_first -l version");
    for (i = 0; all_commands[i] != NULL; i++)
        print_command(&flags[i]);
}

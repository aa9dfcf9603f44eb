/* SPDX-License-Identifier: MIT */
/*
 * The `dreambooth` command: libdreambooth's public headers from the shell. A
 * subcommand is a row of a table; this file finds it and runs it.
 */
#include <stdio.h>
#include <string.h>

#include <dreambooth/base.h>

#include "commands.h"
#include "exit.h"
#include "help.h"
#include "suggest.h"

static const struct subcommand *find(const struct subcommand *commands,
                                     const char *name)
{
    for (; commands->name != NULL; commands++)
        if (strcmp(commands->name, name) == 0)
            return commands;
    return NULL;
}

static int unknown(const struct subcommand *commands, const char *name)
{
    struct suggestion suggestion = suggestion_for(name);

    for (; commands->name != NULL; commands++)
        suggestion_consider(&suggestion, commands->name);
    if (suggestion.best != NULL)
        return complain(EXIT_USAGE, "unknown command \"%s\"; did you mean %s?",
                        name, suggestion.best);
    return complain(EXIT_USAGE,
                    "unknown command \"%s\"; \"dreambooth --help\" lists them",
                    name);
}

static int print_version(void)
{
    printf("dreambooth %s\n", dreambooth_version());
    return EXIT_DONE;
}

/* After the flags are read: what was asked for. */
static int act(const struct options *options)
{
    int code;

    if (options_yes(options, "help") || options_yes(options, "help-all")) {
        help_subcommand(options, options_yes(options, "help-all"));
        return EXIT_DONE;
    }
    if (options_yes(options, "version"))
        return print_version();
    code = options_check_positionals(options);
    return code != EXIT_DONE ? code : options->subcommand->run(options);
}

static int run(const struct subcommand *command, int count, char **arguments)
{
    struct options options;
    int code = options_new(&options, command);

    if (code != EXIT_DONE)
        return code;
    code = options_parse(&options, count, arguments);
    if (code == EXIT_DONE)
        code = act(&options);
    options_free(&options);
    return code;
}

/* "dreambooth help train" is "dreambooth train --help". */
static int help(const struct subcommand *commands, const char *name)
{
    static char flag[] = "--help";
    char *arguments[] = {flag};
    const struct subcommand *command;

    if (name == NULL) {
        help_overview(commands);
        return EXIT_DONE;
    }
    command = find(commands, name);
    return command == NULL ? unknown(commands, name)
                           : run(command, 1, arguments);
}

static int dispatch(int count, char **arguments)
{
    const struct subcommand commands[] = {
        train_command,
        sample_command,
        identifier_command,
        tokenize_command,
        info_command,
        init_command,
        {0},
    };
    const char *name = count < 2 ? NULL : arguments[1];
    const struct subcommand *command;

    if (name == NULL) {
        help_first_steps();
        return EXIT_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "--help-all") == 0)
        return help(commands, NULL);
    if (strcmp(name, "--version") == 0)
        return print_version();
    if (strcmp(name, "help") == 0)
        return help(commands, count < 3 ? NULL : arguments[2]);
    command = find(commands, name);
    if (command != NULL)
        return run(command, count - 2, arguments + 2);
    if (name[0] == '-')
        return complain(EXIT_USAGE,
                        "options stand behind a command, such as "
                        "\"dreambooth train %s\"; \"dreambooth --help\" lists "
                        "the commands",
                        name);
    return unknown(commands, name);
}

int main(int argc, char **argv)
{
    int code = dispatch(argc, argv);

    if (fflush(stdout) != 0 && code == EXIT_DONE) {
        perror("dreambooth: standard output");
        code = EXIT_IO;
    }
    return code;
}

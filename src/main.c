/* SPDX-License-Identifier: MIT */
/*
 * The `dreambooth` command: libdreambooth's public headers from the shell. A
 * subcommand is a row of a table; this file finds it and runs it.
 */
#include <stdio.h>
#include <string.h>

#include "color.h"
#include "commands.h"
#include "config.h"
#include "exit.h"
#include "help.h"
#include "version.h"

/* After the flags are read: what was asked for. */
static int act(struct options *options)
{
    int code;

    if (options_yes(options, "help") || options_yes(options, "help-all")) {
        help_subcommand(options, options_yes(options, "help-all"));
        return EXIT_DONE;
    }
    if (options_yes(options, "version"))
        return print_version(options_yes(options, "verbose"));
    code = config_read(options);
    color_choose(options_text(options, "color"));
    if (code == EXIT_DONE)
        code = options_check_positionals(options);
    return code == EXIT_DONE ? options->subcommand->run(options) : code;
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

static bool is_any(const char *argument, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(argument, *names) == 0)
            return true;
    return false;
}

/* "dreambooth --help" and "dreambooth --version" stand for commands. */
static int dispatch_flag(int count, char **arguments)
{
    static const char *const helps[] = {"--help", "-h", "--help-all", NULL};
    static const char *const verbose[] = {"--verbose", "-v", NULL};

    if (is_any(arguments[1], helps))
        return help_overview();
    if (strcmp(arguments[1], "--version") == 0)
        return print_version(count > 2 && is_any(arguments[2], verbose));
    return complain(EXIT_USAGE,
                    "options stand behind a command, such as \"dreambooth "
                    "train %s\"; \"dreambooth --help\" lists the commands",
                    arguments[1]);
}

static int dispatch(int count, char **arguments)
{
    const struct subcommand *command;

    if (count < 2) {
        help_first_steps();
        return EXIT_DONE;
    }
    if (arguments[1][0] == '-')
        return dispatch_flag(count, arguments);
    command = command_find(arguments[1]);
    if (command == NULL)
        return command_unknown(arguments[1]);
    return run(command, count - 2, arguments + 2);
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

/* SPDX-License-Identifier: MIT */
/* The table of all subcommands, and finding one by its name. */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "exit.h"
#include "suggest.h"

extern const struct subcommand train_command;
extern const struct subcommand sample_command;
extern const struct subcommand identifier_command;
extern const struct subcommand tokenize_command;
extern const struct subcommand info_command;
extern const struct subcommand init_command;
extern const struct subcommand completion_command;
extern const struct subcommand version_command;
extern const struct subcommand help_command;

const struct subcommand *const all_commands[] = {
    &train_command,      &sample_command,
    &identifier_command, &tokenize_command,
    &info_command,       &init_command,
    &completion_command, &version_command,
    &help_command,       NULL,
};

const struct subcommand *command_find(const char *name)
{
    const struct subcommand *const *command;

    for (command = all_commands; *command != NULL; command++)
        if (strcmp((*command)->name, name) == 0)
            return *command;
    return NULL;
}

int command_unknown(const char *name)
{
    struct suggestion suggestion = suggestion_for(name);
    const struct subcommand *const *command;

    for (command = all_commands; *command != NULL; command++)
        suggestion_consider(&suggestion, (*command)->name);
    if (suggestion.best != NULL)
        return complain(EXIT_USAGE, "unknown command \"%s\"; did you mean %s?",
                        name, suggestion.best);
    return complain(EXIT_USAGE,
                    "unknown command \"%s\"; \"dreambooth --help\" lists them",
                    name);
}

int commands_options(struct options **out)
{
    size_t i, count = sizeof(all_commands) / sizeof(all_commands[0]);
    struct options *options = calloc(count, sizeof(*options));
    int code = EXIT_DONE;

    if (options == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    for (i = 0; all_commands[i] != NULL && code == EXIT_DONE; i++)
        code = options_new(&options[i], all_commands[i]);
    if (code != EXIT_DONE) {
        commands_options_free(options);
        return code;
    }
    *out = options;
    return EXIT_DONE;
}

void commands_options_free(struct options *options)
{
    size_t i;

    for (i = 0; all_commands[i] != NULL; i++)
        options_free(&options[i]);
    free(options);
}

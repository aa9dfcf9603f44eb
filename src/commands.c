/* SPDX-License-Identifier: MIT */
/* The table of all subcommands, and finding one by its name. */
#include "commands.h"

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

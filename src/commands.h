/* SPDX-License-Identifier: MIT */
/* The subcommands, each in a file of its name. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "options.h"

extern const struct subcommand train_command;
extern const struct subcommand sample_command;
extern const struct subcommand identifier_command;
extern const struct subcommand tokenize_command;
extern const struct subcommand info_command;
extern const struct subcommand init_command;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The subcommands. Each is in a file of its name, and all that is said of it
 * (by --help, completion and the manual) stands in its row there.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "options.h"

/* In the order in which people meet them; NULL-ended. */
extern const struct subcommand *const all_commands[];

/* The subcommand called NAME, or NULL. */
const struct subcommand *command_find(const char *name);
/* The flags of all_commands, in their order, for commands_options_free(); an
 * exit code. */
int commands_options(struct options **out);
void commands_options_free(struct options *options);
/* Complains that there is none of this name, and suggests one. */
int command_unknown(const char *name);

#endif

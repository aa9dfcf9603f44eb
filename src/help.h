/* SPDX-License-Identifier: MIT */
/* What --help says, in 80 columns, made of the flags. */
#ifndef HELP_H
#define HELP_H

#include "options.h"

/* ALL: with the options for experts. */
void help_subcommand(const struct options *options, bool all);
/* Of all commands; an exit code. */
int help_overview(void);
/* For those who type "dreambooth" and nothing else. */
void help_first_steps(void);

#endif

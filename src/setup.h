/* SPDX-License-Identifier: MIT */
/* What every subcommand begins with: a context that is set up from the flags,
 * listens to Ctrl-C, and says what the library has to say. */
#ifndef SETUP_H
#define SETUP_H

#include <dreambooth/context.h>

#include "options.h"

/* An exit code; *OUT is then to be ended with setup_end(). */
int setup_begin(const struct options *options, dreambooth_context **out);
/* Frees CONTEXT (NULL is fine) and gives CODE back. */
int setup_end(dreambooth_context *context, int code);
/* Writes what the library has to say: more or less of it, by the flags. */
void setup_log(dreambooth_context *context, const struct options *options);
/* Complains of STATUS unless it is a success; gives the exit code. The line of
 * the configuration file that is to blame is named. */
int setup_check(const struct options *options,
                const dreambooth_context *context, int status);

#endif

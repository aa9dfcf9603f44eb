/* SPDX-License-Identifier: MIT */
/*
 * The configuration file: options that are given once and for all. What a line
 * sets counts as if it stood on the command line, which wins.
 *
 *     # for all commands that have such an option
 *     memory-limit = 12G
 *     [train]
 *     class-prompt = "a dog"
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "options.h"

/* A name and what is to be said of it, for --help and the manual. */
struct named_text {
    const char *name, *text;
};

/* Where files are looked for, the later ones winning; up to a name of NULL. */
extern const struct named_text config_files[];
/* Environment variables that the command heeds; up to a name of NULL. */
extern const struct named_text environment_variables[];

/*
 * Reads the files into OPTIONS, whose command line has been read. Complains of
 * the first line that is wrong, whatever command it is for, and gives an exit
 * code.
 */
int config_read(struct options *options);

#endif

/* SPDX-License-Identifier: MIT */
/* A configuration file as text, and one of its lines. */
#ifndef CONFIG_LINE_H
#define CONFIG_LINE_H

#include <stddef.h>

/* All NULL: an empty line or a comment. */
struct config_line {
    const char *section; /* of "[section]" */
    const char *name, *value;
};

/* Reads LINE, which is changed: parts of it are given back. Gives what is wrong
 * with it, or NULL. */
const char *config_line_read(char *line, struct config_line *out);
/* The whole file, for free(), with a NUL behind it. Gives what is wrong, or
 * NULL; errno says whether there is such a file. */
const char *config_load(const char *path, char **text, size_t *length);

#endif

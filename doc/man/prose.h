/* SPDX-License-Identifier: MIT */
/*
 * Plain English to mdoc. The words that mean something get their macro: NULL,
 * status codes, functions, "option-names", --flags, files and, in capitals, the
 * arguments of the functions or of the subcommand that a text is about.
 */
#ifndef MAN_PROSE_H
#define MAN_PROSE_H

#include <stdio.h>

#include "header.h"

struct subcommand;

/* What a text is about; any may be NULL. */
struct subject {
    const struct header *header;           /* whose functions are this page's */
    const struct declaration *declaration; /* the first of a comment's */
    size_t count;                          /* of those */
    const struct subcommand *command;
};

/* Paragraphs, with indented lines as displays. */
void prose(FILE *out, const struct subject *subject, const char *text);
/* A line of an option table: a capital at its begin, a full stop at its end. */
void prose_sentence(FILE *out, const struct subject *subject, const char *text);

/* TEXT as an argument of a macro. */
void print_argument(FILE *out, const char *text);
/* TEXT as it stands, on lines of its own. */
void print_literal(FILE *out, const char *text, size_t length);

/* The status called NAME, with or without DREAMBOOTH_ before it; NULL for what
 * is none. The text is static. */
const char *status_called(const char *name, size_t length);

#endif

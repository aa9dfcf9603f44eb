/* SPDX-License-Identifier: MIT */
/*
 * A public header as the manual sees it: its opening comment, and what stands
 * between begin.h and end.h, each declaration with the comment above it.
 *
 * The headers are laid out by clang-format and follow one habit: a comment
 * stands over the declarations that follow it, up to the next comment or empty
 * line. That is all the C that is understood here.
 */
#ifndef MAN_HEADER_H
#define MAN_HEADER_H

#include <stdbool.h>
#include <stddef.h>

/* A part of a text that somebody else holds. */
struct span {
    const char *at;
    size_t length;
};

enum declaration_kind { OPAQUE, ENUMERATION, STRUCTURE, CALLBACK, FUNCTION };

struct declaration {
    enum declaration_kind kind;
    struct span comment; /* length 0: that of the declaration before */
    struct span text;    /* up to the semicolon, which is not in it */
    struct span name;
    bool opens; /* the first under its comment, or without any */
};

struct header {
    char *text; /* of the file */
    struct span about;
    struct declaration *declarations;
    size_t count;
};

/* Exits with a message when the file cannot be read. */
void header_read(struct header *header, const char *path);
void header_free(struct header *header);

/* The next of the arguments of a function, which REST goes through; false
 * behind the last. Line ends in it are still there. */
bool declaration_argument(struct span *rest, struct span *argument);
struct span declaration_arguments(const struct declaration *declaration);
/* What stands before the name: "const char *". */
struct span declaration_result(const struct declaration *declaration);
/* What an argument is called. */
struct span argument_name(struct span argument);

/* The next constant of an enumeration and the comment behind it. */
bool declaration_constant(struct span *rest, struct span *name,
                          struct span *value, struct span *comment);
/* What is between the braces. */
struct span declaration_body(const struct declaration *declaration);

/* A comment's text without its frame, for free(). */
char *comment_text(struct span comment);

bool span_is(struct span span, const char *text);

/* A whole file, NUL-ended, for free(); exits with a message when that fails. */
char *file_text(const char *path);
/* Memory, or the end. */
void *must(void *memory);

#endif

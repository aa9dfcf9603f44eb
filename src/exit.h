/* SPDX-License-Identifier: MIT */
/*
 * How the command ends: one line on stderr, and an exit code that scripts can
 * tell apart. The codes are documented in --help and README.md.
 */
#ifndef EXIT_H
#define EXIT_H

#include <dreambooth/context.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_IO = 1,         /* reading or writing failed; a defect in here */
    EXIT_USAGE = 2,      /* an unknown option, a value that is out of range */
    EXIT_INPUT = 3,      /* a model or picture is missing, damaged, unknown */
    EXIT_RESOURCES = 4,  /* memory or disk do not suffice */
    EXIT_NONFINITE = 5,  /* a NaN or infinity came up */
    EXIT_SIGNALLED = 128 /* and the signal's number: 130 for SIGINT */
};

/* The exit code for an error of the library. */
int complain_code(int status);
/* "dreambooth: TEXT" as one line on stderr; gives CODE back. */
int complain(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same from what CONTEXT says of its last error; the code follows from
 * STATUS. */
int complain_of(const dreambooth_context *context, int status);
/* A line that is no error: "dreambooth: KIND: TEXT". */
void remark(const char *kind, const char *text);
/* What the codes mean, for --help and the manual; up to a meaning of NULL. */
struct exit_meaning {
    int code;
    const char *meaning;
};

extern const struct exit_meaning exit_meanings[];

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The command line. Flags are made of the library's own option tables, so that
 * an option that is added there is a flag here; a subcommand adds few of its
 * own. Values are kept as texts and handed to the handles' setters, which know
 * what is right.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* A flag of the command's own. */
struct own_flag {
    const char *name;
    const char *placeholder; /* NULL: a boolean */
    const char *default_text;
    const char *help;    /* no full stop */
    const char *choices; /* with blanks between; NULL: any text */
};

/* An argument without a name before it. */
struct positional {
    const char *name; /* for the usage line: "MODEL" */
    const char *help;
    const char *choices; /* with blanks between; NULL: any text */
    bool optional;
};

struct options;

struct subcommand {
    const char *name;
    const char *arguments;      /* for the usage line: "MODEL --prompt TEXT" */
    const char *summary;        /* one line, no full stop */
    const char *description;    /* paragraphs with an empty line between */
    const char *example;        /* a line to try */
    const char *const *handles; /* option tables, NULL-ended */
    const struct own_flag *own; /* up to a name of NULL; may be NULL */
    const struct positional *positionals;      /* up to a name of NULL */
    int (*run)(const struct options *options); /* gives an exit code */
};

/* Flags that every subcommand has: help, quiet and so on. */
extern const struct own_flag global_flags[];

/* Where a flag comes from: an option table of the library, the subcommand's own
 * flags ("own") or the global ones ("global"). In the order of --help. */
struct option_group {
    const char *name, *title;
};

/* Up to a title of NULL. */
extern const struct option_group option_groups[];

/* One flag, wherever it comes from. */
struct flag {
    char name[40], type[12], placeholder[24], unit[16];
    char range[1024], choices[1024], default_text[1024], help[1024];
    bool advanced;
    const char *group; /* of option_groups */
    char *value;       /* as given; NULL: not given */
    char *origin;      /* where in a configuration file; NULL: not there */
};

#define POSITIONALS 4

struct options {
    const struct subcommand *subcommand;
    struct flag *flags;
    size_t count;
    const char *positionals[POSITIONALS]; /* of argv */
    size_t positional_count;
};

/* The flags of SUBCOMMAND; an exit code, nothing to free unless it is 0. */
int options_new(struct options *options, const struct subcommand *subcommand);
void options_free(struct options *options);
/* Reads the arguments behind the subcommand; complains and gives an exit code
 * for what is wrong. */
int options_parse(struct options *options, int count, char **arguments);
/* Sets the flag NAME, which must be there, as WHERE in a configuration file
 * says; what the command line says wins (and is a WHERE of NULL). */
int options_set(struct options *options, const char *name, const char *where,
                const char *value);
/* Complains unless all positional arguments are there. */
int options_check_positionals(const struct options *options);

const struct flag *options_find(const struct options *options,
                                const char *name);
/* What was given, or the flag's default; NULL where there is neither. */
const char *options_text(const struct options *options, const char *name);
/* What was given or is the default, as a boolean. */
bool options_yes(const struct options *options, const char *name);
/* Complains unless NAME was given. */
int options_need(const struct options *options, const char *name);

/* Complains of the value of the flag NAME; where a configuration file set it,
 * that is named first. Gives CODE back. */
int options_complain(const struct options *options, int code, const char *name,
                     const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Where the configuration file sets what ERROR, a text of the library, is
 * about: the option whose name or value it begins with, or whose value it
 * quotes. NULL: nowhere. */
const char *options_origin(const struct options *options, const char *error);

typedef int option_setter(void *handle, const char *name, const char *value);
/* Hands all values given for HANDLE to SET, until one is refused: then its
 * status. */
int options_apply(const struct options *options, const char *handle,
                  option_setter *set, void *to);

#endif

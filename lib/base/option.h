/* SPDX-License-Identifier: MIT */
/*
 * Option tables. Each handle has one table, and everything about its options
 * comes from there: the setters, the checks and their messages, the flags of
 * the command, --help and the manual pages. A new option is one row.
 *
 * The values live in a plain struct of the owner, the settings, in which a row
 * finds its field by offset; the code that uses a setting reads the field.
 *
 *     struct sampler_settings { int64_t steps; double scale; char *prompt; };
 *     static const struct db_option rows[] = {
 *         {.name = "steps", .type = DB_OPTION_INTEGER,
 *          .offset = offsetof(struct sampler_settings, steps),
 *          .default_text = "50", .minimum = 1, .maximum = 1000,
 *          .placeholder = "N", .help = "number of denoising steps"},
 *         ...
 *     };
 */
#ifndef DB_BASE_OPTION_H
#define DB_BASE_OPTION_H

#include "base/env.h"

/* The type of the field in the settings stands behind each. */
enum db_option_type {
    DB_OPTION_BOOL,    /* bool; true/false, yes/no, on/off, 1/0 */
    DB_OPTION_INTEGER, /* int64_t */
    DB_OPTION_REAL,    /* double, finite */
    DB_OPTION_TEXT,    /* char *, owned by the settings; NULL when not set */
    DB_OPTION_CHOICE   /* int, an index into choices */
};

enum db_option_flag {
    DB_OPTION_ADVANCED = 1,  /* in the manual, not in the short help */
    DB_OPTION_CHANGEABLE = 2 /* may differ when a stopped run is resumed */
};

struct db_option {
    const char *name; /* lower case, words joined by '-' */
    enum db_option_type type;
    size_t offset; /* of the field in the settings */
    const char
        *default_text;       /* as for db_options_set(); NULL: false, 0, NULL */
    double minimum, maximum; /* both included; no limits if they are equal;
                              * INFINITY is fine */
    bool minimum_open;       /* the minimum itself is not allowed */
    const char *const *choices; /* NULL-ended */
    const char *placeholder;    /* for help: "DIR", "N", "TEXT" */
    const char *unit;           /* "pixels"; NULL: none */
    const char *help;           /* one line, no full stop */
    unsigned flags;             /* of enum db_option_flag */
};

struct db_option_table {
    const char *handle; /* with its article, for messages: "a trainer" */
    const struct db_option *rows;
    size_t count;
};

/* Fills every field that the table names with its default; fields that no row
 * names are left alone. Nothing to release if this fails. */
int db_options_init(struct db_env *env, const struct db_option_table *table,
                    void *settings);
/* Frees the texts and sets them to NULL. */
void db_options_release(struct db_env *env, const struct db_option_table *table,
                        void *settings);
/* Makes TO, which must be initialised, equal to FROM, with texts of its own. */
int db_options_copy(struct db_env *env, const struct db_option_table *table,
                    void *to, const void *from);

/* The row called NAME, or NULL. '-' and '_' are the same. */
const struct db_option *db_option_lookup(const struct db_option_table *table,
                                         const char *name);
/* The same with an error, which suggests the closest name: ENOTFOUND. */
int db_options_find(struct db_env *env, const struct db_option_table *table,
                    const char *name, const struct db_option **out);

/*
 * Set one option. ENOTFOUND for an unknown name, EINVAL for a value that does
 * not read as the option's type or lies outside its range; the error says what
 * would be right. set() takes every type, and NULL unsets a text;
 * set_integer() takes booleans (0, 1), integers and reals, set_real() reals
 * and, if the value is whole, integers and booleans.
 */
int db_options_set(struct db_env *env, const struct db_option_table *table,
                   void *settings, const char *name, const char *text);
int db_options_set_integer(struct db_env *env,
                           const struct db_option_table *table, void *settings,
                           const char *name, int64_t value);
int db_options_set_real(struct db_env *env, const struct db_option_table *table,
                        void *settings, const char *name, double value);

/*
 * Get one option. get_text() takes every type and gives what db_options_set()
 * would read as the same value, in fresh memory that the caller frees with
 * db_free(), or NULL for a text that is not set. get_integer() takes booleans
 * and integers; get_real() takes these and reals.
 */
int db_options_get_text(struct db_env *env, const struct db_option_table *table,
                        const void *settings, const char *name, char **out);
int db_options_get_integer(struct db_env *env,
                           const struct db_option_table *table,
                           const void *settings, const char *name,
                           int64_t *out);
int db_options_get_real(struct db_env *env, const struct db_option_table *table,
                        const void *settings, const char *name, double *out);

/*
 * What the option takes, in words, cut off at SIZE bytes: "a number > 0 and <=
 * 1", "a whole number from 1 to 1000", "true or false", "one of ddpm, ddim".
 */
void db_option_describe(const struct db_option *option, char *text,
                        size_t size);

#endif

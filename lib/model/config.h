/* SPDX-License-Identifier: MIT */
/*
 * Reading config.json by tables. Each field that diffusers or transformers may
 * write has a row: where its value goes, or which values this version can do,
 * or that it does not matter here. A field without a row, or with a value
 * beyond its row, is an error: what a model asks for is never quietly left
 * out.
 *
 * The struct that is filled holds the defaults beforehand; a field that is
 * absent or null leaves them.
 */
#ifndef DB_MODEL_CONFIG_H
#define DB_MODEL_CONFIG_H

#include <jansson.h>

#include "base/env.h"

#define DB_CONFIG_LIST_MAX 8

/* A list of integers, or of choices; SINGLE when it was one value. */
struct db_config_list {
    int64_t values[DB_CONFIG_LIST_MAX];
    int64_t count;
    bool single;
};

/* The type of the field in the struct stands behind each. */
enum db_config_type {
    DB_CONFIG_INTEGER, /* int64_t in minimum..maximum */
    DB_CONFIG_REAL,    /* double in minimum..maximum */
    DB_CONFIG_BOOLEAN, /* bool */
    DB_CONFIG_CHOICE,  /* int64_t: an index into choices */
    DB_CONFIG_LIST,    /* struct db_config_list: an integer or several */
    DB_CONFIG_CHOICES, /* struct db_config_list: indices into choices */
    DB_CONFIG_ONLY,    /* none: the value must be one of those in only */
    DB_CONFIG_IGNORED  /* none: any value */
};

struct db_config_field {
    const char *name;
    enum db_config_type type;
    size_t offset;
    double minimum, maximum;
    const char *const *choices; /* NULL-ended */
    const char *only;           /* a JSON array of the supported values */
};

/* Rows of a table: PLACE is the offset of the value in the struct. */
#define DB_ROW_NUMBER(field, kind, place, low, high)                           \
    {                                                                          \
        .name = field, .type = kind, .offset = place, .minimum = low,          \
        .maximum = high                                                        \
    }
#define DB_ROW_BOOLEAN(field, place)                                           \
    {                                                                          \
        .name = field, .type = DB_CONFIG_BOOLEAN, .offset = place              \
    }
#define DB_ROW_CHOICE(field, kind, place, names)                               \
    {                                                                          \
        .name = field, .type = kind, .offset = place, .choices = names         \
    }
#define DB_ROW_ONLY(field, values)                                             \
    {                                                                          \
        .name = field, .type = DB_CONFIG_ONLY, .only = values                  \
    }
#define DB_ROW_IGNORED(field)                                                  \
    {                                                                          \
        .name = field, .type = DB_CONFIG_IGNORED                               \
    }

/*
 * Fills OUT from OBJECT, called FILE in errors. EFORMAT for a value of another
 * type or out of range, EUNSUPPORTED for an unknown field or a value that is
 * not supported. Fields that begin with '_' are skipped. On error OUT holds
 * what was read so far.
 */
int db_config_read(struct db_env *env, const char *file, const json_t *object,
                   const struct db_config_field *fields, size_t count,
                   void *out);

/*
 * The values of LIST for COUNT levels: a single one is repeated. EFORMAT,
 * naming FILE and FIELD, when there are not COUNT of them.
 */
int db_config_spread(struct db_env *env, const char *file, const char *field,
                     const struct db_config_list *list, int64_t count,
                     int64_t *values);

/* EFORMAT, naming FILE and what VALUE is, unless DIVISOR divides it. */
int db_config_divides(struct db_env *env, const char *file, const char *what,
                      int64_t value, const char *divisor_what, int64_t divisor);

#endif

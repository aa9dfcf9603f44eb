/* SPDX-License-Identifier: MIT */
/*
 * JSON files through jansson, with errors that name file, line and key.
 *
 * jansson's own memory does not count against the limit of the environment; it
 * is as large as the file. Real numbers are read and written with a point in
 * every locale.
 */
#ifndef DB_FILE_JSON_H
#define DB_FILE_JSON_H

#include <jansson.h>

#include "base/env.h"

/*
 * Reads the file at PATH, whose outermost value must be an object without
 * duplicate keys at any depth, into *OUT (a new reference: json_decref() it).
 * EFORMAT naming line and column when it is no such thing.
 */
int db_json_load(struct db_env *env, const char *path, json_t **out);
/* The same from SIZE bytes of memory; FILE is what errors call it. */
int db_json_parse(struct db_env *env, const char *file, const void *bytes,
                  size_t size, json_t **out);

/* Writes VALUE to the file PATH atomically: two spaces of indentation, sorted
 * keys, a newline last, reals in the fewest digits that read back the same. */
int db_json_save(struct db_env *env, const char *path, const json_t *value);
/* The same text in fresh memory (db_free()), zero-terminated. */
int db_json_text(struct db_env *env, const json_t *value, char **out);

/* Whose keys the getters look up. Nothing is owned. */
struct db_json_reader {
    struct db_env *env;
    const char *file;     /* for error texts */
    const json_t *object; /* a JSON object */
};

/* A key that is absent or null is an error, or leaves the output untouched. */
enum db_json_need { DB_JSON_OPTIONAL, DB_JSON_REQUIRED };

/* EFORMAT, naming file and key, for a missing or mistyped value. */
int db_json_get_integer(const struct db_json_reader *reader, const char *key,
                        enum db_json_need need, int64_t *out);
/* Takes integers as well. */
int db_json_get_real(const struct db_json_reader *reader, const char *key,
                     enum db_json_need need, double *out);
int db_json_get_boolean(const struct db_json_reader *reader, const char *key,
                        enum db_json_need need, bool *out);
/* Borrowed from the object. */
int db_json_get_text(const struct db_json_reader *reader, const char *key,
                     enum db_json_need need, const char **out);
int db_json_get_array(const struct db_json_reader *reader, const char *key,
                      enum db_json_need need, const json_t **out);
int db_json_get_object(const struct db_json_reader *reader, const char *key,
                       enum db_json_need need, const json_t **out);
/* An array of at most CAPACITY integers, into VALUES[0..*COUNT-1]. */
int db_json_get_integers(const struct db_json_reader *reader, const char *key,
                         enum db_json_need need, int64_t *values,
                         size_t capacity, size_t *count);

/* Is there a value other than null? */
bool db_json_has(const struct db_json_reader *reader, const char *key);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Text that grows, and numbers as text. Numbers are read and written in one
 * form whatever locale the program around us has chosen: with a point, and so
 * that what is written reads back as the same number.
 */
#ifndef DB_BASE_TEXT_H
#define DB_BASE_TEXT_H

#include "base/env.h"

/* Starts as {0}. bytes is NULL until the first append, and ends in '\0'. */
struct db_text {
    char *bytes;
    size_t length; /* without the '\0' */
    size_t capacity;
};

/* On failure (ENOMEM, ELIMIT) the text is as it was. */
int db_text_append(struct db_env *env, struct db_text *text, const char *more);
int db_text_append_bytes(struct db_env *env, struct db_text *text,
                         const char *bytes, size_t length);
int db_text_appendf(struct db_env *env, struct db_text *text,
                    const char *format, ...) DB_PRINTF(3, 4);

/* Hands the text over as a '\0'-ended string, never NULL, which the caller
 * frees with db_free(); TEXT is {0} again. */
int db_text_take(struct db_env *env, struct db_text *text, char **out);
void db_text_free(struct db_env *env, struct db_text *text);

/*
 * The edit distance between two words: the least number of letters inserted,
 * deleted, replaced or swapped with their neighbour (optimal string alignment).
 * '-' and '_' count as the same letter. Only the first 63 bytes count.
 */
size_t db_edit_distance(const char *a, const char *b);

/* Enough for every number that db_real_text() writes. */
#define DB_REAL_TEXT 32

/*
 * Read a whole string as a number: an optional sign, digits (with a point and
 * an exponent for a real), nothing before or behind. false, and *OUT untouched,
 * if it is anything else or lies outside the type's range.
 */
bool db_read_integer(const char *text, int64_t *out);
bool db_read_real(const char *text, double *out);

/* Writes VALUE with as few digits (15 to 17) as read back to the same bits;
 * "nan", "inf" or "-inf" for those. */
void db_real_text(double value, char text[DB_REAL_TEXT]);

#endif

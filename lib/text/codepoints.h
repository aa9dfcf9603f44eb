/* SPDX-License-Identifier: MIT */
/*
 * Text as an array of Unicode code points, which is what cleaning and
 * splitting work on: a step reads one array and appends to another.
 *
 * Running out of memory is sticky. Appending to an array that has failed does
 * nothing, so a step looks at `status` once, at its end.
 */
#ifndef DB_TEXT_CODEPOINTS_H
#define DB_TEXT_CODEPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

struct db_codepoints {
    struct db_env *env;
    uint32_t *at;
    size_t count;
    size_t capacity;
    int status; /* DREAMBOOTH_OK, or what went wrong while appending */
};

void db_codepoints_init(struct db_codepoints *text, struct db_env *env);
void db_codepoints_release(struct db_codepoints *text);
void db_codepoints_append(struct db_codepoints *text, uint32_t code);
void db_codepoints_append_all(struct db_codepoints *text, const uint32_t *codes,
                              size_t count);
/* Take over the code points of FRESH, which is left empty. */
void db_codepoints_replace(struct db_codepoints *text,
                           struct db_codepoints *fresh);
bool db_codepoints_equal(const struct db_codepoints *a,
                         const struct db_codepoints *b);

/*
 * Append LENGTH bytes of UTF-8, NUL included. Each maximal damaged part becomes
 * one U+FFFD, as Python's errors="replace" has it; surrogates written as three
 * bytes stay surrogates.
 */
void db_codepoints_append_utf8(struct db_codepoints *text, const char *bytes,
                               size_t length);
/*
 * One code point from LENGTH > 0 bytes, or -1 where they are damaged; *used is
 * the number of bytes that it, or the damage, takes. Surrogates are let
 * through.
 */
long db_utf8_get(const char *bytes, size_t length, size_t *used);
/* One code point as one to four bytes; returns their number. */
size_t db_utf8_put(char bytes[4], uint32_t code);
/* Fresh bytes with a NUL behind them, or NULL; free with db_free(). */
char *db_codepoints_to_utf8(struct db_env *env, const uint32_t *codes,
                            size_t count, size_t *length);
/* The number of code points, or -1 where the bytes are not UTF-8. */
long db_utf8_count(const char *bytes, size_t length);

/* Normalisation form C. */
int db_codepoints_nfc(struct db_codepoints *text);
/* Python's str.lower(): full mapping, with the final sigma. */
int db_codepoints_lower(struct db_codepoints *text);

/* Unicode's categories L and N, and the white space of Python's `regex`. */
bool db_is_letter(uint32_t code);
bool db_is_number(uint32_t code);
bool db_is_space(uint32_t code);

#endif

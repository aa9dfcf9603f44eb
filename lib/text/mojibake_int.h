/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of mojibake repair share: the roles that characters play
 * in it, and the single-byte encodings that cause it.
 */
#ifndef DB_TEXT_MOJIBAKE_INT_H
#define DB_TEXT_MOJIBAKE_INT_H

#include "text/codepoints.h"

enum {
    DB_ROLE_COMMON = 1 << 0,
    DB_ROLE_C1 = 1 << 1,
    DB_ROLE_BAD = 1 << 2,
    DB_ROLE_LAW = 1 << 3,
    DB_ROLE_CURRENCY = 1 << 4,
    DB_ROLE_OPENING = 1 << 5,
    DB_ROLE_CLOSING = 1 << 6,
    DB_ROLE_NUMERIC = 1 << 7,
    DB_ROLE_KAOMOJI = 1 << 8,
    DB_ROLE_UPPER_ACCENTED = 1 << 9,
    DB_ROLE_LOWER_ACCENTED = 1 << 10,
    DB_ROLE_UPPER_COMMON = 1 << 11,
    DB_ROLE_LOWER_COMMON = 1 << 12,
    DB_ROLE_BOX = 1 << 13,
    /* As a misread byte of UTF-8. A first byte has one of these three. */
    DB_ROLE_FIRST_OF_2 = 1 << 14,
    DB_ROLE_FIRST_OF_3 = 1 << 15,
    DB_ROLE_FIRST_OF_4 = 1 << 16,
    DB_ROLE_CONTINUATION = 1 << 17,
    DB_ROLE_STRICT_CONTINUATION = 1 << 18
};

struct db_role_run {
    uint32_t first, last, roles;
};

extern const struct db_role_run db_role_runs[];
extern const size_t db_role_run_count;

uint32_t db_roles_of(uint32_t code);

struct db_charmap {
    const char *name;
    int sloppy;         /* byte 0x1a stands for U+FFFD */
    uint16_t high[128]; /* the characters of bytes 0x80 to 0xff */
};

/* In the order in which they are tried. */
extern const struct db_charmap db_charmaps[];
extern const size_t db_charmap_count;

/* Does some juxtaposition of characters look like mojibake? */
bool db_is_bad(const uint32_t *codes, size_t count);

#endif

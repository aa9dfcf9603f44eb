/* SPDX-License-Identifier: MIT */
/*
 * The table of character classes behind codepoints.c: sorted runs of
 * { first, length << 4 | class bits }.
 */
#ifndef DB_TEXT_CODEPOINTS_INT_H
#define DB_TEXT_CODEPOINTS_INT_H

#include <stddef.h>
#include <stdint.h>

enum {
    DB_CLASS_LETTER = 1,
    DB_CLASS_NUMBER = 2,
    DB_CLASS_CASED = 4,
    DB_CLASS_IGNORABLE = 8
};

extern const uint32_t db_unicode_runs[][2];
extern const size_t db_unicode_run_count;

#endif

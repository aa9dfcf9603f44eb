/* SPDX-License-Identifier: MIT */
/*
 * What openai/CLIP does to a prompt before splitting it: repair it with ftfy,
 * resolve HTML references twice, trim and squeeze white space, small letters.
 */
#ifndef DB_TEXT_CLEAN_H
#define DB_TEXT_CLEAN_H

#include "text/codepoints.h"

/* Append the cleaned form of LENGTH bytes to OUT. */
int db_clean(struct db_env *env, const char *text, size_t length,
             struct db_codepoints *out);

/* ftfy 6.3's fix_text() with its defaults. */
int db_fix_text(struct db_codepoints *text);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Mojibake is UTF-8 that was read as a single-byte encoding ("cafÃ©"). Repair
 * means writing it in that encoding again and reading the bytes as UTF-8, as
 * ftfy 6.3's fix_encoding() does it with its defaults.
 */
#ifndef DB_TEXT_MOJIBAKE_H
#define DB_TEXT_MOJIBAKE_H

#include "text/codepoints.h"

int db_fix_encoding(struct db_codepoints *text);
/* C1 controls become what Windows-1252 has in their place. */
void db_fix_c1_controls(struct db_codepoints *text);

#endif

/* SPDX-License-Identifier: MIT */
#include "text/clean.h"

int db_fix_text(struct db_codepoints *text)
{
    return db_codepoints_nfc(text);
}

/* SPDX-License-Identifier: MIT */
/*
 * HTML's character references, read in two ways: as a browser and Python's
 * html.unescape() do (forgiving), and as ftfy does in text that only may be
 * HTML (strict: a known name or number with its semicolon).
 */
#ifndef DB_TEXT_HTML_H
#define DB_TEXT_HTML_H

#include "text/codepoints.h"

int db_html_unescape(struct db_codepoints *text);
int db_html_unescape_strict(struct db_codepoints *text);

#endif

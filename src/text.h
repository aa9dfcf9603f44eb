/* SPDX-License-Identifier: MIT */
/* Texts as UTF-8. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes the character at TEXT has; 0 if it is not UTF-8. */
size_t text_character(const char *text);
/* The length of TEXT, or of so much of it as fits into MOST bytes; for
 * "%.*s".*/
int text_cut(const char *text, size_t most);
/* Whether TEXT is UTF-8 without control characters but the tab and the carriage
 * return. */
bool text_is_clean(const char *text);

#endif

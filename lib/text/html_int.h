/* SPDX-License-Identifier: MIT */
/* The table of HTML's named character references, for html.c alone. */
#ifndef DB_TEXT_HTML_INT_H
#define DB_TEXT_HTML_INT_H

#include <stddef.h>
#include <stdint.h>

struct db_html_entity {
    const char *name;  /* without the ampersand */
    uint32_t codes[3]; /* ends with 0 where it is shorter */
    int only_capitals; /* not in HTML: an all-capitals spelling */
};

extern const struct db_html_entity db_html_entities[];
extern const size_t db_html_entity_count;

#endif

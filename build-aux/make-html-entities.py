#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes lib/text/html_entities.c: the named character references of HTML 5
from Python's html.entities, sorted by name for bisection. A name's bytes keep
their semicolon where it has one.

    python3 build-aux/make-html-entities.py > lib/text/html_entities.c
"""
import html
import html.entities

UPPER = 1

rows = {name: (value, 0) for name, value in html.entities.html5.items()}
for name, value in html.entities.html5.items():
    shout = name.upper()
    if (name.endswith(";") and name == name.lower()
            and html.unescape("&" + shout) == "&" + shout):
        rows[shout] = (value.upper(), UPPER)

print("""/* SPDX-License-Identifier: MIT */
/*
 * Named character references, written by build-aux/make-html-entities.py.
 * Sorted by name in byte order. A row's last field is 1 for an all-capitals
 * name that HTML does not know but that means only one thing (&EACUTE;).
 */
/* clang-format off */
#include "text/html_int.h"

const struct db_html_entity db_html_entities[] = {""")
for name in sorted(rows):
    value, upper = rows[name]
    codes = [ord(c) for c in value]
    codes = (codes + [0, 0])[:3]
    print('    {"%s", {0x%x, 0x%x, 0x%x}, %d},' % (name, *codes, upper))
print("""};

const size_t db_html_entity_count =
    sizeof(db_html_entities) / sizeof(db_html_entities[0]);""")

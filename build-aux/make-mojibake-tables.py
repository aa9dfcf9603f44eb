#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes lib/text/mojibake_tables.c: what the single-byte encodings make of
bytes 0x80 to 0xff (asked of the codecs), and which role each character plays in
ftfy's search for mojibake (asked of an installed ftfy 6.3, by trying each
character).

    python3 build-aux/make-mojibake-tables.py > lib/text/mojibake_tables.c
"""
import re

import ftfy  # registers the sloppy codecs
from ftfy.badness import MOJIBAKE_CATEGORIES
from ftfy.chardata import CHARMAP_ENCODINGS, UTF8_CLUES

# In the order of the bits in mojibake_int.h.
CATEGORIES = ["common", "c1", "bad", "law", "currency", "start_punctuation",
              "end_punctuation", "numeric", "kaomoji", "upper_accented",
              "lower_accented", "upper_common", "lower_common", "box"]
CLUES = ["utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4",
         "utf8_continuation", "utf8_continuation_strict"]

assert set(CATEGORIES) == set(MOJIBAKE_CATEGORIES)
assert set(CLUES) == set(UTF8_CLUES)
sets = [re.compile("[%s]" % MOJIBAKE_CATEGORIES[name]) for name in CATEGORIES]
sets += [re.compile("[%s]" % UTF8_CLUES[name]) for name in CLUES]

runs = []
for code in range(0x10000):
    char = chr(code)
    bits = sum(1 << i for i, s in enumerate(sets) if s.match(char))
    first_bytes = bits >> len(CATEGORIES) & 7
    assert first_bytes in (0, 1, 2, 4), "one length for each first byte"
    if runs and bits and runs[-1][1] == code - 1 and runs[-1][2] == bits:
        runs[-1][1] = code
    elif bits:
        runs.append([code, code, bits])


def table(items, width):
    line = " " * width
    for item in items:
        if len(line) + len(item) + 2 > 79:
            print(line.rstrip())
            line = " " * width
        line += item + ", "
    print(line.rstrip())


print("""/* SPDX-License-Identifier: MIT */
/*
 * Tables for repairing mojibake, written by build-aux/make-mojibake-tables.py.
 * The roles are those that ftfy 6.3.1 (Robyn Speer, Apache License 2.0) gives
 * to the characters; a run is { first, last, role bits }.
 */
/* clang-format off */
#include "text/mojibake_int.h"

const struct db_role_run db_role_runs[] = {""")
table(["{0x%x, 0x%x, 0x%x}" % tuple(run) for run in runs], 4)
print("""};

const size_t db_role_run_count =
    sizeof(db_role_runs) / sizeof(db_role_runs[0]);

const struct db_charmap db_charmaps[] = {""")
for name in CHARMAP_ENCODINGS:
    codes = [ord(bytes([byte]).decode(name)) for byte in range(0x80, 0x100)]
    assert len(set(codes)) == 128 and min(codes) >= 0x80
    print('    {"%s", %d, {' % (name, name.startswith("sloppy")))
    table(["0x%x" % code for code in codes], 8)
    print("    }},")
print("""};

const size_t db_charmap_count = sizeof(db_charmaps) / sizeof(db_charmaps[0]);""")

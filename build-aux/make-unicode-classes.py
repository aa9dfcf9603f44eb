#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes lib/text/unicode_classes.c: which characters the tokenizer's pattern
takes for letters and numbers (as the Python module `regex` has them), and
which ones are cased or case-ignorable for the final sigma rule of
str.lower(). The facts are asked of Python itself, by trying each character.

    python3 build-aux/make-unicode-classes.py > lib/text/unicode_classes.c
"""
import regex

LETTER, NUMBER, CASED, IGNORABLE = 1, 2, 4, 8
is_letter = regex.compile(r"\p{L}").match
is_number = regex.compile(r"\p{N}").match


def final(before):
    return (before + "\u03a3").lower().endswith("\u03c2")


def classes(code):
    if 0xD800 <= code <= 0xDFFF:
        return 0
    char = chr(code)
    bits = LETTER if is_letter(char) else NUMBER if is_number(char) else 0
    if final(char):
        bits |= CASED
    elif final("A" + char):
        bits |= IGNORABLE
    return bits


ranges = []
for code in range(0x110000):
    bits = classes(code)
    if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == bits:
        ranges[-1][1] = code
    elif bits:
        ranges.append([code, code, bits])

print("""/* SPDX-License-Identifier: MIT */
/*
 * Character classes, written by build-aux/make-unicode-classes.py. They are
 * here rather than asked of a library so that a prompt's ids do not depend on
 * the Unicode version that happens to be installed.
 *
 * A run is { first, length << 4 | class bits }.
 */
/* clang-format off */
#include "text/codepoints_int.h"

const uint32_t db_unicode_runs[][2] = {""")
line = "   "
for first, last, bits in ranges:
    item = " {0x%x,0x%x}," % (first, (last - first + 1) << 4 | bits)
    if len(line) + len(item) > 79:
        print(line)
        line = "   "
    line += item
print(line)
print("""};

const size_t db_unicode_run_count =
    sizeof(db_unicode_runs) / sizeof(db_unicode_runs[0]);""")

/* SPDX-License-Identifier: MIT */
/*
 * CLIP's pattern: what counts as one word to the byte-pair encoder. In regular
 * expression terms, ignoring case,
 *
 *     <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd |
 *     letters+ | one number | (neither space nor letter nor number)+
 */
#ifndef DB_TEXT_SPLIT_H
#define DB_TEXT_SPLIT_H

#include "text/codepoints.h"

/*
 * The next word at or behind *at: moves *at to its first character and returns
 * its length, 0 where the text is over.
 */
size_t db_split_next(const struct db_codepoints *text, size_t *at);

#endif

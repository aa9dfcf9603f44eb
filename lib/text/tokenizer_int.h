/* SPDX-License-Identifier: MIT */
/* Between the tokenizer and the reader of the one-file form. */
#ifndef DB_TEXT_TOKENIZER_INT_H
#define DB_TEXT_TOKENIZER_INT_H

#include "text/tokenizer.h"

/*
 * Makes the bytes of vocab.json and merges.txt out of those of a
 * tokenizer.json, the only file that transformers writes from version 5 on.
 * EFORMAT where it is damaged, EUNSUPPORTED where it is no byte-pair encoding
 * of CLIP's kind. The bytes are the caller's, to free with db_free().
 */
int db_tokenizer_convert(struct db_env *env, const struct db_text_file *fast,
                         struct db_text_file *vocab,
                         struct db_text_file *merges);

#endif

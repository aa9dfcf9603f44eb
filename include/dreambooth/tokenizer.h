/* SPDX-License-Identifier: MIT */
/*
 * CLIP's byte-level byte-pair tokenizer, as openai/CLIP has it, for any
 * vocabulary. Texts are UTF-8 with a length in bytes, or DREAMBOOTH_NUL_ENDED;
 * damaged UTF-8 is read as U+FFFD.
 */
#ifndef DREAMBOOTH_TOKENIZER_H
#define DREAMBOOTH_TOKENIZER_H

#include "dreambooth/context.h"

#define DREAMBOOTH_NUL_ENDED SIZE_MAX

#include "dreambooth/begin.h"

typedef struct dreambooth_tokenizer dreambooth_tokenizer;

/* From FOLDER with vocab.json and merges.txt, or from a pipeline's folder,
 * whose tokenizer/ is then read. ENOTFOUND, EIO, EFORMAT. */
int dreambooth_tokenizer_open(dreambooth_tokenizer **out,
                              dreambooth_context *context, const char *folder);
void dreambooth_tokenizer_free(dreambooth_tokenizer *tokenizer);

/*
 * The ids of TEXT without start and end token. *COUNT is how many there are;
 * the first CAPACITY of them are written to IDS, which may be NULL if CAPACITY
 * is 0.
 */
int dreambooth_tokenizer_encode(const dreambooth_tokenizer *tokenizer,
                                const char *text, size_t length, int32_t *ids,
                                size_t capacity, size_t *count);
/*
 * What a text encoder takes: start, ids, end and padding, LENGTH_OUT >= 2 of
 * them in all, into IDS. *DROPPED (may be NULL) is how many ids were too many.
 */
int dreambooth_tokenizer_encode_padded(const dreambooth_tokenizer *tokenizer,
                                       const char *text, size_t length,
                                       int32_t *ids, size_t length_out,
                                       size_t *dropped);
/*
 * Ids to text. *LENGTH is its length in bytes; at most SIZE bytes with the NUL
 * are written to TEXT. EINVAL for an id that is none.
 */
int dreambooth_tokenizer_decode(const dreambooth_tokenizer *tokenizer,
                                const int32_t *ids, size_t count, char *text,
                                size_t size, size_t *length);
/* A token as vocab.json spells it, NULL for an id that is none. It stays the
 * tokenizer's. */
const char *dreambooth_tokenizer_token(const dreambooth_tokenizer *tokenizer,
                                       int32_t id);
size_t dreambooth_tokenizer_vocabulary_size(
    const dreambooth_tokenizer *tokenizer);
/* How many ids a prompt has for the model, padding included: 77 for CLIP. */
size_t dreambooth_tokenizer_prompt_length(
    const dreambooth_tokenizer *tokenizer);

#include "dreambooth/end.h"

#endif

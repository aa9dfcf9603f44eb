/* SPDX-License-Identifier: MIT */
/*
 * CLIP's tokenizer: text to ids and back, exactly as openai/CLIP does it, for
 * any vocabulary in the form of a diffusers model's tokenizer folder.
 *
 * Texts come with a length: they may hold NUL, and damaged UTF-8 is read as
 * U+FFFD.
 */
#ifndef DB_TEXT_TOKENIZER_H
#define DB_TEXT_TOKENIZER_H

#include "base/env.h"

struct db_tokenizer;

/* A file of a tokenizer folder, in memory. */
struct db_text_file {
    const char *name;
    char *bytes; /* NULL: there is no such file */
    size_t length;
};

/* What a prompt lost because it was too long. */
struct db_truncation {
    size_t dropped; /* tokens */
    char *text;     /* the dropped tokens decoded; NULL where none; the
                     * caller's, to free with db_free() */
};

/*
 * Reads vocab.json and merges.txt of a folder, and, where they exist,
 * tokenizer_config.json and special_tokens_map.json: names of the start, end,
 * padding and unknown tokens, and the model's length. Without them these are
 * CLIP's: <|startoftext|>, <|endoftext|> for the other three, and 77. A
 * folder with a tokenizer.json alone, as newer transformers write it, is read
 * as if it held the first two.
 *
 * ENOTFOUND, EIO; EFORMAT where a file is damaged or names a token that the
 * vocabulary lacks.
 */
int db_tokenizer_open(struct db_env *env, const char *folder,
                      struct db_tokenizer **out);
/* The same from the bytes of the files; CONFIG and SPECIAL may be NULL. All
 * four are copied. */
int db_tokenizer_open_memory(struct db_env *env, const char *vocab,
                             size_t vocab_length, const char *merges,
                             size_t merges_length, const char *config,
                             const char *special, struct db_tokenizer **out);
void db_tokenizer_free(struct db_tokenizer *tokenizer);

/*
 * The folder's four files as they were read (those that were missing as they
 * would have had to be), for whoever saves a model: INDEX from 0, false behind
 * the last one. The bytes stay the tokenizer's.
 */
bool db_tokenizer_file(const struct db_tokenizer *tokenizer, size_t index,
                       struct db_text_file *file);
/* Writes these files into an existing folder, each under a temporary name
 * until it is whole. EIO, ENOSPACE. */
int db_tokenizer_save(const struct db_tokenizer *tokenizer, const char *folder);

struct db_env *db_tokenizer_env(const struct db_tokenizer *tokenizer);
size_t db_tokenizer_vocabulary_size(const struct db_tokenizer *tokenizer);
size_t db_tokenizer_model_length(const struct db_tokenizer *tokenizer);
int32_t db_tokenizer_start_id(const struct db_tokenizer *tokenizer);
int32_t db_tokenizer_end_id(const struct db_tokenizer *tokenizer);
int32_t db_tokenizer_padding_id(const struct db_tokenizer *tokenizer);

/* The ids of a text, without start and end. *ids is the caller's, to free with
 * db_free(); it is never NULL on success. */
int db_tokenizer_encode(const struct db_tokenizer *tokenizer, const char *text,
                        size_t length, int32_t **ids, size_t *count);
/* How many ids db_tokenizer_encode() gives. */
int db_tokenizer_count(const struct db_tokenizer *tokenizer, const char *text,
                       size_t length, size_t *count);
/*
 * What a text encoder takes: start, ids, end, then padding, MAX_LENGTH >= 2
 * ids in all (0: the model's length) into IDS. A text that is too long is cut
 * before the end token; TRUNCATION, which may be NULL, tells what was lost.
 */
int db_tokenizer_encode_padded(const struct db_tokenizer *tokenizer,
                               const char *text, size_t length,
                               size_t max_length, int32_t *ids,
                               struct db_truncation *truncation);

/* Ids back to UTF-8, a space behind each word; bytes that are not UTF-8 become
 * U+FFFD. *text has a NUL behind *length bytes; free it with db_free(). EINVAL
 * for an id that is none. */
int db_tokenizer_decode(const struct db_tokenizer *tokenizer,
                        const int32_t *ids, size_t count, char **text,
                        size_t *length);

/* A token's string in the byte alphabet, as vocab.json spells it; NULL where
 * there is no such id. It stays the tokenizer's. */
const char *db_tokenizer_token(const struct db_tokenizer *tokenizer,
                               int32_t id);
/* Which line of merges.txt makes a token, 0 being the commonest pair; -1 where
 * none does. Whoever wants to say "of how many" asks for the count. */
int32_t db_tokenizer_merge_rank(const struct db_tokenizer *tokenizer,
                                int32_t id);
size_t db_tokenizer_merge_count(const struct db_tokenizer *tokenizer);
/* ENOTFOUND where no token is spelled like that. */
int db_tokenizer_find(const struct db_tokenizer *tokenizer, const char *token,
                      int32_t *id);

#endif

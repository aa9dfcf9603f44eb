/* SPDX-License-Identifier: MIT */
/*
 * Byte-level byte-pair encoding: a vocabulary of token strings, ranked merges
 * of neighbouring tokens, and the encoding of one word by them.
 *
 * Token strings are in GPT-2's alphabet: one printable character for each of
 * the 256 bytes; a word's last token ends with "</w>".
 */
#ifndef DB_TEXT_BPE_H
#define DB_TEXT_BPE_H

#include "base/env.h"

#define DB_END_OF_WORD "</w>"
#define DB_NO_TOKEN (-1)

struct db_ids {
    struct db_env *env;
    int32_t *at;
    size_t count;
    size_t capacity;
};

void db_ids_init(struct db_ids *ids, struct db_env *env);
void db_ids_release(struct db_ids *ids);
int db_ids_append(struct db_ids *ids, int32_t id);

struct db_bpe;

/*
 * Reads the bytes of a vocab.json (an object of token strings to ids, which are
 * 0 to n-1) and of a merges.txt (two tokens a line, the best merge first).
 * EFORMAT where they are damaged or do not belong together.
 */
int db_bpe_open(struct db_env *env, const char *vocab, size_t vocab_length,
                const char *merges, size_t merges_length, struct db_bpe **out);
void db_bpe_free(struct db_bpe *bpe);

size_t db_bpe_count(const struct db_bpe *bpe);
/* A token's string and its length in bytes; NULL where there is no such id. */
const char *db_bpe_token(const struct db_bpe *bpe, int32_t id, size_t *length);
/* Which merge makes a token, 0 being the best; -1 where none does. */
int32_t db_bpe_merge_rank(const struct db_bpe *bpe, int32_t id);
size_t db_bpe_merge_count(const struct db_bpe *bpe);
/* DB_NO_TOKEN where no token is spelled like that. */
int32_t db_bpe_find(const struct db_bpe *bpe, const char *token, size_t length);

/*
 * Append the tokens of one word, LENGTH > 0 bytes, the last one ending it. A
 * byte that the vocabulary lacks becomes UNKNOWN. n log n in the length.
 */
int db_bpe_encode_word(const struct db_bpe *bpe, const char *bytes,
                       size_t length, int32_t unknown, struct db_ids *ids);

/* The character that stands for a byte, and back (-1: for none). */
uint32_t db_byte_symbol(unsigned char byte);
int db_symbol_byte(uint32_t symbol);

#endif

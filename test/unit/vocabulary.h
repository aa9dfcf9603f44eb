/* SPDX-License-Identifier: MIT */
/*
 * A small vocabulary for tests, made here: all bytes within and at the end of a
 * word, the merges that build a given list of words from the left, and the two
 * special tokens.
 */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include "text/bpe.h"
#include "text/codepoints.h"
#include "unit.h"

#define VOCABULARY_MOST_TOKENS 4096

struct vocabulary {
    char *tokens[VOCABULARY_MOST_TOKENS];
    int count;
    char *merges[VOCABULARY_MOST_TOKENS][2];
    int merge_count;
    char *vocab_json, *merges_txt;
};

static inline int vocabulary_find(const struct vocabulary *v, const char *token)
{
    for (int i = 0; i < v->count; i++)
        if (strcmp(v->tokens[i], token) == 0)
            return i;
    return -1;
}

static inline void vocabulary_add(struct vocabulary *v, const char *token)
{
    if (vocabulary_find(v, token) >= 0)
        return;
    ck_assert_int_lt(v->count, VOCABULARY_MOST_TOKENS);
    v->tokens[v->count] = strdup(token);
    ck_assert_ptr_nonnull(v->tokens[v->count]);
    v->count++;
}

static inline void vocabulary_add_bytes(struct vocabulary *v, const char *end)
{
    char token[16];
    size_t length;

    for (int byte = 0; byte < 256; byte++) {
        length = db_utf8_put(token, db_byte_symbol((unsigned char)byte));
        strcpy(token + length, end);
        vocabulary_add(v, token);
    }
}

/* WORD is ASCII; its merges go from the left. */
static inline void vocabulary_add_word(struct vocabulary *v, const char *word)
{
    char left[128] = "", right[16], joined[128];

    left[0] = word[0];
    for (size_t i = 1; word[i] != '\0'; i++) {
        snprintf(right, sizeof(right), "%c%s", word[i],
                 word[i + 1] == '\0' ? DB_END_OF_WORD : "");
        ck_assert_uint_lt(strlen(left) + strlen(right), sizeof(joined));
        strcpy(joined, left);
        strcat(joined, right);
        if (vocabulary_find(v, joined) < 0) {
            vocabulary_add(v, joined);
            v->merges[v->merge_count][0] = strdup(left);
            v->merges[v->merge_count][1] = strdup(right);
            v->merge_count++;
        }
        strcpy(left, joined);
    }
}

static inline void vocabulary_write(struct vocabulary *v)
{
    FILE *stream;
    size_t size;

    stream = open_memstream(&v->vocab_json, &size);
    ck_assert_ptr_nonnull(stream);
    for (int i = 0; i < v->count; i++) {
        fputs(i == 0 ? "{\"" : ", \"", stream);
        for (const char *c = v->tokens[i]; *c != '\0'; c++)
            fprintf(stream, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        fprintf(stream, "\": %d", i);
    }
    fputs("}", stream);
    fclose(stream);
    stream = open_memstream(&v->merges_txt, &size);
    ck_assert_ptr_nonnull(stream);
    fputs("#version: 0.2\n", stream);
    for (int i = 0; i < v->merge_count; i++)
        fprintf(stream, "%s %s\n", v->merges[i][0], v->merges[i][1]);
    fclose(stream);
}

/* WORDS ends with NULL. */
static inline struct vocabulary *vocabulary_new(const char *const *words)
{
    struct vocabulary *v = calloc(1, sizeof(*v));

    ck_assert_ptr_nonnull(v);
    vocabulary_add_bytes(v, "");
    vocabulary_add_bytes(v, DB_END_OF_WORD);
    for (; *words != NULL; words++)
        vocabulary_add_word(v, *words);
    vocabulary_add(v, "<|startoftext|>");
    vocabulary_add(v, "<|endoftext|>");
    vocabulary_write(v);
    return v;
}

static inline void vocabulary_free(struct vocabulary *v)
{
    for (int i = 0; i < v->count; i++)
        free(v->tokens[i]);
    for (int i = 0; i < v->merge_count; i++) {
        free(v->merges[i][0]);
        free(v->merges[i][1]);
    }
    free(v->vocab_json);
    free(v->merges_txt);
    free(v);
}

#endif

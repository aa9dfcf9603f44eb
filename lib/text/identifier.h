/* SPDX-License-Identifier: MIT */
/*
 * Picking the rare word that a subject is bound to ("Rare-token identifiers" in
 * Ruiz et al., "DreamBooth", 2022), and judging a word that the user brings.
 *
 * A candidate is a token that is a whole word, comes late in the vocabulary
 * (ids are in order of frequency), is at most three characters long, and stays
 * that one token inside a prompt. An identifier is one to three different
 * candidates, drawn uniformly without replacement; more than one are written
 * with spaces between them, as each is a word of its own.
 *
 * How weak a model's prior for a word is shows in its embedding: a token that
 * training hardly saw keeps the norm that it was initialised with. That norm is
 * estimated as the median over the vocabulary's last 1/96 (the rarest tokens,
 * special ones aside: 514 of CLIP's, about 0.39 in Stable Diffusion 1), and
 *
 *     prior(token) = |norm(token) - initial| / initial,
 *
 * of an identifier the largest of its tokens'. 0 is the weakest.
 */
#ifndef DB_TEXT_IDENTIFIER_H
#define DB_TEXT_IDENTIFIER_H

#include "text/tokenizer.h"

#define DB_IDENTIFIER_MOST_TOKENS 3

enum db_identifier_alphabet {
    DB_ALPHABET_LATIN,   /* a to z: can be typed anywhere */
    DB_ALPHABET_LETTERS, /* letters of any script */
    DB_ALPHABET_ANY
};

struct db_identifier_options {
    int32_t first_id;   /* where rare begins; -1: 40000 of CLIP's 49408 ids, the
                         * same share of other vocabularies */
    int max_characters; /* of a token; 3 */
    int tokens;         /* in an identifier, 1 to 3; 1 */
    enum db_identifier_alphabet alphabet;
    bool allow_blocked; /* words that are known to mean something */
    uint64_t seed;
    /* How many identifiers are drawn for the weakest to be taken from, where
     * EMBEDDINGS is given; never fewer than are wanted. 0 */
    size_t draws;
    /* The text encoder's token embeddings, [vocabulary, dimension], or NULL. */
    const float *embeddings;
    size_t dimension;
};

struct db_identifier {
    char *text;
    size_t token_count;
    int32_t ids[DB_IDENTIFIER_MOST_TOKENS];
    /* Which merge makes the token, 0 being the commonest; -1 for none. */
    int32_t merge_ranks[DB_IDENTIFIER_MOST_TOKENS];
    float norms[DB_IDENTIFIER_MOST_TOKENS]; /* -1 without embeddings */
    double prior;                           /* -1 without embeddings */
    char *explanation;                      /* one line for people */
};

void db_identifier_defaults(struct db_identifier_options *options);

/* The id from which on tokens of this vocabulary are rare. */
int32_t db_identifier_first_id(const struct db_tokenizer *tokenizer,
                               const struct db_identifier_options *options);

/* All candidates by rising id; *ids is the caller's, to free with db_free(). */
int db_identifier_candidates(const struct db_tokenizer *tokenizer,
                             const struct db_identifier_options *options,
                             int32_t **ids, size_t *count);

/*
 * COUNT >= 1 different identifiers, no two sharing a token. With embeddings
 * they are sorted by rising prior, else they are in the order drawn. The same
 * options give the same identifiers; *out is freed with db_identifiers_free().
 * EINVAL where there are too few candidates or an option is out of range.
 */
int db_identifier_pick(const struct db_tokenizer *tokenizer,
                       const struct db_identifier_options *options,
                       size_t count, struct db_identifier **out);
void db_identifiers_free(struct db_env *env, struct db_identifier *identifiers,
                         size_t count);

enum db_identifier_finding {
    DB_IDENTIFIER_EMPTY = 1 << 0,   /* it encodes to nothing */
    DB_IDENTIFIER_FOLDED = 1 << 1,  /* it is read in another spelling */
    DB_IDENTIFIER_SPLIT = 1 << 2,   /* into several tokens */
    DB_IDENTIFIER_COMMON = 1 << 3,  /* one of its tokens is not rare */
    DB_IDENTIFIER_BLOCKED = 1 << 4, /* it is known to mean something */
    DB_IDENTIFIER_LONG = 1 << 5     /* more than three tokens */
};

struct db_identifier_report {
    unsigned findings; /* of enum db_identifier_finding; 0: a good word */
    char *text;        /* a line for each finding, "" for none */
    int32_t *ids;      /* how the word encodes */
    size_t count;
};

/* What is to be said about a word of LENGTH bytes as an identifier. Release the
 * report with db_identifier_report_release(). */
int db_identifier_check(const struct db_tokenizer *tokenizer, const char *word,
                        size_t length,
                        const struct db_identifier_options *options,
                        struct db_identifier_report *report);
void db_identifier_report_release(struct db_env *env,
                                  struct db_identifier_report *report);

/* Why a word must not be picked, or NULL. */
const char *db_identifier_blocked(const char *word);

#endif

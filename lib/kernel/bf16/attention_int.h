/* SPDX-License-Identifier: MIT */
/* What attention forward and backward share: how heads are laid out. */
#ifndef DB_KERNEL_BF16_ATTENTION_INT_H
#define DB_KERNEL_BF16_ATTENTION_INT_H

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define DB_BF16_LOG2_E 1.4426950408889634
#define DB_BF16_LN_2 0.6931471805599453
#define DB_BF16_MOST_STEPS 128 /* of a score, and of keys at a time */

struct db_bf16_heads {
    const dreambooth_attention *a;
    const struct db_bf16_isa *isa;
    int parts, terms; /* terms: products of parts in a product */
    int64_t row;      /* floats between positions */
    int64_t size_strips, size_panels;    /* a head's values, by 16 and by 32 */
    int64_t score_steps, score_line;     /* steps and bytes of all terms */
    int64_t line_at[DB_BF16_MOST_STEPS]; /* 64 bytes apart */
    int64_t tile_at[DB_BF16_MOST_STEPS]; /* a tile apart */
    int64_t tile_at_parts[DB_BF16_MOST_STEPS]; /* all parts of a tile apart */
};

/* Keys and values of all heads as db_bf16_meeting has them, with a column of
 * ones behind the values. */
struct db_bf16_units {
    uint8_t *at;         /* free as scratch */
    int64_t count, size; /* of a head; bytes of each */
    int64_t strips;      /* of values */
};

void db_bf16_heads_init(struct db_bf16_heads *heads,
                        const struct db_bf16_isa *isa, int parts,
                        const dreambooth_attention *a);

/* Floats from the start of a tensor [batch, length, heads, size] to HEAD. */
int64_t db_bf16_head_at(const struct db_bf16_heads *heads, int64_t length,
                        int64_t head);

/* COUNT positions of a head, FACTOR x, as lines of all terms for the left side
 * of a product or its right. Zeros behind LENGTH. */
void db_bf16_lay_terms(const struct db_bf16_heads *heads, const float *x,
                       int64_t length, int64_t head, int64_t first,
                       int64_t count, float factor, bool is_left, uint8_t *to);

/* 32 queries from FIRST on, as the left side of exponents of base 2. */
void db_bf16_lay_queries(const struct db_bf16_heads *heads, int64_t head,
                         int64_t first, uint8_t *to);

/* Two strips of A times some of B, packed: blocks side by side. */
struct db_bf16_row {
    int64_t steps;
    int parts;           /* of both, a tile apart */
    const uint8_t *a[2]; /* tiles, all parts of one behind the other, or lines
                            as db_bf16_lay_terms() makes them */
    bool is_lines;
    const uint8_t *b; /* tiles */
    int64_t b_strip, strips;
    float *c; /* [strips / 2][32, 32] */
    bool add; /* to c */
};

void db_bf16_multiply_row(const struct db_bf16_heads *heads,
                          const struct db_bf16_row *row);

int64_t db_bf16_whole_panels(int64_t length); /* up to a multiple of 32 */

/* 32 positions from FIRST on with k along them, I and I + 16 in pairs:
 * [size strips][parts] tiles. */
void db_bf16_pack_along(const struct db_bf16_heads *heads, const float *x,
                        int64_t length, int64_t head, int64_t first,
                        uint8_t *to);

int db_bf16_pack_units(const dreambooth_kernel_host *host,
                       const struct db_bf16_heads *heads,
                       struct db_bf16_units *out);

static inline uint8_t *db_bf16_unit(const struct db_bf16_units *units,
                                    int64_t head, int64_t unit)
{
    return units->at + (head * units->count + unit) * units->size;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Tiles multiplied by AVX512-BF16: 8 rows times two tiles, or 16 times one, in
 * 16 sums, which stay in registers along k as long as B stays in the
 * first-level cache.
 */
#include "kernel/bf16/bf16_int.h"

#ifdef DB_BF16_AVX512
#ifdef __clang__
#pragma clang attribute push(                                                  \
    __attribute__((                                                            \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma"))),         \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")
#endif
#include "kernel/bf16/soften_int.h"

#define ROWS 8
#define WIDTH 3         /* tiles of B at most */
#define MOST_PRODUCTS 6 /* of tiles a step */
/* Along k at once: 32 KB of B, which stay in the first-level cache. */
#define TOGETHER 16
/* Where products take half the time of those of floats. */
#define MOST_SQUARES 48

static void nothing(void)
{
}

/* Products of tiles in the order in which they are summed. */
struct chain {
    int64_t a_at[TOGETHER], b_at[TOGETHER];
    int64_t count;
};

/* Those of parts whose numbers add up to less than there are parts. */
static void list_step(const struct db_bf16_block *block, int64_t step,
                      struct chain *chain)
{
    const int parts =
        block->a_parts > block->b_parts ? block->a_parts : block->b_parts;
    const int left_parts = block->is_turned ? block->b_parts : block->a_parts;
    const int right_parts = block->is_turned ? block->a_parts : block->b_parts;
    int left, right;

    for (right = 0; right < right_parts; right++)
        for (left = left_parts; left-- > 0;) {
            const int of_a = block->is_turned ? right : left;
            const int of_b = block->is_turned ? left : right;

            if (left + right >= parts)
                continue;
            chain->a_at[chain->count] =
                block->a_at[step] + of_a * block->a_apart;
            chain->b_at[chain->count++] =
                block->b_at[step] + of_b * block->b_apart;
        }
}

/* So many that chains are about equally long. */
static int64_t steps_of(const struct db_bf16_block *block)
{
    const int64_t most = block->a_parts == 1 && block->b_parts == 1
                             ? TOGETHER
                             : TOGETHER / MOST_PRODUCTS;
    const int64_t chains = (block->steps + most - 1) / most;

    return (block->steps + chains - 1) / chains;
}

static void list_chain(const struct db_bf16_block *block, int64_t first,
                       int64_t end, struct chain *chain)
{
    chain->count = 0;
    for (; first < end; first++)
        list_step(block, first, chain);
}

#define GROUP 3 /* rows that one pointer reaches: 0, 1 and 2 lines away */

/* A pair of values of COUNT rows of A times those of WIDTH tiles of B. */
INLINE void one_pair(const uint8_t *const *a, int64_t a_line, int at,
                     const uint8_t *const *b, const int count, const int width,
                     __m512 sums[][WIDTH])
{
    __m512bh right[WIDTH];
    int r, w;

#pragma GCC unroll 4
    for (w = 0; w < width; w++)
        right[w] = (__m512bh)_mm512_loadu_si512(b[w]);
#pragma GCC unroll 16
    for (r = 0; r < count; r++) {
        int32_t two;

        memcpy(&two, a[r / GROUP] + r % GROUP * a_line + at, sizeof(two));
        const __m512bh left = (__m512bh)_mm512_set1_epi32(two);

#pragma GCC unroll 4
        for (w = 0; w < width; w++)
            sums[r][w] = _mm512_dpbf16_ps(sums[r][w], left, right[w]);
    }
}

/* COUNT rows of a tile of A times WIDTH tiles of B, of which the first PAIRS, a
 * multiple of 4, are multiplied. */
INLINE void one_tile(const uint8_t *a, int64_t a_line, const uint8_t *const *b,
                     int64_t b_at, int64_t b_line, int pairs, const int count,
                     const int width, __m512 sums[][WIDTH])
{
    const uint8_t *left[DB_BF16_SIDE / GROUP + 1], *right[WIDTH];
    int g, w, i, pair;

#pragma GCC unroll 16
    for (g = 0; g * GROUP < count; g++)
        left[g] = a + g * GROUP * a_line;
#pragma GCC unroll 4
    for (w = 0; w < width; w++)
        right[w] = b[w] + b_at;
#pragma GCC unroll 1
    for (i = 0; i < pairs; i += 4) {
#pragma GCC unroll 4
        for (pair = 0; pair < 4; pair++) {
            one_pair(left, a_line, pair * 4, right, count, width, sums);
#pragma GCC unroll 4
            for (w = 0; w < width; w++)
                right[w] += b_line;
        }
#pragma GCC unroll 16
        for (g = 0; g * GROUP < count; g++)
            left[g] += 16;
    }
}

INLINE void begin_sums(const float *from, int64_t row, const int count,
                       const int width, __m512 sums[][WIDTH])
{
    int r, w;

#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (w = 0; w < width; w++)
            sums[r][w] =
                from == NULL
                    ? _mm512_setzero_ps()
                    : _mm512_loadu_ps(from + r * row + w * DB_BF16_SIDE);
}

INLINE void end_sums(float *to, int64_t row, const int count, const int width,
                     __m512 sums[][WIDTH])
{
    int r, w;

#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (w = 0; w < width; w++)
            _mm512_storeu_ps(to + r * row + w * DB_BF16_SIDE, sums[r][w]);
}

/* COUNT rows from FIRST on of strip SIDE. */
INLINE void multiply_rows(const struct db_bf16_block *block,
                          const struct chain *chain,
                          const struct db_bf16_pair *pair,
                          const struct db_bf16_sums *at, int side, int first,
                          const int count, const int width)
{
    const uint8_t *const a = pair->a[side] + first * block->a_line;
    __m512 sums[DB_BF16_SIDE][WIDTH];
    int64_t i;

    begin_sums(at->from == NULL ? NULL : at->from + first * at->from_row,
               at->from_row, count, width, sums);
    for (i = 0; i < chain->count; i++)
        one_tile(a + chain->a_at[i], block->a_line, pair->b, chain->b_at[i],
                 block->b_line, DB_BF16_SIDE, count, width, sums);
    end_sums(at->to + first * at->to_row, at->to_row, count, width, sums);
}

static void multiply_strip(const struct db_bf16_block *block,
                           const struct chain *chain,
                           const struct db_bf16_pair *pair, int side,
                           bool is_first)
{
    struct db_bf16_sums sums = pair->sums[side];

    if (!is_first) {
        sums.from = sums.to;
        sums.from_row = sums.to_row;
    }
    if (pair->b[1] == NULL) {
        multiply_rows(block, chain, pair, &sums, side, 0, 2 * ROWS, 1);
    } else {
        multiply_rows(block, chain, pair, &sums, side, 0, ROWS, 2);
        multiply_rows(block, chain, pair, &sums, side, ROWS, ROWS, 2);
    }
}

static void multiply(const struct db_bf16_block *block,
                     const struct db_bf16_pair *pairs, int64_t count)
{
    const int64_t steps = steps_of(block);
    int64_t begun, i;

    for (begun = 0; begun < block->steps; begun += steps) {
        struct chain chain;

        list_chain(block, begun,
                   begun + steps < block->steps ? begun + steps : block->steps,
                   &chain);
        for (i = 0; i < 2 * count; i++)
            multiply_strip(block, &chain, &pairs[i / 2], (int)(i % 2),
                           begun == 0);
    }
}

#include "kernel/bf16/avx512_attention_int.h"

const struct db_bf16_isa db_bf16_avx512 = {
    nothing,     nothing, multiply, rows,         pairs,  turn, put,
    put_columns, terms,   apart,    raise_maxima, soften, meet, weigh,
    NULL,        scale,   1,        MOST_SQUARES};

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif

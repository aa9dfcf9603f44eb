/* SPDX-License-Identifier: MIT */
/* Tiles multiplied by AVX512-BF16: 8 rows at a time, in 16 sums. */
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

static void nothing(void)
{
}

/* One step of ROWS rows of a tile of A, with two tiles of B. */
INLINE void one_step(const uint8_t *a, int64_t a_line, const uint8_t *b0,
                     const uint8_t *b1, int64_t b_line, __m512 sums[ROWS][2])
{
    int64_t pair;
    int r;

    for (pair = 0; pair < DB_BF16_SIDE; pair++) {
        const __m512bh left = (__m512bh)_mm512_loadu_si512(b0 + pair * b_line);
        const __m512bh right = (__m512bh)_mm512_loadu_si512(b1 + pair * b_line);

#pragma GCC unroll 8
        for (r = 0; r < ROWS; r++) {
            int32_t two;

            memcpy(&two, a + r * a_line + pair * 4, sizeof(two));
            const __m512bh value = (__m512bh)_mm512_set1_epi32(two);

            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], value, left);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], value, right);
        }
    }
}

/* ROWS of strip SIDE, from FIRST on. */
INLINE void multiply_rows(const struct db_bf16_block *block,
                          const struct db_bf16_pair *pair, int side,
                          int64_t first)
{
    const struct db_bf16_sums *where = &pair->sums[side];
    const uint8_t *const a = pair->a[side] + first * block->a_line;
    const bool is_narrow = pair->b[1] == NULL;
    __m512 sums[ROWS][2];
    const int parts =
        block->a_parts > block->b_parts ? block->a_parts : block->b_parts;
    const int left_parts = block->is_turned ? block->b_parts : block->a_parts;
    const int right_parts = block->is_turned ? block->a_parts : block->b_parts;
    int64_t i;
    int r, left, right;

#pragma GCC unroll 8
    for (r = 0; r < ROWS; r++) {
        const int64_t at = (first + r) * where->from_row;

        sums[r][0] = _mm512_setzero_ps();
        sums[r][1] = _mm512_setzero_ps();
        if (where->from != NULL)
            sums[r][0] = _mm512_loadu_ps(where->from + at);
        if (where->from != NULL && !is_narrow)
            sums[r][1] = _mm512_loadu_ps(where->from + at + DB_BF16_SIDE);
    }
    for (i = 0; i < block->steps; i++) {
        const uint8_t *at = a + block->a_at[i];
        const uint8_t *b0 = pair->b[0] + block->b_at[i];
        const uint8_t *b1 = pair->b[is_narrow ? 0 : 1] + block->b_at[i];

        for (right = 0; right < right_parts; right++)
            for (left = left_parts; left-- > 0;) {
                const int of_a = block->is_turned ? right : left;
                const int of_b = block->is_turned ? left : right;

                if (left + right < parts)
                    one_step(at + of_a * block->a_apart, block->a_line,
                             b0 + of_b * block->b_apart,
                             b1 + of_b * block->b_apart, block->b_line, sums);
            }
    }
#pragma GCC unroll 8
    for (r = 0; r < ROWS; r++) {
        float *at = where->to + (first + r) * where->to_row;

        _mm512_storeu_ps(at, sums[r][0]);
        if (!is_narrow)
            _mm512_storeu_ps(at + DB_BF16_SIDE, sums[r][1]);
    }
}

static void multiply(const struct db_bf16_block *block,
                     const struct db_bf16_pair *pairs, int64_t count)
{
    int64_t i;
    int side, r;

    for (i = 0; i < count; i++)
        for (side = 0; side < 2; side++)
            for (r = 0; r < DB_BF16_SIDE; r += ROWS)
                multiply_rows(block, &pairs[i], side, r);
}

const struct db_bf16_isa db_bf16_avx512 = {
    nothing,     nothing, multiply, rows,         pairs,  turn, put,
    put_columns, terms,   apart,    raise_maxima, soften, NULL, weigh,
    NULL,        scale,   1};

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif

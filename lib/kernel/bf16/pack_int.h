/* SPDX-License-Identifier: MIT */
/*
 * What the AVX-512 isas share: splitting floats into bfloat16, and putting
 * results away. A file that includes it has said which instructions it may use.
 */
#ifndef DB_KERNEL_BF16_PACK_INT_H
#define DB_KERNEL_BF16_PACK_INT_H

#include <immintrin.h>
#include <string.h>

#include "kernel/bf16/bf16_int.h"

#define INLINE static inline __attribute__((always_inline))

/* Of 16 values, the first COUNT. */
INLINE __mmask16 first_of(int64_t count)
{
    return count >= 16  ? (__mmask16)0xffff
           : count <= 0 ? (__mmask16)0
                        : (__mmask16)((1u << count) - 1);
}

INLINE __m512 widen(__m256i half)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Takes the next part of 32 values off them. */
INLINE __m512i part_of(__m512 *a, __m512 *b)
{
    const __m512i part = (__m512i)_mm512_cvtne2ps_pbh(*b, *a);

    *a = _mm512_sub_ps(*a, widen(_mm512_castsi512_si256(part)));
    *b = _mm512_sub_ps(*b, widen(_mm512_extracti64x4_epi64(part, 1)));
    return part;
}

/* Values between what is split and what memory has to bring meanwhile. */
#define VALUES_AHEAD 1024

/* A line of floats; AHEAD floats from it lies one that comes later. */
INLINE void split_line(const float *x, int64_t k, int64_t ahead, uint8_t *to,
                       int64_t step, const int parts, int64_t apart)
{
    int part;

    for (; k >= DB_BF16_STEP; k -= DB_BF16_STEP, x += DB_BF16_STEP) {
        __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);

        _mm_prefetch((const char *)(x + ahead), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + ahead + 16), _MM_HINT_T0);
#pragma GCC unroll 3
        for (part = 0; part < parts; part++)
            _mm512_storeu_si512(to + part * apart, part_of(&a, &b));
        to += step;
    }
    if (k > 0) {
        __m512 a = _mm512_maskz_loadu_ps(first_of(k), x);
        __m512 b = _mm512_maskz_loadu_ps(first_of(k - 16), x + 16);

#pragma GCC unroll 3
        for (part = 0; part < parts; part++)
            _mm512_storeu_si512(to + part * apart, part_of(&a, &b));
    }
}

#define VALUES_NEAR 64 /* the same within a line, of 16 at once */

/* Whole tiles, one after the other. */
INLINE void split_tiles(const float *x, int64_t row, int64_t steps, uint8_t *to,
                        int64_t step, const int parts, int64_t apart)
{
    int64_t i;
    int r, part;

    for (i = 0; i < steps; i++, x += DB_BF16_STEP, to += step) {
#pragma GCC unroll 16
        for (r = 0; r < DB_BF16_SIDE; r++) {
            const float *line = x + r * row, *next = line + VALUES_NEAR;
            __m512 a = _mm512_loadu_ps(line), b = _mm512_loadu_ps(line + 16);

            _mm_prefetch((const char *)next, _MM_HINT_T0);
            _mm_prefetch((const char *)(next + 16), _MM_HINT_T0);
#pragma GCC unroll 3
            for (part = 0; part < parts; part++)
                _mm512_storeu_si512(to + part * apart + r * DB_BF16_LINE,
                                    part_of(&a, &b));
        }
    }
}

static void copy_tiles(const uint16_t *x, int64_t row, int64_t steps,
                       uint8_t *to, int64_t step)
{
    int64_t i;
    int r;

    for (i = 0; i < steps; i++, x += DB_BF16_STEP, to += step) {
#pragma GCC unroll 16
        for (r = 0; r < DB_BF16_SIDE; r++) {
            const uint16_t *line = x + r * row;

            _mm_prefetch((const char *)(line + 2 * VALUES_NEAR), _MM_HINT_T0);
            _mm512_storeu_si512(to + r * DB_BF16_LINE,
                                _mm512_loadu_si512(line));
        }
    }
}

static void copy_line(const uint16_t *x, int64_t k, int64_t ahead, uint8_t *to,
                      int64_t step)
{
    for (; k > 0; k -= DB_BF16_STEP, x += DB_BF16_STEP, to += step) {
        const __mmask32 all = k >= 32 ? ~0u : (1u << k) - 1;

        _mm_prefetch((const char *)(x + ahead), _MM_HINT_T0);
        _mm512_storeu_si512(to, _mm512_maskz_loadu_epi16(all, x));
    }
}

static void rows_of_tiles(const struct db_bf16_from *from, int64_t steps,
                          uint8_t *to, int64_t step, int parts, int64_t apart)
{
    if (from->f32 == NULL)
        copy_tiles(from->bf16, from->row, steps, to, step);
    else if (parts == 1)
        split_tiles(from->f32, from->row, steps, to, step, 1, apart);
    else if (parts == 2)
        split_tiles(from->f32, from->row, steps, to, step, 2, apart);
    else
        split_tiles(from->f32, from->row, steps, to, step, 3, apart);
}

static void rows(const struct db_bf16_from *from, int64_t count, int64_t k,
                 uint8_t *to, int64_t step, int parts, int64_t apart)
{
    const int64_t lines = (VALUES_AHEAD + k - 1) / k;
    int64_t r;

    if (count == DB_BF16_SIDE && k % DB_BF16_STEP == 0) {
        rows_of_tiles(from, k / DB_BF16_STEP, to, step, parts, apart);
        return;
    }
    for (r = 0; r < count; r++, to += DB_BF16_LINE) {
        const int64_t line = r * from->row;
        const int64_t ahead = r + lines < count ? lines * from->row : 0;

        if (from->f32 == NULL)
            copy_line(from->bf16 + line, k, ahead, to, step);
        else if (parts == 1)
            split_line(from->f32 + line, k, ahead, to, step, 1, apart);
        else if (parts == 2)
            split_line(from->f32 + line, k, ahead, to, step, 2, apart);
        else
            split_line(from->f32 + line, k, ahead, to, step, 3, apart);
    }
}

static const uint16_t interleaved[32] = {
    0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

/* The parts of two values of k, side by side for 16 columns. */
INLINE void split_pair(__m512 a, __m512 b, __m512i order, uint8_t *to,
                       const int parts, int64_t apart)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    int part;

#pragma GCC unroll 3
    for (part = 0; part < parts; part++) {
        const __m512i line =
            _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a));

        _mm512_storeu_si512(to + part * apart, line);
        a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_slli_epi32(line, 16)));
        b = _mm512_sub_ps(b,
                          _mm512_castsi512_ps(_mm512_and_si512(line, upper)));
    }
}

/* K lines of COUNT floats. */
INLINE void split_pairs(const float *at, int64_t row, int64_t count, int64_t k,
                        uint8_t *to, const int parts, int64_t apart)
{
    const __m512i order = _mm512_loadu_si512(interleaved);
    const __mmask16 columns = first_of(count);
    int64_t i;

    for (i = 0; i < DB_BF16_STEP; i += 2, at += 2 * row, to += DB_BF16_LINE) {
        const __mmask16 first = i < k ? columns : 0;
        const __mmask16 second = i + 1 < k ? columns : 0;

        split_pair(_mm512_maskz_loadu_ps(first, at),
                   _mm512_maskz_loadu_ps(second, at + row), order, to, parts,
                   apart);
    }
}

/* 16 values each, zeros where they are not. */
INLINE __m512i two_lines(const uint16_t *a, const uint16_t *b, __mmask16 in_a,
                         __mmask16 in_b)
{
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_maskz_loadu_epi16(in_a, a)),
        _mm256_maskz_loadu_epi16(in_b, b), 1);
}

static void copy_pairs(const uint16_t *at, int64_t row, int64_t count,
                       int64_t k, uint8_t *to)
{
    const __m512i order = _mm512_loadu_si512(interleaved);
    const __mmask16 columns = first_of(count);
    int64_t i;

    for (i = 0; i < DB_BF16_STEP; i += 2, at += 2 * row, to += DB_BF16_LINE) {
        const __m512i both = two_lines(at, at + row, i < k ? columns : 0,
                                       i + 1 < k ? columns : 0);

        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, both));
    }
}

static void pairs(const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int parts, int64_t apart)
{
    if (from->bf16 != NULL)
        copy_pairs(from->bf16, from->row, count, k, to);
    else if (parts == 1)
        split_pairs(from->f32, from->row, count, k, to, 1, apart);
    else if (parts == 2)
        split_pairs(from->f32, from->row, count, k, to, 2, apart);
    else
        split_pairs(from->f32, from->row, count, k, to, 3, apart);
}

/* Lanes 0 and 2, or 1 and 3, of two vectors. */
#define EVEN_LANES(a, b) _mm512_shuffle_i32x4(a, b, 0x88)
#define ODD_LANES(a, b) _mm512_shuffle_i32x4(a, b, 0xdd)

/* 16 lines become 16 columns, in units of 4 bytes. */
INLINE void turn_lines(__m512i x[16])
{
    __m512i y[16];
    int i;

#pragma GCC unroll 8
    for (i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    /* Lane l of x[4 g + j] is now column 4 l + j of lines 4 g .. 4 g + 3. */
#pragma GCC unroll 4
    for (i = 0; i < 4; i++) {
        y[i] = EVEN_LANES(x[i], x[i + 4]);
        y[i + 4] = ODD_LANES(x[i], x[i + 4]);
        y[i + 8] = EVEN_LANES(x[i + 8], x[i + 12]);
        y[i + 12] = ODD_LANES(x[i + 8], x[i + 12]);
    }
#pragma GCC unroll 8
    for (i = 0; i < 8; i++) {
        x[i] = EVEN_LANES(y[i], y[i + 8]);
        x[i + 8] = ODD_LANES(y[i], y[i + 8]);
    }
}

static void turn(const uint8_t *lines, int64_t line, uint8_t *tile)
{
    __m512i x[16];
    int i;

#pragma GCC unroll 16
    for (i = 0; i < 16; i++)
        x[i] = _mm512_loadu_si512(lines + i * line);
    turn_lines(x);
#pragma GCC unroll 16
    for (i = 0; i < 16; i++)
        _mm512_storeu_si512(tile + i * DB_BF16_LINE, x[i]);
}

/* alpha c + beta y + bias, of the values that are in SOME, of floats. */
INLINE void put_values(__m512 c, float *y, const float *bias, __mmask16 some,
                       const struct db_bf16_result *result)
{
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(result->alpha), c);

    if (result->beta != 0.0f)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(result->beta),
                              _mm512_maskz_loadu_ps(some, y), sum);
    if (result->bias != NULL)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(some, bias));
    _mm512_mask_storeu_ps(y, some, sum);
}

/* alpha c + bias, rounded. */
INLINE void put_halves(__m512 c, uint16_t *y, const float *bias, __mmask16 some,
                       const struct db_bf16_result *result)
{
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(result->alpha), c);

    if (result->bias != NULL)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(some, bias));
    _mm256_mask_storeu_epi16(y, some, (__m256i)_mm512_cvtneps_pbh(sum));
}

static void put_row(int64_t count, const float *c,
                    const struct db_bf16_result *result, int64_t at)
{
    int64_t i;

    for (i = 0; i < count; i += 16) {
        const __m512 values = _mm512_loadu_ps(c + i);
        const float *bias = result->bias == NULL ? NULL : result->bias + i;
        const __mmask16 some = first_of(count - i);

        if (result->y == NULL)
            put_halves(values, result->y_bf16 + at + i, bias, some, result);
        else
            put_values(values, result->y + at + i, bias, some, result);
    }
}

/* The same of whole rows of a panel without a bias. */
static void put_panel(int64_t rows, const float *c, int64_t c_row,
                      const struct db_bf16_result *result, int64_t y_row)
{
    const __m512 alpha = _mm512_set1_ps(result->alpha);
    uint16_t *half = result->y_bf16;
    float *y = result->y;
    int64_t r;

    for (r = 0; y == NULL && r < rows; r++, c += c_row, half += y_row)
        _mm512_storeu_si512(half,
                            (__m512i)_mm512_cvtne2ps_pbh(
                                _mm512_mul_ps(alpha, _mm512_loadu_ps(c + 16)),
                                _mm512_mul_ps(alpha, _mm512_loadu_ps(c))));
    for (; y != NULL && r < rows; r++, c += c_row, y += y_row) {
        put_values(_mm512_loadu_ps(c), y, NULL, 0xffff, result);
        put_values(_mm512_loadu_ps(c + 16), y + 16, NULL, 0xffff, result);
    }
}

static void put(int64_t rows, int64_t count, const float *c, int64_t c_row,
                const struct db_bf16_result *result, int64_t y_row)
{
    int64_t r;

    if (count == DB_BF16_PANEL && result->bias == NULL) {
        put_panel(rows, c, c_row, result, y_row);
        return;
    }
    for (r = 0; r < rows; r++)
        put_row(count, c + r * c_row, result, r * y_row);
}

static void put_columns(int64_t columns, int64_t count, const float *c,
                        int64_t c_row, const struct db_bf16_result *result,
                        int64_t y_row)
{
    const __mmask16 some = first_of(count);
    __m512i x[16];
    int i;

#pragma GCC unroll 16
    for (i = 0; i < 16; i++)
        x[i] = _mm512_loadu_si512(c + i * c_row);
    turn_lines(x);
#pragma GCC unroll 16
    for (i = 0; i < 16; i++)
        if (i < columns)
            put_values(_mm512_castsi512_ps(x[i]), result->y + i * y_row,
                       result->bias, some, result);
}

#endif

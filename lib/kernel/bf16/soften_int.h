/* SPDX-License-Identifier: MIT */
/*
 * What the AVX-512 isas share for attention: heads laid out, softmax, and its
 * gradient. Powers of two are what takes their time: a polynomial of as many
 * terms as the parts show, and roundings by one addition.
 */
#ifndef DB_KERNEL_BF16_SOFTEN_INT_H
#define DB_KERNEL_BF16_SOFTEN_INT_H

#include "kernel/bf16/pack_int.h"

#define BLOCK (DB_BF16_PANEL * DB_BF16_PANEL)
#define FLUSH_TO_ZERO 0x8000u /* of MXCSR: a denormal costs 200 cycles */
#define HIGH_HALVES _mm512_set1_epi32((int)0xffff0000)

static void terms(const float *x, int64_t count, float factor, int parts,
                  const int *which, int terms, uint8_t *to)
{
    const __m512 by = _mm512_set1_ps(factor);
    __m512i part[3];
    int64_t k;
    int i;

    for (k = 0; k < count; k += DB_BF16_STEP) {
        const __mmask32 all = count - k >= 32 ? ~0u : (1u << (count - k)) - 1;
        __m512 a = _mm512_mul_ps(
            by, _mm512_maskz_loadu_ps(first_of(count - k), x + k));
        __m512 b = _mm512_mul_ps(
            by, _mm512_maskz_loadu_ps(first_of(count - k - 16), x + k + 16));

        for (i = 0; i < parts; i++)
            part[i] = part_of(&a, &b);
        for (i = 0; i < terms; i++)
            _mm512_mask_storeu_epi16(to + (i * count + k) * 2, all,
                                     part[which[i]]);
    }
}

static void copy_apart(const struct db_bf16_from *from, int64_t count,
                       int64_t k, uint8_t *to)
{
    const __m512i order = _mm512_loadu_si512(interleaved);
    const __mmask16 columns = first_of(count);
    int64_t i;

    for (i = 0; i < DB_BF16_SIDE; i++, to += DB_BF16_LINE) {
        const uint16_t *at = from->bf16 + i * from->row;
        const __m512i both =
            two_lines(at, at + DB_BF16_SIDE * from->row, i < k ? columns : 0,
                      i + DB_BF16_SIDE < k ? columns : 0);

        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, both));
    }
}

static void split_apart(const struct db_bf16_from *from, int64_t count,
                        int64_t k, uint8_t *to, int parts)
{
    const __m512i order = _mm512_loadu_si512(interleaved);
    const __mmask16 columns = first_of(count);
    int64_t i;
    int part;

    for (i = 0; i < DB_BF16_SIDE; i++, to += DB_BF16_LINE) {
        const float *at = from->f32 + i * from->row;
        __m512 a = _mm512_maskz_loadu_ps(i < k ? columns : 0, at);
        __m512 b = _mm512_maskz_loadu_ps(i + DB_BF16_SIDE < k ? columns : 0,
                                         at + DB_BF16_SIDE * from->row);

        for (part = 0; part < parts; part++)
            _mm512_storeu_si512(
                to + part * DB_BF16_TILE,
                _mm512_permutexvar_epi16(order, part_of(&a, &b)));
    }
}

static void apart(const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int parts)
{
    if (from->bf16 != NULL)
        copy_apart(from, count, k, to);
    else
        split_apart(from, count, k, to, parts);
}

#define HALF_PLACE 0x1p-8f /* of a bfloat16 in [1, 2) */

/* 2^x: to 1e-7, and 1 for 0; for one part to 9e-5, and if it IS_ROUNDED the
 * upper half is what a bfloat16 of it would be. */
INLINE __m512 power_of_2(__m512 x, const int parts, const bool is_rounded)
{
    static const float few[] = {7.7067042e-2f, 2.27644991e-1f, 6.95116786e-1f};
    static const float all[] = {1.86713007e-3f, 9.01703032e-3f, 5.57999131e-2f,
                                2.4016445e-1f, 6.93151312e-1f};
    const float *of = parts == 1 ? few : all;
    const int terms = parts == 1 ? 3 : 5;
    const __m512 rest =
        _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 y = _mm512_set1_ps(of[0]);
    int i;

#pragma GCC unroll 5
    for (i = 1; i < terms; i++)
        y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(of[i]));
    y = _mm512_fmadd_ps(y, rest,
                        _mm512_set1_ps(is_rounded ? 1.0f + HALF_PLACE : 1.0f));
    return _mm512_scalef_ps(y, x);
}

/* A value and half of a bfloat16's last place: its upper half is what it rounds
 * to. */
INLINE __m512i rounded(__m512 x)
{
    return _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
}

INLINE __m512 rest_of(__m512 x, __m512i rounded)
{
    return _mm512_sub_ps(
        x, _mm512_castsi512_ps(_mm512_and_si512(rounded, HIGH_HALVES)));
}

/* The upper halves of two vectors in pairs. */
INLINE __m512i side_by_side(__m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(a, 16), b, HIGH_HALVES,
                                     0xf8 /* a | (b & c) */);
}

INLINE float largest_of(const float *row, int64_t keys)
{
    __m512 a = _mm512_loadu_ps(row), b = _mm512_loadu_ps(row + 16);
    int64_t k;

    for (k = DB_BF16_PANEL; k < keys; k += DB_BF16_PANEL) {
        row += BLOCK;
        a = _mm512_max_ps(a, _mm512_loadu_ps(row));
        b = _mm512_max_ps(b, _mm512_loadu_ps(row + 16));
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(a, b));
}

static void raise_maxima(const struct db_bf16_softening *s, float *factor)
{
    int r;

    for (r = 0; r < DB_BF16_PANEL; r++)
        factor[r] = largest_of(s->scores + r * DB_BF16_PANEL, s->keys);
    for (r = 0; r < DB_BF16_PANEL; r += 16) {
        const __m512 old = _mm512_loadu_ps(s->maximum + r);
        const __m512 all = _mm512_max_ps(_mm512_loadu_ps(factor + r), old);
        const __mmask16 is_higher = _mm512_cmp_ps_mask(all, old, _CMP_GT_OQ);

        _mm512_storeu_ps(
            factor + r,
            _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), is_higher,
                               power_of_2(_mm512_sub_ps(old, all), 2, false)));
        _mm512_storeu_ps(s->maximum + r, all);
    }
}

/* A query. */
INLINE void soften_row(const float *row, int64_t keys, float maximum,
                       const int parts, uint8_t *to)
{
    const __m512 top = _mm512_set1_ps(maximum);
    const bool is_one = parts == 1;
    int64_t k;
    int part;

    for (k = 0; k < keys; k += DB_BF16_PANEL, row += BLOCK) {
        __m512 a =
            power_of_2(_mm512_sub_ps(_mm512_loadu_ps(row), top), parts, is_one);
        __m512 b = power_of_2(_mm512_sub_ps(_mm512_loadu_ps(row + 16), top),
                              parts, is_one);

#pragma GCC unroll 3
        for (part = 0; part < parts; part++, to += DB_BF16_TILE) {
            const __m512i ra = is_one ? _mm512_castps_si512(a) : rounded(a);
            const __m512i rb = is_one ? _mm512_castps_si512(b) : rounded(b);

            _mm512_storeu_si512(to, side_by_side(ra, rb));
            a = rest_of(a, ra);
            b = rest_of(b, rb);
        }
    }
}

static void soften(const struct db_bf16_softening *s)
{
    const int64_t strip = s->keys / DB_BF16_STEP * s->parts * DB_BF16_TILE;
    const unsigned modes = _mm_getcsr();
    int r;

    _mm_setcsr(modes | FLUSH_TO_ZERO);
    for (r = 0; r < DB_BF16_PANEL; r++) {
        const float *row = s->scores + r * DB_BF16_PANEL;
        uint8_t *to =
            s->p + r / DB_BF16_SIDE * strip + r % DB_BF16_SIDE * DB_BF16_LINE;

        if (s->parts == 1)
            soften_row(row, s->keys, s->maximum[r], 1, to);
        else if (s->parts == 2)
            soften_row(row, s->keys, s->maximum[r], 2, to);
        else
            soften_row(row, s->keys, s->maximum[r], 3, to);
    }
    _mm_setcsr(modes);
}

/* 32 queries of a key: p, and ds in place of dp. */
struct weights {
    __m512 a, b;
};

INLINE struct weights probabilities(const struct db_bf16_weighing *w, int key,
                                    const int parts)
{
    const float *scores = w->scores + key * DB_BF16_PANEL;

    return (struct weights){
        power_of_2(
            _mm512_sub_ps(_mm512_loadu_ps(scores), _mm512_loadu_ps(w->lse)),
            parts, false),
        power_of_2(_mm512_sub_ps(_mm512_loadu_ps(scores + 16),
                                 _mm512_loadu_ps(w->lse + 16)),
                   parts, false)};
}

INLINE struct weights gradients(const struct db_bf16_weighing *w, int key,
                                struct weights p)
{
    const float *dp = w->dp + key * DB_BF16_PANEL;

    return (struct weights){
        _mm512_mul_ps(
            p.a, _mm512_sub_ps(_mm512_loadu_ps(dp), _mm512_loadu_ps(w->sum))),
        _mm512_mul_ps(p.b, _mm512_sub_ps(_mm512_loadu_ps(dp + 16),
                                         _mm512_loadu_ps(w->sum + 16)))};
}

/* Takes the next part off WEIGHTS; it is in the upper halves. */
INLINE void round_off(struct weights *weights, __m512i *a, __m512i *b)
{
    *a = rounded(weights->a);
    *b = rounded(weights->b);
    weights->a = rest_of(weights->a, *a);
    weights->b = rest_of(weights->b, *b);
}

/* Keys R and R + 16, which the right side of dq has side by side. */
INLINE void weigh_row(const struct db_bf16_weighing *w, int r, const int parts)
{
    const int64_t strip = parts * DB_BF16_TILE;
    int64_t line = r * DB_BF16_LINE;
    struct weights p[2], ds[2];
    __m512i a[2], b[2];
    int part, i;

#pragma GCC unroll 2
    for (i = 0; i < 2; i++) {
        p[i] = probabilities(w, r + i * DB_BF16_SIDE, parts);
        ds[i] = gradients(w, r + i * DB_BF16_SIDE, p[i]);
    }
#pragma GCC unroll 3
    for (part = 0; part < parts; part++, line += DB_BF16_TILE) {
#pragma GCC unroll 2
        for (i = 0; i < 2; i++) {
            round_off(&p[i], &a[i], &b[i]);
            _mm512_storeu_si512(w->p + i * strip + line,
                                side_by_side(a[i], b[i]));
            round_off(&ds[i], &a[i], &b[i]);
            _mm512_storeu_si512(w->ds + i * strip + line,
                                side_by_side(a[i], b[i]));
        }
        _mm512_storeu_si512(w->right + line, side_by_side(a[0], a[1]));
        _mm512_storeu_si512(w->right + strip + line, side_by_side(b[0], b[1]));
    }
}

static void weigh(const struct db_bf16_weighing *w)
{
    const unsigned modes = _mm_getcsr();
    int r;

    _mm_setcsr(modes | FLUSH_TO_ZERO);
    for (r = 0; r < DB_BF16_SIDE; r++)
        if (w->parts == 1)
            weigh_row(w, r, 1);
        else if (w->parts == 2)
            weigh_row(w, r, 2);
        else
            weigh_row(w, r, 3);
    _mm_setcsr(modes);
}

static void scale(float factor, float *y)
{
    const __m512 by = _mm512_set1_ps(factor);

    _mm512_storeu_ps(y, _mm512_mul_ps(by, _mm512_loadu_ps(y)));
    _mm512_storeu_ps(y + 16, _mm512_mul_ps(by, _mm512_loadu_ps(y + 16)));
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Attention by AMX. Tiles are multiplied in a unit of their own, which leaves
 * the vector units idle: so a few queries of one block are softened after each
 * product of others, for whose results nobody waits yet. More than a few would
 * fill the processor's window before it sees the next product.
 *
 * A tile that is stored waits for its last product, and all that follows fills
 * the window meanwhile: so sums stay in their tile until it is needed for
 * others.
 */
#ifndef DB_KERNEL_BF16_AMX_ATTENTION_INT_H
#define DB_KERNEL_BF16_AMX_ATTENTION_INT_H

#include "kernel/bf16/soften_int.h"

#define BLOCK_LINE (DB_BF16_PANEL * sizeof(float))
#define LOWER_HALF (DB_BF16_SIDE * DB_BF16_PANEL)

/* Units that are softened together. */
struct group {
    const uint8_t *units;
    int64_t count;
    float *scores; /* [count][32, 32] */
    uint8_t *p;    /* [2 strips][count][parts] tiles */
};

INLINE struct group group_of(const struct db_bf16_meeting *m, int64_t index)
{
    const int64_t first = index * m->group;
    const int64_t left = m->count - first;

    return (struct group){
        m->units + first * m->unit_size, left < m->group ? left : m->group,
        m->scores + index % 2 * m->group * BLOCK,
        m->p + index % 2 * m->group * 2 * m->parts * DB_BF16_TILE};
}

/* Beside tiles only one of the two vector units multiplies, so that a power of
 * two for one part takes no multiplication: a score that is added to ORIGIN is
 * rounded to 1/512, as its maximum is, and what is BELOW a straight line
 * between whole powers depends on the upper 6 of those 9 bits. What is not
 * between -64 and 64 becomes 2^-64, which is nothing beside the first unit's
 * largest, or nearly 2^64, with which the task is done again. The first of
 * BELOW, which is 1 or less, is 0 so that the former stays what it is. */
#define ORIGIN 24576.0f      /* 1.5 * 2^14: its last place is 1/512 */
#define HALF 0.00390625f     /* 2/512, half of a bfloat16's last place */
#define MOST_MAXIMUM 8192.0f /* beyond, it would be rounded more */

static const uint8_t below[DB_BF16_LINE] = {
    0,  3,  6,  8,  10, 12, 15, 17, 19, 20, 22, 24, 26, 27, 29, 30,
    32, 33, 35, 36, 37, 38, 39, 40, 41, 41, 42, 43, 43, 44, 44, 44,
    44, 45, 45, 44, 44, 44, 44, 43, 43, 42, 41, 41, 40, 39, 38, 36,
    35, 34, 32, 31, 29, 27, 25, 23, 21, 19, 16, 14, 11, 9,  6,  3};

/* From packed order, by lanes of 128 bits, to pairs of I and I + 16. */
static const uint16_t in_pairs[32] = {
    0,  4,  1,  5,  2,  6,  3,  7,  8,  12, 9,  13, 10, 14, 11, 15,
    16, 20, 17, 21, 18, 22, 19, 23, 24, 28, 25, 29, 26, 30, 27, 31};

/* What is done between products. */
struct meanwhile {
    const float *scores, *maximum;
    uint8_t *p;
    int64_t left, strip; /* queries of units; bytes from strip to strip of p */
    __m512i *signs; /* of one part: set where a score is far below ORIGIN or not
                       a number */
};

/* In 1/512; far ones saturate when they are packed. */
INLINE __m512i from_origin(__m512i score)
{
    return _mm512_sub_epi32(score,
                            _mm512_castps_si512(_mm512_set1_ps(ORIGIN - HALF)));
}

/* A query of a unit, one part. ZERO is ORIGIN less its maximum. */
INLINE void soften_coarsely(const float *row, float zero, uint8_t *to,
                            __m512i *signs)
{
    const __m512 by = _mm512_set1_ps(zero);
    const __m512i a =
        _mm512_castps_si512(_mm512_add_ps(_mm512_loadu_ps(row), by));
    const __m512i b =
        _mm512_castps_si512(_mm512_add_ps(_mm512_loadu_ps(row + 16), by));
    const __m512i x = _mm512_permutexvar_epi16(
        _mm512_loadu_si512(in_pairs),
        _mm512_packs_epi32(from_origin(a), from_origin(b)));
    const __m512i less = _mm512_maskz_permutexvar_epi8(
        0x5555555555555555, _mm512_srli_epi16(x, 3), _mm512_loadu_si512(below));

    *signs = _mm512_ternarylogic_epi32(*signs, a, b, 0xfe /* any of them */);
    _mm512_storeu_si512(
        to, _mm512_add_epi16(_mm512_srai_epi16(_mm512_sub_epi16(x, less), 2),
                             _mm512_set1_epi16(0x3f80 /* 1 */)));
}

/* A query of a unit. */
INLINE void soften_one(struct meanwhile *w, const int parts)
{
    const int64_t r = --w->left % DB_BF16_PANEL;
    const float *row = w->scores + r * DB_BF16_PANEL;
    uint8_t *to =
        w->p + r / DB_BF16_SIDE * w->strip + r % DB_BF16_SIDE * DB_BF16_LINE;

    if (parts == 1)
        soften_coarsely(row, w->maximum[r], to, w->signs);
    else
        soften_row(row, DB_BF16_PANEL, w->maximum[r], parts, to);
    if (r == 0) {
        w->scores += BLOCK;
        w->p += parts * DB_BF16_TILE;
    }
}

/* After each product; so many take about as long as it does. */
INLINE void soften_some(struct meanwhile *w, const int parts)
{
    if (w->left > 0)
        soften_one(w, parts);
    if (w->left > 0 && parts == 1)
        soften_one(w, parts);
}

/* Two strips of A times two of B, or one, along k, from C on or from 0. */
struct strips {
    int64_t steps;
    const uint8_t *a0, *a1, *b0, *b1;
    int64_t a_line, a_step, b_step; /* bytes from line to line, tile to tile */
    float *c;                       /* [32, 32] */
};

/* What is known when the code is made. */
struct strips_kind {
    bool is_sum, is_narrow; /* from C on; one strip of B */
    int parts, softened;    /* of factors; of what is softened meanwhile */
};

/* Where the sums belong that tiles 0..3 still hold. */
struct held {
    float *at[4];
};

#define QUARTER(c, i) ((c) + (i) / 2 * LOWER_HALF + (i) % 2 * DB_BF16_SIDE)

#define RELEASE(i) _tile_stored(i, held->at[i], BLOCK_LINE)

#define BEGIN(i)                                                               \
    do {                                                                       \
        RELEASE(i);                                                            \
        held->at[i] = QUARTER(s->c, i);                                        \
        if (kind.is_sum)                                                       \
            _tile_loadd(i, held->at[i], BLOCK_LINE);                           \
        else                                                                   \
            _tile_zero(i);                                                     \
    } while (0)

#define ONE(i, a, b)                                                           \
    do {                                                                       \
        if (begins)                                                            \
            BEGIN(i);                                                          \
        _tile_dpbf16ps(i, a, b);                                               \
        soften_some(w, kind.softened);                                         \
    } while (0)

#define PRODUCT(begins_now)                                                    \
    do {                                                                       \
        const bool begins = begins_now;                                        \
                                                                               \
        ONE(0, 4, 6);                                                          \
        if (!kind.is_narrow)                                                   \
            ONE(1, 4, 7);                                                      \
        ONE(2, 5, 6);                                                          \
        if (!kind.is_narrow)                                                   \
            ONE(3, 5, 7);                                                      \
    } while (0)

#define LOAD_LEFT(part)                                                        \
    do {                                                                       \
        _tile_loadd(4, a0 + (part)*DB_BF16_TILE, s->a_line);                   \
        _tile_loadd(5, a1 + (part)*DB_BF16_TILE, s->a_line);                   \
    } while (0)

#define LOAD_RIGHT(part)                                                       \
    do {                                                                       \
        _tile_loadd(6, b0 + (part)*DB_BF16_TILE, DB_BF16_LINE);                \
        if (!kind.is_narrow)                                                   \
            _tile_loadd(7, b1 + (part)*DB_BF16_TILE, DB_BF16_LINE);            \
    } while (0)

/* The products of all parts whose numbers add up to less than PARTS. */
INLINE void multiply_step(const struct strips *s, int64_t step,
                          const bool is_first, const struct strips_kind kind,
                          struct held *held, struct meanwhile *w)
{
    const uint8_t *a0 = s->a0 + step * s->a_step;
    const uint8_t *a1 = s->a1 + step * s->a_step;
    const uint8_t *b0 = s->b0 + step * s->b_step;
    const uint8_t *b1 = s->b1 + step * s->b_step;

    LOAD_RIGHT(0);
    if (kind.parts > 2) {
        LOAD_LEFT(2);
        PRODUCT(is_first);
    }
    if (kind.parts > 1) {
        LOAD_LEFT(1);
        PRODUCT(is_first && kind.parts == 2);
    }
    LOAD_LEFT(0);
    PRODUCT(is_first && kind.parts == 1);
    if (kind.parts > 1) {
        LOAD_RIGHT(1);
        PRODUCT(false);
    }
    if (kind.parts > 2) {
        LOAD_LEFT(1);
        PRODUCT(false);
        LOAD_RIGHT(2);
        LOAD_LEFT(0);
        PRODUCT(false);
    }
}

INLINE void multiply_strips(const struct strips *s,
                            const struct strips_kind kind, struct held *held,
                            struct meanwhile *w)
{
    int64_t i;

    multiply_step(s, 0, true, kind, held, w);
    for (i = 1; i < s->steps; i++)
        multiply_step(s, i, false, kind, held, w);
}

INLINE void release(const struct held *held)
{
    RELEASE(0);
    RELEASE(1);
    RELEASE(2);
    RELEASE(3);
}

INLINE void score_group(const struct db_bf16_meeting *m, int64_t index,
                        const int softened, struct held *held,
                        struct meanwhile *w)
{
    const struct strips_kind kind = {false, false, 1, softened};
    const struct group g = group_of(m, index);
    const int64_t line = m->steps * DB_BF16_LINE;
    const uint8_t *k = g.units;
    struct strips s = {m->steps,
                       m->q,
                       m->q + DB_BF16_SIDE * line,
                       k,
                       k + m->steps * DB_BF16_TILE,
                       line,
                       DB_BF16_LINE,
                       DB_BF16_TILE,
                       g.scores};
    int64_t i;

    for (i = 0; i < g.count; i++, s.c += BLOCK) {
        multiply_strips(&s, kind, held, w);
        s.b0 += m->unit_size;
        s.b1 += m->unit_size;
    }
}

INLINE void gather_group(const struct db_bf16_meeting *m, int64_t index,
                         const int parts, struct held *held,
                         struct meanwhile *w)
{
    const struct strips_kind wide = {true, false, parts, parts};
    const struct strips_kind narrow = {true, true, parts, parts};
    const struct group g = group_of(m, index);
    const int64_t tiles = parts * DB_BF16_TILE;
    const uint8_t *v = g.units + 2 * m->steps * DB_BF16_TILE;
    struct strips s = {g.count, g.p,          g.p + g.count * tiles,
                       v,       v + tiles,    DB_BF16_LINE,
                       tiles,   m->unit_size, m->y};
    int64_t strip;

    for (strip = 0; strip + 1 < m->strips; strip += 2, s.c += BLOCK) {
        multiply_strips(&s, wide, held, w);
        s.b0 += 2 * tiles;
        s.b1 += 2 * tiles;
    }
    if (strip < m->strips)
        multiply_strips(&s, narrow, held, w);
}

/* While a group is softened, scores of the next are made and the one before is
 * gathered. Returns the signs. */
INLINE __m512i meet_parts(const struct db_bf16_meeting *m, const float *maximum,
                          const int parts)
{
    const int64_t groups = (m->count + m->group - 1) / m->group;
    float *const first = m->scores;
    struct held held = {
        {first, first + 16, first + LOWER_HALF, first + LOWER_HALF + 16}};
    __m512i signs = _mm512_setzero_si512();
    struct meanwhile nothing = {.left = 0, .signs = &signs};
    int64_t i;

    score_group(m, 0, parts, &held, &nothing);
    release(&held);
    for (i = 0; i < groups; i++) {
        const struct group g = group_of(m, i);
        struct meanwhile w = {g.scores,
                              maximum,
                              g.p,
                              g.count * DB_BF16_PANEL,
                              g.count * parts * DB_BF16_TILE,
                              &signs};

        if (i + 1 < groups)
            score_group(m, i + 1, parts, &held, &w);
        if (i > 0)
            gather_group(m, i - 1, parts, &held, &w);
        if (i == 0 || m->strips == 1)
            release(&held);
        while (w.left > 0)
            soften_one(&w, parts);
    }
    gather_group(m, groups - 1, parts, &held, &nothing);
    release(&held);
    return signs;
}

static bool meet_coarsely(const struct db_bf16_meeting *m)
{
    float zero[DB_BF16_PANEL];
    __m512i signs;
    int r;

    for (r = 0; r < DB_BF16_PANEL; r++) {
        if (!(m->maximum[r] < MOST_MAXIMUM && m->maximum[r] > -MOST_MAXIMUM))
            return false;
        zero[r] = ORIGIN - m->maximum[r];
    }
    signs = meet_parts(m, zero, 1);
    return _mm512_movepi32_mask(signs) == 0;
}

static bool meet(const struct db_bf16_meeting *m)
{
    const unsigned modes = _mm_getcsr();

    if (m->parts == 1)
        return meet_coarsely(m);
    _mm_setcsr(modes | FLUSH_TO_ZERO);
    if (m->parts == 2)
        meet_parts(m, m->maximum, 2);
    else
        meet_parts(m, m->maximum, 3);
    _mm_setcsr(modes);
    return true;
}

#endif

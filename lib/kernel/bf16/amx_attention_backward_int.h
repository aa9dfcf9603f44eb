/* SPDX-License-Identifier: MIT */
/*
 * Attention backward by AMX: a panel of keys and the units that pass by it stay
 * in the caches nearest to the tiles. Weights are made between products, not
 * meanwhile: they take more instructions than products leave room for, and
 * making them in turns was measured to be no faster.
 */
#ifndef DB_KERNEL_BF16_AMX_ATTENTION_BACKWARD_INT_H
#define DB_KERNEL_BF16_AMX_ATTENTION_BACKWARD_INT_H

#include "kernel/bf16/soften_int.h"

#define SUMS_LINE (DB_BF16_PANEL * sizeof(float))
#define LOWER_SUMS (DB_BF16_SIDE * DB_BF16_PANEL)

/* What is known when the code is made. */
struct back_kind {
    int parts;
    bool is_short, is_narrow; /* one strip of A, or B */
};

/* Tiles 0..3 are sums, 4 and 5 of A, 6 and 7 of B. */
#define MULTIPLY_BACK()                                                        \
    do {                                                                       \
        _tile_dpbf16ps(0, 4, 6);                                               \
        if (!kind.is_narrow)                                                   \
            _tile_dpbf16ps(1, 4, 7);                                           \
        if (!kind.is_short)                                                    \
            _tile_dpbf16ps(2, 5, 6);                                           \
        if (!kind.is_short && !kind.is_narrow)                                 \
            _tile_dpbf16ps(3, 5, 7);                                           \
    } while (0)

#define BACK_LEFT(part)                                                        \
    do {                                                                       \
        _tile_loadd(4, a + (part)*DB_BF16_TILE, DB_BF16_LINE);                 \
        if (!kind.is_short)                                                    \
            _tile_loadd(5, a + (kind.parts + (part)) * DB_BF16_TILE,           \
                        DB_BF16_LINE);                                         \
    } while (0)

#define BACK_RIGHT(part)                                                       \
    do {                                                                       \
        _tile_loadd(6, b + (part)*DB_BF16_TILE, DB_BF16_LINE);                 \
        if (!kind.is_narrow)                                                   \
            _tile_loadd(7, b + (kind.parts + (part)) * DB_BF16_TILE,           \
                        DB_BF16_LINE);                                         \
    } while (0)

/* Tiles of a strip with all parts, and those of the next behind each. */
struct back_strips {
    const uint8_t *at;
    int64_t step; /* bytes */
};

/* The products of all parts whose numbers add up to less than PARTS. */
INLINE void multiply_back(const uint8_t *a, const uint8_t *b,
                          const struct back_kind kind)
{
    BACK_RIGHT(0);
    if (kind.parts > 2) {
        BACK_LEFT(2);
        MULTIPLY_BACK();
    }
    if (kind.parts > 1) {
        BACK_LEFT(1);
        MULTIPLY_BACK();
    }
    BACK_LEFT(0);
    MULTIPLY_BACK();
    if (kind.parts > 1) {
        BACK_RIGHT(1);
        MULTIPLY_BACK();
    }
    if (kind.parts > 2) {
        BACK_LEFT(1);
        MULTIPLY_BACK();
        BACK_RIGHT(2);
        BACK_LEFT(0);
        MULTIPLY_BACK();
    }
}

/* The sums C of a block += A B. */
INLINE void gather_back(struct back_strips a, struct back_strips b,
                        int64_t steps, float *c, const struct back_kind kind)
{
    int64_t i;

    _tile_loadd(0, c, SUMS_LINE);
    if (!kind.is_narrow)
        _tile_loadd(1, c + DB_BF16_SIDE, SUMS_LINE);
    if (!kind.is_short)
        _tile_loadd(2, c + LOWER_SUMS, SUMS_LINE);
    if (!kind.is_short && !kind.is_narrow)
        _tile_loadd(3, c + LOWER_SUMS + DB_BF16_SIDE, SUMS_LINE);
    for (i = 0; i < steps; i++)
        multiply_back(a.at + i * a.step, b.at + i * b.step, kind);
    _tile_stored(0, c, SUMS_LINE);
    if (!kind.is_narrow)
        _tile_stored(1, c + DB_BF16_SIDE, SUMS_LINE);
    if (!kind.is_short)
        _tile_stored(2, c + LOWER_SUMS, SUMS_LINE);
    if (!kind.is_short && !kind.is_narrow)
        _tile_stored(3, c + LOWER_SUMS + DB_BF16_SIDE, SUMS_LINE);
}

/* c [32 keys, 32 queries] = lines times terms. */
INLINE void score_back(const struct db_bf16_return *m, const uint8_t *lines,
                       const uint8_t *terms, float *c)
{
    const struct back_kind kind = {1, false, false};
    const int64_t line = m->steps * DB_BF16_LINE;
    const uint8_t *lower = lines + DB_BF16_SIDE * line;
    const uint8_t *next = terms + m->steps * DB_BF16_TILE;
    int64_t i;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (i = 0; i < m->steps; i++) {
        _tile_loadd(6, terms + i * DB_BF16_TILE, DB_BF16_LINE);
        _tile_loadd(7, next + i * DB_BF16_TILE, DB_BF16_LINE);
        _tile_loadd(4, lines + i * DB_BF16_LINE, line);
        _tile_loadd(5, lower + i * DB_BF16_LINE, line);
        MULTIPLY_BACK();
    }
    _tile_stored(0, c, SUMS_LINE);
    _tile_stored(1, c + DB_BF16_SIDE, SUMS_LINE);
    _tile_stored(2, c + LOWER_SUMS, SUMS_LINE);
    _tile_stored(3, c + LOWER_SUMS + DB_BF16_SIDE, SUMS_LINE);
}

/* Unit INDEX of the units that are weighed together. */
INLINE struct db_bf16_weighing weighing_of(const struct db_bf16_return *m,
                                           int64_t index, const int parts)
{
    const int64_t tiles = 2 * parts * DB_BF16_TILE;
    const int64_t place = index % DB_BF16_RETURNED;
    const float *scores = m->scores + place * 2 * BLOCK;
    uint8_t *weights = m->weights + place * 3 * tiles;

    return (struct db_bf16_weighing){.parts = parts,
                                     .scores = scores,
                                     .dp = scores + BLOCK,
                                     .lse = m->lse + index * DB_BF16_PANEL,
                                     .sum = m->sum + index * DB_BF16_PANEL,
                                     .p = weights,
                                     .ds = weights + tiles,
                                     .right = weights + 2 * tiles};
}

INLINE void weigh_unit(const struct db_bf16_return *m, int64_t index,
                       const int parts)
{
    const struct db_bf16_weighing w = weighing_of(m, index, parts);
    const uint8_t *unit = m->units + index * m->unit_size;
    float *scores = m->scores + index % DB_BF16_RETURNED * 2 * BLOCK;
    int r;

    score_back(m, m->panel, unit, scores);
    score_back(m, m->panel + m->steps * DB_BF16_PANEL * DB_BF16_LINE,
               unit + 2 * m->steps * DB_BF16_TILE, scores + BLOCK);
    for (r = 0; r < DB_BF16_SIDE; r++)
        weigh_row(&w, r, parts);
}

/* c += weights times values. */
INLINE void gather_keys(const struct db_bf16_return *m, const uint8_t *weights,
                        const uint8_t *values, int64_t steps, float *c,
                        const int parts)
{
    const int64_t tiles = parts * DB_BF16_TILE;
    const struct back_kind whole = {parts, false, false};
    const struct back_kind narrow = {parts, false, true};
    const struct back_strips a = {weights, 3 * 2 * tiles};
    struct back_strips b = {values, m->unit_size};
    int64_t strip;

    for (strip = 0; strip + 1 < m->strips; strip += 2, c += BLOCK) {
        gather_back(a, b, steps, c, whole);
        b.at += 2 * tiles;
    }
    if (strip < m->strips)
        gather_back(a, b, steps, c, narrow);
}

INLINE void gather_queries(const struct db_bf16_return *m, const uint8_t *right,
                           float *c, const int parts)
{
    const int64_t tiles = parts * DB_BF16_TILE;
    const struct back_kind whole = {parts, false, false};
    const struct back_kind flat = {parts, true, false};
    const struct back_strips b = {right, 0};
    struct back_strips a = {
        m->panel + 2 * m->steps * DB_BF16_PANEL * DB_BF16_LINE, 0};
    int64_t strip;

    for (strip = 0; strip + 1 < m->strips; strip += 2, c += BLOCK) {
        gather_back(a, b, 1, c, whole);
        a.at += 2 * tiles;
    }
    if (strip < m->strips)
        gather_back(a, b, 1, c, flat);
}

/* COUNT units at once, from FIRST on. */
INLINE void return_units(const struct db_bf16_return *m, int64_t first,
                         int64_t count, const int parts)
{
    const struct db_bf16_weighing w = weighing_of(m, first, parts);
    const uint8_t *q =
        m->units + first * m->unit_size + 4 * m->steps * DB_BF16_TILE;
    const uint8_t *dy = q + m->strips * parts * DB_BF16_TILE;
    const int64_t of_unit = (m->strips + 1) / 2 * BLOCK;
    int64_t i;

    for (i = 0; i < count; i++)
        weigh_unit(m, first + i, parts);
    gather_keys(m, w.p, dy, count, m->dv, parts);
    gather_keys(m, w.ds, q, count, m->dk, parts);
    for (i = 0; i < count; i++)
        gather_queries(m, weighing_of(m, first + i, parts).right,
                       m->dq + (first + i) * of_unit, parts);
}

INLINE void meet_back_parts(const struct db_bf16_return *m, const int parts)
{
    int64_t first, left;

    for (first = 0; first < m->count; first += DB_BF16_RETURNED) {
        left = m->count - first;
        return_units(m, first,
                     left < DB_BF16_RETURNED ? left : DB_BF16_RETURNED, parts);
    }
}

static void meet_back(const struct db_bf16_return *m)
{
    const unsigned modes = _mm_getcsr();

    _mm_setcsr(modes | FLUSH_TO_ZERO);
    if (m->parts == 1)
        meet_back_parts(m, 1);
    else if (m->parts == 2)
        meet_back_parts(m, 2);
    else
        meet_back_parts(m, 3);
    _mm_setcsr(modes);
}

#endif

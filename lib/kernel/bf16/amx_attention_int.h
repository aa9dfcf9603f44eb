/* SPDX-License-Identifier: MIT */
/*
 * Attention by AMX. Tiles are multiplied in a unit of their own, which leaves
 * the vector units idle: so a few queries of one block are softened after each
 * product of others, for whose results nobody waits yet. More than a few would
 * fill the processor's window before it sees the next product.
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

/* What is done between products. */
struct meanwhile {
    const float *scores, *maximum;
    uint8_t *p;
    int64_t left, strip; /* queries of units; bytes from strip to strip of p */
};

/* A query of a unit. */
INLINE void soften_one(struct meanwhile *w, const int parts)
{
    const int64_t r = --w->left % DB_BF16_PANEL;

    soften_row(
        w->scores + r * DB_BF16_PANEL, DB_BF16_PANEL, w->maximum[r], parts,
        w->p + r / DB_BF16_SIDE * w->strip + r % DB_BF16_SIDE * DB_BF16_LINE);
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

/* Two strips of A times two of B, or one, along k. */
struct strips {
    int64_t steps;
    const uint8_t *a0, *a1, *b0, *b1;
    int64_t a_line, a_step, b_step; /* bytes from line to line, tile to tile */
};

#define PRODUCT()                                                              \
    do {                                                                       \
        _tile_dpbf16ps(0, 4, 6);                                               \
        soften_some(w, softened);                                              \
        if (!is_narrow) {                                                      \
            _tile_dpbf16ps(1, 4, 7);                                           \
            soften_some(w, softened);                                          \
        }                                                                      \
        _tile_dpbf16ps(2, 5, 6);                                               \
        soften_some(w, softened);                                              \
        if (!is_narrow) {                                                      \
            _tile_dpbf16ps(3, 5, 7);                                           \
            soften_some(w, softened);                                          \
        }                                                                      \
    } while (0)

#define LOAD_LEFT(part)                                                        \
    do {                                                                       \
        _tile_loadd(4, a0 + (part)*DB_BF16_TILE, s->a_line);                   \
        _tile_loadd(5, a1 + (part)*DB_BF16_TILE, s->a_line);                   \
    } while (0)

#define LOAD_RIGHT(part)                                                       \
    do {                                                                       \
        _tile_loadd(6, b0 + (part)*DB_BF16_TILE, DB_BF16_LINE);                \
        if (!is_narrow) {                                                      \
            _tile_loadd(7, b1 + (part)*DB_BF16_TILE, DB_BF16_LINE);            \
        }                                                                      \
    } while (0)

/* The products of all parts whose numbers add up to less than PARTS. */
INLINE void multiply_strips(const struct strips *s, const bool is_narrow,
                            const int parts, struct meanwhile *w,
                            const int softened)
{
    const uint8_t *a0 = s->a0, *a1 = s->a1, *b0 = s->b0, *b1 = s->b1;
    int64_t i;

    for (i = 0; i < s->steps; i++) {
        LOAD_RIGHT(0);
        if (parts > 2) {
            LOAD_LEFT(2);
            PRODUCT();
        }
        if (parts > 1) {
            LOAD_LEFT(1);
            PRODUCT();
        }
        LOAD_LEFT(0);
        PRODUCT();
        if (parts > 1) {
            LOAD_RIGHT(1);
            PRODUCT();
        }
        if (parts > 2) {
            LOAD_LEFT(1);
            PRODUCT();
            LOAD_RIGHT(2);
            LOAD_LEFT(0);
            PRODUCT();
        }
        a0 += s->a_step;
        a1 += s->a_step;
        b0 += s->b_step;
        b1 += s->b_step;
    }
}

INLINE void score_group(const struct db_bf16_meeting *m, int64_t index,
                        struct meanwhile *w, const int softened)
{
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
                       DB_BF16_TILE};
    float *c = g.scores;
    int64_t i;

    for (i = 0; i < g.count; i++, c += BLOCK) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        multiply_strips(&s, false, 1, w, softened);
        _tile_stored(0, c, BLOCK_LINE);
        _tile_stored(1, c + DB_BF16_SIDE, BLOCK_LINE);
        _tile_stored(2, c + LOWER_HALF, BLOCK_LINE);
        _tile_stored(3, c + LOWER_HALF + DB_BF16_SIDE, BLOCK_LINE);
        s.b0 += m->unit_size;
        s.b1 += m->unit_size;
    }
}

/* What a unit gives to 32 values of y, or 16. */
INLINE void add_values(const struct strips *s, float *c, const bool is_narrow,
                       const int parts, struct meanwhile *w)
{
    _tile_loadd(0, c, BLOCK_LINE);
    _tile_loadd(2, c + LOWER_HALF, BLOCK_LINE);
    if (!is_narrow) {
        _tile_loadd(1, c + DB_BF16_SIDE, BLOCK_LINE);
        _tile_loadd(3, c + LOWER_HALF + DB_BF16_SIDE, BLOCK_LINE);
    }
    multiply_strips(s, is_narrow, parts, w, parts);
    _tile_stored(0, c, BLOCK_LINE);
    _tile_stored(2, c + LOWER_HALF, BLOCK_LINE);
    if (!is_narrow) {
        _tile_stored(1, c + DB_BF16_SIDE, BLOCK_LINE);
        _tile_stored(3, c + LOWER_HALF + DB_BF16_SIDE, BLOCK_LINE);
    }
}

INLINE void gather_group(const struct db_bf16_meeting *m, int64_t index,
                         const int parts, struct meanwhile *w)
{
    const struct group g = group_of(m, index);
    const int64_t tiles = parts * DB_BF16_TILE;
    const uint8_t *v = g.units + 2 * m->steps * DB_BF16_TILE;
    struct strips s = {g.count,      g.p,   g.p + g.count * tiles, v, v + tiles,
                       DB_BF16_LINE, tiles, m->unit_size};
    float *c = m->y;
    int64_t strip;

    for (strip = 0; strip + 1 < m->strips; strip += 2, c += BLOCK) {
        add_values(&s, c, false, parts, w);
        s.b0 += 2 * tiles;
        s.b1 += 2 * tiles;
    }
    if (strip < m->strips)
        add_values(&s, c, true, parts, w);
}

/* While a group is softened, scores of the next are made and the one before is
 * gathered. */
INLINE void meet_parts(const struct db_bf16_meeting *m, const int parts)
{
    const int64_t groups = (m->count + m->group - 1) / m->group;
    struct meanwhile nothing = {.left = 0};
    int64_t i;

    score_group(m, 0, &nothing, parts);
    for (i = 0; i < groups; i++) {
        const struct group g = group_of(m, i);
        struct meanwhile w = {g.scores, m->maximum, g.p,
                              g.count * DB_BF16_PANEL,
                              g.count * parts * DB_BF16_TILE};

        if (i + 1 < groups)
            score_group(m, i + 1, &w, parts);
        if (i > 0)
            gather_group(m, i - 1, parts, &w);
        while (w.left > 0)
            soften_one(&w, parts);
    }
    gather_group(m, groups - 1, parts, &nothing);
}

static void meet(const struct db_bf16_meeting *m)
{
    const unsigned modes = _mm_getcsr();

    _mm_setcsr(modes | FLUSH_TO_ZERO);
    if (m->parts == 1)
        meet_parts(m, 1);
    else if (m->parts == 2)
        meet_parts(m, 2);
    else
        meet_parts(m, 3);
    _mm_setcsr(modes);
}

#endif

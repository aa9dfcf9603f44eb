/* SPDX-License-Identifier: MIT */
/*
 * A part of the template in isa_int.h: what attention is made of. Everything
 * meets in panels [.., COLUMNS], queries along the vectors.
 */

#define LN_2 0.693147181f
#define WIDE 3 /* vectors of a row, where it has that many */
#define WIDE_ROWS (ROWS * VECTORS / WIDE)

/* sums += a b for the value of row R and step I at a[R A_ROW + I A_STEP]. COUNT
 * and WIDTH, of vectors, are constants wherever this is called. */
INLINE void multiply(const int count, const int width, int64_t k,
                     const float *a, int64_t a_row, int64_t a_step,
                     const float *b, int64_t b_row, vector sums[ROWS][WIDE])
{
    const float *at[(ROWS + GROUP - 1) / GROUP];
    int r, v, g;

#pragma GCC unroll 16
    for (g = 0; g * GROUP < count; g++)
        at[g] = a + g * GROUP * a_row;
    for (; k > 0; k--) {
        vector row[WIDE];

#pragma GCC unroll 4
        for (v = 0; v < width; v++)
            row[v] = load(b + v * LANES);
#pragma GCC unroll 16
        for (r = 0; r < count; r++) {
            const float value = at[r / GROUP][r % GROUP * a_row];

#pragma GCC unroll 4
            for (v = 0; v < width; v++)
                sums[r][v] += value * row[v];
        }
#pragma GCC unroll 16
        for (g = 0; g * GROUP < count; g++)
            at[g] += a_step;
        b += b_row;
    }
}

INLINE void score_rows(const int count, int64_t k, const float *a,
                       int64_t a_row, const float *panel, float *s)
{
    vector sums[ROWS][WIDE] = {{{0}}};
    int r, v;

    multiply(count, VECTORS, k, a, a_row, 1, panel, COLUMNS, sums);
#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++)
            store(s + r * COLUMNS + v * LANES, sums[r][v]);
}

INLINE void gather_rows(const int count, int64_t k, const float *a,
                        int64_t a_step, const float *panel, const float *factor,
                        float *y)
{
    vector sums[ROWS][WIDE] = {{{0}}};
    int r, v;

    multiply(count, VECTORS, k, a, 1, a_step, panel, COLUMNS, sums);
#pragma GCC unroll 4
    for (v = 0; v < VECTORS; v++) {
        const vector by = load(factor + v * LANES);

#pragma GCC unroll 16
        for (r = 0; r < count; r++) {
            float *at = y + r * COLUMNS + v * LANES;

            store(at, load(at) * by + sums[r][v]);
        }
    }
}

INLINE void spread_rows(const int count, const int width,
                        const struct db_simd_spread *p, const float *panel,
                        const float *b, float *y)
{
    vector sums[ROWS][WIDE] = {{{0}}};
    int64_t i;
    int r, v;

    for (i = 0; i < p->panels; i++)
        multiply(count, width, COLUMNS, panel + i * p->panel_step, COLUMNS, 1,
                 b + i * COLUMNS * p->row, p->row, sums);
#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (v = 0; v < width; v++) {
            float *at = y + r * p->row + v * LANES;

            store(at, load(at) + sums[r][v]);
        }
}

#define FOR_EACH_WIDE(what)                                                    \
    what(1, 3) what(2, 3) what(3, 3) what(4, 3) WIDE_MORE(what)
#if ROWS > 8
#define WIDE_MORE(what) what(5, 3) what(6, 3) what(7, 3) what(8, 3) what(9, 3)
#elif ROWS > 6
#define WIDE_MORE(what) what(5, 3)
#else
#define WIDE_MORE(what)
#endif

#define ONE_SPREAD(count, width)                                               \
    static void spread_##count##_##width(const struct db_simd_spread *p,       \
                                         const float *panel, const float *b,   \
                                         float *y)                             \
    {                                                                          \
        spread_rows(count, width, p, panel, b, y);                             \
    }
#define ONE_OF_ATTENTION(count)                                                \
    static void score_##count(int64_t k, const float *a, int64_t a_row,        \
                              const float *panel, float *s)                    \
    {                                                                          \
        score_rows(count, k, a, a_row, panel, s);                              \
    }                                                                          \
    static void gather_##count(int64_t k, const float *a, int64_t a_step,      \
                               const float *panel, const float *factor,        \
                               float *y)                                       \
    {                                                                          \
        gather_rows(count, k, a, a_step, panel, factor, y);                    \
    }                                                                          \
    ONE_SPREAD(count, 1)                                                       \
    ONE_SPREAD(count, 2)
FOR_EACH_COUNT(ONE_OF_ATTENTION)
FOR_EACH_WIDE(ONE_SPREAD)

/* How many of LEFT rows come next: all tiles have nearly as many. */
INLINE int64_t next_rows(int64_t left, int64_t most)
{
    const int64_t tiles = (left + most - 1) / most;

    return (left + tiles - 1) / tiles;
}

#define SCORE_OF(count) score_##count,
#define GATHER_OF(count) gather_##count,
#define SPREAD_1_OF(count) spread_##count##_1,
#define SPREAD_2_OF(count) spread_##count##_2,
#define SPREAD_OF(count, width) spread_##count##_##width,

static void score(int64_t keys, int64_t k, const float *a, int64_t a_row,
                  const float *panel, float *s)
{
    static void (*const by_count[])(int64_t, const float *, int64_t,
                                    const float *,
                                    float *) = {FOR_EACH_COUNT(SCORE_OF)};
    int64_t count;

    for (; keys > 0; keys -= count) {
        count = next_rows(keys, ROWS);
        by_count[count - 1](k, a, a_row, panel, s);
        a += count * a_row;
        s += count * COLUMNS;
    }
}

static void gather(int64_t size, int64_t keys, const float *a, int64_t a_step,
                   const float *panel, const float *factor, float *y)
{
    static void (*const by_count[])(int64_t, const float *, int64_t,
                                    const float *, const float *,
                                    float *) = {FOR_EACH_COUNT(GATHER_OF)};
    int64_t count;

    for (; size > 0; size -= count) {
        count = next_rows(size, ROWS);
        by_count[count - 1](keys, a, a_step, panel, factor, y);
        a += count;
        y += count * COLUMNS;
    }
}

static void spread(const struct db_simd_spread *p)
{
    typedef void function(const struct db_simd_spread *, const float *,
                          const float *, float *);
    static function *const by_count[][ROWS] = {{FOR_EACH_COUNT(SPREAD_1_OF)},
                                               {FOR_EACH_COUNT(SPREAD_2_OF)},
                                               {FOR_EACH_WIDE(SPREAD_OF)}};
    int64_t vectors = p->row / LANES, width, at, count;

    for (at = 0; at < p->row; at += width * LANES, vectors -= width) {
        int64_t key = 0;

        width = vectors == 4 ? 2 : vectors < WIDE ? vectors : WIDE;
        for (; key < p->keys; key += count) {
            count = next_rows(p->keys - key, width == WIDE ? WIDE_ROWS : ROWS);
            by_count[width - 1][count - 1](p, p->weights + key * COLUMNS,
                                           p->b + at, p->y + key * p->row + at);
        }
    }
}

typedef int32_t integers __attribute__((vector_size(LANES * 4)));

#ifndef LARGER
INLINE vector larger(vector a, vector b)
{
    const integers mask = a > b;

    return (vector)(((integers)a & mask) | ((integers)b & ~mask));
}
#define LARGER larger
#endif

#ifndef POWER_OF_TWO
/* 2^x for x <= 0, to 1.5e-7, and 0 below -127. */
INLINE vector power_of_two(vector x)
{
    const vector round = (vector){0} + 12582912.0f;
    const vector bounded = LARGER((vector){0} - 127.0f, x);
    const vector sum = bounded + round;
    const vector r = bounded - (sum - round);
    vector q = 1.32645875e-3f * r + 9.67161923e-3f;

    q = q * r + 5.55073504e-2f;
    q = q * r + 2.40222405e-1f;
    q = q * r + 6.93146976e-1f;
    q = q * r + 1.0f;
    return (vector)((integers)q + ((integers)sum << 23));
}
#define POWER_OF_TWO power_of_two
#endif

INLINE vector largest(int64_t keys, const float *s, vector most)
{
    vector second = most, third = most, fourth = most;
    int64_t k;

    for (k = 0; k + 4 <= keys; k += 4, s += 4 * COLUMNS) {
        most = LARGER(most, load(s));
        second = LARGER(second, load(s + COLUMNS));
        third = LARGER(third, load(s + 2 * COLUMNS));
        fourth = LARGER(fourth, load(s + 3 * COLUMNS));
    }
    for (; k < keys; k++, s += COLUMNS)
        most = LARGER(most, load(s));
    return LARGER(LARGER(most, second), LARGER(third, fourth));
}

static void soften(int64_t keys, float *s, float *maximum, float *sum,
                   float *factor)
{
    int64_t k;
    int v;

    for (v = 0; v < COLUMNS; v += LANES) {
        const vector before = load(maximum + v);
        const vector most = largest(keys, s + v, before);
        const vector rise = POWER_OF_TWO(before - most);
        vector part = {0};

        for (k = 0; k < keys; k++) {
            const vector e = POWER_OF_TWO(load(s + k * COLUMNS + v) - most);

            store(s + k * COLUMNS + v, e);
            part += e;
        }
        store(maximum + v, most);
        store(factor + v, rise);
        store(sum + v, load(sum + v) * rise + part);
    }
}

/* ln m for m from sqrt(1/2) to sqrt(2), to 1e-7 (Cephes, logf). */
INLINE vector logarithm(vector m)
{
    const vector f = m - 1.0f;
    vector q = 7.0376836292e-2f * f - 1.1514610310e-1f;

    q = q * f + 1.1676998740e-1f;
    q = q * f - 1.2420140846e-1f;
    q = q * f + 1.4249322787e-1f;
    q = q * f - 1.6668057665e-1f;
    q = q * f + 2.0000714765e-1f;
    q = q * f - 2.4999993993e-1f;
    q = q * f + 3.3333331174e-1f;
    return f * f * (f * q - 0.5f) + f;
}

static void finish(const float *maximum, const float *sum, float *part,
                   float *lse)
{
    const int32_t least = 0x3f3504f3; /* sqrt(1/2) */
    int v;

    for (v = 0; v < COLUMNS; v += LANES) {
        const vector s = load(sum + v);
        const integers power = ((integers)s - least) >> 23;
        const vector m = (vector)((integers)s - (power << 23));
        const vector two =
            load(maximum + v) + __builtin_convertvector(power, vector);

        store(part + v, 1.0f / s);
        /* What is no number remains none. */
        store(lse + v, (two * LN_2 + logarithm(m)) + (s - s));
    }
}

static void weigh(int64_t keys, const float *lse, const float *sum, float *s,
                  float *dp)
{
    int64_t k;
    int v;

    for (v = 0; v < COLUMNS; v += LANES) {
        const vector most = load(lse + v), mean = load(sum + v);

        for (k = 0; k < keys; k++) {
            const int64_t at = k * COLUMNS + v;
            const vector p = POWER_OF_TWO(load(s + at) - most);

            store(s + at, p);
            store(dp + at, p * (load(dp + at) - mean));
        }
    }
}

/* The first of LANES columns from I on; the last square overlaps the one before
 * it, so that all are whole. */
INLINE int64_t square_at(int64_t i, int64_t size)
{
    return i + LANES <= size ? i : size - LANES;
}

static void lay(int64_t count, int64_t size, const float *source, int64_t row,
                float factor, float *to, int64_t to_row)
{
    int64_t r, i;

    for (r = 0; r < count; r++, source += row, to += to_row)
        if (size < LANES)
            for (i = 0; i < size; i++)
                to[i] = factor * source[i];
        else
            for (i = 0; i < size; i += LANES)
                store(to + square_at(i, size),
                      factor * load(source + square_at(i, size)));
}

static void dots(int64_t row, const float *x, const float *y, float *sum)
{
    vector square[LANES];
    int64_t i;
    int j, v;

    for (v = 0; v < COLUMNS; v += LANES) {
        for (j = 0; j < LANES; j++) {
            const int64_t at = (v + j) * row;

            square[j] = load(x + at) * load(y + at);
            for (i = LANES; i < row; i += LANES)
                square[j] += load(x + at + i) * load(y + at + i);
        }
        turn_square(square);
        for (j = 1; j < LANES; j++)
            square[0] += square[j];
        store(sum + v, square[0]);
    }
}

static void turn_in(int count, int64_t size, const float *source, int64_t row,
                    float factor, float *panel)
{
    vector square[LANES];
    int64_t i, at;
    int j, v;

    if (size < LANES) {
        turn(count, size, source, row, factor, panel);
        return;
    }
    for (v = 0; v < COLUMNS; v += LANES)
        for (i = 0; i < size; i += LANES) {
            at = square_at(i, size);
#pragma GCC unroll 16
            for (j = 0; j < LANES; j++)
                square[j] = load(
                    source + (v + j < count ? v + j : count - 1) * row + at);
            turn_square(square);
#pragma GCC unroll 16
            for (j = 0; j < LANES; j++)
                store(panel + (at + j) * COLUMNS + v, factor * square[j]);
        }
}

static void turn_out_few(int count, int64_t size, const float *panel,
                         const float *factor, float *to, int64_t row)
{
    int64_t i;
    int j;

    for (j = 0; j < count; j++)
        for (i = 0; i < size; i++)
            to[j * row + i] = panel[i * COLUMNS + j] * factor[j];
}

static void turn_out(int count, int64_t size, const float *panel,
                     const float *factor, float *to, int64_t row)
{
    vector square[LANES];
    int64_t i, at;
    int j, v;

    if (size < LANES) {
        turn_out_few(count, size, panel, factor, to, row);
        return;
    }
    for (v = 0; v < count; v += LANES) {
        const vector by = load(factor + v);

        for (i = 0; i < size; i += LANES) {
            at = square_at(i, size);
#pragma GCC unroll 16
            for (j = 0; j < LANES; j++)
                square[j] = load(panel + (at + j) * COLUMNS + v) * by;
            turn_square(square);
#pragma GCC unroll 16
            for (j = 0; j < LANES; j++)
                if (v + j < count)
                    store(to + (v + j) * row + at, square[j]);
        }
    }
}

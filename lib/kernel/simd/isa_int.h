/* SPDX-License-Identifier: MIT */
/*
 * The template of an isa. A file that includes it has defined LANES (floats in
 * a vector), ROWS and VECTORS (of a tile), SPREAD_LOW and SPREAD_HIGH (the
 * indices that interleave the lower and the upper halves of two vectors), ISA
 * (the name of the struct). Vectors are the compiler's own, and that file says
 * which instructions it may use for them.
 */
#include <string.h>

#include "kernel/simd/simd_int.h"

#define COLUMNS (LANES * VECTORS)
#define GROUP 3 /* rows that one pointer reaches: 0, 1 and 2 strides away */

typedef float vector __attribute__((vector_size(LANES * 4)));
typedef float loose __attribute__((vector_size(LANES * 4), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vector load(const float *at)
{
    return *(const loose *)at;
}

INLINE void store(float *at, vector value)
{
    *(loose *)at = value;
}

INLINE void add_tile(const int count, vector sums[ROWS][VECTORS], float *c,
                     int64_t c_row)
{
    int r, v;

#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++)
            store(c + r * c_row + v * LANES,
                  load(c + r * c_row + v * LANES) + sums[r][v]);
}

/* COUNT is a constant wherever this is called, so that sums are registers. */
INLINE void multiply_rows(const int count, int64_t k, const float *a,
                          int64_t a_row, const float *b, float *c,
                          int64_t c_row)
{
    vector sums[ROWS][VECTORS] = {{{0}}};
    const float *at[(ROWS + GROUP - 1) / GROUP];
    int r, v, g;

#pragma GCC unroll 16
    for (g = 0; g * GROUP < count; g++)
        at[g] = a + g * GROUP * a_row;
    for (; k > 0; k--) {
        vector row[VECTORS];

#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++)
            row[v] = load(b + v * LANES);
#pragma GCC unroll 16
        for (r = 0; r < count; r++) {
            float value = at[r / GROUP][r % GROUP * a_row];

#pragma GCC unroll 4
            for (v = 0; v < VECTORS; v++)
                sums[r][v] += value * row[v];
        }
#pragma GCC unroll 16
        for (g = 0; g * GROUP < count; g++)
            at[g]++;
        b += COLUMNS;
    }
    add_tile(count, sums, c, c_row);
}

/* The same with neighbours in rows: a[r, k] lies at a[k A_STEP + r]. */
INLINE void multiply_columns(const int count, int64_t k, const float *a,
                             int64_t a_step, const float *b, float *c,
                             int64_t c_row)
{
    vector sums[ROWS][VECTORS] = {{{0}}};
    int r, v;

    for (; k > 0; k--) {
        vector row[VECTORS];

#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++)
            row[v] = load(b + v * LANES);
#pragma GCC unroll 16
        for (r = 0; r < count; r++)
#pragma GCC unroll 4
            for (v = 0; v < VECTORS; v++)
                sums[r][v] += a[r] * row[v];
        a += a_step;
        b += COLUMNS;
    }
    add_tile(count, sums, c, c_row);
}

#define FOR_EACH_COUNT(what)                                                   \
    what(1) what(2) what(3) what(4) what(5) what(6) WHAT_MORE(what)
#if ROWS > 6
#define WHAT_MORE(what)                                                        \
    what(7) what(8) what(9) what(10) what(11) what(12) what(13) what(14)
#else
#define WHAT_MORE(what)
#endif

#define ONE_TILE(count)                                                        \
    static void rows_##count(int64_t k, const float *a, int64_t a_row,         \
                             const float *b, float *c, int64_t c_row)          \
    {                                                                          \
        multiply_rows(count, k, a, a_row, b, c, c_row);                        \
    }                                                                          \
    static void columns_##count(int64_t k, const float *a, int64_t a_step,     \
                                const float *b, float *c, int64_t c_row)       \
    {                                                                          \
        multiply_columns(count, k, a, a_step, b, c, c_row);                    \
    }
FOR_EACH_COUNT(ONE_TILE)

#define ROWS_OF(count) rows_##count,
#define COLUMNS_OF(count) columns_##count,

static void tile(int count, int64_t k, const float *a, int64_t a_row,
                 const float *b, float *c, int64_t c_row)
{
    static void (*const by_count[])(int64_t, const float *, int64_t,
                                    const float *, float *,
                                    int64_t) = {FOR_EACH_COUNT(ROWS_OF)};

    by_count[count - 1](k, a, a_row, b, c, c_row);
}

static void turned_tile(int count, int64_t k, const float *a, int64_t a_step,
                        const float *b, float *c, int64_t c_row)
{
    static void (*const by_count[])(int64_t, const float *, int64_t,
                                    const float *, float *,
                                    int64_t) = {FOR_EACH_COUNT(COLUMNS_OF)};

    by_count[count - 1](k, a, a_step, b, c, c_row);
}

/* Turns a square of LANES x LANES: log2(LANES) times the halves are spread
 * between one another. */
INLINE void turn_square(vector square[LANES])
{
    vector next[LANES];
    int step, i;

#pragma GCC unroll 4
    for (step = 1; step < LANES; step *= 2) {
#pragma GCC unroll 8
        for (i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shufflevector(
                square[i], square[i + LANES / 2], SPREAD_LOW);
            next[2 * i + 1] = __builtin_shufflevector(
                square[i], square[i + LANES / 2], SPREAD_HIGH);
        }
#pragma GCC unroll 16
        for (i = 0; i < LANES; i++)
            square[i] = next[i];
    }
}

static void turn_few(int count, int64_t k, const float *source, int64_t row,
                     float factor, float *panel)
{
    int64_t i;
    int j;

    for (i = 0; i < k; i++)
        for (j = 0; j < LANES; j++)
            panel[i * COLUMNS + j] =
                j < count ? factor * source[j * row + i] : 0.0f;
}

static void turn_lanes(int64_t k, const float *source, int64_t row,
                       float factor, float *panel)
{
    vector square[LANES];
    int64_t i;
    int j;

    for (i = 0; i + LANES <= k; i += LANES) {
#pragma GCC unroll 16
        for (j = 0; j < LANES; j++)
            square[j] = load(source + j * row + i);
        turn_square(square);
#pragma GCC unroll 16
        for (j = 0; j < LANES; j++)
            store(panel + (i + j) * COLUMNS, factor * square[j]);
    }
    turn_few(LANES, k - i, source + i, row, factor, panel + i * COLUMNS);
}

static void turn(int count, int64_t k, const float *source, int64_t row,
                 float factor, float *panel)
{
    int v, left;

    for (v = 0; v < VECTORS; v++) {
        left = count - v * LANES;
        if (left >= LANES)
            turn_lanes(k, source + v * LANES * row, row, factor,
                       panel + v * LANES);
        else
            turn_few(left, k, left > 0 ? source + v * LANES * row : source, row,
                     factor, panel + v * LANES);
    }
}

/* The three transforms of winograd.c, of one dimension: FROM and TO have STEP
 * vectors from one value to the next. */

INLINE void turn_input(const vector *d, vector *to, int step)
{
    const vector a = d[3 * step] - d[step], b = d[4 * step] - d[2 * step];

    to[0] = d[0] - d[2 * step] + 1.5f * a + b;
    to[step] = a + d[4 * step] + 1.5f * d[3 * step] + 0.5f * d[2 * step];
    to[2 * step] =
        d[step] + d[4 * step] - 2.5f * d[2 * step] + 0.5f * d[3 * step];
    to[3 * step] = b + 2.0f * a;
    to[4 * step] = b - 0.5f * a;
    to[5 * step] = d[5 * step] - d[3 * step] - a + 1.5f * b;
}

INLINE void turn_weight(const vector *g, int from, vector *to, int step)
{
    const vector even = g[0] + g[2 * from];

    to[0] = g[0];
    to[step] = (1.0f / 3.0f) * (even + g[from]);
    to[2 * step] = (1.0f / 3.0f) * (g[from] - even);
    to[3 * step] =
        (-4.0f / 15.0f) * (4.0f * g[0] + 2.0f * g[from] + g[2 * from]);
    to[4 * step] =
        (1.0f / 15.0f) * (g[0] - 2.0f * g[from] + 4.0f * g[2 * from]);
    to[5 * step] = g[2 * from];
}

INLINE void turn_output(const vector *m, int from, vector *to, int step)
{
    const vector sum = m[from] + m[2 * from], apart = m[from] - m[2 * from];

    to[0] = m[0] + sum + m[3 * from] + m[4 * from];
    to[step] = apart + 0.5f * m[3 * from] - 2.0f * m[4 * from];
    to[2 * step] = sum + 0.25f * m[3 * from] + 4.0f * m[4 * from];
    to[3 * step] =
        apart + 0.125f * m[3 * from] - 8.0f * m[4 * from] + m[5 * from];
}

static void winograd_input(int64_t channels, const float *const pixels[36],
                           float *v, int64_t step)
{
    vector d[36], rows[36];
    int64_t c;
    int i;

    for (c = 0; c < channels; c += LANES) {
#pragma GCC unroll 36
        for (i = 0; i < 36; i++)
            d[i] = load(pixels[i] + c);
#pragma GCC unroll 6
        for (i = 0; i < 6; i++)
            turn_input(d + i, rows + i, 6);
#pragma GCC unroll 6
        for (i = 0; i < 6; i++)
            turn_input(rows + 6 * i, d + 6 * i, 1);
#pragma GCC unroll 36
        for (i = 0; i < 36; i++)
            store(v + i * step + c, d[i]);
    }
}

static void winograd_weight(int64_t count, const float *g, int64_t place,
                            float *u, int64_t step)
{
    vector taps[9], rows[18], all[36];
    int64_t c;
    int i;

    for (c = 0; c < count; c += LANES) {
#pragma GCC unroll 9
        for (i = 0; i < 9; i++)
            taps[i] = load(g + i * place + c);
#pragma GCC unroll 3
        for (i = 0; i < 3; i++)
            turn_weight(taps + i, 3, rows + i, 3);
#pragma GCC unroll 6
        for (i = 0; i < 6; i++)
            turn_weight(rows + 3 * i, 1, all + 6 * i, 1);
#pragma GCC unroll 36
        for (i = 0; i < 36; i++)
            store(u + i * step + c, all[i]);
    }
}

static void winograd_output(int64_t channels, const float *m, int64_t step,
                            const float *bias, float *const pixels[16])
{
    vector products[36], rows[24], y[16];
    int64_t c;
    int i;

    for (c = 0; c < channels; c += LANES) {
        vector add = {0};

        if (bias != NULL)
            add = load(bias + c);
#pragma GCC unroll 36
        for (i = 0; i < 36; i++)
            products[i] = load(m + i * step + c);
#pragma GCC unroll 6
        for (i = 0; i < 6; i++)
            turn_output(products + i, 6, rows + i, 6);
#pragma GCC unroll 4
        for (i = 0; i < 4; i++)
            turn_output(rows + 6 * i, 1, y + 4 * i, 1);
#pragma GCC unroll 16
        for (i = 0; i < 16; i++)
            if (pixels[i] != NULL)
                store(pixels[i] + c, y[i] + add);
    }
}

/* Whole vectors are copied: what is behind a row's end, the next row covers. */
static void split(int64_t count, int64_t k, const float *source, int64_t step,
                  float *tiles)
{
    int64_t r, i;
    int j;

    for (r = 0; r + ROWS + LANES <= count; r += ROWS, tiles += k * ROWS)
        for (i = 0; i < k; i++)
            for (j = 0; j < ROWS; j += LANES)
                store(tiles + i * ROWS + j, load(source + i * step + r + j));
    for (; r < count; r += ROWS, tiles += k * ROWS)
        for (i = 0; i < k; i++)
            for (j = 0; j < ROWS && r + j < count; j++)
                tiles[i * ROWS + j] = source[i * step + r + j];
}

typedef int32_t integers __attribute__((vector_size(LANES * 4)));

INLINE vector larger(vector a, vector b)
{
    const integers mask = a > b;

    return (vector)(((integers)a & mask) | ((integers)b & ~mask));
}

/* 2^x for x <= 0, as db_exp2(). */
INLINE vector power_of_two(vector x)
{
    const vector round = (vector){0} + 12582912.0f;
    const vector bounded = larger(x, (vector){0} - 127.0f);
    const vector sum = bounded + round;
    const vector r = bounded - (sum - round);
    vector q = 1.32645875e-3f * r + 9.67161923e-3f;

    q = q * r + 5.55073504e-2f;
    q = q * r + 2.40222405e-1f;
    q = q * r + 6.93146976e-1f;
    return (1.0f + r * q) * (vector)(((integers)sum << 23) + 0x3f800000);
}

static void soften(int64_t keys, float *s, float *maximum, float *sum,
                   float *factor)
{
    int64_t k;
    int v;

    for (v = 0; v < COLUMNS; v += LANES) {
        const vector before = load(maximum + v);
        vector most = before, part = {0}, rise;

        for (k = 0; k < keys; k++)
            most = larger(most, load(s + k * COLUMNS + v));
        rise = power_of_two(before - most);
        for (k = 0; k < keys; k++) {
            vector e = power_of_two(load(s + k * COLUMNS + v) - most);

            store(s + k * COLUMNS + v, e);
            part += e;
        }
        store(maximum + v, most);
        store(factor + v, rise);
        store(sum + v, load(sum + v) * rise + part);
    }
}

static void scale(int64_t rows, const float *factor, float *y)
{
    int64_t r;
    int v;

    for (r = 0; r < rows; r++)
        for (v = 0; v < COLUMNS; v += LANES)
            store(y + r * COLUMNS + v,
                  load(y + r * COLUMNS + v) * load(factor + v));
}

const struct db_simd_isa ISA = {
    .rows = ROWS,
    .columns = COLUMNS,
    .lanes = LANES,
    .tile = tile,
    .turned_tile = turned_tile,
    .soften = soften,
    .scale = scale,
    .turn = turn,
    .split = split,
    .winograd_input = winograd_input,
    .winograd_weight = winograd_weight,
    .winograd_output = winograd_output,
};

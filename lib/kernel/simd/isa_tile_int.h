/* SPDX-License-Identifier: MIT */
/* A part of the template in isa_int.h: tiles of products in registers. */

#define GROUP 3 /* rows that one pointer reaches: 0, 1 and 2 strides away */

/* What SUMS are to C. */
INLINE void finish_tile(const int count, vector sums[ROWS][VECTORS],
                        const struct db_simd_tile *t)
{
    int r, v;

    if (t->adds) {
#pragma GCC unroll 16
        for (r = 0; r < count; r++)
#pragma GCC unroll 4
            for (v = 0; v < VECTORS; v++)
                sums[r][v] += load(t->c + r * t->c_row + v * LANES);
    } else if (t->bias != NULL) {
#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++) {
            const vector bias = load(t->bias + v * LANES);

#pragma GCC unroll 16
            for (r = 0; r < count; r++)
                sums[r][v] += bias;
        }
    }
#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++)
            store(t->c + r * t->c_row + v * LANES, sums[r][v]);
}

/* COUNT is a constant wherever this is called, so that sums are registers. */
INLINE void multiply_rows(const int count, const struct db_simd_tile *t)
{
    vector sums[ROWS][VECTORS] = {{{0}}};
    const float *at[(ROWS + GROUP - 1) / GROUP];
    const int64_t a_row = t->a_row;
    const float *b = t->b;
    const int64_t pieces = t->fetch.lines > 0 ? t->fetch.lines : 1;
    const int64_t piece = pieces > 1 ? t->k / pieces : t->k;
    const int64_t step = t->fetch.lines > 0 ? t->fetch.step : 0;
    int64_t i, k;
    int r, v, g;

#pragma GCC unroll 16
    for (g = 0; g * GROUP < count; g++)
        at[g] = t->a + g * GROUP * a_row;
    for (i = 0; i < pieces; i++) {
        const float *fetch =
            t->fetch.lines > 0 ? t->fetch.at + i * t->fetch.line : b;

        for (k = i + 1 < pieces ? piece : t->k - i * piece; k > 0; k--) {
            __builtin_prefetch(fetch, 0, 2);
            fetch += step;
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
    }
    finish_tile(count, sums, t);
}

/* The same with neighbours in rows. */
INLINE void multiply_columns(const int count, const struct db_simd_tile *t)
{
    vector sums[ROWS][VECTORS] = {{{0}}};
    const float *a = t->a, *b = t->b;
    const int64_t pieces = t->fetch.lines > 0 ? t->fetch.lines : 1;
    const int64_t piece = pieces > 1 ? t->k / pieces : t->k;
    const int64_t step = t->fetch.lines > 0 ? t->fetch.step : 0;
    int64_t i, k;
    int r, v;

    for (i = 0; i < pieces; i++) {
        const float *fetch =
            t->fetch.lines > 0 ? t->fetch.at + i * t->fetch.line : b;

        for (k = i + 1 < pieces ? piece : t->k - i * piece; k > 0; k--) {
            __builtin_prefetch(fetch, 0, 2);
            fetch += step;
            vector row[VECTORS];

#pragma GCC unroll 4
            for (v = 0; v < VECTORS; v++)
                row[v] = load(b + v * LANES);
#pragma GCC unroll 16
            for (r = 0; r < count; r++)
#pragma GCC unroll 4
                for (v = 0; v < VECTORS; v++)
                    sums[r][v] += a[r] * row[v];
            a += t->a_step;
            b += COLUMNS;
        }
    }
    finish_tile(count, sums, t);
}

#define FOR_EACH_COUNT(what)                                                   \
    what(1) what(2) what(3) what(4) what(5) what(6) WHAT_MORE(what)
#if ROWS > 8
#define WHAT_MORE(what)                                                        \
    what(7) what(8) what(9) what(10) what(11) what(12) what(13) what(14)
#elif ROWS > 6
#define WHAT_MORE(what) what(7) what(8)
#else
#define WHAT_MORE(what)
#endif

#define ONE_TILE(count)                                                        \
    static void rows_##count(const struct db_simd_tile *t)                     \
    {                                                                          \
        multiply_rows(count, t);                                               \
    }                                                                          \
    static void columns_##count(const struct db_simd_tile *t)                  \
    {                                                                          \
        multiply_columns(count, t);                                            \
    }
FOR_EACH_COUNT(ONE_TILE)

#define ROWS_OF(count) rows_##count,
#define COLUMNS_OF(count) columns_##count,

static void any_tile(const struct db_simd_tile *t)
{
    static void (*const rows[])(const struct db_simd_tile *) = {
        FOR_EACH_COUNT(ROWS_OF)};
    static void (*const columns[])(const struct db_simd_tile *) = {
        FOR_EACH_COUNT(COLUMNS_OF)};

    const int last = t->count - 1;

    if (t->a_step == 0)
        rows[last](t);
    else
        columns[last](t);
}

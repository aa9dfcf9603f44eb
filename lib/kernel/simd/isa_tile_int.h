/* SPDX-License-Identifier: MIT */
/* A part of the template in isa_int.h: tiles of products in registers. */

#define GROUP 3 /* rows that one pointer reaches: 0, 1 and 2 strides away */

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

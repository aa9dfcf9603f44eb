/* SPDX-License-Identifier: MIT */
/* A part of the template in isa_int.h: what winograd.c does to pixels. */

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

/* The last two the other way round, for gradients: A y, and G^T m. */

INLINE void turn_gradient(const vector *y, vector *to, int step)
{
    const vector even = y[0] + y[2 * step], odd = y[step] + y[3 * step];

    to[0] = y[0];
    to[step] = even + odd;
    to[2 * step] = even - odd;
    to[3 * step] =
        y[0] + 0.5f * y[step] + 0.25f * y[2 * step] + 0.125f * y[3 * step];
    to[4 * step] =
        y[0] - 2.0f * y[step] + 4.0f * y[2 * step] - 8.0f * y[3 * step];
    to[5 * step] = y[3 * step];
}

INLINE void turn_weight_back(const vector *m, int from, vector *to, int step)
{
    const vector apart = (1.0f / 3.0f) * (m[from] - m[2 * from]);
    const vector a = (-4.0f / 15.0f) * m[3 * from];
    const vector b = (1.0f / 15.0f) * m[4 * from];

    to[0] = m[0] + apart + 4.0f * a + b;
    to[step] = (1.0f / 3.0f) * (m[from] + m[2 * from]) + 2.0f * a - 2.0f * b;
    to[2 * step] = apart + a + 4.0f * b + m[5 * from];
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

static void winograd_gradient(int64_t channels, const float *const pixels[16],
                              float *v, int64_t step)
{
    vector y[16], rows[24], all[36];
    int64_t c;
    int i;

    for (c = 0; c < channels; c += LANES) {
#pragma GCC unroll 16
        for (i = 0; i < 16; i++)
            y[i] = load(pixels[i] + c);
#pragma GCC unroll 4
        for (i = 0; i < 4; i++)
            turn_gradient(y + i, rows + i, 4);
#pragma GCC unroll 6
        for (i = 0; i < 6; i++)
            turn_gradient(rows + 4 * i, all + 6 * i, 1);
#pragma GCC unroll 36
        for (i = 0; i < 36; i++)
            store(v + i * step + c, all[i]);
    }
}

static void winograd_weight_gradient(int64_t channels, const float *m,
                                     int64_t step, float *g, int64_t place,
                                     bool add)
{
    vector products[36], rows[18], taps[9];
    int64_t c;
    int i;

    for (c = 0; c < channels; c += LANES) {
#pragma GCC unroll 36
        for (i = 0; i < 36; i++)
            products[i] = load(m + i * step + c);
#pragma GCC unroll 6
        for (i = 0; i < 6; i++)
            turn_weight_back(products + i, 6, rows + i, 6);
#pragma GCC unroll 3
        for (i = 0; i < 3; i++)
            turn_weight_back(rows + 6 * i, 1, taps + 3 * i, 1);
#pragma GCC unroll 9
        for (i = 0; i < 9; i++)
            store(g + i * place + c,
                  add ? load(g + i * place + c) + taps[i] : taps[i]);
    }
}

/* What was there is added last: sums of parts round less than one long one. */
INLINE void put_sums(const int count, vector sums[ROWS][VECTORS], float *c,
                     bool add)
{
    int r, v;

    if (add) {
#pragma GCC unroll 16
        for (r = 0; r < count; r++)
#pragma GCC unroll 4
            for (v = 0; v < VECTORS; v++)
                sums[r][v] += load(c + r * COLUMNS + v * LANES);
    }
#pragma GCC unroll 16
    for (r = 0; r < count; r++)
#pragma GCC unroll 4
        for (v = 0; v < VECTORS; v++)
            store(c + r * COLUMNS + v * LANES, sums[r][v]);
}

/* COUNT is a constant wherever this is called, so that sums are registers. The
 * rows of the next tile are fetched meanwhile: they lie behind those of this
 * one. */
INLINE void multiply_squares(const int count, int64_t k, const float *a,
                             int64_t a_row, const float *b, float *c, bool add,
                             const float *fetch, int64_t step)
{
    vector sums[ROWS][VECTORS] = {{{0}}};
    const float *at[(ROWS + GROUP - 1) / GROUP];
    int r, v, g;

#pragma GCC unroll 16
    for (g = 0; g * GROUP < count; g++)
        at[g] = a + g * GROUP * a_row;
    a += count * a_row;
    for (; k > 0; k--, a += 16) {
        vector row[VECTORS];

        __builtin_prefetch(a);
        __builtin_prefetch(fetch);
        fetch += step;
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
    put_sums(count, sums, c, add);
}

/* The same with neighbours in rows: a[r, k] lies at a[k A_STEP + r]. */
INLINE void multiply_along_squares(const int count, int64_t k, const float *a,
                                   int64_t a_step, const float *b, float *c,
                                   bool add)
{
    vector sums[ROWS][VECTORS] = {{{0}}};
    int r, v;

    for (; k > 0; k--) {
        vector row[VECTORS];

        __builtin_prefetch(a + 8 * a_step);
        __builtin_prefetch(b + 8 * COLUMNS);
        __builtin_prefetch(b + 8 * COLUMNS + 16);
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
    put_sums(count, sums, c, add);
}

#define SQUARES_TILE(count)                                                    \
    static void squares_##count(int64_t k, const float *a, int64_t a_row,      \
                                const float *b, float *c, bool add,            \
                                const float *fetch, int64_t step)              \
    {                                                                          \
        multiply_squares(count, k, a, a_row, b, c, add, fetch, step);          \
    }                                                                          \
    static void along_squares_##count(int64_t k, const float *a,               \
                                      int64_t a_step, const float *b,          \
                                      float *c, bool add)                      \
    {                                                                          \
        multiply_along_squares(count, k, a, a_step, b, c, add);                \
    }
FOR_EACH_COUNT(SQUARES_TILE)

#define SQUARES_OF(count) squares_##count,
#define ALONG_SQUARES_OF(count) along_squares_##count,

static void winograd_tile(int count, int64_t k, const float *a, int64_t a_row,
                          const float *b, float *c, bool add,
                          const float *fetch, int64_t step)
{
    static void (*const by_count[])(int64_t, const float *, int64_t,
                                    const float *, float *, bool, const float *,
                                    int64_t) = {FOR_EACH_COUNT(SQUARES_OF)};

    by_count[count - 1](k, a, a_row, b, c, add, fetch, step);
}

static void winograd_turned_tile(int count, int64_t k, const float *a,
                                 int64_t a_step, const float *b, float *c,
                                 bool add)
{
    static void (*const by_count[])(int64_t, const float *, int64_t,
                                    const float *, float *,
                                    bool) = {FOR_EACH_COUNT(ALONG_SQUARES_OF)};

    by_count[count - 1](k, a, a_step, b, c, add);
}

/* SPDX-License-Identifier: MIT */
/* A part of the template in isa_int.h: operands laid out for tiles. */

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

static void copy(int count, int64_t k, const float *source, int64_t row,
                 float factor, float *panel)
{
    int64_t i;
    int v, j;

    for (i = 0; i < k && count == COLUMNS; i++)
#pragma GCC unroll 4
        for (v = 0; v < COLUMNS; v += LANES)
            store(panel + i * COLUMNS + v, factor * load(source + i * row + v));
    for (; i < k; i++)
        for (j = 0; j < COLUMNS; j++)
            panel[i * COLUMNS + j] =
                j < count ? factor * source[i * row + j] : 0.0f;
}

/* Floats of the vectors that reach over the rows of a tile. */
#define WHOLE ((ROWS + LANES - 1) / LANES * LANES)

/* Whole vectors are copied: what is behind a row's end, the next k covers. Each
 * k may lie in a page of its own, so all its rows are read at once. */
static void split(int64_t count, int64_t k, const float *source, int64_t step,
                  float *tiles)
{
    int64_t r, i;
    int j;

    for (i = 0; i < k; i++, source += step, tiles += ROWS) {
        const int64_t whole = i + 1 < k ? count - WHOLE : -1;
        float *to = tiles;

        for (r = 0; r <= whole; r += ROWS, to += k * ROWS)
            for (j = 0; j < ROWS; j += LANES)
                store(to + j, load(source + r + j));
        for (; r < count; r += ROWS, to += k * ROWS)
            for (j = 0; j < ROWS && r + j < count; j++)
                to[j] = source[r + j];
    }
}

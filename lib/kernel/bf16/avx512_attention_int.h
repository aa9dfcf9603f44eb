/* SPDX-License-Identifier: MIT */
/*
 * Attention forward by AVX512-BF16, for one part: scores of 8 queries become
 * weights in the registers where they were summed, so that no score is ever in
 * memory. What the weights of a few units gather is summed at once.
 */

#define UNITS_TOGETHER 4
#define UNITS_BYTES (32 << 10) /* of those, in the first-level cache */

/* Pairs of values of a step that are not behind the head's, by fours. */
INLINE int pairs_of(const struct db_bf16_meeting *m, int64_t step)
{
    const int64_t left = m->size - step * DB_BF16_STEP;

    return left < DB_BF16_STEP ? (int)(left + 7) / 8 * 4 : DB_BF16_SIDE;
}

/* The weights of ROWS queries from FIRST on for the keys of a unit. */
static void weigh_keys(const struct db_bf16_meeting *m, const uint8_t *unit,
                       int64_t first, uint8_t *to)
{
    const int64_t line = m->steps * DB_BF16_LINE;
    const uint8_t *const keys[WIDTH] = {unit, unit + m->steps * DB_BF16_TILE};
    __m512 sums[DB_BF16_SIDE][WIDTH];
    int64_t step;
    int r, w;

    begin_sums(NULL, 0, ROWS, 2, sums);
    for (step = 0; step < m->steps; step++)
        one_tile(m->q + first * line + step * DB_BF16_LINE, line, keys,
                 step * DB_BF16_TILE, DB_BF16_LINE, pairs_of(m, step), ROWS, 2,
                 sums);
#pragma GCC unroll 8
    for (r = 0; r < ROWS; r++) {
        const __m512 top = _mm512_set1_ps(m->maximum[first + r]);

#pragma GCC unroll 2
        for (w = 0; w < 2; w++)
            sums[r][w] = power_of_2(_mm512_sub_ps(sums[r][w], top), 1, true);
        _mm512_storeu_si512(to + r * DB_BF16_LINE,
                            side_by_side(_mm512_castps_si512(sums[r][0]),
                                         _mm512_castps_si512(sums[r][1])));
    }
}

/* What they add to y in WIDTH strips: weights are [count][ROWS] lines. */
INLINE void gather_strips(const struct db_bf16_meeting *m, const uint8_t *p,
                          const uint8_t *values, int64_t count, float *const *y,
                          const int width)
{
    const uint8_t *const strips[WIDTH] = {values, values + DB_BF16_TILE,
                                          values + 2 * DB_BF16_TILE};
    __m512 sums[DB_BF16_SIDE][WIDTH];
    int64_t i;
    int r, w;

#pragma GCC unroll 8
    for (r = 0; r < ROWS; r++)
#pragma GCC unroll 3
        for (w = 0; w < width; w++)
            sums[r][w] = _mm512_loadu_ps(y[w] + r * DB_BF16_PANEL);
    for (i = 0; i < count; i++)
        one_tile(p + i * ROWS * DB_BF16_LINE, DB_BF16_LINE, strips,
                 i * m->unit_size, DB_BF16_LINE, DB_BF16_SIDE, ROWS, width,
                 sums);
#pragma GCC unroll 8
    for (r = 0; r < ROWS; r++)
#pragma GCC unroll 3
        for (w = 0; w < width; w++)
            _mm512_storeu_ps(y[w] + r * DB_BF16_PANEL, sums[r][w]);
}

static void gather(const struct db_bf16_meeting *m, const uint8_t *unit,
                   int64_t count, int64_t first)
{
    const uint8_t *values = unit + 2 * m->steps * DB_BF16_TILE;
    float *y[WIDTH];
    int64_t strip, width;
    int w;

    for (strip = 0; strip < m->strips; strip += width) {
        const int64_t left = m->strips - strip;

        width = left == 4 || left == 2 ? 2 : left < WIDTH ? left : WIDTH;
        for (w = 0; w < width; w++)
            y[w] = m->y + (strip + w) / 2 * BLOCK + first * DB_BF16_PANEL +
                   (strip + w) % 2 * DB_BF16_SIDE;
        if (width == 3)
            gather_strips(m, m->p, values, count, y, 3);
        else if (width == 2)
            gather_strips(m, m->p, values, count, y, 2);
        else
            gather_strips(m, m->p, values, count, y, 1);
        values += width * DB_BF16_TILE;
    }
}

static bool meet(const struct db_bf16_meeting *m)
{
    const int64_t fit = UNITS_BYTES / m->unit_size;
    const int64_t most = fit < 2                ? 2
                         : fit < UNITS_TOGETHER ? fit
                                                : UNITS_TOGETHER;
    const unsigned modes = _mm_getcsr();
    int64_t begun, first, count, i;

    _mm_setcsr(modes | FLUSH_TO_ZERO);
    for (begun = 0; begun < m->count; begun += count) {
        const uint8_t *const units = m->units + begun * m->unit_size;

        count = m->count - begun < most ? m->count - begun : most;
        for (first = 0; first < DB_BF16_PANEL; first += ROWS) {
            for (i = 0; i < count; i++)
                weigh_keys(m, units + i * m->unit_size, first,
                           m->p + i * ROWS * DB_BF16_LINE);
            gather(m, units, count, first);
        }
    }
    _mm_setcsr(modes);
    return true;
}

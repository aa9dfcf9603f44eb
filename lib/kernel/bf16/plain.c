/* SPDX-License-Identifier: MIT */
/* Tiles in plain C: slow, and there on every machine, for tests. */
#include <math.h>
#include <string.h>

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

static void nothing(void)
{
}

static float widen(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Takes the next part of X off it: to nearest, ties to even. */
static uint16_t part_of(float *x)
{
    uint32_t bits;
    uint16_t half;

    memcpy(&bits, x, sizeof(bits));
    bits += 0x7fff + (bits >> 16 & 1);
    half = isnan(*x) ? 0x7fc0 : (uint16_t)(bits >> 16);
    *x -= widen(half);
    return half;
}

static uint16_t *values_of(uint8_t *line)
{
    return (uint16_t *)(void *)line;
}

/* Writes all parts of x, or of HALF where x is NULL, as value I of a line. */
static void split(const float *x, const uint16_t *half, int64_t i, uint8_t *to,
                  int parts, int64_t apart)
{
    float rest = x == NULL ? 0.0f : *x;
    int part;

    for (part = 0; part < parts; part++, to += apart)
        values_of(to)[i] = half != NULL ? *half : part_of(&rest);
}

static void rows(const struct db_bf16_from *from, int64_t count, int64_t k,
                 uint8_t *to, int64_t step, int parts, int64_t apart)
{
    const int64_t whole = db_blas_pieces(k, DB_BF16_STEP) * DB_BF16_STEP;
    int64_t r, i;

    for (r = 0; r < count; r++)
        for (i = 0; i < whole; i++) {
            const int64_t at = r * from->row + i;

            split(from->f32 != NULL && i < k ? from->f32 + at : NULL,
                  from->bf16 != NULL && i < k ? from->bf16 + at : NULL,
                  i % DB_BF16_STEP,
                  to + r * DB_BF16_LINE + i / DB_BF16_STEP * step, parts,
                  apart);
        }
}

static void pairs(const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int parts, int64_t apart)
{
    int64_t i, c;

    for (i = 0; i < DB_BF16_STEP; i++)
        for (c = 0; c < DB_BF16_SIDE; c++) {
            const bool is_there = i < k && c < count;
            const int64_t at = i * from->row + c;

            split(from->f32 != NULL && is_there ? from->f32 + at : NULL,
                  from->bf16 != NULL && is_there ? from->bf16 + at : NULL,
                  2 * c + i % 2, to + i / 2 * DB_BF16_LINE, parts, apart);
        }
}

static void turn(const uint8_t *lines, int64_t line, uint8_t *tile)
{
    uint32_t x[DB_BF16_SIDE][DB_BF16_SIDE], y[DB_BF16_SIDE][DB_BF16_SIDE];
    int i, j;

    for (i = 0; i < DB_BF16_SIDE; i++)
        memcpy(x[i], lines + i * line, sizeof(x[i]));
    for (i = 0; i < DB_BF16_SIDE; i++)
        for (j = 0; j < DB_BF16_SIDE; j++)
            y[j][i] = x[i][j];
    memcpy(tile, y, sizeof(y));
}

static float value_at(const uint8_t *line, int i)
{
    uint16_t half;

    memcpy(&half, line + i * (int)sizeof(half), sizeof(half));
    return widen(half);
}

/* c [16, 16] += a tile of A times one of B. */
static void multiply_tiles(const uint8_t *a, int64_t a_line, const uint8_t *b,
                           int64_t b_line, float *c)
{
    float right[DB_BF16_STEP][DB_BF16_SIDE];
    int r, n, i;

    for (i = 0; i < DB_BF16_STEP; i++)
        for (n = 0; n < DB_BF16_SIDE; n++)
            right[i][n] = value_at(b + i / 2 * b_line, 2 * n + i % 2);
    for (r = 0; r < DB_BF16_SIDE; r++, c += DB_BF16_SIDE)
        for (i = 0; i < DB_BF16_STEP; i++) {
            const float left = value_at(a + r * a_line, i);

            for (n = 0; n < DB_BF16_SIDE; n++)
                c[n] += left * right[i][n];
        }
}

/* Strip I of A times strip J of B. */
static void multiply_strips(const struct db_bf16_block *block,
                            const struct db_bf16_pair *pair, int i, int j,
                            float *c)
{
    const int parts =
        block->a_parts > block->b_parts ? block->a_parts : block->b_parts;
    const int left_parts = block->is_turned ? block->b_parts : block->a_parts;
    const int right_parts = block->is_turned ? block->a_parts : block->b_parts;
    int64_t step;
    int left, right;

    for (step = 0; step < block->steps; step++)
        for (right = 0; right < right_parts; right++)
            for (left = left_parts; left-- > 0;) {
                const int a = block->is_turned ? right : left;
                const int b = block->is_turned ? left : right;

                if (a + b < parts)
                    multiply_tiles(
                        pair->a[i] + block->a_at[step] + a * block->a_apart,
                        block->a_line,
                        pair->b[j] + block->b_at[step] + b * block->b_apart,
                        block->b_line, c);
            }
}

static void multiply_side(const struct db_bf16_block *block,
                          const struct db_bf16_pair *pair, int i, int j)
{
    const size_t line = DB_BF16_SIDE * sizeof(float);
    const struct db_bf16_sums *at = &pair->sums[i];
    float c[DB_BF16_SIDE * DB_BF16_SIDE] = {0};
    int r;

    for (r = 0; r < DB_BF16_SIDE && at->from != NULL; r++)
        memcpy(c + r * DB_BF16_SIDE,
               at->from + r * at->from_row + j * DB_BF16_SIDE, line);
    multiply_strips(block, pair, i, j, c);
    for (r = 0; r < DB_BF16_SIDE; r++)
        memcpy(at->to + r * at->to_row + j * DB_BF16_SIDE, c + r * DB_BF16_SIDE,
               line);
}

static void multiply(const struct db_bf16_block *block,
                     const struct db_bf16_pair *pairs, int64_t count)
{
    int i, j;

    for (; count > 0; count--, pairs++)
        for (i = 0; i < 2; i++)
            for (j = 0; j < 2 && pairs->b[j] != NULL; j++)
                multiply_side(block, pairs, i, j);
}

static void put_row(int64_t count, const float *c,
                    const struct db_bf16_result *result, int64_t at)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float sum = result->alpha * c[i];

        if (result->beta != 0.0f)
            sum += result->beta * result->y[at + i];
        if (result->bias != NULL)
            sum += result->bias[i];
        if (result->y == NULL)
            result->y_bf16[at + i] = part_of(&sum);
        else
            result->y[at + i] = sum;
    }
}

static void put(int64_t rows, int64_t count, const float *c, int64_t c_row,
                const struct db_bf16_result *result, int64_t y_row)
{
    int64_t r;

    for (r = 0; r < rows; r++)
        put_row(count, c + r * c_row, result, r * y_row);
}

static void put_columns(int64_t columns, int64_t count, const float *c,
                        int64_t c_row, const struct db_bf16_result *result,
                        int64_t y_row)
{
    struct db_bf16_result here = *result;
    float line[DB_BF16_SIDE];
    int64_t column, i;

    for (column = 0; column < columns; column++, here.y += y_row) {
        for (i = 0; i < count; i++)
            line[i] = c[i * c_row + column];
        put_row(count, line, &here, 0);
    }
}

static void terms(const float *x, int64_t count, float factor, int parts,
                  const int *which, int terms, uint8_t *to)
{
    uint16_t part[3];
    int64_t k;
    int i;

    for (k = 0; k < count; k++) {
        float rest = factor * x[k];

        for (i = 0; i < parts; i++)
            part[i] = part_of(&rest);
        for (i = 0; i < terms; i++)
            values_of(to)[i * count + k] = part[which[i]];
    }
}

#define BLOCK (DB_BF16_PANEL * DB_BF16_PANEL)

/* Where value I of line R is, in strips of STEPS tiles with all parts. */
static uint8_t *line_of(uint8_t *tiles, int64_t r, int64_t steps, int64_t i,
                        int parts)
{
    return tiles +
           (r / DB_BF16_SIDE * steps + i / DB_BF16_STEP) * parts *
               DB_BF16_TILE +
           r % DB_BF16_SIDE * DB_BF16_LINE;
}

/* Where value I of 32 along k is in a line that has I and I + 16 in pairs. */
static int64_t place_of(int64_t i)
{
    return i % DB_BF16_SIDE * 2 + i % DB_BF16_STEP / DB_BF16_SIDE;
}

static void apart(const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int parts)
{
    int64_t i, c;

    for (i = 0; i < DB_BF16_STEP; i++)
        for (c = 0; c < DB_BF16_SIDE; c++)
            split(i < k && c < count && from->f32 != NULL
                      ? from->f32 + i * from->row + c
                      : NULL,
                  i < k && c < count && from->bf16 != NULL
                      ? from->bf16 + i * from->row + c
                      : NULL,
                  2 * c + place_of(i) % 2, to + place_of(i) / 2 * DB_BF16_LINE,
                  parts, DB_BF16_TILE);
}

static float score_of(const struct db_bf16_softening *s, int r, int64_t k)
{
    return s->scores[k / DB_BF16_PANEL * BLOCK + r * DB_BF16_PANEL +
                     k % DB_BF16_PANEL];
}

static void raise_maxima(const struct db_bf16_softening *s, float *factor)
{
    int64_t k;
    int r;

    for (r = 0; r < DB_BF16_PANEL; r++) {
        const float old = s->maximum[r];

        for (k = 0; k < s->keys; k++)
            s->maximum[r] = fmaxf(s->maximum[r], score_of(s, r, k));
        factor[r] = s->maximum[r] == old ? 1.0f : exp2f(old - s->maximum[r]);
    }
}

static void soften(const struct db_bf16_softening *s)
{
    int64_t k;
    int r;

    for (r = 0; r < DB_BF16_PANEL; r++)
        for (k = 0; k < s->keys; k++) {
            const float p = exp2f(score_of(s, r, k) - s->maximum[r]);

            split(&p, NULL, place_of(k),
                  line_of(s->p, r, s->keys / DB_BF16_STEP, k, s->parts),
                  s->parts, DB_BF16_TILE);
        }
}

static void weigh(const struct db_bf16_weighing *w)
{
    int64_t r, q;

    for (r = 0; r < DB_BF16_PANEL; r++)
        for (q = 0; q < DB_BF16_PANEL; q++) {
            const int64_t at = r * DB_BF16_PANEL + q;
            const float p = exp2f(w->scores[at] - w->lse[q]);
            const float ds = p * (w->dp[at] - w->sum[q]);

            split(&p, NULL, place_of(q), line_of(w->p, r, 1, q, w->parts),
                  w->parts, DB_BF16_TILE);
            split(&ds, NULL, place_of(q), line_of(w->ds, r, 1, q, w->parts),
                  w->parts, DB_BF16_TILE);
            split(&ds, NULL, q % DB_BF16_SIDE * 2 + place_of(r) % 2,
                  line_of(w->right,
                          q / DB_BF16_SIDE * DB_BF16_SIDE + place_of(r) / 2, 1,
                          0, w->parts),
                  w->parts, DB_BF16_TILE);
        }
}

static void scale(float factor, float *y)
{
    int i;

    for (i = 0; i < DB_BF16_PANEL; i++)
        y[i] *= factor;
}

const struct db_bf16_isa db_bf16_plain = {
    nothing,     nothing, multiply, rows,         pairs,  turn, put,
    put_columns, terms,   apart,    raise_maxima, soften, NULL, weigh,
    NULL,        scale,   0,        INT64_MAX};

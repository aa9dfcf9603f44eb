/* SPDX-License-Identifier: MIT */
/* Weights on Winograd's way: gathered, turned and transformed. */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/expand.h"
#include "kernel/simd/winograd_int.h"

/* COUNT weights from number AT on. */
static void copy_taps(const struct db_simd_convolution *s, int64_t at,
                      int64_t count, float *to)
{
    if (s->bf16 != NULL)
        db_expand_values(s->bf16 + at, count, to);
    else
        memcpy(to, s->weight + at, (size_t)count * sizeof(*to));
}

/* COUNT rows of them, as columns. */
static void turn_taps(const struct db_simd_isa *isa,
                      const struct db_simd_convolution *s, int64_t at,
                      int64_t count, int64_t width, float *to)
{
    float rows[DB_SIMD_MOST_COLUMNS * DB_WINOGRAD_K_STEP];
    int64_t i;

    if (s->bf16 == NULL) {
        isa->turn((int)count, width, s->weight + at, s->weight_row, 1.0f, to);
        return;
    }
    for (i = 0; i < count; i++)
        copy_taps(s, at + i * s->weight_row, width,
                  rows + i * DB_WINOGRAD_K_STEP);
    isa->turn((int)count, width, rows, DB_WINOGRAD_K_STEP, 1.0f, to);
}

/* Weights of COUNT <= columns output channels from CHANNEL on, for WIDTH input
 * channels from K on: taps [9][width, columns], zeros behind COUNT. */
static void gather_taps(const struct db_simd_isa *isa,
                        const struct db_simd_convolution *s, int64_t channel,
                        int64_t count, int64_t k, int64_t width, float *taps)
{
    const int64_t columns = isa->columns;
    int64_t place, i;

    for (place = 0; place < 9; place++) {
        float *to = taps + place * DB_WINOGRAD_K_STEP * columns;

        if (!s->reversed) {
            turn_taps(isa, s,
                      channel * s->weight_row + place * s->c.in_channels + k,
                      count, width, to);
            continue;
        }
        for (i = 0; i < width; i++, to += columns) {
            copy_taps(s,
                      (k + i) * s->weight_row +
                          (8 - place) * s->c.out_channels + channel,
                      count, to);
            memset(to + count, 0, (size_t)(columns - count) * sizeof(*to));
        }
    }
}

/* The same of a whole panel whose channels are neighbours where they lie: the
 * last place comes first. */
static void transform_rows(const struct db_simd_isa *isa,
                           const struct db_simd_convolution *s, int64_t channel,
                           int64_t first, int64_t width, float *u,
                           int64_t place)
{
    const int64_t columns = isa->columns;
    int64_t k;

    for (k = 0; k < width; k++)
        isa->winograd_weight(columns,
                             s->weight + (first + k) * s->weight_row +
                                 8 * s->c.out_channels + channel,
                             -s->c.out_channels, u + k * columns, place);
}

/* Those of a panel, along WIDTH input channels from FIRST on. */
void db_winograd_transform_weights(const struct db_simd_isa *isa,
                                   const struct db_simd_convolution *s,
                                   int64_t panel, int64_t first, int64_t width,
                                   float *taps, float *u, int64_t place)
{
    const int64_t columns = isa->columns;
    const int64_t channel = panel * columns;
    const int64_t count = db_blas_smaller(columns, s->c.out_channels - channel);
    int64_t k, some, i;

    if (s->reversed && s->bf16 == NULL && count == columns) {
        transform_rows(isa, s, channel, first, width, u, place);
        return;
    }
    for (k = 0; k < width; k += DB_WINOGRAD_K_STEP) {
        some = db_blas_smaller(DB_WINOGRAD_K_STEP, width - k);
        gather_taps(isa, s, channel, count, first + k, some, taps);
        for (i = 0; i < some; i++)
            isa->winograd_weight(columns, taps + i * columns,
                                 DB_WINOGRAD_K_STEP * columns,
                                 u + (k + i) * columns, place);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * What the two ways through Winograd's transforms share: y in squares of 4x4
 * pixels, each made from 6x6 of x.
 */
#ifndef DB_KERNEL_SIMD_WINOGRAD_INT_H
#define DB_KERNEL_SIMD_WINOGRAD_INT_H

#include "kernel/simd/simd_int.h"

/* Floats behind the values of one of the 36 places: places that are a power of
 * two apart would share a set of the cache. */
#define DB_WINOGRAD_LINE 16

struct db_winograd_squares {
    int64_t rows, columns; /* of an image */
    int64_t all;
};

struct db_winograd_squares db_winograd_squares(const dreambooth_conv2d *c);

/* Whether C is large enough to be worth rounding more for: models that are
 * there to be compared number by number have smaller ones. */
bool db_winograd_is_work(const dreambooth_conv2d *c);

/* Pixels of x that a square sees: ZEROS where there are none. */
void db_winograd_see(const dreambooth_conv2d *c,
                     const struct db_winograd_squares *squares, int64_t square,
                     const float *zeros, const float *pixels[36]);
/* Where the square's 16 pixels lie in an image like y, in floats; -1 where
 * there is none. */
void db_winograd_find(const dreambooth_conv2d *c,
                      const struct db_winograd_squares *squares, int64_t square,
                      int64_t offsets[16]);

/* Makes a square's pixels of y for the output channels of PANEL, of products m,
 * 36 times [columns], PLACE floats apart. */
void db_winograd_put(const struct db_simd_isa *isa,
                     const struct db_simd_convolution *s,
                     const struct db_winograd_squares *squares, int64_t square,
                     int64_t panel, const float *m, int64_t place);

/* Floats of the memory that a panel of weights is turned in. */
#define DB_WINOGRAD_K_STEP 16 /* channels of x of these at a time */
#define DB_WINOGRAD_TAPS (9 * DB_WINOGRAD_K_STEP * DB_SIMD_MOST_COLUMNS)

/*
 * The weights of a panel of output channels, for WIDTH input channels from
 * FIRST on, transformed to 36 places, PLACE floats apart, of u [width,
 * columns].
 */
void db_winograd_transform_weights(const struct db_simd_isa *isa,
                                   const struct db_simd_convolution *s,
                                   int64_t panel, int64_t first, int64_t width,
                                   float *taps, float *u, int64_t place);

/* Whether the transformed weights are so few, for so many squares, that tasks
 * share them and each has its own pixels; and that way. */
bool db_winograd_shares_weights(const dreambooth_conv2d *c);
int db_winograd_share_weights(const dreambooth_kernel_host *host,
                              const struct db_simd_convolution *convolution);

/* Weights that will be needed: rows of 9 runs of WIDTH floats. */
struct db_winograd_next {
    const float *at;
    int64_t rows, row; /* row: floats from one to the next */
    int64_t place, width;
    int64_t done; /* runs that have been fetched */
};

/* Asks for the runs up to that share of them. */
void db_winograd_fetch(struct db_winograd_next *next, int64_t share,
                       int64_t of);

#endif

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

/* SPDX-License-Identifier: MIT */
/*
 * Images whose positions are values along k, as tiles of B read them. At each
 * position k runs over images; a large image is several, its bands of rows. So
 * a pair of values is one position of two bands, and a shift by any number of
 * positions is one by whole lines.
 */
#ifndef DB_KERNEL_BF16_BANDS_INT_H
#define DB_KERNEL_BF16_BANDS_INT_H

#include "kernel/bf16/bf16_int.h"

/* [part][strip][row][phase][column][pair of bands] lines. A phase is what a
 * stride leaves of a column's number. Behind a strip's rows there are 16 lines
 * of zeros. */
struct db_bf16_bands {
    const struct db_bf16_isa *isa;
    int parts;
    const float *x; /* [batch, height, width, channels] */
    int64_t batch, height, width, channels;
    int64_t top, left;       /* padding before */
    int64_t phases, columns; /* of a row with padding */
    int64_t images;          /* that k runs over together */
    int64_t bands, pairs;    /* of an image; of all bands of IMAGES */
    int64_t band;            /* rows from band to band */
    int64_t line, row;       /* lines of a phase, and from row to row */
    int64_t strip_size, apart;
};

/* ROWS of the bands of some images. */
struct db_bf16_rows_of_bands {
    int64_t image, row, rows;
};

/* Bytes that lay() needs, a multiple of a line. */
int64_t db_bf16_bands_scratch(const struct db_bf16_bands *bands);

/* STRIPS of 16 channels from CHANNEL on. */
void db_bf16_bands_lay(const struct db_bf16_bands *bands,
                       const struct db_bf16_rows_of_bands *rows,
                       int64_t channel, int64_t strips, uint8_t *to,
                       void *scratch);

#endif

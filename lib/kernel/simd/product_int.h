/* SPDX-License-Identifier: MIT */
/* What the parts of products share: how one is divided, where its sums go, and
 * what is asked for meanwhile. */
#ifndef DB_KERNEL_SIMD_PRODUCT_INT_H
#define DB_KERNEL_SIMD_PRODUCT_INT_H

#include "kernel/simd/simd_int.h"

struct db_simd_work {
    const struct db_simd_product *p;
    int64_t part_k;     /* how k is divided */
    int64_t parts;      /* that are packed at once */
    int64_t first_k, k; /* those at work */
    int64_t block_m, blocks_m;
    int64_t panels, blocks_n; /* all columns, and how many pieces of them */
    int64_t sides;  /* 2 where a panel of x has its gate's behind it, or 1 */
    float *packed;  /* [panels][k, columns]; NULL: each task packs its own */
    float *buffers; /* a worker's own: rows of A, columns of B, a panel */
    int64_t rows_size, panel_size, buffer; /* floats of each, and of all */
    /* Where there are gates: sums of a block, as floats, and panels of it. */
    int64_t sums_size, held;
};

/* The rows of a block for a part of k. */
struct db_simd_block {
    int64_t row, count, first, k;
    int64_t begun, end; /* panels */
    struct db_simd_rows rows;
    int64_t tile; /* rows of one */
    float *c;     /* of the first panel */
    int64_t c_row;
};

/* The first column of a panel, and how many it has. */
int64_t db_simd_column_of(const struct db_simd_work *work, int64_t panel);
int64_t db_simd_width_of(const struct db_simd_work *work, int64_t panel);
/* Puts where the sums of BLOCK go: to MEMORY where there are gates. */
void db_simd_place_sums(const struct db_simd_work *work,
                        struct db_simd_block *block, float *memory);
/* What follows the tile at row R of a block: y, if PANEL ends gates' sums. */
void db_simd_end_tile(const struct db_simd_work *work,
                      const struct db_simd_block *block, int64_t r, int count,
                      int64_t panel);

/* The next tile's part of C is asked for while one is made. */
void db_simd_fetch_c(const struct db_simd_product *p, int64_t row, int64_t rows,
                     int64_t column);
/* A share of the rows of A that follow the tile at row R. */
void db_simd_fetch_rows(const struct db_simd_work *work,
                        const struct db_simd_block *block, int64_t r,
                        int64_t share, int64_t shares,
                        struct db_simd_fetch *fetch);
/* What follows the tile at row R of a block and PANEL, where a task packs its
 * own: of B if it can be asked for, else of A. */
void db_simd_fetch_own(const struct db_simd_work *work,
                       const struct db_simd_block *block, int64_t r,
                       int64_t panel, struct db_simd_fetch *fetch);

/* Whether columns of B are neighbours in memory. */
bool db_simd_is_across(const struct db_simd_product *p);
/* All of WORK that follows from the product's shape. */
void db_simd_divide(struct db_simd_work *work);

#endif

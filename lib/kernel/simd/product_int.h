/* SPDX-License-Identifier: MIT */
/* What the parts of products share: how one is divided. */
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
    float *packed;  /* [panels][k, columns]; NULL: each task packs its own */
    float *buffers; /* a worker's own: rows of A, columns of B, a panel */
    int64_t rows_size, panel_size, buffer; /* floats of each, and of all */
};

/* Whether columns of B are neighbours in memory. */
bool db_simd_is_across(const struct db_simd_product *p);
/* All of WORK that follows from the product's shape. */
void db_simd_divide(struct db_simd_work *work);

#endif

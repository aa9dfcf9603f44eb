/* SPDX-License-Identifier: MIT */
/* What a product needs next, which is asked for while a tile is made. */
#include "kernel/blas/blas_int.h"
#include "kernel/simd/product_int.h"

#define LINE 16 /* floats of a line of memory */

void db_simd_fetch_c(const struct db_simd_product *p, int64_t row, int64_t rows,
                     int64_t column)
{
#ifdef __GNUC__
    const int64_t last =
        p->gates != NULL ? row : db_blas_smaller(row + rows, p->m);
    const int64_t end = db_blas_smaller(column + p->isa->columns, p->n);
    int64_t r, n;

    for (r = row; r < last; r++)
        for (n = column; n < end; n += LINE)
            __builtin_prefetch(p->c + r * p->c_row + n, 1, 3);
#endif
}

void db_simd_fetch_rows(const struct db_simd_work *work,
                        const struct db_simd_block *block, int64_t r,
                        int64_t share, int64_t shares,
                        struct db_simd_fetch *fetch)
{
    const struct db_simd_rows *rows = &block->rows;
    const int64_t step = work->p->step;
    const int64_t each = db_blas_pieces(block->tile, shares);
    int64_t first = share * each, end = block->tile;
    const float *at = rows->at;

    fetch->lines = 0;
    if (r + block->tile < block->count) {
        at += (r + block->tile) * (step != 0 ? 1 : rows->row);
        end = db_blas_smaller(end, block->count - r - block->tile);
    } else if (block->first + block->k < work->first_k + work->k &&
               (step != 0 || rows->row > block->k)) {
        at += block->k * (step != 0 ? step : 1);
    } else {
        return;
    }
    if (step != 0 && share == 0) {
        *fetch = (struct db_simd_fetch){at + end - 1, 1, 0, step};
    } else if (rows->row != 0 && first < end) {
        end = db_blas_smaller(first + each, end);
        *fetch = (struct db_simd_fetch){at + first * rows->row, end - first,
                                        rows->row, end - first};
    }
}

/* A share of what PANEL is packed of, if its columns are long lines. */
static void next_panel(const struct db_simd_work *work, int64_t panel,
                       int64_t first, int64_t share, int64_t shares,
                       struct db_simd_fetch *fetch)
{
    const struct db_simd_product *p = work->p;
    struct db_simd_origin from;
    int64_t width, each;

    fetch->lines = 0;
    if (p->find == NULL || db_simd_is_across(p) || panel >= work->panels)
        return;
    from = p->find(p, db_simd_column_of(work, panel), first);
    width = db_simd_width_of(work, panel);
    each = db_blas_pieces(width, shares);
    fetch->at = from.at + each * share * from.row;
    fetch->lines = db_blas_smaller(each, width - each * share);
    fetch->line = from.row;
    fetch->step = fetch->lines;
}

/* A share of the lines across the panels of BLOCK that are packed for the next
 * part of k. */
static void next_lines(const struct db_simd_work *work,
                       const struct db_simd_block *block, int64_t share,
                       int64_t shares, struct db_simd_fetch *fetch)
{
    const struct db_simd_product *p = work->p;
    const int64_t next = block->first + block->k;
    const int64_t k = db_blas_smaller(work->part_k, p->k - next);
    const int64_t columns = (block->end - block->begun) * p->isa->columns;
    const int64_t each = db_blas_pieces(k, shares);
    struct db_simd_origin from;

    if (k <= 0 || share * each >= k)
        return;
    from =
        p->find(p, db_simd_column_of(work, block->begun), next + share * each);
    fetch->at = from.at;
    fetch->lines = db_blas_smaller(each, k - share * each);
    fetch->line = from.row;
    fetch->step = db_blas_pieces(columns * fetch->lines, block->k);
}

void db_simd_fetch_own(const struct db_simd_work *work,
                       const struct db_simd_block *block, int64_t r,
                       int64_t panel, struct db_simd_fetch *fetch)
{
    const int64_t begun = block->begun, end = block->end;
    const int64_t tiles = db_blas_pieces(block->count, block->tile);
    const int64_t next = block->first + block->k;

    fetch->lines = 0;
    if (db_simd_is_across(work->p)) {
        if (end - begun == 1)
            db_simd_fetch_rows(work, block, r, 0, 1, fetch);
        else
            next_lines(work, block, (panel - begun) * tiles + r / block->tile,
                       (end - begun) * tiles, fetch);
    } else if (panel + 1 < end) {
        next_panel(work, panel + 1, block->first, r / block->tile, tiles,
                   fetch);
    } else if (next < work->p->k) {
        next_panel(work, begun, next, r / block->tile, tiles, fetch);
    } else {
        next_panel(work, end, 0, r / block->tile, tiles, fetch);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Where the columns of a product are, and what becomes of its sums. With gates
 * a panel of x and that of its gate are neighbours: their sums stay in a task's
 * own memory, and become y as soon as the second is complete.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/elementwise/elementwise.h"
#include "kernel/simd/product_int.h"

int64_t db_simd_column_of(const struct db_simd_work *work, int64_t panel)
{
    const struct db_simd_product *p = work->p;

    return p->gates == NULL
               ? panel * p->isa->columns
               : panel / 2 * p->isa->columns + panel % 2 * p->n / 2;
}

int64_t db_simd_width_of(const struct db_simd_work *work, int64_t panel)
{
    const struct db_simd_product *p = work->p;
    const int64_t all = p->gates == NULL ? p->n : p->n / 2;

    return db_blas_smaller(p->isa->columns,
                           all - panel / work->sides * p->isa->columns);
}

void db_simd_place_sums(const struct db_simd_work *work,
                        struct db_simd_block *block, float *memory)
{
    const struct db_simd_product *p = work->p;

    block->c = memory;
    block->c_row = work->held * p->isa->columns;
    if (p->gates == NULL) {
        block->c = p->c + block->row * p->c_row +
                   db_simd_column_of(work, block->begun);
        block->c_row = p->c_row;
    }
}

void db_simd_end_tile(const struct db_simd_work *work,
                      const struct db_simd_block *block, int64_t r, int count,
                      int64_t panel)
{
    const struct db_simd_product *p = work->p;
    const int64_t place = (panel - 1 - block->begun) % work->held;
    const int64_t row = block->row + r;
    struct db_gated_rows rows;

    if (p->gates == NULL || panel % 2 == 0 || block->first + block->k < p->k)
        return;
    rows = *p->gates->y;
    rows.rows = count;
    rows.width = db_simd_width_of(work, panel);
    rows.x = block->c + r * block->c_row + place * p->isa->columns;
    rows.gate = rows.x + p->isa->columns;
    rows.x_row = block->c_row;
    if (rows.y != NULL)
        rows.y += row * rows.y_row + panel / 2 * p->isa->columns;
    else
        rows.y_bf16 += row * rows.y_row + panel / 2 * p->isa->columns;
    p->gates->row->geglu(&rows);
}

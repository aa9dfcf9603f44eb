/* SPDX-License-Identifier: MIT */
/*
 * How products are divided into tasks and parts of k: by shape alone, as bits
 * hang on parts of k. The limits were measured.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/simd/product_int.h"

#define BLOCK_ROWS 336             /* that share what they read of B */
#define LEAST_ROWS 56              /* of a block that came from a division */
#define GROUP ((int64_t)160 << 10) /* floats of B that share a block of A */
#define PART_LONG 640              /* of k, where A is read where it lies */
#define PART_FEW 768               /* where it has few rows, B along k, too */
#define PART 320                   /* where it is copied, or B across */
#define PART_ACROSS 160            /* where its rows are neighbours in memory */
#define NEAR 256          /* unless the next k lies near, so many floats away */
#define FEW_ROWS 128      /* of A */
#define MOST_STEP 320     /* between such rows; beyond, copies are faster */
#define MOST_STEP_FEW 640 /* for a few columns */
#define FEW_COLUMNS 128   /* such as these */
#define ENOUGH_TASKS 40   /* for all threads to be busy */
#define FEW_TASKS 12      /* that are enough where rows are copied */
#define WORTH_A_COPY 10   /* panels */
#define PACKED ((int64_t)1 << 22) /* floats of B that are packed at once */
#define LINE 16                   /* part of k that is turned at once */

int64_t db_simd_step(int64_t row, int64_t columns)
{
    return row <= (columns <= FEW_COLUMNS ? MOST_STEP_FEW : MOST_STEP) ? row
                                                                       : 0;
}

bool db_simd_is_across(const struct db_simd_product *p)
{
    return p->find != NULL && !p->find(p, 0, 0).along_k;
}

/* Panels that a task has at least: some that are worth reading together, or a
 * copy of A's rows. */
static int64_t least_group(const struct db_simd_work *work)
{
    if (work->p->copies)
        return work->blocks_m >= FEW_TASKS ? WORTH_A_COPY : 1;
    if (work->blocks_m > 1 || !db_simd_is_across(work->p))
        return 1;
    return work->panels >= 32 ? 4 : work->panels >= 8 ? 2 : 1;
}

/* Whether rows of A are divided next, not columns. Those that are copied should
 * meet some panels. */
static bool halves_rows(const struct db_simd_work *work)
{
    const int64_t rows = db_blas_pieces(work->p->m, work->blocks_m);
    const int64_t panels = db_blas_pieces(work->panels, work->blocks_n);

    if (work->blocks_m == 1 || rows < 2 * LEAST_ROWS)
        return false;
    return work->p->copies ? panels <= WORTH_A_COPY
                           : 2 * rows > panels * work->p->isa->columns;
}

/* As many tasks as keep all threads busy, where there is so much to do. */
static void divide_further(struct db_simd_work *work)
{
    int64_t most_n;

    while (work->blocks_m * work->blocks_n < ENOUGH_TASKS) {
        most_n = db_blas_pieces(work->panels, least_group(work));
        if (halves_rows(work))
            work->blocks_m *= 2;
        else if (work->blocks_n < most_n)
            work->blocks_n = db_blas_smaller(2 * work->blocks_n, most_n);
        else
            return;
    }
}

static int64_t most_k(const struct db_simd_product *p)
{
    if (p->step > NEAR)
        return PART_ACROSS;
    if (p->step > 0 || p->copies)
        return PART;
    if (p->m > FEW_ROWS)
        return PART_LONG;
    return db_simd_is_across(p) ? PART : PART_FEW;
}

/* How many parts of k are packed at once. */
static int64_t parts_of(const struct db_simd_work *work, int64_t parts)
{
    const int64_t part = work->panels * work->p->isa->columns * work->part_k;
    const int64_t most = db_blas_larger(PACKED / part, 1);

    return db_blas_pieces(parts, db_blas_pieces(parts, most));
}

void db_simd_divide(struct db_simd_work *work)
{
    const struct db_simd_product *p = work->p;
    const int64_t columns = p->isa->columns;
    const int64_t parts = db_blas_larger(db_blas_pieces(p->k, most_k(p)), 1);

    work->part_k =
        db_blas_larger(db_blas_pieces(db_blas_pieces(p->k, parts), LINE), 1) *
        LINE;
    work->sides = p->gates == NULL ? 1 : 2;
    work->panels = work->sides * db_blas_pieces(p->n / work->sides, columns);
    work->blocks_m = db_blas_pieces(p->m, BLOCK_ROWS);
    work->blocks_n = db_blas_pieces(
        work->panels, db_blas_larger(GROUP / (work->part_k * columns), 1));
    divide_further(work);
    work->blocks_n =
        db_blas_smaller(work->blocks_n, work->panels / work->sides);
    work->parts = work->blocks_m == 1 ? parts : parts_of(work, parts);
    work->block_m =
        db_blas_pieces(db_blas_pieces(p->m, work->blocks_m), p->isa->rows) *
        p->isa->rows;
    work->blocks_m = db_blas_pieces(p->m, work->block_m);
}

bool db_simd_may_gate(const struct db_simd_product *product)
{
    struct db_simd_work work = {.p = product};

    db_simd_divide(&work);
    return work.parts * work.part_k >= product->k;
}

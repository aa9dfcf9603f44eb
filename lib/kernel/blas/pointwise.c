/* SPDX-License-Identifier: MIT */
/* Sums of tensors, of tensors and row vectors, and strided copies. */
#include "kernel/elementwise/elementwise.h"

#include <string.h>

#define COLUMNS 64 /* whose sums are held at a time */

struct axpby_work {
    const dreambooth_axpby *a;
    const struct db_elementwise *row;
};

static void axpby_piece(void *argument, int64_t index, int worker)
{
    const struct axpby_work *work = argument;
    const dreambooth_axpby *a = work->a;
    const int64_t at = index * DB_BLAS_TASK;

    (void)worker;
    work->row->combine(a->alpha, a->x + at, a->beta,
                       db_blas_smaller(DB_BLAS_TASK, a->count - at), a->y + at);
}

int db_blas_axpby(const dreambooth_kernel_host *host, const dreambooth_axpby *a)
{
    struct axpby_work work = {a, db_elementwise_of(host)};

    host->parallel(host, db_blas_pieces(a->count, DB_BLAS_TASK), axpby_piece,
                   &work);
    return DREAMBOOTH_OK;
}

struct rows_work {
    const dreambooth_rows *a;
    const struct db_elementwise *row;
    int64_t block; /* rows of a task */
};

static void add_rows_piece(void *argument, int64_t index, int worker)
{
    const struct rows_work *work = argument;
    const dreambooth_rows *a = work->a;
    const int64_t end =
        db_blas_smaller((index + 1) * work->block, a->batch * a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++)
        work->row->add(a->x + r * a->columns, a->v + r / a->rows * a->columns,
                       a->columns, a->y + r * a->columns);
}

int db_blas_add_rows(const dreambooth_kernel_host *host,
                     const dreambooth_rows *a)
{
    struct rows_work work = {
        a, db_elementwise_of(host),
        db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(a->columns, 1))};

    host->parallel(host, db_blas_pieces(a->batch * a->rows, work.block),
                   add_rows_piece, &work);
    return DREAMBOOTH_OK;
}

static void sum_rows_piece(void *argument, int64_t index, int worker)
{
    const struct rows_work *work = argument;
    const dreambooth_rows *a = work->a;
    const int64_t parts = db_blas_pieces(a->columns, COLUMNS);
    const int64_t b = index / parts;
    const int64_t first = index % parts * COLUMNS;
    const int64_t width = db_blas_smaller(COLUMNS, a->columns - first);
    float *out = a->sum + b * a->columns + first;
    double sum[COLUMNS];
    int64_t i;

    (void)worker;
    work->row->sum_rows(a->x + b * a->rows * a->columns + first, a->rows,
                        a->columns, width, sum);
    for (i = 0; i < width; i++)
        out[i] = (float)((double)out[i] + sum[i]);
}

int db_blas_sum_rows(const dreambooth_kernel_host *host,
                     const dreambooth_rows *a)
{
    struct rows_work work = {a, db_elementwise_of(host), 0};

    host->parallel(host, a->batch * db_blas_pieces(a->columns, COLUMNS),
                   sum_rows_piece, &work);
    return DREAMBOOTH_OK;
}

struct copy_work {
    const dreambooth_copy *a;
    int64_t block; /* rows of a task */
};

static void copy_piece(void *argument, int64_t index, int worker)
{
    const struct copy_work *work = argument;
    const dreambooth_copy *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++)
        memcpy(a->y + r * a->y_stride, a->x + r * a->x_stride,
               (size_t)a->columns * sizeof(float));
}

int db_blas_copy(const dreambooth_kernel_host *host, const dreambooth_copy *a)
{
    struct copy_work work = {
        a, db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(a->columns, 1))};

    host->parallel(host, db_blas_pieces(a->rows, work.block), copy_piece,
                   &work);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* Sums of tensors, of tensors and row vectors, and strided copies. */
#include "kernel/elementwise/elementwise.h"

#include <string.h>

#define LEAST_ROWS 64 /* that a task sums */
#define MOST_BLOCKS 32

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

struct sums_work {
    const dreambooth_rows *a;
    const struct db_elementwise *row;
    int64_t block;   /* rows of a task */
    int64_t blocks;  /* of each of the batch */
    double *partial; /* [batch, blocks, columns] */
};

static void sum_block(void *argument, int64_t index, int worker)
{
    const struct sums_work *work = argument;
    const dreambooth_rows *a = work->a;
    const int64_t first = index % work->blocks * work->block;
    const int64_t row = index / work->blocks * a->rows + first;

    (void)worker;
    work->row->sum_rows(
        a->x + row * a->columns, db_blas_smaller(work->block, a->rows - first),
        a->columns, a->columns, work->partial + index * a->columns);
}

static void add_blocks(const struct sums_work *work, int64_t b)
{
    const dreambooth_rows *a = work->a;
    double *sum = work->partial + b * work->blocks * a->columns;
    float *out = a->sum + b * a->columns;
    int64_t block, i;

    for (block = 1; block < work->blocks; block++)
        for (i = 0; i < a->columns; i++)
            sum[i] += sum[block * a->columns + i];
    for (i = 0; i < a->columns; i++)
        out[i] = (float)((double)out[i] + sum[i]);
}

int db_blas_sum_rows(const dreambooth_kernel_host *host,
                     const dreambooth_rows *a)
{
    struct sums_work work = {.a = a, .row = db_elementwise_of(host)};
    int64_t b;

    if (a->rows < 1)
        return DREAMBOOTH_OK;
    work.block =
        db_blas_larger(LEAST_ROWS, db_blas_pieces(a->rows, MOST_BLOCKS));
    work.blocks = db_blas_pieces(a->rows, work.block);
    work.partial = host->scratch_new(
        host, (size_t)(a->batch * work.blocks * a->columns) * sizeof(double));
    if (work.partial == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, a->batch * work.blocks, sum_block, &work);
    for (b = 0; b < a->batch; b++)
        add_blocks(&work, b);
    host->scratch_free(host, work.partial);
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

/* SPDX-License-Identifier: MIT */
/* Sums of tensors, of tensors and row vectors, and strided copies. Where the
 * output may lie on the input, a chunk is computed aside and copied. */
#include "kernel/blas/blas_int.h"

#include <string.h>

#define COLUMNS 64 /* whose sums are held at a time */

static void combine(const float *restrict x, const float *restrict y,
                    float alpha, float beta, int64_t count, float *restrict out)
{
    int64_t i;

    if (beta == 0.0f)
        for (i = 0; i < count; i++)
            out[i] = alpha * x[i];
    else
        for (i = 0; i < count; i++)
            out[i] = alpha * x[i] + beta * y[i];
}

static void axpby_piece(void *argument, int64_t index, int worker)
{
    const dreambooth_axpby *a = argument;
    const int64_t end = db_blas_smaller((index + 1) * DB_BLAS_TASK, a->count);
    float out[DB_BLAS_CHUNK];
    int64_t i;

    (void)worker;
    for (i = index * DB_BLAS_TASK; i < end; i += DB_BLAS_CHUNK) {
        int64_t count = db_blas_smaller(DB_BLAS_CHUNK, end - i);

        combine(a->x + i, a->y + i, a->alpha, a->beta, count, out);
        memcpy(a->y + i, out, (size_t)count * sizeof(float));
    }
}

int db_blas_axpby(const dreambooth_kernel_host *host, const dreambooth_axpby *a)
{
    dreambooth_axpby work = *a;

    host->parallel(host, db_blas_pieces(a->count, DB_BLAS_TASK), axpby_piece,
                   &work);
    return DREAMBOOTH_OK;
}

struct rows_work {
    const dreambooth_rows *a;
    int64_t block; /* rows of a task */
};

static void add(const float *restrict x, const float *restrict v, int64_t count,
                float *restrict out)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = x[i] + v[i];
}

static void add_row(const float *x, const float *v, int64_t columns, float *y)
{
    float out[DB_BLAS_CHUNK];
    int64_t i;

    for (i = 0; i < columns; i += DB_BLAS_CHUNK) {
        int64_t count = db_blas_smaller(DB_BLAS_CHUNK, columns - i);

        add(x + i, v + i, count, out);
        memcpy(y + i, out, (size_t)count * sizeof(float));
    }
}

static void add_rows_piece(void *argument, int64_t index, int worker)
{
    const struct rows_work *work = argument;
    const dreambooth_rows *a = work->a;
    const int64_t end =
        db_blas_smaller((index + 1) * work->block, a->batch * a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++)
        add_row(a->x + r * a->columns, a->v + r / a->rows * a->columns,
                a->columns, a->y + r * a->columns);
}

int db_blas_add_rows(const dreambooth_kernel_host *host,
                     const dreambooth_rows *a)
{
    struct rows_work work = {
        a, db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(a->columns, 1))};

    host->parallel(host, db_blas_pieces(a->batch * a->rows, work.block),
                   add_rows_piece, &work);
    return DREAMBOOTH_OK;
}

static void sum_columns(const float *restrict x, int64_t rows, int64_t stride,
                        int64_t width, float *restrict out)
{
    double sum[COLUMNS] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < rows; r++)
        for (i = 0; i < width; i++)
            sum[i] += (double)x[r * stride + i];
    for (i = 0; i < width; i++)
        out[i] = (float)((double)out[i] + sum[i]);
}

static void sum_rows_piece(void *argument, int64_t index, int worker)
{
    const struct rows_work *work = argument;
    const dreambooth_rows *a = work->a;
    const int64_t parts = db_blas_pieces(a->columns, COLUMNS);
    const int64_t b = index / parts;
    const int64_t first = index % parts * COLUMNS;

    (void)worker;
    sum_columns(a->x + b * a->rows * a->columns + first, a->rows, a->columns,
                db_blas_smaller(COLUMNS, a->columns - first),
                a->sum + b * a->columns + first);
}

int db_blas_sum_rows(const dreambooth_kernel_host *host,
                     const dreambooth_rows *a)
{
    struct rows_work work = {a, 0};

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

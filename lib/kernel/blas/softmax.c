/* SPDX-License-Identifier: MIT */
/* Softmax of rows, a block of rows a task. */
#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"

struct softmax_work {
    const dreambooth_softmax *a;
    int64_t block; /* rows of a task */
};

static int64_t rows_of_task(const dreambooth_softmax *a)
{
    return db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(a->columns, 1));
}

/* y = (x - maximum) / ln 2 */
static void lower_row(const float *restrict x, float maximum, int64_t count,
                      float *restrict y)
{
    int64_t i;

    for (i = 0; i < count; i++)
        y[i] = (x[i] - maximum) * (float)LOG2_E;
}

static void scale_row(float *restrict y, float factor, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        y[i] *= factor;
}

static void forward_rows(void *argument, int64_t index, int worker)
{
    const struct softmax_work *work = argument;
    const dreambooth_softmax *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++) {
        const float *x = a->x + r * a->columns;
        float *y = a->y + r * a->columns;

        lower_row(x, db_maximum(x, a->columns), a->columns, y);
        scale_row(y, (float)(1.0 / db_exp2_row(y, 0.0f, a->columns)),
                  a->columns);
    }
}

int db_blas_softmax_forward(const dreambooth_kernel_host *host,
                            const dreambooth_softmax *a)
{
    struct softmax_work work = {a, rows_of_task(a)};

    if (a->columns < 1)
        return DREAMBOOTH_OK;
    host->parallel(host, db_blas_pieces(a->rows, work.block), forward_rows,
                   &work);
    return DREAMBOOTH_OK;
}

static void gradient_row(const float *restrict y, const float *restrict dy,
                         float sum, int64_t count, float *restrict dx)
{
    int64_t i;

    for (i = 0; i < count; i++)
        dx[i] = y[i] * (dy[i] - sum);
}

static void backward_rows(void *argument, int64_t index, int worker)
{
    const struct softmax_work *work = argument;
    const dreambooth_softmax *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++) {
        const float *y = a->y + r * a->columns;
        const float *dy = a->dy + r * a->columns;

        gradient_row(y, dy, (float)db_dot(y, dy, a->columns), a->columns,
                     a->dx + r * a->columns);
    }
}

int db_blas_softmax_backward(const dreambooth_kernel_host *host,
                             const dreambooth_softmax *a)
{
    struct softmax_work work = {a, rows_of_task(a)};

    host->parallel(host, db_blas_pieces(a->rows, work.block), backward_rows,
                   &work);
    return DREAMBOOTH_OK;
}

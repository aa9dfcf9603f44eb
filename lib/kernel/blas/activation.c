/* SPDX-License-Identifier: MIT */
/* Activations and GEGLU, by pieces of rows. */
#include "kernel/elementwise/elementwise.h"

struct unary_work {
    const dreambooth_unary *a;
    const struct db_elementwise *row;
};

static void forward_piece(void *argument, int64_t index, int worker)
{
    const struct unary_work *work = argument;
    const dreambooth_unary *a = work->a;
    const int64_t at = index * DB_BLAS_TASK;

    (void)worker;
    work->row->value[a->activation](
        a->x + at, db_blas_smaller(DB_BLAS_TASK, a->count - at), a->y + at);
}

static void backward_piece(void *argument, int64_t index, int worker)
{
    const struct unary_work *work = argument;
    const dreambooth_unary *a = work->a;
    const int64_t at = index * DB_BLAS_TASK;

    (void)worker;
    work->row->slope[a->activation](
        a->x + at, a->dy + at, db_blas_smaller(DB_BLAS_TASK, a->count - at),
        a->dx + at);
}

static int run_unary(const dreambooth_kernel_host *host,
                     const dreambooth_unary *a,
                     void (*task)(void *, int64_t, int))
{
    struct unary_work work = {a, db_elementwise_of(host)};

    if (a->activation < 0 || a->activation >= DB_ELEMENTWISE_ACTIVATIONS)
        return DREAMBOOTH_EINVAL;
    host->parallel(host, db_blas_pieces(a->count, DB_BLAS_TASK), task, &work);
    return DREAMBOOTH_OK;
}

int db_blas_unary_forward(const dreambooth_kernel_host *host,
                          const dreambooth_unary *a)
{
    return run_unary(host, a, forward_piece);
}

int db_blas_unary_backward(const dreambooth_kernel_host *host,
                           const dreambooth_unary *a)
{
    return run_unary(host, a, backward_piece);
}

struct geglu_work {
    const dreambooth_geglu *a;
    const struct db_elementwise *row;
    int64_t block; /* rows of a task */
};

static void geglu_forward_rows(void *argument, int64_t index, int worker)
{
    const struct geglu_work *work = argument;
    const dreambooth_geglu *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++) {
        const float *x = a->x + r * 2 * a->width;

        work->row->geglu(x, x + a->width, a->width, a->y + r * a->width);
    }
}

static void geglu_backward_rows(void *argument, int64_t index, int worker)
{
    const struct geglu_work *work = argument;
    const dreambooth_geglu *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++) {
        const float *x = a->x + r * 2 * a->width;
        float *dx = a->dx + r * 2 * a->width;

        work->row->geglu_slope(x, x + a->width, a->dy + r * a->width, a->width,
                               dx, dx + a->width);
    }
}

static int run_geglu(const dreambooth_kernel_host *host,
                     const dreambooth_geglu *a,
                     void (*task)(void *, int64_t, int))
{
    struct geglu_work work = {
        a, db_elementwise_of(host),
        db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(a->width, 1))};

    host->parallel(host, db_blas_pieces(a->rows, work.block), task, &work);
    return DREAMBOOTH_OK;
}

int db_blas_geglu_forward(const dreambooth_kernel_host *host,
                          const dreambooth_geglu *a)
{
    return run_geglu(host, a, geglu_forward_rows);
}

int db_blas_geglu_backward(const dreambooth_kernel_host *host,
                           const dreambooth_geglu *a)
{
    return run_geglu(host, a, geglu_backward_rows);
}

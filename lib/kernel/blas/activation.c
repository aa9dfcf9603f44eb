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

static int64_t block_of(int64_t width)
{
    return db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(width, 1));
}

int db_blas_geglu_backward(const dreambooth_kernel_host *host,
                           const dreambooth_geglu *a)
{
    struct geglu_work work = {a, db_elementwise_of(host), block_of(a->width)};

    host->parallel(host, db_blas_pieces(a->rows, work.block),
                   geglu_backward_rows, &work);
    return DREAMBOOTH_OK;
}

struct gate_work {
    const struct db_gated_rows *all;
    const struct db_elementwise *row;
    int64_t block;
};

static void gate_rows(void *argument, int64_t index, int worker)
{
    const struct gate_work *work = argument;
    const int64_t first = index * work->block;
    struct db_gated_rows rows = *work->all;

    (void)worker;
    rows.rows = db_blas_smaller(work->block, rows.rows - first);
    rows.x += first * rows.x_row;
    rows.gate += first * rows.x_row;
    if (rows.y != NULL)
        rows.y += first * rows.y_row;
    else
        rows.y_bf16 += first * rows.y_row;
    work->row->geglu(&rows);
}

int db_blas_gate(const dreambooth_kernel_host *host,
                 const struct db_gated_rows *all)
{
    struct gate_work work = {all, db_elementwise_of(host),
                             block_of(all->width)};

    host->parallel(host, db_blas_pieces(all->rows, work.block), gate_rows,
                   &work);
    return DREAMBOOTH_OK;
}

int db_blas_geglu_forward(const dreambooth_kernel_host *host,
                          const dreambooth_geglu *a)
{
    const struct db_gated_rows all = {.rows = a->rows,
                                      .width = a->width,
                                      .x = a->x,
                                      .gate = a->x + a->width,
                                      .x_row = 2 * a->width,
                                      .y = a->y,
                                      .y_row = a->width,
                                      .is_rough = host->precision ==
                                                  DREAMBOOTH_BFLOAT16};

    return db_blas_gate(host, &all);
}

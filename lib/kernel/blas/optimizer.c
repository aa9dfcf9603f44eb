/* SPDX-License-Identifier: MIT */
/* AdamW with the operations and roundings of PyTorch's, as the reference has
 * them, and the sum of squares, over fixed pieces. */
#include "kernel/elementwise/elementwise.h"

#include <math.h>

/* Numbers of a task: seven streams of memory make it longer than others, and
 * most parameters have few. */
#define UPDATED ((int64_t)1 << 13)

struct adamw_work {
    const dreambooth_adamw *a;
    const struct db_elementwise *row;
    struct db_adamw_form form;
};

static void adamw_piece(void *argument, int64_t index, int worker)
{
    const struct adamw_work *work = argument;
    const dreambooth_adamw *a = work->a;
    const int64_t at = index * UPDATED;

    (void)worker;
    work->row->adamw(&work->form, a->gradient + at,
                     db_blas_smaller(UPDATED, a->count - at), a->parameter + at,
                     a->m + at, a->v + at);
}

struct db_adamw_form db_blas_adamw_form(const dreambooth_adamw *a)
{
    const double correction1 = 1.0 - pow(a->beta1, (double)a->step);
    const double correction2 = 1.0 - pow(a->beta2, (double)a->step);

    return (struct db_adamw_form){
        .gradient_scale = a->gradient_scale,
        .decay = (float)(1.0 - a->learning_rate * a->weight_decay),
        .step_size = (float)(-(a->learning_rate / correction1)),
        .root2 = (float)sqrt(correction2),
        .weight1 = (float)(1.0 - a->beta1),
        .weight2 = (float)(1.0 - a->beta2),
        .beta2 = (float)a->beta2,
        .epsilon = (float)a->epsilon};
}

int db_blas_adamw(const dreambooth_kernel_host *host, const dreambooth_adamw *a)
{
    struct adamw_work work = {a, db_elementwise_of(host),
                              db_blas_adamw_form(a)};

    host->parallel(host, db_blas_pieces(a->count, UPDATED), adamw_piece, &work);
    return DREAMBOOTH_OK;
}

struct squares_work {
    const dreambooth_sum_squares *a;
    const struct db_elementwise *row;
    double *partial;
};

static void squares_piece(void *argument, int64_t index, int worker)
{
    const struct squares_work *work = argument;
    const int64_t at = index * DB_BLAS_TASK;

    (void)worker;
    work->partial[index] = work->row->squares(
        work->a->x + at, db_blas_smaller(DB_BLAS_TASK, work->a->count - at));
}

int db_blas_sum_squares(const dreambooth_kernel_host *host,
                        const dreambooth_sum_squares *a)
{
    const int64_t pieces = db_blas_pieces(a->count, DB_BLAS_TASK);
    struct squares_work work = {a, db_elementwise_of(host), NULL};
    double sum = 0.0;
    int64_t i;

    work.partial = host->scratch_new(host, (size_t)pieces * sizeof(double));
    if (work.partial == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, pieces, squares_piece, &work);
    for (i = 0; i < pieces; i++)
        sum += work.partial[i];
    *a->sum = sum;
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

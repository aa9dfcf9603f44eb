/* SPDX-License-Identifier: MIT */
/* Numbers in fewer bits, in pieces: rounding to bfloat16, and the AdamW update
 * of such, a block of which reads and writes memory once. */
#include "kernel/elementwise/elementwise.h"

#define BLOCKS 64 /* of a task */

struct narrow_work {
    const dreambooth_adamw_narrow *a;
    const struct db_elementwise *row;
    struct db_adamw_form form;
};

static void update_piece(void *argument, int64_t index, int worker)
{
    const struct narrow_work *work = argument;
    const int64_t end = db_blas_smaller(
        (index + 1) * BLOCKS,
        db_blas_pieces(work->a->count, DREAMBOOTH_NARROW_BLOCK));
    int64_t block;

    (void)worker;
    for (block = index * BLOCKS; block < end; block++)
        work->row->adamw_narrow(&work->form, work->a, block);
}

int db_blas_adamw_narrow(const dreambooth_kernel_host *host,
                         const dreambooth_adamw_narrow *a)
{
    const dreambooth_adamw same = {.step = a->step,
                                   .learning_rate = a->learning_rate,
                                   .beta1 = a->beta1,
                                   .beta2 = a->beta2,
                                   .epsilon = a->epsilon,
                                   .weight_decay = a->weight_decay,
                                   .gradient_scale = a->gradient_scale};
    struct narrow_work work = {a, db_elementwise_of(host),
                               db_blas_adamw_form(&same)};

    host->parallel(host,
                   db_blas_pieces(a->count, BLOCKS * DREAMBOOTH_NARROW_BLOCK),
                   update_piece, &work);
    return DREAMBOOTH_OK;
}

struct round_work {
    const dreambooth_narrow *a;
    const struct db_elementwise *row;
    double *partial;
};

static void round_piece(void *argument, int64_t index, int worker)
{
    const struct round_work *work = argument;
    const dreambooth_narrow *a = work->a;
    const int64_t at = index * DB_BLAS_TASK;

    (void)worker;
    work->partial[index] = work->row->narrow(
        a->x + at, db_blas_smaller(DB_BLAS_TASK, a->count - at), a->add,
        a->y + at);
}

int db_blas_narrow(const dreambooth_kernel_host *host,
                   const dreambooth_narrow *a)
{
    const int64_t pieces = db_blas_pieces(a->count, DB_BLAS_TASK);
    struct round_work work = {a, db_elementwise_of(host), NULL};
    double sum = 0.0;
    int64_t i;

    work.partial = host->scratch_new(host, (size_t)pieces * sizeof(double));
    if (work.partial == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, pieces, round_piece, &work);
    for (i = 0; i < pieces; i++)
        sum += work.partial[i];
    *a->sum = sum;
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

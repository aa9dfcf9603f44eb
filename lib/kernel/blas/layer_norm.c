/* SPDX-License-Identifier: MIT */
/*
 * Layer normalisation: rows are independent, so blocks of rows are the tasks.
 * What rows add to dweight and dbias is summed within a block, and the blocks
 * in their order.
 */
#include "kernel/elementwise/elementwise.h"

#include <string.h>

#define LEAST_ROWS 32 /* of a block */
#define MOST_BLOCKS 64

struct norm_work {
    const dreambooth_layer_norm *a;
    const struct db_elementwise *row;
    int64_t block;
    int64_t blocks;
    float *partial; /* [blocks, 2, channels]: dweight, dbias */
};

static void init_work(const dreambooth_kernel_host *host,
                      struct norm_work *work, const dreambooth_layer_norm *a)
{
    work->a = a;
    work->row = db_elementwise_of(host);
    work->block =
        db_blas_larger(LEAST_ROWS, db_blas_pieces(a->rows, MOST_BLOCKS));
    work->blocks = db_blas_pieces(a->rows, work->block);
    work->partial = NULL;
}

static void forward_rows(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_layer_norm *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++) {
        const int64_t at = r * a->channels;

        work->row->normalise_row(
            a->x + at, a->weight, a->bias, (double)a->epsilon, a->channels,
            a->y == NULL ? NULL : a->y + at,
            a->y == NULL ? a->y_bf16 + at : NULL, a->mean + r, a->rstd + r);
    }
}

int db_blas_layer_norm_forward(const dreambooth_kernel_host *host,
                               const dreambooth_layer_norm *a)
{
    struct norm_work work;

    init_work(host, &work, a);
    host->parallel(host, work.blocks, forward_rows, &work);
    return DREAMBOOTH_OK;
}

static void backward_rows(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_layer_norm *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    float *dweight = work->partial + index * 2 * a->channels;
    int64_t r;

    (void)worker;
    memset(dweight, 0, (size_t)(2 * a->channels) * sizeof(float));
    for (r = index * work->block; r < end; r++) {
        const int64_t at = r * a->channels;

        work->row->unnormalise_row(a->x + at, a->dy + at, a->weight, a->mean[r],
                                   a->rstd[r], a->channels,
                                   a->dx == NULL ? NULL : a->dx + at, dweight,
                                   dweight + a->channels);
    }
}

/* out += the blocks' partial sums, unless there is no out */
static void add_partials(const struct norm_work *work, int64_t which,
                         float *out)
{
    const int64_t channels = work->a->channels;
    int64_t block, c;

    for (c = 0; out != NULL && c < channels; c++) {
        double sum = 0.0;

        for (block = 0; block < work->blocks; block++)
            sum += (double)work->partial[(2 * block + which) * channels + c];
        out[c] = (float)((double)out[c] + sum);
    }
}

int db_blas_layer_norm_backward(const dreambooth_kernel_host *host,
                                const dreambooth_layer_norm *a)
{
    struct norm_work work;

    init_work(host, &work, a);
    work.partial = host->scratch_new(
        host, (size_t)(work.blocks * 2 * a->channels) * sizeof(float));
    if (work.partial == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, work.blocks, backward_rows, &work);
    add_partials(&work, 0, a->dweight);
    add_partials(&work, 1, a->dbias);
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

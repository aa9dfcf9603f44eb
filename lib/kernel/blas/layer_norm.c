/* SPDX-License-Identifier: MIT */
/*
 * Layer normalisation: rows are independent, so blocks of rows are the tasks.
 * What rows add to dweight and dbias is summed within a block, and the blocks
 * in their order.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"

#include <math.h>

#define LEAST_ROWS 32 /* of a block */
#define MOST_BLOCKS 64

struct norm_work {
    const dreambooth_layer_norm *a;
    int64_t block;
    int64_t blocks;
    float *partial; /* [blocks, 2, channels]: dweight, dbias */
};

static void init_work(struct norm_work *work, const dreambooth_layer_norm *a)
{
    work->a = a;
    work->block =
        db_blas_larger(LEAST_ROWS, db_blas_pieces(a->rows, MOST_BLOCKS));
    work->blocks = db_blas_pieces(a->rows, work->block);
    work->partial = NULL;
}

static double square_sum(const float *x, float mean, int64_t count)
{
    double lane[DB_BLAS_LANES] = {0};
    int64_t i;
    int l;

    for (i = 0; i + DB_BLAS_LANES <= count; i += DB_BLAS_LANES)
        for (l = 0; l < DB_BLAS_LANES; l++) {
            double apart = (double)(x[i + l] - mean);

            lane[l] += apart * apart;
        }
    for (l = 0; i < count; i++, l++)
        lane[l] += (double)(x[i] - mean) * (double)(x[i] - mean);
    return db_add_lanes(lane);
}

static void normalise_row(const float *restrict x, const float *restrict weight,
                          const float *restrict bias, float mean, float rest,
                          float rstd, int64_t channels, float *restrict y)
{
    int64_t c;

    for (c = 0; c < channels; c++)
        y[c] = ((x[c] - mean) - rest) * rstd * weight[c] + bias[c];
}

static void forward_rows(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_layer_norm *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    const double count = (double)a->channels;
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++) {
        const float *x = a->x + r * a->channels;
        double mean = db_sum(x, a->channels) / count;
        double rest = mean - (double)(float)mean;
        double variance =
            square_sum(x, (float)mean, a->channels) / count - rest * rest;
        double rstd = 1.0 / sqrt(variance + (double)a->epsilon);

        a->mean[r] = (float)mean;
        a->rstd[r] = (float)rstd;
        normalise_row(x, a->weight, a->bias, (float)mean, (float)rest,
                      (float)rstd, a->channels, a->y + r * a->channels);
    }
}

int db_blas_layer_norm_forward(const dreambooth_kernel_host *host,
                               const dreambooth_layer_norm *a)
{
    struct norm_work work;

    init_work(&work, a);
    host->parallel(host, work.blocks, forward_rows, &work);
    return DREAMBOOTH_OK;
}

/* dx = rstd (dy weight - s - xhat q), the means over the row */
static void gradient_row(const dreambooth_layer_norm *a, int64_t r)
{
    const float *restrict x = a->x + r * a->channels;
    const float *restrict dy = a->dy + r * a->channels;
    const float *restrict weight = a->weight;
    const float mean = a->mean[r];
    const float rstd = a->rstd[r];
    float *restrict dx = a->dx + r * a->channels;
    double sum[DB_BLAS_LANES] = {0};
    double product[DB_BLAS_LANES] = {0};
    float s;
    float q;
    int64_t c;
    int l;

    for (c = 0; c + DB_BLAS_LANES <= a->channels; c += DB_BLAS_LANES)
        for (l = 0; l < DB_BLAS_LANES; l++) {
            float slope = dy[c + l] * weight[c + l];

            sum[l] += (double)slope;
            product[l] += (double)(slope * (x[c + l] - mean));
        }
    for (l = 0; c < a->channels; c++, l++) {
        sum[l] += (double)(dy[c] * weight[c]);
        product[l] += (double)(dy[c] * weight[c] * (x[c] - mean));
    }
    s = (float)(db_add_lanes(sum) / (double)a->channels);
    q = (float)(db_add_lanes(product) * (double)rstd * (double)rstd /
                (double)a->channels);
    for (c = 0; c < a->channels; c++)
        dx[c] = rstd * (dy[c] * weight[c] - s - (x[c] - mean) * q);
}

static void add_row(const float *restrict dy, const float *restrict x,
                    float mean, float rstd, int64_t channels,
                    float *restrict dweight, float *restrict dbias)
{
    int64_t c;

    for (c = 0; c < channels; c++) {
        dweight[c] += dy[c] * ((x[c] - mean) * rstd);
        dbias[c] += dy[c];
    }
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
        if (a->dx != NULL)
            gradient_row(a, r);
        add_row(a->dy + r * a->channels, a->x + r * a->channels, a->mean[r],
                a->rstd[r], a->channels, dweight, dweight + a->channels);
    }
}

/* out += the blocks' partial sums, unless there is no out */
static void add_partials(const struct norm_work *work, int64_t which,
                         float *out)
{
    const int64_t channels = work->a->channels;
    int64_t c;
    int64_t block;

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

    init_work(&work, a);
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

/* SPDX-License-Identifier: MIT */
/* The mean squared error: sums over fixed pieces of each image, added in order.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"

struct mse_work {
    const dreambooth_mse *a;
    int64_t pieces;  /* of an image */
    double *partial; /* [batch, pieces] */
};

static double weight_of(const dreambooth_mse *a, int64_t image)
{
    return a->weight == NULL ? 1.0 : (double)a->weight[image];
}

static double square_sum(const float *x, const float *y, int64_t count)
{
    double lane[DB_BLAS_LANES] = {0};
    int64_t i;
    int l;

    for (i = 0; i + DB_BLAS_LANES <= count; i += DB_BLAS_LANES)
        for (l = 0; l < DB_BLAS_LANES; l++) {
            double apart = (double)x[i + l] - (double)y[i + l];

            lane[l] += apart * apart;
        }
    for (l = 0; i < count; i++, l++)
        lane[l] +=
            ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return db_add_lanes(lane);
}

static void forward_piece(void *argument, int64_t index, int worker)
{
    const struct mse_work *work = argument;
    const dreambooth_mse *a = work->a;
    const int64_t first = index % work->pieces * DB_BLAS_TASK;
    const int64_t at = index / work->pieces * a->count + first;

    (void)worker;
    work->partial[index] =
        square_sum(a->prediction + at, a->target + at,
                   db_blas_smaller(DB_BLAS_TASK, a->count - first));
}

int db_blas_mse_forward(const dreambooth_kernel_host *host,
                        const dreambooth_mse *a)
{
    struct mse_work work = {a, db_blas_pieces(a->count, DB_BLAS_TASK), NULL};
    double loss = 0.0;
    int64_t b;
    int64_t i;

    work.partial = host->scratch_new(host, (size_t)(a->batch * work.pieces) *
                                               sizeof(double));
    if (work.partial == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, a->batch * work.pieces, forward_piece, &work);
    for (b = 0; b < a->batch; b++) {
        double sum = 0.0;

        for (i = 0; i < work.pieces; i++)
            sum += work.partial[b * work.pieces + i];
        loss += weight_of(a, b) * (sum / (double)a->count);
    }
    *a->loss = loss / (double)a->batch;
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

static void gradient(const float *restrict x, const float *restrict y,
                     float factor, int64_t count, float *restrict dx)
{
    int64_t i;

    for (i = 0; i < count; i++)
        dx[i] = factor * (x[i] - y[i]);
}

static void backward_piece(void *argument, int64_t index, int worker)
{
    const struct mse_work *work = argument;
    const dreambooth_mse *a = work->a;
    const int64_t b = index / work->pieces;
    const int64_t first = index % work->pieces * DB_BLAS_TASK;
    const int64_t at = b * a->count + first;
    const double factor = 2.0 * (double)a->dloss * weight_of(a, b) /
                          ((double)a->batch * (double)a->count);

    (void)worker;
    gradient(a->prediction + at, a->target + at, (float)factor,
             db_blas_smaller(DB_BLAS_TASK, a->count - first),
             a->dprediction + at);
}

int db_blas_mse_backward(const dreambooth_kernel_host *host,
                         const dreambooth_mse *a)
{
    struct mse_work work = {a, db_blas_pieces(a->count, DB_BLAS_TASK), NULL};

    host->parallel(host, a->batch * work.pieces, backward_piece, &work);
    return DREAMBOOTH_OK;
}

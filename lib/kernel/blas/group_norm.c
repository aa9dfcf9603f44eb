/* SPDX-License-Identifier: MIT */
/*
 * Group normalisation through sums over pixels for each channel, which are
 * contiguous, and only then sums over the channels of a group. Sums run over
 * fixed blocks of pixels and are added in the order of the blocks. The variance
 * takes its own pass, as the mean may be large.
 */
#include "kernel/blas/blas_int.h"

#include <math.h>
#include <string.h>

#define LEAST_PIXELS 128 /* of a block */
#define MOST_BLOCKS 256
#define CHANNELS 64 /* whose sums are held at a time */

struct norm_work {
    const dreambooth_group_norm *a;
    int64_t block;    /* pixels of a block */
    int64_t blocks;   /* of an image */
    double *partial;  /* [batch, blocks, 2, channels] */
    double *sums;     /* [batch, 2, channels] */
    float *per_image; /* [batch, 4, channels]: factors for the last pass */
};

static int64_t group_of(const dreambooth_group_norm *a, int64_t image,
                        int64_t channel)
{
    return image * a->groups + channel / (a->channels / a->groups);
}

static void free_work(const dreambooth_kernel_host *host,
                      struct norm_work *work)
{
    host->scratch_free(host, work->per_image);
    host->scratch_free(host, work->partial);
}

static int new_work(const dreambooth_kernel_host *host, struct norm_work *work,
                    const dreambooth_group_norm *a)
{
    size_t doubles;

    work->a = a;
    work->block =
        db_blas_larger(LEAST_PIXELS, db_blas_pieces(a->pixels, MOST_BLOCKS));
    work->blocks = db_blas_pieces(a->pixels, work->block);
    doubles = (size_t)(a->batch * (work->blocks + 1) * 2 * a->channels);
    work->partial = host->scratch_new(host, doubles * sizeof(double));
    if (work->partial == NULL)
        return DREAMBOOTH_ENOMEM;
    work->sums = work->partial + a->batch * work->blocks * 2 * a->channels;
    work->per_image = host->scratch_new(
        host, (size_t)(a->batch * 4 * a->channels) * sizeof(float));
    if (work->per_image == NULL) {
        host->scratch_free(host, work->partial);
        return DREAMBOOTH_ENOMEM;
    }
    return DREAMBOOTH_OK;
}

/* sums[b, .., c] = the blocks' partial sums */
static void add_partials(const struct norm_work *work)
{
    const int64_t values = 2 * work->a->channels;
    int64_t b;
    int64_t block;
    int64_t i;

    for (b = 0; b < work->a->batch; b++) {
        double *restrict sums = work->sums + b * values;

        memset(sums, 0, (size_t)values * sizeof(double));
        for (block = 0; block < work->blocks; block++) {
            const double *restrict partial =
                work->partial + (b * work->blocks + block) * values;

            for (i = 0; i < values; i++)
                sums[i] += partial[i];
        }
    }
}

/* One block of pixels of an image. */
struct piece {
    int64_t image;
    int64_t rows;
    int64_t at;      /* of its first value in x */
    double *partial; /* [2, channels] */
};

static struct piece piece_at(const struct norm_work *work, int64_t index)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t first = index % work->blocks * work->block;
    struct piece piece = {index / work->blocks,
                          db_blas_smaller(work->block, a->pixels - first), 0,
                          work->partial + index * 2 * a->channels};

    piece.at = (piece.image * a->pixels + first) * a->channels;
    return piece;
}

static void sum_rows(const float *restrict x, int64_t rows, int64_t stride,
                     int64_t width, double *restrict out)
{
    double sum[CHANNELS] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < rows; r++)
        for (i = 0; i < width; i++)
            sum[i] += (double)x[r * stride + i];
    memcpy(out, sum, (size_t)width * sizeof(double));
}

static void sum_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const int64_t channels = work->a->channels;
    const struct piece piece = piece_at(work, index);
    int64_t c;

    (void)worker;
    memset(piece.partial + channels, 0, (size_t)channels * sizeof(double));
    for (c = 0; c < channels; c += CHANNELS)
        sum_rows(work->a->x + piece.at + c, piece.rows, channels,
                 db_blas_smaller(CHANNELS, channels - c), piece.partial + c);
}

/* The sum of the squares of x - mean */
static void square_rows(const float *restrict x, const double *restrict mean,
                        int64_t rows, int64_t stride, int64_t width,
                        double *restrict out)
{
    double sum[CHANNELS] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < rows; r++)
        for (i = 0; i < width; i++) {
            double apart = (double)x[r * stride + i] - mean[i];

            sum[i] += apart * apart;
        }
    memcpy(out, sum, (size_t)width * sizeof(double));
}

/* Reads the group's mean, one a channel, in the first half of the image's sums;
 * the first half of the partial sums stays. */
static void square_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const int64_t channels = work->a->channels;
    const struct piece piece = piece_at(work, index);
    const double *mean = work->sums + piece.image * 2 * channels;
    int64_t c;

    (void)worker;
    for (c = 0; c < channels; c += CHANNELS)
        square_rows(work->a->x + piece.at + c, mean + c, piece.rows, channels,
                    db_blas_smaller(CHANNELS, channels - c),
                    piece.partial + channels + c);
}

/* Adds up each group's channels and puts the sum over count to all of them. */
static void average_groups(const struct norm_work *work, double *sums)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t width = a->channels / a->groups;
    const double count = (double)(width * a->pixels);
    int64_t g;
    int64_t i;

    for (g = 0; g < a->groups; g++) {
        double sum = 0.0;

        for (i = 0; i < width; i++)
            sum += sums[g * width + i];
        for (i = 0; i < width; i++)
            sums[g * width + i] = sum / count;
    }
}

/* mean and rstd, and for each channel the mean and the factor of the last pass:
 * y = (x - mean) factor + bias */
static void finish_statistics(const struct norm_work *work)
{
    const dreambooth_group_norm *a = work->a;
    int64_t b;
    int64_t c;

    for (b = 0; b < a->batch; b++) {
        const double *mean = work->sums + b * 2 * a->channels;
        const double *variance = mean + a->channels;
        float *factors = work->per_image + b * 4 * a->channels;

        for (c = 0; c < a->channels; c++) {
            double rstd = 1.0 / sqrt(variance[c] + (double)a->epsilon);

            a->mean[group_of(a, b, c)] = (float)mean[c];
            a->rstd[group_of(a, b, c)] = (float)rstd;
            factors[c] = (float)mean[c];
            factors[a->channels + c] = (float)(rstd * (double)a->weight[c]);
            factors[2 * a->channels + c] =
                (float)((double)a->bias[c] - (mean[c] - (double)factors[c]) *
                                                 rstd * (double)a->weight[c]);
        }
    }
}

static void normalise_row(const float *restrict x,
                          const float *restrict factors, int64_t channels,
                          float *restrict y)
{
    const float *restrict factor = factors + channels;
    const float *restrict bias = factors + 2 * channels;
    int64_t c;

    for (c = 0; c < channels; c++)
        y[c] = (x[c] - factors[c]) * factor[c] + bias[c];
}

static void normalise_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const int64_t channels = work->a->channels;
    const struct piece piece = piece_at(work, index);
    int64_t r;

    (void)worker;
    for (r = 0; r < piece.rows; r++)
        normalise_row(work->a->x + piece.at + r * channels,
                      work->per_image + piece.image * 4 * channels, channels,
                      work->a->y + piece.at + r * channels);
}

int db_blas_group_norm_forward(const dreambooth_kernel_host *host,
                               const dreambooth_group_norm *a)
{
    struct norm_work work;
    int status = new_work(host, &work, a);
    int64_t count;
    int64_t b;

    if (status != DREAMBOOTH_OK)
        return status;
    count = a->batch * work.blocks;
    host->parallel(host, count, sum_piece, &work);
    add_partials(&work);
    for (b = 0; b < a->batch; b++)
        average_groups(&work, work.sums + b * 2 * a->channels);
    host->parallel(host, count, square_piece, &work);
    add_partials(&work);
    for (b = 0; b < 2 * a->batch; b++)
        average_groups(&work, work.sums + b * a->channels);
    finish_statistics(&work);
    host->parallel(host, count, normalise_piece, &work);
    free_work(host, &work);
    return DREAMBOOTH_OK;
}

/* sum(dy) and sum(dy xhat) over the rows */
static void gradient_rows(const float *restrict dy, const float *restrict x,
                          const float *restrict mean,
                          const float *restrict rstd, int64_t rows,
                          int64_t stride, int64_t width, double *restrict out,
                          double *restrict product_out)
{
    double sum[CHANNELS] = {0};
    double product[CHANNELS] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < rows; r++)
        for (i = 0; i < width; i++) {
            float slope = dy[r * stride + i];

            sum[i] += (double)slope;
            product[i] += (double)slope *
                          (double)((x[r * stride + i] - mean[i]) * rstd[i]);
        }
    memcpy(out, sum, (size_t)width * sizeof(double));
    memcpy(product_out, product, (size_t)width * sizeof(double));
}

static void gradient_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_group_norm *a = work->a;
    const struct piece piece = piece_at(work, index);
    const float *mean = work->per_image + piece.image * 4 * a->channels;
    int64_t c;

    (void)worker;
    for (c = 0; c < a->channels; c += CHANNELS)
        gradient_rows(a->dy + piece.at + c, a->x + piece.at + c, mean + c,
                      mean + a->channels + c, piece.rows, a->channels,
                      db_blas_smaller(CHANNELS, a->channels - c),
                      piece.partial + c, piece.partial + a->channels + c);
}

/* mean and rstd of each channel's group */
static void spread_statistics(const struct norm_work *work)
{
    const dreambooth_group_norm *a = work->a;
    int64_t b;
    int64_t c;

    for (b = 0; b < a->batch; b++)
        for (c = 0; c < a->channels; c++) {
            float *factors = work->per_image + b * 4 * a->channels + c;

            factors[0] = a->mean[group_of(a, b, c)];
            factors[a->channels] = a->rstd[group_of(a, b, c)];
        }
}

static void add_parameters(const struct norm_work *work)
{
    const dreambooth_group_norm *a = work->a;
    int64_t b;
    int64_t c;

    for (c = 0; c < a->channels; c++) {
        double dbias = 0.0;
        double dweight = 0.0;

        for (b = 0; b < a->batch; b++) {
            dbias += work->sums[b * 2 * a->channels + c];
            dweight += work->sums[(b * 2 + 1) * a->channels + c];
        }
        if (a->dbias != NULL)
            a->dbias[c] = (float)((double)a->dbias[c] + dbias);
        if (a->dweight != NULL)
            a->dweight[c] = (float)((double)a->dweight[c] + dweight);
    }
}

/*
 * The factors of dx = dy p - xhat q - s, where p = rstd weight, q = rstd
 * mean(dxhat xhat), s = rstd mean(dxhat), means over the group.
 */
static void finish_gradients(const struct norm_work *work)
{
    const dreambooth_group_norm *a = work->a;
    int64_t b;
    int64_t c;

    for (b = 0; b < a->batch; b++) {
        double *sum = work->sums + b * 2 * a->channels;
        double *product = sum + a->channels;
        float *factors = work->per_image + b * 4 * a->channels;

        for (c = 0; c < a->channels; c++) {
            sum[c] *= (double)a->weight[c];
            product[c] *= (double)a->weight[c];
        }
        average_groups(work, sum);
        average_groups(work, product);
        for (c = 0; c < a->channels; c++) {
            double rstd = (double)factors[a->channels + c];

            factors[a->channels + c] = (float)(rstd * (double)a->weight[c]);
            factors[2 * a->channels + c] = (float)(rstd * rstd * product[c]);
            factors[3 * a->channels + c] = (float)(rstd * sum[c]);
        }
    }
}

static void gradient_row(const float *restrict dy, const float *restrict x,
                         const float *restrict factors, int64_t channels,
                         float *restrict dx)
{
    const float *restrict p = factors + channels;
    const float *restrict q = factors + 2 * channels;
    const float *restrict s = factors + 3 * channels;
    int64_t c;

    for (c = 0; c < channels; c++)
        dx[c] = dy[c] * p[c] - (x[c] - factors[c]) * q[c] - s[c];
}

static void backward_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_group_norm *a = work->a;
    const struct piece piece = piece_at(work, index);
    int64_t r;

    (void)worker;
    for (r = 0; r < piece.rows; r++) {
        int64_t at = piece.at + r * a->channels;

        gradient_row(a->dy + at, a->x + at,
                     work->per_image + piece.image * 4 * a->channels,
                     a->channels, a->dx + at);
    }
}

int db_blas_group_norm_backward(const dreambooth_kernel_host *host,
                                const dreambooth_group_norm *a)
{
    struct norm_work work;
    int status = new_work(host, &work, a);

    if (status != DREAMBOOTH_OK)
        return status;
    spread_statistics(&work);
    host->parallel(host, a->batch * work.blocks, gradient_piece, &work);
    add_partials(&work);
    add_parameters(&work);
    if (a->dx != NULL) {
        finish_gradients(&work);
        host->parallel(host, a->batch * work.blocks, backward_piece, &work);
    }
    free_work(host, &work);
    return DREAMBOOTH_OK;
}

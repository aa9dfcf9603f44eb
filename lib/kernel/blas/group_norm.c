/* SPDX-License-Identifier: MIT */
/*
 * Group normalisation in two passes over the image, forward and backward: one
 * for sums over blocks of pixels, for each channel and then each group, and one
 * that writes. Blocks are added in their order. Where there are many small
 * images each is one task, whose cache has it still in the second pass; else
 * blocks are.
 *
 * A channel's variance in a block comes from differences to the block's first
 * pixel, so that no digits are lost however large the mean is; blocks are
 * joined by their means and sums of squares (Chan et al., 1979).
 */
#include "kernel/elementwise/elementwise.h"

#include <math.h>
#include <stdbool.h>

#define LEAST_PIXELS 128 /* of a block */
#define MOST_BLOCKS 256
#define SMALL_IMAGE ((int64_t)1 << 17) /* values of one that caches hold */
#define MANY_IMAGES 4                  /* for each thread */

/* Factors of the last pass, for each image, by their place. */
enum { MEAN, FACTOR, SLOPE, SHIFT, FACTORS };

struct norm_work {
    const dreambooth_group_norm *a;
    const struct db_elementwise *row;
    int64_t block;   /* pixels of a block */
    int64_t blocks;  /* of an image */
    double *partial; /* [batch, blocks, 2, channels] */
    float *factors;  /* [batch, FACTORS, channels] */
    /* Where the first pass puts dy before the SiLU for the second, or NULL. */
    float *within;
};

static int new_work(const dreambooth_kernel_host *host, struct norm_work *work,
                    const dreambooth_group_norm *a)
{
    size_t doubles, floats;

    work->a = a;
    work->row = db_elementwise_of(host);
    work->within = NULL;
    work->block =
        db_blas_larger(LEAST_PIXELS, db_blas_pieces(a->pixels, MOST_BLOCKS));
    work->blocks = db_blas_pieces(a->pixels, work->block);
    doubles = (size_t)(a->batch * work->blocks * 2 * a->channels);
    floats = (size_t)(a->batch * FACTORS * a->channels);
    work->partial = host->scratch_new(host, doubles * sizeof(double) +
                                                floats * sizeof(float));
    if (work->partial == NULL)
        return DREAMBOOTH_ENOMEM;
    work->factors = (float *)(work->partial + doubles);
    return DREAMBOOTH_OK;
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

static struct db_norm_row row_of(const struct norm_work *work, int64_t image)
{
    const dreambooth_group_norm *a = work->a;
    const float *factors = work->factors + image * FACTORS * a->channels;
    struct db_norm_row row = {.mean = factors + MEAN * a->channels,
                              .factor = factors + FACTOR * a->channels,
                              .bias = a->bias,
                              .slope = factors + SLOPE * a->channels,
                              .shift = factors + SHIFT * a->channels,
                              .silu = a->silu != 0};

    return row;
}

/* The mean of a block's group and its sum of squares about it, from the sums of
 * its channels about their first pixels FIRST. */
static void join_channels(const struct piece *piece, const float *first,
                          int64_t width, double *sum, double *square)
{
    const double rows = (double)piece->rows;
    double mean = 0.0, squares = 0.0;
    int64_t i;

    for (i = 0; i < width; i++) {
        squares += square[i] - sum[i] * sum[i] / rows;
        sum[i] = (double)first[i] + sum[i] / rows;
        mean += sum[i];
    }
    mean /= (double)width;
    for (i = 0; i < width; i++)
        squares += rows * (sum[i] - mean) * (sum[i] - mean);
    sum[0] = mean;
    square[0] = squares;
}

static void measure_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_group_norm *a = work->a;
    const int64_t width = a->channels / a->groups;
    const struct piece piece = piece_at(work, index);
    const float *x = a->x + piece.at;
    int64_t c;

    (void)worker;
    work->row->moments(x, piece.rows, a->channels, a->channels, piece.partial,
                       piece.partial + a->channels);
    for (c = 0; c < a->channels; c += width)
        join_channels(&piece, x + c, width, piece.partial + c,
                      piece.partial + a->channels + c);
}

typedef void piece_task(void *argument, int64_t index, int worker);

static void run_pieces(const dreambooth_kernel_host *host,
                       struct norm_work *work, piece_task *task)
{
    host->parallel(host, work->a->batch * work->blocks, task, work);
}

static void run_image(struct norm_work *work, int64_t image, int worker,
                      piece_task *task)
{
    int64_t i;

    for (i = 0; i < work->blocks; i++)
        task(work, image * work->blocks + i, worker);
}

/* Whether images are the tasks: so that threads have as many. */
static bool is_by_image(const dreambooth_kernel_host *host,
                        const dreambooth_group_norm *a)
{
    return a->pixels * a->channels <= SMALL_IMAGE &&
           (a->batch % host->threads == 0 ||
            a->batch >= MANY_IMAGES * host->threads);
}

/* Mean and variance of an image's group that begins with CHANNEL. */
static void join_blocks(const struct norm_work *work, int64_t image,
                        int64_t channel, double *mean_out, double *variance)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t first = image * work->blocks;
    const int64_t width = a->channels / a->groups;
    double mean = 0.0, squares = 0.0;
    int64_t i;

    for (i = first; i < first + work->blocks; i++) {
        const struct piece piece = piece_at(work, i);

        mean += (double)piece.rows * piece.partial[channel];
    }
    mean /= (double)a->pixels;
    for (i = first; i < first + work->blocks; i++) {
        const struct piece piece = piece_at(work, i);
        const double apart = piece.partial[channel] - mean;

        squares += piece.partial[a->channels + channel] +
                   (double)(piece.rows * width) * apart * apart;
    }
    *mean_out = mean;
    *variance = squares / (double)(a->pixels * width);
}

static void finish_statistics(const struct norm_work *work, int64_t image)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t width = a->channels / a->groups;
    float *factors = work->factors + image * FACTORS * a->channels;
    int64_t g, c;

    for (g = 0; g < a->groups; g++) {
        double mean, variance, rstd;

        join_blocks(work, image, g * width, &mean, &variance);
        rstd = 1.0 / sqrt(fmax(variance, 0.0) + (double)a->epsilon);
        a->mean[image * a->groups + g] = (float)mean;
        a->rstd[image * a->groups + g] = (float)rstd;
        for (c = g * width; c < (g + 1) * width; c++) {
            const double rest = mean - (double)(float)mean;
            const double factor = rstd * (double)a->weight[c];

            factors[MEAN * a->channels + c] = (float)mean;
            factors[FACTOR * a->channels + c] = (float)factor;
            factors[SHIFT * a->channels + c] =
                (float)((double)a->bias[c] - rest * factor);
        }
    }
}

static void normalise_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_group_norm *a = work->a;
    const struct piece piece = piece_at(work, index);
    struct db_norm_row row = row_of(work, piece.image);
    int64_t at = piece.at, r;

    (void)worker;
    row.bias = row.shift;
    for (r = 0; r < piece.rows; r++, at += a->channels)
        work->row->normalise(&row, a->x + at, a->channels, a->y + at);
}

static void normalise_image(void *argument, int64_t index, int worker)
{
    run_image(argument, index, worker, measure_piece);
    finish_statistics(argument, index);
    run_image(argument, index, worker, normalise_piece);
}

int db_blas_group_norm_forward(const dreambooth_kernel_host *host,
                               const dreambooth_group_norm *a)
{
    struct norm_work work;
    int status = new_work(host, &work, a);
    int64_t image;

    if (status != DREAMBOOTH_OK)
        return status;
    if (is_by_image(host, a)) {
        host->parallel(host, a->batch, normalise_image, &work);
    } else {
        run_pieces(host, &work, measure_piece);
        for (image = 0; image < a->batch; image++)
            finish_statistics(&work, image);
        run_pieces(host, &work, normalise_piece);
    }
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

/* mean of each channel's group, and the factor to its normalised value */
static void spread_statistics(const struct norm_work *work, int64_t image)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t width = a->channels / a->groups;
    float *factors = work->factors + image * FACTORS * a->channels;
    int64_t g, c;

    for (g = 0; g < a->groups; g++)
        for (c = g * width; c < (g + 1) * width; c++) {
            factors[MEAN * a->channels + c] = a->mean[image * a->groups + g];
            factors[FACTOR * a->channels + c] =
                a->rstd[image * a->groups + g] * a->weight[c];
        }
}

static void gradient_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_group_norm *a = work->a;
    const struct piece piece = piece_at(work, index);
    const struct db_norm_row row = row_of(work, piece.image);

    (void)worker;
    work->row->slopes(&row, a->x + piece.at, a->dy + piece.at, piece.rows,
                      a->channels, a->channels, piece.partial,
                      piece.partial + a->channels,
                      work->within == NULL ? NULL : work->within + piece.at);
}

/* Adds an image's later blocks to its first; products become those with
 * xhat = (x - mean) rstd. */
static void add_blocks(const struct norm_work *work, int64_t image)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t width = a->channels / a->groups, values = 2 * a->channels;
    double *sums = work->partial + image * work->blocks * values;
    int64_t block, i;

    for (block = 1; block < work->blocks; block++)
        for (i = 0; i < values; i++)
            sums[i] += sums[block * values + i];
    for (i = 0; i < a->channels; i++)
        sums[a->channels + i] *= (double)a->rstd[image * a->groups + i / width];
}

/* Adds the images' sums to the first's, and these to the parameters. */
static void add_parameters(const struct norm_work *work)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t image = work->blocks * 2 * a->channels;
    double *dbias = work->partial, *dweight = dbias + a->channels;
    int64_t b, i;

    for (b = 1; b < a->batch; b++)
        for (i = 0; i < 2 * a->channels; i++)
            dbias[i] += dbias[b * image + i];
    for (i = 0; i < a->channels && a->dbias != NULL; i++)
        a->dbias[i] = (float)((double)a->dbias[i] + dbias[i]);
    for (i = 0; i < a->channels && a->dweight != NULL; i++)
        a->dweight[i] = (float)((double)a->dweight[i] + dweight[i]);
}

/*
 * The factors of dx = dy factor - (x - mean) slope - shift, where slope =
 * rstd^2 mean(dxhat xhat) and shift = rstd mean(dxhat), means over the group.
 */
static void finish_gradients(const struct norm_work *work, int64_t image)
{
    const dreambooth_group_norm *a = work->a;
    const int64_t width = a->channels / a->groups;
    const double count = (double)(width * a->pixels);
    const double *sum = work->partial + image * work->blocks * 2 * a->channels;
    const double *product = sum + a->channels;
    float *factors = work->factors + image * FACTORS * a->channels;
    int64_t g, c;

    for (g = 0; g < a->groups; g++) {
        const double rstd = (double)a->rstd[image * a->groups + g];
        double all = 0.0, all_products = 0.0;

        for (c = g * width; c < (g + 1) * width; c++) {
            all += sum[c] * (double)a->weight[c];
            all_products += product[c] * (double)a->weight[c];
        }
        for (c = g * width; c < (g + 1) * width; c++) {
            factors[SLOPE * a->channels + c] =
                (float)(rstd * rstd * (all_products / count));
            factors[SHIFT * a->channels + c] = (float)(rstd * (all / count));
        }
    }
}

static void backward_piece(void *argument, int64_t index, int worker)
{
    const struct norm_work *work = argument;
    const dreambooth_group_norm *a = work->a;
    const struct piece piece = piece_at(work, index);
    const float *dy = work->within == NULL ? a->dy : work->within;
    struct db_norm_row row = row_of(work, piece.image);
    int64_t at = piece.at, r;

    (void)worker;
    row.silu = row.silu && work->within == NULL;
    for (r = 0; r < piece.rows; r++, at += a->channels)
        work->row->unnormalise(&row, a->x + at, dy + at, a->channels,
                               a->dx + at);
}

static void unnormalise_image(void *argument, int64_t index, int worker)
{
    struct norm_work *work = argument;

    spread_statistics(work, index);
    run_image(work, index, worker, gradient_piece);
    add_blocks(work, index);
    if (work->a->dx == NULL)
        return;
    finish_gradients(work, index);
    run_image(work, index, worker, backward_piece);
}

static void unnormalise_blocks(const dreambooth_kernel_host *host,
                               struct norm_work *work)
{
    const dreambooth_group_norm *a = work->a;
    int64_t image;

    for (image = 0; image < a->batch; image++)
        spread_statistics(work, image);
    run_pieces(host, work, gradient_piece);
    for (image = 0; image < a->batch; image++) {
        add_blocks(work, image);
        if (a->dx != NULL)
            finish_gradients(work, image);
    }
    if (a->dx != NULL)
        run_pieces(host, work, backward_piece);
}

int db_blas_group_norm_backward(const dreambooth_kernel_host *host,
                                const dreambooth_group_norm *a)
{
    struct norm_work work;
    int status = new_work(host, &work, a);

    if (status != DREAMBOOTH_OK)
        return status;
    if (is_by_image(host, a)) {
        work.within = a->silu != 0 ? a->dx : NULL; /* in the cache still */
        host->parallel(host, a->batch, unnormalise_image, &work);
    } else {
        unnormalise_blocks(host, &work);
    }
    add_parameters(&work);
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

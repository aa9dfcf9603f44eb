/* SPDX-License-Identifier: MIT */
/*
 * Convolutions that make a few channels of many, as the last one of a VAE: a
 * tile would be empty but for these. So columns are pairs of a channel of y and
 * a place of the kernel, which weights lie in the order of:
 *     products [pixels of x, out places] = x weight^T
 * and a pixel of y is the sum of those that its neighbours have for it. That is
 * done in bands of rows, whose products stay in the cache.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/simd/simd_int.h"

#define MOST_COLUMNS 48
#define LEAST_CHANNELS 32 /* of x */
#define LEAST_PIXELS 1024
#define BAND ((int64_t)1 << 20) /* products */

struct work {
    const dreambooth_conv2d *c;
    int64_t image, first, count; /* rows of y at work */
    int64_t top, bottom;         /* rows of x that they see */
    int64_t columns;
    float *products;
};

bool db_simd_has_few_channels(const dreambooth_conv2d *c)
{
    const int64_t places = c->kernel_height * c->kernel_width;

    return c->stride == 1 && places > 1 &&
           c->out_channels * places <= MOST_COLUMNS &&
           c->in_channels >= LEAST_CHANNELS &&
           c->batch * c->out_height * c->out_width >= LEAST_PIXELS;
}

/* Adds what the pixels of a row of products have for one place of the kernel
 * and channel, which FROM points at in the row's first. */
static void add_place(const struct work *work, const float *from, int64_t kx,
                      float *y)
{
    const dreambooth_conv2d *c = work->c;
    const int64_t away = kx - c->pad_left;
    const int64_t begin = db_blas_larger(-away, 0);
    const int64_t end = db_blas_smaller(c->out_width, c->in_width - away);
    int64_t x;

    for (x = begin; x < end; x++)
        y[x * c->out_channels] += from[(x + away) * work->columns];
}

static void add_row(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_conv2d *c = work->c;
    const int64_t row = work->first + index, out = c->out_channels;
    float *y = c->y + (work->image * c->out_height + row) * c->out_width * out;
    int64_t i, ky, kx;

    (void)worker;
    for (i = 0; i < c->out_width * out; i++)
        y[i] = c->bias == NULL ? 0.0f : c->bias[i % out];
    for (ky = 0; ky < c->kernel_height; ky++) {
        const int64_t from = row + ky - c->pad_top;

        if (from < work->top || from >= work->bottom)
            continue;
        for (i = 0; i < out; i++)
            for (kx = 0; kx < c->kernel_width; kx++)
                add_place(work,
                          work->products +
                              (from - work->top) * c->in_width * work->columns +
                              (i * c->kernel_height + ky) * c->kernel_width +
                              kx,
                          kx, y + i);
    }
}

static int make_band(const dreambooth_kernel_host *host, struct work *work)
{
    const dreambooth_conv2d *c = work->c;
    const int64_t begin = work->first - c->pad_top;
    dreambooth_gemm product = {.batch = 1,
                               .n = work->columns,
                               .k = c->in_channels,
                               .transpose_b = 1,
                               .alpha = 1.0f,
                               .b = c->weight,
                               .b_bf16 = c->weight_bf16,
                               .c = work->products,
                               .lda = c->in_channels,
                               .ldb = c->in_channels,
                               .ldc = work->columns};
    int status = DREAMBOOTH_OK;

    work->top = db_blas_smaller(db_blas_larger(begin, 0), c->in_height);
    work->bottom = db_blas_larger(
        db_blas_smaller(begin + work->count - 1 + c->kernel_height,
                        c->in_height),
        work->top);
    product.m = (work->bottom - work->top) * c->in_width;
    product.a = c->x + (work->image * c->in_height + work->top) * c->in_width *
                           c->in_channels;
    if (product.m > 0)
        status = db_simd_gemm(host, &product);
    if (status == DREAMBOOTH_OK)
        host->parallel(host, work->count, add_row, work);
    return status;
}

int db_simd_few_channels(const dreambooth_kernel_host *host,
                         const dreambooth_conv2d *c)
{
    struct work work = {.c = c,
                        .columns = c->out_channels * c->kernel_height *
                                   c->kernel_width};
    const int64_t row = c->in_width * work.columns;
    const int64_t rows =
        db_blas_smaller(db_blas_larger(BAND / row, 1), c->out_height);
    int status = DREAMBOOTH_OK;

    work.products = host->scratch_new(
        host, (size_t)((rows + c->kernel_height) * row) * sizeof(float));
    if (work.products == NULL)
        return DREAMBOOTH_ENOMEM;
    for (work.image = 0; work.image < c->batch; work.image++)
        for (work.first = 0;
             work.first < c->out_height && status == DREAMBOOTH_OK;
             work.first += work.count) {
            work.count = db_blas_smaller(rows, c->out_height - work.first);
            status = make_band(host, &work);
        }
    host->scratch_free(host, work.products);
    return status;
}

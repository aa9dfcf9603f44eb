/* SPDX-License-Identifier: MIT */
/*
 * 2-d convolution as matrix products. With a row of patches [kernel_height,
 * kernel_width, in_channels] for each output pixel, the weight is a matrix
 * [out_channels, patch] as it lies in memory, and
 *     forward          y [pixels, out_channels] = patches weight^T
 *     backward_weight  dweight += dy^T patches
 * Patches are laid out for a block of pixels and a range of columns at a time,
 * small enough to stay in the second-level cache.
 *
 * backward_data gathers as well, so that tasks never meet. Where it fits into
 * memory, it makes all patches of dx in one product, dy weight, and each input
 * pixel adds up its share of them. Elsewhere it takes, for one place of the
 * kernel after the other, the rows of dy that input pixels receive, times that
 * place's [out_channels, in_channels] slice of the weight. With a stride s, the
 * input pixels fall into s x s classes, each of which meets its own places
 * only.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/device.h"

#include <stdbool.h>
#include <string.h>

#define BLOCK_ROWS 512     /* pixels of a patch block */
#define BLOCK_COLUMNS 1024 /* values of a patch laid out at a time */
#define MAX_ROWS 1024      /* pixels of a tile of dx */
#define MAX_PATCHES ((int64_t)6 << 20) /* floats of all patches of dx */

struct conv_work {
    const dreambooth_conv2d *c;
    struct db_blas_tiles tiles;
    float *scratch;
    int64_t scratch_step; /* floats a worker */
    int64_t patch;        /* kernel_height kernel_width in_channels */
    int64_t pixels;       /* of y, over the batch */
    float beta;           /* backward_weight: of what is in dweight */
    /* backward_data: the class of input pixels at work */
    int64_t class_y, class_x;
    int64_t class_height, class_width;
};

static bool is_pointwise(const dreambooth_conv2d *c)
{
    return c->kernel_height == 1 && c->kernel_width == 1 && c->stride == 1 &&
           c->pad_top == 0 && c->pad_bottom == 0 && c->pad_left == 0 &&
           c->pad_right == 0;
}

static void init_work(struct conv_work *work, const dreambooth_conv2d *c)
{
    memset(work, 0, sizeof(*work));
    work->c = c;
    work->patch = c->kernel_height * c->kernel_width * c->in_channels;
    work->pixels = c->batch * c->out_height * c->out_width;
}

/* Runs TASK with FLOATS of scratch a worker. */
static int run_with_scratch(const dreambooth_kernel_host *host,
                            struct conv_work *work, int64_t count,
                            int64_t floats, void (*task)(void *, int64_t, int))
{
    work->scratch_step = (floats + 15) / 16 * 16;
    work->scratch = host->scratch_new(
        host, (size_t)(work->scratch_step * host->threads) * sizeof(float));
    if (work->scratch == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, count, task, work);
    host->scratch_free(host, work->scratch);
    return DREAMBOOTH_OK;
}

/* Values FIRST .. FIRST + WIDTH - 1 of the patch of one output pixel. */
static void lay_patch(const dreambooth_conv2d *c, int64_t pixel, int64_t first,
                      int64_t width, float *out)
{
    const int64_t x0 = pixel % c->out_width * c->stride - c->pad_left;
    const int64_t y0 =
        pixel / c->out_width % c->out_height * c->stride - c->pad_top;
    const float *image = c->x + pixel / (c->out_height * c->out_width) *
                                    c->in_height * c->in_width * c->in_channels;
    int64_t place = first / c->in_channels;
    int64_t channel = first % c->in_channels;

    while (width > 0) {
        int64_t y = y0 + place / c->kernel_width;
        int64_t x = x0 + place % c->kernel_width;
        int64_t part = db_blas_smaller(c->in_channels - channel, width);

        if (y < 0 || y >= c->in_height || x < 0 || x >= c->in_width)
            memset(out, 0, (size_t)part * sizeof(float));
        else
            memcpy(out,
                   image + (y * c->in_width + x) * c->in_channels + channel,
                   (size_t)part * sizeof(float));
        out += part;
        width -= part;
        place++;
        channel = 0;
    }
}

void db_blas_lay_patches(const dreambooth_conv2d *c, int64_t pixel,
                         int64_t rows, int64_t first, int64_t width, float *out)
{
    int64_t r;

    for (r = 0; r < rows; r++)
        lay_patch(c, pixel + r, first, width, out + r * width);
}

static void begin_output(const dreambooth_conv2d *c, float *y, int64_t channel,
                         int64_t rows, int64_t width)
{
    int64_t r;

    for (r = 0; r < rows; r++) {
        if (c->bias == NULL)
            memset(y + r * c->out_channels, 0, (size_t)width * sizeof(float));
        else
            memcpy(y + r * c->out_channels, c->bias + channel,
                   (size_t)width * sizeof(float));
    }
}

static void forward_tile(void *argument, int64_t index, int worker)
{
    const struct conv_work *work = argument;
    const dreambooth_conv2d *c = work->c;
    const int64_t pixel = index / work->tiles.count_n * work->tiles.tile_m;
    const int64_t channel = index % work->tiles.count_n * work->tiles.tile_n;
    const int64_t rows =
        db_blas_smaller(work->tiles.tile_m, work->pixels - pixel);
    const int64_t width =
        db_blas_smaller(work->tiles.tile_n, c->out_channels - channel);
    float *patches = work->scratch + worker * work->scratch_step;
    float *y = c->y + pixel * c->out_channels + channel;
    int64_t first;

    begin_output(c, y, channel, rows, width);
    for (first = 0; first < work->patch; first += BLOCK_COLUMNS) {
        int64_t part = db_blas_smaller(BLOCK_COLUMNS, work->patch - first);

        db_blas_lay_patches(c, pixel, rows, first, part, patches);
        db_blas_sgemm(0, 1, rows, width, part, 1.0f, patches, part,
                      c->weight + channel * work->patch + first, work->patch,
                      1.0f, y, c->out_channels);
    }
}

static int pointwise_forward(const dreambooth_kernel_host *host,
                             const dreambooth_conv2d *c)
{
    const dreambooth_gemm product = {
        .batch = 1,
        .m = c->batch * c->out_height * c->out_width,
        .n = c->out_channels,
        .k = c->in_channels,
        .transpose_b = 1,
        .alpha = 1.0f,
        .a = c->x,
        .lda = c->in_channels,
        .b = c->weight,
        .ldb = c->in_channels,
        .c = c->y,
        .ldc = c->out_channels,
        .bias = c->bias,
    };

    return db_blas_gemm(host, &product);
}

int db_blas_conv2d_forward(const dreambooth_kernel_host *host,
                           const dreambooth_conv2d *a)
{
    struct conv_work work;

    init_work(&work, a);
    if (!db_blas_fits(work.patch) || !db_blas_fits(a->out_channels))
        return db_backend_reference.conv2d_forward(host, a);
    if (is_pointwise(a))
        return pointwise_forward(host, a);
    work.tiles =
        db_blas_divide(work.pixels, a->out_channels, work.patch, BLOCK_ROWS);
    return run_with_scratch(
        host, &work, work.tiles.count_m * work.tiles.count_n,
        work.tiles.tile_m * db_blas_smaller(BLOCK_COLUMNS, work.patch),
        forward_tile);
}

/* The rows of dy that ROWS pixels of the class, from PIXEL on, receive at the
 * place (ky, kx) of the kernel; zeros where there is none. */
static void lay_receivers(const struct conv_work *work, int64_t pixel,
                          int64_t rows, int64_t ky, int64_t kx, float *out)
{
    const dreambooth_conv2d *c = work->c;
    const size_t size = (size_t)c->out_channels * sizeof(float);
    int64_t r;

    for (r = pixel; r < pixel + rows; r++, out += c->out_channels) {
        int64_t x = r % work->class_width * c->stride + work->class_x +
                    c->pad_left - kx;
        int64_t y = r / work->class_width % work->class_height * c->stride +
                    work->class_y + c->pad_top - ky;
        int64_t image = r / (work->class_width * work->class_height);

        if (x < 0 || y < 0 || x / c->stride >= c->out_width ||
            y / c->stride >= c->out_height)
            memset(out, 0, size);
        else
            memcpy(out,
                   c->dy +
                       ((image * c->out_height + y / c->stride) * c->out_width +
                        x / c->stride) *
                           c->out_channels,
                   size);
    }
}

/* Whether the class at work meets kernel row or column PLACE. */
static bool class_meets(int64_t of_class, int64_t pad, int64_t place,
                        int64_t stride)
{
    return (of_class + pad - place) % stride == 0;
}

/* Writes rows of a class to their pixels of dx. */
static void scatter(const struct conv_work *work, int64_t pixel, int64_t rows,
                    int64_t channel, int64_t width, const float *values)
{
    const dreambooth_conv2d *c = work->c;
    int64_t r;

    for (r = pixel; r < pixel + rows; r++, values += width) {
        int64_t x = r % work->class_width * c->stride + work->class_x;
        int64_t y = r / work->class_width % work->class_height * c->stride +
                    work->class_y;
        int64_t image = r / (work->class_width * work->class_height);

        memcpy(c->dx +
                   ((image * c->in_height + y) * c->in_width + x) *
                       c->in_channels +
                   channel,
               values, (size_t)width * sizeof(float));
    }
}

static void data_tile(void *argument, int64_t index, int worker)
{
    const struct conv_work *work = argument;
    const dreambooth_conv2d *c = work->c;
    const int64_t count = c->batch * work->class_height * work->class_width;
    const int64_t pixel = index / work->tiles.count_n * work->tiles.tile_m;
    const int64_t channel = index % work->tiles.count_n * work->tiles.tile_n;
    const int64_t rows = db_blas_smaller(work->tiles.tile_m, count - pixel);
    const int64_t width =
        db_blas_smaller(work->tiles.tile_n, c->in_channels - channel);
    float *values = work->scratch + worker * work->scratch_step;
    float *received = values + work->tiles.tile_m * work->tiles.tile_n;
    int64_t ky;
    int64_t kx;

    memset(values, 0, (size_t)(rows * width) * sizeof(float));
    for (ky = 0; ky < c->kernel_height; ky++)
        for (kx = 0; kx < c->kernel_width; kx++) {
            if (!class_meets(work->class_y, c->pad_top, ky, c->stride) ||
                !class_meets(work->class_x, c->pad_left, kx, c->stride))
                continue;
            lay_receivers(work, pixel, rows, ky, kx, received);
            db_blas_sgemm(0, 0, rows, width, c->out_channels, 1.0f, received,
                          c->out_channels,
                          c->weight +
                              (ky * c->kernel_width + kx) * c->in_channels +
                              channel,
                          work->patch, 1.0f, values, width);
        }
    scatter(work, pixel, rows, channel, width, values);
}

/* dx[pixel] = the sum of its shares of the patches, by place of the kernel */
static void collect_pixel(const struct conv_work *work, int64_t pixel)
{
    const dreambooth_conv2d *c = work->c;
    const int64_t x = pixel % c->in_width + c->pad_left;
    const int64_t y = pixel / c->in_width % c->in_height + c->pad_top;
    const int64_t image = pixel / (c->in_width * c->in_height);
    float *restrict dx = c->dx + pixel * c->in_channels;
    int64_t place;
    int64_t i;

    memset(dx, 0, (size_t)c->in_channels * sizeof(float));
    for (place = 0; place < c->kernel_height * c->kernel_width; place++) {
        int64_t out_y = y - place / c->kernel_width;
        int64_t out_x = x - place % c->kernel_width;
        const float *restrict patch;

        if (out_y < 0 || out_x < 0 || out_y % c->stride != 0 ||
            out_x % c->stride != 0 || out_y / c->stride >= c->out_height ||
            out_x / c->stride >= c->out_width)
            continue;
        patch = work->scratch +
                ((image * c->out_height + out_y / c->stride) * c->out_width +
                 out_x / c->stride) *
                    work->patch +
                place * c->in_channels;
        for (i = 0; i < c->in_channels; i++)
            dx[i] += patch[i];
    }
}

static void collect_row(void *argument, int64_t index, int worker)
{
    const struct conv_work *work = argument;
    int64_t x;

    (void)worker;
    for (x = 0; x < work->c->in_width; x++)
        collect_pixel(work, index * work->c->in_width + x);
}

static int data_by_patches(const dreambooth_kernel_host *host,
                           struct conv_work *work)
{
    const dreambooth_conv2d *c = work->c;
    dreambooth_gemm product = {
        .batch = 1,
        .m = work->pixels,
        .n = work->patch,
        .k = c->out_channels,
        .alpha = 1.0f,
        .a = c->dy,
        .lda = c->out_channels,
        .b = c->weight,
        .ldb = work->patch,
        .ldc = work->patch,
    };
    int status;

    work->scratch = host->scratch_new(
        host, (size_t)(work->pixels * work->patch) * sizeof(float));
    if (work->scratch == NULL)
        return DREAMBOOTH_ENOMEM;
    product.c = work->scratch;
    status = db_blas_gemm(host, &product);
    if (status == DREAMBOOTH_OK)
        host->parallel(host, c->batch * c->in_height, collect_row, work);
    host->scratch_free(host, work->scratch);
    return status;
}

static int pointwise_data(const dreambooth_kernel_host *host,
                          const dreambooth_conv2d *c)
{
    const dreambooth_gemm product = {
        .batch = 1,
        .m = c->batch * c->out_height * c->out_width,
        .n = c->in_channels,
        .k = c->out_channels,
        .alpha = 1.0f,
        .a = c->dy,
        .lda = c->out_channels,
        .b = c->weight,
        .ldb = c->in_channels,
        .c = c->dx,
        .ldc = c->in_channels,
    };

    return db_blas_gemm(host, &product);
}

static int data_of_class(const dreambooth_kernel_host *host,
                         struct conv_work *work)
{
    const dreambooth_conv2d *c = work->c;
    int64_t places;

    work->class_height =
        db_blas_pieces(c->in_height - work->class_y, c->stride);
    work->class_width = db_blas_pieces(c->in_width - work->class_x, c->stride);
    if (work->class_height < 1 || work->class_width < 1)
        return DREAMBOOTH_OK;
    places = db_blas_pieces(c->kernel_height, c->stride) *
             db_blas_pieces(c->kernel_width, c->stride);
    work->tiles =
        db_blas_divide(c->batch * work->class_height * work->class_width,
                       c->in_channels, places * c->out_channels, MAX_ROWS);
    return run_with_scratch(
        host, work, work->tiles.count_m * work->tiles.count_n,
        work->tiles.tile_m * (work->tiles.tile_n + c->out_channels), data_tile);
}

int db_blas_conv2d_backward_data(const dreambooth_kernel_host *host,
                                 const dreambooth_conv2d *a)
{
    struct conv_work work;
    int status = DREAMBOOTH_OK;

    init_work(&work, a);
    if (!db_blas_fits(work.patch) || !db_blas_fits(a->out_channels))
        return db_backend_reference.conv2d_backward_data(host, a);
    if (is_pointwise(a))
        return pointwise_data(host, a);
    if (work.pixels * work.patch <= MAX_PATCHES)
        return data_by_patches(host, &work);
    for (work.class_y = 0; work.class_y < a->stride; work.class_y++)
        for (work.class_x = 0;
             work.class_x < a->stride && status == DREAMBOOTH_OK;
             work.class_x++)
            status = data_of_class(host, &work);
    return status;
}

static void weight_tile(void *argument, int64_t index, int worker)
{
    const struct conv_work *work = argument;
    const dreambooth_conv2d *c = work->c;
    const int64_t channel = index / work->tiles.count_n * work->tiles.tile_m;
    const int64_t first = index % work->tiles.count_n * work->tiles.tile_n;
    const int64_t channels =
        db_blas_smaller(work->tiles.tile_m, c->out_channels - channel);
    const int64_t width =
        db_blas_smaller(work->tiles.tile_n, work->patch - first);
    float *patches = work->scratch + worker * work->scratch_step;
    int64_t pixel;

    for (pixel = 0; pixel < work->pixels; pixel += BLOCK_ROWS) {
        int64_t rows = db_blas_smaller(BLOCK_ROWS, work->pixels - pixel);

        db_blas_lay_patches(c, pixel, rows, first, width, patches);
        db_blas_sgemm(1, 0, channels, width, rows, 1.0f,
                      c->dy + pixel * c->out_channels + channel,
                      c->out_channels, patches, width,
                      pixel == 0 ? work->beta : 1.0f,
                      c->dweight + channel * work->patch + first, work->patch);
    }
}

static int add_weight(const dreambooth_kernel_host *host,
                      const dreambooth_conv2d *c)
{
    struct conv_work work;

    init_work(&work, c);
    work.beta = host->overwrite ? 0.0f : 1.0f;
    work.tiles = db_blas_divide(c->out_channels, work.patch, work.pixels,
                                c->out_channels);
    while (work.tiles.tile_n > 2 * BLOCK_COLUMNS)
        work.tiles.tile_n = (work.tiles.tile_n / 2 + 15) / 16 * 16;
    work.tiles.count_n = db_blas_pieces(work.patch, work.tiles.tile_n);
    return run_with_scratch(
        host, &work, work.tiles.count_m * work.tiles.count_n,
        work.tiles.tile_n * db_blas_smaller(BLOCK_ROWS, work.pixels),
        weight_tile);
}

static int pointwise_weight(const dreambooth_kernel_host *host,
                            const dreambooth_conv2d *c)
{
    const dreambooth_gemm product = {
        .batch = 1,
        .m = c->out_channels,
        .n = c->in_channels,
        .k = c->batch * c->out_height * c->out_width,
        .transpose_a = 1,
        .alpha = 1.0f,
        .beta = host->overwrite ? 0.0f : 1.0f,
        .a = c->dy,
        .lda = c->out_channels,
        .b = c->x,
        .ldb = c->in_channels,
        .c = c->dweight,
        .ldc = c->in_channels,
    };

    return db_blas_gemm(host, &product);
}

int db_blas_conv2d_backward_weight(const dreambooth_kernel_host *host,
                                   const dreambooth_conv2d *a)
{
    const dreambooth_rows rows = {
        .batch = 1,
        .rows = a->batch * a->out_height * a->out_width,
        .columns = a->out_channels,
        .x = a->dy,
        .sum = a->dbias,
    };
    int status;

    if (!db_blas_fits(a->kernel_height * a->kernel_width * a->in_channels) ||
        !db_blas_fits(a->out_channels))
        return db_backend_reference.conv2d_backward_weight(host, a);
    status = is_pointwise(a) ? pointwise_weight(host, a) : add_weight(host, a);
    if (status != DREAMBOOTH_OK || a->dbias == NULL)
        return status;
    return db_blas_sum_rows(host, &rows);
}

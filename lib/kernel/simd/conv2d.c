/* SPDX-License-Identifier: MIT */
/*
 * 2-d convolution as a product whose operands are packed straight from images
 * and weights:
 *     forward          y [pixels, out] = patches of x, times weight^T
 *     backward_data    dx [pixels, in] = patches of dy, times the weight with
 *                      its places in reverse order: a convolution as well
 *     backward_weight  dweight [out, patch] += dy^T times patches of x
 * Where there are fewer pixels than channels, forward is made turned round,
 * with the weight as A, which then needs no packing.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/device.h"
#include "kernel/expand.h"
#include "kernel/simd/simd_int.h"

static int64_t pixels_of(const dreambooth_conv2d *c)
{
    return c->batch * c->out_height * c->out_width;
}

static bool is_pointwise(const dreambooth_conv2d *c)
{
    return c->kernel_height * c->kernel_width == 1 && c->stride == 1 &&
           c->out_height == c->in_height && c->out_width == c->in_width;
}

/* Rows of A are patches. */
static void lay_patch_rows(const struct db_simd_product *p, int64_t row,
                           int64_t count, int64_t first, int64_t width,
                           float *buffer, struct db_simd_rows *out)
{
    const dreambooth_conv2d *c =
        &((const struct db_simd_convolution *)p->source)->c;

    if (is_pointwise(c)) {
        *out = (struct db_simd_rows){c->x + row * c->in_channels + first,
                                     c->in_channels};
        return;
    }
    db_blas_lay_patches(c, row, count, first, width, buffer);
    *out = (struct db_simd_rows){buffer, width};
}

/* Columns of B are patches. */
static void pack_patch_columns(const struct db_simd_product *p, int64_t column,
                               int64_t count, int64_t first, int64_t width,
                               float *buffer, float *panel)
{
    const dreambooth_conv2d *c =
        &((const struct db_simd_convolution *)p->source)->c;

    db_blas_lay_patches(c, column, count, first, width, buffer);
    p->isa->turn((int)count, width, buffer, width, 1.0f, panel);
}

/* Columns of B are output channels, along their weights. backward_data's k
 * counts places from the last, and channels of dy; its output channels are
 * neighbours. */
static void pack_weights(const struct db_simd_product *p, int64_t column,
                         int64_t count, int64_t first, int64_t width,
                         float *buffer, float *panel)
{
    const struct db_simd_convolution *s = p->source;
    const int64_t inner = s->c.in_channels;
    int64_t k;

    (void)buffer;
    if (!s->reversed) {
        p->isa->turn((int)count, width,
                     s->weight + column * s->weight_row + first, s->weight_row,
                     1.0f, panel);
        return;
    }
    for (k = first; k < first + width; k++, panel += p->isa->columns) {
        memcpy(panel,
               s->weight + k % inner * s->weight_row +
                   (s->places - 1 - k / inner) * s->c.out_channels + column,
               (size_t)count * sizeof(*panel));
        memset(panel + count, 0,
               (size_t)(p->isa->columns - count) * sizeof(*panel));
    }
}

static void lay_weights(const struct db_simd_product *p, int64_t row,
                        int64_t count, int64_t first, int64_t width,
                        float *buffer, struct db_simd_rows *out)
{
    const struct db_simd_convolution *s = p->source;

    (void)count;
    (void)width;
    (void)buffer;
    *out = (struct db_simd_rows){s->weight + row * s->weight_row + first,
                                 s->weight_row};
}

/* y^T by way of memory, then turned. */
static int convolve_turned(const dreambooth_kernel_host *host,
                           struct db_simd_product *p,
                           const dreambooth_conv2d *c)
{
    int status;

    p->m = c->out_channels;
    p->n = pixels_of(c);
    p->lay = lay_weights;
    p->pack = pack_patch_columns;
    p->c_row = p->n;
    p->c = host->scratch_new(host, (size_t)(p->m * p->n) * sizeof(float));
    if (p->c == NULL)
        return DREAMBOOTH_ENOMEM;
    status = db_simd_multiply(host, p);
    if (status == DREAMBOOTH_OK)
        db_simd_transpose(host, p->c, p->m, p->n, c->bias, c->y,
                          c->out_channels);
    host->scratch_free(host, p->c);
    return status;
}

static int convolve(const dreambooth_kernel_host *host,
                    const struct db_simd_convolution *source)
{
    const dreambooth_conv2d *c = &source->c;
    struct db_simd_product p = {.isa = db_simd_isa_of(host),
                                .m = pixels_of(c),
                                .n = c->out_channels,
                                .k = source->patch,
                                .lay = lay_patch_rows,
                                .pack = pack_weights,
                                .source = source,
                                .c = c->y,
                                .c_row = c->out_channels,
                                .bias = c->bias};

    if (db_simd_winograd_pays(host, source))
        return db_simd_winograd(host, source);
    if (p.m >= p.n)
        return db_simd_multiply(host, &p);
    p.bias = NULL;
    return convolve_turned(host, &p, c);
}

static int forward(const dreambooth_kernel_host *host,
                   const dreambooth_conv2d *a)
{
    const int64_t places = a->kernel_height * a->kernel_width;
    const struct db_simd_convolution source = {.c = *a,
                                               .places = places,
                                               .patch = places * a->in_channels,
                                               .weight = a->weight,
                                               .bf16 = a->weight_bf16,
                                               .weight_row =
                                                   places * a->in_channels};

    if (a->weight_bf16 != NULL && !db_simd_winograd_pays(host, &source))
        return db_expand_conv2d(host, a, forward);
    return convolve(host, &source);
}

static int backward_data(const dreambooth_kernel_host *host,
                         const dreambooth_conv2d *a)
{
    const int64_t places = a->kernel_height * a->kernel_width;
    const struct db_simd_convolution source = {
        .c = {.batch = a->batch,
              .in_height = a->out_height,
              .in_width = a->out_width,
              .in_channels = a->out_channels,
              .out_height = a->in_height,
              .out_width = a->in_width,
              .out_channels = a->in_channels,
              .kernel_height = a->kernel_height,
              .kernel_width = a->kernel_width,
              .stride = 1,
              .pad_top = a->kernel_height - 1 - a->pad_top,
              .pad_left = a->kernel_width - 1 - a->pad_left,
              .x = a->dy,
              .y = a->dx},
        .places = places,
        .patch = places * a->out_channels,
        .weight = a->weight,
        .bf16 = a->weight_bf16,
        .weight_row = places * a->in_channels,
        .reversed = true};
    const bool pays = a->stride == 1 && db_simd_winograd_pays(host, &source);

    if (a->weight_bf16 != NULL && !pays)
        return db_expand_conv2d(host, a, backward_data);
    if (a->stride != 1 ||
        (pixels_of(&source.c) < source.c.out_channels && !pays))
        return db_blas_conv2d_backward_data(host, a);
    return convolve(host, &source);
}

/* Rows of A are channels of dy, along pixels. */
static void lay_channels(const struct db_simd_product *p, int64_t row,
                         int64_t count, int64_t first, int64_t width,
                         float *buffer, struct db_simd_rows *out)
{
    const dreambooth_conv2d *c = p->source;

    db_simd_lay_across(p, c->dy + first * c->out_channels + row,
                       c->out_channels, count, width, buffer, out);
}

/*
 * COUNT channels of x from CHANNEL on, as the pixels of y in [first, first +
 * width) see them at one place of the kernel, and zeros up to ROOM behind them,
 * into rows STEP floats apart.
 */
static void copy_place(const dreambooth_conv2d *c, int64_t place,
                       int64_t channel, int64_t count, int64_t first,
                       int64_t width, float *to, int64_t room, int64_t step)
{
    const int64_t ky = place / c->kernel_width - c->pad_top;
    const int64_t kx = place % c->kernel_width - c->pad_left;
    int64_t x = first % c->out_width;
    int64_t y = first / c->out_width % c->out_height;
    const float *image = c->x + first / (c->out_width * c->out_height) *
                                    c->in_height * c->in_width * c->in_channels;

    for (; width > 0; width--, to += step) {
        const int64_t from_y = y * c->stride + ky, from_x = x * c->stride + kx;
        const bool inside = from_y >= 0 && from_y < c->in_height &&
                            from_x >= 0 && from_x < c->in_width;

        if (inside)
            memcpy(to,
                   image + (from_y * c->in_width + from_x) * c->in_channels +
                       channel,
                   (size_t)count * sizeof(*to));
        if (room > count || !inside)
            memset(inside ? to + count : to, 0,
                   (size_t)(inside ? room - count : room) * sizeof(*to));
        if (++x < c->out_width)
            continue;
        x = 0;
        if (++y < c->out_height)
            continue;
        y = 0;
        image += c->in_height * c->in_width * c->in_channels;
    }
}

/* Columns of B are values of patches, along pixels. */
static void pack_patch_values(const struct db_simd_product *p, int64_t column,
                              int64_t count, int64_t first, int64_t width,
                              float *buffer, float *panel)
{
    const dreambooth_conv2d *c = p->source;
    int64_t done, some;

    (void)buffer;
    for (done = 0; done < count; done += some) {
        const int64_t channel = (column + done) % c->in_channels;

        some = db_blas_smaller(count - done, c->in_channels - channel);
        copy_place(c, (column + done) / c->in_channels, channel, some, first,
                   width, panel + done, p->isa->columns - done,
                   p->isa->columns);
    }
}

static int backward_weight(const dreambooth_kernel_host *host,
                           const dreambooth_conv2d *a)
{
    const int64_t patch = a->kernel_height * a->kernel_width * a->in_channels;
    const int64_t step = db_simd_step(a->out_channels, patch);
    const struct db_simd_product p = {.isa = db_simd_isa_of(host),
                                      .m = a->out_channels,
                                      .n = patch,
                                      .k = pixels_of(a),
                                      .lay = lay_channels,
                                      .pack = pack_patch_values,
                                      .step = step,
                                      .copies = step == 0,
                                      .source = a,
                                      .c = a->dweight,
                                      .c_row = patch,
                                      .beta = host->overwrite ? 0.0f : 1.0f};
    const dreambooth_rows rows = {
        .batch = 1,
        .rows = p.k,
        .columns = a->out_channels,
        .x = a->dy,
        .sum = a->dbias,
    };
    int status = db_simd_winograd_weight_pays(host, a)
                     ? db_simd_winograd_weight(host, a)
                     : db_simd_multiply(host, &p);

    if (status != DREAMBOOTH_OK || a->dbias == NULL)
        return status;
    return db_blas_sum_rows(host, &rows);
}

/* Tiles want padding that is less than the kernel, which all models have. */
static const struct db_bf16_isa *tiles_for(const dreambooth_kernel_host *host,
                                           const dreambooth_conv2d *a,
                                           int *parts)
{
    const bool is_usual =
        a->pad_top < a->kernel_height && a->pad_bottom < a->kernel_height &&
        a->pad_left < a->kernel_width && a->pad_right < a->kernel_width;

    const double work = (double)pixels_of(a) * (double)a->out_channels *
                        (double)(a->kernel_height * a->kernel_width) *
                        (double)a->in_channels;

    return is_usual
               ? db_simd_tiles_of(host, work >= DB_SIMD_LARGE_CONV2D, parts)
               : NULL;
}

/* For y or dx: those of them that are faster than Winograd's way with floats,
 * too. */
static const struct db_bf16_isa *tiles_for_pixels(
    const dreambooth_kernel_host *host, const dreambooth_conv2d *a, int *parts)
{
    const struct db_bf16_isa *tiles = tiles_for(host, a, parts);
    const struct db_simd_convolution convolution = {.c = *a};

    return tiles != NULL && db_simd_winograd_squares(a) > tiles->most_squares &&
                   db_simd_winograd_pays(host, &convolution)
               ? NULL
               : tiles;
}

/* Rows [first, first + count) of y of image B, and the rows of x that they
 * see. */
static dreambooth_conv2d band_of(const dreambooth_conv2d *a, int64_t b,
                                 int64_t first, int64_t count)
{
    const int64_t begin = first * a->stride - a->pad_top;
    const int64_t end = begin + (count - 1) * a->stride + a->kernel_height;
    const int64_t top = db_blas_larger(begin, 0);
    const int64_t row = a->in_width * a->in_channels;
    dreambooth_conv2d band = *a;

    band.batch = 1;
    band.pad_top = top - begin;
    band.pad_bottom = db_blas_larger(end - a->in_height, 0);
    band.in_height = end - band.pad_bottom - top;
    band.out_height = count;
    band.x += (b * a->in_height + top) * row;
    band.y += (b * a->out_height + first) * a->out_width * a->out_channels;
    return band;
}

/* Of an image that is laid out for tiles at a time: at full size a second one
 * of those would be most of what a VAE needs. */
#define BAND_BYTES ((int64_t)32 << 20)

static int forward_in_bands(const dreambooth_kernel_host *host,
                            const struct db_bf16_isa *tiles, int parts,
                            const dreambooth_conv2d *a)
{
    const int64_t bytes = a->stride * a->in_width * parts * DB_BF16_LINE *
                          db_blas_pieces(a->in_channels, DB_BF16_STEP);
    const int64_t rows = db_blas_larger(BAND_BYTES / bytes, 1);
    int status = DREAMBOOTH_OK;
    int64_t b, first;

    if (a->batch * a->out_height <= 2 * rows)
        return db_bf16_conv2d_forward(host, tiles, parts, a);
    for (b = 0; b < a->batch; b++)
        for (first = 0; first < a->out_height && status == DREAMBOOTH_OK;
             first += rows) {
            const dreambooth_conv2d band = band_of(
                a, b, first, db_blas_smaller(rows, a->out_height - first));

            status = db_bf16_conv2d_forward(host, tiles, parts, &band);
        }
    return status;
}

int db_simd_conv2d_forward(const dreambooth_kernel_host *host,
                           const dreambooth_conv2d *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_for_pixels(host, a, &parts);

    if (tiles != NULL)
        return forward_in_bands(host, tiles, parts, a);
    if (!db_simd_is_blas(host) && db_simd_has_few_channels(a))
        return db_simd_few_channels(host, a);
    return db_simd_is_blas(host)
               ? db_expand_conv2d(host, a, db_blas_conv2d_forward)
               : forward(host, a);
}

int db_simd_conv2d_backward_data(const dreambooth_kernel_host *host,
                                 const dreambooth_conv2d *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_for_pixels(host, a, &parts);

    if (tiles != NULL)
        return db_bf16_conv2d_backward_data(host, tiles, parts, a);
    return db_simd_is_blas(host)
               ? db_expand_conv2d(host, a, db_blas_conv2d_backward_data)
               : backward_data(host, a);
}

int db_simd_conv2d_backward_weight(const dreambooth_kernel_host *host,
                                   const dreambooth_conv2d *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_for(host, a, &parts);

    if (tiles != NULL)
        return db_bf16_conv2d_backward_weight(host, tiles, parts, a);
    return db_simd_is_blas(host) ? db_blas_conv2d_backward_weight(host, a)
                                 : backward_weight(host, a);
}

/* SPDX-License-Identifier: MIT */
/*
 * 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) (Lavin and Gray,
 * "Fast Algorithms for Convolutional Neural Networks", 2016): y is made in
 * squares of 4x4 pixels, each from 6x6 of x,
 *     Y = A^T [ (G g G^T) * (B^T d B) ] A
 * with 36 multiplications a pair of channels where there were 144. Over all
 * squares and channels the products are 36 matrix products. The interpolation
 * points are 0, 1, -1, 1/2, -2 and infinity, which round less than the usual
 * ones.
 *
 * Squares are taken some hundreds at a time, so that what is between the
 * transforms stays in the cache.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/device.h"
#include "kernel/simd/simd_int.h"

#define SQUARES 256      /* at a time */
#define LEAST_SQUARES 48 /* fewer do not pay for the weights' transform */
#define LEAST_CHANNELS 32
#define K_STEP 16 /* channels of the weights' transform that are one task */

struct work {
    const struct db_simd_convolution *s;
    const struct db_simd_isa *isa;
    int64_t squares_y, squares_x; /* of an image */
    int64_t first, squares;       /* those at work */
    int64_t panels;               /* of output channels */
    float *u;                     /* [36][panels][in, columns] */
    float *v;                     /* [36][squares, in] */
    float *m;                     /* [36][squares, panels columns] */
    float *zeros;                 /* [in] */
    float *taps;                  /* a worker's [9][K_STEP, columns] */
};

bool db_simd_winograd_pays(const dreambooth_kernel_host *host,
                           const struct db_simd_convolution *convolution)
{
    const struct db_simd_isa *isa = db_simd_isa_of(host);
    const dreambooth_conv2d *c = &convolution->c;

    return host->precision != DREAMBOOTH_EXACT && c->kernel_height == 3 &&
           c->kernel_width == 3 && c->stride == 1 &&
           c->in_channels >= LEAST_CHANNELS &&
           c->out_channels >= LEAST_CHANNELS &&
           c->in_channels % isa->lanes == 0 &&
           c->out_channels % isa->lanes == 0 &&
           c->batch * db_blas_pieces(c->out_height, 4) *
                   db_blas_pieces(c->out_width, 4) >=
               LEAST_SQUARES;
}

/* Weights of COUNT <= columns output channels from CHANNEL on, for WIDTH input
 * channels from K on: taps [9][width, columns], zeros behind COUNT. */
static void gather_taps(const struct work *work, int64_t channel, int64_t count,
                        int64_t k, int64_t width, float *taps)
{
    const struct db_simd_convolution *s = work->s;
    const int64_t columns = work->isa->columns;
    int64_t place, i;

    for (place = 0; place < 9; place++) {
        float *to = taps + place * K_STEP * columns;

        if (!s->reversed) {
            work->isa->turn((int)count, width,
                            s->weight + channel * s->weight_row +
                                place * s->c.in_channels + k,
                            s->weight_row, 1.0f, to);
            continue;
        }
        for (i = 0; i < width; i++, to += columns) {
            memcpy(to,
                   s->weight + (k + i) * s->weight_row +
                       (8 - place) * s->c.out_channels + channel,
                   (size_t)count * sizeof(*to));
            memset(to + count, 0, (size_t)(columns - count) * sizeof(*to));
        }
    }
}

static void transform_weights(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const int64_t in = work->s->c.in_channels, columns = work->isa->columns;
    const int64_t panel = index % work->panels;
    const int64_t k = index / work->panels * K_STEP;
    const int64_t width = db_blas_smaller(K_STEP, in - k);
    float *taps = work->taps + worker * 9 * K_STEP * columns;
    int64_t i;

    gather_taps(
        work, panel * columns,
        db_blas_smaller(columns, work->s->c.out_channels - panel * columns), k,
        width, taps);
    for (i = 0; i < width; i++)
        work->isa->winograd_weight(columns, taps + i * columns,
                                   K_STEP * columns,
                                   work->u + (panel * in + k + i) * columns,
                                   work->panels * in * columns);
}

/* Where a square lies: its image, and its first pixel of y. */
struct place {
    int64_t image, y, x;
};

static struct place place_of(const struct work *work, int64_t square)
{
    const int64_t each = work->squares_y * work->squares_x;

    return (struct place){square / each, square % each / work->squares_x * 4,
                          square % work->squares_x * 4};
}

static void transform_input(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_conv2d *c = &work->s->c;
    const struct place at = place_of(work, work->first + index);
    const float *pixels[36];
    int i;

    (void)worker;
    for (i = 0; i < 36; i++) {
        int64_t y = at.y + i / 6 - c->pad_top, x = at.x + i % 6 - c->pad_left;
        bool inside = y >= 0 && y < c->in_height && x >= 0 && x < c->in_width;

        pixels[i] =
            !inside ? work->zeros
                    : c->x + ((at.image * c->in_height + y) * c->in_width + x) *
                                 c->in_channels;
    }
    work->isa->winograd_input(c->in_channels, pixels,
                              work->v + index * c->in_channels,
                              work->squares * c->in_channels);
}

static void transform_output(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_conv2d *c = &work->s->c;
    const int64_t row = work->panels * work->isa->columns;
    const struct place at = place_of(work, work->first + index);
    float *pixels[16];
    int i;

    (void)worker;
    for (i = 0; i < 16; i++) {
        int64_t y = at.y + i / 4, x = at.x + i % 4;

        pixels[i] =
            y >= c->out_height || x >= c->out_width
                ? NULL
                : c->y + ((at.image * c->out_height + y) * c->out_width + x) *
                             c->out_channels;
    }
    work->isa->winograd_output(c->out_channels, work->m + index * row,
                               work->squares * row, c->bias, pixels);
}

/* One of the 36 products. */
static void multiply(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_simd_isa *isa = work->isa;
    const int64_t in = work->s->c.in_channels;
    const int64_t row = work->panels * isa->columns;
    const float *v = work->v + index * work->squares * in;
    float *m = work->m + index * work->squares * row;
    int64_t k, panel, r;

    (void)worker;
    memset(m, 0, (size_t)(work->squares * row) * sizeof(*m));
    for (k = 0; k < in; k += DB_SIMD_MOST_K)
        for (panel = 0; panel < work->panels; panel++)
            for (r = 0; r < work->squares; r += isa->rows)
                isa->tile((int)db_blas_smaller(isa->rows, work->squares - r),
                          db_blas_smaller(DB_SIMD_MOST_K, in - k),
                          v + r * in + k, in,
                          work->u + ((index * work->panels + panel) * in + k) *
                                        isa->columns,
                          m + r * row + panel * isa->columns, row);
}

static void run_all(const dreambooth_kernel_host *host, struct work *work,
                    int64_t squares)
{
    host->parallel(
        host, work->panels * db_blas_pieces(work->s->c.in_channels, K_STEP),
        transform_weights, work);
    for (work->first = 0; work->first < squares; work->first += SQUARES) {
        work->squares = db_blas_smaller(SQUARES, squares - work->first);
        host->parallel(host, work->squares, transform_input, work);
        host->parallel(host, 36, multiply, work);
        host->parallel(host, work->squares, transform_output, work);
    }
}

int db_simd_winograd(const dreambooth_kernel_host *host,
                     const struct db_simd_convolution *convolution)
{
    const dreambooth_conv2d *c = &convolution->c;
    struct work work = {.s = convolution, .isa = db_simd_isa_of(host)};
    const int64_t in = c->in_channels;
    int64_t all, some, u, v, m, taps;

    work.squares_y = db_blas_pieces(c->out_height, 4);
    work.squares_x = db_blas_pieces(c->out_width, 4);
    work.panels = db_blas_pieces(c->out_channels, work.isa->columns);
    all = c->batch * work.squares_y * work.squares_x;
    some = db_blas_smaller(all, SQUARES);
    u = 36 * work.panels * in * work.isa->columns;
    v = 36 * some * in;
    m = 36 * some * work.panels * work.isa->columns;
    taps = host->threads * 9 * K_STEP * work.isa->columns;
    work.u = host->scratch_new(host,
                               (size_t)(u + v + m + taps + in) * sizeof(float));
    if (work.u == NULL)
        return DREAMBOOTH_ENOMEM;
    work.v = work.u + u;
    work.m = work.v + v;
    work.taps = work.m + m;
    work.zeros = work.taps + taps;
    memset(work.zeros, 0, (size_t)in * sizeof(float));
    run_all(host, &work, all);
    host->scratch_free(host, work.u);
    return DREAMBOOTH_OK;
}

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
 * A task makes a block of squares of some output channels: along one part of
 * the input channels after the other, it transforms its own weights just before
 * it multiplies, so that they, and the sums of all 36 products, stay in the
 * second-level cache. Four times the weights' size never leaves it. The
 * transformed pixels are there once for all tasks. Where there are many
 * squares of few channels it is the other way round: winograd_shared.c.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/device.h"
#include "kernel/simd/winograd_int.h"

#define LEAST_SQUARES 4 /* for dx any: what else there is takes longer */
#define LEAST_CHANNELS 32
#define LEAST_TASKS 8
#define BLOCK 64         /* squares of a task */
#define LARGE_BLOCK 128  /* the same where there are many */
#define MOST_CHANNELS 32 /* of y that a task makes at a time */
#define MOST_OF_DX 64    /* the same where weights lie along them */
#define PART 64          /* channels of x at a time */
#define MOST_PIXELS ((int64_t)8 << 20) /* floats of transformed ones */

struct work {
    const struct db_simd_convolution *s;
    const struct db_simd_isa *isa;
    struct db_winograd_squares there;
    int64_t first, squares;            /* those at work */
    int64_t blocks, block, rows;       /* squares of a block, and of a tile */
    int64_t parts, part;               /* channels of x at a time */
    int64_t panels, groups, group;     /* of output channels; of a task */
    int64_t v_place, u_place, m_place; /* floats from one to the next */
    float *v;                          /* [blocks][parts][36][block, part] */
    float *zeros;                      /* [in] */
    float *own;                        /* a worker's taps, u and m: */
    int64_t own_size; /* [DB_WINOGRAD_TAPS], [36][group][part, columns],
                         [36][group][block, columns] */
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
           db_simd_winograd_squares(c) >=
               (convolution->reversed ? 1 : LEAST_SQUARES) &&
           db_winograd_is_work(c);
}

static void transform_input(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_conv2d *c = &work->s->c;
    float *v = work->v +
               index / work->block * work->parts * 36 * work->v_place +
               index % work->block * work->part;
    const float *pixels[36];
    int64_t k;
    int i;

    (void)worker;
    db_winograd_see(c, &work->there, work->first + index, work->zeros, pixels);
    for (k = 0; k < c->in_channels; k += work->part) {
        const int64_t some = db_blas_smaller(work->part, c->in_channels - k);

        work->isa->winograd_input(some, pixels, v, work->v_place);
        for (i = 0; i < 36; i++)
            pixels[i] += some;
        v += 36 * work->v_place;
    }
}

/* Weights from number AT on; those in bfloat16 are half as many floats. */
static struct db_winograd_next next_rows(const struct db_simd_convolution *s,
                                         int64_t at, int64_t rows,
                                         int64_t place, int64_t width)
{
    const int64_t each = s->bf16 == NULL ? 1 : 2;
    const void *from = s->bf16 == NULL ? (const void *)(s->weight + at)
                                       : (const void *)(s->bf16 + at);

    return (struct db_winograd_next){.at = from,
                                     .rows = rows,
                                     .row = s->weight_row / each,
                                     .place = place / each,
                                     .width = width / each};
}

/* Those that are transformed next. */
static struct db_winograd_next next_weights(const struct work *work,
                                            int64_t panel, int64_t k)
{
    const struct db_simd_convolution *s = work->s;
    const int64_t out = s->c.out_channels, in = s->c.in_channels;
    const int64_t each = work->group * work->isa->columns;
    int64_t channel = panel * work->isa->columns;

    if (k >= in) {
        k = 0;
        channel += each;
    }
    if (channel >= out)
        return (struct db_winograd_next){0};
    if (s->reversed)
        return next_rows(s, k * s->weight_row + channel,
                         db_blas_smaller(work->part, in - k), out,
                         db_blas_smaller(each, out - channel));
    return next_rows(s, channel * s->weight_row + k,
                     db_blas_smaller(each, out - channel), in,
                     db_blas_smaller(work->part, in - k));
}

/* The 36 products of SQUARES and PANELS along WIDTH channels of x, added to m
 * if ADD. */
static void multiply(const struct work *work, int64_t squares, int64_t panels,
                     int64_t width, const float *v, const float *u, float *m,
                     bool add, struct db_winograd_next *next)
{
    const int64_t columns = work->isa->columns;
    const int64_t visits = 36 * panels * db_blas_pieces(squares, work->rows);
    int64_t place, panel, r, visit = 0;

    for (place = 0; place < 36; place++) {
        for (panel = 0; panel < panels; panel++) {
            for (r = 0; r < squares; r += work->rows) {
                db_winograd_fetch(next, ++visit, visits);
                work->isa->winograd_tile(
                    (int)db_blas_smaller(work->rows, squares - r), width,
                    v + r * work->part, work->part,
                    u + panel * work->part * columns,
                    m + (panel * work->block + r) * columns, add, u, 0);
            }
        }
        v += work->v_place;
        u += work->u_place;
        m += work->m_place;
    }
}

/* All parts of k: m = the products of a block of squares at v. */
static void sum_parts(const struct work *work, int64_t first, int64_t panels,
                      int64_t squares, const float *v, float *taps, float *u,
                      float *m)
{
    const int64_t in = work->s->c.in_channels;
    int64_t k, panel, width;
    struct db_winograd_next next;

    for (k = 0; k < in; k += work->part, v += 36 * work->v_place) {
        width = db_blas_smaller(work->part, in - k);
        for (panel = 0; panel < panels; panel++)
            db_winograd_transform_weights(
                work->isa, work->s, first + panel, k, width, taps,
                u + panel * work->part * work->isa->columns, work->u_place);
        next = next_weights(work, first, k + work->part);
        multiply(work, squares, panels, width, v, u, m, k > 0, &next);
    }
}

static void make_block(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const int64_t columns = work->isa->columns;
    const int64_t block = index % work->blocks;
    const int64_t begun = block * work->block;
    const int64_t first = index / work->blocks * work->group;
    const int64_t panels = db_blas_smaller(work->group, work->panels - first);
    const int64_t squares = db_blas_smaller(work->block, work->squares - begun);
    float *taps = work->own + worker * work->own_size;
    float *u = taps + DB_WINOGRAD_TAPS, *m = u + 36 * work->u_place;
    int64_t panel, i;

    sum_parts(work, first, panels, squares,
              work->v + block * work->parts * 36 * work->v_place, taps, u, m);
    for (i = 0; i < squares; i++)
        for (panel = 0; panel < panels; panel++)
            db_winograd_put(work->isa, work->s, &work->there,
                            work->first + begun + i, first + panel,
                            m + (panel * work->block + i) * columns,
                            work->m_place);
}

/* A task's share: smaller where there would be too few. */
static void divide_squares(struct work *work, int64_t squares)
{
    const int64_t columns = work->isa->columns;

    work->panels = db_blas_pieces(work->s->c.out_channels, columns);
    work->group = db_blas_smaller(
        work->panels,
        (work->s->reversed ? MOST_OF_DX : MOST_CHANNELS) / columns);
    work->blocks = db_blas_pieces(
        squares, squares < 2 * LARGE_BLOCK ? BLOCK : LARGE_BLOCK);
    if (work->blocks * db_blas_pieces(work->panels, work->group) < LEAST_TASKS)
        work->group = db_blas_pieces(work->group, 2);
    work->groups = db_blas_pieces(work->panels, work->group);
    while (work->blocks * work->groups < LEAST_TASKS &&
           squares >= work->blocks * BLOCK / 2)
        work->blocks *= 2;
    work->block = db_blas_pieces(squares, work->blocks);
    work->blocks = db_blas_pieces(squares, work->block);
    work->rows = db_blas_pieces(work->block,
                                db_blas_pieces(work->block, work->isa->rows));
}

static void divide(struct work *work)
{
    const dreambooth_conv2d *c = &work->s->c;
    const int64_t lanes = work->isa->lanes, columns = work->isa->columns;

    work->there = db_winograd_squares(c);
    divide_squares(work, work->there.all);
    work->parts = db_blas_pieces(c->in_channels, PART);
    work->part = db_blas_pieces(c->in_channels, work->parts * lanes) * lanes;
    work->parts = db_blas_pieces(c->in_channels, work->part);
    work->v_place = work->block * work->part + DB_WINOGRAD_LINE;
    work->u_place = work->group * work->part * columns + DB_WINOGRAD_LINE;
    work->m_place = work->group * work->block * columns + DB_WINOGRAD_LINE;
    work->own_size = DB_WINOGRAD_TAPS + 36 * (work->u_place + work->m_place);
}

int db_simd_winograd(const dreambooth_kernel_host *host,
                     const struct db_simd_convolution *convolution)
{
    const dreambooth_conv2d *c = &convolution->c;
    struct work work = {.s = convolution, .isa = db_simd_isa_of(host)};
    int64_t each, some, own;

    if (db_winograd_shares_weights(c))
        return db_winograd_share_weights(host, convolution);
    divide(&work);
    each = work.parts * 36 * work.v_place;
    some = db_blas_smaller(work.blocks, db_blas_larger(MOST_PIXELS / each, 1));
    own = host->threads * work.own_size;
    work.v = host->scratch_new(
        host, (size_t)(some * each + own + c->in_channels) * sizeof(float));
    if (work.v == NULL)
        return DREAMBOOTH_ENOMEM;
    work.own = work.v + some * each;
    work.zeros = work.own + own;
    memset(work.zeros, 0, (size_t)c->in_channels * sizeof(float));
    for (; work.first < work.there.all; work.first += some * work.block) {
        work.squares =
            db_blas_smaller(some * work.block, work.there.all - work.first);
        work.blocks = db_blas_pieces(work.squares, work.block);
        host->parallel(host, work.squares, transform_input, &work);
        host->parallel(host, work.blocks * work.groups, make_block, &work);
    }
    host->scratch_free(host, work.v);
    return DREAMBOOTH_OK;
}

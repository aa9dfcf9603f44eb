/* SPDX-License-Identifier: MIT */
/*
 * The gradient of the weight of a 3x3 convolution of stride 1, by Winograd's
 * way turned round (see winograd.c): where Y = A^T [(G g G^T) * (B^T d B)] A,
 *     dg = G^T [ sum over squares of (A dY A^T) * (B^T d B) ] G
 * again with 36 multiplications a pair of channels for 144. Over all squares
 * they are 36 matrix products along squares.
 *
 * Squares of x and of dy are transformed once; a task keeps the sums of all 36
 * products of its channels in the second-level cache.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/simd/winograd_int.h"

#define LEAST_SQUARES 8
#define LEAST_CHANNELS 32
#define LEAST_TASKS 4
#define LEAST_OUT 16                   /* channels of dy of a task */
#define MOST_CHANNELS 64               /* of dy, and of x, that a task takes */
#define PART 64                        /* squares at a time */
#define MOST_PIXELS ((int64_t)8 << 20) /* floats of transformed ones */

struct work {
    const dreambooth_conv2d *c;
    const struct db_simd_isa *isa;
    bool add; /* to dweight */
    struct db_winograd_squares there;
    int64_t first, squares;            /* those at work */
    int64_t parts, part;               /* of them along k */
    int64_t panels, groups, group;     /* of channels of x; of a task */
    int64_t blocks, block, rows;       /* channels of dy: a task, a tile */
    int64_t x_place, y_place, m_place; /* floats from one to the next */
    float *x;                          /* [parts][panels][36][part, columns] */
    float *y;                          /* [parts][blocks][36][part, block] */
    float *zeros;                      /* [the larger of in and out] */
    float *own;                        /* a worker's m: */
    int64_t own_size;                  /* [36][group][block, columns] */
};

bool db_simd_winograd_weight_pays(const dreambooth_kernel_host *host,
                                  const dreambooth_conv2d *c)
{
    const struct db_simd_isa *isa = db_simd_isa_of(host);

    return host->precision != DREAMBOOTH_EXACT && c->kernel_height == 3 &&
           c->kernel_width == 3 && c->stride == 1 &&
           c->in_channels >= LEAST_CHANNELS &&
           c->out_channels >= LEAST_CHANNELS &&
           c->in_channels % isa->lanes == 0 &&
           c->out_channels % isa->lanes == 0 &&
           db_simd_winograd_squares(c) >= LEAST_SQUARES &&
           db_winograd_is_work(c);
}

static void transform_x(const struct work *work, int64_t square)
{
    const int64_t columns = work->isa->columns, in = work->c->in_channels;
    float *x = work->x +
               square / work->part * work->panels * 36 * work->x_place +
               square % work->part * columns;
    const float *pixels[36];
    int64_t first;
    int i;

    db_winograd_see(work->c, &work->there, work->first + square, work->zeros,
                    pixels);
    for (first = 0; first < in; first += columns, x += 36 * work->x_place) {
        const int64_t count = db_blas_smaller(columns, in - first);

        work->isa->winograd_input(count, pixels, x, work->x_place);
        for (i = 0; i < 36; i++)
            pixels[i] = count < columns ? work->zeros : pixels[i] + count;
        if (count < columns)
            work->isa->winograd_input(columns - count, pixels, x + count,
                                      work->x_place);
    }
}

static void transform_y(const struct work *work, int64_t square)
{
    const int64_t out = work->c->out_channels;
    float *y = work->y +
               square / work->part * work->blocks * 36 * work->y_place +
               square % work->part * work->block;
    const float *pixels[16];
    int64_t offsets[16], first;
    int i;

    db_winograd_find(work->c, &work->there, work->first + square, offsets);
    for (first = 0; first < out; first += work->block) {
        for (i = 0; i < 16; i++)
            pixels[i] =
                offsets[i] < 0 ? work->zeros : work->c->dy + offsets[i] + first;
        work->isa->winograd_gradient(db_blas_smaller(work->block, out - first),
                                     pixels, y, work->y_place);
        y += 36 * work->y_place;
    }
}

static void transform_square(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;

    (void)worker;
    transform_x(work, index);
    transform_y(work, index);
}

/* The 36 products of COUNT channels of dy and PANELS of x along SQUARES, added
 * to m if ADD. */
static void multiply(const struct work *work, int64_t count, int64_t panels,
                     int64_t squares, const float *x, const float *y, float *m,
                     bool add, struct db_winograd_next *next)
{
    const int64_t columns = work->isa->columns;
    int64_t place, panel, r;

    for (place = 0; place < 36; place++)
        for (panel = 0; panel < panels; panel++) {
            db_winograd_fetch(next, place * panels + panel + 1, 36 * panels);
            for (r = 0; r < count; r += work->rows)
                work->isa->winograd_turned_tile(
                    (int)db_blas_smaller(work->rows, count - r), squares,
                    y + place * work->y_place + r, work->block,
                    x + (panel * 36 + place) * work->x_place,
                    m + place * work->m_place +
                        (panel * work->block + r) * columns,
                    add);
        }
}

static void make_block(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_conv2d *c = work->c;
    const int64_t columns = work->isa->columns;
    const int64_t block = index % work->blocks, out = block * work->block;
    const int64_t first = index / work->blocks * work->group;
    const int64_t panels = db_blas_smaller(work->group, work->panels - first);
    const int64_t count = db_blas_smaller(work->block, c->out_channels - out);
    float *m = work->own + worker * work->own_size;
    struct db_winograd_next next = {
        .at = c->dweight + out * 9 * c->in_channels + first * columns,
        .rows = count,
        .row = 9 * c->in_channels,
        .place = c->in_channels,
        .width = db_blas_smaller(panels * columns,
                                 c->in_channels - first * columns)};
    int64_t part, panel, r;

    for (part = 0; part < work->parts; part++)
        multiply(work, count, panels,
                 db_blas_smaller(work->part, work->squares - part * work->part),
                 work->x + (part * work->panels + first) * 36 * work->x_place,
                 work->y + (part * work->blocks + block) * 36 * work->y_place,
                 m, part > 0, &next);
    for (r = 0; r < count; r++)
        for (panel = 0; panel < panels; panel++) {
            const int64_t in = (first + panel) * columns;

            work->isa->winograd_weight_gradient(
                db_blas_smaller(columns, c->in_channels - in),
                m + (panel * work->block + r) * columns, work->m_place,
                c->dweight + (out + r) * 9 * c->in_channels + in,
                c->in_channels, work->add);
        }
}

/* A task's share: smaller where there would be too few. */
static void divide_channels(struct work *work)
{
    const int64_t columns = work->isa->columns, out = work->c->out_channels;

    work->panels = db_blas_pieces(work->c->in_channels, columns);
    work->group = db_blas_smaller(work->panels, MOST_CHANNELS / columns);
    work->groups = db_blas_pieces(work->panels, work->group);
    work->block = db_blas_smaller(MOST_CHANNELS, out);
    while (work->groups * db_blas_pieces(out, work->block) < LEAST_TASKS &&
           work->block > LEAST_OUT) {
        work->block = db_blas_pieces(work->block, 2 * LEAST_OUT) * LEAST_OUT;
        work->group = db_blas_pieces(work->group, 2);
        work->groups = db_blas_pieces(work->panels, work->group);
    }
    work->blocks = db_blas_pieces(out, work->block);
    work->rows = db_blas_pieces(work->block,
                                db_blas_pieces(work->block, work->isa->rows));
}

static void divide(struct work *work)
{
    const int64_t columns = work->isa->columns;

    work->there = db_winograd_squares(work->c);
    divide_channels(work);
    work->parts = db_blas_pieces(work->there.all, PART);
    work->part = db_blas_pieces(work->there.all, work->parts);
    work->x_place = work->part * columns + DB_WINOGRAD_LINE;
    work->y_place = work->part * work->block + DB_WINOGRAD_LINE;
    work->m_place = work->group * work->block * columns + DB_WINOGRAD_LINE;
    work->own_size = 36 * work->m_place;
}

int db_simd_winograd_weight(const dreambooth_kernel_host *host,
                            const dreambooth_conv2d *c)
{
    struct work work = {
        .c = c, .isa = db_simd_isa_of(host), .add = !host->overwrite};
    int64_t x, y, zeros, own;

    divide(&work);
    x = work.panels * 36 * work.x_place;
    y = work.blocks * 36 * work.y_place;
    work.parts =
        db_blas_smaller(work.parts, db_blas_larger(MOST_PIXELS / (x + y), 1));
    zeros = db_blas_larger(c->in_channels, c->out_channels);
    own = host->threads * work.own_size;
    work.x = host->scratch_new(
        host, (size_t)(work.parts * (x + y) + zeros + own) * sizeof(float));
    if (work.x == NULL)
        return DREAMBOOTH_ENOMEM;
    work.y = work.x + work.parts * x;
    work.own = work.y + work.parts * y;
    work.zeros = work.own + own;
    memset(work.zeros, 0, (size_t)zeros * sizeof(float));
    while (work.first < work.there.all) {
        work.squares = db_blas_smaller(work.parts * work.part,
                                       work.there.all - work.first);
        work.parts = db_blas_pieces(work.squares, work.part);
        host->parallel(host, work.squares, transform_square, &work);
        host->parallel(host, work.blocks * work.groups, make_block, &work);
        work.first += work.squares;
        work.add = true;
    }
    host->scratch_free(host, work.x);
    return DREAMBOOTH_OK;
}

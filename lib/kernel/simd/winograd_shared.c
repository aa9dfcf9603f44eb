/* SPDX-License-Identifier: MIT */
/*
 * Winograd's way (see winograd.c) where there are many squares of few channels:
 * the transformed weights are there once for all tasks. A task transforms the
 * pixels of some squares, which stay in the second-level cache while all panels
 * of weights pass by, the next one fetched while one multiplies.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/simd/winograd_int.h"

#define LEAST_SQUARES 256
#define MOST_IN 640    /* a block of more would not stay in any cache */
#define BLOCK 42       /* squares of a task */
#define SMALL_BLOCK 28 /* where there would be few tasks */
#define MANY_SQUARES 512

struct work {
    const struct db_simd_convolution *s;
    const struct db_simd_isa *isa;
    struct db_winograd_squares there;
    int64_t block, rows;      /* squares of a task, and of a tile */
    int64_t panels;           /* of output channels */
    int64_t place;            /* floats of a panel's */
    int64_t v_place, m_place; /* floats from one to the next */
    float *u;                 /* [panels][36][in, columns] */
    float *zeros;             /* [in] */
    float *own;               /* a worker's taps, v and m: DB_WINOGRAD_TAPS, */
    int64_t own_size;         /* [36][block, in], [36][block, columns] */
};

bool db_winograd_shares_weights(const dreambooth_conv2d *c)
{
    const int64_t squares = db_simd_winograd_squares(c);

    return c->in_channels <= MOST_IN && squares >= LEAST_SQUARES &&
           4 * squares >= 3 * c->in_channels;
}

static void transform_weights(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const int64_t panel = index % work->panels;
    const int64_t k = index / work->panels * DB_WINOGRAD_K_STEP;

    db_winograd_transform_weights(
        work->isa, work->s, panel, k,
        db_blas_smaller(DB_WINOGRAD_K_STEP, work->s->c.in_channels - k),
        work->own + worker * work->own_size,
        work->u + panel * 36 * work->place + k * work->isa->columns,
        work->place);
}

static void transform_input(const struct work *work, int64_t first,
                            int64_t squares, float *v)
{
    const dreambooth_conv2d *c = &work->s->c;
    const float *pixels[36];
    int64_t i;

    for (i = 0; i < squares; i++, v += c->in_channels) {
        db_winograd_see(c, &work->there, first + i, work->zeros, pixels);
        work->isa->winograd_input(c->in_channels, pixels, v, work->v_place);
    }
}

/* Pixels of y are asked for before they are written. */
static void fetch_output(const struct work *work, int64_t square, int64_t panel)
{
#ifdef __GNUC__
    const dreambooth_conv2d *c = &work->s->c;
    const int64_t columns = work->isa->columns, channel = panel * columns;
    int64_t offsets[16], i;
    int j;

    db_winograd_find(c, &work->there, square, offsets);
    for (j = 0; j < 16; j++)
        for (i = 0; i < columns && offsets[j] >= 0; i += 16)
            __builtin_prefetch(c->y + offsets[j] + channel + i, 1, 2);
#endif
}

/* The 36 products of a panel of weights at u. */
static void multiply(const struct work *work, int64_t first, int64_t squares,
                     int64_t panel, const float *v, float *m)
{
    const int64_t in = work->s->c.in_channels, columns = work->isa->columns;
    const int64_t tiles = db_blas_pieces(squares, work->rows);
    const int64_t step = db_blas_pieces(columns, tiles);
    const float *u = work->u + panel * 36 * work->place;
    int64_t place, r, visit = 0, asked = 0;

    for (place = 0; place < 36; place++) {
        const float *next = u + work->place;

        for (r = 0; r < squares; r += work->rows, next += in * step) {
            for (visit++; asked * 36 * tiles < squares * visit; asked++)
                fetch_output(work, first + asked, panel);
            work->isa->winograd_tile(
                (int)db_blas_smaller(work->rows, squares - r), in, v + r * in,
                in, u, m + r * columns, false, next, step);
        }
        u += work->place;
        v += work->v_place;
        m += work->m_place;
    }
}

static void make_block(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const int64_t first = index * work->block;
    const int64_t squares =
        db_blas_smaller(work->block, work->there.all - first);
    float *v = work->own + worker * work->own_size + DB_WINOGRAD_TAPS;
    float *m = v + 36 * work->v_place;
    int64_t panel, i;

    transform_input(work, first, squares, v);
    for (panel = 0; panel < work->panels; panel++) {
        multiply(work, first, squares, panel, v, m);
        for (i = 0; i < squares; i++)
            db_winograd_put(work->isa, work->s, &work->there, first + i, panel,
                            m + i * work->isa->columns, work->m_place);
    }
}

static void divide(struct work *work)
{
    const dreambooth_conv2d *c = &work->s->c;
    const int64_t columns = work->isa->columns;

    work->there = db_winograd_squares(c);
    work->block = db_blas_pieces(
        work->there.all,
        db_blas_pieces(work->there.all,
                       work->there.all < MANY_SQUARES ? SMALL_BLOCK : BLOCK));
    work->rows = db_blas_pieces(work->block,
                                db_blas_pieces(work->block, work->isa->rows));
    work->panels = db_blas_pieces(c->out_channels, columns);
    work->place = c->in_channels * columns;
    work->v_place = work->block * c->in_channels + DB_WINOGRAD_LINE;
    work->m_place = work->block * columns + DB_WINOGRAD_LINE;
    work->own_size = DB_WINOGRAD_TAPS + 36 * (work->v_place + work->m_place);
}

int db_winograd_share_weights(const dreambooth_kernel_host *host,
                              const struct db_simd_convolution *convolution)
{
    const dreambooth_conv2d *c = &convolution->c;
    struct work work = {.s = convolution, .isa = db_simd_isa_of(host)};
    int64_t u, own;

    divide(&work);
    u = work.panels * 36 * work.place;
    own = host->threads * work.own_size;
    work.u = host->scratch_new(host, (size_t)(u + own + c->in_channels) *
                                         sizeof(float));
    if (work.u == NULL)
        return DREAMBOOTH_ENOMEM;
    work.own = work.u + u;
    work.zeros = work.own + own;
    memset(work.zeros, 0, (size_t)c->in_channels * sizeof(float));
    host->parallel(
        host, work.panels * db_blas_pieces(c->in_channels, DB_WINOGRAD_K_STEP),
        transform_weights, &work);
    host->parallel(host, db_blas_pieces(work.there.all, work.block), make_block,
                   &work);
    host->scratch_free(host, work.u);
    return DREAMBOOTH_OK;
}

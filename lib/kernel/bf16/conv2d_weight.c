/* SPDX-License-Identifier: MIT */
/*
 * The gradient of a convolution's weight by tiles: dweight [out, place, in] +=
 * dy^T times x as each place of the kernel sees it. k runs along positions of
 * the padded image; dy is laid out in rows of the same length, zeros behind its
 * pixels, so that what x has there does not count.
 */
#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define CHANNELS DB_BF16_STEP /* of a plane */

struct gradient {
    const dreambooth_conv2d *c;
    struct db_bf16_picture x, dy;
    int64_t places, steps;          /* steps of an image */
    int64_t *column_of, *width_of;  /* strips of b */
    int64_t *place_of, *channel_of; /* the same */
};

/* 32 positions of an image, from POSITION on and STRIDE apart, become pairs. */
static void pack_pairs(const struct db_bf16_isa *isa,
                       const struct db_bf16_picture *picture, int64_t image,
                       int64_t channel, int64_t position, int64_t stride,
                       int parts, uint8_t *to)
{
    const int64_t line =
        (image * picture->planes + channel / CHANNELS) * picture->positions +
        position;
    struct db_bf16_from from = {.row = stride * CHANNELS};
    int part;

    for (part = 0; part < parts; part++, to += DB_BF16_TILE) {
        from.bf16 = (const uint16_t *)(const void *)(picture->at +
                                                     part * picture->apart +
                                                     line * DB_BF16_LINE) +
                    channel % CHANNELS;
        isa->pairs(&from, DB_BF16_SIDE, DB_BF16_STEP, to, 1, 0);
    }
}

static void pack_dy(const struct db_bf16_product *p, int64_t strip,
                    int64_t step, int64_t steps, uint8_t *to)
{
    const struct gradient *g = p->source;
    int64_t i;
    int part;

    for (i = step; i < step + steps; i++) {
        pack_pairs(p->isa, &g->dy, i / g->steps, strip * DB_BF16_SIDE,
                   i % g->steps * DB_BF16_STEP, 1, p->a.parts, to);
        for (part = 0; part < p->a.parts; part++, to += DB_BF16_TILE)
            p->isa->turn(to);
    }
}

static void pack_x(const struct db_bf16_product *p, int64_t strip, int64_t step,
                   int64_t steps, uint8_t *to)
{
    const struct gradient *g = p->source;
    const int64_t place = g->place_of[strip];
    const int64_t begun =
        place / g->c->kernel_width * g->x.columns + place % g->c->kernel_width;
    int64_t i;

    for (i = step; i < step + steps; i++) {
        pack_pairs(p->isa, &g->x, i / g->steps, g->channel_of[strip],
                   begun + i % g->steps * DB_BF16_STEP * g->c->stride,
                   g->c->stride, p->b.parts, to);
        to += p->b.parts * DB_BF16_TILE;
    }
}

static void lay_strips(struct gradient *g)
{
    const int64_t channels = g->c->in_channels;
    int64_t place, channel, i = 0;

    for (place = 0; place < g->places; place++)
        for (channel = 0; channel < channels; channel += DB_BF16_SIDE) {
            g->place_of[i] = place;
            g->channel_of[i] = channel;
            g->column_of[i] = place * channels + channel;
            g->width_of[i++] =
                db_blas_smaller(DB_BF16_SIDE, channels - channel);
        }
}

static int multiply(const dreambooth_kernel_host *host,
                    const struct db_bf16_isa *isa, int parts,
                    struct gradient *g, int64_t strips)
{
    const int64_t patch = g->places * g->c->in_channels;
    const struct db_bf16_product p = {
        .isa = isa,
        .a = {.strips = db_blas_pieces(g->c->out_channels, DB_BF16_SIDE),
              .parts = parts,
              .pack = pack_dy},
        .b = {.strips = strips, .parts = parts, .pack = pack_x},
        .source = g,
        .steps = g->c->batch * g->steps,
        .m = g->c->out_channels,
        .n = patch,
        .column_of = g->column_of,
        .width_of = g->width_of,
        .y_row = patch,
        .result = {g->c->dweight, 1.0f, host->overwrite ? 0.0f : 1.0f, NULL}};

    lay_strips(g);
    return db_bf16_multiply(host, &p);
}

/* Both images, for k along whole steps. */
static void lay_out(const dreambooth_conv2d *a, int parts, struct gradient *g)
{
    const int64_t rows = a->in_height + a->pad_top + a->pad_bottom;
    const int64_t columns = a->in_width + a->pad_left + a->pad_right;
    const int64_t seen = (a->out_height - 1) * columns + a->out_width;

    g->c = a;
    g->places = a->kernel_height * a->kernel_width;
    g->steps = db_blas_pieces(seen, DB_BF16_STEP);
    g->x = (struct db_bf16_picture){
        .batch = a->batch,
        .height = a->in_height,
        .width = a->in_width,
        .channels = a->in_channels,
        .top = a->pad_top,
        .left = a->pad_left,
        .spread = 1,
        .rows = rows,
        .columns = columns,
        .positions = db_blas_larger(rows * columns,
                                    g->steps * DB_BF16_STEP * a->stride +
                                        (a->kernel_height - 1) * columns +
                                        a->kernel_width),
        .parts = parts};
    g->dy = (struct db_bf16_picture){
        .batch = a->batch,
        .height = a->out_height,
        .width = a->out_width,
        .channels = a->out_channels,
        .spread = 1,
        .rows = a->out_height,
        .columns = columns,
        .positions =
            db_blas_larger(a->out_height * columns, g->steps * DB_BF16_STEP),
        .parts = parts};
}

static int with_images(const dreambooth_kernel_host *host,
                       const struct db_bf16_isa *isa, int parts,
                       struct gradient *g, int64_t strips)
{
    int status = db_bf16_picture_new(host, isa, g->c->x, &g->x);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_bf16_picture_new(host, isa, g->c->dy, &g->dy);
    if (status == DREAMBOOTH_OK) {
        status = multiply(host, isa, parts, g, strips);
        host->scratch_free(host, g->dy.at);
    }
    host->scratch_free(host, g->x.at);
    return status;
}

int db_bf16_conv2d_backward_weight(const dreambooth_kernel_host *host,
                                   const struct db_bf16_isa *isa, int parts,
                                   const dreambooth_conv2d *a)
{
    const int64_t strips = a->kernel_height * a->kernel_width *
                           db_blas_pieces(a->in_channels, DB_BF16_SIDE);
    const dreambooth_rows rows = {
        .batch = 1,
        .rows = a->batch * a->out_height * a->out_width,
        .columns = a->out_channels,
        .x = a->dy,
        .sum = a->dbias,
    };
    struct gradient g;
    int status;

    lay_out(a, parts, &g);
    g.column_of =
        host->scratch_new(host, (size_t)(4 * strips) * sizeof(int64_t));
    if (g.column_of == NULL)
        return DREAMBOOTH_ENOMEM;
    g.width_of = g.column_of + strips;
    g.place_of = g.width_of + strips;
    g.channel_of = g.place_of + strips;
    status = with_images(host, isa, parts, &g, strips);
    host->scratch_free(host, g.column_of);
    if (status != DREAMBOOTH_OK || a->dbias == NULL)
        return status;
    return db_blas_sum_rows(host, &rows);
}

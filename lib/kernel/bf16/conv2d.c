/* SPDX-License-Identifier: MIT */
/*
 * Convolutions by tiles. Tiles of A are pixels of the padded image where they
 * lie: a place of the kernel is a distance that is added. So no patches are
 * made. 16 neighbours in a row are a strip; where the width is no multiple,
 * strips run on through the padding, and what it makes is thrown away.
 *
 * backward_data is the convolution of dy, its pixels a stride apart, with the
 * weight's places in reverse order.
 */
#include <string.h>

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define IMAGES_BYTES ((int64_t)1400 << 10) /* that a task lays out */
#define MOST_STRIPS 64
#define TASKS 2 /* a thread */
#define TASK_STRIPS 16
#define FEW_IMAGES 4
#define MOST_COPIES 3 /* of an image */
#define LEAST_STRIPS 8
#define BLOCK_PIXELS 1024
#define BLOCK_BYTES (1 << 20) /* of images, in the second-level cache */
/* The same with few strips, beside weights that come from all over memory. */
#define ACROSS_BYTES (1 << 19)
#define FEW_BLOCK_STRIPS 32

/* What a step of k is. */
struct step {
    int64_t place, plane;
};

struct convolution {
    struct db_bf16_picture picture;
    int64_t kernel_height, kernel_width, stride;
    int64_t out_height, out_width, out_channels;
    const float *x;
    struct db_bf16_from weight;
    bool reversed; /* weight [in][place][out], places from the last */
    const float *bias;
    float *y;
    struct step *steps;
    int64_t *strip_at, *step_at, *row_of;
    int64_t *weight_at; /* bytes of each step's */
};

static int64_t places_of(const struct convolution *c)
{
    return c->kernel_height * c->kernel_width;
}

static bool is_whole(const struct convolution *c)
{
    return c->out_width % DB_BF16_SIDE == 0;
}

/* Strips of an image, with its padding among the pixels. */
static int64_t padded_strips(const struct convolution *c)
{
    if (is_whole(c))
        return c->out_height * c->out_width / DB_BF16_SIDE;
    return db_blas_pieces(
        (c->out_height - 1) * c->picture.columns + c->out_width, DB_BF16_SIDE);
}

static int64_t dense_strips(const struct convolution *c)
{
    return db_blas_pieces(c->out_height * c->out_width, DB_BF16_SIDE);
}

static int64_t strips_of(const struct convolution *c)
{
    return c->picture.copies > 0 ? dense_strips(c) : padded_strips(c);
}

/* Where padding would be an eighth of all products, images are copied for each
 * place in a row of the kernel. */
static void choose_copies(struct convolution *c)
{
    struct db_bf16_picture *p = &c->picture;

    if (p->spread != 1 || c->kernel_width > MOST_COPIES ||
        8 * dense_strips(c) > 7 * padded_strips(c))
        return;
    p->copies = c->kernel_width;
    p->stride = c->stride;
    p->rows = db_blas_pieces(p->rows, c->stride) * c->stride;
    p->columns = c->out_width;
}

/* Positions as far as the last strip reads. */
static int64_t positions_of(const struct convolution *c)
{
    const struct db_bf16_picture *p = &c->picture;

    if (p->copies > 0)
        return p->copies * p->rows * p->columns + DB_BF16_SIDE;
    return db_blas_larger(
        p->rows * p->columns,
        c->stride * (is_whole(c) ? 0 : strips_of(c) * DB_BF16_SIDE) +
            (c->kernel_height - 1) * p->columns + c->kernel_width);
}

/* The position that a place of the kernel sees first. */
static int64_t position_of(const struct convolution *c, int64_t place)
{
    const struct db_bf16_picture *p = &c->picture;
    const int64_t y = place / c->kernel_width, x = place % c->kernel_width;

    if (p->copies == 0)
        return y * p->columns + x;
    return (x * p->rows + y % p->stride * (p->rows / p->stride) +
            y / p->stride) *
           p->columns;
}

/* Planes whose pixels, for one block of strips, stay in the cache. */
static int64_t planes_at_once(const struct convolution *c)
{
    const struct db_bf16_picture *p = &c->picture;
    const int64_t rows = db_blas_smaller(
        p->rows, c->stride * db_blas_pieces(BLOCK_PIXELS, c->out_width) +
                     c->kernel_height);
    const int64_t images = db_blas_smaller(
        p->batch,
        db_blas_larger(1, BLOCK_PIXELS / (c->out_height * c->out_width)));
    const int64_t bytes = images * rows * p->columns * DB_BF16_LINE * p->parts;
    const int64_t planes = db_blas_pieces(p->channels, DB_BF16_STEP);
    const bool is_across =
        c->reversed && p->batch * strips_of(c) <= FEW_BLOCK_STRIPS;
    const int64_t room = is_across ? ACROSS_BYTES : BLOCK_BYTES;
    const int64_t most = db_blas_larger(room / bytes, 1);

    return db_blas_pieces(planes, db_blas_pieces(planes, most));
}

static int64_t weight_size(const struct convolution *c)
{
    return c->weight.f32 != NULL ? 4 : 2;
}

static int64_t weight_at(const struct convolution *c, int64_t place,
                         int64_t plane)
{
    const int64_t channel = plane * DB_BF16_STEP;

    return weight_size(c) *
           (c->reversed ? channel * c->weight.row +
                              (places_of(c) - 1 - place) * c->out_channels
                        : place * c->picture.channels + channel);
}

static void lay_steps(struct convolution *c, int64_t group)
{
    const struct db_bf16_picture *p = &c->picture;
    int64_t first, place, plane, i = 0;

    for (first = 0; first < p->planes; first += group)
        for (place = 0; place < places_of(c); place++)
            for (plane = first;
                 plane < db_blas_smaller(first + group, p->planes); plane++) {
                c->steps[i] = (struct step){place, plane};
                c->weight_at[i] = weight_at(c, place, plane);
                c->step_at[i++] =
                    (plane * p->positions + position_of(c, place)) *
                    DB_BF16_LINE;
            }
}

static void lay_strips(struct convolution *c)
{
    const struct db_bf16_picture *p = &c->picture;
    const int64_t strips = strips_of(c);
    const int64_t columns = is_whole(c) ? c->out_width : p->columns;
    const int64_t stride = p->copies > 0 ? 1 : c->stride;
    int64_t i, r;

    for (i = 0; i < p->batch * strips; i++) {
        const int64_t image = i / strips;

        for (r = 0; r < DB_BF16_SIDE; r++) {
            const int64_t at = i % strips * DB_BF16_SIDE + r;
            const int64_t y = at / columns, x = at % columns;

            if (r == 0)
                c->strip_at[i] = (image * p->planes * p->positions +
                                  stride * (y * p->columns + x)) *
                                 DB_BF16_LINE;
            c->row_of[i * DB_BF16_SIDE + r] =
                y < c->out_height && x < c->out_width
                    ? (image * c->out_height + y) * c->out_width + x
                    : -1;
        }
    }
}

/* Steps from I on, before END, that are neighbouring planes of one place. */
static int64_t run_of(const struct convolution *c, int64_t i, int64_t end)
{
    int64_t count = 1;

    while (i + count < end && c->steps[i + count].place == c->steps[i].place)
        count++;
    return count;
}

static void pack_weight(const struct db_bf16_product *p, int64_t strip,
                        int64_t step, int64_t steps, uint8_t *to)
{
    const struct convolution *c = p->source;
    const int64_t in = c->picture.channels, out = c->out_channels;
    const int64_t column = strip * DB_BF16_SIDE;
    const int64_t count = db_blas_smaller(DB_BF16_SIDE, out - column);
    int64_t i, run;

    for (i = step; i < step + steps; i += run) {
        const int64_t channel = c->steps[i].plane * DB_BF16_STEP;
        const int64_t place = c->steps[i].place;
        const int64_t at = c->reversed
                               ? channel * c->weight.row +
                                     (places_of(c) - 1 - place) * out + column
                               : column * c->weight.row + place * in + channel;
        struct db_bf16_from from = c->weight;
        int64_t k;

        run = run_of(c, i, step + steps);
        k = db_blas_smaller(run * DB_BF16_STEP, in - channel);
        if (from.f32 != NULL)
            from.f32 += at;
        else
            from.bf16 += at;
        if (c->reversed)
            db_bf16_pairs(p->isa, &from, count, k, to, run, p->b.parts);
        else
            db_bf16_columns(p->isa, &from, count, k, to, run, p->b.parts);
        to += run * p->b.parts * DB_BF16_TILE;
    }
}

/* An image of the batch, on the thread that needs it. */
static void lay_image(const struct db_bf16_product *p, int64_t unit,
                      uint8_t *to)
{
    const struct convolution *c = p->source;
    const struct db_bf16_picture *whole = &c->picture;
    struct db_bf16_picture one = *whole;

    one.batch = 1;
    one.at = to;
    db_bf16_picture_measure(&one);
    db_bf16_picture_lay(
        p->isa, c->x + unit * whole->height * whole->width * whole->channels,
        &one);
}

/* Images that a task lays out itself: some tasks a thread, but each of so many
 * strips that a panel of weights, which they all read, is worth its way. */
static int64_t images_a_task(const struct convolution *c, int64_t fit,
                             int threads)
{
    const int64_t batch = c->picture.batch;
    const int64_t least = db_blas_pieces(TASK_STRIPS, strips_of(c));
    const int64_t wanted =
        db_blas_larger(db_blas_pieces(batch, (int64_t)threads * TASKS), least);
    const int64_t tasks = db_blas_pieces(batch, db_blas_smaller(fit, wanted));
    const int64_t images =
        db_blas_pieces(batch, db_blas_pieces(tasks, threads) * threads);

    return images + (images > 1 && images < fit && images * strips_of(c) % 2);
}

/* 0 where they had better be laid out before: where they are large, or so small
 * and few that weights are most of the work. Where those are kept, each task
 * lays out all of the few that there are: that takes less time than what
 * another core has laid out takes to come. */
static int64_t images_at_once(const struct convolution *c, int threads,
                              bool is_kept)
{
    const struct db_bf16_picture *p = &c->picture;
    const int64_t size = p->planes * p->positions * DB_BF16_LINE * p->parts;
    const int64_t fit =
        db_blas_smaller(IMAGES_BYTES / size, MOST_STRIPS / strips_of(c));
    const bool is_small = p->batch < FEW_IMAGES && strips_of(c) < LEAST_STRIPS;

    if (is_kept && is_small && p->batch <= fit)
        return p->batch;
    return p->batch < threads || is_small || fit == 0
               ? 0
               : images_a_task(c, fit, threads);
}

/* The order of steps hangs on the planes of a GROUP. */
static dreambooth_form form_of(const struct convolution *c,
                               const struct db_bf16_isa *isa, int parts,
                               int64_t group)
{
    return (dreambooth_form){
        c->weight.f32 != NULL ? (const void *)c->weight.f32 : c->weight.bf16,
        isa,
        {DB_BF16_FORM_CONV2D, parts, group, places_of(c), c->picture.channels,
         c->out_channels, c->reversed}};
}

/* All but where the images are. */
static struct db_bf16_product product_of(const struct convolution *c,
                                         const struct db_bf16_isa *isa,
                                         int parts)
{
    const struct db_bf16_picture *picture = &c->picture;
    const int64_t group = planes_at_once(c);
    const int64_t row = c->weight.row * weight_size(c);
    const struct db_bf16_raw raw = {
        .at = c->weight.f32 != NULL ? (const void *)c->weight.f32
                                    : c->weight.bf16,
        .panel = DB_BF16_PANEL * (c->reversed ? weight_size(c) : row),
        .row = row,
        .half = DB_BF16_SIDE * row,
        .step_at = c->weight_at,
        .lines = c->weight.f32 != NULL ? 2 : 1};

    return (struct db_bf16_product){
        .isa = isa,
        .a = {.strips = picture->batch * strips_of(c),
              .parts = picture->parts,
              .strip_at = c->strip_at,
              .step_at = c->step_at,
              .line = (picture->copies > 0 ? 1 : c->stride) * DB_BF16_LINE,
              .unit = strips_of(c)},
        .b = {.strips = db_blas_pieces(c->out_channels, DB_BF16_SIDE),
              .parts = parts,
              .pack = pack_weight,
              .is_across = c->reversed,
              .raw = raw,
              .form = form_of(c, isa, parts, group)},
        .source = c,
        .steps = places_of(c) * picture->planes,
        .part = places_of(c) * group,
        .run = group,
        .n = c->out_channels,
        .row_of = c->row_of,
        .y_row = c->out_channels,
        .result = {.y = c->y, .alpha = 1.0f, .bias = c->bias}};
}

/* Lays the images out, or has the tasks do it. */
static int lay_images(const dreambooth_kernel_host *host,
                      const struct db_bf16_isa *isa, struct convolution *c,
                      struct db_bf16_product *p)
{
    struct db_bf16_picture *picture = &c->picture;
    int status;

    p->a.units = images_at_once(c, host->threads, db_bf16_keeps_right(host, p));
    if (p->a.units > 0) {
        p->a.lay = lay_image;
        p->a.apart = picture->apart / picture->batch;
        p->a.unit_size = p->a.apart * picture->parts;
        return DREAMBOOTH_OK;
    }
    status = db_bf16_picture_new(host, isa, c->x, picture);
    p->a.base = picture->at;
    p->a.apart = picture->apart;
    return status;
}

static int convolve(const dreambooth_kernel_host *host,
                    const struct db_bf16_isa *isa, int parts,
                    struct convolution *c)
{
    struct db_bf16_picture *p = &c->picture;
    const int64_t planes = db_blas_pieces(p->channels, DB_BF16_STEP);
    const int64_t steps = places_of(c) * planes;
    struct db_bf16_product product;
    int64_t strips;
    int status;

    choose_copies(c);
    strips = p->batch * strips_of(c);
    p->positions = positions_of(c);
    p->parts = parts;
    c->steps = host->scratch_new(
        host, (size_t)steps * sizeof(*c->steps) +
                  (size_t)(2 * steps + strips * (1 + DB_BF16_SIDE)) *
                      sizeof(int64_t));
    if (c->steps == NULL)
        return DREAMBOOTH_ENOMEM;
    c->step_at = (int64_t *)(void *)(c->steps + steps);
    c->weight_at = c->step_at + steps;
    c->strip_at = c->weight_at + steps;
    c->row_of = c->strip_at + strips;
    db_bf16_picture_measure(p);
    lay_steps(c, planes_at_once(c));
    lay_strips(c);
    product = product_of(c, isa, c->weight.bf16 != NULL ? 1 : parts);
    status = lay_images(host, isa, c, &product);
    if (status == DREAMBOOTH_OK)
        status = db_bf16_multiply(host, &product);
    if (p->at != NULL)
        host->scratch_free(host, p->at);
    host->scratch_free(host, c->steps);
    return status;
}

static bool is_pointwise(const dreambooth_conv2d *a)
{
    return a->kernel_height * a->kernel_width == 1 && a->stride == 1 &&
           a->out_height == a->in_height && a->out_width == a->in_width;
}

int db_bf16_conv2d_forward(const dreambooth_kernel_host *host,
                           const struct db_bf16_isa *isa, int parts,
                           const dreambooth_conv2d *a)
{
    const int64_t weight_row =
        a->kernel_height * a->kernel_width * a->in_channels;
    struct convolution c = {
        .picture = {.batch = a->batch,
                    .height = a->in_height,
                    .width = a->in_width,
                    .channels = a->in_channels,
                    .top = a->pad_top,
                    .left = a->pad_left,
                    .spread = 1,
                    .rows = a->in_height + a->pad_top + a->pad_bottom,
                    .columns = a->in_width + a->pad_left + a->pad_right},
        .kernel_height = a->kernel_height,
        .kernel_width = a->kernel_width,
        .stride = a->stride,
        .out_height = a->out_height,
        .out_width = a->out_width,
        .out_channels = a->out_channels,
        .x = a->x,
        .weight = {a->weight, a->weight_bf16, weight_row},
        .bias = a->bias,
        .y = a->y};
    const dreambooth_gemm product = {.batch = 1,
                                     .m = a->batch * a->out_height *
                                          a->out_width,
                                     .n = a->out_channels,
                                     .k = a->in_channels,
                                     .transpose_b = 1,
                                     .alpha = 1.0f,
                                     .a = a->x,
                                     .b = a->weight,
                                     .b_bf16 = a->weight_bf16,
                                     .c = a->y,
                                     .lda = a->in_channels,
                                     .ldb = a->in_channels,
                                     .ldc = a->out_channels,
                                     .bias = a->bias};

    return is_pointwise(a) ? db_bf16_gemm(host, isa, parts, &product)
                           : convolve(host, isa, parts, &c);
}

int db_bf16_conv2d_backward_data(const dreambooth_kernel_host *host,
                                 const struct db_bf16_isa *isa, int parts,
                                 const dreambooth_conv2d *a)
{
    const int64_t top = a->kernel_height - 1 - a->pad_top;
    const int64_t left = a->kernel_width - 1 - a->pad_left;
    struct convolution c = {
        .picture = {.batch = a->batch,
                    .height = a->out_height,
                    .width = a->out_width,
                    .channels = a->out_channels,
                    .top = top,
                    .left = left,
                    .spread = a->stride,
                    .rows = a->in_height + a->kernel_height - 1,
                    .columns = a->in_width + a->kernel_width - 1},
        .kernel_height = a->kernel_height,
        .kernel_width = a->kernel_width,
        .stride = 1,
        .out_height = a->in_height,
        .out_width = a->in_width,
        .out_channels = a->in_channels,
        .x = a->dy,
        .weight = {a->weight, a->weight_bf16,
                   a->kernel_height * a->kernel_width * a->in_channels},
        .reversed = true,
        .y = a->dx};
    const dreambooth_gemm product = {.batch = 1,
                                     .m = a->batch * a->out_height *
                                          a->out_width,
                                     .n = a->in_channels,
                                     .k = a->out_channels,
                                     .alpha = 1.0f,
                                     .a = a->dy,
                                     .b = a->weight,
                                     .b_bf16 = a->weight_bf16,
                                     .c = a->dx,
                                     .lda = a->out_channels,
                                     .ldb = a->in_channels,
                                     .ldc = a->in_channels};

    return is_pointwise(a) ? db_bf16_gemm(host, isa, parts, &product)
                           : convolve(host, isa, parts, &c);
}

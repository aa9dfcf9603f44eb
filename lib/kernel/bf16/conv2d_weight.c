/* SPDX-License-Identifier: MIT */
/*
 * The gradient of a convolution's weight by tiles: dweight [out, place, in] +=
 * dy^T times x as each place of the kernel sees it. k runs over positions, as
 * bands lay them: a place of the kernel is a distance that is added, so x is
 * laid out once for all of them, and no position is spent on padding.
 *
 * A task lays out what it reads, a part of k at a time: a block of dy's
 * channels, then 32 channels of x after the other. So nothing goes from one
 * processor's cache to another's. Sums lie in dweight; how k is
 * parted, and work divided, changes no bit.
 */
#include <string.h>

#include "kernel/bf16/bands_int.h"
#include "kernel/blas/blas_int.h"

#define CHANNELS DB_BF16_PANEL /* of a plane of x: two strips */
#define MOST_BANDS 16
#define MOST_STRIPS 32 /* of a block of dy */
#define LEAST_STRIPS 8 /* the same, where there are as many */
#define LEAST_ROWS 6   /* of a part of k, the same */
/* Of the second-level cache: for a block of dy, and with planes of x. */
#define BLOCK_BYTES ((int64_t)640 << 10)
#define TASK_BYTES ((int64_t)1152 << 10)
#define STRIP_SUMS ((int64_t)DB_BF16_SIDE * DB_BF16_PANEL)
/* To lay out a step of a strip of dy, and of a plane of x, costs as much as so
 * many products of a strip and a plane. */
#define DY_COST 3
#define X_COST 8

struct gradient {
    const dreambooth_conv2d *c;
    bool overwrite;
    int64_t places, strips, planes; /* strips of dy, planes of x */
    struct db_bf16_bands x, dy;
    int64_t rows, row_steps; /* of a band; of a row */
    int64_t block, blocks;   /* strips of dy a task */
    int64_t group, groups;   /* planes of x a task */
    int64_t part;            /* rows of bands whose products are made at once */
    int64_t together;        /* planes that are laid out at once */
    uint8_t *own;            /* the workers' memory, OWN_SIZE each */
    int64_t own_size;
    int64_t *a_at, *b_at; /* of each step of a part, bytes */
    int64_t *next_at;     /* of every two strips' rows of dweight */
};

struct task {
    int64_t first, strips;             /* of dy */
    struct db_bf16_rows_of_bands rows; /* of dy: the part of k */
    uint8_t *a, *b;
    float *sums; /* [strips + 1][16, 32] */
    void *scratch;
};

/* A part of k of the task's block: columns of dy become lines. */
static void lay_dy(const struct gradient *g, const struct task *task)
{
    const int64_t steps = task->rows.rows * g->row_steps;
    int64_t strip, step;
    int part;

    db_bf16_bands_lay(&g->dy, &task->rows, task->first * DB_BF16_SIDE,
                      task->strips, task->a, task->scratch);
    for (part = 0; part < g->dy.parts; part++)
        for (strip = 0; strip < task->strips; strip++)
            for (step = 0; step < steps; step++) {
                uint8_t *tile = task->a + part * g->dy.apart +
                                strip * g->dy.strip_size + step * DB_BF16_TILE;

                g->dy.isa->turn(tile, DB_BF16_LINE, tile);
            }
}

/* The last plane may have a single strip. */
static int64_t strips_of(const struct gradient *g, int64_t plane)
{
    return db_blas_smaller(
        2, db_blas_pieces(g->c->in_channels - plane * CHANNELS, DB_BF16_SIDE));
}

static void lay_planes(const struct gradient *g, const struct task *task,
                       int64_t plane, int64_t planes)
{
    const struct db_bf16_rows_of_bands rows = {
        task->rows.image, task->rows.row * g->c->stride,
        (task->rows.rows - 1) * g->c->stride + g->c->kernel_height};

    db_bf16_bands_lay(&g->x, &rows, plane * CHANNELS,
                      (planes - 1) * 2 + strips_of(g, plane + planes - 1),
                      task->b, task->scratch);
}

static int64_t weight_row(const struct gradient *g)
{
    return g->places * g->c->in_channels;
}

static float *weight_at(const struct gradient *g, int64_t strip, int64_t plane,
                        int64_t place)
{
    return g->c->dweight + strip * DB_BF16_SIDE * weight_row(g) +
           place * g->c->in_channels + plane * CHANNELS;
}

/* Whether the sums of a strip and a plane are all in dweight. */
static bool is_whole(const struct gradient *g, int64_t strip, int64_t plane)
{
    const int64_t columns = g->c->in_channels - plane * CHANNELS;

    return (strip + 1) * DB_BF16_SIDE <= g->c->out_channels &&
           (columns >= CHANNELS || columns == DB_BF16_SIDE);
}

/* Those that are not go from dweight to C, and back. */
static void move_sums(const struct gradient *g, int64_t strip, int64_t plane,
                      int64_t place, float *c, bool is_back)
{
    const int64_t rows = db_blas_smaller(
        DB_BF16_SIDE, g->c->out_channels - strip * DB_BF16_SIDE);
    const int64_t columns =
        db_blas_smaller(CHANNELS, g->c->in_channels - plane * CHANNELS);
    float *y = weight_at(g, strip, plane, place);
    int64_t i;

    for (i = 0; i < rows; i++, y += weight_row(g), c += DB_BF16_PANEL)
        memcpy(is_back ? y : c, is_back ? c : y,
               (size_t)columns * sizeof(float));
}

/* Of the task's strip number I; the last one may be there twice, and the second
 * time its sums go nowhere. */
static struct db_bf16_sums sums_of(const struct gradient *g,
                                   const struct task *task, int64_t i,
                                   int64_t plane, int64_t place)
{
    const int64_t strip = task->first + i;
    const bool is_new =
        g->overwrite && task->rows.image == 0 && task->rows.row == 0;
    float *c = task->sums + i * STRIP_SUMS;
    struct db_bf16_sums sums = {c, c, DB_BF16_PANEL, DB_BF16_PANEL};

    if (i < task->strips && is_whole(g, strip, plane)) {
        sums.to = weight_at(g, strip, plane, place);
        sums.from = sums.to;
        sums.from_row = sums.to_row = weight_row(g);
    } else if (i < task->strips && !is_new) {
        move_sums(g, strip, plane, place, c, false);
    }
    if (is_new || i >= task->strips)
        sums.from = NULL;
    return sums;
}

/* Lines of x from where a place of the kernel first sees it. */
static int64_t shift_of(const struct gradient *g, int64_t place)
{
    const int64_t row = place / g->c->kernel_width;
    const int64_t column = place % g->c->kernel_width;

    return row * g->x.row + column % g->c->stride * g->x.line +
           column / g->c->stride * g->x.pairs;
}

static void multiply_strips(const struct gradient *g, const struct task *task,
                            int64_t plane, int64_t place, const uint8_t *b,
                            const struct db_bf16_block *block)
{
    struct db_bf16_pair pairs[MOST_STRIPS / 2];
    int64_t i;

    for (i = 0; i < task->strips + task->strips % 2; i++) {
        struct db_bf16_pair *pair = &pairs[i / 2];

        pair->a[i % 2] =
            task->a + db_blas_smaller(i, task->strips - 1) * g->dy.strip_size;
        pair->b[i % 2] =
            i % 2 < strips_of(g, plane) ? b + i % 2 * g->x.strip_size : NULL;
        pair->sums[i % 2] = sums_of(g, task, i, plane, place);
    }
    g->x.isa->multiply(block, pairs, (task->strips + 1) / 2);
    for (i = 0; i < task->strips; i++)
        if (!is_whole(g, task->first + i, plane))
            move_sums(g, task->first + i, plane, place,
                      task->sums + i * STRIP_SUMS, true);
}

/* All strips of the task times planes that are laid out, at all places. What
 * dweight has for the next is fetched meanwhile. */
static void multiply_planes(const struct gradient *g, const struct task *task,
                            int64_t first, int64_t planes)
{
    struct db_bf16_block block = {.steps = task->rows.rows * g->row_steps,
                                  .a_at = g->a_at,
                                  .b_at = g->b_at,
                                  .a_line = DB_BF16_LINE,
                                  .b_line = DB_BF16_LINE,
                                  .a_parts = g->dy.parts,
                                  .b_parts = g->x.parts,
                                  .a_apart = g->dy.apart,
                                  .b_apart = g->x.apart};
    int64_t i;

    block.wanted = (struct db_bf16_wanted){
        .step_at = g->next_at,
        .steps = db_blas_smaller(block.steps, task->strips / 2),
        .row = weight_row(g) * (int64_t)sizeof(float),
        .half = DB_BF16_SIDE * weight_row(g) * (int64_t)sizeof(float),
        .lines = 2};
    for (i = 0; i < g->places * planes; i++) {
        const int64_t next = i + 1;

        if (next == g->places * planes)
            block.wanted.steps = 0;
        else
            block.wanted.at = (const uint8_t *)weight_at(
                g, task->first, first + next % planes, next / planes);
        multiply_strips(g, task, first + i % planes, i / planes,
                        task->b + i % planes * 2 * g->x.strip_size +
                            shift_of(g, i / planes) * DB_BF16_LINE,
                        &block);
    }
}

static void multiply_part(const struct gradient *g, const struct task *task,
                          int64_t first, int64_t last)
{
    int64_t plane, planes;

    lay_dy(g, task);
    for (plane = first; plane < last; plane += planes) {
        planes = db_blas_smaller(g->together, last - plane);
        lay_planes(g, task, plane, planes);
        multiply_planes(g, task, plane, planes);
    }
}

static void run_task(void *argument, int64_t index, int worker)
{
    const struct gradient *g = argument;
    const int64_t first = index % g->groups * g->group;
    const int64_t last = db_blas_smaller(first + g->group, g->planes);
    struct task task = {.first = index / g->groups * g->block};
    struct db_bf16_rows_of_bands *rows = &task.rows;

    task.strips = db_blas_smaller(g->block, g->strips - task.first);
    task.a = g->own + worker * g->own_size;
    task.b = task.a + g->dy.parts * g->dy.apart;
    task.sums = (float *)(void *)(task.b + g->x.parts * g->x.apart);
    task.scratch = task.sums + (g->block + 1) * STRIP_SUMS;
    g->x.isa->begin();
    for (; rows->image < g->c->batch; rows->image += g->x.images)
        for (rows->row = 0; rows->row < g->rows; rows->row += rows->rows) {
            rows->rows = db_blas_smaller(g->part, g->rows - rows->row);
            multiply_part(g, &task, first, last);
        }
    g->x.isa->end();
}

/* Steps of a row of all bands of IMAGES. */
static int64_t row_steps_of(const dreambooth_conv2d *a, int64_t images,
                            int64_t bands)
{
    return db_blas_pieces(a->out_width * db_blas_pieces(images * bands, 2),
                          DB_BF16_SIDE);
}

/* So many that a part of k has some rows, for not too few strips of dy. */
static int64_t images_of(const struct gradient *g, int parts)
{
    const int64_t strips = db_blas_smaller(g->strips, MOST_STRIPS / 2);
    const int64_t rows = db_blas_smaller(g->c->out_height, LEAST_ROWS);
    const int64_t fit = BLOCK_BYTES / DB_BF16_TILE / parts / strips / rows;
    int64_t images = g->c->batch;

    while (images > 2 && row_steps_of(g->c, images, 1) > fit)
        images = db_blas_pieces(images, 2);
    return images;
}

/* Those with which the fewest steps are made, unless rows that two bands see
 * cost more. */
static int64_t bands_of(const struct gradient *g, int64_t images)
{
    const dreambooth_conv2d *a = g->c;
    const int64_t most = db_blas_smaller(MOST_BANDS, a->out_height);
    int64_t bands, best = 1, least = INT64_MAX;

    for (bands = 1; bands <= most; bands++) {
        const int64_t rows = db_blas_pieces(a->out_height, bands);
        const int64_t seen = (rows - 1) * a->stride + a->kernel_height;
        const int64_t cost =
            row_steps_of(a, images, bands) *
            (rows * g->strips * g->places + seen * a->stride * X_COST);

        if (cost < least) {
            least = cost;
            best = bands;
        }
    }
    return best;
}

/* How x and dy are laid out. */
static void lay_out(struct gradient *g, const struct db_bf16_isa *isa,
                    int parts)
{
    const dreambooth_conv2d *a = g->c;
    const int64_t width = a->in_width + a->pad_left + a->pad_right;
    const int64_t images = images_of(g, parts);
    const int64_t bands = bands_of(g, images);
    const struct db_bf16_bands both = {.isa = isa,
                                       .parts = parts,
                                       .batch = a->batch,
                                       .images = images,
                                       .bands = bands,
                                       .pairs =
                                           db_blas_pieces(images * bands, 2)};

    g->rows = db_blas_pieces(a->out_height, bands);
    g->row_steps = row_steps_of(a, images, bands);
    g->x = g->dy = both;
    g->x.x = a->x;
    g->x.height = a->in_height;
    g->x.width = a->in_width;
    g->x.channels = a->in_channels;
    g->x.top = a->pad_top;
    g->x.left = a->pad_left;
    g->x.phases = a->stride;
    g->x.columns = db_blas_pieces(width, a->stride);
    g->x.band = g->rows * a->stride;
    g->x.line = g->x.columns * both.pairs;
    g->x.row = g->x.phases * g->x.line;
    g->dy.x = a->dy;
    g->dy.height = a->out_height;
    g->dy.width = a->out_width;
    g->dy.channels = a->out_channels;
    g->dy.phases = 1;
    g->dy.columns = a->out_width;
    g->dy.band = g->rows;
    g->dy.line = a->out_width * both.pairs;
    g->dy.row = g->row_steps * DB_BF16_SIDE;
}

/* What the busiest of THREADS does. */
static int64_t cost_of(const struct gradient *g, int64_t block, int64_t group,
                       int threads)
{
    const int64_t tasks =
        db_blas_pieces(g->strips, block) * db_blas_pieces(g->planes, group);

    return db_blas_pieces(tasks, threads) *
           (block * (group * g->places + DY_COST) + group * X_COST);
}

static void divide_tasks(struct gradient *g, int threads)
{
    const int64_t step = g->dy.parts * DB_BF16_TILE;
    const int64_t fit =
        db_blas_larger(BLOCK_BYTES / step / g->row_steps, LEAST_STRIPS);
    const int64_t most = db_blas_smaller(fit, MOST_STRIPS);
    int64_t blocks, groups, least = INT64_MAX;

    for (blocks = db_blas_pieces(g->strips, most); blocks <= g->strips;
         blocks++)
        for (groups = 1; groups <= g->planes; groups++) {
            const int64_t block = db_blas_pieces(g->strips, blocks);
            const int64_t group = db_blas_pieces(g->planes, groups);
            const int64_t cost = cost_of(g, block, group, threads);

            if (cost < least) {
                least = cost;
                g->block = block;
                g->group = group;
            }
        }
    g->blocks = db_blas_pieces(g->strips, g->block);
    g->groups = db_blas_pieces(g->planes, g->group);
}

static int64_t seen_rows(const struct gradient *g)
{
    return (g->part - 1) * g->c->stride + g->c->kernel_height;
}

/* Rows of a part, and planes of x, that stay in the cache together. */
static void divide_part(struct gradient *g)
{
    const int64_t dy = g->dy.parts * g->block * g->dy.row * DB_BF16_LINE;
    const int64_t x = g->x.parts * 2 * g->x.row * DB_BF16_LINE;
    const int64_t more = (g->c->kernel_height - g->c->stride) * x;

    g->part = (TASK_BYTES - more) / (dy + g->c->stride * x);
    g->part = db_blas_smaller(g->rows, db_blas_larger(g->part, 1));
    g->part = db_blas_pieces(g->rows, db_blas_pieces(g->rows, g->part));
    g->together = (TASK_BYTES - g->part * dy) / (seen_rows(g) * x);
    g->together = db_blas_smaller(g->group, db_blas_larger(g->together, 1));
    g->x.strip_size = (seen_rows(g) * g->x.row + DB_BF16_SIDE) * DB_BF16_LINE;
    g->x.apart = 2 * g->together * g->x.strip_size;
    g->dy.strip_size = (g->part * g->dy.row + DB_BF16_SIDE) * DB_BF16_LINE;
    g->dy.apart = g->block * g->dy.strip_size;
    g->own_size = g->x.parts * g->x.apart + g->dy.parts * g->dy.apart +
                  (g->block + 1) * STRIP_SUMS * (int64_t)sizeof(float) +
                  db_bf16_bands_scratch(&g->x);
}

static void lay_steps(struct gradient *g)
{
    const int64_t row = g->c->stride * g->x.row;
    int64_t i;

    for (i = 0; i < g->part * g->row_steps; i++) {
        g->a_at[i] = i * DB_BF16_TILE;
        g->b_at[i] = i / g->row_steps * row * DB_BF16_LINE +
                     i % g->row_steps * DB_BF16_TILE;
    }
    for (i = 0; i < MOST_STRIPS / 2; i++)
        g->next_at[i] =
            i * DB_BF16_PANEL * weight_row(g) * (int64_t)sizeof(float);
}

static int run(const dreambooth_kernel_host *host, struct gradient *g)
{
    const int64_t steps = g->part * g->row_steps;
    const int64_t own = host->threads * g->own_size;

    g->own = host->scratch_new(host,
                               (size_t)own + (size_t)(2 * steps + MOST_STRIPS) *
                                                 sizeof(int64_t));
    if (g->own == NULL)
        return DREAMBOOTH_ENOMEM;
    g->a_at = (int64_t *)(void *)(g->own + own);
    g->b_at = g->a_at + steps;
    g->next_at = g->b_at + steps;
    lay_steps(g);
    host->parallel(host, g->blocks * g->groups, run_task, g);
    host->scratch_free(host, g->own);
    return DREAMBOOTH_OK;
}

static int multiply_places(const dreambooth_kernel_host *host,
                           const struct db_bf16_isa *isa, int parts,
                           const dreambooth_conv2d *a)
{
    struct gradient g = {.c = a,
                         .overwrite = host->overwrite != 0,
                         .places = a->kernel_height * a->kernel_width,
                         .strips =
                             db_blas_pieces(a->out_channels, DB_BF16_SIDE),
                         .planes = db_blas_pieces(a->in_channels, CHANNELS)};

    lay_out(&g, isa, parts);
    divide_tasks(&g, host->threads);
    divide_part(&g);
    return run(host, &g);
}

int db_bf16_conv2d_backward_weight(const dreambooth_kernel_host *host,
                                   const struct db_bf16_isa *isa, int parts,
                                   const dreambooth_conv2d *a)
{
    const dreambooth_rows rows = {
        .batch = 1,
        .rows = a->batch * a->out_height * a->out_width,
        .columns = a->out_channels,
        .x = a->dy,
        .sum = a->dbias,
    };
    dreambooth_gemm product;
    const int status = db_bf16_weight_has_pieces(host, a, &product)
                           ? db_bf16_gemm(host, isa, parts, &product)
                           : multiply_places(host, isa, parts, a);

    if (status != DREAMBOOTH_OK || a->dbias == NULL)
        return status;
    return db_blas_sum_rows(host, &rows);
}

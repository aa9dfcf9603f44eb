/* SPDX-License-Identifier: MIT */
/*
 * The product of two matrices made of tiles. A block of A's strips stays in the
 * second-level cache for a part of k; B's panels of two strips pass by, a few
 * steps at a time, which stay in the first-level cache while all strips of the
 * block meet them. So C leaves the tiles' registers once for a few steps, and
 * the caches once for each part of k.
 *
 * What many tasks need is packed before, unless the cache will not hold it
 * until then; what one task needs, by that task, just before it is used.
 *
 * A sum is made along k in one order, and what is put away between are floats:
 * so how the work is divided, which depends on the number of threads, does not
 * change a bit.
 */
#include <string.h>

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define BLOCK_STRIPS 32 /* of A, and of one that lies in place */
#define BLOCK_STRIPS_THERE MOST_STRIPS
#define MOST_STRIPS 64
#define LEAST_STRIPS 8
#define BLOCK_TILES 640  /* KB of the second-level cache */
#define WHOLE_TILES 1280 /* of an A that all tasks find there */
#define PANEL_TILES 192  /* the same, which pass by */
#define FAR_VALUES ((int64_t)1 << 19)
#define LEAST_TASKS 2  /* a thread */
#define PACK_AHEAD 3   /* blocks of A from which B is packed before */
#define LEAST_GROUP 12 /* panels for which a task packs A itself */
#define READING 100    /* cycles for a part of a tile, from memory */
#define LONG_STEPS 64
#define NEAR_TILES 16384 /* of a B that larger caches hold */
#define SUMMING 800      /* of a pair of strips, away and back */
#define PACK_STEPS 64    /* of a task that packs */
#define STRIP_SUMS ((int64_t)DB_BF16_SIDE * DB_BF16_PANEL)

struct work {
    const struct db_bf16_product *p;
    struct db_bf16_operand a, b; /* as they are after packing before */
    int64_t block;               /* strips of A */
    int64_t blocks, groups;      /* tasks along A, and along B */
    int64_t panels, group;       /* of B, and those of a task */
    int64_t part, few;           /* steps in a part, and of a panel at once */
    bool is_far;                 /* whether the caches will not have y */
    uint8_t *own;                /* the workers' memory, OWN_SIZE each */
    int64_t own_size, block_size, panel_size; /* bytes */
    int64_t a_at[BLOCK_TILES];                /* steps in packed memory */
    int64_t b_at[PANEL_TILES];
    int64_t raw_at[PANEL_TILES];
};

/* A strip of an operand for some steps. */
struct place {
    const uint8_t *at;
    const int64_t *step_at;
    int64_t line, apart;
};

static int64_t tile_size(const struct db_bf16_operand *o)
{
    return (int64_t)o->parts * DB_BF16_TILE;
}

static struct place in_place(const struct db_bf16_operand *o, int64_t strip,
                             int64_t step)
{
    return (struct place){o->base + o->strip_at[strip], o->step_at + step,
                          o->line, o->apart};
}

static struct place in_buffer(const uint8_t *buffer, const int64_t *step_at)
{
    return (struct place){buffer, step_at, DB_BF16_LINE, DB_BF16_TILE};
}

struct task {
    int64_t first, strips; /* of A */
    int64_t last;          /* panels end before it */
    uint8_t *block, *panel;
    float *c; /* [strips][16, 32] */
    bool is_whole[MOST_STRIPS];
};

/* A few steps of a panel: of which part of k, and whether there are others
 * before or behind. */
struct stretch {
    int64_t panel, begun, step, steps;
    bool is_first_part, is_first, is_last;
};

static int64_t row_of(const struct db_bf16_product *p, int64_t i)
{
    return p->row_of != NULL ? p->row_of[i] : i < p->m ? i : -1;
}

/* Rows of y that lie one behind the other. */
static bool is_whole_strip(const struct db_bf16_product *p, int64_t strip)
{
    const int64_t first = strip * DB_BF16_SIDE;
    int64_t i;

    if (p->row_of == NULL)
        return first + DB_BF16_SIDE <= p->m;
    for (i = 0; i < DB_BF16_SIDE; i++)
        if (p->row_of[first + i] != p->row_of[first] + i)
            return false;
    return p->row_of[first] >= 0;
}

static bool is_whole_panel(const struct work *work, int64_t panel)
{
    const struct db_bf16_product *p = work->p;
    const int64_t first = panel * 2;
    const bool is_narrow = first + 1 == p->b.strips;
    const int64_t width = is_narrow ? DB_BF16_SIDE : DB_BF16_PANEL;

    if (p->column_of == NULL)
        return panel * DB_BF16_PANEL + width <= p->n;
    return p->width_of[first] == DB_BF16_SIDE &&
           (is_narrow ||
            (p->width_of[first + 1] == DB_BF16_SIDE &&
             p->column_of[first + 1] == p->column_of[first] + DB_BF16_SIDE));
}

static int64_t column_of(const struct db_bf16_product *p, int64_t strip)
{
    return p->column_of != NULL ? p->column_of[strip] : strip * DB_BF16_SIDE;
}

/* Whether sums may lie in y itself. */
static bool is_plain(const struct db_bf16_result *result)
{
    return result->alpha == 1.0f &&
           (result->beta == 0.0f ||
            (result->beta == 1.0f && result->bias == NULL));
}

/* WIDTH columns of the rows that a strip makes go from C to y. */
static void put_columns(const struct work *work, int64_t strip, int64_t column,
                        int64_t width, bool is_first, const float *c)
{
    const struct db_bf16_product *p = work->p;
    struct db_bf16_result result = p->result;
    int64_t i;

    if (!is_first) {
        result.beta = 1.0f;
        result.bias = NULL;
    }
    if (result.bias != NULL)
        result.bias += column;
    for (i = 0; i < DB_BF16_SIDE; i++, c += DB_BF16_PANEL) {
        const int64_t row = row_of(p, strip * DB_BF16_SIDE + i);

        result.y = p->result.y + row * p->y_row + column;
        if (row >= 0)
            p->isa->put(width, c, &result);
    }
}

static void put_strip(const struct work *work, int64_t panel, int64_t strip,
                      bool is_first, const float *c)
{
    const struct db_bf16_product *p = work->p;
    int64_t i = panel * 2, side;

    for (side = 0; side < 2 && i < p->b.strips; side++, i++)
        put_columns(
            work, strip, column_of(p, i),
            p->width_of != NULL
                ? p->width_of[i]
                : db_blas_smaller(DB_BF16_SIDE, p->n - i * DB_BF16_SIDE),
            is_first, c + side * DB_BF16_SIDE);
}

/* Between a few steps and the next, sums lie in C; before the first and behind
 * the last, in Y, unless that is NULL. BIAS may be. */
static struct db_bf16_sums sums_of(const struct work *work,
                                   const struct stretch *s, float *c, float *y,
                                   const float *bias)
{
    const struct db_bf16_product *p = work->p;
    struct db_bf16_sums sums = {c, c, DB_BF16_PANEL, DB_BF16_PANEL};

    if (s->is_last && y != NULL) {
        sums.to = y;
        sums.to_row = p->y_row;
    }
    if (!s->is_first)
        return sums;
    sums.from = NULL;
    if (y != NULL && (!s->is_first_part || p->result.beta != 0.0f)) {
        sums.from = y;
        sums.from_row = p->y_row;
    } else if (y != NULL) {
        sums.from = bias;
        sums.from_row = 0;
    }
    return sums;
}

/* Where steps of a panel are, packed if need be. */
static void lay_panel(const struct work *work, const struct task *task,
                      const struct stretch *s, struct db_bf16_block *block)
{
    const struct db_bf16_operand *b = &work->b;
    const int64_t step = s->begun + s->step;
    int64_t side;

    for (side = 0; side < 2 && s->panel * 2 + side < b->strips; side++) {
        const int64_t strip = s->panel * 2 + side;
        uint8_t *to = task->panel + side * work->panel_size / 2;
        struct place place;

        if (b->pack == NULL) {
            place = in_place(b, strip, step);
        } else {
            b->pack(work->p, strip, step, s->steps, to);
            place = in_buffer(to, work->b_at);
        }
        block->b[side] = place.at;
        block->b_at = place.step_at;
        block->b_line = place.line;
        block->b_apart = place.apart;
    }
}

static struct place place_of(const struct work *work, const struct task *task,
                             const struct stretch *s, int64_t strip)
{
    const struct db_bf16_operand *a = &work->a;
    const int64_t step = s->begun + s->step;
    struct place place;

    if (a->pack != NULL)
        return in_buffer(task->block + strip * work->part * tile_size(a),
                         work->a_at + s->step);
    if (a->lay == NULL)
        return in_place(a, task->first + strip, step);
    place = in_place(a, strip % a->unit, step);
    place.at = task->block + strip / a->unit * a->unit_size +
               a->strip_at[strip % a->unit];
    return place;
}

/* A strip of the task's; of A only one may be left, which then is there twice,
 * and the second time its sums go nowhere. */
static void lay_strip(const struct work *work, const struct task *task,
                      const struct stretch *s, int64_t strip, bool is_whole,
                      struct db_bf16_block *block, struct db_bf16_pair *pair)
{
    const struct db_bf16_product *p = work->p;
    const int64_t here = db_blas_smaller(strip, task->strips - 1);
    const int64_t column = column_of(p, s->panel * 2);
    const struct place place = place_of(work, task, s, here);
    const float *bias = p->result.bias == NULL ? NULL : p->result.bias + column;
    float *y = NULL;

    if (is_whole && strip == here && task->is_whole[strip])
        y = p->result.y +
            row_of(p, (task->first + strip) * DB_BF16_SIDE) * p->y_row + column;
    block->a_at = place.step_at;
    block->a_line = place.line;
    block->a_apart = place.apart;
    pair->a[strip % 2] = place.at;
    pair->sums[strip % 2] =
        sums_of(work, s, task->c + strip * STRIP_SUMS, y, bias);
}

static void put_strips(const struct work *work, const struct task *task,
                       const struct stretch *s, bool is_whole)
{
    int64_t i;

    for (i = 0; i < task->strips; i++)
        if (!is_whole || !task->is_whole[i])
            put_strip(work, s->panel, task->first + i, s->is_first_part,
                      task->c + i * STRIP_SUMS);
}

/* What the task packs next. */
static struct db_bf16_wanted wanted_by(const struct work *work,
                                       const struct task *task,
                                       const struct stretch *s, int64_t steps)
{
    const struct db_bf16_raw *raw = &work->b.raw;
    int64_t panel = s->panel, step = s->step + s->steps;

    if (step == steps) {
        panel++;
        step = 0;
    }
    if (work->b.pack == NULL || raw->at == NULL || panel >= task->last)
        return (struct db_bf16_wanted){NULL, NULL, 0, 0, 0};
    step += s->begun;
    return (struct db_bf16_wanted){
        (const uint8_t *)raw->at + panel * raw->panel +
            (raw->step_at == NULL ? step * raw->step : 0),
        raw->step_at == NULL ? work->raw_at : raw->step_at + step,
        db_blas_smaller(work->few, s->begun + steps - step), raw->row,
        raw->lines};
}

/* A panel meets all strips of the task, a few of a part's steps at a time. */
static void meet_panel(const struct work *work, const struct task *task,
                       int64_t panel, int64_t begun, int64_t steps)
{
    const bool is_whole =
        is_plain(&work->p->result) && is_whole_panel(work, panel);
    struct db_bf16_block block = {.a_parts = work->a.parts,
                                  .b_parts = work->b.parts};
    struct db_bf16_pair pairs[MOST_STRIPS / 2];
    struct stretch s = {
        .panel = panel, .begun = begun, .is_first_part = begun == 0};
    int64_t i;

    for (s.step = 0; s.step < steps; s.step += work->few) {
        s.steps = db_blas_smaller(work->few, steps - s.step);
        s.is_first = s.step == 0;
        s.is_last = s.step + s.steps == steps;
        block.steps = s.steps;
        block.is_far = s.is_last && work->is_far;
        block.wanted = wanted_by(work, task, &s, steps);
        lay_panel(work, task, &s, &block);
        for (i = 0; i < task->strips + task->strips % 2; i++) {
            lay_strip(work, task, &s, i, is_whole, &block, &pairs[i / 2]);
            pairs[i / 2].b[i % 2] = block.b[i % 2];
        }
        work->p->isa->multiply_pairs(&block, pairs, (task->strips + 1) / 2);
        if (s.is_last)
            put_strips(work, task, &s, is_whole);
    }
}

static void begin_task(const struct work *work, int64_t index, int worker,
                       struct task *task)
{
    int64_t i;

    task->first = index / work->groups * work->block;
    task->strips =
        db_blas_smaller(work->block, work->p->a.strips - task->first);
    task->block = work->own + worker * work->own_size;
    task->panel = task->block + work->block_size;
    task->c = (float *)(void *)(task->panel + work->panel_size);
    for (i = 0; i < task->strips; i++)
        task->is_whole[i] = is_whole_strip(work->p, task->first + i);
}

static void multiply_block(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_bf16_product *p = work->p;
    const int64_t first = index % work->groups * work->group;
    const int64_t last = db_blas_smaller(first + work->group, work->panels);
    struct task task;
    int64_t begun, steps, panel, i;

    begin_task(work, index, worker, &task);
    task.last = last;
    p->isa->begin();
    for (i = 0; work->a.lay != NULL && i < task.strips / work->a.unit; i++)
        work->a.lay(p, task.first / work->a.unit + i,
                    task.block + i * work->a.unit_size);
    for (begun = 0; begun < p->steps; begun += steps) {
        steps = db_blas_smaller(work->part, p->steps - begun);
        for (i = 0; i < task.strips && work->a.pack != NULL; i++)
            work->a.pack(p, task.first + i, begun, steps,
                         task.block + i * work->part * tile_size(&work->a));
        for (panel = first; panel < last; panel++)
            meet_panel(work, &task, panel, begun, steps);
    }
    p->isa->end();
}

/* Steps at once: MOST or less, the whole of some runs or a part of one. */
static int64_t few_of(int64_t run, int64_t most)
{
    if (run <= most)
        return most / run * run;
    return db_blas_pieces(run, db_blas_pieces(run, most));
}

static bool fits(const struct db_bf16_product *p)
{
    return p->a.strips * p->steps * p->a.parts <= WHOLE_TILES;
}

/* What is not multiplying, when A is cut into so many blocks and B into so many
 * groups of panels: packing, and sums that leave their registers. In cycles a
 * step. */
static int64_t cost_of(const struct db_bf16_product *p, int64_t blocks,
                       int64_t groups)
{
    const int64_t a_tiles = p->a.strips * p->a.parts;
    const int64_t b_tiles = p->b.strips * p->b.parts;
    const int64_t a = a_tiles * (p->a.cost + READING);
    const int64_t b = b_tiles * (p->b.cost + READING);
    const int64_t parts = db_blas_pieces(db_blas_pieces(p->a.strips, blocks) *
                                             p->steps * p->a.parts,
                                         BLOCK_TILES);
    const int64_t sums = p->a.strips * p->b.strips / 4 * parts * SUMMING;

    return (fits(p) ? a : groups * a) +
           (blocks < PACK_AHEAD ? blocks * b
                                : b + b_tiles * (2 + blocks) * READING / 2) +
           sums / p->steps;
}

/* Along a long k both sides leave the cache before they are needed again,
 * unless B comes from memory anyway. */
static bool is_long(const struct db_bf16_product *p)
{
    return p->steps >= LONG_STEPS &&
           p->b.strips * p->steps * p->b.parts <= NEAR_TILES;
}

/* The number of blocks of a packed A: with a long k, that which costs least. */
static int64_t blocks_of(const struct db_bf16_product *p, int64_t wanted)
{
    const int64_t least = db_blas_pieces(p->a.strips, BLOCK_STRIPS);
    const int64_t most = db_blas_larger(
        least, db_blas_smaller(p->a.strips / LEAST_STRIPS, wanted));
    int64_t best = least, least_cost = INT64_MAX, i;

    if (!is_long(p))
        return p->a.strips <= BLOCK_STRIPS ? 1 : most;
    for (i = least; i <= most; i++) {
        const int64_t cost = cost_of(p, i, db_blas_pieces(wanted, i));

        if (cost < least_cost) {
            least_cost = cost;
            best = i;
        }
    }
    return best;
}

/* Strips of A a task, and groups of panels, so that there are some tasks for
 * each of THREADS. */
static void divide_tasks(struct work *work, int threads)
{
    const struct db_bf16_product *p = work->p;
    const int64_t wanted = (int64_t)threads * LEAST_TASKS;

    work->panels = db_blas_pieces(p->b.strips, 2);
    if (p->a.lay != NULL) {
        work->block = p->a.unit * p->a.units;
    } else {
        work->blocks = p->a.pack != NULL
                           ? blocks_of(p, wanted)
                           : db_blas_pieces(p->a.strips, BLOCK_STRIPS_THERE);
        work->block = db_blas_pieces(p->a.strips, work->blocks);
        work->block += work->block % 2;
    }
    work->blocks = db_blas_pieces(p->a.strips, work->block);
    work->groups = p->a.lay != NULL
                       ? 1
                       : db_blas_smaller(work->panels,
                                         db_blas_pieces(wanted, work->blocks));
    work->group = db_blas_pieces(work->panels, work->groups);
    work->groups = db_blas_pieces(work->panels, work->group);
}

static void divide(struct work *work, int threads)
{
    const struct db_bf16_product *p = work->p;
    const int64_t fit = BLOCK_TILES / work->a.parts;
    int64_t parts, i;

    divide_tasks(work, threads);
    work->is_far = p->result.beta == 0.0f &&
                   p->a.strips * DB_BF16_SIDE * p->n >= FAR_VALUES;
    work->few = PANEL_TILES / 2 / work->b.parts;
    work->part = p->part;
    if (work->part == 0) {
        parts = db_blas_pieces(p->steps * work->block, fit);
        work->part = db_blas_pieces(p->steps, parts);
    }
    work->few = few_of(p->run == 0 ? work->part : p->run, work->few);
    for (i = 0; i < BLOCK_TILES; i++)
        work->a_at[i] = i * tile_size(&work->a);
    for (i = 0; i < PANEL_TILES; i++) {
        work->b_at[i] = i * tile_size(&work->b);
        work->raw_at[i] = i * p->b.raw.step;
    }
}

/* Whether A is packed before all tasks: where several need it, and find it in
 * the cache. */
static bool is_ahead(const struct work *work)
{
    return work->p->a.pack != NULL && work->groups > 1 &&
           (fits(work->p) ||
            (work->p->steps < LONG_STEPS && work->group < LEAST_GROUP));
}

/* An operand that is packed before all tasks. */
struct ahead {
    const struct db_bf16_product *p;
    db_bf16_pack *pack;
    int64_t pieces; /* tasks a strip */
    uint8_t *to;
    int64_t *strip_at, *step_at;
    int64_t tile;
};

static void pack_ahead(void *argument, int64_t index, int worker)
{
    const struct ahead *ahead = argument;
    const int64_t strip = index / ahead->pieces;
    const int64_t step = index % ahead->pieces * PACK_STEPS;

    (void)worker;
    ahead->pack(ahead->p, strip, step,
                db_blas_smaller(PACK_STEPS, ahead->p->steps - step),
                ahead->to + ahead->strip_at[strip] + ahead->step_at[step]);
}

/* Packs all of O, which then lies in place. MEMORY is the caller's to free. */
static int lay_ahead(const dreambooth_kernel_host *host,
                     const struct db_bf16_product *p, struct db_bf16_operand *o,
                     void **memory)
{
    const int64_t strip = p->steps * tile_size(o);
    struct ahead ahead = {.p = p,
                          .pack = o->pack,
                          .pieces = db_blas_pieces(p->steps, PACK_STEPS),
                          .tile = tile_size(o)};
    int64_t i;

    *memory = host->scratch_new(host, (size_t)(o->strips * strip) +
                                          (size_t)(o->strips + p->steps) *
                                              sizeof(int64_t));
    if (*memory == NULL)
        return DREAMBOOTH_ENOMEM;
    ahead.to = *memory;
    ahead.strip_at = (int64_t *)(void *)(ahead.to + o->strips * strip);
    ahead.step_at = ahead.strip_at + o->strips;
    for (i = 0; i < o->strips; i++)
        ahead.strip_at[i] = i * strip;
    for (i = 0; i < p->steps; i++)
        ahead.step_at[i] = i * ahead.tile;
    host->parallel(host, o->strips * ahead.pieces, pack_ahead, &ahead);
    *o = (struct db_bf16_operand){.strips = o->strips,
                                  .parts = o->parts,
                                  .base = ahead.to,
                                  .strip_at = ahead.strip_at,
                                  .step_at = ahead.step_at,
                                  .line = DB_BF16_LINE,
                                  .apart = DB_BF16_TILE};
    return DREAMBOOTH_OK;
}

static int run_tasks(const dreambooth_kernel_host *host, struct work *work)
{
    work->block_size = work->a.lay != NULL ? work->a.units * work->a.unit_size
                       : work->a.pack != NULL
                           ? work->block * work->part * tile_size(&work->a)
                           : 0;
    work->panel_size =
        work->b.pack == NULL ? 0 : 2 * work->few * tile_size(&work->b);
    work->own_size = work->block_size + work->panel_size +
                     (work->block + 1) * STRIP_SUMS * (int64_t)sizeof(float);
    work->own =
        host->scratch_new(host, (size_t)(host->threads * work->own_size));
    if (work->own == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, work->blocks * work->groups, multiply_block, work);
    host->scratch_free(host, work->own);
    return DREAMBOOTH_OK;
}

int db_bf16_multiply(const dreambooth_kernel_host *host,
                     const struct db_bf16_product *product)
{
    struct work work = {.p = product, .a = product->a, .b = product->b};
    void *a = NULL, *b = NULL;
    int status = DREAMBOOTH_OK;

    divide(&work, host->threads);
    if (is_ahead(&work))
        status = lay_ahead(host, product, &work.a, &a);
    if (status == DREAMBOOTH_OK && work.b.pack != NULL &&
        work.blocks >= PACK_AHEAD)
        status = lay_ahead(host, product, &work.b, &b);
    if (status == DREAMBOOTH_OK)
        status = run_tasks(host, &work);
    if (b != NULL)
        host->scratch_free(host, b);
    if (a != NULL)
        host->scratch_free(host, a);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * The product of two matrices made of tiles. A block of A's strips stays in the
 * second-level cache for a part of k; B's panels of two strips pass by, a few
 * steps at a time, which stay in the first-level cache while all strips of the
 * block meet them. So C leaves the caches once for each part of k.
 *
 * What many tasks need is packed before; what one task needs, by that task,
 * just before it is used.
 */
#include <string.h>

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define BLOCK_STRIPS 32 /* of A, and of one that lies in place */
#define BLOCK_STRIPS_THERE 64
#define BLOCK_TILES 640 /* 640 KB of the second-level cache */
#define PANEL_TILES 96  /* 96 KB, of which a block reads 4 at a time */
#define LEAST_TASKS 16
#define PACK_AHEAD 3  /* blocks of A from which B is packed before */
#define PACK_STEPS 64 /* of a task that packs */

struct work {
    const struct db_bf16_product *p;
    struct db_bf16_operand a, b; /* as they are after packing before */
    int64_t block;               /* strips of A */
    int64_t blocks, groups;      /* tasks along A, and along B */
    int64_t panels, group;       /* of B, and those of a task */
    int64_t part, few;           /* steps in a part, and of a panel at once */
    uint8_t *own;                /* the workers' memory, OWN_SIZE each */
    int64_t own_size, block_size, panel_size; /* bytes */
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

/* WIDTH columns of the rows that two strips make go from C to y. */
static void put_columns(const struct work *work, int64_t strip, int64_t column,
                        int64_t width, bool is_first, const float *c)
{
    const struct db_bf16_product *p = work->p;
    const int64_t begun = strip * DB_BF16_SIDE;
    const int64_t end =
        db_blas_smaller(begun + DB_BF16_PANEL, p->a.strips * DB_BF16_SIDE);
    struct db_bf16_result result = p->result;
    int64_t i;

    if (!is_first) {
        result.beta = 1.0f;
        result.bias = NULL;
    }
    if (result.bias != NULL)
        result.bias += column;
    for (i = begun; i < end; i++) {
        const int64_t row = p->row_of != NULL ? p->row_of[i]
                            : i < p->m        ? i
                                              : -1;

        result.y = p->result.y + row * p->y_row + column;
        if (row >= 0)
            p->isa->put(width, c + (i - begun) * DB_BF16_PANEL, &result);
    }
}

static void put_block(const struct work *work, int64_t panel, int64_t strip,
                      bool is_first, const float *c)
{
    const struct db_bf16_product *p = work->p;
    const int64_t column = panel * DB_BF16_PANEL;
    int64_t i = panel * 2, side;

    if (p->column_of == NULL) {
        put_columns(work, strip, column,
                    db_blas_smaller(DB_BF16_PANEL, p->n - column), is_first, c);
        return;
    }
    for (side = 0; side < 2 && i < p->b.strips; side++, i++)
        put_columns(work, strip, p->column_of[i], p->width_of[i], is_first,
                    c + side * DB_BF16_SIDE);
}

struct task {
    int64_t first, strips; /* of A */
    uint8_t *block, *panel;
    float *c;
    int64_t a_at[BLOCK_TILES]; /* in packed memory */
    int64_t b_at[PANEL_TILES];
};

/* Where steps of a panel are, packed if need be. */
static void lay_panel(const struct work *work, const struct task *task,
                      int64_t panel, int64_t step, int64_t steps,
                      struct db_bf16_block *block)
{
    const struct db_bf16_operand *b = &work->b;
    int64_t side;

    for (side = 0; side < 2 && panel * 2 + side < b->strips; side++) {
        uint8_t *to = task->panel + side * work->panel_size / 2;
        struct place place;

        if (b->pack == NULL) {
            place = in_place(b, panel * 2 + side, step);
        } else {
            b->pack(work->p, panel * 2 + side, step, steps, to);
            place = in_buffer(to, task->b_at);
        }
        block->b[side] = place.at;
        block->b_at = place.step_at;
        block->b_line = place.line;
        block->b_apart = place.apart;
    }
}

/* Two strips of the task's, of which the last may be one. STEP is the number
 * within the part that has BEGUN. */
static void lay_strips(const struct work *work, const struct task *task,
                       int64_t first, int64_t begun, int64_t step,
                       struct db_bf16_block *block)
{
    const struct db_bf16_operand *a = &work->a;
    int64_t side;

    for (side = 0; side < 2; side++) {
        const int64_t strip = db_blas_smaller(first + side, task->strips - 1);
        const struct place place =
            a->pack == NULL
                ? in_place(a, task->first + strip, begun + step)
                : in_buffer(task->block + strip * work->part * tile_size(a),
                            task->a_at + step);

        block->a[side] = place.at;
        block->a_at = place.step_at;
        block->a_line = place.line;
        block->a_apart = place.apart;
    }
}

/* A panel meets all strips of the task, a few of a part's steps at a time. */
static void meet_panel(const struct work *work, const struct task *task,
                       int64_t panel, int64_t begun, int64_t steps)
{
    struct db_bf16_block block = {.a_parts = work->a.parts,
                                  .b_parts = work->b.parts};
    int64_t step, i;

    for (step = 0; step < steps; step += work->few) {
        block.steps = db_blas_smaller(work->few, steps - step);
        block.add = step > 0;
        lay_panel(work, task, panel, begun + step, block.steps, &block);
        for (i = 0; i < task->strips; i += 2) {
            lay_strips(work, task, i, begun, step, &block);
            block.c = task->c + i * DB_BF16_SIDE * DB_BF16_PANEL;
            work->p->isa->multiply(&block);
            if (step + block.steps == steps)
                put_block(work, panel, task->first + i, begun == 0, block.c);
        }
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
    for (i = 0; i < BLOCK_TILES; i++)
        task->a_at[i] = i * tile_size(&work->a);
    for (i = 0; i < PANEL_TILES; i++)
        task->b_at[i] = i * tile_size(&work->b);
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
    p->isa->begin();
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

static void divide(struct work *work)
{
    const struct db_bf16_product *p = work->p;
    const int64_t fit = BLOCK_TILES / work->a.parts;
    int64_t parts;

    work->blocks = db_blas_pieces(
        p->a.strips, p->a.pack == NULL ? BLOCK_STRIPS_THERE : BLOCK_STRIPS);
    work->block = db_blas_pieces(p->a.strips, work->blocks);
    work->block += work->block % 2;
    work->blocks = db_blas_pieces(p->a.strips, work->block);
    work->few = PANEL_TILES / 2 / work->b.parts;
    work->part = p->part;
    if (work->part == 0) {
        parts = db_blas_pieces(p->steps * work->block, fit);
        work->part = db_blas_pieces(p->steps, parts);
        work->part = db_blas_pieces(work->part, work->few) * work->few;
        work->part = db_blas_smaller(work->part, p->steps);
    }
    work->few = few_of(p->run == 0 ? work->part : p->run, work->few);
    work->panels = db_blas_pieces(p->b.strips, 2);
    work->groups = db_blas_smaller(work->panels,
                                   db_blas_pieces(LEAST_TASKS, work->blocks));
    work->group = db_blas_pieces(work->panels, work->groups);
    work->groups = db_blas_pieces(work->panels, work->group);
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
    work->block_size = work->a.pack == NULL
                           ? 0
                           : work->block * work->part * tile_size(&work->a);
    work->panel_size =
        work->b.pack == NULL ? 0 : 2 * work->few * tile_size(&work->b);
    work->own_size =
        work->block_size + work->panel_size +
        work->block * DB_BF16_SIDE * DB_BF16_PANEL * (int64_t)sizeof(float);
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

    divide(&work);
    if (work.a.pack != NULL && work.groups > 1)
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

/* SPDX-License-Identifier: MIT */
/*
 * The product of two matrices made of tiles. A block of A's strips stays in the
 * second-level cache for a part of k; B's panels of two strips pass by there, a
 * few steps at a time, which all strips of the block meet. So C leaves the
 * tiles' registers once for a few steps, and the caches once for each part of
 * k.
 *
 * What many tasks need is packed before, unless the cache will not hold it
 * until then; what one task needs, by that task, just before it is used.
 *
 * A sum is made along k in one order, and what is put away between are floats:
 * so how the work is divided, which depends on the number of threads, does not
 * change a bit.
 */
#include <string.h>

#include "kernel/bf16/product_int.h"

#define LEAST_TASKS 2 /* a thread, unless it has no more than */
#define FEW_STRIPS 32 /* of A */
#define FEW_TILES 640 /* of B */

/* A strip of an operand for some steps. */
struct place {
    const uint8_t *at;
    const int64_t *step_at;
    int64_t line, apart;
};

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
    bool is_whole[DB_BF16_MOST_STRIPS];
};

static uint8_t *panel_of(const struct db_bf16_work *work,
                         const struct task *task, int64_t place)
{
    return task->panel + place * work->panel_size;
}

static float *sums_of(const struct db_bf16_work *work, const struct task *task,
                      const struct db_bf16_stretch *s)
{
    return task->c + s->place * (work->block + 1) * DB_BF16_STRIP_SUMS;
}

/* A stretch of COUNT panels: where there are several, they have values of the
 * same rows of memory, and a row is read for all of them at once. */
static void pack_panels(const struct db_bf16_work *work,
                        const struct task *task,
                        const struct db_bf16_stretch *s, int64_t count)
{
    const struct db_bf16_operand *b = &work->b;
    const int64_t once = work->beside > 1 ? 1 : s->steps;
    const int64_t strips = db_blas_smaller(2 * count, b->strips - 2 * s->panel);
    int64_t step, i;

    for (step = 0; step < s->steps; step += once)
        for (i = 0; i < strips; i++)
            b->pack(work->p, s->panel * 2 + i, s->begun + s->step + step, once,
                    panel_of(work, task, 0) + i * work->panel_size / 2 +
                        step * db_bf16_tile_size(b));
}

/* Where steps of a panel are. */
static void lay_panel(const struct db_bf16_work *work, const struct task *task,
                      const struct db_bf16_stretch *s,
                      struct db_bf16_block *block, const uint8_t *at[2])
{
    const struct db_bf16_operand *b = &work->b;
    int64_t side;

    for (side = 0; side < 2 && s->panel * 2 + side < b->strips; side++) {
        const uint8_t *packed =
            panel_of(work, task, s->place) + side * work->panel_size / 2;
        const struct place place =
            b->pack == NULL
                ? in_place(b, s->panel * 2 + side, s->begun + s->step)
                : in_buffer(packed, work->b_at);

        at[side] = place.at;
        block->b_at = place.step_at;
        block->b_line = place.line;
        block->b_apart = place.apart;
    }
}

static struct place place_of(const struct db_bf16_work *work,
                             const struct task *task,
                             const struct db_bf16_stretch *s, int64_t strip)
{
    const struct db_bf16_operand *a = &work->a;
    const int64_t step = s->begun + s->step;
    struct place place;

    if (a->pack != NULL)
        return in_buffer(task->block +
                             strip * work->part * db_bf16_tile_size(a),
                         work->a_at + s->step);
    if (a->lay == NULL)
        return in_place(a, task->first + strip, step);
    place = in_place(a, strip % a->unit, step);
    place.at = task->block + strip / a->unit * a->unit_size +
               a->strip_at[strip % a->unit];
    return place;
}

/* In bytes. */
static int64_t far_row_of(const struct db_bf16_product *p)
{
    return p->y_row *
           (int64_t)(p->result.y != NULL ? sizeof(float) : sizeof(uint16_t));
}

/* Where the rows of two strips go, if that is far and they lie one behind the
 * other. */
static const uint8_t *far_of(const struct db_bf16_work *work,
                             const struct task *task,
                             const struct db_bf16_stretch *s, int64_t strip,
                             int64_t column)
{
    const struct db_bf16_product *p = work->p;
    int64_t at;

    if (!s->is_last || !work->is_far || strip + 1 >= task->strips ||
        !task->is_whole[strip] || !task->is_whole[strip + 1])
        return NULL;
    at = db_bf16_row_of(p, (task->first + strip) * DB_BF16_SIDE) * p->y_row +
         column;
    return p->result.y != NULL ? (const uint8_t *)(p->result.y + at)
                               : (const uint8_t *)(p->result.y_bf16 + at);
}

/* A strip of the task's; of A only one may be left, which then is there twice,
 * and the second time its sums go nowhere. */
static void lay_strip(const struct db_bf16_work *work, const struct task *task,
                      const struct db_bf16_stretch *s, int64_t strip,
                      bool is_whole, struct db_bf16_block *block,
                      struct db_bf16_pair *pair)
{
    const struct db_bf16_product *p = work->p;
    const int64_t here = db_blas_smaller(strip, task->strips - 1);
    const int64_t column = db_bf16_column_of(p, s->panel * 2);
    const struct place place = place_of(work, task, s, here);
    const float *bias =
        p->result.bias == NULL || p->is_turned ? NULL : p->result.bias + column;
    float *y = NULL;

    if (is_whole && strip == here && task->is_whole[strip])
        y = p->result.y +
            db_bf16_row_of(p, (task->first + strip) * DB_BF16_SIDE) * p->y_row +
            column;
    block->a_at = place.step_at;
    block->a_line = place.line;
    block->a_apart = place.apart;
    if (strip % 2 == 0)
        pair->far = far_of(work, task, s, strip, column);
    pair->a[strip % 2] = place.at;
    pair->sums[strip % 2] = db_bf16_sums_of(
        p, s, sums_of(work, task, s) + strip * DB_BF16_STRIP_SUMS, y, bias);
}

/* Strips that are not whole come into C before all, and leave it behind. */
static void take_strips(const struct db_bf16_work *work,
                        const struct task *task,
                        const struct db_bf16_stretch *s, bool is_whole)
{
    int64_t i;

    for (i = 0; i < task->strips && db_bf16_begins_in_c(work->p, s->panel); i++)
        if (!is_whole || !task->is_whole[i])
            db_bf16_take_strip(work->p, s, task->first + i,
                               sums_of(work, task, s) + i * DB_BF16_STRIP_SUMS);
}

static void put_strips(const struct db_bf16_work *work, const struct task *task,
                       const struct db_bf16_stretch *s, bool is_whole)
{
    int64_t i;

    for (i = 0; i < task->strips; i++)
        if (!is_whole || !task->is_whole[i])
            db_bf16_put_strip(work->p, s, task->first + i,
                              sums_of(work, task, s) + i * DB_BF16_STRIP_SUMS);
}

/* A stretch of a panel, of a part of STEPS, meets all strips of the task. */
static void meet_stretch(const struct db_bf16_work *work,
                         const struct task *task,
                         const struct db_bf16_stretch *s, int64_t steps)
{
    const bool is_whole = db_bf16_is_plain(work->p) && !work->p->is_turned &&
                          db_bf16_is_whole_panel(work->p, s->panel);
    struct db_bf16_block block = {
        .steps = s->steps,
        .a_parts = work->a.parts,
        .b_parts = work->b.parts,
        .far_row = far_row_of(work->p),
        .far_lines = work->p->result.y != NULL ? 2 : 1,
        .is_turned = work->p->is_turned,
        .wanted = db_bf16_wanted_by(work, s, steps, task->last),
        .coming = db_bf16_coming_by(work, s, task->first + task->strips)};
    const uint8_t *b[2] = {NULL, NULL};
    struct db_bf16_pair pairs[DB_BF16_MOST_STRIPS / 2];
    int64_t i;

    lay_panel(work, task, s, &block, b);
    for (i = 0; i < task->strips + task->strips % 2; i++) {
        lay_strip(work, task, s, i, is_whole, &block, &pairs[i / 2]);
        pairs[i / 2].b[i % 2] = b[i % 2];
    }
    if (s->is_first)
        take_strips(work, task, s, is_whole);
    work->p->isa->multiply(&block, pairs, (task->strips + 1) / 2);
    if (s->is_last)
        put_strips(work, task, s, is_whole);
}

/* COUNT panels, a few of a part's steps at a time. */
static void meet_panels(const struct db_bf16_work *work,
                        const struct task *task, int64_t panel, int64_t count,
                        int64_t begun, int64_t steps)
{
    struct db_bf16_stretch s = {.begun = begun, .is_first_part = begun == 0};

    for (s.step = 0; s.step < steps; s.step += work->few) {
        s.panel = panel;
        s.steps = db_blas_smaller(work->few, steps - s.step);
        s.is_first = s.step == 0;
        s.is_last = s.step + s.steps == steps;
        if (work->b.pack != NULL)
            pack_panels(work, task, &s, count);
        for (s.place = 0; s.place < count; s.place++, s.panel++)
            meet_stretch(work, task, &s, steps);
    }
}

static void begin_task(const struct db_bf16_work *work, int64_t index,
                       int worker, struct task *task)
{
    int64_t i;

    task->first = index / work->groups * work->block;
    task->strips =
        db_blas_smaller(work->block, work->p->a.strips - task->first);
    task->block = work->own + worker * work->own_size;
    task->panel = task->block + work->block_size;
    task->c = (float *)(void *)(task->panel + work->beside * work->panel_size);
    for (i = 0; i < task->strips; i++)
        task->is_whole[i] = db_bf16_is_whole_strip(work->p, task->first + i);
}

/* Rows that strips share are read once, from their beginning to their end: then
 * the processor fetches what comes. */
static void pack_block(const struct db_bf16_work *work, const struct task *task,
                       int64_t begun, int64_t steps)
{
    const struct db_bf16_operand *a = &work->a;
    const int64_t once = a->is_across ? 1 : steps;
    int64_t step, i;

    for (step = 0; step < steps; step += once)
        for (i = 0; i < task->strips; i++)
            a->pack(work->p, task->first + i, begun + step, once,
                    task->block +
                        (i * work->part + step) * db_bf16_tile_size(a));
}

void db_bf16_multiply_block(void *argument, int64_t index, int worker)
{
    const struct db_bf16_work *work = argument;
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
        if (work->a.pack != NULL)
            pack_block(work, &task, begun, steps);
        for (panel = first; panel < last; panel += work->beside)
            meet_panels(work, &task, panel,
                        db_blas_smaller(work->beside, last - panel), begun,
                        steps);
    }
    p->isa->end();
}

void db_bf16_measure_own(struct db_bf16_work *work)
{
    work->block_size = work->a.lay != NULL ? work->a.units * work->a.unit_size
                       : work->a.pack != NULL ? work->block * work->part *
                                                    db_bf16_tile_size(&work->a)
                                              : 0;
    work->panel_size =
        work->b.pack == NULL ? 0 : 2 * work->few * db_bf16_tile_size(&work->b);
    work->own_size = work->block_size +
                     work->beside * (work->panel_size +
                                     (work->block + 1) * DB_BF16_STRIP_SUMS *
                                         (int64_t)sizeof(float));
}

void *db_bf16_new_own(const dreambooth_kernel_host *host,
                      struct db_bf16_work *work)
{
    const int64_t all = host->threads * work->own_size;
    int64_t i;

    work->own = host->scratch_new(host, (size_t)all + (size_t)work->part *
                                                          sizeof(*work->a_at));
    if (work->own == NULL)
        return NULL;
    work->a_at = (int64_t *)(void *)(work->own + all);
    for (i = 0; i < work->part; i++)
        work->a_at[i] = i * db_bf16_tile_size(&work->a);
    return work->own;
}

static int run_tasks(const dreambooth_kernel_host *host,
                     struct db_bf16_work *work)
{
    db_bf16_measure_own(work);
    if (db_bf16_new_own(host, work) == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, work->blocks * work->groups, db_bf16_multiply_block,
                   work);
    host->scratch_free(host, work->own);
    return DREAMBOOTH_OK;
}

/* One a thread where it can have its part of A, and all of B, in its cache:
 * packing B for more of them, or before all, would take longer. */
static int64_t tasks_of(const struct db_bf16_product *product, int threads,
                        bool is_kept)
{
    const struct db_bf16_operand *b = &product->b;
    const bool is_small = product->a.strips <= threads * FEW_STRIPS &&
                          b->strips * product->steps * b->parts <= FEW_TILES;

    return is_kept || is_small ? threads : (int64_t)threads * LEAST_TASKS;
}

int db_bf16_multiply(const dreambooth_kernel_host *host,
                     const struct db_bf16_product *product)
{
    struct db_bf16_work work = {.p = product, .a = product->a, .b = product->b};
    const bool is_kept = db_bf16_lay_once(host, product, &work.b);
    void *a = NULL, *b = NULL;
    int status = DREAMBOOTH_OK;

    db_bf16_divide(&work, host->threads,
                   tasks_of(product, host->threads, is_kept));
    if (is_kept && db_bf16_has_shares(&work))
        return db_bf16_multiply_shares(host, &work);
    if (db_bf16_is_a_ahead(&work))
        status = db_bf16_lay_for_now(host, product, &work.a, &a);
    if (status == DREAMBOOTH_OK && !is_kept && db_bf16_is_b_ahead(&work))
        status = db_bf16_lay_for_now(host, product, &work.b, &b);
    if (status == DREAMBOOTH_OK)
        status = run_tasks(host, &work);
    if (b != NULL)
        host->scratch_free(host, b);
    if (a != NULL)
        host->scratch_free(host, a);
    return status;
}

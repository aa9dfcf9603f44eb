/* SPDX-License-Identifier: MIT */
/*
 * Attention by tiles, forward (Dao et al., 2022, "FlashAttention"): blocks of
 * keys pass by a block of queries. A score is one product along k of all its
 * products of parts,
 *     q0 k0 + q0 k1 + q1 k0 = [q0 q0 q1] [k0 k1 k0],
 * so that a head of 40 takes 4 steps, not 6. A value of ones makes the sums of
 * the weights. What weights are relative to, the largest score of the first
 * block, may be far from that of all, for they are floats. Only where a sum
 * shows that it was too far, the task is done again with the usual care: each
 * block of keys raises it, and results are scaled down.
 */
#include <math.h>
#include <string.h>

#include "kernel/bf16/attention_int.h"

#define QUERIES 256 /* of a task */
/* Bytes of keys that all panels of a task meet one after the other: they stay
 * in the second-level cache. */
#define CHUNK (512 << 10)
#define FIRST_CACHE (48 << 10) /* of any processor with AMX */
#define MOST_GROUP 4           /* units that a panel meets at once */
#define MOST_SUM 0x1p63f
#define BLOCK (DB_BF16_PANEL * DB_BF16_PANEL)
#define PANELS (QUERIES / DB_BF16_PANEL)

struct work {
    struct db_bf16_heads heads;
    struct db_bf16_units units;
    int64_t value_panels; /* of a head's values and ones, by 32 */
    int64_t group;        /* units that a panel meets at once */
    int64_t blocks;       /* tasks a head */
    uint8_t *own;
    int64_t own_size;
};

/* 32 queries. */
struct panel {
    uint8_t *q; /* lines of all terms */
    float *y;   /* [head size / 32][32, 32] */
    float maximum[DB_BF16_PANEL];
};

struct task {
    int64_t head, first, count; /* queries */
    bool is_careful;            /* maxima are raised by every unit of keys */
    bool is_lost;               /* scores were beyond what meet() can */
    struct panel panels[PANELS];
    int64_t units;
    float *scores; /* [2 groups][32, 32] */
    uint8_t *p;    /* [2 groups][2 strips][parts] tiles */
};

static void score(const struct work *work, const struct task *task,
                  const struct panel *panel, int64_t unit)
{
    const struct db_bf16_heads *h = &work->heads;
    const struct db_bf16_row row = {
        .steps = h->score_steps,
        .parts = 1,
        .a = {panel->q, panel->q + DB_BF16_SIDE * h->score_line},
        .is_lines = true,
        .b = db_bf16_unit(&work->units, task->head, unit),
        .b_strip = h->score_steps * DB_BF16_TILE,
        .strips = 2,
        .c = task->scores};

    db_bf16_multiply_row(h, &row);
}

/* Whether a panel's queries see all keys of a unit. */
static bool is_seen(const struct work *work, const struct task *task,
                    int64_t number, int64_t unit)
{
    const dreambooth_attention *a = work->heads.a;
    const int64_t end = (unit + 1) * DB_BF16_PANEL;

    return end <= a->key_length &&
           (!a->causal || end <= task->first + number * DB_BF16_PANEL + 1);
}

/* Keys that are not there, and with causal those behind a query, get -inf. */
static void hide(const struct work *work, const struct task *task,
                 int64_t number, int64_t unit)
{
    const dreambooth_attention *a = work->heads.a;
    const int64_t query = task->first + number * DB_BF16_PANEL;
    int64_t r, k;

    for (r = 0; r < DB_BF16_PANEL; r++) {
        int64_t end = a->key_length;

        if (a->causal)
            end = db_blas_smaller(end, query + r + 1);
        end -= unit * DB_BF16_PANEL;
        for (k = db_blas_larger(end, 0); k < DB_BF16_PANEL; k++)
            task->scores[r * DB_BF16_PANEL + k] = -INFINITY;
    }
}

/* y += p v */
static void gather(const struct work *work, const struct task *task,
                   const struct panel *panel, int64_t unit)
{
    const struct db_bf16_heads *h = &work->heads;
    const int64_t tiles = DB_BF16_TILE * h->parts;
    const struct db_bf16_row row = {
        .steps = 1,
        .parts = h->parts,
        .a = {task->p, task->p + tiles},
        .b = db_bf16_unit(&work->units, task->head, unit) +
             2 * h->score_steps * DB_BF16_TILE,
        .b_strip = tiles,
        .strips = work->units.strips,
        .c = panel->y,
        .add = true};

    db_bf16_multiply_row(h, &row);
}

static void raise_maxima(const struct work *work, const struct panel *panel,
                         const struct db_bf16_softening *s)
{
    const struct db_bf16_isa *isa = work->heads.isa;
    float factor[DB_BF16_PANEL];
    int64_t r, i;

    isa->raise_maxima(s, factor);
    for (r = 0; r < DB_BF16_PANEL; r++)
        for (i = 0; factor[r] != 1.0f && i < work->value_panels; i++)
            isa->scale(factor[r],
                       panel->y + (i * DB_BF16_PANEL + r) * DB_BF16_PANEL);
}

static void meet_unit(const struct work *work, struct task *task,
                      int64_t number, int64_t unit)
{
    const struct db_bf16_heads *h = &work->heads;
    struct panel *panel = &task->panels[number];
    const struct db_bf16_softening s = {.keys = DB_BF16_PANEL,
                                        .scores = task->scores,
                                        .maximum = panel->maximum,
                                        .p = task->p,
                                        .parts = h->parts};

    score(work, task, panel, unit);
    if (!is_seen(work, task, number, unit))
        hide(work, task, number, unit);
    if (unit == 0 || task->is_careful)
        raise_maxima(work, panel, &s);
    h->isa->soften(&s);
    gather(work, task, panel, unit);
}

/* COUNT units that are seen, from UNIT on, at once. */
static void meet_units(const struct work *work, struct task *task,
                       int64_t number, int64_t unit, int64_t count)
{
    const struct db_bf16_heads *h = &work->heads;
    const struct panel *panel = &task->panels[number];
    const struct db_bf16_meeting meeting = {
        .parts = h->parts,
        .units = db_bf16_unit(&work->units, task->head, unit),
        .count = count,
        .unit_size = work->units.size,
        .size = h->a->head_size,
        .steps = h->score_steps,
        .strips = work->units.strips,
        .q = panel->q,
        .maximum = panel->maximum,
        .y = panel->y,
        .group = work->group,
        .scores = task->scores,
        .p = task->p};

    if (!h->isa->meet(&meeting))
        task->is_lost = true;
}

/* A panel meets units from UNIT to END. */
static void meet(const struct work *work, struct task *task, int64_t number,
                 int64_t unit, int64_t end)
{
    const struct db_bf16_heads *h = &work->heads;
    const bool meets = h->isa->meet != NULL && h->parts <= h->isa->most_parts;
    int64_t last;

    while (unit < end) {
        last = unit;
        if (unit > 0 && !task->is_careful && meets)
            while (last < end && is_seen(work, task, number, last))
                last++;
        if (last > unit + 1) {
            meet_units(work, task, number, unit, last - unit);
            unit = last;
        } else { /* there is nothing that it could be softened beside */
            meet_unit(work, task, number, unit++);
        }
    }
}

static void begin_panel(const struct work *work, struct task *task,
                        int64_t number)
{
    struct panel *panel = &task->panels[number];
    int i;

    db_bf16_lay_queries(&work->heads, task->head,
                        task->first + number * DB_BF16_PANEL, panel->q);
    memset(panel->y, 0, (size_t)(work->value_panels * BLOCK) * sizeof(float));
    for (i = 0; i < DB_BF16_PANEL; i++)
        panel->maximum[i] = -INFINITY;
}

/* Where the sum of a query's weights is. */
static const float *sum_of(const struct work *work, const struct panel *panel,
                           int64_t query)
{
    const int64_t at = work->heads.a->head_size;

    return panel->y +
           (at / DB_BF16_PANEL * DB_BF16_PANEL + query) * DB_BF16_PANEL +
           at % DB_BF16_PANEL;
}

static void end_panel(const struct work *work, const struct task *task,
                      int64_t number)
{
    const dreambooth_attention *a = work->heads.a;
    const struct panel *panel = &task->panels[number];
    const int64_t first = task->first + number * DB_BF16_PANEL;
    const int64_t count =
        db_blas_smaller(DB_BF16_PANEL, a->query_length - first);
    int64_t at = db_bf16_head_at(&work->heads, a->query_length, task->head) +
                 first * work->heads.row;
    float *lse = a->lse + task->head * a->query_length + first;
    int64_t r, i;

    for (r = 0; r < count; r++, at += work->heads.row) {
        const float sum = *sum_of(work, panel, r);
        struct db_bf16_result result = {.alpha = 1.0f / sum};

        for (i = 0; i < a->head_size; i += DB_BF16_PANEL) {
            if (a->y != NULL)
                result.y = a->y + at + i;
            else
                result.y_bf16 = a->y_bf16 + at + i;
            work->heads.isa->put(
                1, db_blas_smaller(DB_BF16_PANEL, a->head_size - i),
                panel->y + (i + r) * DB_BF16_PANEL, 0, &result, 0);
        }
        lse[r] = (float)((double)panel->maximum[r] * DB_BF16_LN_2 +
                         log((double)sum));
    }
}

/* In bytes. */
static int64_t weights_size(const struct work *work)
{
    return 2 * work->group * 2 * DB_BF16_TILE * work->heads.parts;
}

static void begin_task(const struct work *work, int64_t index, int worker,
                       struct task *task)
{
    const struct db_bf16_heads *h = &work->heads;
    const dreambooth_attention *a = h->a;
    uint8_t *own = work->own + worker * work->own_size;
    int i;

    task->is_careful = false;
    task->is_lost = false;
    task->head = index / work->blocks;
    task->first = index % work->blocks * QUERIES;
    task->count = db_blas_smaller(QUERIES, a->query_length - task->first);
    task->units = work->units.count;
    if (a->causal)
        task->units = db_blas_smaller(
            task->units,
            db_blas_pieces(task->first + task->count, DB_BF16_PANEL));
    task->p = own;
    own += weights_size(work);
    for (i = 0; i < PANELS; i++, own += DB_BF16_PANEL * h->score_line)
        task->panels[i].q = own;
    task->scores = (float *)(void *)own;
    for (i = 0; i < PANELS; i++)
        task->panels[i].y =
            task->scores + (2 * work->group + i * work->value_panels) * BLOCK;
}

static void meet_all_keys(const struct work *work, struct task *task)
{
    const int64_t most =
        db_blas_pieces(CHUNK, work->group * work->units.size) * work->group;
    int64_t unit, i;

    for (i = 0; i * DB_BF16_PANEL < task->count; i++)
        begin_panel(work, task, i);
    for (unit = 0; unit < task->units; unit += most)
        for (i = 0; i * DB_BF16_PANEL < task->count; i++)
            meet(work, task, i, unit,
                 db_blas_smaller(unit + most, task->units));
}

/* Whether no weight came near the end of what a float holds. */
static bool is_well(const struct work *work, const struct task *task)
{
    int64_t r;

    if (task->is_lost)
        return false;
    for (r = 0; r < task->count; r++)
        if (!(*sum_of(work, &task->panels[r / DB_BF16_PANEL],
                      r % DB_BF16_PANEL) < MOST_SUM))
            return false;
    return true;
}

static void attend(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    struct task task;
    int64_t i;

    begin_task(work, index, worker, &task);
    work->heads.isa->begin();
    meet_all_keys(work, &task);
    if (!is_well(work, &task)) {
        task.is_careful = true;
        meet_all_keys(work, &task);
    }
    for (i = 0; i * DB_BF16_PANEL < task.count; i++)
        end_panel(work, &task, i);
    work->heads.isa->end();
}

/* As many as fit the first-level cache with all that a panel needs; the most
 * where not even one fits, so that y is read and written less often. */
static int64_t group_of(const struct work *work)
{
    const struct db_bf16_heads *h = &work->heads;
    const int64_t fixed =
        DB_BF16_PANEL * h->score_line + work->units.strips * 2 * DB_BF16_TILE;
    const int64_t each =
        2 * (BLOCK * (int64_t)sizeof(float) + 2 * h->parts * DB_BF16_TILE) +
        work->units.size;
    const int64_t fit = (FIRST_CACHE - fixed) / each;

    return fit < 1 ? MOST_GROUP : db_blas_smaller(fit, MOST_GROUP);
}

static int run_tasks(const dreambooth_kernel_host *host, struct work *work)
{
    const struct db_bf16_heads *h = &work->heads;

    work->group = group_of(work);
    work->blocks = db_blas_pieces(h->a->query_length, QUERIES);
    work->own_size = weights_size(work) + QUERIES * h->score_line +
                     (2 * work->group + PANELS * work->value_panels) * BLOCK *
                         (int64_t)sizeof(float);
    work->own =
        host->scratch_new(host, (size_t)(host->threads * work->own_size));
    if (work->own == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, h->a->batch * h->a->heads * work->blocks, attend,
                   work);
    host->scratch_free(host, work->own);
    return DREAMBOOTH_OK;
}

int db_bf16_attention_forward(const dreambooth_kernel_host *host,
                              const struct db_bf16_isa *isa, int parts,
                              const dreambooth_attention *a)
{
    struct work work;
    int status;

    db_bf16_heads_init(&work.heads, isa, parts, a);
    work.value_panels = a->head_size / DB_BF16_PANEL + 1;
    status = db_bf16_pack_units(host, &work.heads, &work.units);
    if (status != DREAMBOOTH_OK)
        return status;
    status = run_tasks(host, &work);
    host->scratch_free(host, work.units.at);
    return status;
}

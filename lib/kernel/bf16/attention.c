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

#define QUERIES 128 /* of a task */
#define KEYS 256    /* at a time */
#define MOST_SUM 0x1p64f
#define PANELS (QUERIES / DB_BF16_PANEL)

struct work {
    struct db_bf16_heads heads;
    struct db_bf16_packed k, v; /* of all heads */
    int64_t value_panels;       /* of a head's values and ones, by 32 */
    int64_t blocks;             /* tasks a head */
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
    bool is_careful;            /* maxima are raised by every block of keys */
    struct panel panels[PANELS];
    float *scores; /* [keys / 32][32, 32] */
    uint8_t *p;    /* [2 strips][keys / 32][parts] tiles */
};

/* Scores of a panel's queries with KEYS keys from FIRST on. */
static void score(const struct work *work, const struct task *task,
                  const struct panel *panel, int64_t first, int64_t keys)
{
    const struct db_bf16_heads *h = &work->heads;
    struct db_bf16_block block = {
        .steps = h->score_steps,
        .a = {panel->q, panel->q + DB_BF16_SIDE * h->score_line},
        .a_at = h->line_at,
        .b_at = h->tile_at,
        .a_line = h->score_line,
        .b_line = DB_BF16_LINE,
        .a_parts = 1,
        .b_parts = 1,
        .c = task->scores};
    int64_t i;

    for (i = 0; i < keys; i += DB_BF16_PANEL) {
        block.b[0] =
            db_bf16_strip(&work->k, task->head, (first + i) / DB_BF16_SIDE);
        block.b[1] = block.b[0] + work->k.strip;
        h->isa->multiply(&block);
        block.c += DB_BF16_PANEL * DB_BF16_PANEL;
    }
}

/* Keys that are not there, and with causal those behind a query, get -inf. */
static void hide(const struct work *work, const struct task *task,
                 int64_t query, int64_t first, int64_t keys)
{
    const dreambooth_attention *a = work->heads.a;
    int64_t r, k;

    if (first + keys <= a->key_length &&
        (!a->causal || first + keys <= query + 1))
        return;
    for (r = 0; r < DB_BF16_PANEL; r++) {
        int64_t end = a->key_length;

        if (a->causal)
            end = db_blas_smaller(end, query + r + 1);
        for (k = db_blas_larger(end - first, 0); k < keys; k++)
            task->scores[(k / DB_BF16_PANEL * DB_BF16_PANEL + r) *
                             DB_BF16_PANEL +
                         k % DB_BF16_PANEL] = -INFINITY;
    }
}

/* y += p v */
static void gather(const struct work *work, const struct task *task,
                   const struct panel *panel, int64_t first, int64_t keys)
{
    const struct db_bf16_heads *h = &work->heads;
    const int64_t steps = keys / DB_BF16_STEP;
    const int64_t tiles = DB_BF16_TILE * h->parts;
    struct db_bf16_block block = {.steps = steps,
                                  .a = {task->p, task->p + steps * tiles},
                                  .a_at = h->tile_at_parts,
                                  .b_at = h->tile_at_parts,
                                  .a_line = DB_BF16_LINE,
                                  .b_line = DB_BF16_LINE,
                                  .a_parts = h->parts,
                                  .b_parts = h->parts,
                                  .a_apart = DB_BF16_TILE,
                                  .b_apart = DB_BF16_TILE,
                                  .c = panel->y,
                                  .add = true};
    int64_t strip;

    for (strip = 0; strip < work->v.strips; strip += 2) {
        block.b[0] = db_bf16_strip(&work->v, task->head, strip) +
                     first / DB_BF16_STEP * tiles;
        block.b[1] =
            strip + 1 < work->v.strips ? block.b[0] + work->v.strip : NULL;
        h->isa->multiply(&block);
        block.c += DB_BF16_PANEL * DB_BF16_PANEL;
    }
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

static void meet_keys(const struct work *work, const struct task *task,
                      int64_t number, int64_t first, int64_t keys)
{
    const struct db_bf16_heads *h = &work->heads;
    struct panel *panel = (struct panel *)&task->panels[number];
    const struct db_bf16_softening s = {.keys = keys,
                                        .scores = task->scores,
                                        .maximum = panel->maximum,
                                        .p = task->p,
                                        .parts = h->parts};

    score(work, task, panel, first, keys);
    hide(work, task, task->first + number * DB_BF16_PANEL, first, keys);
    if (first == 0 || task->is_careful)
        raise_maxima(work, panel, &s);
    h->isa->soften(&s);
    gather(work, task, panel, first, keys);
}

static void begin_panel(const struct work *work, struct task *task,
                        int64_t number)
{
    const struct db_bf16_heads *h = &work->heads;
    struct panel *panel = &task->panels[number];
    const int64_t first = number * DB_BF16_PANEL;
    int i;

    db_bf16_lay_terms(h, h->a->q, h->a->query_length, task->head,
                      task->first + first, DB_BF16_PANEL,
                      (float)((double)h->a->scale * DB_BF16_LOG2_E), true,
                      panel->q);
    memset(panel->y, 0,
           (size_t)(work->value_panels * DB_BF16_PANEL * DB_BF16_PANEL) *
               sizeof(float));
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
    float *y = a->y +
               db_bf16_head_at(&work->heads, a->query_length, task->head) +
               first * work->heads.row;
    float *lse = a->lse + task->head * a->query_length + first;
    int64_t r, i;

    for (r = 0; r < count; r++, y += work->heads.row) {
        const float sum = *sum_of(work, panel, r);
        struct db_bf16_result result = {y, 1.0f / sum, 0.0f, NULL};

        for (i = 0; i < a->head_size; i += DB_BF16_PANEL) {
            result.y = y + i;
            work->heads.isa->put(
                db_blas_smaller(DB_BF16_PANEL, a->head_size - i),
                panel->y + (i + r) * DB_BF16_PANEL, &result);
        }
        lse[r] = (float)((double)panel->maximum[r] * DB_BF16_LN_2 +
                         log((double)sum));
    }
}

static void begin_task(const struct work *work, int64_t index, int worker,
                       struct task *task)
{
    const struct db_bf16_heads *h = &work->heads;
    const int64_t block = DB_BF16_PANEL * DB_BF16_PANEL;
    uint8_t *own = work->own + worker * work->own_size;
    int i;

    task->is_careful = false;
    task->head = index / work->blocks;
    task->first = index % work->blocks * QUERIES;
    task->count = db_blas_smaller(QUERIES, h->a->query_length - task->first);
    task->p = own;
    own += KEYS / DB_BF16_SIDE * DB_BF16_TILE * h->parts;
    for (i = 0; i < PANELS; i++, own += DB_BF16_PANEL * h->score_line)
        task->panels[i].q = own;
    task->scores = (float *)(void *)own;
    for (i = 0; i < PANELS; i++)
        task->panels[i].y = task->scores + KEYS * DB_BF16_PANEL +
                            i * work->value_panels * block;
}

static void meet_all_keys(const struct work *work, struct task *task)
{
    int64_t end = work->k.length, first, i;

    for (i = 0; i * DB_BF16_PANEL < task->count; i++)
        begin_panel(work, task, i);
    if (work->heads.a->causal)
        end = db_blas_smaller(
            end, db_blas_pieces(task->first + task->count, DB_BF16_PANEL) *
                     DB_BF16_PANEL);
    for (first = 0; first < end; first += KEYS)
        for (i = 0; i * DB_BF16_PANEL < task->count; i++)
            meet_keys(work, task, i, first, db_blas_smaller(KEYS, end - first));
}

/* Whether no weight came near the end of what a float holds. */
static bool is_well(const struct work *work, const struct task *task)
{
    int64_t r;

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

static int run_tasks(const dreambooth_kernel_host *host, struct work *work)
{
    const struct db_bf16_heads *h = &work->heads;

    work->blocks = db_blas_pieces(h->a->query_length, QUERIES);
    work->own_size = KEYS / DB_BF16_SIDE * DB_BF16_TILE * h->parts +
                     QUERIES * h->score_line +
                     (KEYS + QUERIES * work->value_panels) * DB_BF16_PANEL *
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
    status =
        db_bf16_pack_terms(host, &work.heads, a->k, a->key_length, &work.k);
    if (status != DREAMBOOTH_OK)
        return status;
    status =
        db_bf16_pack_values(host, &work.heads, a->v, a->key_length, &work.v);
    if (status == DREAMBOOTH_OK) {
        status = run_tasks(host, &work);
        host->scratch_free(host, work.v.at);
    }
    host->scratch_free(host, work.k.at);
    return status;
}

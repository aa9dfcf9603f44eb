/* SPDX-License-Identifier: MIT */
/*
 * Attention by tiles, backward. A task is a head. Scores are made turned round,
 * keys by queries, so that softmax and its gradient come out as left sides:
 *     p = 2^(k q^T - lse)      ds = p (v dy^T - sum(dy y))
 *     dv += p dy               dk += ds q               dq^T += k^T ds
 * 32 keys, a panel, meet a unit of 32 queries: what is between fits the
 * first-level cache. Blocks of panels keep their dk and dv while all units pass
 * by; dq gathers in the head's own memory, panel after panel.
 */
#include <math.h>
#include <string.h>

#include "kernel/bf16/attention_int.h"

#define KEYS 512 /* of a block */
/* Bytes of queries that all panels of a block meet one after the other: they
 * stay in the second-level cache. */
#define CHUNK (512 << 10)
#define BLOCK (DB_BF16_PANEL * DB_BF16_PANEL)
#define KEY_PANELS (KEYS / DB_BF16_PANEL)

struct work {
    struct db_bf16_heads heads;
    int64_t queries, keys; /* by 32 */
    int64_t terms, along;  /* bytes of 32 positions, with k along either side */
    int64_t unit, panel;   /* bytes */
    int64_t chunk;         /* units */
    uint8_t *own;
    int64_t own_size;
};

/* A worker's memory, as db_bf16_return has it. */
struct task {
    const struct work *work;
    int64_t head;
    uint8_t *units;  /* of all queries */
    uint8_t *panels; /* of a block of keys */
    uint8_t *lines;  /* room for 32 positions */
    uint8_t *weights;
    float *lse, *sum; /* of all queries */
    float *dq;        /* [units][size panels][32, 32] */
    float *dk, *dv;   /* [key panels][size panels][32, 32] */
    float *scores;
};

/* Lays the parts of a worker's memory at BASE; their bytes. */
static int64_t lay_memory(const struct work *work, uint8_t *base,
                          struct task *t)
{
    const int64_t of_panel = work->heads.size_panels * BLOCK;
    const int64_t panels = db_blas_smaller(work->keys, KEY_PANELS);
    const struct {
        uint8_t **at;
        int64_t bytes;
    } places[] = {
        {&t->weights,
         DB_BF16_RETURNED * 3 * 2 * work->heads.parts * DB_BF16_TILE},
        {&t->lines, work->terms},
        {&t->panels, panels * work->panel},
        {&t->units, work->queries * work->unit},
    };
    const struct {
        float **at;
        int64_t count;
    } floats[] = {
        {&t->scores, DB_BF16_RETURNED * 2 * BLOCK},
        {&t->dk, panels * of_panel},
        {&t->dv, panels * of_panel},
        {&t->dq, work->queries * of_panel},
        {&t->lse, work->queries * DB_BF16_PANEL},
        {&t->sum, work->queries * DB_BF16_PANEL},
    };
    int64_t used = 0;
    size_t i;

    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        *places[i].at = base == NULL ? NULL : base + used;
        used += places[i].bytes;
    }
    for (i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        *floats[i].at = base == NULL ? NULL : (float *)(void *)(base + used);
        used += floats[i].count * (int64_t)sizeof(float);
    }
    return used;
}

/* lse of base 2, and sum(dy y), of a unit's queries. A query that is not there
 * has lse infinite, so that its p is 0. */
static void begin_queries(const struct task *t, int64_t unit)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t at = db_bf16_head_at(h, a->query_length, t->head);
    int64_t q, i;

    for (q = unit * DB_BF16_PANEL; q < (unit + 1) * DB_BF16_PANEL; q++) {
        const float *y = a->y + at + q * h->row;
        const float *dy = a->dy + at + q * h->row;
        double sum = 0.0;

        t->lse[q] = INFINITY;
        t->sum[q] = 0.0f;
        if (q >= a->query_length)
            continue;
        for (i = 0; i < a->head_size; i++)
            sum += (double)dy[i] * (double)y[i];
        t->sum[q] = (float)sum;
        t->lse[q] = (float)((double)a->lse[t->head * a->query_length + q] *
                            DB_BF16_LOG2_E);
    }
}

/* 32 queries' right sides of scores. */
static void pack_terms(const struct task *t, const float *x, int64_t unit,
                       uint8_t *to)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const int64_t strip = DB_BF16_SIDE * h->score_line;
    int64_t at, i;

    db_bf16_lay_terms(h, x, h->a->query_length, t->head, unit * DB_BF16_PANEL,
                      DB_BF16_PANEL, 1.0f, false, t->lines);
    for (at = 0; at < t->work->terms; at += strip)
        for (i = 0; i < h->score_steps; i++, to += DB_BF16_TILE)
            h->isa->turn(t->lines + at + i * DB_BF16_LINE, h->score_line, to);
}

static void pack_queries(const struct task *t)
{
    const struct work *work = t->work;
    const dreambooth_attention *a = work->heads.a;
    uint8_t *to = t->units;
    int64_t i;

    for (i = 0; i < work->queries; i++, to += work->unit) {
        pack_terms(t, a->q, i, to);
        pack_terms(t, a->dy, i, to + work->terms);
        db_bf16_pack_along(&work->heads, a->q, a->query_length, t->head,
                           i * DB_BF16_PANEL, to + 2 * work->terms);
        db_bf16_pack_along(&work->heads, a->dy, a->query_length, t->head,
                           i * DB_BF16_PANEL,
                           to + 2 * work->terms + work->along);
        begin_queries(t, i);
    }
}

static void pack_panel(const struct task *t, int64_t panel, uint8_t *to)
{
    const struct work *work = t->work;
    const struct db_bf16_heads *h = &work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t first = panel * DB_BF16_PANEL;
    uint8_t *turned = to + 2 * work->terms;
    int64_t i;

    db_bf16_lay_terms(h, a->k, a->key_length, t->head, first, DB_BF16_PANEL,
                      (float)((double)a->scale * DB_BF16_LOG2_E), true, to);
    db_bf16_lay_terms(h, a->v, a->key_length, t->head, first, DB_BF16_PANEL,
                      1.0f, true, to + work->terms);
    db_bf16_pack_along(h, a->k, a->key_length, t->head, first, turned);
    for (i = 0; i < work->along; i += DB_BF16_TILE)
        h->isa->turn(turned + i, DB_BF16_LINE, turned + i);
}

/* c [32 keys, 32 queries] = lines of keys times terms of queries. */
static void score(const struct db_bf16_heads *h, const uint8_t *lines,
                  const uint8_t *terms, float *c)
{
    const struct db_bf16_row row = {
        .steps = h->score_steps,
        .parts = 1,
        .a = {lines, lines + DB_BF16_SIDE * h->score_line},
        .is_lines = true,
        .b = terms,
        .b_strip = h->score_steps * DB_BF16_TILE,
        .strips = 2,
        .c = c};

    db_bf16_multiply_row(h, &row);
}

/* Keys that are not there, and with causal those behind a query, do not count.
 */
static void hide(const struct db_bf16_heads *h, int64_t panel, int64_t unit,
                 float *scores)
{
    const dreambooth_attention *a = h->a;
    const int64_t last = a->key_length - panel * DB_BF16_PANEL;
    int64_t k, q, end;

    for (k = 0; k < DB_BF16_PANEL; k++) {
        end = a->causal ? (panel - unit) * DB_BF16_PANEL + k : 0;
        if (k >= last)
            end = DB_BF16_PANEL;
        for (q = 0; q < db_blas_smaller(end, DB_BF16_PANEL); q++)
            scores[k * DB_BF16_PANEL + q] = -INFINITY;
    }
}

/* to [strips / 2][32, 32] += two strips of A times STRIPS of B, a step. */
static void gather(const struct db_bf16_heads *h, const uint8_t *a0,
                   const uint8_t *a1, const uint8_t *b, int64_t strips,
                   float *to)
{
    const struct db_bf16_row row = {.steps = 1,
                                    .parts = h->parts,
                                    .a = {a0, a1},
                                    .b = b,
                                    .b_strip = h->parts * DB_BF16_TILE,
                                    .strips = strips,
                                    .c = to,
                                    .add = true};

    db_bf16_multiply_row(h, &row);
}

/* A panel meets a unit. */
static void meet_unit(const struct task *t, const struct db_bf16_return *m,
                      int64_t panel, int64_t unit)
{
    const struct work *work = t->work;
    const struct db_bf16_heads *h = &work->heads;
    const int64_t tiles = h->parts * DB_BF16_TILE;
    const uint8_t *q = m->units + 2 * work->terms, *dy = q + work->along;
    const uint8_t *turned = m->panel + 2 * work->terms;
    const struct db_bf16_weighing w = {.parts = h->parts,
                                       .scores = m->scores,
                                       .dp = m->scores + BLOCK,
                                       .lse = m->lse,
                                       .sum = m->sum,
                                       .p = m->weights,
                                       .ds = m->weights + 2 * tiles,
                                       .right = m->weights + 4 * tiles};
    int64_t i;

    score(h, m->panel, m->units, m->scores);
    score(h, m->panel + work->terms, m->units + work->terms, m->scores + BLOCK);
    hide(h, panel, unit, m->scores);
    h->isa->weigh(&w);
    gather(h, w.p, w.p + tiles, dy, h->size_strips, m->dv);
    gather(h, w.ds, w.ds + tiles, q, h->size_strips, m->dk);
    for (i = 0; i < h->size_strips; i += 2)
        gather(h, turned + i * tiles,
               turned + (i + 1 < h->size_strips ? i + 1 : i) * tiles, w.right,
               2, m->dq + i / 2 * BLOCK);
}

/* Units of queries from FIRST to END meet a panel of the block. */
static void meet(const struct task *t, int64_t panel, int64_t first,
                 int64_t end)
{
    const struct work *work = t->work;
    const struct db_bf16_heads *h = &work->heads;
    const int64_t of_panel = h->size_panels * BLOCK;
    const int64_t place = panel % KEY_PANELS;
    struct db_bf16_return m = {.parts = h->parts,
                               .steps = h->score_steps,
                               .strips = h->size_strips,
                               .panel = t->panels + place * work->panel,
                               .unit_size = work->unit,
                               .dk = t->dk + place * of_panel,
                               .dv = t->dv + place * of_panel,
                               .scores = t->scores,
                               .weights = t->weights};
    const bool is_whole =
        !h->a->causal && (panel + 1) * DB_BF16_PANEL <= h->a->key_length;

    if (h->a->causal)
        first = db_blas_larger(first, panel);
    while (first < end) {
        m.units = t->units + first * work->unit;
        m.lse = t->lse + first * DB_BF16_PANEL;
        m.sum = t->sum + first * DB_BF16_PANEL;
        m.dq = t->dq + first * of_panel;
        m.count = end - first;
        if (is_whole && h->isa->meet_back != NULL) {
            h->isa->meet_back(&m);
            return;
        }
        meet_unit(t, &m, panel, first++);
    }
}

/* Rows of a panel's sums go to dk or dv. */
static void put_keys(const struct task *t, const float *from, float alpha,
                     int64_t panel, float *to)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t first = panel * DB_BF16_PANEL;
    const int64_t count = db_blas_smaller(DB_BF16_PANEL, a->key_length - first);
    float *row =
        to + db_bf16_head_at(h, a->key_length, t->head) + first * h->row;
    int64_t k, i;

    for (k = 0; k < count; k++, row += h->row)
        for (i = 0; i < a->head_size; i += DB_BF16_PANEL) {
            const struct db_bf16_result result = {.y = row + i, .alpha = alpha};

            h->isa->put(1, db_blas_smaller(DB_BF16_PANEL, a->head_size - i),
                        from + (i + k) * DB_BF16_PANEL, 0, &result, 0);
        }
}

/* By 16 queries of 16 values of dq^T. */
static void put_queries(const struct task *t)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const dreambooth_attention *a = h->a;
    float *row = a->dq + db_bf16_head_at(h, a->query_length, t->head);
    int64_t q, i;

    for (q = 0; q < a->query_length; q += DB_BF16_SIDE)
        for (i = 0; i < a->head_size; i += DB_BF16_SIDE) {
            const struct db_bf16_result result = {.y = row + q * h->row + i,
                                                  .alpha = a->scale};
            const float *unit =
                t->dq + q / DB_BF16_PANEL * h->size_panels * BLOCK;

            h->isa->put_columns(
                db_blas_smaller(DB_BF16_SIDE, a->query_length - q),
                db_blas_smaller(DB_BF16_SIDE, a->head_size - i),
                unit + i * DB_BF16_PANEL + q % DB_BF16_PANEL, DB_BF16_PANEL,
                &result, h->row);
        }
}

static void clear(float *sums, int64_t count)
{
    memset(sums, 0, (size_t)count * sizeof(*sums));
}

/* Panels from FIRST to END, a block. */
static void meet_all_queries(const struct task *t, int64_t first, int64_t end)
{
    const struct work *work = t->work;
    const dreambooth_attention *a = work->heads.a;
    const int64_t of_panel = work->heads.size_panels * BLOCK;
    int64_t unit, i;

    clear(t->dk, (end - first) * of_panel);
    clear(t->dv, (end - first) * of_panel);
    for (i = first; i < end; i++)
        pack_panel(t, i, t->panels + (i - first) * work->panel);
    for (unit = 0; unit < work->queries; unit += work->chunk)
        for (i = first; i < end; i++)
            meet(t, i, unit,
                 db_blas_smaller(unit + work->chunk, work->queries));
    for (i = first; i < end; i++) {
        put_keys(t, t->dk + (i - first) * of_panel, a->scale, i, a->dk);
        put_keys(t, t->dv + (i - first) * of_panel, 1.0f, i, a->dv);
    }
}

static void attend(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_bf16_heads *h = &work->heads;
    struct task t = {.work = work, .head = index};
    int64_t panel;

    lay_memory(work, work->own + worker * work->own_size, &t);
    h->isa->begin();
    pack_queries(&t);
    clear(t.dq, work->queries * h->size_panels * BLOCK);
    for (panel = 0; panel < work->keys; panel += KEY_PANELS)
        meet_all_queries(&t, panel,
                         db_blas_smaller(panel + KEY_PANELS, work->keys));
    put_queries(&t);
    h->isa->end();
}

int db_bf16_attention_backward(const dreambooth_kernel_host *host,
                               const struct db_bf16_isa *isa, int parts,
                               const dreambooth_attention *a)
{
    struct work work;
    struct task unused;

    db_bf16_heads_init(&work.heads, isa, parts, a);
    work.queries = db_blas_pieces(a->query_length, DB_BF16_PANEL);
    work.keys = db_blas_pieces(a->key_length, DB_BF16_PANEL);
    work.terms = DB_BF16_PANEL * work.heads.score_line;
    work.along = work.heads.size_strips * parts * DB_BF16_TILE;
    work.unit = 2 * (work.terms + work.along);
    work.panel = 2 * work.terms + work.along;
    work.chunk = db_blas_pieces(CHUNK, work.unit);
    work.own_size = lay_memory(&work, NULL, &unused);
    work.own = host->scratch_new(host, (size_t)(host->threads * work.own_size));
    if (work.own == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, a->batch * a->heads, attend, &work);
    host->scratch_free(host, work.own);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * Attention by tiles, backward. A task is a head. Scores are made turned round,
 * keys by queries, so that softmax and its gradient come out as left sides:
 *     p = 2^(k q^T - lse)      ds = p (v dy^T - sum(dy y))
 *     dv += p dy               dk += ds q               dq^T += k^T ds
 * Blocks of keys keep their dk and dv while all queries pass by; dq gathers in
 * the head's own memory, block after block.
 */
#include <math.h>
#include <string.h>

#include "kernel/bf16/attention_int.h"

#define KEYS 256   /* of a block */
#define QUERIES 64 /* at a time */
#define BLOCK (DB_BF16_PANEL * DB_BF16_PANEL)
#define KEY_PANELS (KEYS / DB_BF16_PANEL)
#define QUERY_PANELS (QUERIES / DB_BF16_PANEL)

struct work {
    struct db_bf16_heads heads;
    int64_t queries, keys; /* whole panels */
    uint8_t *own;
    int64_t own_size;
};

/* A worker's memory. */
struct task {
    const struct work *work;
    int64_t head;
    uint8_t *q_terms, *dy_terms;       /* right sides of scores and dp */
    uint8_t *q_sequence, *dy_sequence; /* right sides of dk and dv */
    uint8_t *k_turned;                 /* left side of dq^T */
    uint8_t *k_lines, *v_lines;        /* left sides of scores and dp */
    uint8_t *p, *ds;                   /* [2][QUERIES / 32][parts] tiles */
    uint8_t *ds_right;  /* [QUERIES / 16][KEYS / 32][parts] tiles */
    float *lse, *sum;   /* of all queries */
    float *dq;          /* [size panels][queries / 32][32, 32] */
    float *dk, *dv;     /* [key panels][size panels][32, 32] */
    float *scores, *dp; /* [query panels][32, 32] */
};

static int64_t tiles(const struct work *work)
{
    return work->heads.parts * DB_BF16_TILE;
}

/* Lays the parts of a worker's memory at BASE; their bytes. */
static int64_t lay_memory(const struct work *work, uint8_t *base,
                          struct task *t)
{
    const struct db_bf16_heads *h = &work->heads;
    const int64_t terms =
        work->queries / DB_BF16_SIDE * h->score_steps * DB_BF16_TILE;
    const int64_t strip = work->queries / DB_BF16_STEP * tiles(work);
    const int64_t lines = KEYS * h->score_line;
    const int64_t weights =
        KEYS / DB_BF16_SIDE * (QUERIES / DB_BF16_STEP) * tiles(work);
    const int64_t of_keys = KEY_PANELS * h->size_panels * BLOCK;
    const int64_t scores = QUERY_PANELS * BLOCK;
    const struct {
        uint8_t **at;
        int64_t bytes;
    } places[] = {
        {&t->q_terms, terms},
        {&t->dy_terms, terms},
        {&t->q_sequence, h->size_strips * strip},
        {&t->dy_sequence, h->size_strips * strip},
        {&t->k_turned,
         h->size_strips * (work->keys / DB_BF16_STEP) * tiles(work)},
        {&t->k_lines, lines},
        {&t->v_lines, lines},
        {&t->p, weights / KEY_PANELS},
        {&t->ds, weights / KEY_PANELS},
        {&t->ds_right, weights},
    };
    const struct {
        float **at;
        int64_t count;
    } floats[] = {
        {&t->lse, work->queries},
        {&t->sum, work->queries},
        {&t->dq, h->size_panels * work->queries * DB_BF16_PANEL},
        {&t->dk, of_keys},
        {&t->dv, of_keys},
        {&t->scores, scores},
        {&t->dp, scores},
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

/* lse of base 2, and sum(dy y), of each query. A query that is not there has
 * lse infinite, so that its p is 0. */
static void begin_queries(const struct task *t)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t at = db_bf16_head_at(h, a->query_length, t->head);
    int64_t q, i;

    for (q = 0; q < t->work->queries; q++) {
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

static void pack_head(const struct task *t)
{
    const struct work *work = t->work;
    const struct db_bf16_heads *h = &work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t terms = h->score_steps * DB_BF16_TILE;
    const int64_t strip = work->queries / DB_BF16_STEP * tiles(work);
    const int64_t turned = work->keys / DB_BF16_STEP * tiles(work);
    int64_t i;

    for (i = 0; i < work->queries / DB_BF16_SIDE; i++) {
        db_bf16_pack_terms_strip(h, a->q, a->query_length, t->head, i,
                                 t->q_terms + i * terms);
        db_bf16_pack_terms_strip(h, a->dy, a->query_length, t->head, i,
                                 t->dy_terms + i * terms);
    }
    for (i = 0; i < h->size_strips; i++) {
        db_bf16_pack_sequence_strip(h, a->q, a->query_length, t->head, i,
                                    t->q_sequence + i * strip);
        db_bf16_pack_sequence_strip(h, a->dy, a->query_length, t->head, i,
                                    t->dy_sequence + i * strip);
        db_bf16_pack_sequence_strip(h, a->k, a->key_length, t->head, i,
                                    t->k_turned + i * turned);
    }
    for (i = 0; i < h->size_strips * turned; i += DB_BF16_TILE)
        h->isa->turn(t->k_turned + i, DB_BF16_LINE, t->k_turned + i);
}

/* c [queries / 32][32 keys, 32] = lines of keys times terms of queries. */
static void score(const struct task *t, const uint8_t *lines,
                  const uint8_t *terms, int64_t key_panel, int64_t query,
                  int64_t queries, float *c)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const int64_t strip = h->score_steps * DB_BF16_TILE;
    const uint8_t *left = lines + key_panel * DB_BF16_PANEL * h->score_line;
    const struct db_bf16_row row = {
        .steps = h->score_steps,
        .parts = 1,
        .a = {left, left + DB_BF16_SIDE * h->score_line},
        .is_lines = true,
        .b = terms + query / DB_BF16_SIDE * strip,
        .b_strip = strip,
        .strips = queries / DB_BF16_SIDE,
        .c = c};

    db_bf16_multiply_row(h, &row);
}

/* With causal, keys behind a query do not count. */
static void hide(const struct task *t, int64_t key, int64_t query,
                 float *scores)
{
    int64_t k, q;

    if (!t->work->heads.a->causal || key + DB_BF16_PANEL <= query + 1)
        return;
    for (k = 0; k < DB_BF16_PANEL; k++)
        for (q = 0; q < DB_BF16_PANEL; q++)
            if (key + k > query + q)
                scores[k * DB_BF16_PANEL + q] = -INFINITY;
}

/* p and ds of 32 keys, PANEL of the block, and QUERIES queries from QUERY on.
 */
static void weigh(const struct task *t, int64_t first_key, int64_t panel,
                  int64_t query, int64_t queries)
{
    const struct work *work = t->work;
    const struct db_bf16_weighing w = {
        .queries = queries,
        .scores = t->scores,
        .dp = t->dp,
        .lse = t->lse + query,
        .sum = t->sum + query,
        .p = t->p,
        .ds = t->ds,
        .right = t->ds_right + panel * tiles(work),
        .strip = KEYS / DB_BF16_STEP * tiles(work),
        .parts = work->heads.parts};
    int64_t q;

    score(t, t->k_lines, t->q_terms, panel, query, queries, t->scores);
    score(t, t->v_lines, t->dy_terms, panel, query, queries, t->dp);
    for (q = 0; q < queries; q += DB_BF16_PANEL)
        hide(t, first_key + panel * DB_BF16_PANEL, query + q,
             t->scores + q * DB_BF16_PANEL);
    work->heads.isa->weigh(&w);
}

/* to [size panels][32 keys, 32] += weights of a panel's keys times SEQUENCE. */
static void gather_keys(const struct task *t, const uint8_t *weights,
                        const uint8_t *sequence, int64_t panel, int64_t query,
                        int64_t queries, float *to)
{
    const struct work *work = t->work;
    const struct db_bf16_heads *h = &work->heads;
    const int64_t strip = work->queries / DB_BF16_STEP * tiles(work);
    const struct db_bf16_row row = {
        .steps = queries / DB_BF16_STEP,
        .parts = h->parts,
        .a = {weights, weights + queries / DB_BF16_STEP * tiles(work)},
        .b = sequence + query / DB_BF16_STEP * tiles(work),
        .b_strip = strip,
        .strips = h->size_strips,
        .c = to + panel * h->size_panels * BLOCK,
        .add = true};

    db_bf16_multiply_row(h, &row);
}

static void gather_queries(const struct task *t, int64_t first_key,
                           int64_t keys, int64_t query, int64_t queries)
{
    const struct work *work = t->work;
    const struct db_bf16_heads *h = &work->heads;
    const int64_t strip = KEYS / DB_BF16_STEP * tiles(work);
    const int64_t turned = work->keys / DB_BF16_STEP * tiles(work);
    struct db_bf16_row row = {.steps = keys / DB_BF16_STEP,
                              .parts = h->parts,
                              .b = t->ds_right,
                              .b_strip = strip,
                              .strips = queries / DB_BF16_SIDE,
                              .add = true};
    int64_t i;

    for (i = 0; i < h->size_strips; i += 2) {
        row.a[0] =
            t->k_turned + i * turned + first_key / DB_BF16_STEP * tiles(work);
        row.a[1] = i + 1 < h->size_strips ? row.a[0] + turned : row.a[0];
        row.c = t->dq + (i / 2 * (work->queries / DB_BF16_PANEL) +
                         query / DB_BF16_PANEL) *
                            BLOCK;
        db_bf16_multiply_row(h, &row);
    }
}

/* Rows of a key block's sums go to dk or dv. */
static void put_keys(const struct task *t, const float *from, float alpha,
                     int64_t first_key, float *to)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t count = db_blas_smaller(KEYS, a->key_length - first_key);
    float *row =
        to + db_bf16_head_at(h, a->key_length, t->head) + first_key * h->row;
    int64_t k, i;

    for (k = 0; k < count; k++, row += h->row)
        for (i = 0; i < a->head_size; i += DB_BF16_PANEL) {
            const struct db_bf16_result result = {.y = row + i, .alpha = alpha};

            h->isa->put(
                db_blas_smaller(DB_BF16_PANEL, a->head_size - i),
                from +
                    (k / DB_BF16_PANEL * h->size_panels + i / DB_BF16_PANEL) *
                        BLOCK +
                    k % DB_BF16_PANEL * DB_BF16_PANEL,
                &result);
        }
}

static void put_queries(const struct task *t)
{
    const struct db_bf16_heads *h = &t->work->heads;
    const dreambooth_attention *a = h->a;
    float *row = a->dq + db_bf16_head_at(h, a->query_length, t->head);
    int64_t q, i;

    for (q = 0; q < a->query_length; q++, row += h->row)
        for (i = 0; i < a->head_size; i++)
            row[i] =
                a->scale *
                t->dq[(i / DB_BF16_PANEL * (t->work->queries / DB_BF16_PANEL) +
                       q / DB_BF16_PANEL) *
                          BLOCK +
                      i % DB_BF16_PANEL * DB_BF16_PANEL + q % DB_BF16_PANEL];
}

static void meet_queries(const struct task *t, int64_t first_key, int64_t keys,
                         int64_t query)
{
    const int64_t queries = db_blas_smaller(QUERIES, t->work->queries - query);
    int64_t panel;

    for (panel = 0; panel < keys / DB_BF16_PANEL; panel++) {
        weigh(t, first_key, panel, query, queries);
        gather_keys(t, t->p, t->dy_sequence, panel, query, queries, t->dv);
        gather_keys(t, t->ds, t->q_sequence, panel, query, queries, t->dk);
    }
    gather_queries(t, first_key, keys, query, queries);
}

static void attend(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_bf16_heads *h = &work->heads;
    const dreambooth_attention *a = h->a;
    const int64_t of_keys = KEY_PANELS * h->size_panels * BLOCK;
    struct task t = {.work = work, .head = index};
    int64_t key, query, keys;

    lay_memory(work, work->own + worker * work->own_size, &t);
    h->isa->begin();
    pack_head(&t);
    begin_queries(&t);
    memset(t.dq, 0,
           (size_t)(h->size_panels * work->queries * DB_BF16_PANEL) *
               sizeof(float));
    for (key = 0; key < work->keys; key += KEYS) {
        keys = db_blas_smaller(KEYS, work->keys - key);
        memset(t.dk, 0, (size_t)of_keys * sizeof(float));
        memset(t.dv, 0, (size_t)of_keys * sizeof(float));
        db_bf16_lay_terms(h, a->k, a->key_length, t.head, key, keys,
                          (float)((double)a->scale * DB_BF16_LOG2_E), true,
                          t.k_lines);
        db_bf16_lay_terms(h, a->v, a->key_length, t.head, key, keys, 1.0f, true,
                          t.v_lines);
        for (query = a->causal ? key / QUERIES * QUERIES : 0;
             query < work->queries; query += QUERIES)
            meet_queries(&t, key, keys, query);
        put_keys(&t, t.dk, a->scale, key, a->dk);
        put_keys(&t, t.dv, 1.0f, key, a->dv);
    }
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
    work.queries = db_bf16_whole_panels(a->query_length);
    work.keys = db_bf16_whole_panels(a->key_length);
    work.own_size = lay_memory(&work, NULL, &unused);
    work.own = host->scratch_new(host, (size_t)(host->threads * work.own_size));
    if (work.own == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, a->batch * a->heads, attend, &work);
    host->scratch_free(host, work.own);
    return DREAMBOOTH_OK;
}

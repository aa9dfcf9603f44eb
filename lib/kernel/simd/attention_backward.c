/* SPDX-License-Identifier: MIT */
/*
 * Attention backward, turned round as forward is: with queries along the
 * vectors,
 *     p^T = 2^(k q^T - lse)      ds^T = p^T (v dy^T - sum(dy y))
 * come out as left sides of dv += p^T dy and dk += ds^T q, and as the right
 * side of dq^T += k^T ds^T. A task is a head. A block of its keys, with dk and
 * dv, stays in the second-level cache while groups of queries pass by; dq
 * gathers in the task's memory.
 */
#include <math.h>
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"
#include "kernel/device.h"
#include "kernel/simd/simd_int.h"

#define KEYS 126    /* at a time: nine tiles of 14 rows, or 14 of 9 */
#define BLOCK 504   /* keys that queries pass by */
#define QUERIES 128 /* of a group */

struct work {
    const dreambooth_attention *a;
    const struct db_simd_isa *isa;
    int64_t row;    /* floats between positions: heads head_size */
    int64_t wide;   /* head_size by lanes */
    int64_t panels; /* of a head's queries */
    float *scratch;
    int64_t scratch_step; /* floats a worker */
};

/* A head and a worker's memory. */
struct task {
    const struct work *work;
    int64_t q, k, lse; /* where the head is in q, in k, in lse */
    float *dq;         /* [panels][head_size, columns] */
    /* of a block of keys, [keys, wide] */
    float *keys, *values, *dk, *dv;
    /* of a group of queries: panels [head_size, columns], rows [.., wide] */
    float *q_panels, *dy_panels, *q_rows, *dy_rows, *y_rows;
    float *softened, *sum;   /* [queries]: lse in units of ln 2, sum(dy y) */
    float *weights, *slopes; /* [panels][KEYS, columns] */
};

static int64_t in_group(const struct work *work)
{
    return db_blas_smaller(QUERIES, work->panels * work->isa->columns);
}

/* Lays the parts of a worker's memory at BASE; their floats. */
static int64_t lay_memory(const struct work *work, float *base, struct task *t)
{
    const int64_t size = work->a->head_size, queries = in_group(work);
    const int64_t keys =
        db_blas_smaller(BLOCK, work->a->key_length) * work->wide;
    const int64_t rows = queries * work->wide;
    const int64_t weights =
        db_blas_smaller(KEYS, work->a->key_length) * queries;
    const struct {
        float **at;
        int64_t count;
    } places[] = {
        {&t->dq, work->panels * size * work->isa->columns},
        {&t->keys, keys},
        {&t->values, keys},
        {&t->dk, keys},
        {&t->dv, keys},
        {&t->q_panels, queries * size},
        {&t->dy_panels, queries * size},
        {&t->q_rows, rows},
        {&t->dy_rows, rows},
        {&t->y_rows, rows},
        {&t->softened, queries},
        {&t->sum, queries},
        {&t->weights, weights},
        {&t->slopes, weights},
    };
    int64_t used = 0;
    size_t i;

    for (i = 0; i < DB_COUNT(places); i++) {
        *places[i].at = base == NULL ? NULL : base + used;
        used += db_blas_pieces(places[i].count, 16) * 16;
    }
    return used;
}

/* A query that is not there has lse infinite, so that its p is 0. */
static void begin_panel(const struct task *t, int64_t panel, int64_t place)
{
    const struct work *work = t->work;
    const dreambooth_attention *a = work->a;
    const struct db_simd_isa *isa = work->isa;
    const int64_t columns = isa->columns, size = a->head_size;
    const int64_t first = panel * columns, rows = place * columns * work->wide;
    const int64_t from = t->q + first * work->row;
    const int count = (int)db_blas_smaller(columns, a->query_length - first);
    float *lse = t->softened + place * columns;
    int64_t i;

    isa->turn_in(count, size, a->q + from, work->row,
                 (float)((double)a->scale * LOG2_E),
                 t->q_panels + place * columns * size);
    isa->turn_in(count, size, a->dy + from, work->row, 1.0f,
                 t->dy_panels + place * columns * size);
    isa->lay(count, size, a->q + from, work->row, a->scale, t->q_rows + rows,
             work->wide);
    isa->lay(count, size, a->dy + from, work->row, 1.0f, t->dy_rows + rows,
             work->wide);
    isa->lay(count, size, a->y + from, work->row, 1.0f, t->y_rows + rows,
             work->wide);
    isa->dots(work->wide, t->dy_rows + rows, t->y_rows + rows,
              t->sum + place * columns);
    for (i = 0; i < columns; i++)
        lse[i] = i < count
                     ? (float)((double)a->lse[t->lse + first + i] * LOG2_E)
                     : INFINITY;
}

static void clear(float *values, int64_t count)
{
    memset(values, 0, (size_t)count * sizeof(*values));
}

static void begin_group(const struct task *t, int64_t panel, int64_t count)
{
    const struct work *work = t->work;
    const int64_t columns = work->isa->columns;
    const int64_t rows = count * columns * work->wide;
    int64_t i;

    if (work->wide > work->a->head_size ||
        (panel + count) * columns > work->a->query_length) {
        clear(t->q_rows, rows);
        clear(t->dy_rows, rows);
        clear(t->y_rows, rows);
    }
    for (i = 0; i < count; i++)
        begin_panel(t, panel + i, i);
}

/* Scores of keys that come after a query do not count. */
static void hide_later(const struct work *work, int64_t query, int64_t key,
                       int64_t keys, float *s)
{
    const int64_t columns = work->isa->columns;
    int64_t k, j;

    for (k = 0; k < keys; k++)
        for (j = 0; j < columns && query + j < key + k; j++)
            s[k * columns + j] = -INFINITY;
}

/* KEYS keys, AT in the block that begins with FIRST, meet a panel, which has
 * PLACE in its group. */
static void meet_panel(const struct task *t, int64_t panel, int64_t place,
                       int64_t first, int64_t at, int64_t keys,
                       const float *factor)
{
    const struct work *work = t->work;
    const struct db_simd_isa *isa = work->isa;
    const int64_t columns = isa->columns, size = work->a->head_size;
    const int64_t most = db_blas_smaller(KEYS, work->a->key_length);
    const float *k = t->keys + at * work->wide;
    float *s = t->weights + place * most * columns;
    float *dp = t->slopes + place * most * columns;

    isa->score(keys, size, k, work->wide, t->q_panels + place * columns * size,
               s);
    isa->score(keys, size, t->values + at * work->wide, work->wide,
               t->dy_panels + place * columns * size, dp);
    if (work->a->causal)
        hide_later(work, panel * columns, first + at, keys, s);
    isa->weigh(keys, t->softened + place * columns, t->sum + place * columns, s,
               dp);
    isa->gather(size, keys, k, work->wide, dp, factor,
                t->dq + panel * size * columns);
}

/* A group of COUNT panels meets a block of keys. */
static void meet_group(const struct task *t, int64_t panel, int64_t count,
                       int64_t first, int64_t end)
{
    const struct work *work = t->work;
    const int64_t columns = work->isa->columns;
    const int64_t most = db_blas_smaller(KEYS, work->a->key_length);
    float factor[DB_SIMD_MOST_COLUMNS];
    int64_t at, i;

    for (i = 0; i < columns; i++)
        factor[i] = 1.0f;
    for (at = 0; at < end - first; at += KEYS) {
        struct db_simd_spread spread = {
            .keys = db_blas_smaller(KEYS, end - first - at),
            .panels = count,
            .row = work->wide,
            .panel_step = most * columns};

        for (i = 0; i < count; i++)
            meet_panel(t, panel + i, i, first, at, spread.keys, factor);
        spread.weights = t->weights;
        spread.b = t->dy_rows;
        spread.y = t->dv + at * work->wide;
        work->isa->spread(&spread);
        spread.weights = t->slopes;
        spread.b = t->q_rows;
        spread.y = t->dk + at * work->wide;
        work->isa->spread(&spread);
    }
}

/* All queries pass by keys from FIRST to END. */
static void meet_block(const struct task *t, int64_t first, int64_t end)
{
    const struct work *work = t->work;
    const dreambooth_attention *a = work->a;
    const struct db_simd_isa *isa = work->isa;
    const int64_t keys = end - first, from = t->k + first * work->row;
    const int64_t group = in_group(work) / isa->columns;
    int64_t panel;

    isa->lay(keys, a->head_size, a->k + from, work->row, 1.0f, t->keys,
             work->wide);
    isa->lay(keys, a->head_size, a->v + from, work->row, 1.0f, t->values,
             work->wide);
    clear(t->dk, keys * work->wide);
    clear(t->dv, keys * work->wide);
    for (panel = a->causal ? first / isa->columns : 0; panel < work->panels;
         panel += group) {
        const int64_t count = db_blas_smaller(group, work->panels - panel);

        begin_group(t, panel, count);
        meet_group(t, panel, count, first, end);
    }
    isa->lay(keys, a->head_size, t->dk, work->wide, 1.0f, a->dk + from,
             work->row);
    isa->lay(keys, a->head_size, t->dv, work->wide, 1.0f, a->dv + from,
             work->row);
}

static void put_queries(const struct task *t)
{
    const struct work *work = t->work;
    const dreambooth_attention *a = work->a;
    const int64_t columns = work->isa->columns;
    float factor[DB_SIMD_MOST_COLUMNS];
    int64_t i;

    for (i = 0; i < columns; i++)
        factor[i] = a->scale;
    for (i = 0; i < a->query_length; i += columns)
        work->isa->turn_out((int)db_blas_smaller(columns, a->query_length - i),
                            a->head_size, t->dq + i * a->head_size, factor,
                            a->dq + t->q + i * work->row, work->row);
}

static void attend(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_attention *a = work->a;
    const int64_t image = index / a->heads;
    const int64_t within = index % a->heads * a->head_size;
    struct task t = {.work = work,
                     .q = image * a->query_length * work->row + within,
                     .k = image * a->key_length * work->row + within,
                     .lse = index * a->query_length};
    int64_t first;

    lay_memory(work, work->scratch + worker * work->scratch_step, &t);
    clear(t.dq, work->panels * work->isa->columns * a->head_size);
    for (first = 0; first < a->key_length; first += BLOCK)
        meet_block(&t, first, db_blas_smaller(first + BLOCK, a->key_length));
    put_queries(&t);
}

int db_simd_return(const dreambooth_kernel_host *host,
                   const dreambooth_attention *a)
{
    struct work work = {
        .a = a, .isa = db_simd_isa_of(host), .row = a->heads * a->head_size};
    struct task unused;

    work.wide = db_blas_pieces(a->head_size, work.isa->lanes) * work.isa->lanes;
    work.panels = db_blas_pieces(a->query_length, work.isa->columns);
    work.scratch_step = lay_memory(&work, NULL, &unused);
    work.scratch = host->scratch_new(
        host, (size_t)(work.scratch_step * host->threads) * sizeof(float));
    if (work.scratch == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, a->batch * a->heads, attend, &work);
    host->scratch_free(host, work.scratch);
    return DREAMBOOTH_OK;
}

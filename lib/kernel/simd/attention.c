/* SPDX-License-Identifier: MIT */
/*
 * Attention turned round: with queries along the vectors, scores^T = k q^T is
 * the packed operand of y^T = v^T scores^T as it comes out, maxima and sums
 * need no step across a vector, and head sizes that fill no vector cost
 * nothing. A block of keys meets a few panels of queries while it is in the
 * cache (Dao et al., 2022, "FlashAttention", for the running maximum).
 */
#include <math.h>
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"
#include "kernel/device.h"
#include "kernel/elementwise/elementwise.h"
#include "kernel/expand.h"
#include "kernel/simd/simd_int.h"

#define KEYS 112          /* at a time: a panel of scores takes 14 KB */
#define QUERIES 256       /* of a task */
#define LONG 2048         /* queries, of which a task has twice as many */
#define MANY_QUERIES 128  /* are worth copies of keys and values */
#define MOST_PANELS 64    /* of a task */
#define KEPT (1 << 20)    /* bytes of the second-level cache */
#define LEAST_WORK 3e7    /* of tiles: multiplications of the scores */
#define LEAST_SCORES 4096 /* of tiles of one part: scores of a head */
#define MOST_HEAD 192     /* for the way back, and for long tasks */
#define FEW_HEADS 4       /* fewer are too few tasks of the way back */

struct work {
    const dreambooth_attention *a;
    const struct db_simd_isa *isa;
    int64_t row;     /* floats between positions: heads head_size */
    int64_t queries; /* of a task */
    int64_t blocks;  /* tasks an image and head */
    float *scratch;
    int64_t scratch_step; /* floats a worker */
};

/* A panel of queries: as many as a tile has columns. */
struct panel {
    int64_t first, count; /* queries */
    float *q;             /* [head_size, columns] */
    float *y;             /* the same, before the division by sum */
    float *maximum, *sum; /* [columns]; in units of ln 2 */
};

static int64_t memory_of_panel(const struct work *work)
{
    return 2 * (work->a->head_size + 1) * work->isa->columns;
}

static void begin_panel(const struct work *work, const float *q, float *memory,
                        struct panel *panel)
{
    const dreambooth_attention *a = work->a;
    const int64_t columns = work->isa->columns;
    const int64_t size = a->head_size * columns;
    int64_t i;

    panel->q = memory;
    panel->y = memory + size;
    panel->maximum = panel->y + size;
    panel->sum = panel->maximum + columns;
    work->isa->turn_in((int)panel->count, a->head_size,
                       q + panel->first * work->row, work->row,
                       (float)((double)a->scale * LOG2_E), panel->q);
    memset(panel->y, 0, (size_t)size * sizeof(float));
    for (i = 0; i < columns; i++) {
        panel->maximum[i] = -INFINITY;
        panel->sum[i] = 0.0f;
    }
}

/* Scores of keys that come after a query do not count. */
static void hide_later(const struct panel *panel, int64_t first, int64_t keys,
                       int64_t columns, float *s)
{
    int64_t k, j;

    for (k = 0; k < keys; k++)
        for (j = 0; j < panel->count; j++)
            if (first + k > panel->first + j)
                s[k * columns + j] = -INFINITY;
}

/* Keys and their values, from FIRST on. */
struct keys {
    int64_t first, count;
    const float *k, *v;
    int64_t row; /* floats from one to the next */
};

/* What KEYS give to a panel. */
static void meet_keys(const struct work *work, struct panel *panel,
                      const struct keys *keys, float *s)
{
    const dreambooth_attention *a = work->a;
    const struct db_simd_isa *isa = work->isa;
    float factor[DB_SIMD_MOST_COLUMNS];

    isa->score(keys->count, a->head_size, keys->k, keys->row, panel->q, s);
    if (a->causal)
        hide_later(panel, keys->first, keys->count, isa->columns, s);
    isa->soften(keys->count, s, panel->maximum, panel->sum, factor);
    isa->gather(a->head_size, keys->count, keys->v, keys->row, s, factor,
                panel->y);
}

/* In a copy keys of a head lie together, and in fewer pages. */
static void copy_keys(const struct work *work, struct keys *keys, float *memory)
{
    const int64_t size = work->a->head_size;

    work->isa->lay(keys->count, size, keys->k, keys->row, 1.0f, memory, size);
    work->isa->lay(keys->count, size, keys->v, keys->row, 1.0f,
                   memory + KEYS * size, size);
    keys->k = memory;
    keys->v = memory + KEYS * size;
    keys->row = size;
}

static void end_panel(const struct work *work, const struct panel *panel,
                      float *y, float *lse)
{
    float part[DB_SIMD_MOST_COLUMNS], of_all[DB_SIMD_MOST_COLUMNS];

    work->isa->finish(panel->maximum, panel->sum, part, of_all);
    work->isa->turn_out((int)panel->count, work->a->head_size, panel->y, part,
                        y + panel->first * work->row, work->row);
    memcpy(lse + panel->first, of_all, (size_t)panel->count * sizeof(*lse));
}

/* A worker's memory: scores, copies of keys and values, then the panels. */
static int64_t memory_before_panels(const struct work *work)
{
    return KEYS * (work->isa->columns + 2 * work->a->head_size);
}

static int64_t memory_of_all(const struct work *work)
{
    const int64_t panels =
        db_blas_pieces(db_blas_smaller(work->queries, work->a->query_length),
                       work->isa->columns);

    return memory_before_panels(work) + panels * memory_of_panel(work);
}

/* The keys of a head, AT in k, meet its panels. */
static void meet(const struct work *work, struct panel *panels, int count,
                 int64_t at, int64_t end, float *s)
{
    const dreambooth_attention *a = work->a;
    int64_t first;
    int i;

    for (first = 0; first < end; first += KEYS) {
        struct keys keys = {first, db_blas_smaller(KEYS, end - first),
                            a->k + at + first * work->row,
                            a->v + at + first * work->row, work->row};

        if (count * work->isa->columns >= MANY_QUERIES)
            copy_keys(work, &keys, s + KEYS * work->isa->columns);
        for (i = 0; i < count; i++)
            meet_keys(work, &panels[i], &keys, s);
    }
}

/* Keys and values of an image's heads that stay in the second-level cache: all
 * heads meet a block of queries, whose lines and pages they share, in turn.
 * Larger ones of one head meet all its queries. */
static bool heads_are_first(const struct work *work)
{
    return 2 * work->a->key_length * work->row * (int64_t)sizeof(float) < KEPT;
}

static void attend(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_attention *a = work->a;
    const int64_t columns = work->isa->columns;
    const int64_t image = index / (a->heads * work->blocks);
    const int64_t rest = index % (a->heads * work->blocks);
    const bool by_heads = heads_are_first(work);
    const int64_t head = by_heads ? rest % a->heads : rest / work->blocks;
    const int64_t block = by_heads ? rest / a->heads : rest % work->blocks;
    const int64_t within = head * a->head_size;
    const int64_t q = image * a->query_length * work->row + within;
    const int64_t k = image * a->key_length * work->row + within;
    int64_t first = block * work->queries;
    const int64_t end = db_blas_smaller(first + work->queries, a->query_length);
    float *s = work->scratch + worker * work->scratch_step;
    float *memory = s + memory_before_panels(work);
    struct panel panels[MOST_PANELS];
    int count = 0, i;

    for (; first < end; first += columns, memory += memory_of_panel(work)) {
        panels[count].first = first;
        panels[count].count = db_blas_smaller(columns, end - first);
        begin_panel(work, a->q + q, memory, &panels[count++]);
    }
    meet(work, panels, count, k,
         a->causal ? db_blas_smaller(end, a->key_length) : a->key_length, s);
    for (i = 0; i < count; i++)
        end_panel(work, &panels[i], a->y + q,
                  a->lse + (image * a->heads + head) * a->query_length);
}

static int forward(const dreambooth_kernel_host *host,
                   const dreambooth_attention *a)
{
    struct work work = {
        .a = a, .isa = db_simd_isa_of(host), .row = a->heads * a->head_size};

    if (db_simd_is_blas(host))
        return db_blas_attention_forward(host, a);
    work.queries = a->query_length < LONG || a->head_size > MOST_HEAD
                       ? QUERIES
                       : 2 * QUERIES;
    work.blocks = db_blas_pieces(a->query_length, work.queries);
    work.scratch_step = memory_of_all(&work);
    work.scratch = host->scratch_new(
        host, (size_t)(work.scratch_step * host->threads) * sizeof(float));
    if (work.scratch == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, a->batch * a->heads * work.blocks, attend, &work);
    host->scratch_free(host, work.scratch);
    return DREAMBOOTH_OK;
}

static const struct db_bf16_isa *tiles_for(const dreambooth_kernel_host *host,
                                           const dreambooth_attention *a,
                                           int *parts)
{
    const double work = (double)(a->batch * a->heads) *
                        (double)a->query_length * (double)a->key_length *
                        (double)a->head_size;
    const struct db_bf16_isa *tiles =
        db_simd_tiles_of(host, work >= DB_SIMD_LARGE_ATTENTION, parts);
    const bool is_worth = *parts == 1
                              ? a->query_length * a->key_length >= LEAST_SCORES
                              : work >= LEAST_WORK;

    return is_worth && tiles != NULL && db_bf16_heads_fit(a, *parts) ? tiles
                                                                     : NULL;
}

struct rounding {
    const struct db_elementwise *row;
    const float *y;
    uint16_t *to;
    int64_t count; /* of a query */
};

static void round_query(void *argument, int64_t index, int worker)
{
    const struct rounding *r = argument;

    (void)worker;
    r->row->narrow(r->y + index * r->count, r->count, 0,
                   r->to + index * r->count);
}

/* By way of floats. */
static int forward_from_halves(const dreambooth_kernel_host *host,
                               const dreambooth_attention *a)
{
    const int64_t queries = a->batch * a->query_length;
    struct rounding rounding = {.row = db_elementwise_of(host),
                                .to = a->y_bf16,
                                .count = a->heads * a->head_size};
    dreambooth_attention floats = *a;
    int status;

    if (a->y_bf16 == NULL)
        return db_expand_attention(host, a, forward);
    floats.y = host->scratch_new(host, (size_t)(queries * rounding.count) *
                                           sizeof(*floats.y));
    if (floats.y == NULL)
        return DREAMBOOTH_ENOMEM;
    rounding.y = floats.y;
    status = db_expand_attention(host, &floats, forward);
    if (status == DREAMBOOTH_OK)
        host->parallel(host, queries, round_query, &rounding);
    host->scratch_free(host, floats.y);
    return status;
}

int db_simd_attention_forward(const dreambooth_kernel_host *host,
                              const dreambooth_attention *a)
{
    const bool is_narrow =
        a->q == NULL || a->k == NULL || a->v == NULL || a->y == NULL;
    int parts;
    const struct db_bf16_isa *tiles = tiles_for(host, a, &parts);

    if (tiles != NULL && (parts == 1 || !is_narrow))
        return db_bf16_attention_forward(host, tiles, parts, a);
    return is_narrow ? forward_from_halves(host, a) : forward(host, a);
}

int db_simd_attention_backward(const dreambooth_kernel_host *host,
                               const dreambooth_attention *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_for(host, a, &parts);

    if (tiles != NULL)
        return db_bf16_attention_backward(host, tiles, parts, a);
    if (a->head_size > MOST_HEAD || a->batch * a->heads < FEW_HEADS ||
        db_simd_is_blas(host))
        return db_blas_attention_backward(host, a);
    return db_simd_return(host, a);
}

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
#include "kernel/simd/simd_int.h"

#define KEYS 112          /* at a time: a panel's scores take 14 KB */
#define PANELS 4          /* of queries that are one task */
#define LEAST_WORK 3e7    /* of tiles: multiplications of the scores */
#define LEAST_SCORES 4096 /* of tiles of one part: scores of a head */
#define MOST_HEAD 192     /* beyond, the panels leave the cache */

struct work {
    const dreambooth_attention *a;
    const struct db_simd_isa *isa;
    int64_t row;    /* floats between positions: heads head_size */
    int64_t blocks; /* tasks an image and head */
    float *scratch;
    int64_t scratch_step; /* floats a worker */
};

/* A panel of queries: as many as a tile has columns. */
struct panel {
    int64_t first, count; /* queries */
    float *q;             /* [head_size, columns] */
    float *y;             /* the same, before the division by sum */
    float maximum[DB_SIMD_MOST_COLUMNS]; /* in units of ln 2 */
    float sum[DB_SIMD_MOST_COLUMNS];
};

static void begin_panel(const struct work *work, const float *q, float *memory,
                        struct panel *panel)
{
    const dreambooth_attention *a = work->a;
    const int64_t size = a->head_size * work->isa->columns;
    int i;

    panel->q = memory;
    panel->y = memory + size;
    work->isa->turn((int)panel->count, a->head_size,
                    q + panel->first * work->row, work->row,
                    (float)((double)a->scale * LOG2_E), panel->q);
    memset(panel->y, 0, (size_t)size * sizeof(float));
    for (i = 0; i < DB_SIMD_MOST_COLUMNS; i++) {
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

/* What KEYS keys from FIRST on give to a panel; k and v are their vectors. */
static void meet_keys(const struct work *work, struct panel *panel,
                      const float *k, const float *v, int64_t first,
                      int64_t keys, float *s)
{
    const dreambooth_attention *a = work->a;
    const struct db_simd_isa *isa = work->isa;
    float factor[DB_SIMD_MOST_COLUMNS];
    int64_t r;

    memset(s, 0, (size_t)(keys * isa->columns) * sizeof(*s));
    for (r = 0; r < keys; r += isa->rows)
        isa->tile((int)db_blas_smaller(isa->rows, keys - r), a->head_size,
                  k + r * work->row, work->row, panel->q, s + r * isa->columns,
                  isa->columns);
    if (a->causal)
        hide_later(panel, first, keys, isa->columns, s);
    isa->soften(keys, s, panel->maximum, panel->sum, factor);
    if (first > 0)
        isa->scale(a->head_size, factor, panel->y);
    for (r = 0; r < a->head_size; r += isa->rows)
        isa->turned_tile((int)db_blas_smaller(isa->rows, a->head_size - r),
                         keys, v + r, work->row, s, panel->y + r * isa->columns,
                         isa->columns);
}

static void end_panel(const struct work *work, const struct panel *panel,
                      float *y, float *lse)
{
    const int64_t columns = work->isa->columns;
    int64_t i, j;

    for (j = 0; j < panel->count; j++) {
        float *to = y + (panel->first + j) * work->row;
        float part = 1.0f / panel->sum[j];

        for (i = 0; i < work->a->head_size; i++)
            to[i] = panel->y[i * columns + j] * part;
        lse[panel->first + j] = (float)((double)panel->maximum[j] * LN_2 +
                                        log((double)panel->sum[j]));
    }
}

static void attend(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const dreambooth_attention *a = work->a;
    const int64_t columns = work->isa->columns;
    const int64_t head = index / work->blocks, image = head / a->heads;
    const int64_t within = head % a->heads * a->head_size;
    const int64_t q = image * a->query_length * work->row + within;
    const int64_t k = image * a->key_length * work->row + within;
    int64_t first = index % work->blocks * PANELS * columns, end;
    float *s = work->scratch + worker * work->scratch_step;
    float *memory = s + KEYS * columns;
    struct panel panels[PANELS];
    int count, i;

    for (count = 0; count < PANELS && first < a->query_length; count++) {
        panels[count].first = first;
        panels[count].count = db_blas_smaller(columns, a->query_length - first);
        begin_panel(work, a->q + q, memory + count * 2 * a->head_size * columns,
                    &panels[count]);
        first += panels[count].count;
    }
    end = a->causal ? db_blas_smaller(first, a->key_length) : a->key_length;
    for (first = 0; first < end; first += KEYS)
        for (i = 0; i < count; i++)
            meet_keys(work, &panels[i], a->k + k + first * work->row,
                      a->v + k + first * work->row, first,
                      db_blas_smaller(KEYS, end - first), s);
    for (i = 0; i < count; i++)
        end_panel(work, &panels[i], a->y + q, a->lse + head * a->query_length);
}

static int forward(const dreambooth_kernel_host *host,
                   const dreambooth_attention *a)
{
    struct work work = {
        .a = a, .isa = db_simd_isa_of(host), .row = a->heads * a->head_size};

    if (a->head_size > MOST_HEAD || db_simd_is_blas(host))
        return db_blas_attention_forward(host, a);
    work.blocks = db_blas_pieces(a->query_length, PANELS * work.isa->columns);
    work.scratch_step = (KEYS + PANELS * 2 * a->head_size) * work.isa->columns;
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
    const struct db_bf16_isa *tiles = db_simd_tiles_of(host, work, parts);
    const bool is_worth = *parts == 1
                              ? a->query_length * a->key_length >= LEAST_SCORES
                              : work >= LEAST_WORK;

    return is_worth && tiles != NULL && db_bf16_heads_fit(a, *parts) ? tiles
                                                                     : NULL;
}

int db_simd_attention_forward(const dreambooth_kernel_host *host,
                              const dreambooth_attention *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_for(host, a, &parts);

    if (tiles != NULL)
        return db_bf16_attention_forward(host, tiles, parts, a);
    return forward(host, a);
}

int db_simd_attention_backward(const dreambooth_kernel_host *host,
                               const dreambooth_attention *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_for(host, a, &parts);

    if (tiles != NULL)
        return db_bf16_attention_backward(host, tiles, parts, a);
    return db_blas_attention_backward(host, a);
}

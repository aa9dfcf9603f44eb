/* SPDX-License-Identifier: MIT */
/*
 * Attention by tiles of queries and keys (Dao et al. 2022, "FlashAttention"): a
 * tile of scores lives in the second-level cache and is gone before the next.
 * forward rescales what it has when a later tile raises a row's maximum;
 * backward recomputes the tiles from lse. Scores are kept in units of ln 2, so
 * that their exponentials are powers of two.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"
#include "kernel/device.h"

#include <math.h>
#include <stdbool.h>

#define QUERIES 256 /* rows of a tile of scores */
#define KEYS 512    /* its columns */
#define TILE (QUERIES * KEYS)
/* Image-head pairs that are tasks enough by themselves. */
#define MANY_HEADS 8

struct attention_work {
    const dreambooth_attention *a;
    float *scratch;
    int64_t scratch_step; /* floats a worker */
    int64_t row;          /* floats between positions: heads head_size */
    int64_t blocks;       /* tasks an image-head pair */
    bool write_dq, write_dkv;
};

/* One image and head: its number and where its vectors start. */
struct head {
    int64_t number;
    int64_t q; /* in q, y, dy, dq */
    int64_t k; /* in k, v, dk, dv */
};

static struct head head_at(const dreambooth_attention *a, int64_t number)
{
    const int64_t row = a->heads * a->head_size;
    const int64_t image = number / a->heads;
    const int64_t within = number % a->heads * a->head_size;
    struct head head = {number, image * a->query_length * row + within,
                        image * a->key_length * row + within};

    return head;
}

static float score_factor(const dreambooth_attention *a)
{
    return (float)((double)a->scale * LOG2_E);
}

/* How many keys from FIRST on, at most KEYS, QUERY sees. */
static int64_t visible(const dreambooth_attention *a, int64_t query,
                       int64_t first, int64_t keys)
{
    if (!a->causal || query - first >= keys)
        return keys;
    return db_blas_larger(query + 1 - first, 0);
}

/* The end of the keys that the queries before END see. */
static int64_t key_end(const dreambooth_attention *a, int64_t end)
{
    return a->causal ? db_blas_smaller(end, a->key_length) : a->key_length;
}

/* out[queries, keys] = factor x z^T of two sets of head vectors */
static void tile_product(const struct attention_work *work, float factor,
                         const float *x, int64_t queries, const float *z,
                         int64_t keys, float *out)
{
    db_blas_sgemm(0, 1, queries, keys, work->a->head_size, factor, x, work->row,
                  z, work->row, 0.0f, out, keys);
}

/*
 * Turns a row of scores, of which SEEN are visible, into exponentials relative
 * to the row's running maximum; SUM is that of the row so far. Returns the
 * factor for what the row has gathered before.
 */
static float soften_row(float *s, int64_t seen, int64_t keys, float *maximum,
                        double *sum)
{
    float before = *maximum;
    float rise;

    memset(s + seen, 0, (size_t)(keys - seen) * sizeof(*s));
    if (seen == 0)
        return 1.0f;
    rise = db_maximum(s, seen);
    *maximum = rise > before ? rise : before;
    rise = before == -INFINITY ? 0.0f : exp2f(before - *maximum);
    *sum = *sum * (double)rise + db_exp2_row(s, *maximum, seen);
    return rise;
}

static void scale_row(float *restrict y, float factor, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        y[i] *= factor;
}

/* The rows of one block of queries. */
struct rows {
    int64_t first;
    int64_t count;
    float maximum[QUERIES];
    double sum[QUERIES];
};

static void forward_keys(const struct attention_work *work, struct head head,
                         struct rows *rows, int64_t first, int64_t keys,
                         float *s)
{
    const dreambooth_attention *a = work->a;
    float *y = a->y + head.q + rows->first * work->row;
    int64_t r;

    tile_product(work, score_factor(a), a->q + head.q + rows->first * work->row,
                 rows->count, a->k + head.k + first * work->row, keys, s);
    for (r = 0; r < rows->count; r++) {
        float factor =
            soften_row(s + r * keys, visible(a, rows->first + r, first, keys),
                       keys, &rows->maximum[r], &rows->sum[r]);

        if (first > 0 && factor != 1.0f)
            scale_row(y + r * work->row, factor, a->head_size);
    }
    db_blas_sgemm(0, 0, rows->count, a->head_size, keys, 1.0f, s, keys,
                  a->v + head.k + first * work->row, work->row,
                  first == 0 ? 0.0f : 1.0f, y, work->row);
}

static void forward_block(void *argument, int64_t index, int worker)
{
    const struct attention_work *work = argument;
    const dreambooth_attention *a = work->a;
    const struct head head = head_at(a, index / work->blocks);
    float *s = work->scratch + worker * work->scratch_step;
    struct rows rows;
    int64_t end;
    int64_t first;
    int64_t r;

    rows.first = index % work->blocks * QUERIES;
    rows.count = db_blas_smaller(QUERIES, a->query_length - rows.first);
    for (r = 0; r < rows.count; r++) {
        rows.maximum[r] = -INFINITY;
        rows.sum[r] = 0.0;
    }
    end = key_end(a, rows.first + rows.count);
    for (first = 0; first < end; first += KEYS)
        forward_keys(work, head, &rows, first,
                     db_blas_smaller(KEYS, end - first), s);
    for (r = 0; r < rows.count; r++) {
        scale_row(a->y + head.q + (rows.first + r) * work->row,
                  (float)(1.0 / rows.sum[r]), a->head_size);
        a->lse[head.number * a->query_length + rows.first + r] =
            (float)((double)rows.maximum[r] * LN_2 + log(rows.sum[r]));
    }
}

static int run(const dreambooth_kernel_host *host, struct attention_work *work,
               int64_t scratch, void (*task)(void *, int64_t, int))
{
    work->row = work->a->heads * work->a->head_size;
    work->scratch_step = scratch;
    work->scratch = host->scratch_new(host, (size_t)(scratch * host->threads) *
                                                sizeof(float));
    if (work->scratch == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, work->a->batch * work->a->heads * work->blocks, task,
                   work);
    host->scratch_free(host, work->scratch);
    return DREAMBOOTH_OK;
}

int db_blas_attention_forward(const dreambooth_kernel_host *host,
                              const dreambooth_attention *a)
{
    struct attention_work work = {.a = a};

    if (!db_blas_fits(a->heads * a->head_size))
        return db_backend_reference.attention_forward(host, a);
    work.blocks = db_blas_pieces(a->query_length, QUERIES);
    return run(host, &work, TILE, forward_block);
}

/* A worker's memory in backward: p and ds, and a number for each query. */
struct backward_tile {
    float *p;
    float *ds;
    float *d;
};

/* d[r] = sum(dy y) */
static void row_products(const struct attention_work *work, struct head head,
                         int64_t first, int64_t count, float *d)
{
    const dreambooth_attention *a = work->a;
    int64_t r;

    for (r = 0; r < count; r++) {
        int64_t at = head.q + (first + r) * work->row;

        d[r] = (float)db_dot(a->dy + at, a->y + at, a->head_size);
    }
}

/* ds = scale p (dp - d), with dp in ds before */
static void score_gradient(float *restrict ds, const float *restrict p, float d,
                           float scale, int64_t count)
{
    int64_t j;

    for (j = 0; j < count; j++)
        ds[j] = scale * (p[j] * (ds[j] - d));
}

/* The tile's p and ds. */
static void recompute(const struct attention_work *work, struct head head,
                      int64_t query, int64_t queries, int64_t key, int64_t keys,
                      struct backward_tile *tile)
{
    const dreambooth_attention *a = work->a;
    const int64_t q = head.q + query * work->row;
    const int64_t k = head.k + key * work->row;
    const float *lse = a->lse + head.number * a->query_length + query;
    int64_t r;

    tile_product(work, score_factor(a), a->q + q, queries, a->k + k, keys,
                 tile->p);
    tile_product(work, 1.0f, a->dy + q, queries, a->v + k, keys, tile->ds);
    for (r = 0; r < queries; r++) {
        int64_t seen = visible(a, query + r, key, keys);
        float *p = tile->p + r * keys;

        db_exp2_row(p, (float)((double)lse[r] * LOG2_E), seen);
        memset(p + seen, 0, (size_t)(keys - seen) * sizeof(*p));
        score_gradient(tile->ds + r * keys, p, tile->d[r], a->scale, keys);
    }
}

/* What one tile gives to dq, dk and dv. */
static void backward_keys(const struct attention_work *work, struct head head,
                          int64_t query, int64_t queries, int64_t key,
                          int64_t keys, struct backward_tile *tile)
{
    const dreambooth_attention *a = work->a;
    const int64_t q = head.q + query * work->row;
    const int64_t k = head.k + key * work->row;

    recompute(work, head, query, queries, key, keys, tile);
    if (work->write_dkv) {
        db_blas_sgemm(1, 0, keys, a->head_size, queries, 1.0f, tile->p, keys,
                      a->dy + q, work->row, 1.0f, a->dv + k, work->row);
        db_blas_sgemm(1, 0, keys, a->head_size, queries, 1.0f, tile->ds, keys,
                      a->q + q, work->row, 1.0f, a->dk + k, work->row);
    }
    if (work->write_dq)
        db_blas_sgemm(0, 0, queries, a->head_size, keys, 1.0f, tile->ds, keys,
                      a->k + k, work->row, 1.0f, a->dq + q, work->row);
}

static void clear_rows(const struct attention_work *work, float *at,
                       int64_t count)
{
    int64_t r;

    for (r = 0; r < count; r++)
        memset(at + r * work->row, 0,
               (size_t)work->a->head_size * sizeof(float));
}

/* All tiles of the queries [query, query_end) and keys [key, end). */
static void backward_range(const struct attention_work *work, struct head head,
                           int64_t query, int64_t query_end, int64_t key,
                           int64_t end, float *scratch)
{
    struct backward_tile tile = {scratch, scratch + TILE, scratch + 2 * TILE};
    int64_t first;

    if (work->write_dq)
        clear_rows(work, work->a->dq + head.q + query * work->row,
                   query_end - query);
    if (work->write_dkv) {
        clear_rows(work, work->a->dk + head.k + key * work->row, end - key);
        clear_rows(work, work->a->dv + head.k + key * work->row, end - key);
    }
    for (; query < query_end; query += QUERIES) {
        int64_t queries = db_blas_smaller(QUERIES, query_end - query);
        int64_t seen = db_blas_smaller(end, key_end(work->a, query + queries));

        row_products(work, head, query, queries, tile.d);
        for (first = key; first < seen; first += KEYS)
            backward_keys(work, head, query, queries, first,
                          db_blas_smaller(KEYS, seen - first), &tile);
    }
}

static void backward_head(void *argument, int64_t index, int worker)
{
    const struct attention_work *work = argument;

    backward_range(work, head_at(work->a, index), 0, work->a->query_length, 0,
                   work->a->key_length,
                   work->scratch + worker * work->scratch_step);
}

static void backward_key_block(void *argument, int64_t index, int worker)
{
    const struct attention_work *work = argument;
    const int64_t key = index % work->blocks * KEYS;

    backward_range(work, head_at(work->a, index / work->blocks), 0,
                   work->a->query_length, key,
                   db_blas_smaller(key + KEYS, work->a->key_length),
                   work->scratch + worker * work->scratch_step);
}

static void backward_query_block(void *argument, int64_t index, int worker)
{
    const struct attention_work *work = argument;
    const int64_t query = index % work->blocks * QUERIES;

    backward_range(work, head_at(work->a, index / work->blocks), query,
                   db_blas_smaller(query + QUERIES, work->a->query_length), 0,
                   work->a->key_length,
                   work->scratch + worker * work->scratch_step);
}

int db_blas_attention_backward(const dreambooth_kernel_host *host,
                               const dreambooth_attention *a)
{
    const int64_t scratch = 2 * TILE + QUERIES;
    struct attention_work work = {.a = a, .blocks = 1};
    int status;

    if (!db_blas_fits(a->heads * a->head_size))
        return db_backend_reference.attention_backward(host, a);
    work.write_dq = true;
    work.write_dkv = true;
    if (a->batch * a->heads >= MANY_HEADS || a->query_length <= QUERIES)
        return run(host, &work, scratch, backward_head);
    work.write_dq = false;
    work.blocks = db_blas_pieces(a->key_length, KEYS);
    status = run(host, &work, scratch, backward_key_block);
    if (status != DREAMBOOTH_OK)
        return status;
    work.write_dq = true;
    work.write_dkv = false;
    work.blocks = db_blas_pieces(a->query_length, QUERIES);
    return run(host, &work, scratch, backward_query_block);
}

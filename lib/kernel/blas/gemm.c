/* SPDX-License-Identifier: MIT */
/*
 * Matrix products: the door to cblas_sgemm, the rule that divides a product
 * into tiles, and the gemm slot, which runs one tile a task.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/device.h"

#include <limits.h>
#include <stdbool.h>
#ifdef DREAMBOOTH_MKL
#include <mkl_cblas.h>
#else
#include <cblas.h>
#endif

#define TILE_FLOPS 64e6
#define MOST_TILES 16                 /* unless they would be too large */
#define ENOUGH_TILES 8                /* not to make small ones of them */
#define LEAST_AREA ((int64_t)1 << 15) /* of a tile that is not small */
#define MOST_AREA ((int64_t)1 << 18)  /* so that it stays in the cache */
#define LEAST_SIDE 128                /* of a tile that came from a division */
#define SIDE_MULTIPLE 16              /* no tile ends inside a micro-kernel */
#define INNER_PART ((int64_t)1 << 24) /* k in one call */

int64_t db_blas_pieces(int64_t count, int64_t piece)
{
    return (count + piece - 1) / piece;
}

int64_t db_blas_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t db_blas_larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int db_blas_fits(int64_t size)
{
    return size <= INT_MAX;
}

void db_blas_sgemm(int transpose_a, int transpose_b, int64_t m, int64_t n,
                   int64_t k, float alpha, const float *a, int64_t lda,
                   const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc)
{
    int64_t done = 0;

    /* An empty matrix may have rows of length 0, which cblas refuses. */
    lda = db_blas_larger(lda, 1);
    ldb = db_blas_larger(ldb, 1);
    do {
        int64_t part = db_blas_smaller(k - done, INNER_PART);

        cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                    transpose_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                    (int)part, alpha, a + (transpose_a ? done * lda : done),
                    (int)lda, b + (transpose_b ? done : done * ldb), (int)ldb,
                    done == 0 ? beta : 1.0f, c, (int)ldc);
        done += part;
    } while (done < k);
}

static int64_t half_side(int64_t side)
{
    return (side / 2 + SIDE_MULTIPLE - 1) / SIDE_MULTIPLE * SIDE_MULTIPLE;
}

/* Halves the longer side, or the other; false when both are short. */
static bool halve(struct db_blas_tiles *t)
{
    const bool can_m = half_side(t->tile_m) >= LEAST_SIDE;
    const bool can_n = half_side(t->tile_n) >= LEAST_SIDE;

    if (can_m && (t->tile_m >= t->tile_n || !can_n))
        t->tile_m = half_side(t->tile_m);
    else if (can_n)
        t->tile_n = half_side(t->tile_n);
    return can_m || can_n;
}

/* Whether a division into COUNT tiles such as T is too coarse. */
static bool is_coarse(const struct db_blas_tiles *t, int64_t count,
                      double flops)
{
    const int64_t area = t->tile_m * t->tile_n;

    if (area > MOST_AREA)
        return true;
    if (count >= ENOUGH_TILES && area < 2 * LEAST_AREA)
        return false;
    return count < MOST_TILES && (double)count < flops / TILE_FLOPS;
}

struct db_blas_tiles db_blas_divide(int64_t m, int64_t n, int64_t k,
                                    int64_t max_m)
{
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    struct db_blas_tiles t = {m, n, 1, 1};

    while (t.tile_m > max_m)
        t.tile_m = half_side(t.tile_m);
    do {
        t.count_m = db_blas_pieces(m, t.tile_m);
        t.count_n = db_blas_pieces(n, t.tile_n);
    } while (is_coarse(&t, t.count_m * t.count_n, flops) && halve(&t));
    return t;
}

struct gemm_work {
    const dreambooth_gemm *g;
    struct db_blas_tiles tiles;
};

/* Puts beta c + bias where the product is going to be added. */
static void begin_with_bias(const dreambooth_gemm *g, float *c,
                            const float *bias, int64_t m, int64_t n)
{
    int64_t i;
    int64_t j;

    for (i = 0; i < m; i++)
        for (j = 0; j < n; j++)
            c[i * g->ldc + j] =
                bias[j] +
                (g->beta == 0.0f ? 0.0f : g->beta * c[i * g->ldc + j]);
}

static void gemm_tile(void *argument, int64_t index, int worker)
{
    const struct gemm_work *work = argument;
    const dreambooth_gemm *g = work->g;
    const int64_t i = index / (work->tiles.count_m * work->tiles.count_n);
    const int64_t row =
        index / work->tiles.count_n % work->tiles.count_m * work->tiles.tile_m;
    const int64_t column = index % work->tiles.count_n * work->tiles.tile_n;
    const int64_t m = db_blas_smaller(work->tiles.tile_m, g->m - row);
    const int64_t n = db_blas_smaller(work->tiles.tile_n, g->n - column);
    float *c = g->c + i * g->c_step + row * g->ldc + column;

    (void)worker;
    if (g->bias != NULL)
        begin_with_bias(g, c, g->bias + column, m, n);
    db_blas_sgemm(
        g->transpose_a, g->transpose_b, m, n, g->k, g->alpha,
        g->a + i * g->a_step + (g->transpose_a ? row : row * g->lda), g->lda,
        g->b + i * g->b_step + (g->transpose_b ? column * g->ldb : column),
        g->ldb, g->bias != NULL ? 1.0f : g->beta, c, g->ldc);
}

int db_blas_gemm(const dreambooth_kernel_host *host, const dreambooth_gemm *a)
{
    struct gemm_work work = {a, {0, 0, 0, 0}};

    if (a->batch < 1 || a->m < 1 || a->n < 1)
        return DREAMBOOTH_OK;
    if (!db_blas_fits(a->lda) || !db_blas_fits(a->ldb) ||
        !db_blas_fits(a->ldc) || !db_blas_fits(a->n))
        return db_backend_reference.gemm(host, a);
    work.tiles = db_blas_divide(a->m, a->n, a->k, INT_MAX);
    host->parallel(host, a->batch * work.tiles.count_m * work.tiles.count_n,
                   gemm_tile, &work);
    return DREAMBOOTH_OK;
}

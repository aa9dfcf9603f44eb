/* SPDX-License-Identifier: MIT */
/*
 * Products of few rows with a weight, such as those that tell residual blocks
 * of the timestep: each number of the weight is used once or twice, so memory
 * is what they wait for. The weight is read as it lies, in either type.
 */
#include "kernel/elementwise/elementwise.h"
#include "kernel/simd/simd_int.h"

#define MOST_ROWS 3
#define TASK ((int64_t)1 << 14) /* numbers of the weight */

struct rows_work {
    const dreambooth_gemm *g;
    const struct db_elementwise *row;
    int64_t block; /* columns of a task */
};

static void columns_of(void *argument, int64_t index, int worker)
{
    const struct rows_work *work = argument;
    const dreambooth_gemm *g = work->g;
    const int64_t end = db_blas_smaller((index + 1) * work->block, g->n);
    int64_t i, n;

    (void)worker;
    for (n = index * work->block; n < end; n++)
        for (i = 0; i < g->m; i++) {
            float *c = g->c + i * g->ldc + n;
            const float *a = g->a + i * g->lda;
            const float sum =
                g->b_bf16 != NULL
                    ? work->row->dot_bf16(a, g->b_bf16 + n * g->ldb, g->k)
                    : work->row->dot(a, g->b + n * g->ldb, g->k);

            *c = g->alpha * sum + (g->beta == 0.0f ? 0.0f : g->beta * *c) +
                 (g->bias == NULL ? 0.0f : g->bias[n]);
        }
}

bool db_simd_has_few_rows(const dreambooth_gemm *a)
{
    return a->batch == 1 && a->m >= 1 && a->m <= MOST_ROWS && a->n >= 1 &&
           a->k >= 1 && !a->transpose_a && a->transpose_b;
}

int db_simd_few_rows(const dreambooth_kernel_host *host,
                     const dreambooth_gemm *a)
{
    struct rows_work work = {a, db_elementwise_of(host),
                             db_blas_larger(1, TASK / a->k)};

    host->parallel(host, db_blas_pieces(a->n, work.block), columns_of, &work);
    return DREAMBOOTH_OK;
}

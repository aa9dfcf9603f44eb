/* SPDX-License-Identifier: MIT */
/*
 * Along a long k, where there are few sums, pieces of k are products of their
 * own, so that a task packs what no other needs, and reads the rows that its
 * thread has made. What they make is added in their order. How k is cut follows
 * from the shape.
 */
#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define FEW_SUMS ((int64_t)1 << 16)
#define LEAST_PIECE 288 /* values of k */
#define MOST_PIECES 8

struct pieces {
    dreambooth_gemm gemms[MOST_PIECES];
    int64_t count, values; /* of k in each */
    float *sums;           /* of all but the first */
};

/* A power of two, which most numbers of threads divide, or are divided by. */
static int64_t count_of(const dreambooth_gemm *g)
{
    const int64_t most = db_blas_smaller(MOST_PIECES, g->k / LEAST_PIECE);
    int64_t count = 1;

    while (2 * count <= most)
        count *= 2;
    return count;
}

bool db_bf16_has_pieces(const dreambooth_gemm *g)
{
    return g->transpose_a && !g->transpose_b && g->m * g->n <= FEW_SUMS &&
           g->c_bf16 == NULL && count_of(g) > 1;
}

/* Where a kernel has one place, that sees x as it lies. */
bool db_bf16_weight_has_pieces(const dreambooth_kernel_host *host,
                               const dreambooth_conv2d *a,
                               dreambooth_gemm *product)
{
    *product = (dreambooth_gemm){.batch = 1,
                                 .m = a->out_channels,
                                 .n = a->in_channels,
                                 .k = a->batch * a->out_height * a->out_width,
                                 .lda = a->out_channels,
                                 .ldb = a->in_channels,
                                 .ldc = a->in_channels,
                                 .transpose_a = 1,
                                 .alpha = 1.0f,
                                 .beta = host->overwrite ? 0.0f : 1.0f,
                                 .a = a->dy,
                                 .b = a->x,
                                 .c = a->dweight};
    return a->kernel_height * a->kernel_width * a->stride == 1 &&
           db_bf16_has_pieces(product);
}

static const uint16_t *after(const uint16_t *at, int64_t values)
{
    return at == NULL ? NULL : at + values;
}

static dreambooth_gemm piece_of(const struct pieces *pieces,
                                const dreambooth_gemm *g, int64_t batch,
                                int64_t piece)
{
    const int64_t k = piece * pieces->values;
    const int64_t a = batch * g->a_step + k * g->lda;
    const int64_t b = batch * g->b_step + k * g->ldb;
    dreambooth_gemm part = *g;

    part.k = db_blas_smaller(pieces->values, g->k - k);
    if (part.a != NULL)
        part.a += a;
    if (part.b != NULL)
        part.b += b;
    part.a_bf16 = after(g->a_bf16, a);
    part.b_bf16 = after(g->b_bf16, b);
    part.c += batch * g->c_step;
    if (piece > 0) {
        part.c = pieces->sums + (piece - 1) * g->m * g->n;
        part.ldc = g->n;
        part.beta = 0.0f;
        part.bias = NULL;
    }
    return part;
}

static void add_row(void *argument, int64_t index, int worker)
{
    const struct pieces *pieces = argument;
    const dreambooth_gemm *g = &pieces->gemms[0];
    const float *sums = pieces->sums + index * g->n;
    float *y = g->c + index * g->ldc;
    int64_t i, j;

    (void)worker;
    for (j = 1; j < pieces->count; j++, sums += g->m * g->n)
        for (i = 0; i < g->n; i++)
            y[i] += sums[i];
}

int db_bf16_gemm_by_pieces(const dreambooth_kernel_host *host,
                           const struct db_bf16_isa *isa, int parts,
                           const dreambooth_gemm *g, int64_t batch)
{
    const int64_t steps = db_blas_pieces(g->k, DB_BF16_STEP);
    struct pieces pieces = {.values = db_blas_pieces(steps, count_of(g)) *
                                      DB_BF16_STEP};
    int64_t i;
    int status;

    pieces.count = db_blas_pieces(g->k, pieces.values);
    pieces.sums =
        host->scratch_new(host, (size_t)((pieces.count - 1) * g->m * g->n) *
                                    sizeof(*pieces.sums));
    if (pieces.sums == NULL)
        return DREAMBOOTH_ENOMEM;
    for (i = 0; i < pieces.count; i++)
        pieces.gemms[i] = piece_of(&pieces, g, batch, i);
    status = db_bf16_gemms(host, isa, parts, pieces.gemms, pieces.count);
    if (status == DREAMBOOTH_OK)
        host->parallel(host, g->m, add_row, &pieces);
    host->scratch_free(host, pieces.sums);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * The gemm slot. An A whose rows run along k is read where it lies. Where there
 * is little to do, blas is as good.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/device.h"
#include "kernel/elementwise/elementwise.h"
#include "kernel/expand.h"
#include "kernel/simd/simd_int.h"

#define LEAST_ROWS 4                  /* below, memory is what counts */
#define LEAST_WORK ((int64_t)1 << 14) /* m n k of a product worth packing */

struct operand {
    const float *at;
    int64_t row;
    bool along_k; /* rows run along k */
};

struct source {
    struct operand a, b;
    float alpha;
};

static void lay_rows(const struct db_simd_product *p, int64_t row,
                     int64_t count, int64_t first, int64_t width, float *buffer,
                     struct db_simd_rows *out)
{
    const struct operand *a = &((const struct source *)p->source)->a;

    if (a->along_k)
        *out = (struct db_simd_rows){a->at + row * a->row + first, a->row};
    else
        db_simd_lay_across(p, a->at + first * a->row + row, a->row, count,
                           width, buffer, out);
}

static void pack_columns(const struct db_simd_product *p, int64_t column,
                         int64_t count, int64_t first, int64_t width,
                         float *buffer, float *panel)
{
    const struct source *source = p->source;
    const struct operand *b = &source->b;

    (void)buffer;
    if (b->along_k)
        p->isa->turn((int)count, width, b->at + column * b->row + first, b->row,
                     source->alpha, panel);
    else
        p->isa->copy((int)count, width, b->at + first * b->row + column, b->row,
                     source->alpha, panel);
}

static struct db_simd_origin find_columns(const struct db_simd_product *p,
                                          int64_t column, int64_t first)
{
    const struct operand *b = &((const struct source *)p->source)->b;

    return (struct db_simd_origin){b->at + (b->along_k
                                                ? column * b->row + first
                                                : first * b->row + column),
                                   b->row, b->along_k};
}

static struct source source_of(const dreambooth_gemm *g, int64_t i)
{
    return (struct source){{g->a + i * g->a_step, g->lda, !g->transpose_a},
                           {g->b + i * g->b_step, g->ldb, g->transpose_b},
                           g->alpha};
}

static struct db_simd_product product_of(const dreambooth_kernel_host *host,
                                         const dreambooth_gemm *g,
                                         const struct source *source)
{
    const int64_t step = g->transpose_a ? db_simd_step(g->lda, g->n) : 0;

    return (struct db_simd_product){.isa = db_simd_isa_of(host),
                                    .m = g->m,
                                    .n = g->n,
                                    .k = g->k,
                                    .lay = lay_rows,
                                    .pack = pack_columns,
                                    .find = find_columns,
                                    .step = step,
                                    .copies = g->transpose_a && step == 0,
                                    .source = source,
                                    .c_row = g->ldc,
                                    .beta = g->beta,
                                    .bias = g->bias};
}

static int multiply_one(const dreambooth_kernel_host *host,
                        const dreambooth_gemm *g, int64_t i)
{
    const struct source source = source_of(g, i);
    struct db_simd_product p = product_of(host, g, &source);

    p.c = g->c + i * g->c_step;
    return db_simd_multiply(host, &p);
}

static bool is_small(const dreambooth_gemm *a)
{
    return a->m < LEAST_ROWS || a->n < LEAST_ROWS ||
           a->m * a->n * a->k < LEAST_WORK;
}

static int multiply_floats(const dreambooth_kernel_host *host,
                           const dreambooth_gemm *a)
{
    int status = DREAMBOOTH_OK;
    int64_t i;

    if (is_small(a) || db_simd_is_blas(host))
        return db_blas_gemm(host, a);
    for (i = 0; i < a->batch && status == DREAMBOOTH_OK; i++)
        status = multiply_one(host, a, i);
    return status;
}

/* The isa that multiplies A by tiles, or NULL. */
static const struct db_bf16_isa *tiles_of(const dreambooth_kernel_host *host,
                                          const dreambooth_gemm *a, int *parts)
{
    const double work = (double)a->m * (double)a->n * (double)a->k;
    const struct db_bf16_isa *tiles =
        db_simd_tiles_of(host, work >= DB_SIMD_LARGE_GEMM, parts);

    return is_small(a) || (a->a_bf16 != NULL && *parts > 1) ? NULL : tiles;
}

static int multiply_without_tiles(const dreambooth_kernel_host *host,
                                  const dreambooth_gemm *a)
{
    if (db_simd_has_few_rows(a) && !db_simd_is_blas(host))
        return a->a_bf16 != NULL ? db_expand_gemm(host, a, db_simd_few_rows)
                                 : db_simd_few_rows(host, a);
    return db_expand_gemm(host, a, multiply_floats);
}

struct rounding {
    const struct db_elementwise *row;
    const dreambooth_gemm *to;
    const float *sums;
};

static void round_row(void *argument, int64_t index, int worker)
{
    const struct rounding *r = argument;

    (void)worker;
    r->row->narrow(r->sums + index * r->to->n, r->to->n, 0,
                   r->to->c_bf16 + index * r->to->ldc);
}

/* To bfloat16 by way of memory. */
static int multiply_and_round(const dreambooth_kernel_host *host,
                              const dreambooth_gemm *a)
{
    dreambooth_gemm sums = *a;
    struct rounding rounding = {.row = db_elementwise_of(host), .to = a};
    int status;

    sums.ldc = a->n;
    sums.c_bf16 = NULL;
    sums.c = host->scratch_new(host, (size_t)(a->m * a->n) * sizeof(float));
    if (sums.c == NULL)
        return DREAMBOOTH_ENOMEM;
    rounding.sums = sums.c;
    status = multiply_without_tiles(host, &sums);
    if (status == DREAMBOOTH_OK)
        host->parallel(host, a->m, round_row, &rounding);
    host->scratch_free(host, sums.c);
    return status;
}

static int multiply(const dreambooth_kernel_host *host,
                    const dreambooth_gemm *a)
{
    int parts;
    const struct db_bf16_isa *tiles = tiles_of(host, a, &parts);

    if (tiles != NULL)
        return db_bf16_gemm(host, tiles, parts, a);
    return a->c_bf16 != NULL ? multiply_and_round(host, a)
                             : multiply_without_tiles(host, a);
}

/* Y of a product with its gates. */
static struct db_gated_rows gated_rows(const dreambooth_kernel_host *host,
                                       const dreambooth_gemm *a)
{
    return (struct db_gated_rows){.rows = a->m,
                                  .width = a->n / 2,
                                  .y = a->c,
                                  .y_bf16 = a->c_bf16,
                                  .y_row = a->ldc,
                                  .is_rough =
                                      host->precision == DREAMBOOTH_BFLOAT16};
}

/* The sums by way of memory. */
static int multiply_then_gate(const dreambooth_kernel_host *host,
                              const dreambooth_gemm *a)
{
    dreambooth_gemm sums = *a;
    struct db_gated_rows rows = gated_rows(host, a);
    int status;

    sums.ldc = a->n;
    sums.geglu = 0;
    sums.c_bf16 = NULL;
    sums.c = host->scratch_new(host, (size_t)(a->m * a->n) * sizeof(float));
    if (sums.c == NULL)
        return DREAMBOOTH_ENOMEM;
    rows.x = sums.c;
    rows.gate = sums.c + rows.width;
    rows.x_row = a->n;
    status = multiply(host, &sums);
    if (status == DREAMBOOTH_OK)
        status = db_blas_gate(host, &rows);
    host->scratch_free(host, sums.c);
    return status;
}

/* Of floats, each gate beside its x. */
static int multiply_gated(const dreambooth_kernel_host *host,
                          const dreambooth_gemm *a)
{
    const struct db_gated_rows rows = gated_rows(host, a);
    const struct db_simd_gates gates = {db_elementwise_of(host), &rows};
    const struct source source = source_of(a, 0);
    struct db_simd_product p = product_of(host, a, &source);

    p.gates = &gates;
    return db_simd_may_gate(&p) ? db_simd_multiply(host, &p)
                                : multiply_then_gate(host, a);
}

int db_simd_gemm(const dreambooth_kernel_host *host, const dreambooth_gemm *a)
{
    int parts;
    const struct db_bf16_isa *tiles;

    if (a->geglu == 0)
        return multiply(host, a);
    tiles = tiles_of(host, a, &parts);
    if (tiles != NULL && db_bf16_gates(a))
        return db_bf16_gated_gemm(host, tiles, parts, a);
    if (tiles != NULL || is_small(a) || db_simd_is_blas(host))
        return multiply_then_gate(host, a);
    return db_expand_gemm(host, a, multiply_gated);
}

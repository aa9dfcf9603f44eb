/* SPDX-License-Identifier: MIT */
/* The gemm slot by tiles. */
#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

/* Cycles for a part of a tile, as measured. */
#define ROWS 65
#define PAIRS 80
#define TURN 90

/* A matrix as gemm has it: strips are its columns, or its rows, and k is the
 * other direction. */
struct matrix {
    struct db_bf16_from from;
    int64_t size, k;
    bool along_k; /* lines run along k */
};

struct source {
    struct matrix a, b;
};

static void pack(const struct db_bf16_isa *isa, const struct matrix *m,
                 const struct db_bf16_operand *o, bool turned, int64_t strip,
                 int64_t step, int64_t steps, uint8_t *to)
{
    const int64_t first = strip * DB_BF16_SIDE, k = step * DB_BF16_STEP;
    const int64_t count = db_blas_smaller(DB_BF16_SIDE, m->size - first);
    const int64_t left = db_blas_smaller(steps * DB_BF16_STEP, m->k - k);
    const int64_t at =
        m->along_k ? first * m->from.row + k : k * m->from.row + first;
    struct db_bf16_from from = m->from;
    int64_t i;

    if (from.f32 != NULL)
        from.f32 += at;
    else
        from.bf16 += at;
    if (m->along_k && turned) {
        db_bf16_columns(isa, &from, count, left, to, steps, o->parts);
        return;
    }
    if (m->along_k)
        db_bf16_rows(isa, &from, count, left, to, steps, o->parts);
    else
        db_bf16_pairs(isa, &from, count, left, to, steps, o->parts);
    for (i = 0; turned && i < steps * o->parts; i++, to += DB_BF16_TILE)
        isa->turn(to, DB_BF16_LINE, to);
}

static void pack_a(const struct db_bf16_product *p, int64_t strip, int64_t step,
                   int64_t steps, uint8_t *to)
{
    const struct source *s = p->source;

    pack(p->isa, &s->a, &p->a, !s->a.along_k, strip, step, steps, to);
}

static void pack_b(const struct db_bf16_product *p, int64_t strip, int64_t step,
                   int64_t steps, uint8_t *to)
{
    const struct source *s = p->source;

    pack(p->isa, &s->b, &p->b, s->b.along_k, strip, step, steps, to);
}

/* What is read of a right side. */
static struct db_bf16_raw raw_of(const struct matrix *m)
{
    const int64_t size = m->from.f32 != NULL ? 4 : 2;
    const int64_t row = m->from.row * size;
    const int lines = m->from.f32 != NULL ? 2 : 1;

    if (m->along_k)
        return (struct db_bf16_raw){
            m->from.f32 != NULL ? (const void *)m->from.f32 : m->from.bf16,
            DB_BF16_PANEL * row,
            row,
            DB_BF16_STEP * size,
            NULL,
            lines};
    return (struct db_bf16_raw){m->from.f32 != NULL ? (const void *)m->from.f32
                                                    : m->from.bf16,
                                DB_BF16_PANEL * size,
                                row,
                                DB_BF16_STEP * row,
                                NULL,
                                lines};
}

/* B, if it is a weight. */
static dreambooth_form form_of(const dreambooth_gemm *g,
                               const struct db_bf16_isa *isa, int64_t i,
                               int parts)
{
    return (dreambooth_form){
        g->b_bf16 != NULL ? (const void *)(g->b_bf16 + i * g->b_step)
                          : g->b + i * g->b_step,
        isa,
        {DB_BF16_FORM_GEMM, parts, g->n, g->k, g->ldb, g->transpose_b}};
}

static int multiply_one(const dreambooth_kernel_host *host,
                        const struct db_bf16_isa *isa, int parts,
                        const dreambooth_gemm *g, int64_t i)
{
    const struct source source = {
        .a = {{g->a + i * g->a_step, NULL, g->lda},
              g->m,
              g->k,
              !g->transpose_a},
        .b = {{g->b == NULL ? NULL : g->b + i * g->b_step,
               g->b_bf16 == NULL ? NULL : g->b_bf16 + i * g->b_step, g->ldb},
              g->n,
              g->k,
              g->transpose_b}};
    const struct db_bf16_product p = {
        .isa = isa,
        .a = {.strips = db_blas_pieces(g->m, DB_BF16_SIDE),
              .parts = parts,
              .pack = pack_a,
              .cost = source.a.along_k ? ROWS : PAIRS + TURN},
        .b = {.strips = db_blas_pieces(g->n, DB_BF16_SIDE),
              .parts = g->b_bf16 != NULL ? 1 : parts,
              .pack = pack_b,
              .cost = source.b.along_k ? ROWS + TURN : PAIRS,
              .raw = raw_of(&source.b),
              .form = form_of(g, isa, i, g->b_bf16 != NULL ? 1 : parts)},
        .source = &source,
        .steps = db_blas_pieces(g->k, DB_BF16_STEP),
        .m = g->m,
        .n = g->n,
        .y_row = g->ldc,
        .result = {g->c + i * g->c_step, g->alpha, g->beta, g->bias}};

    return db_bf16_multiply(host, &p);
}

int db_bf16_gemm(const dreambooth_kernel_host *host,
                 const struct db_bf16_isa *isa, int parts,
                 const dreambooth_gemm *a)
{
    int status = DREAMBOOTH_OK;
    int64_t i;

    if (a->m < 1 || a->n < 1 || a->k < 1)
        return db_blas_gemm(host, a);
    for (i = 0; i < a->batch && status == DREAMBOOTH_OK; i++)
        status = multiply_one(host, isa, parts, a, i);
    return status;
}

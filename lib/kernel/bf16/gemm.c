/* SPDX-License-Identifier: MIT */
/* The gemm slot by tiles. */
#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"
#include "kernel/elementwise/elementwise.h"

/* Cycles for a part of a tile, as measured. */
#define ROWS 65
#define PAIRS 80
#define TURN 90

#define MOST_TURNED 128 /* rows */
/* For one part that is less: along a long k, or for a larger weight. */
#define LONG_TURNED 2048
#define MOST_TURNED_ROUGH 80
#define LEAST_TURNED_ROUGH ((int64_t)1 << 18)

/* A matrix as gemm has it: strips are its columns, or its rows, and k is the
 * other direction. */
struct matrix {
    struct db_bf16_from from;
    int64_t size, k;
    bool along_k; /* lines run along k */
    /* Strips in turn from the beginning and from here on; 0: as they are. */
    int64_t half;
};

struct source {
    struct matrix a, b;
};

/* The first column of a strip, or its first row. */
static int64_t first_of(const struct matrix *m, int64_t strip)
{
    return m->half == 0 ? strip * DB_BF16_SIDE
                        : strip / 2 * DB_BF16_SIDE + strip % 2 * m->half;
}

static void pack(const struct db_bf16_isa *isa, const struct matrix *m,
                 const struct db_bf16_operand *o, bool turned, int64_t strip,
                 int64_t step, int64_t steps, uint8_t *to)
{
    const int64_t first = first_of(m, strip), k = step * DB_BF16_STEP;
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

/* What is read of a side. */
static struct db_bf16_raw raw_of(const struct matrix *m)
{
    const bool is_narrow = m->from.f32 == NULL;
    const int64_t size = is_narrow ? 2 : 4;
    const int64_t row = m->from.row * size;
    const int64_t strip = m->half == 0 ? DB_BF16_PANEL : DB_BF16_SIDE;
    const int64_t half = m->half == 0 ? DB_BF16_SIDE : m->half;

    return (struct db_bf16_raw){
        .at = is_narrow ? (const void *)m->from.bf16 : m->from.f32,
        .panel = strip * (m->along_k ? row : size),
        .row = row,
        .step = DB_BF16_STEP * (m->along_k ? size : row),
        .half = m->along_k ? half * row : DB_BF16_SIDE * row,
        .lines = is_narrow ? 1 : 2};
}

static struct db_bf16_from from_of(const float *f32, const uint16_t *bf16,
                                   int64_t at, int64_t row)
{
    return (struct db_bf16_from){f32 == NULL ? NULL : f32 + at,
                                 bf16 == NULL ? NULL : bf16 + at, row};
}

/* B, if it is a weight. */
static dreambooth_form form_of(const dreambooth_gemm *g,
                               const struct db_bf16_isa *isa, int64_t i,
                               int parts)
{
    return (dreambooth_form){g->b_bf16 != NULL
                                 ? (const void *)(g->b_bf16 + i * g->b_step)
                                 : g->b + i * g->b_step,
                             isa,
                             {DB_BF16_FORM_GEMM, parts, g->n, g->k, g->ldb,
                              g->transpose_b, g->geglu != 0}};
}

/* Whether A and B change places: a weight of floats that runs along k needs no
 * turning on the left, which is more than what few rows take there, unless it
 * is kept. No bit depends on it. */
static bool is_turned(const dreambooth_gemm *g, int parts)
{
    return g->b != NULL && g->transpose_b && !g->transpose_a && g->c != NULL &&
           g->beta == 0.0f && g->m <= MOST_TURNED && g->n >= 2 * g->m &&
           (parts > 1 || g->k >= LONG_TURNED ||
            (g->m <= MOST_TURNED_ROUGH && g->n * g->k >= LEAST_TURNED_ROUGH));
}

static struct source source_of(const dreambooth_gemm *g, int64_t i, bool gates,
                               bool turned)
{
    const struct matrix a = {
        .from = from_of(g->a, g->a_bf16, i * g->a_step, g->lda),
        .size = g->m,
        .k = g->k,
        .along_k = !g->transpose_a};
    const struct matrix b = {
        .from = from_of(g->b, g->b_bf16, i * g->b_step, g->ldb),
        .size = g->n,
        .k = g->k,
        .along_k = g->transpose_b,
        .half = gates ? g->n / 2 : 0};

    return turned ? (struct source){b, a} : (struct source){a, b};
}

static int parts_of(const struct matrix *m, int parts)
{
    return m->from.bf16 != NULL ? 1 : parts;
}

static struct db_bf16_product product_of(const dreambooth_kernel_host *host,
                                         const struct db_bf16_isa *isa,
                                         int parts, const dreambooth_gemm *g,
                                         int64_t i, const struct source *source)
{
    return (struct db_bf16_product){
        .isa = isa,
        .a = {.strips = db_blas_pieces(source->a.size, DB_BF16_SIDE),
              .parts = parts_of(&source->a, parts),
              .pack = pack_a,
              .cost = source->a.along_k ? ROWS : PAIRS + TURN,
              .is_across = !source->a.along_k,
              .raw = raw_of(&source->a)},
        .b = {.strips = db_blas_pieces(source->b.size, DB_BF16_SIDE),
              .parts = parts_of(&source->b, parts),
              .pack = pack_b,
              .cost = source->b.along_k ? ROWS + TURN : PAIRS,
              .raw = raw_of(&source->b),
              .form = form_of(g, isa, i, g->b_bf16 != NULL ? 1 : parts)},
        .source = source,
        .steps = db_blas_pieces(g->k, DB_BF16_STEP),
        .m = source->a.size,
        .n = source->b.size,
        .y_row = g->ldc,
        .result = {.y = g->c == NULL ? NULL : g->c + i * g->c_step,
                   .alpha = g->alpha,
                   .beta = g->beta,
                   .bias = g->bias,
                   .is_rough = host->precision == DREAMBOOTH_BFLOAT16,
                   .y_bf16 =
                       g->c_bf16 == NULL ? NULL : g->c_bf16 + i * g->c_step}};
}

static int multiply_one(const dreambooth_kernel_host *host,
                        const struct db_bf16_isa *isa, int parts,
                        const dreambooth_gemm *g, int64_t i,
                        const struct db_elementwise *gating)
{
    struct source source = source_of(g, i, gating != NULL, false);
    struct db_bf16_product p = product_of(host, isa, parts, g, i, &source);

    p.result.gating = gating;
    if (gating == NULL && is_turned(g, parts) &&
        !db_bf16_keeps_right(host, &p)) {
        source = source_of(g, i, false, true);
        p = product_of(host, isa, parts, g, i, &source);
        p.b.form.weight = NULL;
        p.is_turned = true;
    }
    return db_bf16_multiply(host, &p);
}

int db_bf16_gemms(const dreambooth_kernel_host *host,
                  const struct db_bf16_isa *isa, int parts,
                  const dreambooth_gemm *gemms, int64_t count)
{
    struct db_bf16_product *products = host->scratch_new(
        host, (size_t)count * (sizeof(*products) + sizeof(struct source)));
    struct source *sources;
    int64_t i;
    int status;

    if (products == NULL)
        return DREAMBOOTH_ENOMEM;
    sources = (struct source *)(void *)(products + count);
    for (i = 0; i < count; i++) {
        sources[i] = source_of(&gemms[i], 0, false, false);
        products[i] = product_of(host, isa, parts, &gemms[i], 0, &sources[i]);
    }
    status = db_bf16_multiply_several(host, products, count);
    host->scratch_free(host, products);
    return status;
}

/* The bias as panels have their columns: a strip of x, one of its gate. */
static float *mix_bias(const dreambooth_kernel_host *host,
                       const dreambooth_gemm *g)
{
    float *mixed = host->scratch_new(host, (size_t)g->n * sizeof(*mixed));
    int64_t i;

    for (i = 0; mixed != NULL && i < g->n; i++) {
        const int64_t strip = i / DB_BF16_SIDE;

        mixed[i] = g->bias[strip / 2 * DB_BF16_SIDE + strip % 2 * (g->n / 2) +
                           i % DB_BF16_SIDE];
    }
    return mixed;
}

bool db_bf16_gates(const dreambooth_gemm *a)
{
    return a->n % DB_BF16_PANEL == 0 && a->m > 0 && a->n > 0 && a->k > 0 &&
           a->alpha == 1.0f;
}

int db_bf16_gated_gemm(const dreambooth_kernel_host *host,
                       const struct db_bf16_isa *isa, int parts,
                       const dreambooth_gemm *a)
{
    dreambooth_gemm mixed = *a;
    float *bias = NULL;
    int status;

    if (a->bias != NULL) {
        bias = mix_bias(host, a);
        if (bias == NULL)
            return DREAMBOOTH_ENOMEM;
        mixed.bias = bias;
    }
    status = multiply_one(host, isa, parts, &mixed, 0, db_elementwise_of(host));
    if (bias != NULL)
        host->scratch_free(host, bias);
    return status;
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
        status = db_bf16_has_pieces(a)
                     ? db_bf16_gemm_by_pieces(host, isa, parts, a, i)
                     : multiply_one(host, isa, parts, a, i, NULL);
    return status;
}

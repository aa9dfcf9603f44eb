/* SPDX-License-Identifier: MIT */
/*
 * Matrix product. Transposition is only another pair of steps through memory,
 * so one loop serves all four forms.
 */
#include "kernel/ref/ref_int.h"

/* A matrix seen through the distances between its rows and its columns. */
struct view {
    const float *data;
    int64_t row;
    int64_t column;
};

static struct view view_of(const float *data, int64_t stride, int transpose)
{
    struct view view = {data, transpose ? 1 : stride, transpose ? stride : 1};

    return view;
}

/* c[row, first .. first + width - 1] */
static void write_block(const dreambooth_gemm *g, struct view a, struct view b,
                        float *c, int64_t row, int64_t first, int64_t width)
{
    double sum[DB_REF_BLOCK] = {0};
    int64_t p;
    int64_t j;

    for (p = 0; p < g->k; p++) {
        double factor = (double)a.data[row * a.row + p * a.column];
        const float *b_row = b.data + p * b.row + first * b.column;

        for (j = 0; j < width; j++)
            sum[j] += factor * (double)b_row[j * b.column];
    }
    for (j = 0; j < width; j++) {
        float *out = c + row * g->ldc + first + j;
        double value = (double)g->alpha * sum[j];

        if (g->beta != 0.0f)
            value += (double)g->beta * (double)*out;
        if (g->bias != NULL)
            value += (double)g->bias[first + j];
        *out = (float)value;
    }
}

int db_ref_gemm(const dreambooth_kernel_host *host, const dreambooth_gemm *a)
{
    int64_t i;
    int64_t row;
    int64_t first;

    (void)host;
    for (i = 0; i < a->batch; i++) {
        struct view left =
            view_of(a->a + i * a->a_step, a->lda, a->transpose_a);
        struct view right =
            view_of(a->b + i * a->b_step, a->ldb, a->transpose_b);

        for (row = 0; row < a->m; row++)
            for (first = 0; first < a->n; first += DB_REF_BLOCK) {
                int64_t rest = a->n - first;

                write_block(a, left, right, a->c + i * a->c_step, row, first,
                            rest < DB_REF_BLOCK ? rest : DB_REF_BLOCK);
            }
    }
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* A result that was made turned round, put right. */
#include "kernel/blas/blas_int.h"
#include "kernel/simd/simd_int.h"

struct transposition {
    const float *x, *bias;
    float *y;
    int64_t rows, columns, y_row;
};

#define SQUARE 32

static void transpose_columns(void *argument, int64_t index, int worker)
{
    const struct transposition *t = argument;
    const int64_t first = index * SQUARE;
    const int64_t end = db_blas_smaller(first + SQUARE, t->columns);
    int64_t i, j, r;

    (void)worker;
    for (r = 0; r < t->rows; r += SQUARE)
        for (j = first; j < end; j++)
            for (i = r; i < db_blas_smaller(r + SQUARE, t->rows); i++)
                t->y[j * t->y_row + i] = t->x[i * t->columns + j] +
                                         (t->bias == NULL ? 0.0f : t->bias[i]);
}

void db_simd_transpose(const dreambooth_kernel_host *host, const float *x,
                       int64_t rows, int64_t columns, const float *bias,
                       float *y, int64_t y_row)
{
    struct transposition t = {x, bias, y, rows, columns, y_row};

    host->parallel(host, db_blas_pieces(columns, SQUARE), transpose_columns,
                   &t);
}

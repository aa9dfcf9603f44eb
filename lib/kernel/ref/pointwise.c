/* SPDX-License-Identifier: MIT */
/* Sums of tensors, of tensors and row vectors, and strided copies. */
#include "kernel/ref/ref_int.h"

#include <string.h>

int db_ref_axpby(const dreambooth_kernel_host *host, const dreambooth_axpby *a)
{
    int64_t i;

    (void)host;
    for (i = 0; i < a->count; i++)
        a->y[i] = a->beta == 0.0f ? a->alpha * a->x[i]
                                  : a->alpha * a->x[i] + a->beta * a->y[i];
    return DREAMBOOTH_OK;
}

int db_ref_add_rows(const dreambooth_kernel_host *host,
                    const dreambooth_rows *a)
{
    int64_t r;
    int64_t i;

    (void)host;
    for (r = 0; r < a->batch * a->rows; r++)
        for (i = 0; i < a->columns; i++)
            a->y[r * a->columns + i] =
                a->x[r * a->columns + i] + a->v[r / a->rows * a->columns + i];
    return DREAMBOOTH_OK;
}

/* out[0 .. width-1] += the sums over rows of x */
static void sum_block(const dreambooth_rows *a, const float *x, float *out,
                      int64_t width)
{
    double sum[DB_REF_BLOCK] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < a->rows; r++)
        for (i = 0; i < width; i++)
            sum[i] += (double)x[r * a->columns + i];
    for (i = 0; i < width; i++)
        out[i] = (float)((double)out[i] + sum[i]);
}

int db_ref_sum_rows(const dreambooth_kernel_host *host,
                    const dreambooth_rows *a)
{
    int64_t b;
    int64_t first;

    (void)host;
    for (b = 0; b < a->batch; b++)
        for (first = 0; first < a->columns; first += DB_REF_BLOCK) {
            int64_t rest = a->columns - first;

            sum_block(a, a->x + b * a->rows * a->columns + first,
                      a->sum + b * a->columns + first,
                      rest < DB_REF_BLOCK ? rest : DB_REF_BLOCK);
        }
    return DREAMBOOTH_OK;
}

int db_ref_copy(const dreambooth_kernel_host *host, const dreambooth_copy *a)
{
    int64_t r;

    (void)host;
    for (r = 0; r < a->rows; r++)
        memcpy(a->y + r * a->y_stride, a->x + r * a->x_stride,
               (size_t)a->columns * sizeof(float));
    return DREAMBOOTH_OK;
}

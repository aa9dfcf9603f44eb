/* SPDX-License-Identifier: MIT */
/*
 * Softmax of rows, with the row's maximum subtracted so that no exponential
 * overflows. dx = y (dy - sum(dy y)).
 */
#include "kernel/ref/ref_int.h"

#include <math.h>

int db_ref_softmax_forward(const dreambooth_kernel_host *host,
                           const dreambooth_softmax *a)
{
    int64_t r;
    int64_t i;

    (void)host;
    for (r = 0; r < a->rows; r++) {
        const float *x = a->x + r * a->columns;
        float *y = a->y + r * a->columns;
        float maximum = -INFINITY;
        double sum = 0.0;

        for (i = 0; i < a->columns; i++)
            maximum = x[i] > maximum ? x[i] : maximum;
        for (i = 0; i < a->columns; i++)
            sum += exp((double)x[i] - (double)maximum);
        for (i = 0; i < a->columns; i++)
            y[i] = (float)(exp((double)x[i] - (double)maximum) / sum);
    }
    return DREAMBOOTH_OK;
}

int db_ref_softmax_backward(const dreambooth_kernel_host *host,
                            const dreambooth_softmax *a)
{
    int64_t r;
    int64_t i;

    (void)host;
    for (r = 0; r < a->rows; r++) {
        const float *y = a->y + r * a->columns;
        const float *dy = a->dy + r * a->columns;
        float *dx = a->dx + r * a->columns;
        double sum = 0.0;

        for (i = 0; i < a->columns; i++)
            sum += (double)y[i] * (double)dy[i];
        for (i = 0; i < a->columns; i++)
            dx[i] = (float)((double)y[i] * ((double)dy[i] - sum));
    }
    return DREAMBOOTH_OK;
}

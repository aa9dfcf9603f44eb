/* SPDX-License-Identifier: MIT */
/* The mean squared error, one weight an image, and its gradient. */
#include "kernel/ref/ref_int.h"

#include <stddef.h>

static double weight_of(const dreambooth_mse *a, int64_t image)
{
    return a->weight == NULL ? 1.0 : (double)a->weight[image];
}

int db_ref_mse_forward(const dreambooth_kernel_host *host,
                       const dreambooth_mse *a)
{
    double loss = 0.0;
    int64_t b;
    int64_t i;

    (void)host;
    for (b = 0; b < a->batch; b++) {
        double sum = 0.0;

        for (i = b * a->count; i < (b + 1) * a->count; i++) {
            double apart = (double)a->prediction[i] - (double)a->target[i];

            sum += apart * apart;
        }
        loss += weight_of(a, b) * (sum / (double)a->count);
    }
    *a->loss = loss / (double)a->batch;
    return DREAMBOOTH_OK;
}

int db_ref_mse_backward(const dreambooth_kernel_host *host,
                        const dreambooth_mse *a)
{
    int64_t b;
    int64_t i;

    (void)host;
    for (b = 0; b < a->batch; b++) {
        double factor = 2.0 * (double)a->dloss * weight_of(a, b) /
                        ((double)a->batch * (double)a->count);

        for (i = b * a->count; i < (b + 1) * a->count; i++)
            a->dprediction[i] = (float)(factor * ((double)a->prediction[i] -
                                                  (double)a->target[i]));
    }
    return DREAMBOOTH_OK;
}

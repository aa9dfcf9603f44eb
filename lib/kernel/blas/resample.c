/* SPDX-License-Identifier: MIT */
/* Nearest upsampling, one row of pixels a task. backward gathers: each row of
 * dx is written by one task, in a fixed order. */
#include "kernel/blas/blas_int.h"

#include <string.h>

static void forward_row(void *argument, int64_t index, int worker)
{
    const dreambooth_resample *a = argument;
    const int64_t image = index / a->out_height;
    const int64_t y = index % a->out_height * a->in_height / a->out_height;
    const float *from =
        a->x + (image * a->in_height + y) * a->in_width * a->channels;
    float *to = a->y + index * a->out_width * a->channels;
    int64_t x;

    (void)worker;
    for (x = 0; x < a->out_width; x++)
        memcpy(to + x * a->channels,
               from + x * a->in_width / a->out_width * a->channels,
               (size_t)a->channels * sizeof(float));
}

int db_blas_upsample_nearest_forward(const dreambooth_kernel_host *host,
                                     const dreambooth_resample *a)
{
    dreambooth_resample work = *a;

    host->parallel(host, a->batch * a->out_height, forward_row, &work);
    return DREAMBOOTH_OK;
}

static void add(const float *restrict x, int64_t count, float *restrict sum)
{
    int64_t i;

    for (i = 0; i < count; i++)
        sum[i] += x[i];
}

static void backward_row(void *argument, int64_t index, int worker)
{
    const dreambooth_resample *a = argument;
    const int64_t image = index / a->in_height;
    const int64_t y = index % a->in_height;
    const int64_t end = db_blas_pieces((y + 1) * a->out_height, a->in_height);
    float *dx = a->dx + index * a->in_width * a->channels;
    int64_t row;
    int64_t x;

    (void)worker;
    memset(dx, 0, (size_t)(a->in_width * a->channels) * sizeof(float));
    for (row = db_blas_pieces(y * a->out_height, a->in_height); row < end;
         row++)
        for (x = 0; x < a->out_width; x++)
            add(a->dy + ((image * a->out_height + row) * a->out_width + x) *
                            a->channels,
                a->channels, dx + x * a->in_width / a->out_width * a->channels);
}

int db_blas_upsample_nearest_backward(const dreambooth_kernel_host *host,
                                      const dreambooth_resample *a)
{
    dreambooth_resample work = *a;

    host->parallel(host, a->batch * a->in_height, backward_row, &work);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * Nearest upsampling and 2x2 average pooling. Each backward gathers: it walks
 * the pixels of dx and adds up what they get, so that every one is written
 * once.
 */
#include "kernel/ref/ref_int.h"

#include <string.h>

static int64_t in_pixel(const dreambooth_resample *a, int64_t image, int64_t y,
                        int64_t x)
{
    return ((image * a->in_height + y) * a->in_width + x) * a->channels;
}

static int64_t out_pixel(const dreambooth_resample *a, int64_t image, int64_t y,
                         int64_t x)
{
    return ((image * a->out_height + y) * a->out_width + x) * a->channels;
}

/* The first output index whose source is INDEX: ceil(index out / in). */
static int64_t first_reader(int64_t index, int64_t in, int64_t out)
{
    return (index * out + in - 1) / in;
}

int db_ref_upsample_nearest_forward(const dreambooth_kernel_host *host,
                                    const dreambooth_resample *a)
{
    int64_t b;
    int64_t y;
    int64_t x;

    (void)host;
    for (b = 0; b < a->batch; b++)
        for (y = 0; y < a->out_height; y++)
            for (x = 0; x < a->out_width; x++)
                memcpy(a->y + out_pixel(a, b, y, x),
                       a->x + in_pixel(a, b, y * a->in_height / a->out_height,
                                       x * a->in_width / a->out_width),
                       (size_t)a->channels * sizeof(float));
    return DREAMBOOTH_OK;
}

static void gather_readers(const dreambooth_resample *a, int64_t b, int64_t y,
                           int64_t x)
{
    const int64_t y_end = first_reader(y + 1, a->in_height, a->out_height);
    const int64_t x_end = first_reader(x + 1, a->in_width, a->out_width);
    float *dx = a->dx + in_pixel(a, b, y, x);
    int64_t from_y;
    int64_t from_x;
    int64_t i;

    memset(dx, 0, (size_t)a->channels * sizeof(float));
    for (from_y = first_reader(y, a->in_height, a->out_height); from_y < y_end;
         from_y++)
        for (from_x = first_reader(x, a->in_width, a->out_width);
             from_x < x_end; from_x++)
            for (i = 0; i < a->channels; i++)
                dx[i] += a->dy[out_pixel(a, b, from_y, from_x) + i];
}

int db_ref_upsample_nearest_backward(const dreambooth_kernel_host *host,
                                     const dreambooth_resample *a)
{
    int64_t b;
    int64_t y;
    int64_t x;

    (void)host;
    for (b = 0; b < a->batch; b++)
        for (y = 0; y < a->in_height; y++)
            for (x = 0; x < a->in_width; x++)
                gather_readers(a, b, y, x);
    return DREAMBOOTH_OK;
}

static void pool_pixel(const dreambooth_resample *a, int64_t b, int64_t y,
                       int64_t x)
{
    const float *top = a->x + in_pixel(a, b, 2 * y, 2 * x);
    const float *bottom = a->x + in_pixel(a, b, 2 * y + 1, 2 * x);
    float *out = a->y + out_pixel(a, b, y, x);
    int64_t i;

    for (i = 0; i < a->channels; i++)
        out[i] = 0.25f * (top[i] + top[a->channels + i] + bottom[i] +
                          bottom[a->channels + i]);
}

int db_ref_average_pool_forward(const dreambooth_kernel_host *host,
                                const dreambooth_resample *a)
{
    int64_t b;
    int64_t y;
    int64_t x;

    (void)host;
    for (b = 0; b < a->batch; b++)
        for (y = 0; y < a->out_height; y++)
            for (x = 0; x < a->out_width; x++)
                pool_pixel(a, b, y, x);
    return DREAMBOOTH_OK;
}

static void spread_pixel(const dreambooth_resample *a, int64_t b, int64_t y,
                         int64_t x)
{
    float *dx = a->dx + in_pixel(a, b, y, x);
    const float *dy;
    int64_t i;

    if (y / 2 >= a->out_height || x / 2 >= a->out_width) {
        memset(dx, 0, (size_t)a->channels * sizeof(float));
        return;
    }
    dy = a->dy + out_pixel(a, b, y / 2, x / 2);
    for (i = 0; i < a->channels; i++)
        dx[i] = 0.25f * dy[i];
}

int db_ref_average_pool_backward(const dreambooth_kernel_host *host,
                                 const dreambooth_resample *a)
{
    int64_t b;
    int64_t y;
    int64_t x;

    (void)host;
    for (b = 0; b < a->batch; b++)
        for (y = 0; y < a->in_height; y++)
            for (x = 0; x < a->in_width; x++)
                spread_pixel(a, b, y, x);
    return DREAMBOOTH_OK;
}

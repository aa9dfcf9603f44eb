/* SPDX-License-Identifier: MIT */
/*
 * 2-d convolution on channels-last images. All three directions walk the same
 * relation between an output pixel, a place in the kernel and an input pixel:
 *     in_y = out_y * stride - pad_top + kernel_y, and so for x.
 */
#include "kernel/ref/ref_int.h"

#include <stddef.h>
#include <string.h>

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The input index that OUT and KERNEL meet at, or -1 in the padding. */
static int64_t meet(int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                    int64_t size)
{
    int64_t in = out * stride - pad + kernel;

    return in >= 0 && in < size ? in : -1;
}

/* The output index that reads IN at KERNEL, or -1. */
static int64_t reader(int64_t in, int64_t kernel, int64_t stride, int64_t pad,
                      int64_t size)
{
    int64_t place = in + pad - kernel;

    if (place < 0 || place % stride != 0 || place / stride >= size)
        return -1;
    return place / stride;
}

static int64_t weight_offset(const dreambooth_conv2d *c, int64_t channel,
                             int64_t y, int64_t x)
{
    return ((channel * c->kernel_height + y) * c->kernel_width + x) *
           c->in_channels;
}

static const float *weight_at(const dreambooth_conv2d *c, int64_t channel,
                              int64_t y, int64_t x)
{
    return c->weight + weight_offset(c, channel, y, x);
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0.0;
    int64_t i;

    for (i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* One value of y, without the bias. */
static double output_value(const dreambooth_conv2d *c, int64_t image,
                           int64_t out_y, int64_t out_x, int64_t channel)
{
    double sum = 0.0;
    int64_t ky;
    int64_t kx;

    for (ky = 0; ky < c->kernel_height; ky++) {
        int64_t y = meet(out_y, ky, c->stride, c->pad_top, c->in_height);

        for (kx = 0; y >= 0 && kx < c->kernel_width; kx++) {
            int64_t x = meet(out_x, kx, c->stride, c->pad_left, c->in_width);

            if (x >= 0)
                sum +=
                    dot(c->x + ((image * c->in_height + y) * c->in_width + x) *
                                   c->in_channels,
                        weight_at(c, channel, ky, kx), c->in_channels);
        }
    }
    return sum;
}

int db_ref_conv2d_forward(const dreambooth_kernel_host *host,
                          const dreambooth_conv2d *a)
{
    const int64_t pixels = a->batch * a->out_height * a->out_width;
    int64_t p;
    int64_t channel;

    (void)host;
    for (p = 0; p < pixels; p++)
        for (channel = 0; channel < a->out_channels; channel++) {
            double value = output_value(a, p / (a->out_height * a->out_width),
                                        p / a->out_width % a->out_height,
                                        p % a->out_width, channel);

            if (a->bias != NULL)
                value += (double)a->bias[channel];
            a->y[p * a->out_channels + channel] = (float)value;
        }
    return DREAMBOOTH_OK;
}

/* Adds what dx[.., first .. first + width - 1] of one input pixel gets from the
 * output pixel that reads it at (ky, kx). */
static void gather(const dreambooth_conv2d *c, const float *dy, int64_t ky,
                   int64_t kx, int64_t first, int64_t width, double *sum)
{
    int64_t channel;
    int64_t i;

    for (channel = 0; channel < c->out_channels; channel++) {
        const float *weight = weight_at(c, channel, ky, kx) + first;

        for (i = 0; i < width; i++)
            sum[i] += (double)dy[channel] * (double)weight[i];
    }
}

static void input_pixel(const dreambooth_conv2d *c, int64_t image, int64_t in_y,
                        int64_t in_x, int64_t first, int64_t width)
{
    double sum[DB_REF_BLOCK] = {0};
    float *dx =
        c->dx +
        ((image * c->in_height + in_y) * c->in_width + in_x) * c->in_channels +
        first;
    int64_t ky;
    int64_t kx;
    int64_t i;

    for (ky = 0; ky < c->kernel_height; ky++) {
        int64_t y = reader(in_y, ky, c->stride, c->pad_top, c->out_height);

        for (kx = 0; y >= 0 && kx < c->kernel_width; kx++) {
            int64_t x = reader(in_x, kx, c->stride, c->pad_left, c->out_width);

            if (x >= 0)
                gather(c,
                       c->dy +
                           ((image * c->out_height + y) * c->out_width + x) *
                               c->out_channels,
                       ky, kx, first, width, sum);
        }
    }
    for (i = 0; i < width; i++)
        dx[i] = (float)sum[i];
}

int db_ref_conv2d_backward_data(const dreambooth_kernel_host *host,
                                const dreambooth_conv2d *a)
{
    const int64_t pixels = a->batch * a->in_height * a->in_width;
    int64_t p;
    int64_t first;

    (void)host;
    for (p = 0; p < pixels; p++)
        for (first = 0; first < a->in_channels; first += DB_REF_BLOCK)
            input_pixel(a, p / (a->in_height * a->in_width),
                        p / a->in_width % a->in_height, p % a->in_width, first,
                        smaller(DB_REF_BLOCK, a->in_channels - first));
    return DREAMBOOTH_OK;
}

/* dweight[channel, ky, kx, first .. first + width - 1] */
static void add_weight(const dreambooth_conv2d *c, int64_t channel, int64_t ky,
                       int64_t kx, int64_t first, int64_t width)
{
    const int64_t pixels = c->batch * c->out_height * c->out_width;
    double sum[DB_REF_BLOCK] = {0};
    float *dweight = c->dweight + weight_offset(c, channel, ky, kx) + first;
    int64_t p;
    int64_t i;

    for (p = 0; p < pixels; p++) {
        int64_t image = p / (c->out_height * c->out_width);
        int64_t y = meet(p / c->out_width % c->out_height, ky, c->stride,
                         c->pad_top, c->in_height);
        int64_t x =
            meet(p % c->out_width, kx, c->stride, c->pad_left, c->in_width);
        double factor = (double)c->dy[p * c->out_channels + channel];
        const float *in;

        if (y < 0 || x < 0)
            continue;
        in = c->x +
             ((image * c->in_height + y) * c->in_width + x) * c->in_channels;
        for (i = 0; i < width; i++)
            sum[i] += factor * (double)in[first + i];
    }
    for (i = 0; i < width; i++)
        dweight[i] = (float)((double)dweight[i] + sum[i]);
}

static void add_bias(const dreambooth_conv2d *c, int64_t channel)
{
    const int64_t pixels = c->batch * c->out_height * c->out_width;
    double sum = 0.0;
    int64_t p;

    for (p = 0; p < pixels; p++)
        sum += (double)c->dy[p * c->out_channels + channel];
    c->dbias[channel] = (float)((double)c->dbias[channel] + sum);
}

int db_ref_conv2d_backward_weight(const dreambooth_kernel_host *host,
                                  const dreambooth_conv2d *a)
{
    const int64_t places = a->kernel_height * a->kernel_width;
    int64_t channel;
    int64_t place;
    int64_t first;

    if (host->overwrite)
        memset(a->dweight, 0,
               (size_t)(a->out_channels * places * a->in_channels) *
                   sizeof(*a->dweight));
    for (channel = 0; channel < a->out_channels; channel++) {
        for (place = 0; place < places; place++)
            for (first = 0; first < a->in_channels; first += DB_REF_BLOCK)
                add_weight(a, channel, place / a->kernel_width,
                           place % a->kernel_width, first,
                           smaller(DB_REF_BLOCK, a->in_channels - first));
        if (a->dbias != NULL)
            add_bias(a, channel);
    }
    return DREAMBOOTH_OK;
}

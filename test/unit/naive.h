/* SPDX-License-Identifier: MIT */
/*
 * The operations of grad/ops.h once more, from their definitions: loops over
 * indices in double, with nothing shared with the library. They judge the
 * results of test_ops.c.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include <math.h>

#include "dreambooth/backend.h"

/* Inputs, parameters, the case's facts, and the result that is to be made. */
struct naive {
    const float *x[3], *p[2]; /* NULL where there is none */
    const int64_t *xs[3];     /* their shapes */
    int x_rank;
    const int64_t *facts;
    const int64_t *ys;
    int64_t count; /* of y */
    int64_t columns;
    double *y;
};

static double naive_gelu(double x)
{
    return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
}

static double naive_activation_of(int64_t activation, double x)
{
    const double inner = sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x);

    switch (activation) {
    case DREAMBOOTH_SILU:
        return x / (1.0 + exp(-x));
    case DREAMBOOTH_GELU:
        return naive_gelu(x);
    case DREAMBOOTH_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(inner));
    default:
        return x / (1.0 + exp(-1.702 * x));
    }
}

static void naive_linear(struct naive *n)
{
    int64_t in = n->xs[0][n->x_rank - 1], i, k;

    for (i = 0; i < n->count; i++) {
        int64_t row = i / n->columns, out = i % n->columns;

        n->y[i] = n->p[1] != NULL ? (double)n->p[1][out] : 0.0;
        for (k = 0; k < in; k++)
            n->y[i] +=
                (double)n->x[0][row * in + k] * (double)n->p[0][out * in + k];
    }
}

/* One element of the result at image B, row R, column C, channel O. */
static double naive_conv2d_at(const struct naive *n, const int64_t *ps,
                              int64_t b, int64_t r, int64_t c, int64_t o)
{
    const int64_t *s = n->xs[0];
    double sum = n->p[1] != NULL ? (double)n->p[1][o] : 0.0;
    int64_t i, j, k;

    for (i = 0; i < ps[1]; i++)
        for (j = 0; j < ps[2]; j++)
            for (k = 0; k < s[3]; k++) {
                int64_t h = r * n->facts[0] + i - n->facts[1];
                int64_t w = c * n->facts[0] + j - n->facts[3];

                if (h >= 0 && h < s[1] && w >= 0 && w < s[2])
                    sum +=
                        (double)
                            n->x[0][((b * s[1] + h) * s[2] + w) * s[3] + k] *
                        (double)
                            n->p[0][((o * ps[1] + i) * ps[2] + j) * s[3] + k];
            }
    return sum;
}

static void naive_conv2d(struct naive *n, const int64_t *ps)
{
    int64_t i;

    for (i = 0; i < n->count; i++) {
        int64_t pixel = i / n->columns, c = pixel % n->ys[2];
        int64_t r = pixel / n->ys[2] % n->ys[1];

        n->y[i] = naive_conv2d_at(n, ps, pixel / n->ys[2] / n->ys[1], r, c,
                                  i % n->columns);
    }
}

/* Group GROUP of GROUPS in image B of PIXELS x CHANNELS. */
static void naive_normalise(struct naive *n, int64_t b, int64_t pixels,
                            int64_t group, int64_t groups)
{
    int64_t width = n->columns / groups, i, j;
    double mean = 0.0, variance = 0.0, size = (double)(pixels * width);

    for (i = 0; i < pixels * width; i++) {
        j = (b * pixels + i / width) * n->columns + group * width + i % width;
        mean += (double)n->x[0][j] / size;
    }
    for (i = 0; i < pixels * width; i++) {
        j = (b * pixels + i / width) * n->columns + group * width + i % width;
        variance += pow((double)n->x[0][j] - mean, 2.0) / size;
    }
    for (i = 0; i < pixels * width; i++) {
        j = (b * pixels + i / width) * n->columns + group * width + i % width;
        n->y[j] = ((double)n->x[0][j] - mean) / sqrt(variance + (double)1e-3f) *
                      (double)n->p[0][j % n->columns] +
                  (double)n->p[1][j % n->columns];
    }
}

static void naive_group_norm(struct naive *n)
{
    int64_t pixels = n->count / n->columns / n->ys[0], b, g, i;

    for (b = 0; b < n->ys[0]; b++)
        for (g = 0; g < n->facts[0]; g++)
            naive_normalise(n, b, pixels, g, n->facts[0]);
    for (i = 0; n->facts[1] != 0 && i < n->count; i++)
        n->y[i] /= 1.0 + exp(-n->y[i]);
}

static void naive_layer_norm(struct naive *n)
{
    int64_t row;

    for (row = 0; row < n->count / n->columns; row++)
        naive_normalise(n, row, 1, 0, 1);
}

/* Query Q of image B, at channels FIRST.. of head size SIZE. */
static void naive_attend(struct naive *n, int64_t b, int64_t q, int64_t first,
                         int64_t size)
{
    int64_t keys = n->xs[1][1], last = n->facts[1] ? q + 1 : keys, k, i;
    const float *query = n->x[0] + (b * n->ys[1] + q) * n->columns + first;
    double *y = n->y + (b * n->ys[1] + q) * n->columns + first;
    double sum = 0.0;

    for (i = 0; i < size; i++)
        y[i] = 0.0;
    for (k = 0; k < last; k++) {
        int64_t at = (b * keys + k) * n->columns + first;
        double score = 0.0;

        for (i = 0; i < size; i++)
            score += (double)query[i] * (double)n->x[1][at + i];
        score = exp(score / sqrt((double)size));
        sum += score;
        for (i = 0; i < size; i++)
            y[i] += score * (double)n->x[2][at + i];
    }
    for (i = 0; i < size; i++)
        y[i] /= sum;
}

static void naive_attention(struct naive *n)
{
    int64_t size = n->columns / n->facts[0], b, q, h;

    for (b = 0; b < n->ys[0]; b++)
        for (q = 0; q < n->ys[1]; q++)
            for (h = 0; h < n->facts[0]; h++)
                naive_attend(n, b, q, h * size, size);
}

static void naive_softmax(struct naive *n)
{
    int64_t i, j;

    for (i = 0; i < n->count; i++) {
        double sum = 0.0;

        for (j = 0; j < n->columns; j++)
            sum += exp((double)n->x[0][i - i % n->columns + j]);
        n->y[i] = exp((double)n->x[0][i]) / sum;
    }
}

static void naive_activation(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++)
        n->y[i] = naive_activation_of(n->facts[0], (double)n->x[0][i]);
}

static void naive_geglu(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++) {
        const float *x = n->x[0] + i / n->columns * 2 * n->columns;

        n->y[i] = (double)x[i % n->columns] *
                  naive_gelu((double)x[n->columns + i % n->columns]);
    }
}

static void naive_add(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++)
        n->y[i] = (double)n->x[0][i] + (double)n->x[1][i];
}

static void naive_scale(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++)
        n->y[i] = (double)n->x[0][i] * (double)n->facts[0] / 100.0;
}

static void naive_add_rows(struct naive *n)
{
    int64_t image = n->count / n->ys[0], i;

    for (i = 0; i < n->count; i++)
        n->y[i] = (double)n->x[0][i] +
                  (double)n->x[1][i / image * n->columns + i % n->columns];
}

static void naive_add_positions(struct naive *n)
{
    int64_t image = n->count / n->ys[0], i;

    for (i = 0; i < n->count; i++)
        n->y[i] = (double)n->x[0][i] + (double)n->p[0][i % image];
}

static void naive_concat(struct naive *n)
{
    int64_t first = n->xs[0][n->x_rank - 1], second = n->columns - first, i;

    for (i = 0; i < n->count; i++) {
        int64_t row = i / n->columns, c = i % n->columns;

        n->y[i] = c < first ? (double)n->x[0][row * first + c]
                            : (double)n->x[1][row * second + c - first];
    }
}

static void naive_channels(struct naive *n)
{
    int64_t in = n->xs[0][n->x_rank - 1], i;

    for (i = 0; i < n->count; i++)
        n->y[i] =
            (double)n->x[0][i / n->columns * in + n->facts[0] + i % n->columns];
}

static void naive_reshape(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++)
        n->y[i] = (double)n->x[0][i];
}

/* x[b, h, w, c], where i is an index of y and (h, w) places of its own. */
static double naive_pixel(const struct naive *n, int64_t i, int64_t h,
                          int64_t w)
{
    const int64_t *s = n->xs[0];
    int64_t b = i / n->columns / n->ys[2] / n->ys[1];

    return (double)n->x[0][((b * s[1] + h) * s[2] + w) * s[3] + i % n->columns];
}

static void naive_upsample(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++) {
        int64_t w = i / n->columns % n->ys[2];
        int64_t h = i / n->columns / n->ys[2] % n->ys[1];

        n->y[i] = naive_pixel(n, i, h * n->xs[0][1] / n->ys[1],
                              w * n->xs[0][2] / n->ys[2]);
    }
}

static void naive_average_pool(struct naive *n)
{
    int64_t i;

    for (i = 0; i < n->count; i++) {
        int64_t w = i / n->columns % n->ys[2] * 2;
        int64_t h = i / n->columns / n->ys[2] % n->ys[1] * 2;

        n->y[i] =
            (naive_pixel(n, i, h, w) + naive_pixel(n, i, h, w + 1) +
             naive_pixel(n, i, h + 1, w) + naive_pixel(n, i, h + 1, w + 1)) /
            4.0;
    }
}

static void naive_embedding(struct naive *n, const int64_t *ids)
{
    int64_t i;

    for (i = 0; i < n->count; i++)
        n->y[i] =
            (double)n->p[0][ids[i / n->columns] * n->columns + i % n->columns];
}

/* WEIGHT is NULL for ones. */
static void naive_mse(struct naive *n, const float *target, const float *weight)
{
    int64_t batch = n->xs[0][0], total = batch, i;

    for (i = 1; i < n->x_rank; i++)
        total *= n->xs[0][i];
    n->y[0] = 0.0;
    for (i = 0; i < total; i++)
        n->y[0] +=
            pow((double)n->x[0][i] - (double)target[i], 2.0) *
            (weight != NULL ? (double)weight[i / (total / batch)] : 1.0) /
            (double)total;
}

#endif

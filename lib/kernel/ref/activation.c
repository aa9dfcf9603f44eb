/* SPDX-License-Identifier: MIT */
/*
 * The activation functions and their slopes, in double, as a table by enum
 * dreambooth_activation; and GEGLU, which gates with one of them.
 */
#include "kernel/ref/ref_int.h"

#include <math.h>

#define SQRT_HALF 0.70710678118654752440
#define INVERSE_SQRT_TWO_PI 0.39894228040143267794
#define SQRT_TWO_OVER_PI 0.79788456080286535588
#define TANH_CUBIC 0.044715
#define QUICK_SCALE 1.702

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* x sigmoid(scale x), whose limit at minus infinity is -0. */
static double swish(double x, double scale)
{
    return isinf(x) && x < 0.0 ? -0.0 : x * sigmoid(scale * x);
}

static double swish_slope(double x, double scale)
{
    double s = sigmoid(scale * x);

    return isinf(x) ? s : s * (1.0 + scale * x * (1.0 - s));
}

double db_ref_silu(double x)
{
    return swish(x, 1.0);
}

double db_ref_silu_slope(double x)
{
    return swish_slope(x, 1.0);
}

static double quick_gelu(double x)
{
    return swish(x, QUICK_SCALE);
}

static double quick_gelu_slope(double x)
{
    return swish_slope(x, QUICK_SCALE);
}

/* Phi(x) of the normal distribution; erfc keeps the digits of small values. */
static double normal(double x)
{
    return 0.5 * erfc(-x * SQRT_HALF);
}

static double gelu(double x)
{
    return isinf(x) && x < 0.0 ? -0.0 : x * normal(x);
}

static double gelu_slope(double x)
{
    if (isinf(x))
        return normal(x);
    return normal(x) + x * INVERSE_SQRT_TWO_PI * exp(-0.5 * x * x);
}

static double gelu_tanh(double x)
{
    double inner = SQRT_TWO_OVER_PI * (x + TANH_CUBIC * x * x * x);

    return isinf(x) && x < 0.0 ? -0.0 : 0.5 * x * (1.0 + tanh(inner));
}

static double gelu_tanh_slope(double x)
{
    double t = tanh(SQRT_TWO_OVER_PI * (x + TANH_CUBIC * x * x * x));
    double inner = SQRT_TWO_OVER_PI * (1.0 + 3.0 * TANH_CUBIC * x * x);

    if (isinf(x))
        return 0.5 * (1.0 + t);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner;
}

static const struct {
    double (*value)(double x);
    double (*slope)(double x);
} activations[] = {
    [DREAMBOOTH_SILU] = {db_ref_silu, db_ref_silu_slope},
    [DREAMBOOTH_GELU] = {gelu, gelu_slope},
    [DREAMBOOTH_GELU_TANH] = {gelu_tanh, gelu_tanh_slope},
    [DREAMBOOTH_QUICK_GELU] = {quick_gelu, quick_gelu_slope},
};

#define ACTIVATIONS (int32_t)(sizeof(activations) / sizeof(activations[0]))

int db_ref_unary_forward(const dreambooth_kernel_host *host,
                         const dreambooth_unary *a)
{
    int64_t i;

    (void)host;
    if (a->activation < 0 || a->activation >= ACTIVATIONS)
        return DREAMBOOTH_EINVAL;
    for (i = 0; i < a->count; i++)
        a->y[i] = (float)activations[a->activation].value((double)a->x[i]);
    return DREAMBOOTH_OK;
}

int db_ref_unary_backward(const dreambooth_kernel_host *host,
                          const dreambooth_unary *a)
{
    int64_t i;

    (void)host;
    if (a->activation < 0 || a->activation >= ACTIVATIONS)
        return DREAMBOOTH_EINVAL;
    for (i = 0; i < a->count; i++)
        a->dx[i] = (float)((double)a->dy[i] *
                           activations[a->activation].slope((double)a->x[i]));
    return DREAMBOOTH_OK;
}

int db_ref_geglu_forward(const dreambooth_kernel_host *host,
                         const dreambooth_geglu *a)
{
    int64_t r;
    int64_t i;

    (void)host;
    for (r = 0; r < a->rows; r++)
        for (i = 0; i < a->width; i++) {
            const float *x = a->x + r * 2 * a->width + i;

            a->y[r * a->width + i] =
                (float)((double)x[0] * gelu((double)x[a->width]));
        }
    return DREAMBOOTH_OK;
}

int db_ref_geglu_backward(const dreambooth_kernel_host *host,
                          const dreambooth_geglu *a)
{
    int64_t r;
    int64_t i;

    (void)host;
    for (r = 0; r < a->rows; r++)
        for (i = 0; i < a->width; i++) {
            const float *x = a->x + r * 2 * a->width + i;
            float *dx = a->dx + r * 2 * a->width + i;
            double dy = (double)a->dy[r * a->width + i];

            dx[0] = (float)(dy * gelu((double)x[a->width]));
            dx[a->width] =
                (float)(dy * (double)x[0] * gelu_slope((double)x[a->width]));
        }
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * Exponential and error function without branches or tables, so that compilers
 * turn loops over them into vector code. The polynomials are our own minimax
 * fits; the stated errors are those of the fit.
 */
#ifndef DB_KERNEL_BLAS_VECTOR_INT_H
#define DB_KERNEL_BLAS_VECTOR_INT_H

#include <stdint.h>
#include <string.h>

#include "kernel/blas/blas_int.h"

/* So many that compilers see a loop in them rather than a list. */
#define WIDE_LANES 32
#define PART_OF_SUM 1024

/*
 * e^x = 2^n e^r with |r| <= ln 2 / 2 and e^r = 1 + r + r^2 q(r), to 3e-9.
 * Adding 1.5 2^23 rounds to an integer and leaves n in the low bits of the sum.
 * Below -87.7 the result is 0, above 88.3 infinity.
 */
static inline float db_exp(float x)
{
    const float round = 12582912.0f;
    float clamped = x < -88.3f ? -88.3f : x;
    float sum;
    float n;
    float r;
    float q;
    float scale;
    uint32_t bits;

    clamped = clamped > 88.7f ? 88.7f : clamped;
    sum = clamped * 1.44269504f + round;
    n = sum - round;
    r = clamped - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    q = 1.38144311e-3f;
    q = q * r + 8.36879689e-3f;
    q = q * r + 4.16683958e-2f;
    q = q * r + 1.66665200e-1f;
    q = q * r + 4.99999934e-1f;
    memcpy(&bits, &sum, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&scale, &bits, sizeof(scale));
    return (1.0f + (r + r * r * q)) * scale;
}

/*
 * Phi(x), the normal distribution, with *DENSITY = exp(-x^2 / 2). With
 * z = |x| / sqrt 2 and t = 1 / (1 + 0.4 z), erfc(z) = exp(-z^2) t q(t) to 6e-8.
 */
static inline float db_normal(float x, float *density)
{
    float z = (x < 0.0f ? -x : x) * 0.707106781f;
    float t = 1.0f / (1.0f + 0.4f * z);
    float e = db_exp(-0.5f * x * x);
    float q;
    float tail;

    q = 4.12537265e-2f;
    q = q * t - 1.40322517e-1f;
    q = q * t + 8.39939222e-2f;
    q = q * t + 8.79569402e-2f;
    q = q * t + 7.97614507e-2f;
    q = q * t + 1.93391169e-1f;
    q = q * t + 2.01888091e-1f;
    q = q * t + 2.26443044e-1f;
    q = q * t + 2.25634235e-1f;
    tail = 0.5f * t * q * e;
    *density = e;
    return x < 0.0f ? tail : 1.0f - tail;
}

static inline float db_maximum(const float *x, int64_t count)
{
    float lane[WIDE_LANES];
    float maximum = x[0];
    int64_t i;
    int l;

    for (l = 0; l < WIDE_LANES; l++)
        lane[l] = x[0];
    for (i = 0; i + WIDE_LANES <= count; i += WIDE_LANES)
        for (l = 0; l < WIDE_LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < count; i++)
        maximum = x[i] > maximum ? x[i] : maximum;
    for (l = 0; l < WIDE_LANES; l++)
        maximum = lane[l] > maximum ? lane[l] : maximum;
    return maximum;
}

static inline double db_add_lanes(const double *lane)
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static inline double db_sum(const float *x, int64_t count)
{
    double lane[DB_BLAS_LANES] = {0};
    int64_t i;
    int l;

    for (i = 0; i + DB_BLAS_LANES <= count; i += DB_BLAS_LANES)
        for (l = 0; l < DB_BLAS_LANES; l++)
            lane[l] += (double)x[i + l];
    for (l = 0; i < count; i++, l++)
        lane[l] += (double)x[i];
    return db_add_lanes(lane);
}

static inline double db_dot(const float *x, const float *y, int64_t count)
{
    double lane[DB_BLAS_LANES] = {0};
    int64_t i;
    int l;

    for (i = 0; i + DB_BLAS_LANES <= count; i += DB_BLAS_LANES)
        for (l = 0; l < DB_BLAS_LANES; l++)
            lane[l] += (double)x[i + l] * (double)y[i + l];
    for (l = 0; i < count; i++, l++)
        lane[l] += (double)x[i] * (double)y[i];
    return db_add_lanes(lane);
}

/* s = exp(s - shift). Returns the sum: parts in float, and of these in double.
 */
static inline double db_exp_row(float *restrict s, float shift, int64_t count)
{
    double sum = 0.0;
    int64_t i = 0;
    int l;

    while (i + WIDE_LANES <= count) {
        int64_t end = db_blas_smaller(count, i + PART_OF_SUM);
        float lane[WIDE_LANES] = {0};

        for (; i + WIDE_LANES <= end; i += WIDE_LANES)
            for (l = 0; l < WIDE_LANES; l++) {
                float e = db_exp(s[i + l] - shift);

                s[i + l] = e;
                lane[l] += e;
            }
        sum += db_sum(lane, WIDE_LANES);
    }
    for (; i < count; i++) {
        s[i] = db_exp(s[i] - shift);
        sum += (double)s[i];
    }
    return sum;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Powers of two without branches or tables, so that compilers turn loops over
 * them into vector code. The polynomial is our own minimax fit; the stated
 * error is that of the fit.
 */
#ifndef DB_KERNEL_BLAS_VECTOR_INT_H
#define DB_KERNEL_BLAS_VECTOR_INT_H

#include <stdint.h>
#include <string.h>

#include "kernel/blas/blas_int.h"

#define LOG2_E 1.44269504088896340736
#define LN_2 0.69314718055994530942

/* So many that compilers see a loop in them rather than a list. */
#define WIDE_LANES 32
#define PART_OF_SUM 1024

static inline uint32_t db_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline float db_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* condition ? a : b for a condition of 0 or 1, by masks: a compiler that sees a
 * branch computes what follows it twice. */
static inline float db_choose(int condition, float a, float b)
{
    uint32_t mask = 0u - (uint32_t)condition;

    return db_float((db_bits(a) & mask) | (db_bits(b) & ~mask));
}

static inline float db_at_least(float x, float bound)
{
    return db_choose(x < bound, bound, x);
}

/* 2^x for x of 1 or less, as 1 + r q(r) times a power of two, to 1e-7; 0 below
 * -126.5. Scores that are kept in units of ln 2 need nothing more. */
static inline float db_exp2(float x)
{
    const float round = 12582912.0f;
    float bounded = db_at_least(x, -127.0f);
    float sum = bounded + round;
    float r = bounded - (sum - round);
    float q;

    q = 1.32645875e-3f;
    q = q * r + 9.67161923e-3f;
    q = q * r + 5.55073504e-2f;
    q = q * r + 2.40222405e-1f;
    q = q * r + 6.93146976e-1f;
    return (1.0f + r * q) * db_float((db_bits(sum) << 23) + 0x3f800000u);
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
    for (l = 0; i < count; i++, l++)
        lane[l] = x[i] > lane[l] ? x[i] : lane[l];
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

/* The end of a row, shorter than the lanes, filled up with 2^-200 = 0. */
static inline double db_exp2_rest(float *restrict s, float shift, int64_t count)
{
    float lane[WIDE_LANES];
    int l;

    for (l = 0; l < WIDE_LANES; l++)
        lane[l] = shift - 200.0f;
    memcpy(lane, s, (size_t)count * sizeof(float));
    for (l = 0; l < WIDE_LANES; l++)
        lane[l] = db_exp2(lane[l] - shift);
    memcpy(s, lane, (size_t)count * sizeof(float));
    return db_sum(lane, WIDE_LANES);
}

/* s = 2^(s - shift) for a shift that is the maximum, or nearly. Returns the
 * sum: parts in float, and of these in double.
 */
static inline double db_exp2_row(float *restrict s, float shift, int64_t count)
{
    double sum = 0.0;
    int64_t i = 0;
    int l;

    while (i + WIDE_LANES <= count) {
        int64_t end = db_blas_smaller(count, i + PART_OF_SUM);
        float lane[WIDE_LANES] = {0};

        for (; i + WIDE_LANES <= end; i += WIDE_LANES)
            for (l = 0; l < WIDE_LANES; l++) {
                float e = db_exp2(s[i + l] - shift);

                s[i + l] = e;
                lane[l] += e;
            }
        sum += db_sum(lane, WIDE_LANES);
    }
    return i < count ? sum + db_exp2_rest(s + i, shift, count - i) : sum;
}

#endif

/* SPDX-License-Identifier: MIT */
/* The functions on rows for AVX2 with FMA. */
#if defined(__GNUC__) && defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))),              \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>

#define LANES 8
#define FUSES
#define ISA db_elementwise_avx2
#include "kernel/elementwise/vector_int.h"

INLINE vector multiply_add(vector a, vector b, vector c)
{
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE vector reciprocal(vector x)
{
    return 1.0f / x;
}

INLINE vector square_root(vector x)
{
    return (vector)_mm256_sqrt_ps((__m256)x);
}

INLINE vector larger(vector a, vector b)
{
    return (vector)_mm256_max_ps((__m256)a, (__m256)b);
}

INLINE vector smaller(vector a, vector b)
{
    return (vector)_mm256_min_ps((__m256)a, (__m256)b);
}

/* GCC 12 converts a vector by way of memory, in pieces. */
INLINE wide low(vector x)
{
    return (wide)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
}

INLINE wide high(vector x)
{
    return (wide)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
}

INLINE halves lower_halves(integers x)
{
    return __builtin_convertvector(x, halves);
}

#include "kernel/elementwise/rows_int.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
extern const int db_elementwise_no_avx2;
#endif

/* SPDX-License-Identifier: MIT */
/* The functions on rows for AVX-512. */
#if defined(__GNUC__) && defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,fma"))),           \
                             apply_to = function)
#else
#pragma GCC target("avx512f,fma")
#endif
#include <immintrin.h>

#define LANES 16
#define FUSES
#define ISA db_elementwise_avx512
#include "kernel/elementwise/vector_int.h"

INLINE vector multiply_add(vector a, vector b, vector c)
{
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

/* To the last digit but one: from 14 bits by a step of Newton's. */
INLINE vector reciprocal(vector x)
{
    const vector y = (vector)_mm512_rcp14_ps((__m512)x);

    return multiply_add(y, multiply_add(-x, y, 1.0f - (vector){0}), y);
}

INLINE vector square_root(vector x)
{
    return (vector)_mm512_sqrt_ps((__m512)x);
}

INLINE vector larger(vector a, vector b)
{
    return (vector)_mm512_max_ps((__m512)a, (__m512)b);
}

INLINE vector smaller(vector a, vector b)
{
    return (vector)_mm512_min_ps((__m512)a, (__m512)b);
}

/* GCC 12 converts a vector by way of memory, in four pieces. */
INLINE wide low(vector x)
{
    return (wide)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
}

INLINE wide high(vector x)
{
    return (wide)_mm512_cvtps_pd((__m256)_mm512_extractf64x4_pd((__m512d)x, 1));
}

INLINE halves lower_halves(integers x)
{
    return (halves)_mm512_cvtepi32_epi16((__m512i)x);
}

#include "kernel/elementwise/rows_int.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
extern const int db_elementwise_no_avx512;
#endif

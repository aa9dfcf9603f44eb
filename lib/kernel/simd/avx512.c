/* SPDX-License-Identifier: MIT */
/* The micro-kernels for AVX-512: 28 of 32 registers are sums. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,fma"))),  \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,fma")
#endif
#define LANES 16
#define ROWS 14
#define VECTORS 2
#define SPREAD_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SPREAD_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define LARGER(a, b) _mm512_max_ps(a, b)
#define POWER_OF_TWO(x) power_of_two_in_parts(x)

/* 2^x, to 1.5e-7, and 0 below -126: that of x - floor(x) by a polynomial. */
static inline __attribute__((always_inline)) __m512 power_of_two_in_parts(
    __m512 x)
{
    const __mmask16 counts =
        _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
    const __m512 r = _mm512_reduce_ps(x, _MM_FROUND_FLOOR);
    __m512 q = 1.867130166e-3f * r + 9.017029777e-3f;

    q = q * r + 5.579991266e-2f;
    q = q * r + 2.401644439e-1f;
    q = q * r + 6.931512952e-1f;
    q = q * r + 1.0f;
    return _mm512_maskz_scalef_ps(counts, q, x);
}

#define ISA db_simd_avx512
#include "kernel/simd/isa_int.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
extern const int db_simd_no_avx512;
#endif

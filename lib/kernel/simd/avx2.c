/* SPDX-License-Identifier: MIT */
/* The micro-kernels for AVX2 with FMA: 12 of 16 registers are sums. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))),              \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LANES 8
#define ROWS 6
#define VECTORS 2
#define SPREAD_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define SPREAD_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define LARGER(a, b) _mm256_max_ps(a, b)
#define ISA db_simd_avx2
#include "kernel/simd/isa_int.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
extern const int db_simd_no_avx2;
#endif

/* SPDX-License-Identifier: MIT */
/* The micro-kernels for AVX-512: 28 of 32 registers are sums. */
#if defined(__GNUC__) && defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,fma"))),           \
                             apply_to = function)
#else
#pragma GCC target("avx512f,fma")
#endif
#define LANES 16
#define ROWS 14
#define VECTORS 2
#define SPREAD_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SPREAD_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define ISA db_simd_avx512
#include "kernel/simd/isa_int.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
extern const int db_simd_no_avx512;
#endif

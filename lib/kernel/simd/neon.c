/* SPDX-License-Identifier: MIT */
/* The micro-kernels for NEON, which every 64-bit ARM has: 16 of 32 registers
 * are sums, enough for four multiplications at a time that take four cycles. */
#if defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>

#define LANES 4
#define ROWS 8
#define VECTORS 2
#define SPREAD_LOW 0, 4, 1, 5
#define SPREAD_HIGH 2, 6, 3, 7
#define LARGER(a, b) vmaxq_f32(a, b)
#define ISA db_simd_neon
#include "kernel/simd/isa_int.h"
#else
extern const int db_simd_no_neon;
#endif

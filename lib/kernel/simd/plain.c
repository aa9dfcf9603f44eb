/* SPDX-License-Identifier: MIT */
/* The micro-kernels for vectors of four floats, which every processor has or
 * the compiler makes up for, such as SSE2. */
#define LANES 4
#define ROWS 6
#define VECTORS 2
#define SPREAD_LOW 0, 4, 1, 5
#define SPREAD_HIGH 2, 6, 3, 7
#define ISA db_simd_plain
#include "kernel/simd/isa_int.h"

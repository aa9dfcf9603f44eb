/* SPDX-License-Identifier: MIT */
/*
 * The template of an isa. A file that includes it has defined LANES (floats in
 * a vector), ROWS (6, 8 or 14) and VECTORS (of a tile), SPREAD_LOW and
 * SPREAD_HIGH (the indices that interleave the lower and the upper halves of
 * two vectors), ISA (the name of the struct). Vectors are the compiler's own,
 * and that file says which instructions it may use for them.
 */
#include <string.h>

#include "kernel/simd/simd_int.h"

#define COLUMNS (LANES * VECTORS)

typedef float vector __attribute__((vector_size(LANES * 4)));
typedef float loose __attribute__((vector_size(LANES * 4), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vector load(const float *at)
{
    return *(const loose *)at;
}

INLINE void store(float *at, vector value)
{
    *(loose *)at = value;
}

#include "kernel/simd/isa_tile_int.h"
#include "kernel/simd/isa_pack_int.h"
#include "kernel/simd/isa_winograd_int.h"
#include "kernel/simd/isa_attention_int.h"

const struct db_simd_isa ISA = {
    .rows = ROWS,
    .columns = COLUMNS,
    .lanes = LANES,
    .turn = turn,
    .split = split,
    .any_tile = any_tile,
    .copy = copy,
    .winograd_input = winograd_input,
    .winograd_weight = winograd_weight,
    .winograd_output = winograd_output,
    .winograd_tile = winograd_tile,
    .winograd_gradient = winograd_gradient,
    .winograd_weight_gradient = winograd_weight_gradient,
    .winograd_turned_tile = winograd_turned_tile,
    .lay = lay,
    .turn_in = turn_in,
    .turn_out = turn_out,
    .score = score,
    .soften = soften,
    .finish = finish,
    .dots = dots,
    .weigh = weigh,
    .gather = gather,
    .spread = spread,
};

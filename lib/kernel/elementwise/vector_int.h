/* SPDX-License-Identifier: MIT */
/* The vectors that an isa's file needs to say how it computes. */
#ifndef DB_KERNEL_ELEMENTWISE_VECTOR_INT_H
#define DB_KERNEL_ELEMENTWISE_VECTOR_INT_H

#include <stdint.h>

typedef float vector __attribute__((vector_size(LANES * 4)));

/* Half of a vector, and the same as doubles. */
typedef float half __attribute__((vector_size(LANES * 2)));
typedef double wide __attribute__((vector_size(LANES * 4)));

typedef int32_t integers __attribute__((vector_size(LANES * 4)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2)));

#define INLINE static inline __attribute__((always_inline))

INLINE vector choose(integers mask, vector a, vector b)
{
    return (vector)(((integers)a & mask) | ((integers)b & ~mask));
}

#endif

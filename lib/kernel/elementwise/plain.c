/* SPDX-License-Identifier: MIT */
/* The functions on rows for vectors of four floats, which every processor has
 * or the compiler makes up for. */
#include <math.h>
#include <string.h>

#define LANES 4
#define ISA db_elementwise_plain
#include "kernel/elementwise/vector_int.h"

INLINE vector multiply_add(vector a, vector b, vector c)
{
    return a * b + c;
}

INLINE vector reciprocal(vector x)
{
    return 1.0f / x;
}

INLINE vector square_root(vector x)
{
    vector root;
    int l;

    for (l = 0; l < LANES; l++)
        root[l] = sqrtf(x[l]);
    return root;
}

INLINE vector larger(vector a, vector b)
{
    return choose(a > b, a, b);
}

INLINE vector smaller(vector a, vector b)
{
    return choose(a < b, a, b);
}

INLINE wide low(vector x)
{
    half h;

    memcpy(&h, &x, sizeof(h));
    return __builtin_convertvector(h, wide);
}

INLINE wide high(vector x)
{
    half h;

    memcpy(&h, (const char *)&x + sizeof(h), sizeof(h));
    return __builtin_convertvector(h, wide);
}

INLINE halves lower_halves(integers x)
{
    return __builtin_convertvector(x, halves);
}

#include "kernel/elementwise/rows_int.h"

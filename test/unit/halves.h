/* SPDX-License-Identifier: MIT */
/*
 * What tests of values in bfloat16 share: a device, random floats, and rounding
 * that has nothing in common with the library's.
 */
#ifndef HALVES_H
#define HALVES_H

#include <string.h>

#include "kernel/device.h"
#include "unit.h"

static struct db_env env;

static void open_device(struct db_device *device, int threads,
                        const dreambooth_backend *table, int precision)
{
    struct db_pool *pool = NULL;

    ck_assert_int_eq(db_pool_new(&env, threads, &pool), DREAMBOOTH_OK);
    db_device_init(device, &env, pool, table);
    device->host.precision = precision;
}

/* COUNT floats of [-1/2, 1/2). */
static float *values(int64_t count, uint32_t seed)
{
    float *x = db_alloc(&env, (size_t)count * sizeof(*x));
    int64_t i;

    ck_assert_ptr_nonnull(x);
    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed / 4294967296.0f;
    }
    return x;
}

static uint16_t rounded(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widened(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* FACTOR x [count], rounded. */
static uint16_t *halves(const float *x, int64_t count, float factor)
{
    uint16_t *half = db_alloc(&env, (size_t)count * sizeof(*half));
    int64_t i;

    ck_assert_ptr_nonnull(half);
    for (i = 0; i < count; i++)
        half[i] = rounded(factor * x[i]);
    return half;
}

#endif

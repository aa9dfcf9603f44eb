/* SPDX-License-Identifier: MIT */
/*
 * PyTorch's CPU generator: Matsumoto and Nishimura's mt19937 ("Mersenne
 * Twister", 1998) and the ways in which torch makes numbers of its words. The
 * roundings to float stand where torch has them.
 */
#include "base/torch_random.h"

#include <math.h>

#define LENGTH 624
#define SHIFT 397
#define TWO_PI 6.283185307179586476925286766559
#define BLOCK 16 /* normal numbers made at once */
#define WIDE_RANGE 0x10000000u

void db_torch_seed(struct db_torch_random *random, uint64_t seed)
{
    uint32_t word = (uint32_t)seed;
    int i;

    random->words[0] = word;
    for (i = 1; i < LENGTH; i++) {
        word = 1812433253u * (word ^ (word >> 30)) + (uint32_t)i;
        random->words[i] = word;
    }
    random->next = LENGTH;
    random->has_normal = false;
    random->normal = 0;
}

static void refill(struct db_torch_random *random)
{
    uint32_t *words = random->words;
    int i;

    for (i = 0; i < LENGTH; i++) {
        uint32_t mixed =
            (words[i] & 0x80000000u) | (words[(i + 1) % LENGTH] & 0x7fffffffu);

        words[i] = words[(i + SHIFT) % LENGTH] ^ (mixed >> 1) ^
                   ((mixed & 1) != 0 ? 0x9908b0dfu : 0);
    }
    random->next = 0;
}

uint32_t db_torch_u32(struct db_torch_random *random)
{
    uint32_t word;

    if (random->next == LENGTH)
        refill(random);
    word = random->words[random->next++];
    word ^= word >> 11;
    word ^= (word << 7) & 0x9d2c5680u;
    word ^= (word << 15) & 0xefc60000u;
    return word ^ (word >> 18);
}

uint64_t db_torch_u64(struct db_torch_random *random)
{
    uint64_t high = db_torch_u32(random);

    return high << 32 | db_torch_u32(random);
}

static float unit_float(struct db_torch_random *random)
{
    return (float)(db_torch_u32(random) & 0xffffffu) * 0x1p-24f;
}

static double unit_double(struct db_torch_random *random)
{
    return (double)(db_torch_u64(random) & 0x1fffffffffffffu) * 0x1p-53;
}

void db_torch_rand(struct db_torch_random *random, float *out, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = unit_float(random);
}

void db_torch_rand_f64(struct db_torch_random *random, double *out,
                       int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = unit_double(random);
}

void db_torch_uniform(struct db_torch_random *random, float low, float high,
                      float *out, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = unit_float(random) * (high - low) + low;
}

/* One number of a pair made in double; the other waits in the generator. */
static double single_normal(struct db_torch_random *random)
{
    double angle, radius;

    if (random->has_normal) {
        random->has_normal = false;
        return random->normal;
    }
    angle = TWO_PI * unit_double(random);
    radius = sqrt(-2.0 * log1p(-unit_double(random)));
    random->normal = radius * sin(angle);
    random->has_normal = true;
    return radius * cos(angle);
}

/* Turns 16 uniform numbers into normal ones: j and j + 8 make a pair. */
static void normal_block(float *block, float mean, float deviation)
{
    int j;

    for (j = 0; j < BLOCK / 2; j++) {
        float first = 1.0f - block[j];
        float angle = (float)TWO_PI * block[j + BLOCK / 2];
        float radius = sqrtf(-2.0f * (float)log((double)first));

        block[j] = radius * (float)cos((double)angle) * deviation + mean;
        block[j + BLOCK / 2] =
            radius * (float)sin((double)angle) * deviation + mean;
    }
}

void db_torch_normal(struct db_torch_random *random, double mean,
                     double deviation, float *out, int64_t count)
{
    int64_t i;

    if (count < BLOCK) {
        for (i = 0; i < count; i++)
            out[i] = (float)(single_normal(random) * deviation + mean);
        return;
    }
    db_torch_rand(random, out, count);
    for (i = 0; i + BLOCK <= count; i += BLOCK)
        normal_block(out + i, (float)mean, (float)deviation);
    if (i < count) {
        db_torch_rand(random, out + count - BLOCK, BLOCK);
        normal_block(out + count - BLOCK, (float)mean, (float)deviation);
    }
}

void db_torch_randn(struct db_torch_random *random, float *out, int64_t count)
{
    db_torch_normal(random, 0, 1, out, count);
}

static void normal_block_f64(double *block)
{
    int j;

    for (j = 0; j < BLOCK / 2; j++) {
        double radius = sqrt(-2.0 * log(1.0 - block[j]));
        double angle = TWO_PI * block[j + BLOCK / 2];

        block[j] = radius * cos(angle);
        block[j + BLOCK / 2] = radius * sin(angle);
    }
}

void db_torch_randn_f64(struct db_torch_random *random, double *out,
                        int64_t count)
{
    int64_t i;

    if (count < BLOCK) {
        for (i = 0; i < count; i++)
            out[i] = single_normal(random);
        return;
    }
    db_torch_rand_f64(random, out, count);
    for (i = 0; i + BLOCK <= count; i += BLOCK)
        normal_block_f64(out + i);
    if (i < count) {
        db_torch_rand_f64(random, out + count - BLOCK, BLOCK);
        normal_block_f64(out + count - BLOCK);
    }
}

void db_torch_randint(struct db_torch_random *random, int64_t low, int64_t high,
                      int64_t *out, int64_t count)
{
    uint64_t range = (uint64_t)high - (uint64_t)low;
    int64_t i;

    for (i = 0; i < count; i++) {
        uint64_t word =
            range < WIDE_RANGE ? db_torch_u32(random) : db_torch_u64(random);

        out[i] = (int64_t)((uint64_t)low + word % range);
    }
}

void db_torch_random_i32(struct db_torch_random *random, int32_t *out,
                         int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = (int32_t)(db_torch_u32(random) & 0x7fffffffu);
}

void db_torch_random_i64(struct db_torch_random *random, int64_t *out,
                         int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = (int64_t)(db_torch_u64(random) & INT64_MAX);
}

void db_torch_randperm(struct db_torch_random *random, int64_t *out,
                       int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = i;
    for (i = 0; i < count - 1; i++) {
        int64_t j = i + (int64_t)(db_torch_u32(random) % (uint64_t)(count - i));
        int64_t value = out[i];

        out[i] = out[j];
        out[j] = value;
    }
}

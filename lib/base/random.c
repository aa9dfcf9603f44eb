/* SPDX-License-Identifier: MIT */
/*
 * Counter-based random streams. The seed is Philox's key and the stream's name
 * is three of the four counter words; the fourth counts blocks. Normal numbers
 * have counters of their own (one bit set that words never have), two to a
 * block, so that they are found by position.
 */
#include "base/random.h"

#include <math.h>

#define NORMALS 0x80000000u /* in counter[3] */
#define TWO_PI 6.283185307179586476925286766559

void db_philox4x32(const uint32_t counter[4], const uint32_t key[2],
                   uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    int round;

    for (round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void db_random_init(struct db_random *random, uint64_t seed,
                    enum db_random_purpose purpose, uint64_t step,
                    uint32_t lane)
{
    random->key[0] = (uint32_t)seed;
    random->key[1] = (uint32_t)(seed >> 32);
    random->counter[0] = 0;
    random->counter[1] = lane;
    random->counter[2] = (uint32_t)step;
    random->counter[3] =
        (uint32_t)purpose << 16 | (uint32_t)((step >> 32) & 0xffff);
    random->used = 4;
}

uint32_t db_random_u32(struct db_random *random)
{
    if (random->used == 4) {
        db_philox4x32(random->counter, random->key, random->block);
        random->counter[0]++;
        random->used = 0;
    }
    return random->block[random->used++];
}

uint64_t db_random_u64(struct db_random *random)
{
    uint64_t high = db_random_u32(random);

    return high << 32 | db_random_u32(random);
}

uint64_t db_random_below(struct db_random *random, uint64_t limit)
{
    /* 2^64 modulo limit: the words below it would favour small results. */
    uint64_t excess = (0 - limit) % limit;
    uint64_t word;

    do
        word = db_random_u64(random);
    while (word < excess);
    return word % limit;
}

static double unit_interval(uint64_t word)
{
    return (double)(word >> 11) * 0x1p-53;
}

double db_random_double(struct db_random *random)
{
    return unit_interval(db_random_u64(random));
}

float db_random_float(struct db_random *random)
{
    return (float)(db_random_u32(random) >> 8) * 0x1p-24f;
}

void db_random_permutation(struct db_random *random, int64_t *out,
                           int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = i;
    for (i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)db_random_below(random, (uint64_t)i + 1);
        int64_t value = out[i];

        out[i] = out[j];
        out[j] = value;
    }
}

/* Box and Muller's pair for one block. */
static void normal_pair(const struct db_random *random, uint32_t block,
                        float pair[2])
{
    uint32_t counter[4] = {block, random->counter[1], random->counter[2],
                           random->counter[3] | NORMALS};
    uint32_t word[4];
    double radius, angle;

    db_philox4x32(counter, random->key, word);
    radius = 1.0 - unit_interval((uint64_t)word[0] << 32 | word[1]);
    radius = sqrt(-2.0 * log(radius));
    angle = TWO_PI * unit_interval((uint64_t)word[2] << 32 | word[3]);
    pair[0] = (float)(radius * cos(angle));
    pair[1] = (float)(radius * sin(angle));
}

void db_random_normals(const struct db_random *random, uint64_t first,
                       float *out, size_t count)
{
    float pair[2] = {0, 0};
    size_t i;

    for (i = 0; i < count; i++) {
        uint64_t position = first + i;

        if (i == 0 || position % 2 == 0)
            normal_pair(random, (uint32_t)(position / 2), pair);
        out[i] = pair[position % 2];
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * The random stream of PyTorch's CPU generator, so that a seed can mean here
 * what it means there. It is one sequential stream (mt19937), and what a call
 * gives depends on every call before it and on how many numbers each asked for:
 * callers must draw in PyTorch's order, and images in its [N, C, H, W] layout
 * (db_nchw_to_nhwc() turns them round).
 *
 * Integers and uniform numbers are exact. Normal numbers agree with PyTorch's
 * within 1e-6, since its vectorised logarithm, sine and cosine are not the C
 * library's.
 */
#ifndef DB_BASE_TORCH_RANDOM_H
#define DB_BASE_TORCH_RANDOM_H

#include "base/env.h"

struct db_torch_random {
    uint32_t words[624];
    int next;
    bool has_normal; /* a second value of a pair is waiting */
    double normal;
};

/* torch.manual_seed(): only the low 32 bits of SEED count. */
void db_torch_seed(struct db_torch_random *random, uint64_t seed);

uint32_t db_torch_u32(struct db_torch_random *random);
uint64_t db_torch_u64(struct db_torch_random *random); /* high half first */

/* torch.rand() and Tensor.uniform_(low, high). */
void db_torch_rand(struct db_torch_random *random, float *out, int64_t count);
void db_torch_rand_f64(struct db_torch_random *random, double *out,
                       int64_t count);
void db_torch_uniform(struct db_torch_random *random, float low, float high,
                      float *out, int64_t count);

/*
 * torch.randn() and Tensor.normal_(mean, deviation). Fewer than 16 numbers are
 * drawn in pairs, of which the second waits for the next such call; 16 and more
 * in blocks of 16, the last 16 once more if COUNT is no multiple of 16.
 */
void db_torch_randn(struct db_torch_random *random, float *out, int64_t count);
void db_torch_randn_f64(struct db_torch_random *random, double *out,
                        int64_t count);
void db_torch_normal(struct db_torch_random *random, double mean,
                     double deviation, float *out, int64_t count);

/* torch.randint(low, high), low < high: integers low..high-1. */
void db_torch_randint(struct db_torch_random *random, int64_t low, int64_t high,
                      int64_t *out, int64_t count);
/* Tensor.random_() of an int32 and an int64 tensor: 0..2^31-1, 0..2^63-1. */
void db_torch_random_i32(struct db_torch_random *random, int32_t *out,
                         int64_t count);
void db_torch_random_i64(struct db_torch_random *random, int64_t *out,
                         int64_t count);
/* torch.randperm(count) */
void db_torch_randperm(struct db_torch_random *random, int64_t *out,
                       int64_t count);

#endif

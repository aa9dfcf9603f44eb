/* SPDX-License-Identifier: MIT */
/*
 * Random streams without state worth saving. A stream is named by a seed, a
 * purpose, a step and a lane (an image, a parameter); its n-th number is a
 * function of these and n alone (Philox4x32-10: Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", 2011). So a run is resumed by knowing its step,
 * one use of randomness never shifts another, and threads can fill parts of an
 * array in any order.
 *
 * Integers and uniform numbers are the same on every platform. Normal numbers
 * go through log(), sin() and cos() in double before they are rounded to float:
 * they are the same wherever these agree to about 1e-16, but for the rare value
 * that lies on a rounding boundary.
 */
#ifndef DB_BASE_RANDOM_H
#define DB_BASE_RANDOM_H

#include "base/env.h"

/* What a stream is for. The numbers are fixed: another number is another
 * stream, and results would change. New ones go at the end. */
enum db_random_purpose {
    DB_RANDOM_INIT = 1,            /* a model's first weights */
    DB_RANDOM_TRAIN_VAE_NOISE = 2, /* the draw from the VAE's posterior */
    DB_RANDOM_TRAIN_NOISE = 3,     /* what is added to the latents */
    DB_RANDOM_TRAIN_TIMESTEPS = 4,
    DB_RANDOM_TRAIN_CROP = 5,
    DB_RANDOM_TRAIN_FLIP = 6,
    DB_RANDOM_TRAIN_ORDER = 7,    /* of the instance images */
    DB_RANDOM_SAMPLE_LATENTS = 8, /* where sampling starts */
    DB_RANDOM_SAMPLE_STEP = 9,    /* noise of ancestral samplers */
    DB_RANDOM_CLASS_IMAGE = 10,   /* the seed of a class image */
    DB_RANDOM_IDENTIFIER = 11,
    DB_RANDOM_TRAIN_CLASS_ORDER = 12,
    DB_RANDOM_TEST = 13,
    DB_RANDOM_TRAIN_ROUNDING = 14 /* of what is kept in fewer bits */
};

struct db_random {
    uint32_t key[2];
    uint32_t counter[4]; /* [0]: the next block; [1]: lane; [2], [3]: step and
                          * purpose */
    uint32_t block[4];
    int used; /* words of the block that are gone; 4: none is left */
};

/* STEP below 2^48. A stream has 2^34 32-bit words. */
void db_random_init(struct db_random *random, uint64_t seed,
                    enum db_random_purpose purpose, uint64_t step,
                    uint32_t lane);

uint32_t db_random_u32(struct db_random *random);
uint64_t db_random_u64(struct db_random *random); /* high half first */
/* Uniform in 0..limit-1, without bias; limit >= 1. */
uint64_t db_random_below(struct db_random *random, uint64_t limit);
double db_random_double(struct db_random *random); /* [0, 1), 53 bits */
float db_random_float(struct db_random *random);   /* [0, 1), 24 bits */
/* 0..count-1 in random order. */
void db_random_permutation(struct db_random *random, int64_t *out,
                           int64_t count);

/*
 * Standard normal numbers FIRST..FIRST+COUNT-1 of the stream. They neither move
 * the stream nor depend on what was drawn from it, and number i is the same
 * whatever FIRST and COUNT are. FIRST + COUNT <= 2^33.
 */
void db_random_normals(const struct db_random *random, uint64_t first,
                       float *out, size_t count);

/* The bare function: ten rounds over COUNTER and KEY. */
void db_philox4x32(const uint32_t counter[4], const uint32_t key[2],
                   uint32_t out[4]);

#endif

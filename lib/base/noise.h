/* SPDX-License-Identifier: MIT */
/*
 * Where trainers and samplers take their random numbers from: our counter-based
 * streams, or the stream of PyTorch's CPU generator. Both are asked in the same
 * way, and each uses what it needs of the question.
 *
 * The counter kind goes by purpose, step and image: the answer is the same
 * whatever was asked before, and an image's noise does not depend on the batch
 * that it is in. The torch kind goes by order: ask as diffusers does, in the
 * same order and for the same number of images at once. What it gives for
 * images is in [N, C, H, W] order; the caller turns it round with
 * db_nchw_to_nhwc(), and does so for both kinds, so that one order is meant.
 */
#ifndef DB_BASE_NOISE_H
#define DB_BASE_NOISE_H

#include "base/pool.h"
#include "base/random.h"
#include "base/torch_random.h"

/* The indices of the choices in db_noise_names. */
enum db_noise_kind { DB_NOISE_COUNTER, DB_NOISE_TORCH };

/* "counter", "torch", NULL: for an option table. */
extern const char *const db_noise_names[];

struct db_noise {
    enum db_noise_kind kind;
    uint64_t seed;
    struct db_torch_random torch;
};

void db_noise_init(struct db_noise *noise, enum db_noise_kind kind,
                   uint64_t seed);

/*
 * Standard normal numbers for IMAGES images, of SIZE numbers each, of which the
 * first is number FIRST_IMAGE of the run. OUT [images, size].
 */
void db_noise_normal(struct db_noise *noise, enum db_random_purpose purpose,
                     uint64_t step, uint32_t first_image, int64_t images,
                     int64_t size, float *out);

/* The same by the threads of POOL, where images have streams of their own. */
void db_noise_normal_by(struct db_pool *pool, struct db_noise *noise,
                        enum db_random_purpose purpose, uint64_t step,
                        uint32_t first_image, int64_t images, int64_t size,
                        float *out);

/* One integer in 0..limit-1 for each image. OUT [images]. */
void db_noise_integers(struct db_noise *noise, enum db_random_purpose purpose,
                       uint64_t step, uint32_t first_image, int64_t images,
                       int64_t limit, int64_t *out);

#endif

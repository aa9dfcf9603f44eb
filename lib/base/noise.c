/* SPDX-License-Identifier: MIT */
/*
 * One question, two sources: a stream for each image, or the next numbers of
 * the one stream.
 */
#include "base/noise.h"

const char *const db_noise_names[] = {"counter", "torch", NULL};

void db_noise_init(struct db_noise *noise, enum db_noise_kind kind,
                   uint64_t seed)
{
    noise->kind = kind;
    noise->seed = seed;
    db_torch_seed(&noise->torch, seed);
}

struct drawing {
    uint64_t seed, step;
    enum db_random_purpose purpose;
    uint32_t first_image;
    int64_t size;
    float *out;
};

static void draw_image(void *argument, int64_t index, int worker)
{
    const struct drawing *d = argument;
    struct db_random random;

    (void)worker;
    db_random_init(&random, d->seed, d->purpose, d->step,
                   d->first_image + (uint32_t)index);
    db_random_normals(&random, 0, d->out + index * d->size, (size_t)d->size);
}

void db_noise_normal_by(struct db_pool *pool, struct db_noise *noise,
                        enum db_random_purpose purpose, uint64_t step,
                        uint32_t first_image, int64_t images, int64_t size,
                        float *out)
{
    struct drawing drawing = {.seed = noise->seed,
                              .step = step,
                              .purpose = purpose,
                              .first_image = first_image,
                              .size = size,
                              .out = out};
    int64_t i;

    if (noise->kind == DB_NOISE_TORCH)
        db_torch_randn(&noise->torch, out, images * size);
    else if (pool != NULL)
        db_pool_run(pool, images, draw_image, &drawing);
    else
        for (i = 0; i < images; i++)
            draw_image(&drawing, i, 0);
}

void db_noise_normal(struct db_noise *noise, enum db_random_purpose purpose,
                     uint64_t step, uint32_t first_image, int64_t images,
                     int64_t size, float *out)
{
    db_noise_normal_by(NULL, noise, purpose, step, first_image, images, size,
                       out);
}

void db_noise_integers(struct db_noise *noise, enum db_random_purpose purpose,
                       uint64_t step, uint32_t first_image, int64_t images,
                       int64_t limit, int64_t *out)
{
    struct db_random random;
    int64_t i;

    if (noise->kind == DB_NOISE_TORCH) {
        db_torch_randint(&noise->torch, 0, limit, out, images);
        return;
    }
    for (i = 0; i < images; i++) {
        db_random_init(&random, noise->seed, purpose, step,
                       first_image + (uint32_t)i);
        out[i] = (int64_t)db_random_below(&random, (uint64_t)limit);
    }
}

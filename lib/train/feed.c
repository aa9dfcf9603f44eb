/* SPDX-License-Identifier: MIT */
/*
 * Filling a batch. The VAE is frozen, so a photo that always looks the same is
 * encoded once; only the draw from its posterior is new each time.
 */
#include "train/feed.h"

#include <math.h>
#include <string.h>

#include "model/prompt.h"
#include "train/order.h"

void db_feed_init(struct db_feed *feed, struct db_device *device,
                  const struct db_pipeline *pipeline,
                  const struct db_trainer_settings *settings, int64_t timesteps)
{
    memset(feed, 0, sizeof(*feed));
    feed->env = device->env;
    feed->device = device;
    feed->pipeline = pipeline;
    feed->settings = settings;
    feed->timesteps = timesteps;
    feed->prior = db_trainer_has_prior(settings);
    db_dataset_init(&feed->instances, feed->env, settings->size,
                    (enum db_crop)settings->crop);
    db_dataset_init(&feed->classes, feed->env, settings->size,
                    (enum db_crop)settings->crop);
    db_noise_init(&feed->noise, (enum db_noise_kind)settings->rng,
                  (uint64_t)settings->seed);
}

void db_feed_free(struct db_feed *feed)
{
    int half;

    if (feed->env == NULL)
        return;
    db_dataset_free(&feed->instances);
    db_dataset_free(&feed->classes);
    for (half = 0; half < 2; half++) {
        db_tensor_release(feed->contexts[half]);
        db_free(feed->env, feed->ids[half]);
    }
    memset(feed, 0, sizeof(*feed));
}

int db_feed_prompts(struct db_feed *feed)
{
    const char *prompts[2] = {feed->settings->instance_prompt,
                              feed->settings->class_prompt};
    int half, status = DREAMBOOTH_OK;

    feed->length = db_prompt_length(feed->pipeline);
    for (half = 0; half < (feed->prior ? 2 : 1); half++) {
        if (feed->settings->train_text_encoder)
            status = db_prompt_ids(feed->env, feed->pipeline, prompts[half],
                                   &feed->ids[half]);
        else
            status = db_prompt_encode(feed->device, feed->pipeline,
                                      prompts[half], &feed->contexts[half]);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

int db_feed_posterior(struct db_device *device, const struct db_vae *vae,
                      const struct db_image *image, struct db_tensor **out)
{
    struct db_shape shape = db_shape4(1, image->height, image->width, 3);
    struct db_var *pixels, *mean = NULL, *logvar = NULL;
    struct db_tensor *result = NULL;
    struct db_tape tape;
    int status;

    db_tape_init(&tape, device, false);
    pixels = db_var_empty(&tape, &shape);
    if (pixels != NULL)
        db_image_to_tensor(image, db_tensor_f32(pixels->data));
    status = db_vae_encode(&tape, vae, pixels, &mean, &logvar, NULL);
    if (status == DREAMBOOTH_OK) {
        shape = mean->data->shape;
        shape.size[0] = 2;
        status = db_tensor_new(device->env, DB_F32, &shape, &result);
    }
    if (status == DREAMBOOTH_OK) {
        int64_t count = db_tensor_count(mean->data);
        size_t bytes = (size_t)count * sizeof(float);

        memcpy(db_tensor_f32(result), db_tensor_f32(mean->data), bytes);
        memcpy(db_tensor_f32(result) + count, db_tensor_f32(logvar->data),
               bytes);
        *out = result;
    }
    db_drop(mean);
    db_drop(logvar);
    db_tape_clear(&tape);
    return status;
}

static bool is_flipped(const struct db_feed *feed, int64_t number, int64_t row)
{
    struct db_random random;

    if (!feed->settings->flip)
        return false;
    db_random_init(&random, (uint64_t)feed->settings->seed,
                   DB_RANDOM_TRAIN_FLIP, (uint64_t)number, (uint32_t)row);
    return db_random_below(&random, 2) == 1;
}

/* A square cut out of PHOTO at a place that the batch and row determine. */
static int cut(const struct db_feed *feed, const struct db_photo *photo,
               int64_t number, int64_t row, struct db_image **out)
{
    int size = (int)feed->settings->size;
    struct db_random random;
    int left, top;

    db_random_init(&random, (uint64_t)feed->settings->seed,
                   DB_RANDOM_TRAIN_CROP, (uint64_t)number, (uint32_t)row);
    top = (int)db_random_below(&random,
                               (uint64_t)(photo->image->height - size + 1));
    left = (int)db_random_below(&random,
                                (uint64_t)(photo->image->width - size + 1));
    return db_image_crop(feed->env, photo->image, left, top, size, size, out);
}

/* The posterior of PHOTO as this row sees it; a new reference. */
static int row_posterior(const struct db_feed *feed, struct db_photo *photo,
                         int64_t number, int64_t row, struct db_tensor **out)
{
    bool flipped = is_flipped(feed, number, row);
    bool fixed = feed->settings->crop == DB_CROP_CENTER;
    struct db_tensor **kept = &photo->posterior[flipped ? 1 : 0];
    struct db_image *image = NULL;
    int status = DREAMBOOTH_OK;

    if (fixed && *kept != NULL) {
        *out = db_tensor_hold(*kept);
        return DREAMBOOTH_OK;
    }
    if (fixed)
        status =
            db_image_crop(feed->env, photo->image, 0, 0, photo->image->width,
                          photo->image->height, &image);
    else
        status = cut(feed, photo, number, row, &image);
    if (status != DREAMBOOTH_OK)
        return status;
    if (flipped)
        db_image_flip(image);
    status = db_feed_posterior(feed->device, feed->pipeline->vae, image, out);
    db_image_free(feed->env, image);
    if (status == DREAMBOOTH_OK && fixed)
        *kept = db_tensor_hold(*out);
    return status;
}

/* The photo of ROW in batch NUMBER. Each half has an order of its own. */
static int choose_photo(struct db_feed *feed, int64_t number, int64_t row,
                        struct db_photo **out)
{
    int64_t batch = feed->settings->batch;
    bool is_instance = row < batch;
    struct db_dataset *dataset =
        is_instance ? &feed->instances : &feed->classes;
    int64_t position = number * batch + (is_instance ? row : row - batch);
    int64_t index;
    int status = db_order_photo(feed->env, (uint64_t)feed->settings->seed,
                                is_instance ? DB_RANDOM_TRAIN_ORDER
                                            : DB_RANDOM_TRAIN_CLASS_ORDER,
                                position, dataset->count, &index);

    if (status == DREAMBOOTH_OK)
        *out = &dataset->photos[index];
    return status;
}

/* NOISE [h, w, c], which becomes latents = (mean + exp(logvar / 2) noise)
 * factor. */
static void draw_from_posterior(const struct db_tensor *posterior, float factor,
                                float *noise)
{
    int64_t count = db_tensor_count(posterior) / 2;
    const float *mean = db_tensor_f32(posterior);
    const float *logvar = mean + count;
    int64_t i;

    for (i = 0; i < count; i++)
        noise[i] = (mean[i] + expf(0.5f * logvar[i]) * noise[i]) * factor;
}

/* Normal numbers for all rows into OUT [rows, h, w, c]. */
static int draw(struct db_feed *feed, enum db_random_purpose purpose,
                int64_t number, struct db_tensor *out)
{
    const int64_t *size = out->shape.size;
    int64_t count = db_tensor_count(out);
    float *planes = db_alloc_array(feed->env, (size_t)count, sizeof(*planes));

    if (planes == NULL)
        return feed->env->error_status;
    db_noise_normal_by(feed->device->pool, &feed->noise, purpose,
                       (uint64_t)number, 0, size[0], count / size[0], planes);
    db_nchw_to_nhwc(planes, size[0], size[3], size[1], size[2],
                    db_tensor_f32(out));
    db_free(feed->env, planes);
    return DREAMBOOTH_OK;
}

static int fill_latents(struct db_feed *feed, int64_t number,
                        struct db_train_batch *batch)
{
    int64_t rows = batch->instances + batch->classes;
    int64_t size = db_tensor_count(batch->latents) / rows;
    float factor = (float)feed->pipeline->vae->config.scaling_factor;
    int64_t row;
    int status = draw(feed, DB_RANDOM_TRAIN_VAE_NOISE, number, batch->latents);

    for (row = 0; row < rows && status == DREAMBOOTH_OK; row++) {
        struct db_tensor *posterior;
        struct db_photo *photo;

        status = choose_photo(feed, number, row, &photo);
        if (status == DREAMBOOTH_OK)
            status = row_posterior(feed, photo, number, row, &posterior);
        if (status != DREAMBOOTH_OK)
            break;
        draw_from_posterior(posterior, factor,
                            db_tensor_f32(batch->latents) + row * size);
        db_tensor_release(posterior);
    }
    return status;
}

/* Each row's context, or its ids where the text encoder is trained. */
static int fill_prompts(const struct db_feed *feed,
                        struct db_train_batch *batch)
{
    int64_t rows = batch->instances + batch->classes;
    int64_t row;
    int status;

    batch->length = feed->length;
    if (feed->contexts[0] == NULL) {
        batch->ids = db_alloc_array(feed->env, (size_t)(rows * feed->length),
                                    sizeof(int64_t));
        if (batch->ids == NULL)
            return feed->env->error_status;
    } else {
        struct db_shape shape = feed->contexts[0]->shape;

        shape.size[0] = rows;
        status = db_tensor_new(feed->env, DB_F32, &shape, &batch->context);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    for (row = 0; row < rows; row++) {
        int half = row < batch->instances ? 0 : 1;

        if (batch->ids != NULL) {
            memcpy(batch->ids + row * feed->length, feed->ids[half],
                   (size_t)feed->length * sizeof(int64_t));
        } else {
            int64_t size = db_tensor_count(feed->contexts[half]);

            memcpy(db_tensor_f32(batch->context) + row * size,
                   db_tensor_f32(feed->contexts[half]),
                   (size_t)size * sizeof(float));
        }
    }
    return DREAMBOOTH_OK;
}

int db_feed_batch(struct db_feed *feed, int64_t number,
                  struct db_train_batch *out)
{
    const struct db_vae *vae = feed->pipeline->vae;
    int64_t side = feed->settings->size / vae->factor;
    struct db_train_batch batch = {.instances = feed->settings->batch,
                                   .classes =
                                       feed->prior ? feed->settings->batch : 0};
    int64_t rows = batch.instances + batch.classes;
    struct db_shape shape =
        db_shape4(rows, side, side, vae->config.latent_channels);
    int status = db_tensor_new(feed->env, DB_F32, &shape, &batch.latents);

    if (status == DREAMBOOTH_OK)
        status = db_tensor_new(feed->env, DB_F32, &shape, &batch.noise);
    if (status == DREAMBOOTH_OK) {
        batch.timesteps =
            db_alloc_array(feed->env, (size_t)rows, sizeof(int64_t));
        if (batch.timesteps == NULL)
            status = feed->env->error_status;
    }
    if (status == DREAMBOOTH_OK)
        status = fill_latents(feed, number, &batch);
    if (status == DREAMBOOTH_OK)
        status = draw(feed, DB_RANDOM_TRAIN_NOISE, number, batch.noise);
    if (status == DREAMBOOTH_OK) {
        db_noise_integers(&feed->noise, DB_RANDOM_TRAIN_TIMESTEPS,
                          (uint64_t)number, 0, rows, feed->timesteps,
                          batch.timesteps);
        status = fill_prompts(feed, &batch);
    }
    if (status != DREAMBOOTH_OK) {
        db_train_batch_release(feed->env, &batch);
        return status;
    }
    *out = batch;
    return DREAMBOOTH_OK;
}

void db_train_batch_release(struct db_env *env, struct db_train_batch *batch)
{
    db_tensor_release(batch->latents);
    db_tensor_release(batch->noise);
    db_tensor_release(batch->context);
    db_free(env, batch->timesteps);
    db_free(env, batch->ids);
    memset(batch, 0, sizeof(*batch));
}

/* SPDX-License-Identifier: MIT */
/*
 * From photos to batches: which photos, mirrored or not, cut where, through the
 * VAE, with which noise at which timesteps. Everything is determined by the
 * seed and the number of the batch, but for the torch stream, which moves on
 * with each batch and is part of a checkpoint.
 */
#ifndef DB_TRAIN_FEED_H
#define DB_TRAIN_FEED_H

#include "base/noise.h"
#include "train/dataset.h"
#include "train/step.h"

struct db_feed {
    struct db_env *env;
    struct db_device *device;
    const struct db_pipeline *pipeline;
    const struct db_trainer_settings *settings;
    int64_t timesteps; /* of the schedule */
    bool prior;
    struct db_dataset instances, classes;
    struct db_noise noise;
    /* Of the instance and the class prompt; the class's are NULL without
     * prior. Contexts are NULL where the text encoder is trained. */
    struct db_tensor *contexts[2]; /* [1, length, width] */
    int64_t *ids[2];               /* [length] */
    int64_t length;
};

/* Empty data sets, the noise at its start, no prompts yet. Nothing to free if
 * it is all there was. SETTINGS must live as long. */
void db_feed_init(struct db_feed *feed, struct db_device *device,
                  const struct db_pipeline *pipeline,
                  const struct db_trainer_settings *settings,
                  int64_t timesteps);
void db_feed_free(struct db_feed *feed);

/* Encodes the prompts. */
int db_feed_prompts(struct db_feed *feed);

/* Batch number BATCH of the run, counted from 0; release it. */
int db_feed_batch(struct db_feed *feed, int64_t number,
                  struct db_train_batch *out);
void db_train_batch_release(struct db_env *env, struct db_train_batch *batch);

/*
 * The VAE's posterior of PIXELS [size, size, 3]: mean over log variance, [2, h,
 * w, c].
 */
int db_feed_posterior(struct db_device *device, const struct db_vae *vae,
                      const struct db_image *image, struct db_tensor **out);

#endif

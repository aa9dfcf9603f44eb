/* SPDX-License-Identifier: MIT */
/*
 * The folder of class images: which of them are there, and which are still to
 * be made. Each has its own number, and is made from that number and the seed
 * alone, so that an interrupted run goes on where it stopped.
 *
 * The folder holds class-00000.png ... and class-images.json, which says what
 * they were made from. A folder without that file is the user's own: its
 * images count, whatever their names.
 */
#ifndef DB_TRAIN_CLASS_IMAGES_H
#define DB_TRAIN_CLASS_IMAGES_H

#include "file/image.h"
#include "train/options.h"

/* A stretch of missing images: numbers FIRST..FIRST+COUNT-1. */
struct db_class_images {
    char *folder;
    uint64_t seed;    /* for the sampler */
    int64_t wanted;   /* in all */
    int64_t present;  /* good ones */
    int64_t *missing; /* numbers of those to make, rising */
    int64_t missing_count;
};

/*
 * Looks into the folder of SETTINGS' class images, which is made if need be,
 * and lists what is missing; damaged files that we wrote count as missing.
 * Writes class-images.json where there is none and something is missing. EINVAL
 * where the folder's images were made for another prompt, seed or size; the
 * error says so and what to do. EINVAL, too, for the folder of the photos.
 * Without a class prompt nothing is wanted.
 */
int db_class_images_open(struct db_env *env,
                         const struct db_trainer_settings *settings,
                         struct db_class_images **out);
void db_class_images_free(struct db_env *env, struct db_class_images *images);

/* The path of image NUMBER, in fresh memory. */
char *db_class_images_path(struct db_env *env,
                           const struct db_class_images *images,
                           int64_t number);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The photos of one half of the training batch: read, checked and brought to
 * size before step 1, so that nothing is wrong with them an hour later.
 */
#ifndef DB_TRAIN_DATASET_H
#define DB_TRAIN_DATASET_H

#include "file/image.h"
#include "tensor/tensor.h"
#include "train/options.h"

struct db_photo {
    char *name; /* its path, or a number, for messages */
    /* With DB_CROP_CENTER size x size pixels; else the shorter side has size.
     */
    struct db_image *image;
    /* The VAE's posterior where it is always the same: mean over log variance,
     * [2, h, w, c]; index 1 is that of the mirrored photo. NULL: not yet
     * needed. */
    struct db_tensor *posterior[2];
};

struct db_dataset {
    struct db_env *env;
    int64_t size;
    enum db_crop crop;
    struct db_photo *photos;
    int64_t count, capacity;
    uint64_t hash; /* of all pixels, in order */
};

void db_dataset_init(struct db_dataset *dataset, struct db_env *env,
                     int64_t size, enum db_crop crop);
void db_dataset_free(struct db_dataset *dataset);

/*
 * Adds the JPEG and PNG files of FOLDER in the order of their names, at most
 * MAXIMUM of them (0: all). A file that is something else is skipped with a
 * warning that names it; one that is damaged, or called like a picture and is
 * none, is an error that names it. ENOTFOUND for a folder without pictures.
 */
int db_dataset_add_folder(struct db_dataset *dataset, const char *folder,
                          int64_t maximum);
/* Adds a copy of IMAGE, called NAME in messages. */
int db_dataset_add_image(struct db_dataset *dataset, const char *name,
                         const struct db_image *image);

/* Bytes of the pixels. */
uint64_t db_dataset_bytes(const struct db_dataset *dataset);

#endif

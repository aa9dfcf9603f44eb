/* SPDX-License-Identifier: MIT */
/* Resizing pictures as Pillow 13 does, bit for bit. */
#ifndef DB_FILE_RESIZE_H
#define DB_FILE_RESIZE_H

#include "file/image.h"

enum db_filter {
    DB_FILTER_BILINEAR, /* a triangle of radius 1 */
    DB_FILTER_BICUBIC   /* Keys's cubic with a = -0.5, radius 2 */
};

/*
 * The filter widens with the reduction, so that making a picture smaller
 * averages all of it (antialiasing). EINVAL for sides that no image has.
 */
int db_image_resize(struct db_env *env, const struct db_image *image, int width,
                    int height, enum db_filter filter, struct db_image **out);

/* The shorter side becomes SIZE and the longer one size * long / short, rounded
 * down: torchvision's Resize(size). */
int db_image_resize_short_side(struct db_env *env, const struct db_image *image,
                               int size, enum db_filter filter,
                               struct db_image **out);

#endif

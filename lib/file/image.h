/* SPDX-License-Identifier: MIT */
/*
 * Pictures in memory: 8-bit RGB, as the model's input and output are seen by
 * people. Reading turns whatever a file holds (grey, palette, CMYK, 16 bits,
 * alpha, a rotated camera) into this one form; everything behind works on it.
 * The results are those of Pillow 13 and torchvision, bit for bit.
 */
#ifndef DB_FILE_IMAGE_H
#define DB_FILE_IMAGE_H

#include "base/env.h"

#define DB_IMAGE_MAX_SIDE 32768
#define DB_IMAGE_MAX_PIXELS ((int64_t)1 << 28)

/* One block of memory; sides >= 1. */
struct db_image {
    int width, height;
    uint8_t pixels[]; /* [height, width, 3], rows from the top, R G B */
};

/* EINVAL unless both sides are in 1..DB_IMAGE_MAX_SIDE and their product is at
 * most DB_IMAGE_MAX_PIXELS. The pixels are not set. */
int db_image_new(struct db_env *env, int width, int height,
                 struct db_image **out);
void db_image_free(struct db_env *env, struct db_image *image);
/* Bytes in pixels. */
size_t db_image_size(const struct db_image *image);
/* EUNSUPPORTED, naming the sides, where a file NAME is larger than we read. */
int db_image_check_sides(struct db_env *env, const char *name, uint64_t width,
                         uint64_t height);

/*
 * Reads a JPEG or PNG file, told apart by content. The EXIF orientation is
 * applied, alpha and transparent colours are dropped, gamma and colour
 * profiles are ignored, 16-bit samples keep their high byte.
 * ENOTFOUND, EIO; EFORMAT where the file is damaged, cut short or no picture;
 * EUNSUPPORTED for pictures of other kinds or beyond the limits above.
 */
int db_image_read(struct db_env *env, const char *path, struct db_image **out);
/* The same from memory; NAME is for the errors. */
int db_image_decode(struct db_env *env, const char *name, const void *bytes,
                    size_t size, struct db_image **out);

/* A whole file of a picture as it is, in fresh memory. */
int db_image_read_bytes(struct db_env *env, const char *path, uint8_t **bytes,
                        size_t *size);

/* The part of WIDTH x HEIGHT with its corner at (LEFT, TOP). EINVAL where it
 * is not inside. */
int db_image_crop(struct db_env *env, const struct db_image *image, int left,
                  int top, int width, int height, struct db_image **out);
/* Where torchvision's CenterCrop begins on one axis: (side - size) / 2, halves
 * rounded to even. */
int db_image_center_offset(int side, int size);
/* Mirrors left and right, in place. */
void db_image_flip(struct db_image *image);

/* [height, width, 3] into OUT: ((u8 / 255) - 0.5) / 0.5 in float32, which are
 * values in [-1, 1] (torchvision's ToTensor and Normalize). */
void db_image_to_tensor(const struct db_image *image, float *out);
/*
 * The way back, as diffusers does it: clamp(x / 2 + 0.5, 0, 1) * 255, halves
 * rounded to even. VALUES are [height, width, 3]. ENONFINITE, naming the
 * place, where a value is NaN or infinite.
 */
int db_image_from_floats(struct db_env *env, const float *values, int width,
                         int height, struct db_image **out);

/*
 * COUNT >= 1 pictures in rows of COLUMNS, left to right and top to bottom, on
 * white, with MARGIN pixels around each. A cell is as large as the largest
 * picture; smaller ones stand in its middle.
 */
int db_image_sheet(struct db_env *env, const struct db_image *const *images,
                   int count, int columns, int margin, struct db_image **out);

#endif

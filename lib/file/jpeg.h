/* SPDX-License-Identifier: MIT */
/* JPEG files to pictures, by libjpeg-turbo. */
#ifndef DB_FILE_JPEG_H
#define DB_FILE_JPEG_H

#include "file/image.h"

/*
 * Baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK; upright by EXIF.
 * The slow integer transform and smooth chroma, libjpeg's defaults. CMYK is
 * taken for stored inverted, as Adobe writes it and Pillow reads it, and turned
 * into RGB without a colour profile. A file that is cut short or damaged is an
 * error (EFORMAT), never filled with grey.
 */
int db_jpeg_decode(struct db_env *env, const char *name, const void *bytes,
                   size_t size, struct db_image **out);

#endif

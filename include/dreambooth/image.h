/* SPDX-License-Identifier: MIT */
/*
 * Pictures: 8-bit RGB, rows from the top, read from JPEG and PNG files of every
 * kind and written as PNG.
 */
#ifndef DREAMBOOTH_IMAGE_H
#define DREAMBOOTH_IMAGE_H

#include "dreambooth/context.h"

#include "dreambooth/begin.h"

typedef struct dreambooth_image dreambooth_image;

/*
 * Reads a JPEG or PNG file; which it is, its contents tell. EXIF orientation is
 * applied; grey, CMYK, palette and 16-bit files become RGB; transparency is
 * dropped, as in Pillow's convert("RGB"). ENOTFOUND, EIO; EFORMAT for a file
 * that is damaged, cut short or something else.
 */
int dreambooth_image_read(dreambooth_image **out, dreambooth_context *context,
                          const char *path);
/* The same from memory; NAME stands in messages. */
int dreambooth_image_decode(dreambooth_image **out, dreambooth_context *context,
                            const char *name, const void *bytes, size_t size);
/* A copy of PIXELS [height, width, 3], or black where PIXELS is NULL. Sides are
 * 1 to 32768. */
int dreambooth_image_new(dreambooth_image **out, dreambooth_context *context,
                         int width, int height, const unsigned char *pixels);
void dreambooth_image_free(dreambooth_image *image);

/* In pixels. */
int dreambooth_image_width(const dreambooth_image *image);
int dreambooth_image_height(const dreambooth_image *image);
/* [height, width, 3]; the image's own, to be read and written until it is
 * freed. */
unsigned char *dreambooth_image_pixels(dreambooth_image *image);

/*
 * What training makes of a photo: the short side brought to SIZE (Pillow's
 * antialiased bilinear filter, bit for bit), then the centre square.
 */
int dreambooth_image_square(dreambooth_image **out,
                            const dreambooth_image *image, int size);
/* COUNT images in a grid of COLUMNS (0: as square as can be) with MARGIN
 * pixels of white between and around them. */
int dreambooth_image_sheet(dreambooth_image **out, dreambooth_context *context,
                           dreambooth_image *const *images, size_t count,
                           int columns, int margin);
/*
 * Writes a PNG file, whole or not at all. KEYS and VALUES, COUNT of each, go
 * into its text chunks (UTF-8). EIO, ENOSPACE.
 */
int dreambooth_image_write(const dreambooth_image *image, const char *path,
                           const char *const *keys, const char *const *values,
                           size_t count);

#include "dreambooth/end.h"

#endif

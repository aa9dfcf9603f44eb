/* SPDX-License-Identifier: MIT */
/*
 * PNG files, by libpng: read to pictures, and written with what made the
 * picture (prompt, seed, settings) in their text chunks.
 */
#ifndef DB_FILE_PNG_H
#define DB_FILE_PNG_H

#include "file/image.h"

/*
 * Every colour type and depth, interlaced or not, upright by eXIf. Alpha,
 * transparent colours and gamma are ignored; 16-bit samples keep their high
 * byte, grey of 1, 2 and 4 bits is spread over 0..255. A file that is cut short
 * or damaged is an error (EFORMAT).
 */
int db_png_decode(struct db_env *env, const char *name, const void *bytes,
                  size_t size, struct db_image **out);

struct db_png_text {
    const char *key;   /* 1 to 79 printable ASCII characters */
    const char *value; /* UTF-8 */
};

/*
 * The picture as an 8-bit RGB PNG in fresh memory. ASCII values become tEXt
 * chunks, others iTXt. The bytes depend on the picture and the texts alone (and
 * zlib's version). EINVAL for a key or value that is none.
 */
int db_png_encode(struct db_env *env, const struct db_image *image,
                  const struct db_png_text *texts, size_t text_count,
                  uint8_t **bytes, size_t *size);

/* The same into a file, atomically: PATH is whole or as it was. */
int db_png_write(struct db_env *env, const char *path,
                 const struct db_image *image, const struct db_png_text *texts,
                 size_t text_count);

/* The text with KEY in a PNG file as UTF-8 in fresh memory. ENOTFOUND where the
 * file has none; else as db_image_read(). */
int db_png_read_text(struct db_env *env, const char *path, const char *key,
                     char **value);

#endif

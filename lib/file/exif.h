/* SPDX-License-Identifier: MIT */
/*
 * Which way up a camera held the picture: the one EXIF field that changes what
 * people see, read from a TIFF block that may say anything.
 */
#ifndef DB_FILE_EXIF_H
#define DB_FILE_EXIF_H

#include "file/image.h"

/*
 * The orientation (tag 0x0112 of the first directory) in a TIFF block, which
 * begins with "II" or "MM": 1 (upright) to 8. 1 as well where there is none,
 * or the block is damaged, or the value is none that EXIF knows.
 */
int db_exif_orientation(const uint8_t *bytes, size_t size);

/* Turns and mirrors *IMAGE, which came from the file NAME, so that it stands
 * upright; *IMAGE may be replaced by another image. On error (no memory) it is
 * as it was. */
int db_exif_apply(struct db_env *env, const char *name, int orientation,
                  struct db_image **image);

#endif

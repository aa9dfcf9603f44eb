/* SPDX-License-Identifier: MIT */
/* Versions of the libraries: those that run where they tell, else those that
 * were compiled against. */
#include "file/libraries.h"

#include <stdio.h>

#include <jansson.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

#ifdef LIBJPEG_TURBO_VERSION
#define JPEG "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION)
#else
#define JPEG "libjpeg " TEXT(JPEG_LIB_VERSION)
#endif

void db_libraries_describe(char *text, size_t size)
{
    snprintf(text, size, "libpng %s, %s, zlib %s, jansson %s",
             png_get_libpng_ver(NULL), JPEG, zlibVersion(), JANSSON_VERSION);
}

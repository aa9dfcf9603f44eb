/* SPDX-License-Identifier: MIT */
/* The libraries that files are read and written with, and their versions. */
#ifndef DB_FILE_LIBRARIES_H
#define DB_FILE_LIBRARIES_H

#include <stddef.h>

/* "libpng 1.6.39, libjpeg-turbo 2.1.5, ...", cut off at SIZE bytes. */
void db_libraries_describe(char *text, size_t size);

#endif

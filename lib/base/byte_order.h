/* SPDX-License-Identifier: MIT */
/*
 * The order of bytes in files. Tensors lie little-endian there, whatever the
 * machine, so that a file written on any of them can be read on all. Everything
 * between a number and its bytes in a file goes through the one function here,
 * which is nothing at all on a little-endian machine.
 */
#ifndef DB_BASE_BYTE_ORDER_H
#define DB_BASE_BYTE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Compilers know the answer. */
static inline bool db_is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;

    memcpy(&first, &one, sizeof(first));
    return first == 1;
}

/* Turns COUNT elements of WIDTH bytes each, in place, from the order of this
 * machine to that of files, or back, which is the same. */
static inline void db_swap_little(void *elements, size_t width, size_t count)
{
    unsigned char *element = elements;

    if (db_is_little_endian() || width == 1)
        return;
    for (; count > 0; count--, element += width) {
        for (size_t i = 0; i < width / 2; i++) {
            unsigned char byte = element[i];

            element[i] = element[width - 1 - i];
            element[width - 1 - i] = byte;
        }
    }
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A whole file as read-only memory. Weights of several gigabytes are read where
 * they lie in the page cache; nothing of them counts against the memory limit.
 *
 * A file that another program shortens while it is mapped gives SIGBUS, as with
 * any mapping: files are replaced by renaming (see atomic.h), never in place.
 */
#ifndef DB_FILE_MAP_H
#define DB_FILE_MAP_H

#include "base/env.h"

struct db_map {
    const unsigned char *data;
    size_t size; /* in bytes, > 0 */
};

/*
 * Maps the file at PATH into *OUT. ENOTFOUND when there is none, EFORMAT when
 * it is empty or no regular file, EIO when it cannot be read.
 */
int db_map_open(struct db_env *env, const char *path, struct db_map *out);
/* Unmaps; a map of all zeros is fine. */
void db_map_close(struct db_map *map);

#endif

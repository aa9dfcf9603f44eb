/* SPDX-License-Identifier: MIT */
/*
 * Files that are read piece by piece, by position, and perhaps long after they
 * were opened. They are not mapped into memory: a file that another program
 * shortens meanwhile is an error here, where a mapping would give SIGBUS.
 *
 * A file that is replaced by renaming (see atomic.h) stays the one that was
 * opened. One that is written in place is noticed by its size and time.
 */
#ifndef DB_FILE_READER_H
#define DB_FILE_READER_H

#include <time.h>

#include "base/env.h"

struct db_reader {
    int descriptor; /* -1: not open */
    uint64_t size;  /* in bytes, > 0 */
    struct timespec changed;
};

/*
 * Opens the file at PATH. ENOTFOUND when there is none, EFORMAT when it is
 * empty or no regular file, EIO when it cannot be read. *OUT needs no closing
 * after an error.
 */
int db_reader_open(struct db_env *env, const char *path, struct db_reader *out);
void db_reader_close(struct db_reader *reader);

/*
 * Reads SIZE bytes from OFFSET on. 0, or what db_reader_fail() takes. Any
 * thread may read.
 */
int db_reader_get(const struct db_reader *reader, uint64_t offset, size_t size,
                  void *out);
/* Sets the error for ERROR_NUMBER from db_reader_get(), EIO as a rule. WHAT
 * names file and piece. */
int db_reader_fail(struct db_env *env, int error_number, const char *what);

/* The whole of a small file in fresh memory; errors as when opening. */
int db_file_load(struct db_env *env, const char *path, char **bytes,
                 size_t *size);

#endif

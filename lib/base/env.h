/* SPDX-License-Identifier: MIT */
/*
 * The environment that every part of the library runs in: where memory comes
 * from, where errors and log lines go, and whether the caller wants to stop.
 * There is one per context and no global state beside it, so two contexts
 * never meet.
 *
 * Errors: a function that fails calls db_fail() once, at the place that knows
 * the most, and hands the status up unchanged.
 */
#ifndef DB_BASE_ENV_H
#define DB_BASE_ENV_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "dreambooth/base.h"

#if defined(__GNUC__)
#define DB_PRINTF(format_index, first_argument)                                \
    __attribute__((format(printf, format_index, first_argument)))
#else
#define DB_PRINTF(format_index, first_argument)
#endif

#define DB_COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum db_log_level { DB_LOG_DEBUG, DB_LOG_INFO, DB_LOG_WARNING };

/* The caller's allocator: (user, NULL, 0, n) allocates n bytes, (user, p, n, 0)
 * frees those n bytes and returns NULL. */
typedef void *db_resize_function(void *user, void *pointer, size_t old_size,
                                 size_t new_size);
typedef void db_log_function(void *user, int level, const char *text);

struct db_block;

/* Free blocks that are kept for the next who wants one of their size; the
 * oldest first. */
#define DB_SHELF_BLOCKS 128
struct db_shelf {
    atomic_flag lock;
    atomic_int users; /* that want blocks to be kept */
    int count;
    uint64_t bytes;
    struct db_block *blocks[DB_SHELF_BLOCKS];
};

struct db_env {
    db_resize_function *resize;
    void *resize_user;
    /* Compilers for 32-bit machines do not agree on their alignment. */
    _Alignas(8) _Atomic uint64_t live_bytes;
    _Alignas(8) _Atomic uint64_t peak_bytes;
    uint64_t limit_bytes; /* 0: none */
    struct db_shelf shelf;
    struct db_heap heap;

    db_log_function *log;
    void *log_user;

    int error_status;
    char error_text[1024];

    atomic_int cancelled;
};

/* malloc() and free(), and mmap() for large blocks, in that form. */
void *db_standard_resize(void *user, void *pointer, size_t old_size,
                         size_t new_size);

void db_env_init(struct db_env *env);

/* Remember the error and return STATUS. One line, no full stop, naming file,
 * field and what to do. The text may quote env->error_text itself. */
int db_fail(struct db_env *env, int status, const char *format, ...)
    DB_PRINTF(3, 4);
/* Like db_fail(), with ": " and strerror(ERROR_NUMBER) behind the text. The
 * status is ENOSPACE for a full disk, ENOTFOUND for a missing file, EIO else.*/
int db_fail_errno(struct db_env *env, int error_number, const char *format, ...)
    DB_PRINTF(3, 4);
/* Put "WHERE: " in front of the error that is being handed up. */
int db_fail_prefix(struct db_env *env, int status, const char *format, ...)
    DB_PRINTF(3, 4);

void db_log(struct db_env *env, enum db_log_level level, const char *format,
            ...) DB_PRINTF(3, 4);

/* DREAMBOOTH_ECANCELLED, with its error set, once the caller has cancelled. */
int db_check_cancelled(struct db_env *env);

/*
 * Memory, 64-byte aligned and counted. A failing call sets the error (ENOMEM or
 * ELIMIT, naming the size) and returns NULL; db_free(env, NULL) does nothing.
 * A size of 0 gives a pointer that can be freed. May be called from pool
 * threads, except that only one thread may be failing at a time.
 */
void *db_alloc(struct db_env *env, size_t size);
/* The same, for so short that any kept block will do, however large. */
void *db_alloc_briefly(struct db_env *env, size_t size);
void *db_alloc_zero(struct db_env *env, size_t size);
void *db_alloc_array(struct db_env *env, size_t count, size_t element_size);
void *db_resize(struct db_env *env, void *pointer, size_t size);
void db_free(struct db_env *env, void *pointer);
/*
 * While anyone wants it, larger blocks that are freed are kept for reuse,
 * within the limit and, but for a few MB, within what was in use at the peak.
 * They do not count as live.
 */
void db_keep_blocks(struct db_env *env, bool keep);
/* Gives what is kept back to the system: when a run has ended. */
void db_return_blocks(struct db_env *env);
char *db_copy_text(struct db_env *env, const char *text);
char *db_copy_bytes(struct db_env *env, const char *bytes, size_t length);
/* printf() into fresh memory. */
char *db_format(struct db_env *env, const char *format, ...) DB_PRINTF(2, 3);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Memory, errors and log lines of one context. Every block carries its size in
 * front of it, which is what makes live and peak figures and the limit exact
 * whatever allocator the caller has brought.
 */
#include "base/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

/* Stands right in front of the pointer that the caller sees. */
struct block {
    void *start; /* what the allocator gave */
    size_t size; /* what the caller asked for */
};

void *db_standard_resize(void *user, void *pointer, size_t old_size,
                         size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, new_size);
}

void db_env_init(struct db_env *env)
{
    memset(env, 0, sizeof(*env));
    env->resize = db_standard_resize;
    atomic_init(&env->live_bytes, 0);
    atomic_init(&env->peak_bytes, 0);
    atomic_init(&env->cancelled, 0);
}

int db_fail(struct db_env *env, int status, const char *format, ...)
{
    char text[sizeof(env->error_text)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    memcpy(env->error_text, text, sizeof(text));
    env->error_status = status;
    return status;
}

static int status_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return DREAMBOOTH_ENOSPACE;
    case ENOENT:
    case ENOTDIR:
        return DREAMBOOTH_ENOTFOUND;
    case ENOMEM:
        return DREAMBOOTH_ENOMEM;
    default:
        return DREAMBOOTH_EIO;
    }
}

int db_fail_errno(struct db_env *env, int error_number, const char *format, ...)
{
    char text[sizeof(env->error_text)];
    char reason[128];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strerror_r(error_number, reason, sizeof(reason)) != 0)
        snprintf(reason, sizeof(reason), "error %d", error_number);
    return db_fail(env, status_of_errno(error_number), "%s: %s", text, reason);
}

int db_fail_prefix(struct db_env *env, int status, const char *format, ...)
{
    char text[sizeof(env->error_text)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return db_fail(env, status, "%s: %s", text, env->error_text);
}

void db_log(struct db_env *env, enum db_log_level level, const char *format,
            ...)
{
    char text[1024];
    va_list arguments;

    if (env->log == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    env->log(env->log_user, (int)level, text);
}

int db_check_cancelled(struct db_env *env)
{
    if (atomic_load_explicit(&env->cancelled, memory_order_relaxed) == 0)
        return DREAMBOOTH_OK;
    return db_fail(env, DREAMBOOTH_ECANCELLED, "cancelled by the caller");
}

/* What a block takes beside what the caller asked for. */
static const size_t overhead = sizeof(struct block) + ALIGNMENT;

static struct block *block_of(void *pointer)
{
    return (struct block *)pointer - 1;
}

static bool reserve(struct db_env *env, size_t size)
{
    uint64_t live = atomic_fetch_add(&env->live_bytes, size) + size;
    uint64_t peak = atomic_load(&env->peak_bytes);

    if (env->limit_bytes != 0 && live > env->limit_bytes) {
        atomic_fetch_sub(&env->live_bytes, size);
        db_fail(env, DREAMBOOTH_ELIMIT,
                "memory limit of %.1f MB reached: %.1f MB in use, %.1f MB more "
                "wanted; raise the limit, or lower size or batch",
                (double)env->limit_bytes / 1e6, (double)(live - size) / 1e6,
                (double)size / 1e6);
        return false;
    }
    while (live > peak &&
           !atomic_compare_exchange_weak(&env->peak_bytes, &peak, live))
        continue;
    return true;
}

void *db_alloc(struct db_env *env, size_t size)
{
    struct block *block;
    uintptr_t address;
    void *start;

    if (size > SIZE_MAX / 2) {
        db_fail(env, DREAMBOOTH_ENOMEM, "a size of %zu bytes is impossible",
                size);
        return NULL;
    }
    if (!reserve(env, size))
        return NULL;
    start = env->resize(env->resize_user, NULL, 0, size + overhead);
    if (start == NULL) {
        atomic_fetch_sub(&env->live_bytes, size);
        db_fail(env, DREAMBOOTH_ENOMEM, "out of memory: %zu bytes wanted",
                size);
        return NULL;
    }
    address = (uintptr_t)start + overhead;
    address -= address % ALIGNMENT;
    block = (struct block *)address - 1;
    block->start = start;
    block->size = size;
    return (void *)address;
}

void *db_alloc_zero(struct db_env *env, size_t size)
{
    void *pointer = db_alloc(env, size);

    if (pointer != NULL)
        memset(pointer, 0, size);
    return pointer;
}

void *db_alloc_array(struct db_env *env, size_t count, size_t element_size)
{
    if (element_size != 0 && count > SIZE_MAX / 2 / element_size) {
        db_fail(env, DREAMBOOTH_ENOMEM,
                "an array of %zu elements of %zu bytes is impossible", count,
                element_size);
        return NULL;
    }
    return db_alloc(env, count * element_size);
}

void *db_resize(struct db_env *env, void *pointer, size_t size)
{
    size_t old_size = pointer == NULL ? 0 : block_of(pointer)->size;
    void *fresh = db_alloc(env, size);

    if (fresh == NULL)
        return NULL;
    if (pointer != NULL)
        memcpy(fresh, pointer, old_size < size ? old_size : size);
    db_free(env, pointer);
    return fresh;
}

void db_free(struct db_env *env, void *pointer)
{
    struct block *block;

    if (pointer == NULL)
        return;
    block = block_of(pointer);
    atomic_fetch_sub(&env->live_bytes, block->size);
    env->resize(env->resize_user, block->start, block->size + overhead, 0);
}

char *db_copy_bytes(struct db_env *env, const char *bytes, size_t length)
{
    char *copy = db_alloc(env, length + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

char *db_copy_text(struct db_env *env, const char *text)
{
    return db_copy_bytes(env, text, strlen(text));
}

char *db_format(struct db_env *env, const char *format, ...)
{
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        length = 0;
    text = db_alloc(env, (size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

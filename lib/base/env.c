/* SPDX-License-Identifier: MIT */
/*
 * Memory, errors and log lines of one context. Every block carries its size in
 * front of it, which is what makes live and peak figures and the limit exact
 * whatever allocator the caller has brought.
 */
#include "base/env_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What may be kept beyond the peak of what was in use: what is free lies in
 * pieces, of which not each serves where the peak is. */
#define KEPT_ANYWAY ((uint64_t)64 << 20)

/* Blocks from 4 MB on lie on pages of 2 MB where the system has them: a walk
 * over memory then seldom waits for an address to be looked up. */
#define LEAST_LARGE ((size_t)4 << 20)
#define LARGE_PAGE ((size_t)2 << 20)

/* Mapped, not from malloc(): its heap would be left with holes between blocks
 * that lie so, and with more memory than they have. */
static void *large_block(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t kept = (size + page - 1) / page * page;
    char *start = mmap(NULL, kept + LARGE_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t head;

    if (start == MAP_FAILED)
        return NULL;
    head = (LARGE_PAGE - (uintptr_t)start % LARGE_PAGE) % LARGE_PAGE;
    if (head > 0)
        munmap(start, head);
    if (head < LARGE_PAGE)
        munmap(start + head + kept, LARGE_PAGE - head);
#ifdef MADV_HUGEPAGE
    (void)madvise(start + head, size / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
    return start + head;
}

/* Blocks are not resized: one of the two sizes is 0. */
void *db_standard_resize(void *user, void *pointer, size_t old_size,
                         size_t new_size)
{
    (void)user;
    if (pointer == NULL)
        return new_size >= LEAST_LARGE ? large_block(new_size)
                                       : malloc(new_size);
    if (old_size >= LEAST_LARGE)
        munmap(pointer, old_size);
    else
        free(pointer);
    return NULL;
}

void db_env_init(struct db_env *env)
{
    memset(env, 0, sizeof(*env));
    env->resize = db_standard_resize;
    atomic_init(&env->live_bytes, 0);
    atomic_init(&env->peak_bytes, 0);
    atomic_init(&env->cancelled, 0);
    atomic_init(&env->shelf.users, 0);
    atomic_flag_clear(&env->shelf.lock);
    atomic_flag_clear(&env->heap.lock);
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

static struct db_block *block_of(void *pointer)
{
    return (struct db_block *)pointer - 1;
}

/* Gives back what is kept until BYTES at most are. Returns whether any went. */
static bool shrink_kept(struct db_env *env, uint64_t bytes)
{
    const uint64_t shelf = db_shelf_bytes(env);
    bool any = db_heap_shrink(&env->heap, bytes > shelf ? bytes - shelf : 0);
    const uint64_t warm = db_heap_warm(&env->heap);

    return db_shelf_shrink(env, bytes > warm ? bytes - warm : 0) || any;
}

/* Before the system is asked for pages: they may not make more than was in use
 * at the peak. */
static void make_room(struct db_env *env)
{
    const uint64_t live = atomic_load(&env->live_bytes);
    const uint64_t peak = atomic_load(&env->peak_bytes);

    shrink_kept(env, (peak > live ? peak - live : 0) + KEPT_ANYWAY);
}

void db_keep_blocks(struct db_env *env, bool keep)
{
    if (atomic_fetch_add(&env->shelf.users, keep ? 1 : -1) == 1 && !keep)
        shrink_kept(env, 0);
}

void db_return_blocks(struct db_env *env)
{
    shrink_kept(env, 0);
}

/* Makes room below the limit among what is kept; false where it does not do. */
static bool within_limit(struct db_env *env, uint64_t live)
{
    if (env->limit_bytes == 0)
        return true;
    if (live > env->limit_bytes)
        return false;
    shrink_kept(env, env->limit_bytes - live);
    return true;
}

static bool reserve(struct db_env *env, size_t size)
{
    uint64_t live = atomic_fetch_add(&env->live_bytes, size) + size;
    uint64_t peak = atomic_load(&env->peak_bytes);

    if (!within_limit(env, live)) {
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

/* Larger blocks are the heap's while anyone wants blocks to be kept; callers'
 * allocators give whole ones. */
static bool in_heap(struct db_env *env, size_t size)
{
    return db_heap_wants(size) && env->resize == db_standard_resize &&
           atomic_load(&env->shelf.users) > 0;
}

/* What the allocator gives; where it has no more, what is kept goes back to it
 * and it is asked again. */
static void *ask_for(struct db_env *env, size_t size)
{
    void *start = env->resize(env->resize_user, NULL, 0, size);

    if (start == NULL && shrink_kept(env, 0))
        start = env->resize(env->resize_user, NULL, 0, size);
    return start;
}

static struct db_block *fresh_block(struct db_env *env, size_t size)
{
    struct db_block *block = NULL;
    uintptr_t address;
    void *start;

    make_room(env);
    if (in_heap(env, size))
        block = db_heap_grow(&env->heap, size);
    if (block != NULL)
        return block;
    start = ask_for(env, size + DB_BLOCK_OVERHEAD);
    if (start == NULL) {
        db_fail(env, DREAMBOOTH_ENOMEM, "out of memory: %zu bytes wanted",
                size);
        return NULL;
    }
    address = (uintptr_t)start + DB_BLOCK_OVERHEAD;
    address -= address % DB_BLOCK_ALIGNMENT;
    block = (struct db_block *)address - 1;
    block->start = start;
    block->size = size;
    return block;
}

/* A kept block; *COLD says how much of it has no pages. */
static struct db_block *kept_block(struct db_env *env, size_t size, size_t most,
                                   size_t *cold)
{
    *cold = 0;
    if (in_heap(env, size))
        return db_heap_take(&env->heap, size, cold);
    return db_shelf_take(env, size, most);
}

/* A block of SIZE bytes, or a kept one of MOST at most. */
static void *allocate(struct db_env *env, size_t size, size_t most)
{
    struct db_block *block;
    size_t cold;

    if (size > SIZE_MAX / 2) {
        db_fail(env, DREAMBOOTH_ENOMEM, "a size of %zu bytes is impossible",
                size);
        return NULL;
    }
    if (in_heap(env, size))
        size += (0 - size) % DB_BLOCK_ALIGNMENT;
    block = kept_block(env, size, most, &cold);
    if (block != NULL)
        size = block->size;
    if (!reserve(env, size)) {
        if (block != NULL)
            db_block_return(env, block);
        return NULL;
    }
    if (block == NULL)
        block = fresh_block(env, size);
    else if (cold > 0)
        make_room(env);
    if (block == NULL) {
        atomic_fetch_sub(&env->live_bytes, size);
        return NULL;
    }
    return block + 1;
}

void *db_alloc(struct db_env *env, size_t size)
{
    return allocate(env, size, size + size / 8);
}

void *db_alloc_briefly(struct db_env *env, size_t size)
{
    return allocate(env, size, SIZE_MAX);
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

void db_block_return(struct db_env *env, struct db_block *block)
{
    if (db_heap_owns(block))
        db_heap_put(&env->heap, block);
    else
        env->resize(env->resize_user, block->start,
                    block->size + DB_BLOCK_OVERHEAD, 0);
}

void db_free(struct db_env *env, void *pointer)
{
    struct db_block *block;

    if (pointer == NULL)
        return;
    block = block_of(pointer);
    atomic_fetch_sub(&env->live_bytes, block->size);
    if (db_heap_owns(block)) {
        db_heap_put(&env->heap, block);
        if (atomic_load(&env->shelf.users) == 0)
            db_heap_shrink(&env->heap, 0);
    } else if (!db_shelf_put(env, block)) {
        db_block_return(env, block);
    }
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

/* SPDX-License-Identifier: MIT */
/*
 * Blocks that are free and kept for those who will soon want one of that size:
 * a pass through a model frees and asks for the same sizes over and over, and
 * pages that the system gives anew cost more than many a kernel.
 *
 * What is in use and what is kept together never exceed what was in use at the
 * peak but for a few MB, nor the limit: before the system is asked for more,
 * blocks go back to it, the oldest first.
 */
#include <string.h>

#include "base/env_int.h"

#define LEAST_SIZE ((size_t)4096) /* malloc() is quick with what is smaller */

/* The lock is held for a few hundred instructions, and hardly ever contended:
 * kernels allocate before they divide their work. */
static void lock(struct db_shelf *shelf)
{
    while (
        atomic_flag_test_and_set_explicit(&shelf->lock, memory_order_acquire))
        continue;
}

static void unlock(struct db_shelf *shelf)
{
    atomic_flag_clear_explicit(&shelf->lock, memory_order_release);
}

static struct db_block *remove_at(struct db_shelf *shelf, int index)
{
    struct db_block *block = shelf->blocks[index];

    shelf->count--;
    shelf->bytes -= block->size;
    memmove(shelf->blocks + index, shelf->blocks + index + 1,
            (size_t)(shelf->count - index) * sizeof(block));
    return block;
}

struct db_block *db_shelf_take(struct db_env *env, size_t size, size_t most)
{
    struct db_shelf *shelf = &env->shelf;
    struct db_block *block = NULL;
    size_t best = most < SIZE_MAX ? most + 1 : most;
    int found = -1, i;

    if (size < LEAST_SIZE)
        return NULL;
    lock(shelf);
    for (i = shelf->count - 1; i >= 0 && best != size; i--)
        if (shelf->blocks[i]->size >= size && shelf->blocks[i]->size < best) {
            best = shelf->blocks[i]->size;
            found = i;
        }
    if (found >= 0)
        block = remove_at(shelf, found);
    unlock(shelf);
    return block;
}

bool db_shelf_put(struct db_env *env, struct db_block *block)
{
    struct db_shelf *shelf = &env->shelf;
    struct db_block *oldest = NULL;

    if (block->size < LEAST_SIZE)
        return false;
    lock(shelf);
    if (shelf->users == 0) {
        unlock(shelf);
        return false;
    }
    if (shelf->count == DB_SHELF_BLOCKS)
        oldest = remove_at(shelf, 0);
    shelf->blocks[shelf->count++] = block;
    shelf->bytes += block->size;
    unlock(shelf);
    if (oldest != NULL)
        db_block_return(env, oldest);
    return true;
}

bool db_shelf_shrink(struct db_env *env, uint64_t bytes)
{
    struct db_shelf *shelf = &env->shelf;
    struct db_block *block;
    bool any = false;

    for (;;) {
        block = NULL;
        lock(shelf);
        if (shelf->bytes > bytes)
            block = remove_at(shelf, 0);
        unlock(shelf);
        if (block == NULL)
            return any;
        db_block_return(env, block);
        any = true;
    }
}

uint64_t db_shelf_bytes(struct db_env *env)
{
    uint64_t bytes;

    lock(&env->shelf);
    bytes = env->shelf.bytes;
    unlock(&env->shelf);
    return bytes;
}

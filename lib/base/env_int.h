/* SPDX-License-Identifier: MIT */
/* How blocks of memory look, for those who hand them out. */
#ifndef DB_BASE_ENV_INT_H
#define DB_BASE_ENV_INT_H

#include "base/env.h"

#define DB_BLOCK_ALIGNMENT 64
/* What a block takes beside what the caller asked for. */
#define DB_BLOCK_OVERHEAD (sizeof(struct db_block) + DB_BLOCK_ALIGNMENT)

/* Stands right in front of the pointer that the caller sees. */
struct db_block {
    void *start; /* what the allocator gave */
    size_t size; /* what the caller may use */
};

/* Back to the allocator, or the heap. */
void db_block_return(struct db_env *env, struct db_block *block);

/* The smallest kept block of SIZE to MOST bytes, or NULL. */
struct db_block *db_shelf_take(struct db_env *env, size_t size, size_t most);
/* Whether the shelf takes over BLOCK. */
bool db_shelf_put(struct db_env *env, struct db_block *block);
/* Returns the oldest blocks to the system until BYTES at most are kept. False
 * if nothing was kept. */
bool db_shelf_shrink(struct db_env *env, uint64_t bytes);
uint64_t db_shelf_bytes(struct db_env *env);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Free memory of larger blocks, cut and joined as they come and go, so that a
 * pass through a model finds the pages that the one before has left, whatever
 * the sizes. Of the system's pages only: other allocators give whole blocks,
 * for which there is the shelf (env_int.h).
 */
#ifndef DB_BASE_HEAP_H
#define DB_BASE_HEAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db_block;
struct db_region;
struct db_piece;

#define DB_HEAP_WORDS 5
#define DB_HEAP_BINS (DB_HEAP_WORDS * 64)

struct db_heap {
    atomic_flag lock;
    struct db_region *regions;
    uint64_t warm;                       /* free bytes that have pages */
    uint64_t occupied[DB_HEAP_WORDS];    /* a bit for each bin with pieces */
    struct db_piece *bins[DB_HEAP_BINS]; /* free pieces by size */
};

/* Whether blocks of SIZE are the heap's business. */
bool db_heap_wants(size_t size);
/* A block of SIZE bytes or a little more from free memory, NULL if none is
 * large enough; *COLD is how much of it has no pages yet. */
struct db_block *db_heap_take(struct db_heap *heap, size_t size, size_t *cold);
/* One from address space that was never used; NULL if there is none left. */
struct db_block *db_heap_grow(struct db_heap *heap, size_t size);
bool db_heap_owns(const struct db_block *block);
void db_heap_put(struct db_heap *heap, struct db_block *block);
/* Gives pages back to the system until BYTES at most are free and have some.
 * Returns whether any went. */
bool db_heap_shrink(struct db_heap *heap, uint64_t bytes);
uint64_t db_heap_warm(struct db_heap *heap);

#endif

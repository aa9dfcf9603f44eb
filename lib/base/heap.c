/* SPDX-License-Identifier: MIT */
/*
 * A heap of large blocks in reserved address space. Pieces lie side by side in
 * a region, each with its header in front: neighbours that are free are joined
 * at once, and a block is cut from the smallest free piece that holds it. So
 * what is free stays in few, large pieces, and what blocks of all sizes take
 * together hardly exceeds what was in use at the peak.
 *
 * A free piece is warm as far as it has pages. Behind the last piece of a
 * region nothing was ever touched.
 */
#include "base/heap.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/env_int.h"

/* malloc() is good at smaller ones. Tools that watch over memory are to see
 * every block. */
#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#define WATCHED __has_feature(address_sanitizer)
#else
#define WATCHED 0
#endif
#if WATCHED
#define LEAST_BLOCK (SIZE_MAX / 2)
#else
#define LEAST_BLOCK ((size_t)128 << 10)
#endif
#define LEAST_REST ((size_t)4096) /* worth a piece of its own */
#define LARGE_PAGE ((size_t)2 << 20)
#define GROWTH ((size_t)32 << 20) /* made accessible at a time */
#define LEAST_RESERVED ((size_t)64 << 20)
#define MOST_RESERVED ((size_t)1 << (sizeof(void *) > 4 ? 36 : 28))
#define BIN_BITS 3 /* bins of a power of two: 8 */

struct db_piece {
    _Alignas(DB_BLOCK_ALIGNMENT) union {
        struct {
            struct db_piece *before; /* NULL: the first */
            struct db_region *region;
            struct db_piece *next, *previous; /* in the bin */
            size_t warm;
            bool is_free;
        };
        char room[DB_BLOCK_ALIGNMENT - sizeof(struct db_block)];
    };
    struct db_block block; /* its start is NULL: that of no allocator */
};

_Static_assert(offsetof(struct db_piece, block) + sizeof(struct db_block) ==
                       sizeof(struct db_piece) &&
                   sizeof(struct db_piece) == DB_BLOCK_ALIGNMENT,
               "a piece's header ends where its block begins");

struct db_region {
    struct db_region *next;
    char *accessible, *end;
    struct db_piece *top; /* of no size, behind the last piece */
};

static void lock(struct db_heap *heap)
{
    while (atomic_flag_test_and_set_explicit(&heap->lock, memory_order_acquire))
        continue;
}

static void unlock(struct db_heap *heap)
{
    atomic_flag_clear_explicit(&heap->lock, memory_order_release);
}

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

static struct db_piece *piece_of(const struct db_block *block)
{
    return (struct db_piece *)(block + 1) - 1;
}

static struct db_piece *after(struct db_piece *piece)
{
    return (struct db_piece *)((char *)(piece + 1) + piece->block.size);
}

/* Sizes of a bin are alike in their highest bit and BIN_BITS more. */
static int bin_of(size_t size)
{
    const uint64_t units = (uint64_t)size / DB_BLOCK_ALIGNMENT + 1;
    int power = 0, bin;

    while (units >> power > (1 << (BIN_BITS + 1)) - 1)
        power++;
    bin = power * (1 << BIN_BITS) + (int)(units >> power);
    return bin < DB_HEAP_BINS ? bin : DB_HEAP_BINS - 1;
}

static void into_bin(struct db_heap *heap, struct db_piece *piece)
{
    const int bin = bin_of(piece->block.size);

    piece->is_free = true;
    piece->previous = NULL;
    piece->next = heap->bins[bin];
    if (piece->next != NULL)
        piece->next->previous = piece;
    heap->bins[bin] = piece;
    heap->occupied[bin / 64] |= (uint64_t)1 << bin % 64;
    heap->warm += piece->warm;
}

static void out_of_bin(struct db_heap *heap, struct db_piece *piece)
{
    const int bin = bin_of(piece->block.size);

    piece->is_free = false;
    if (piece->next != NULL)
        piece->next->previous = piece->previous;
    if (piece->previous != NULL)
        piece->previous->next = piece->next;
    else
        heap->bins[bin] = piece->next;
    if (heap->bins[bin] == NULL)
        heap->occupied[bin / 64] &= ~((uint64_t)1 << bin % 64);
    heap->warm -= piece->warm;
}

/* The first bin from BIN on that has pieces; DB_HEAP_BINS if none has. */
static int occupied_from(const struct db_heap *heap, int bin)
{
    for (; bin < DB_HEAP_BINS; bin++) {
        if (heap->occupied[bin / 64] >> bin % 64 == 0)
            bin |= 63;
        else if ((heap->occupied[bin / 64] >> bin % 64 & 1) != 0)
            return bin;
    }
    return bin;
}

/* The smallest free piece of SIZE bytes or more. */
static struct db_piece *best_fit(const struct db_heap *heap, size_t size)
{
    struct db_piece *best = NULL, *piece;
    int bin = bin_of(size);

    for (; best == NULL; bin++) {
        bin = occupied_from(heap, bin);
        if (bin == DB_HEAP_BINS)
            return NULL;
        for (piece = heap->bins[bin]; piece != NULL; piece = piece->next)
            if (piece->block.size >= size &&
                (best == NULL || piece->block.size < best->block.size))
                best = piece;
    }
    return best;
}

/* Makes a piece of what PIECE, which is in no bin, has beyond SIZE. Pages are
 * taken to be at its front. */
static void cut(struct db_heap *heap, struct db_piece *piece, size_t size)
{
    const size_t whole = piece->block.size, head = size + sizeof(*piece);
    struct db_piece *rest;

    if (whole < head + LEAST_REST)
        return;
    piece->block.size = size;
    rest = after(piece);
    *rest =
        (struct db_piece){.before = piece,
                          .region = piece->region,
                          .warm = piece->warm > head ? piece->warm - head : 0,
                          .block.size = whole - head};
    after(rest)->before = rest;
    into_bin(heap, rest);
    if (piece->warm > size)
        piece->warm = size;
}

bool db_heap_wants(size_t size)
{
    return size >= LEAST_BLOCK;
}

struct db_block *db_heap_take(struct db_heap *heap, size_t size, size_t *cold)
{
    struct db_piece *piece;

    size = round_up(size, DB_BLOCK_ALIGNMENT);
    lock(heap);
    piece = best_fit(heap, size);
    if (piece != NULL) {
        out_of_bin(heap, piece);
        cut(heap, piece, size);
        *cold = piece->block.size - piece->warm;
    }
    unlock(heap);
    return piece == NULL ? NULL : &piece->block;
}

/* Address space that is aligned to large pages and of which nothing may be
 * used yet. */
static void *reserve(size_t size)
{
    char *start = mmap(NULL, size + LARGE_PAGE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t head;

    if (start == MAP_FAILED)
        return NULL;
    head = (LARGE_PAGE - (uintptr_t)start % LARGE_PAGE) % LARGE_PAGE;
    if (head > 0)
        munmap(start, head);
    munmap(start + head + size, LARGE_PAGE - head);
#ifdef MADV_HUGEPAGE
    (void)madvise(start + head, size, MADV_HUGEPAGE);
#endif
    return start + head;
}

static bool make_accessible(struct db_region *region, const char *end)
{
    size_t growth;

    if (end <= region->accessible)
        return true;
    if (end > region->end)
        return false;
    growth = round_up((size_t)(end - region->accessible), GROWTH);
    if (growth > (size_t)(region->end - region->accessible))
        growth = (size_t)(region->end - region->accessible);
    if (mprotect(region->accessible, growth, PROT_READ | PROT_WRITE) != 0)
        return false;
    region->accessible += growth;
    return true;
}

/* Four times what is reserved already: a small model takes little of address
 * space, which emulators pay for, and a large one few regions. */
static size_t usual_reserve(const struct db_heap *heap)
{
    const struct db_region *region;
    size_t bytes = 0;

    for (region = heap->regions; region != NULL; region = region->next)
        bytes += (size_t)(region->end - (const char *)region);
    if (bytes > MOST_RESERVED / 4)
        return MOST_RESERVED;
    return 4 * bytes > LEAST_RESERVED ? 4 * bytes : LEAST_RESERVED;
}

/* A region with room for a block of SIZE; NULL if there is no address space. */
static struct db_region *new_region(const struct db_heap *heap, size_t size)
{
    const size_t least = round_up(
        DB_BLOCK_ALIGNMENT + size + 2 * sizeof(struct db_piece), LARGE_PAGE);
    size_t reserved = usual_reserve(heap);
    struct db_region *region = NULL;

    while (region == NULL && reserved > least) {
        region = reserve(reserved);
        if (region == NULL)
            reserved = round_up(reserved / 2, LARGE_PAGE);
    }
    if (region == NULL) {
        reserved = least;
        region = reserve(reserved);
    }
    if (region == NULL)
        return NULL;
    if (mprotect(region, LARGE_PAGE, PROT_READ | PROT_WRITE) != 0) {
        munmap(region, reserved);
        return NULL;
    }
    region->accessible = (char *)region + LARGE_PAGE;
    region->end = (char *)region + reserved;
    region->top = (struct db_piece *)((char *)region + DB_BLOCK_ALIGNMENT);
    *region->top = (struct db_piece){.region = region};
    return region;
}

/* A piece of SIZE at the top of REGION, or that begins with the free one which
 * is last there; NULL where REGION ends before. */
static struct db_piece *grow_region(struct db_heap *heap,
                                    struct db_region *region, size_t size)
{
    struct db_piece *last = region->top->before, *piece = region->top;

    if (last != NULL && last->is_free && last->block.size < size)
        piece = last;
    if (size > (size_t)(region->end - (char *)piece) ||
        !make_accessible(region, (char *)(piece + 2) + size))
        return NULL;
    if (piece == last)
        out_of_bin(heap, piece);
    piece->block.size = size;
    region->top = after(piece);
    *region->top = (struct db_piece){.before = piece, .region = region};
    return piece;
}

struct db_block *db_heap_grow(struct db_heap *heap, size_t size)
{
    struct db_piece *piece = NULL;
    struct db_region *region;

    size = round_up(size, DB_BLOCK_ALIGNMENT);
    lock(heap);
    for (region = heap->regions; region != NULL && piece == NULL;
         region = region->next)
        piece = grow_region(heap, region, size);
    if (piece == NULL && (region = new_region(heap, size)) != NULL) {
        region->next = heap->regions;
        heap->regions = region;
        piece = grow_region(heap, region, size);
    }
    unlock(heap);
    return piece == NULL ? NULL : &piece->block;
}

bool db_heap_owns(const struct db_block *block)
{
    return block->start == NULL;
}

/* Joins PIECE with the one behind it; neither is in a bin. */
static void join(struct db_piece *piece)
{
    const struct db_piece *next = after(piece);

    piece->block.size += sizeof(*next) + next->block.size;
    piece->warm += sizeof(*next) + next->warm;
    after(piece)->before = piece;
}

void db_heap_put(struct db_heap *heap, struct db_block *block)
{
    struct db_piece *piece = piece_of(block);

    lock(heap);
    piece->warm = block->size;
    if (after(piece)->is_free) {
        out_of_bin(heap, after(piece));
        join(piece);
    }
    if (piece->before != NULL && piece->before->is_free) {
        piece = piece->before;
        out_of_bin(heap, piece);
        join(piece);
    }
    into_bin(heap, piece);
    unlock(heap);
}

static void unlink_region(struct db_heap *heap, struct db_region *region)
{
    struct db_region **link = &heap->regions;

    while (*link != region)
        link = &(*link)->next;
    *link = region->next;
    munmap(region, (size_t)(region->end - (char *)region));
}

/* Whole pages from START to END lose what they hold. */
static void discard(void *start, void *end)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t last = (uintptr_t)end / page * page;

#ifdef MADV_DONTNEED
    if (first < last)
        (void)madvise((void *)first, (size_t)(last - first), MADV_DONTNEED);
#endif
}

/* Gives all pages of a free piece back. The last of a region becomes what was
 * never used, and a region without pieces goes. */
static void cool_all(struct db_heap *heap, struct db_piece *piece)
{
    struct db_region *region = piece->region;

    out_of_bin(heap, piece);
    piece->warm = 0;
    if (after(piece) != region->top) {
        discard(piece + 1, after(piece));
        into_bin(heap, piece);
    } else if (piece->before == NULL) {
        unlink_region(heap, region);
    } else {
        discard(piece + 1, region->accessible);
        piece->block.size = 0;
        region->top = piece;
    }
}

/* Gives at least BYTES of pages back if a free piece has as many: not all of
 * what may be most of the heap for the last few. Wherever its pages are, no
 * more than what is kept of its front has them then. */
static void cool(struct db_heap *heap, struct db_piece *piece, uint64_t bytes)
{
    char *start = (char *)(piece + 1);
    const size_t kept = piece->warm > bytes ? piece->warm - (size_t)bytes : 0;
    const size_t past = (uintptr_t)(start + kept) % LARGE_PAGE;

    if (kept <= past) {
        cool_all(heap, piece);
        return;
    }
    discard(start + kept - past, after(piece));
    heap->warm -= piece->warm - (kept - past);
    piece->warm = kept - past;
}

/* A warm piece of BYTES if there is one, else of the most. */
static struct db_piece *warm_piece(const struct db_heap *heap, uint64_t bytes)
{
    const int wanted = bin_of((size_t)bytes);
    struct db_piece *piece;
    int bin;

    for (bin = occupied_from(heap, wanted); bin < DB_HEAP_BINS;
         bin = occupied_from(heap, bin + 1))
        for (piece = heap->bins[bin]; piece != NULL; piece = piece->next)
            if (piece->warm >= bytes)
                return piece;
    for (bin = DB_HEAP_BINS - 1; bin >= 0; bin--)
        for (piece = heap->bins[bin]; piece != NULL; piece = piece->next)
            if (piece->warm > 0)
                return piece;
    return NULL;
}

bool db_heap_shrink(struct db_heap *heap, uint64_t bytes)
{
    struct db_piece *piece;
    bool any = false;

    lock(heap);
    while (heap->warm > bytes &&
           (piece = warm_piece(heap, heap->warm - bytes)) != NULL) {
        cool(heap, piece, heap->warm - bytes);
        any = true;
    }
    unlock(heap);
    return any;
}

uint64_t db_heap_warm(struct db_heap *heap)
{
    uint64_t warm;

    lock(heap);
    warm = heap->warm;
    unlock(heap);
    return warm;
}

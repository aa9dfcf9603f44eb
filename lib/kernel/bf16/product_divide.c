/* SPDX-License-Identifier: MIT */
/*
 * How a product of tiles is cut into tasks, and k into parts: by what the
 * caches hold and what packing costs. Figures are cycles as measured, and the
 * sizes of caches that processors with tiles have.
 */
#include "kernel/bf16/product_int.h"

#define BLOCK_STRIPS 32 /* of A, and of one that lies in place */
#define BLOCK_STRIPS_THERE DB_BF16_MOST_STRIPS
#define LEAST_STRIPS 8
#define TALL_STRIPS 4    /* the same, where B has few */
#define KEPT_STRIPS 4    /* of A a task, from which B is not divided */
#define BLOCK_TILES 640  /* KB of the second-level cache */
#define WHOLE_TILES 1280 /* of an A that all tasks find there */
/* Panels that are packed together, and steps of each, where their rows lie far
 * apart and a task has so few strips that memory is what it waits for. */
#define BESIDE 4
#define BESIDE_STEPS 10
#define FEW_STRIPS 32
#define FAR_VALUES ((int64_t)1 << 14) /* of a result the cache has not */
#define PACK_AHEAD 3   /* blocks of A from which B is packed before */
#define LEAST_GROUP 12 /* panels for which a task packs A itself */
#define READING 100    /* cycles for a part of a tile, from memory */
#define LONG_STEPS 32
#define NEAR_TILES 16384 /* of a B that larger caches hold */
#define OWN_TILES 4096   /* of one that is not sought for long */
#define SUMMING 800      /* of a pair of strips, away and back */
#define PRODUCT 20       /* of two tiles */

static int64_t even(int64_t strips)
{
    return strips + strips % 2;
}

/* Steps at once: MOST or less, the whole of some runs or a part of one. */
static int64_t few_of(int64_t run, int64_t most)
{
    if (run <= most)
        return most / run * run;
    return db_blas_pieces(run, db_blas_pieces(run, most));
}

static bool fits(const struct db_bf16_product *p)
{
    return p->a.strips * p->steps * p->a.parts <= WHOLE_TILES;
}

/* What is not multiplying, when A is cut into so many blocks and B into so many
 * groups of panels: packing, and sums that leave their registers. In cycles a
 * step. */
static int64_t cost_of(const struct db_bf16_product *p, int64_t blocks,
                       int64_t groups)
{
    const int64_t a_tiles = p->a.strips * p->a.parts;
    const int64_t b_tiles = p->b.strips * p->b.parts;
    const int64_t a = a_tiles * (p->a.cost + READING);
    const int64_t b = b_tiles * (p->b.cost + READING);
    const int64_t again =
        b_tiles * (b_tiles * p->steps > OWN_TILES ? READING : READING / 2);
    const int64_t parts = db_blas_pieces(db_blas_pieces(p->a.strips, blocks) *
                                             p->steps * p->a.parts,
                                         BLOCK_TILES);
    const int64_t sums = p->a.strips * p->b.strips / 4 * parts * SUMMING;

    return (fits(p) ? a : groups * a) +
           (blocks < PACK_AHEAD ? blocks * b : b + (2 + blocks) * again) +
           sums / p->steps;
}

/* The same with multiplying, of the busiest of THREADS: in cycles a step, times
 * a number that is the same for all BLOCKS. */
static int64_t time_of(const struct db_bf16_product *p, int64_t blocks,
                       int64_t groups, int64_t threads)
{
    const int64_t a = p->a.parts, b = p->b.parts;
    const int64_t products = a == 1 || b == 1 ? a * b : a * (a + 1) / 2;
    const int64_t work = p->a.strips * p->b.strips * products * PRODUCT +
                         cost_of(p, blocks, groups);
    const int64_t block = even(db_blas_pieces(p->a.strips, blocks));
    const int64_t group =
        db_blas_pieces(db_blas_pieces(p->b.strips, 2), groups);
    const int64_t tasks = db_blas_pieces(p->a.strips, block) * groups;
    const int64_t all = p->a.strips * db_blas_pieces(p->b.strips, 2);

    return work *
           db_blas_smaller(all, db_blas_pieces(tasks, threads) * block * group);
}

/* Along a long k both sides leave the cache before they are needed again,
 * unless B comes from memory anyway. */
static bool is_long(const struct db_bf16_product *p)
{
    return p->steps >= LONG_STEPS &&
           p->b.strips * p->steps * p->b.parts <= NEAR_TILES;
}

/* Strips of the busiest thread, when there are WANTED / 2 of them. */
static int64_t load_of(const struct db_bf16_product *p, int64_t blocks,
                       int64_t wanted)
{
    const int64_t block = even(db_blas_pieces(p->a.strips, blocks));
    const int64_t tasks = db_blas_pieces(p->a.strips, block);

    return db_blas_pieces(tasks, db_blas_larger(wanted / 2, 1)) * block;
}

/* Strips of a block at most: other results than plain ones have one part of k.
 */
static int64_t most_strips(const struct db_bf16_product *p)
{
    const int64_t fit = WHOLE_TILES / (p->steps * p->a.parts) / 2 * 2;

    return db_bf16_is_plain(p)
               ? BLOCK_STRIPS
               : db_blas_larger(2, db_blas_smaller(fit, BLOCK_STRIPS));
}

/* Along a short k: rows are divided, as most of what else is done with them, so
 * that a thread finds its own in its cache; unless they are few beside B's
 * columns. */
static int64_t short_blocks_of(const struct db_bf16_product *p, int64_t wanted)
{
    const bool is_tall = p->b.strips <= p->a.strips;
    const int64_t least = db_blas_pieces(p->a.strips, most_strips(p));
    const int64_t room = p->a.strips / (is_tall ? TALL_STRIPS : LEAST_STRIPS);
    const int64_t most = db_blas_larger(least, db_blas_smaller(room, wanted));
    const int64_t half =
        db_blas_larger(least, db_blas_smaller(room, wanted / 2));

    if (p->a.strips <= BLOCK_STRIPS && !is_tall)
        return least;
    return load_of(p, half, wanted) < load_of(p, most, wanted) ? half : most;
}

/* The number of blocks of a packed A: with a long k, that which takes least. */
static int64_t blocks_of(const struct db_bf16_product *p, int64_t threads,
                         int64_t wanted)
{
    const int64_t least = db_blas_pieces(p->a.strips, most_strips(p));
    const int64_t most = db_blas_larger(least, p->a.strips / LEAST_STRIPS);
    int64_t best = least, least_time = INT64_MAX, i;

    if (!is_long(p))
        return short_blocks_of(p, wanted);
    for (i = least; i <= most; i++) {
        const int64_t time = time_of(p, i, db_blas_pieces(wanted, i), threads);

        if (time < least_time) {
            least_time = time;
            best = i;
        }
    }
    return best;
}

/* Whether B was to be packed, but lies in place since an earlier product. */
static bool is_kept(const struct db_bf16_work *work)
{
    return work->b.pack == NULL && work->p->b.pack != NULL;
}

/* Strips of A a task, and groups of panels, so that there are WANTED tasks.
 * Where B is kept, a task packs what it reads of A: what another core has
 * packed would have to come from its cache, which takes longer. */
static void divide_tasks(struct db_bf16_work *work, int64_t threads,
                         int64_t wanted)
{
    const struct db_bf16_product *p = work->p;

    work->panels = db_blas_pieces(p->b.strips, 2);
    if (p->is_turned) {
        work->block = 2;
    } else if (p->a.lay != NULL) {
        work->block = p->a.unit * p->a.units;
    } else if (p->a.pack != NULL && is_kept(work)) {
        work->blocks =
            db_blas_larger(db_blas_pieces(p->a.strips, most_strips(p)),
                           p->a.strips < KEPT_STRIPS * wanted ? 1 : wanted);
        work->block = even(db_blas_pieces(p->a.strips, work->blocks));
    } else {
        work->blocks = p->a.pack != NULL
                           ? blocks_of(p, threads, wanted)
                           : db_blas_pieces(p->a.strips, BLOCK_STRIPS_THERE);
        work->block = even(db_blas_pieces(p->a.strips, work->blocks));
    }
    work->blocks = db_blas_pieces(p->a.strips, work->block);
    work->groups = (p->a.lay != NULL && !is_kept(work)) || p->is_turned
                       ? 1
                       : db_blas_smaller(work->panels,
                                         db_blas_pieces(wanted, work->blocks));
    work->group = db_blas_pieces(work->panels, work->groups);
    work->groups = db_blas_pieces(work->panels, work->group);
}

/* Steps of a panel. A convolution reads runs of rows that lie far apart: with
 * few strips these are as much in the cache's way as what is packed. */
static int64_t steps_at_once(const struct db_bf16_work *work)
{
    const struct db_bf16_operand *b = &work->b;
    const bool is_apart = work->p->run > 0 && work->block <= FEW_STRIPS;
    const int64_t read = is_apart ? b->raw.lines : 1;

    return work->beside > 1
               ? BESIDE_STEPS / b->parts
               : DB_BF16_PANEL_TILES / 2 / db_blas_larger(b->parts, read);
}

void db_bf16_divide(struct db_bf16_work *work, int64_t threads, int64_t wanted)
{
    const struct db_bf16_product *p = work->p;
    const int64_t fit = BLOCK_TILES / work->a.parts;
    int64_t parts, i;

    divide_tasks(work, threads, wanted);
    work->is_far = !p->is_turned && p->result.gating == NULL &&
                   (p->result.beta == 0.0f || !db_bf16_is_plain(p)) &&
                   p->a.strips * DB_BF16_SIDE * p->n >= FAR_VALUES;
    work->beside =
        work->b.pack != NULL && work->b.is_across && work->block <= FEW_STRIPS
            ? BESIDE
            : 1;
    work->few = steps_at_once(work);
    work->part = p->part;
    if (!db_bf16_is_plain(p) || p->is_turned) {
        work->part = p->steps;
    } else if (work->part == 0) {
        const int64_t tiles = p->steps * work->block;

        parts = tiles * work->a.parts <= WHOLE_TILES
                    ? 1
                    : db_blas_pieces(tiles, fit);
        work->part = db_blas_pieces(p->steps, parts);
    }
    work->few = few_of(p->run == 0 ? work->part : p->run, work->few);
    for (i = 0; i < DB_BF16_PANEL_TILES; i++) {
        work->b_at[i] = i * db_bf16_tile_size(&work->b);
        work->raw_at[i] = i * p->b.raw.step;
    }
}

bool db_bf16_is_a_ahead(const struct db_bf16_work *work)
{
    const struct db_bf16_product *p = work->p;

    return p->a.pack != NULL && work->groups > 1 && !is_kept(work) &&
           (fits(p) || (p->steps < LONG_STEPS && work->group < LEAST_GROUP));
}

bool db_bf16_is_b_ahead(const struct db_bf16_work *work)
{
    return work->p->b.pack != NULL &&
           (work->p->is_turned || work->blocks >= PACK_AHEAD);
}

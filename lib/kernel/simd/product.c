/* SPDX-License-Identifier: MIT */
/*
 * The product of two matrices that are not in memory as such (Goto and van de
 * Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008). A task
 * makes a block of C, and goes through k in parts that stay in the cache. Where
 * C has several rows of blocks, B is packed before, in panels as wide as a
 * tile, as much of k at once as there is room for; else a panel has one reader,
 * which packs it.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/simd/product_int.h"

#define MOST_ROWS 16      /* of a tile */
#define PACKED_TOGETHER 4 /* panels */
#define LINES 16          /* of B that are read together */

void db_simd_lay_across(const struct db_simd_product *p, const float *at,
                        int64_t row, int64_t count, int64_t width,
                        float *buffer, struct db_simd_rows *out)
{
    out->row = 0;
    out->at = p->step != 0 ? at : buffer;
    if (p->step == 0)
        p->isa->split(count, width, at, row, buffer);
}

/* Panels [begun, end) for K values from FIRST on, PANEL floats apart. Columns
 * that are neighbours are read together, some lines at a time. */
static void pack(const struct db_simd_work *work, int64_t begun, int64_t end,
                 int64_t first, int64_t k, int worker, float *to, int64_t panel)
{
    const struct db_simd_product *p = work->p;
    const int64_t step = db_simd_is_across(p) ? LINES : k;
    float *buffer = work->buffers + worker * work->buffer + work->rows_size;
    int64_t done, i;

    for (done = 0; done < k; done += step)
        for (i = begun; i < end; i++)
            p->pack(p, db_simd_column_of(work, i), db_simd_width_of(work, i),
                    first + done, db_blas_smaller(step, k - done), buffer,
                    to + (i - begun) * panel + done * p->isa->columns);
}

static void pack_shared(void *argument, int64_t index, int worker)
{
    const struct db_simd_work *work = argument;
    const int64_t columns = work->p->isa->columns;
    const int64_t begun = index / work->parts * PACKED_TOGETHER;
    const int64_t first = index % work->parts * work->part_k;

    if (first < work->k)
        pack(work, begun,
             db_blas_smaller(begun + PACKED_TOGETHER, work->panels),
             work->first_k + first,
             db_blas_smaller(work->part_k, work->k - first), worker,
             work->packed + (begun * work->k + first) * columns,
             work->k * columns);
}

/* Puts beta c + bias where tiles add, if that is not what is there. */
static void begin(const struct db_simd_product *p, int64_t row, int64_t rows,
                  int64_t column, int64_t end)
{
    int64_t r, n;

    if (p->beta == 0.0f || (p->beta == 1.0f && p->bias == NULL))
        return;
    for (r = row; r < row + rows; r++) {
        float *c = p->c + r * p->c_row;

        for (n = column; n < end; n++)
            c[n] = p->beta * c[n] + (p->bias == NULL ? 0.0f : p->bias[n]);
    }
}

/* A tile at the right edge reaches C by way of a whole one. */
static void edge_tile(const struct db_simd_product *p,
                      const struct db_simd_tile *t, int64_t width)
{
    float whole[MOST_ROWS * DB_SIMD_MOST_COLUMNS];
    struct db_simd_tile inner = *t;
    int64_t n;
    int r;

    inner.c = whole;
    inner.c_row = p->isa->columns;
    inner.bias = NULL;
    inner.adds = false;
    p->isa->any_tile(&inner);
    for (r = 0; r < t->count; r++)
        for (n = 0; n < width; n++)
            t->c[r * t->c_row + n] = whole[r * p->isa->columns + n] +
                                     (t->adds           ? t->c[r * t->c_row + n]
                                      : t->bias != NULL ? t->bias[n]
                                                        : 0.0f);
}

/* The tile of a block at row R of it, times one panel. What is fetched is in T;
 * all else is put there one by one, as filling T with zeros takes long. */
static void meet_panel(const struct db_simd_work *work,
                       const struct db_simd_block *block, int64_t r,
                       int64_t panel, const float *packed,
                       struct db_simd_tile *t)
{
    const struct db_simd_product *p = work->p;
    const int64_t column = db_simd_column_of(work, panel);
    const int64_t width = db_simd_width_of(work, panel);

    t->count = (int)db_blas_smaller(block->tile, block->count - r);
    t->k = block->k;
    t->a_row = block->rows.row;
    t->a_step = 0;
    if (t->a_row != 0) {
        t->a = block->rows.at + r * t->a_row;
    } else if (p->step != 0) {
        t->a = block->rows.at + r;
        t->a_step = p->step;
    } else {
        t->a = block->rows.at + r * block->k;
        t->a_step = p->isa->rows;
    }
    t->b = packed;
    t->c = block->c + r * block->c_row +
           (panel - block->begun) % work->held * p->isa->columns;
    t->c_row = block->c_row;
    t->bias = p->bias == NULL ? NULL : p->bias + column;
    t->adds = block->first > 0 || p->beta != 0.0f;
    if (width == p->isa->columns)
        p->isa->any_tile(t);
    else
        edge_tile(p, t, width);
    db_simd_end_tile(work, block, r, t->count, panel);
}

/* Row by row of tiles, which stay in their part of C. */
static void meet_shared(const struct db_simd_work *work,
                        const struct db_simd_block *block)
{
    const int64_t begun = block->begun, end = block->end;
    const struct db_simd_product *p = work->p;
    struct db_simd_tile t;
    int64_t r, panel;

    for (r = 0; r < block->count; r += block->tile)
        for (panel = begun; panel < end; panel++) {
            const bool is_last = panel + 1 == end;

            db_simd_fetch_rows(work, block, r, panel - begun, end - begun,
                               &t.fetch);
            db_simd_fetch_c(p, block->row + r + (is_last ? block->tile : 0),
                            block->tile,
                            (is_last ? begun : panel + 1) * p->isa->columns);
            meet_panel(work, block, r, panel,
                       work->packed +
                           (panel * work->k + block->first - work->first_k) *
                               p->isa->columns,
                       &t);
        }
}

static void meet_own(const struct db_simd_work *work,
                     const struct db_simd_block *block, int worker)
{
    const int64_t begun = block->begun, end = block->end;
    const bool together = db_simd_is_across(work->p);
    float *packed = work->buffers + worker * work->buffer + work->rows_size +
                    work->panel_size;
    struct db_simd_tile t;
    int64_t r, panel;

    if (together)
        pack(work, begun, end, block->first, block->k, worker, packed,
             work->panel_size);
    for (panel = begun; panel < end; panel++) {
        if (!together)
            pack(work, panel, panel + 1, block->first, block->k, worker, packed,
                 0);
        for (r = 0; r < block->count; r += block->tile) {
            db_simd_fetch_own(work, block, r, panel, &t.fetch);
            meet_panel(work, block, r, panel, packed, &t);
        }
        if (together)
            packed += work->panel_size;
    }
}

/* Rows of a tile, as even as they can be where they need no packing. */
static int64_t tile_of(const struct db_simd_product *p,
                       const struct db_simd_block *block)
{
    if (block->rows.row == 0 && p->step == 0)
        return p->isa->rows;
    return db_blas_pieces(block->count,
                          db_blas_pieces(block->count, p->isa->rows));
}

static void multiply_block(void *argument, int64_t index, int worker)
{
    const struct db_simd_work *work = argument;
    const struct db_simd_product *p = work->p;
    const int64_t n = index % work->blocks_n;
    const int64_t groups = work->panels / work->sides;
    const int64_t last = work->first_k + work->k;
    float *buffer = work->buffers + worker * work->buffer;
    struct db_simd_block block = {
        .row = index / work->blocks_n * work->block_m,
        .first = work->first_k,
        .begun = n * groups / work->blocks_n * work->sides,
        .end = (n + 1) * groups / work->blocks_n * work->sides};

    block.count = db_blas_smaller(work->block_m, p->m - block.row);
    if (block.first == 0)
        begin(p, block.row, block.count, block.begun * p->isa->columns,
              db_blas_smaller(block.end * p->isa->columns, p->n));
    db_simd_place_sums(work, &block, buffer + work->buffer - work->sums_size);
    do {
        block.k = db_blas_smaller(work->part_k, last - block.first);
        p->lay(p, block.row, block.count, block.first, block.k, buffer,
               &block.rows);
        block.tile = tile_of(p, &block);
        if (work->packed != NULL)
            meet_shared(work, &block);
        else
            meet_own(work, &block, worker);
        block.first += block.k;
    } while (block.first < last);
}

/* Divides the scratch memory, whose size in floats it returns. */
static int64_t place(struct db_simd_work *work,
                     const dreambooth_kernel_host *host, float *memory)
{
    const struct db_simd_isa *isa = work->p->isa;
    const int64_t columns = work->panels * isa->columns;
    const int64_t k = db_blas_smaller(work->p->k, work->parts * work->part_k);
    const int64_t most =
        db_blas_pieces(work->panels / work->sides, work->blocks_n) *
        work->sides;
    int64_t all;

    work->panel_size = work->part_k * isa->columns;
    work->rows_size = work->part_k * work->block_m + isa->columns;
    work->buffer = work->rows_size + work->panel_size;
    if (work->blocks_m == 1)
        work->buffer += most * work->panel_size;
    work->held =
        work->p->gates != NULL && work->part_k >= work->p->k ? 2 : most;
    if (work->p->gates != NULL)
        work->sums_size = work->block_m * work->held * isa->columns;
    work->buffer += work->sums_size;
    all = host->threads * work->buffer;
    work->buffers = memory;
    if (work->blocks_m > 1 && memory != NULL)
        work->packed = memory + all;
    return work->blocks_m > 1 ? all + columns * k : all;
}

int db_simd_multiply(const dreambooth_kernel_host *host,
                     const struct db_simd_product *product)
{
    struct db_simd_work work = {.p = product};
    float *memory;

    db_simd_divide(&work);
    memory = host->scratch_new(host, (size_t)place(&work, host, NULL) *
                                         sizeof(*memory));
    if (memory == NULL)
        return DREAMBOOTH_ENOMEM;
    place(&work, host, memory);
    do {
        work.k = db_blas_smaller(work.parts * work.part_k,
                                 product->k - work.first_k);
        if (work.packed != NULL)
            host->parallel(
                host, db_blas_pieces(work.panels, PACKED_TOGETHER) * work.parts,
                pack_shared, &work);
        host->parallel(host, work.blocks_m * work.blocks_n, multiply_block,
                       &work);
        work.first_k += work.k;
    } while (work.first_k < product->k);
    host->scratch_free(host, memory);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * The product of two matrices that are not in memory as such (Goto and van de
 * Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008). For one
 * part of k after the other, B is packed in panels as wide as a tile; then
 * tasks take blocks of A's rows and go along the panels, each of which meets
 * all tiles of the block while it is in the first-level cache. Where C is
 * large, a row of tiles meets several panels in the second-level cache, to stay
 * longer in its part of C.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/simd/simd_int.h"

#define BLOCK_TILES 20             /* rows of tiles in a block of A */
#define LEAST_TASKS 12             /* below, a block's panels are divided */
#define LARGE_C ((int64_t)1 << 20) /* floats of C that leave the cache */
#define GROUP 16     /* panels then, so that a visit of C is worth its pages */
#define MOST_ROWS 16 /* of it */

struct work {
    const struct db_simd_product *p;
    int64_t part_k;                /* how k is divided */
    int64_t first_k, k;            /* the part at work */
    int64_t block_m;               /* rows of a block */
    int64_t panels;                /* of all columns */
    int64_t blocks_n, panels_each; /* tasks along n, and panels of each */
    int64_t group;  /* panels that a row of tiles meets at once */
    float *packed;  /* [panels][k, columns] */
    float *buffers; /* a worker's own */
    int64_t buffer; /* floats of each */
};

static void pack_panel(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_simd_product *p = work->p;
    const int64_t column = index * p->isa->columns;

    p->pack(p, column, db_blas_smaller(p->isa->columns, p->n - column),
            work->first_k, work->k, work->buffers + worker * work->buffer,
            work->packed + column * work->k);
}

/* Puts beta c + bias where the product is going to be added. */
static void begin(const struct db_simd_product *p, int64_t row, int64_t rows,
                  int64_t column, int64_t columns)
{
    const float *bias = p->bias == NULL ? NULL : p->bias + column;
    int64_t r, n;

    if (p->beta == 1.0f && bias == NULL)
        return;
    for (r = row; r < row + rows; r++) {
        float *c = p->c + r * p->c_row + column;

        if (p->beta == 0.0f && bias != NULL)
            memcpy(c, bias, (size_t)columns * sizeof(*c));
        else if (p->beta == 0.0f)
            memset(c, 0, (size_t)columns * sizeof(*c));
        else
            for (n = 0; n < columns; n++)
                c[n] = p->beta * c[n] + (bias == NULL ? 0.0f : bias[n]);
    }
}

static void one_tile(const struct db_simd_product *p, int count, int64_t k,
                     const struct db_simd_rows *rows, int64_t row,
                     const float *panel, float *c, int64_t c_row)
{
    const float *a = rows->at + row * rows->row;

    if (rows->row != 0)
        p->isa->tile(count, k, a, rows->row, panel, c, c_row);
    else
        p->isa->turned_tile(count, k, a + row * k, p->isa->rows, panel, c,
                            c_row);
}

/* A tile at the right edge is added to C by way of a whole one. */
static void edge_tile(const struct db_simd_product *p, int count, int64_t k,
                      const struct db_simd_rows *rows, int64_t row,
                      const float *panel, float *c, int64_t width)
{
    float whole[MOST_ROWS * DB_SIMD_MOST_COLUMNS];
    int64_t n;
    int r;

    memset(whole, 0, (size_t)(count * p->isa->columns) * sizeof(*whole));
    one_tile(p, count, k, rows, row, panel, whole, p->isa->columns);
    for (r = 0; r < count; r++)
        for (n = 0; n < width; n++)
            c[r * p->c_row + n] += whole[r * p->isa->columns + n];
}

/* COUNT rows from ROW on of a block at R, times one panel. */
static void meet_panel(const struct work *work, int64_t r, int64_t count,
                       const struct db_simd_rows *rows, int64_t row,
                       int64_t panel)
{
    const struct db_simd_product *p = work->p;
    const int64_t column = panel * p->isa->columns;
    const int64_t width = db_blas_smaller(p->isa->columns, p->n - column);
    const float *packed = work->packed + column * work->k;
    const int some = (int)db_blas_smaller(p->isa->rows, count - r);
    float *c = p->c + (row + r) * p->c_row + column;

    if (width == p->isa->columns)
        one_tile(p, some, work->k, rows, r, packed, c, p->c_row);
    else
        edge_tile(p, some, work->k, rows, r, packed, c, width);
}

/* Asks for the next part's share of rows in [first, end) of a block, which lie
 * far apart in memory: no processor guesses that. */
static void fetch_ahead(const struct db_simd_rows *rows, int64_t first,
                        int64_t end, int64_t k, int64_t next)
{
#ifdef __GNUC__
    int64_t r, i;

    for (r = first; r < end; r++)
        for (i = 0; i < next; i += 16)
            __builtin_prefetch(rows->at + r * rows->row + k + i, 0, 2);
#endif
}

static void multiply_block(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_simd_product *p = work->p;
    const int64_t row = index / work->blocks_n * work->block_m;
    const int64_t count = db_blas_smaller(work->block_m, p->m - row);
    const int64_t begun = index % work->blocks_n * work->panels_each;
    const int64_t end =
        db_blas_smaller(begun + work->panels_each, work->panels);
    const int64_t next =
        db_blas_smaller(work->part_k, p->k - work->first_k - work->k);
    struct db_simd_rows rows;
    int64_t first = begun, last, panel, r;

    if (work->first_k == 0)
        begin(p, row, count, first * p->isa->columns,
              db_blas_smaller((end - first) * p->isa->columns,
                              p->n - first * p->isa->columns));
    p->lay(p, row, count, work->first_k, work->k,
           work->buffers + worker * work->buffer, &rows);
    for (; first < end; first += work->group) {
        last = db_blas_smaller(first + work->group, end);
        if (rows.row > work->part_k)
            fetch_ahead(&rows, count * (first - begun) / (end - begun),
                        count * (last - begun) / (end - begun), work->k, next);
        for (r = 0; r < count; r += p->isa->rows)
            for (panel = first; panel < last; panel++)
                meet_panel(work, r, count, &rows, row, panel);
    }
}

static void divide(struct work *work)
{
    const struct db_simd_product *p = work->p;
    const int64_t tiles = db_blas_pieces(p->m, p->isa->rows);
    int64_t blocks_m = db_blas_pieces(tiles, BLOCK_TILES);
    int64_t parts_k = db_blas_larger(db_blas_pieces(p->k, DB_SIMD_MOST_K), 1);

    work->part_k = db_blas_larger(db_blas_pieces(p->k, parts_k), 1);
    work->block_m = db_blas_pieces(tiles, blocks_m) * p->isa->rows;
    blocks_m = db_blas_pieces(p->m, work->block_m);
    work->panels = db_blas_pieces(p->n, p->isa->columns);
    work->blocks_n =
        db_blas_smaller(work->panels, db_blas_pieces(LEAST_TASKS, blocks_m));
    work->panels_each = db_blas_pieces(work->panels, work->blocks_n);
    work->blocks_n = db_blas_pieces(work->panels, work->panels_each);
    work->group = p->m * p->n > LARGE_C ? GROUP : 1;
}

int db_simd_multiply(const dreambooth_kernel_host *host,
                     const struct db_simd_product *product)
{
    const struct db_simd_isa *isa = product->isa;
    struct work work = {.p = product};
    int64_t packed;

    divide(&work);
    packed = work.panels * isa->columns * work.part_k;
    work.buffer =
        work.part_k * db_blas_larger(BLOCK_TILES * isa->rows, isa->columns) +
        isa->columns;
    work.packed = host->scratch_new(
        host, (size_t)(packed + host->threads * work.buffer) * sizeof(float));
    if (work.packed == NULL)
        return DREAMBOOTH_ENOMEM;
    work.buffers = work.packed + packed;
    do {
        work.k = db_blas_smaller(work.part_k, product->k - work.first_k);
        host->parallel(host, work.panels, pack_panel, &work);
        host->parallel(host,
                       db_blas_pieces(product->m, work.block_m) * work.blocks_n,
                       multiply_block, &work);
        work.first_k += work.part_k;
    } while (work.first_k < product->k);
    host->scratch_free(host, work.packed);
    return DREAMBOOTH_OK;
}

struct transposition {
    const float *x, *bias;
    float *y;
    int64_t rows, columns, y_row;
};

#define SQUARE 32

static void transpose_columns(void *argument, int64_t index, int worker)
{
    const struct transposition *t = argument;
    const int64_t first = index * SQUARE;
    const int64_t end = db_blas_smaller(first + SQUARE, t->columns);
    int64_t i, j, r;

    (void)worker;
    for (r = 0; r < t->rows; r += SQUARE)
        for (j = first; j < end; j++)
            for (i = r; i < db_blas_smaller(r + SQUARE, t->rows); i++)
                t->y[j * t->y_row + i] = t->x[i * t->columns + j] +
                                         (t->bias == NULL ? 0.0f : t->bias[i]);
}

void db_simd_transpose(const dreambooth_kernel_host *host, const float *x,
                       int64_t rows, int64_t columns, const float *bias,
                       float *y, int64_t y_row)
{
    struct transposition t = {x, bias, y, rows, columns, y_row};

    host->parallel(host, db_blas_pieces(columns, SQUARE), transpose_columns,
                   &t);
}

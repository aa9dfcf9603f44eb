/* SPDX-License-Identifier: MIT */
/* Images laid out in bands: in pairs of lines, copied or where they lie. */
#include "kernel/bf16/bands_int.h"

#include <string.h>

#include "kernel/blas/blas_int.h"

#define NEAR_IMAGES 12 /* from which a position's lines are made in place */
#define AHEAD 8        /* columns between what is copied and what is fetched */
#define PIXELS ((int64_t)DB_BF16_STEP * DB_BF16_SIDE)

struct work {
    const struct db_bf16_bands *b;
    int64_t image, images;
    float *pixels;         /* [32][16] */
    const float **band_at; /* a row of each band; NULL: padding */
};

/* Where lines of a strip come from and go to. */
struct strip {
    int64_t phase, channel, count;
    uint8_t *to;
};

static void find_bands(const struct work *work, int64_t row)
{
    const struct db_bf16_bands *b = work->b;
    int64_t i;

    for (i = 0; i < 2 * b->pairs; i++) {
        const int64_t image = i / b->bands;
        const int64_t y = i % b->bands * b->band + row - b->top;

        work->band_at[i] =
            image < work->images && y >= 0 && y < b->height
                ? b->x + ((work->image + image) * b->height + y) * b->width *
                             b->channels
                : NULL;
    }
}

static void clear(const struct db_bf16_bands *b, int64_t lines, uint8_t *to)
{
    int part;

    for (part = 0; part < b->parts; part++)
        memset(to + part * b->apart, 0, (size_t)(lines * DB_BF16_LINE));
}

/* COUNT values; most often 16, which the compiler then knows. */
static void copy_pixel(const float *from, int64_t count, float *to)
{
    if (from == NULL)
        memset(to, 0, DB_BF16_SIDE * sizeof(*to));
    else if (count == DB_BF16_SIDE)
        memcpy(to, from, DB_BF16_SIDE * sizeof(*to));
    else
        memcpy(to, from, (size_t)count * sizeof(*to));
}

/* The two pixels of a line. */
static void copy_pair(const struct work *work, const struct strip *strip,
                      int64_t x, int64_t pair, float *to)
{
    const struct db_bf16_bands *b = work->b;
    const int64_t ahead = AHEAD * b->phases * b->channels;
    int half;

    for (half = 0; half < 2; half++, to += DB_BF16_SIDE) {
        const float *at = work->band_at[2 * pair + half];

        if (x < 0 || x >= b->width)
            at = NULL;
        if (at != NULL) {
            at += x * b->channels + strip->channel;
            __builtin_prefetch(at + ahead);
        }
        copy_pixel(at, strip->count, to);
    }
}

/* A phase of a row, by copies of 16 lines. */
static void lay_copies(const struct work *work, const struct strip *strip)
{
    const struct db_bf16_bands *b = work->b;
    const struct db_bf16_from from = {work->pixels, NULL, DB_BF16_SIDE};
    int64_t line, i, x = strip->phase - b->left, pair = 0;
    uint8_t *to = strip->to;

    for (line = 0; line < b->line; line += DB_BF16_SIDE) {
        const int64_t lines = db_blas_smaller(DB_BF16_SIDE, b->line - line);

        for (i = 0; i < lines; i++) {
            copy_pair(work, strip, x, pair,
                      work->pixels + i * 2 * DB_BF16_SIDE);
            if (++pair == b->pairs) {
                pair = 0;
                x += b->phases;
            }
        }
        b->isa->pairs(&from, strip->count, 2 * lines, to, b->parts, b->apart);
        to += DB_BF16_TILE;
    }
}

/* A position of all images, where bands are images: they lie at even distances.
 * Always 16 lines are made, and those behind the last image made again. */
static void lay_images(const struct work *work, const struct strip *strip,
                       int64_t x)
{
    const struct db_bf16_bands *b = work->b;
    const int64_t image = b->height * b->width * b->channels;
    uint8_t *to = strip->to;
    int64_t n;

    if (work->band_at[0] == NULL || x < 0 || x >= b->width) {
        clear(b, b->pairs, to);
        return;
    }
    for (n = 0; n < work->images; n += DB_BF16_STEP, to += DB_BF16_TILE) {
        const struct db_bf16_from from = {work->band_at[0] + n * image +
                                              x * b->channels + strip->channel,
                                          NULL, image};

        b->isa->pairs(&from, strip->count,
                      db_blas_smaller(DB_BF16_STEP, work->images - n), to,
                      b->parts, b->apart);
    }
}

static struct strip strip_of(const struct db_bf16_bands *b, int64_t phase,
                             int64_t channel, uint8_t *to)
{
    return (struct strip){phase, channel,
                          db_blas_smaller(DB_BF16_SIDE, b->channels - channel),
                          to + phase * b->line * DB_BF16_LINE};
}

/* Strips read each position together, where they are neighbours. */
static void lay_in_place(const struct work *work, int64_t channel,
                         int64_t strips, uint8_t *to)
{
    const struct db_bf16_bands *b = work->b;
    int64_t phase, i, j;

    for (phase = 0; phase < b->phases; phase++) {
        for (i = 0; i < b->columns; i++)
            for (j = 0; j < strips; j++) {
                struct strip strip =
                    strip_of(b, phase, channel + j * DB_BF16_SIDE,
                             to + j * b->strip_size);

                strip.to += i * b->pairs * DB_BF16_LINE;
                lay_images(work, &strip, i * b->phases + phase - b->left);
            }
        for (j = 0; j < strips; j++)
            clear(b, DB_BF16_SIDE,
                  to + j * b->strip_size +
                      (phase + 1) * b->line * DB_BF16_LINE);
    }
}

/* A row of all bands. */
static void lay_row(const struct work *work, int64_t channel, int64_t strips,
                    uint8_t *to)
{
    const struct db_bf16_bands *b = work->b;
    int64_t phase, i;

    if (b->bands == 1 && b->images >= NEAR_IMAGES &&
        work->images == b->images) {
        lay_in_place(work, channel, strips, to);
        return;
    }
    for (i = 0; i < strips; i++)
        for (phase = 0; phase < b->phases; phase++) {
            const struct strip strip = strip_of(
                b, phase, channel + i * DB_BF16_SIDE, to + i * b->strip_size);

            lay_copies(work, &strip);
        }
}

int64_t db_bf16_bands_scratch(const struct db_bf16_bands *bands)
{
    const int64_t rows = 2 * bands->pairs * (int64_t)sizeof(float *);

    return PIXELS * (int64_t)sizeof(float) +
           db_blas_pieces(rows, DB_BF16_LINE) * DB_BF16_LINE;
}

void db_bf16_bands_lay(const struct db_bf16_bands *bands,
                       const struct db_bf16_rows_of_bands *rows,
                       int64_t channel, int64_t strips, uint8_t *to,
                       void *scratch)
{
    float *pixels = scratch;
    const struct work work = {
        .b = bands,
        .image = rows->image,
        .images = db_blas_smaller(bands->images, bands->batch - rows->image),
        .pixels = pixels,
        .band_at = (const float **)(void *)(pixels + PIXELS)};
    int64_t i, strip;

    for (i = 0; i < rows->rows; i++) {
        find_bands(&work, rows->row + i);
        lay_row(&work, channel, strips, to + i * bands->row * DB_BF16_LINE);
    }
    for (strip = 0; strip < strips; strip++)
        clear(bands, DB_BF16_SIDE,
              to + strip * bands->strip_size +
                  rows->rows * bands->row * DB_BF16_LINE);
}

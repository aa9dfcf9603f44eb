/* SPDX-License-Identifier: MIT */
/* Images laid out for tiles. */
#include <string.h>

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

struct work {
    const struct db_bf16_isa *isa;
    const struct db_bf16_picture *picture;
    const float *x;
};

static void clear(const struct db_bf16_picture *p, uint8_t *to, int64_t lines)
{
    int64_t i;
    int part;

    for (part = 0; part < p->parts; part++)
        for (i = 0; i < lines; i++)
            memset(to + part * p->apart + i * DB_BF16_LINE, 0, DB_BF16_LINE);
}

/* A row of pixels, in all planes. */
static void lay_pixels(const struct work *work, const float *x, uint8_t *to)
{
    const struct db_bf16_picture *p = work->picture;
    const int64_t plane = p->positions * DB_BF16_LINE;
    struct db_bf16_from from = {x, NULL, p->channels};
    int64_t i;

    if (p->spread == 1) {
        work->isa->rows(&from, p->width, p->channels, to, plane, p->parts,
                        p->apart);
        return;
    }
    for (i = 0; i < p->width; i++, from.f32 += p->channels) {
        work->isa->rows(&from, 1, p->channels, to, plane, p->parts, p->apart);
        to += p->spread * DB_BF16_LINE;
    }
}

/* The positions of a row that are no pixels, in all planes. */
static void clear_row(const struct db_bf16_picture *p, int64_t lines,
                      bool is_pixels, uint8_t *to)
{
    const int64_t after = p->left + (p->width - 1) * p->spread + 1;
    int64_t plane, i;

    for (plane = 0; plane < p->planes; plane++) {
        if (!is_pixels) {
            clear(p, to, lines);
        } else {
            clear(p, to, p->left);
            for (i = p->left; p->spread > 1 && i + 1 < after; i += p->spread)
                clear(p, to + (i + 1) * DB_BF16_LINE, p->spread - 1);
            clear(p, to + after * DB_BF16_LINE, p->columns - after);
        }
        to += p->positions * DB_BF16_LINE;
    }
}

static void clear_planes(const struct db_bf16_picture *p, uint8_t *to,
                         int64_t lines)
{
    int64_t plane;

    for (plane = 0; plane < p->planes; plane++)
        clear(p, to + plane * p->positions * DB_BF16_LINE, lines);
}

/* A row of a copy, whose first column is the image's FIRST. */
static void lay_copied(const struct work *work, const float *x, int64_t first,
                       uint8_t *to)
{
    const struct db_bf16_picture *p = work->picture;
    const int64_t before =
        first < 0 ? db_blas_pieces(-first, p->stride) : (int64_t)0;
    const int64_t end = db_blas_smaller(
        p->columns,
        first < p->width ? db_blas_pieces(p->width - first, p->stride) : 0);
    const struct db_bf16_from from = {x + (first + before * p->stride) *
                                              p->channels,
                                      NULL, p->stride * p->channels};

    if (end <= before) {
        clear_planes(p, to, p->columns);
        return;
    }
    clear_planes(p, to, before);
    work->isa->rows(&from, end - before, p->channels,
                    to + before * DB_BF16_LINE, p->positions * DB_BF16_LINE,
                    p->parts, p->apart);
    clear_planes(p, to + end * DB_BF16_LINE, p->columns - end);
}

/* A row of a copy has the lines of another one's, SHIFT columns on. */
static void shift_row(const struct db_bf16_picture *p, const uint8_t *from,
                      int64_t shift, uint8_t *to)
{
    const int64_t first = shift < 0 ? -shift : 0;
    const int64_t end = p->columns - (shift > 0 ? shift : 0);
    int64_t plane, i;
    int part;

    clear_planes(p, to, first);
    for (plane = 0; plane < p->planes; plane++)
        for (part = 0; part < p->parts; part++) {
            const int64_t at =
                plane * p->positions * DB_BF16_LINE + part * p->apart;

            for (i = first; i < end; i++)
                memcpy(to + at + i * DB_BF16_LINE,
                       from + at + (i + shift) * DB_BF16_LINE, DB_BF16_LINE);
        }
    clear_planes(p, to + end * DB_BF16_LINE, p->columns - end);
}

/* A row of pixels in all copies, which are COPY bytes apart: one copy may have
 * all of them, and is the first to be laid. */
static void lay_row_of_copies(const struct work *work, const float *x,
                              int64_t copy, uint8_t *to)
{
    const struct db_bf16_picture *p = work->picture;
    const bool is_shifted =
        p->stride == 1 && p->columns == p->width && p->left < p->copies;
    const uint8_t *whole = to + p->left * copy;
    int64_t i;

    if (is_shifted)
        lay_copied(work, x, 0, to + p->left * copy);
    for (i = 0; i < p->copies; i++, to += copy)
        if (!is_shifted)
            lay_copied(work, x, i - p->left, to);
        else if (i != p->left)
            shift_row(p, whole, i - p->left, to);
}

/* A row of positions in all copies and planes; row p->rows is what is behind.
 */
static void lay_copies(const struct work *work, int64_t index)
{
    const struct db_bf16_picture *p = work->picture;
    const int64_t row = index % (p->rows + 1), image = index / (p->rows + 1);
    const int64_t copy = p->rows * p->columns;
    const int64_t y = row - p->top;
    uint8_t *to = p->at + image * p->planes * p->positions * DB_BF16_LINE;
    const float *x = work->x + (image * p->height + y) * p->width * p->channels;
    int64_t i;

    if (row == p->rows) {
        clear_planes(p, to + p->copies * copy * DB_BF16_LINE,
                     p->positions - p->copies * copy);
        return;
    }
    to += (row % p->stride * (p->rows / p->stride) + row / p->stride) *
          p->columns * DB_BF16_LINE;
    if (y >= 0 && y < p->height) {
        lay_row_of_copies(work, x, copy * DB_BF16_LINE, to);
        return;
    }
    for (i = 0; i < p->copies; i++, to += copy * DB_BF16_LINE)
        clear_planes(p, to, p->columns);
}

/* A row of positions, in all planes; row p->rows is what is behind. */
static void lay_row(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const struct db_bf16_picture *p = work->picture;
    const int64_t row = index % (p->rows + 1), image = index / (p->rows + 1);
    const int64_t y = (row - p->top) / p->spread;
    const bool is_pixels = row >= p->top && row < p->rows && y < p->height &&
                           (row - p->top) % p->spread == 0;
    const int64_t lines =
        row == p->rows ? p->positions - p->rows * p->columns : p->columns;
    uint8_t *to =
        p->at +
        (image * p->planes * p->positions + row * p->columns) * DB_BF16_LINE;

    (void)worker;
    if (p->copies > 0) {
        lay_copies(work, index);
        return;
    }
    clear_row(p, lines, is_pixels, to);
    if (is_pixels)
        lay_pixels(work,
                   work->x + (image * p->height + y) * p->width * p->channels,
                   to + p->left * DB_BF16_LINE);
}

void db_bf16_picture_measure(struct db_bf16_picture *picture)
{
    picture->planes = db_blas_pieces(picture->channels, DB_BF16_STEP);
    picture->apart =
        picture->batch * picture->planes * picture->positions * DB_BF16_LINE;
}

void db_bf16_picture_lay(const struct db_bf16_isa *isa, const float *x,
                         const struct db_bf16_picture *picture)
{
    struct work work = {isa, picture, x};
    int64_t i;

    for (i = 0; i < picture->batch * (picture->rows + 1); i++)
        lay_row(&work, i, 0);
}

int db_bf16_picture_new(const dreambooth_kernel_host *host,
                        const struct db_bf16_isa *isa, const float *x,
                        struct db_bf16_picture *picture)
{
    struct work work = {isa, picture, x};

    db_bf16_picture_measure(picture);
    picture->at =
        host->scratch_new(host, (size_t)(picture->apart * picture->parts));
    if (picture->at == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, picture->batch * (picture->rows + 1), lay_row, &work);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* Where the squares of Winograd's way lie, and the weights that it needs. */
#include "kernel/blas/blas_int.h"
#include "kernel/simd/winograd_int.h"

int64_t db_simd_winograd_squares(const dreambooth_conv2d *c)
{
    return c->batch * db_blas_pieces(c->out_height, 4) *
           db_blas_pieces(c->out_width, 4);
}

bool db_winograd_is_work(const dreambooth_conv2d *c)
{
    return (double)(c->batch * c->out_height * c->out_width) * 9.0 *
               (double)(c->in_channels * c->out_channels) >=
           DB_SIMD_LARGE_CONV2D;
}

struct db_winograd_squares db_winograd_squares(const dreambooth_conv2d *c)
{
    const int64_t rows = db_blas_pieces(c->out_height, 4);
    const int64_t columns = db_blas_pieces(c->out_width, 4);

    return (struct db_winograd_squares){rows, columns,
                                        db_simd_winograd_squares(c)};
}

/* Where a square lies: its image, and its first pixel of y. */
struct place {
    int64_t image, y, x;
};

static struct place place_of(const struct db_winograd_squares *squares,
                             int64_t square)
{
    const int64_t each = squares->rows * squares->columns;

    return (struct place){square / each, square % each / squares->columns * 4,
                          square % squares->columns * 4};
}

void db_winograd_see(const dreambooth_conv2d *c,
                     const struct db_winograd_squares *squares, int64_t square,
                     const float *zeros, const float *pixels[36])
{
    const struct place at = place_of(squares, square);
    int i;

    for (i = 0; i < 36; i++) {
        int64_t y = at.y + i / 6 - c->pad_top, x = at.x + i % 6 - c->pad_left;
        bool inside = y >= 0 && y < c->in_height && x >= 0 && x < c->in_width;

        pixels[i] =
            !inside ? zeros
                    : c->x + ((at.image * c->in_height + y) * c->in_width + x) *
                                 c->in_channels;
    }
}

void db_winograd_find(const dreambooth_conv2d *c,
                      const struct db_winograd_squares *squares, int64_t square,
                      int64_t offsets[16])
{
    const struct place at = place_of(squares, square);
    int i;

    for (i = 0; i < 16; i++) {
        int64_t y = at.y + i / 4, x = at.x + i % 4;

        offsets[i] = y >= c->out_height || x >= c->out_width
                         ? -1
                         : ((at.image * c->out_height + y) * c->out_width + x) *
                               c->out_channels;
    }
}

void db_winograd_fetch(struct db_winograd_next *next, int64_t share, int64_t of)
{
#ifdef __GNUC__
    const int64_t end = next->rows * 9 * share / of;
    int64_t i;

    for (; next->done < end; next->done++) {
        const float *at = next->at + next->done % 9 * next->place;

        for (i = 0; i < next->width; i += 16)
            __builtin_prefetch(at + i, 0, 2);
        if (next->done % 9 == 8)
            next->at += next->row;
    }
#endif
}

void db_winograd_put(const struct db_simd_isa *isa,
                     const struct db_simd_convolution *s,
                     const struct db_winograd_squares *squares, int64_t square,
                     int64_t panel, const float *m, int64_t place)
{
    const dreambooth_conv2d *c = &s->c;
    const int64_t first = panel * isa->columns;
    int64_t offsets[16];
    float *pixels[16];
    int i;

    db_winograd_find(c, squares, square, offsets);
    for (i = 0; i < 16; i++)
        pixels[i] = offsets[i] < 0 ? NULL : c->y + offsets[i] + first;
    isa->winograd_output(db_blas_smaller(isa->columns, c->out_channels - first),
                         m, place, c->bias == NULL ? NULL : c->bias + first,
                         pixels);
}

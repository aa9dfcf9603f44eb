/* SPDX-License-Identifier: MIT */
/*
 * The EXIF orientation. Reading: a cursor that refuses to leave the block, in
 * either byte order. Applying: each of the eight ways is "swap the axes or not,
 * then mirror either source axis or not", so a table of three flags does it.
 */
#include "file/exif.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define ENTRY_BYTES 12

struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
};

/* WIDTH bytes (at most 4) at OFFSET as a number; false outside the block. */
static bool tiff_number(const struct tiff *tiff, size_t offset, size_t width,
                        uint32_t *out)
{
    uint32_t value = 0;
    size_t i;

    if (offset > tiff->size || width > tiff->size - offset)
        return false;
    for (i = 0; i < width; i++) {
        size_t at = tiff->big_endian ? i : width - 1 - i;

        value = value << 8 | tiff->bytes[offset + at];
    }
    *out = value;
    return true;
}

/* The single number in the directory entry at OFFSET, whichever integer type
 * the writer chose for it. */
static bool entry_value(const struct tiff *tiff, size_t offset, uint32_t *out)
{
    static const size_t widths[] = {[1] = 1, [3] = 2, [4] = 4};
    uint32_t type, count;

    return tiff_number(tiff, offset + 2, 2, &type) &&
           tiff_number(tiff, offset + 4, 4, &count) && count == 1 &&
           type < DB_COUNT(widths) && widths[type] != 0 &&
           tiff_number(tiff, offset + 8, widths[type], out);
}

int db_exif_orientation(const uint8_t *bytes, size_t size)
{
    struct tiff tiff = {bytes, size, false};
    uint32_t magic, directory, count, i;

    if (size < 8 ||
        (memcmp(bytes, "II", 2) != 0 && memcmp(bytes, "MM", 2) != 0))
        return 1;
    tiff.big_endian = bytes[0] == 'M';
    if (!tiff_number(&tiff, 2, 2, &magic) || magic != 42 ||
        !tiff_number(&tiff, 4, 4, &directory) ||
        !tiff_number(&tiff, directory, 2, &count))
        return 1;
    for (i = 0; i < count; i++) {
        size_t offset = (size_t)directory + 2 + (size_t)i * ENTRY_BYTES;
        uint32_t tag, value;

        if (!tiff_number(&tiff, offset, 2, &tag))
            return 1;
        if (tag == TAG_ORIENTATION)
            return entry_value(&tiff, offset, &value) && value >= 1 &&
                           value <= 8
                       ? (int)value
                       : 1;
    }
    return 1;
}

/* The picture's pixel (x, y) comes from the file's (x, y), or (y, x) with
 * `swap`, counted from the right or the bottom where mirrored. */
struct turn {
    bool swap, mirror_x, mirror_y;
};

static const struct turn turns[] = {
    [2] = {false, true, false}, [3] = {false, true, true},
    [4] = {false, false, true}, [5] = {true, false, false},
    [6] = {true, false, true},  [7] = {true, true, true},
    [8] = {true, true, false},
};

static void turn_pixels(const struct turn *turn, const struct db_image *from,
                        struct db_image *to)
{
    uint8_t *out = to->pixels;
    int x, y;

    for (y = 0; y < to->height; y++)
        for (x = 0; x < to->width; x++) {
            int sx = turn->swap ? y : x;
            int sy = turn->swap ? x : y;

            if (turn->mirror_x)
                sx = from->width - 1 - sx;
            if (turn->mirror_y)
                sy = from->height - 1 - sy;
            memcpy(out,
                   from->pixels +
                       ((size_t)sy * (size_t)from->width + (size_t)sx) * 3,
                   3);
            out += 3;
        }
}

int db_exif_apply(struct db_env *env, const char *name, int orientation,
                  struct db_image **image)
{
    const struct db_image *from = *image;
    const struct turn *turn;
    struct db_image *to;
    int status;

    if (orientation < 2 || orientation >= (int)DB_COUNT(turns))
        return DREAMBOOTH_OK;
    turn = &turns[orientation];
    status = turn->swap ? db_image_new(env, from->height, from->width, &to)
                        : db_image_new(env, from->width, from->height, &to);
    if (status != DREAMBOOTH_OK)
        return db_fail_prefix(env, status, "%s", name);
    turn_pixels(turn, from, to);
    db_image_free(env, *image);
    *image = to;
    return DREAMBOOTH_OK;
}

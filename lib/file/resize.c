/* SPDX-License-Identifier: MIT */
/*
 * Pillow's resize: two passes, one an axis, each a weighted sum in fixed point
 * whose result is rounded to 8 bits before the other begins. The weights depend
 * on the position along the axis alone and are made once a pass.
 */
#include "file/resize.h"

#include <math.h>
#include <string.h>

#define FRACTION_BITS 22

struct filter {
    double (*weight)(double x);
    double radius;
};

static double bilinear_weight(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic_weight(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static const struct filter filters[] = {
    [DB_FILTER_BILINEAR] = {bilinear_weight, 1.0},
    [DB_FILTER_BICUBIC] = {bicubic_weight, 2.0},
};

/* For each of the target's positions: the source positions from first on, and
 * the fixed-point weight of each. */
struct taps {
    int *first;       /* [target] */
    int *count;       /* [target], at most stride */
    int32_t *weights; /* [target, stride] */
    size_t stride;
};

static void taps_free(struct db_env *env, struct taps *taps)
{
    db_free(env, taps->first);
    db_free(env, taps->count);
    db_free(env, taps->weights);
}

static int32_t fixed_point(double weight)
{
    double scaled = weight * (1 << FRACTION_BITS);

    return (int32_t)(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
}

/* ROW has room for the doubles of one position. */
static void fill_position(struct taps *taps, const struct filter *filter,
                          double *row, int source, int target, int position)
{
    double scale = (double)source / target;
    double widening = scale < 1.0 ? 1.0 : scale;
    double radius = filter->radius * widening;
    double reciprocal = 1.0 / widening;
    double center = (position + 0.5) * scale;
    int first = (int)(center - radius + 0.5);
    int end = (int)(center + radius + 0.5);
    int32_t *weights = taps->weights + (size_t)position * taps->stride;
    double sum = 0.0;
    int i;

    first = first < 0 ? 0 : first;
    end = end > source ? source : end;
    for (i = 0; i < end - first; i++) {
        row[i] = filter->weight((i + first - center + 0.5) * reciprocal);
        sum += row[i];
    }
    for (i = 0; i < end - first; i++)
        weights[i] = fixed_point(sum != 0.0 ? row[i] / sum : row[i]);
    taps->first[position] = first;
    taps->count[position] = end - first;
}

static int taps_make(struct db_env *env, const struct filter *filter,
                     int source, int target, struct taps *taps)
{
    double widening = source > target ? (double)source / target : 1.0;
    double *row = NULL;
    int i;

    memset(taps, 0, sizeof(*taps));
    taps->stride = (size_t)ceil(filter->radius * widening) * 2 + 1;
    taps->first = db_alloc_array(env, (size_t)target, sizeof(int));
    if (taps->first == NULL)
        goto fail;
    taps->count = db_alloc_array(env, (size_t)target, sizeof(int));
    if (taps->count == NULL)
        goto fail;
    taps->weights =
        db_alloc_array(env, (size_t)target * taps->stride, sizeof(int32_t));
    if (taps->weights == NULL)
        goto fail;
    row = db_alloc_array(env, taps->stride, sizeof(double));
    if (row == NULL)
        goto fail;
    for (i = 0; i < target; i++)
        fill_position(taps, filter, row, source, target, i);
    db_free(env, row);
    return DREAMBOOTH_OK;
fail:
    taps_free(env, taps);
    return env->error_status;
}

static uint8_t rounded(int32_t sum)
{
    int32_t value = sum >> FRACTION_BITS;

    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* The weights' absolute values sum to less than 2, so that 255 times their sum
 * fits 31 bits. */
static uint8_t weigh(const uint8_t *from, size_t step, const int32_t *weights,
                     int count)
{
    int32_t sum = 1 << (FRACTION_BITS - 1);
    int i;

    for (i = 0; i < count; i++)
        sum += from[(size_t)i * step] * weights[i];
    return rounded(sum);
}

static void pass_horizontal(const struct taps *taps,
                            const struct db_image *from, struct db_image *to)
{
    uint8_t *out = to->pixels;
    int x, y;
    size_t channel;

    for (y = 0; y < to->height; y++) {
        const uint8_t *row = from->pixels + (size_t)y * (size_t)from->width * 3;

        for (x = 0; x < to->width; x++)
            for (channel = 0; channel < 3; channel++)
                *out++ = weigh(row + (size_t)taps->first[x] * 3 + channel, 3,
                               taps->weights + (size_t)x * taps->stride,
                               taps->count[x]);
    }
}

static void pass_vertical(const struct taps *taps, const struct db_image *from,
                          struct db_image *to)
{
    size_t row_bytes = (size_t)from->width * 3;
    uint8_t *out = to->pixels;
    size_t x;
    int y;

    for (y = 0; y < to->height; y++) {
        const uint8_t *column =
            from->pixels + (size_t)taps->first[y] * row_bytes;

        for (x = 0; x < row_bytes; x++)
            *out++ =
                weigh(column + x, row_bytes,
                      taps->weights + (size_t)y * taps->stride, taps->count[y]);
    }
}

/* One axis: to WIDTH with `vertical` false, to SIDE of the other with true. */
static int resize_axis(struct db_env *env, const struct db_image *image,
                       int side, bool vertical, const struct filter *filter,
                       struct db_image **out)
{
    struct db_image *result;
    struct taps taps;
    int status = taps_make(env, filter, vertical ? image->height : image->width,
                           side, &taps);

    if (status != DREAMBOOTH_OK)
        return status;
    status = vertical ? db_image_new(env, image->width, side, &result)
                      : db_image_new(env, side, image->height, &result);
    if (status == DREAMBOOTH_OK) {
        (vertical ? pass_vertical : pass_horizontal)(&taps, image, result);
        *out = result;
    }
    taps_free(env, &taps);
    return status;
}

/* Pillow 13's order; until 12 the horizontal pass was always the first. */
static bool vertical_first(const struct db_image *image, int width, int height)
{
    return image->height > height && (int64_t)image->height - height >
                                         2 * ((int64_t)image->width - width);
}

static int check_target(struct db_env *env, int width, int height)
{
    if (width >= 1 && height >= 1 && width <= DB_IMAGE_MAX_SIDE &&
        height <= DB_IMAGE_MAX_SIDE &&
        (int64_t)width * height <= DB_IMAGE_MAX_PIXELS)
        return DREAMBOOTH_OK;
    return db_fail(env, DREAMBOOTH_EINVAL,
                   "cannot resize to %d x %d pixels: sides are 1 to %d", width,
                   height, DB_IMAGE_MAX_SIDE);
}

int db_image_resize(struct db_env *env, const struct db_image *image, int width,
                    int height, enum db_filter filter, struct db_image **out)
{
    struct db_image *half = NULL;
    struct db_image *whole = NULL;
    bool vertical = vertical_first(image, width, height);
    bool two_passes = width != image->width && height != image->height;
    int status = check_target(env, width, height);

    if (status != DREAMBOOTH_OK)
        return status;
    if (width == image->width && height == image->height)
        return db_image_crop(env, image, 0, 0, width, height, out);
    if (!two_passes)
        vertical = height != image->height;
    status = resize_axis(env, image, vertical ? height : width, vertical,
                         &filters[filter], &half);
    if (status != DREAMBOOTH_OK)
        return status;
    if (!two_passes) {
        *out = half;
        return DREAMBOOTH_OK;
    }
    status = resize_axis(env, half, vertical ? width : height, !vertical,
                         &filters[filter], &whole);
    db_image_free(env, half);
    if (status == DREAMBOOTH_OK)
        *out = whole;
    return status;
}

int db_image_resize_short_side(struct db_env *env, const struct db_image *image,
                               int size, enum db_filter filter,
                               struct db_image **out)
{
    bool upright = image->width <= image->height;
    int shorter = upright ? image->width : image->height;
    int longer = upright ? image->height : image->width;
    int64_t side;

    if (size < 1 || size > DB_IMAGE_MAX_SIDE)
        return check_target(env, size, size);
    side = (int64_t)size * longer / shorter;
    if (side > DB_IMAGE_MAX_SIDE)
        return check_target(env, size, DB_IMAGE_MAX_SIDE + 1);
    return upright ? db_image_resize(env, image, size, (int)side, filter, out)
                   : db_image_resize(env, image, (int)side, size, filter, out);
}

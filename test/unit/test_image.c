/* SPDX-License-Identifier: MIT */
/*
 * Pictures: files are made here with libpng and libjpeg, read back, and then
 * damaged in every way that is cheap to enumerate.
 */
#include "unit.h"

#include <math.h>
#include <setjmp.h>

#include <jpeglib.h>
#include <png.h>

#include "file/exif.h"
#include "file/image.h"
#include "file/jpeg.h"
#include "file/png.h"
#include "file/resize.h"

#define MEGABYTE ((uint64_t)1 << 20)

/* An environment whose allocator fails once its allowance is used up. */
struct failing {
    struct db_env env;
    long allowance; /* calls; negative: without end */
};

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    struct failing *failing = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (failing->allowance == 0)
        return NULL;
    if (failing->allowance > 0)
        failing->allowance--;
    return realloc(pointer, size);
}

static struct db_env *start(struct failing *failing)
{
    db_env_init(&failing->env);
    failing->env.resize = failing_resize;
    failing->env.resize_user = failing;
    failing->allowance = -1;
    return &failing->env;
}

static void finish(struct db_env *env)
{
    ck_assert_uint_eq(atomic_load(&env->live_bytes), 0);
}

static void assert_says(const struct db_env *env, const char *part)
{
    ck_assert_msg(strstr(env->error_text, part) != NULL,
                  "\"%s\" does not say \"%s\"", env->error_text, part);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Smooth colours with an edge, a little noise, and no symmetry. */
static struct db_image *draw(struct db_env *env, int width, int height)
{
    struct db_image *image;
    uint32_t state = 7;
    int x, y;

    ck_assert_int_eq(db_image_new(env, width, height, &image), 0);
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + (y * width + x) * 3;

            pixel[0] = (uint8_t)(40 + 150 * x / width +
                                 (int)(next_random(&state) % 4));
            pixel[1] = (uint8_t)(30 + 180 * y / height);
            pixel[2] = (uint8_t)(x > width / 3 ? 60 : 190);
        }
    return image;
}

/* A file being made. */
struct bytes {
    uint8_t *data;
    size_t size;
};

static void bytes_append(struct bytes *bytes, const void *more, size_t size)
{
    bytes->data = realloc(bytes->data, bytes->size + size + 1);
    ck_assert_ptr_nonnull(bytes->data);
    memcpy(bytes->data + bytes->size, more, size);
    bytes->size += size;
}

struct jpeg_form {
    int components; /* 1, 3 or 4 */
    bool progressive, smooth_chroma, one_scan_each;
    unsigned restart_interval;
    const uint8_t *exif;
    unsigned exif_size;
};

static void jpeg_settings(struct jpeg_compress_struct *jpeg,
                          const struct jpeg_form *form)
{
    static jpeg_scan_info scans[] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};

    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, 92, TRUE);
    jpeg->restart_interval = form->restart_interval;
    if (form->components == 3 && !form->smooth_chroma)
        jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1;
    if (form->progressive)
        jpeg_simple_progression(jpeg);
    if (form->one_scan_each) {
        jpeg->scan_info = scans;
        jpeg->num_scans = 3;
    }
}

/* The red channel alone for grey; for CMYK the inverted inks that give the
 * picture back: without black, stored as the colours themselves. */
static void jpeg_row(const struct db_image *image, int y, int components,
                     uint8_t *row)
{
    const uint8_t *from = image->pixels + (size_t)y * (size_t)image->width * 3;
    int x, channel;

    for (x = 0; x < image->width; x++)
        for (channel = 0; channel < components; channel++)
            *row++ = channel == 3 ? 255 : from[x * 3 + channel];
}

static struct bytes make_jpeg(const struct db_image *image,
                              const struct jpeg_form *form)
{
    static const J_COLOR_SPACE spaces[] = {
        [1] = JCS_GRAYSCALE, [3] = JCS_RGB, [4] = JCS_CMYK};
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct bytes bytes = {NULL, 0};
    unsigned long size = 0;
    uint8_t row[4096];
    JSAMPROW rows = row;
    int y;

    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes.data, &size);
    jpeg.image_width = (JDIMENSION)image->width;
    jpeg.image_height = (JDIMENSION)image->height;
    jpeg.input_components = form->components;
    jpeg.in_color_space = spaces[form->components];
    jpeg_settings(&jpeg, form);
    jpeg_start_compress(&jpeg, TRUE);
    if (form->exif != NULL)
        jpeg_write_marker(&jpeg, JPEG_APP0 + 1, form->exif, form->exif_size);
    for (y = 0; y < image->height; y++) {
        jpeg_row(image, y, form->components, row);
        jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    bytes.size = size;
    return bytes;
}

struct png_form {
    int color_type, depth;
    bool interlaced, transparent;
    const uint8_t *exif;
    unsigned exif_size;
};

static void png_append(png_structp png, png_bytep data, size_t size)
{
    bytes_append(png_get_io_ptr(png), data, size);
}

static void png_nothing(png_structp png)
{
    (void)png;
}

static void png_settings(png_structp png, png_infop info,
                         const struct png_form *form, int width, int height)
{
    png_color palette[256];
    png_byte alpha[3] = {0, 100, 200};
    png_color_16 key = {0, 1, 1, 1, 1};
    int i;

    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height,
                 form->depth, form->color_type,
                 form->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_gAMA(png, info, 0.9);
    for (i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)(255 - i), (png_byte)(i * 7),
                                 (png_byte)(i * 31)};
    if (form->color_type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 1 << form->depth);
    if (form->transparent)
        png_set_tRNS(png, info, alpha, 2, &key);
    if (form->exif != NULL)
        png_set_eXIf_1(png, info, form->exif_size,
                       (png_bytep)(uintptr_t)form->exif);
}

/* SAMPLES are rows of ROW_BYTES as they stand in the file. */
static struct bytes make_png(const struct png_form *form, int width, int height,
                             const uint8_t *samples, size_t row_bytes)
{
    struct bytes bytes = {NULL, 0};
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    int pass, passes, y;

    ck_assert_ptr_nonnull(info);
    png_set_write_fn(png, &bytes, png_append, png_nothing);
    png_settings(png, info, form, width, height);
    png_write_info(png, info);
    passes = png_set_interlace_handling(png);
    for (pass = 0; pass < passes; pass++)
        for (y = 0; y < height; y++)
            png_write_row(png, samples + (size_t)y * row_bytes);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return bytes;
}

static struct bytes make_plain_png(const struct db_image *image,
                                   const uint8_t *exif, unsigned exif_size)
{
    const struct png_form form = {PNG_COLOR_TYPE_RGB, 8, false, false, exif,
                                  exif_size};

    return make_png(&form, image->width, image->height, image->pixels,
                    (size_t)image->width * 3);
}

static struct db_image *decode(struct db_env *env, struct bytes bytes)
{
    struct db_image *image = NULL;

    ck_assert_msg(
        db_image_decode(env, "file", bytes.data, bytes.size, &image) == 0, "%s",
        env->error_text);
    free(bytes.data);
    return image;
}

static void assert_same(const struct db_image *a, const struct db_image *b)
{
    ck_assert_int_eq(a->width, b->width);
    ck_assert_int_eq(a->height, b->height);
    ck_assert_mem_eq(a->pixels, b->pixels, db_image_size(a));
}

static double mean_difference(const struct db_image *a,
                              const struct db_image *b)
{
    size_t size = db_image_size(a);
    double sum = 0.0;
    size_t i;

    ck_assert_uint_eq(size, db_image_size(b));
    for (i = 0; i < size; i++)
        sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / (double)size;
}

START_TEST(jpeg_forms)
{
    static const struct jpeg_form forms[] = {
        {.components = 3},
        {.components = 3, .progressive = true},
        {.components = 3, .restart_interval = 2},
        {.components = 3, .one_scan_each = true},
        {.components = 4},
        {.components = 4, .progressive = true},
    };
    static const int sizes[][2] = {{1, 1}, {17, 9}, {40, 31}, {8, 8}};
    struct failing failing;
    struct db_env *env = start(&failing);
    size_t i, s;

    for (s = 0; s < DB_COUNT(sizes); s++) {
        struct db_image *image = draw(env, sizes[s][0], sizes[s][1]);
        struct db_image *first = decode(env, make_jpeg(image, &forms[0]));

        for (i = 0; i < DB_COUNT(forms); i++) {
            struct db_image *got = decode(env, make_jpeg(image, &forms[i]));

            ck_assert_double_lt(mean_difference(image, got), 3.0);
            if (forms[i].components == 3)
                assert_same(first, got);
            db_image_free(env, got);
        }
        db_image_free(env, first);
        db_image_free(env, image);
    }
    finish(env);
}
END_TEST

START_TEST(jpeg_grey_and_chroma)
{
    const struct jpeg_form grey = {.components = 1};
    const struct jpeg_form chroma = {.components = 3, .smooth_chroma = true};
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 37, 43);
    struct db_image *got = decode(env, make_jpeg(image, &grey));
    size_t i;

    for (i = 0; i < db_image_size(got); i += 3) {
        ck_assert_int_eq(got->pixels[i], got->pixels[i + 1]);
        ck_assert_int_eq(got->pixels[i], got->pixels[i + 2]);
        ck_assert_int_le(abs(got->pixels[i] - image->pixels[i]), 12);
    }
    db_image_free(env, got);
    got = decode(env, make_jpeg(image, &chroma));
    ck_assert_double_lt(mean_difference(image, got), 6.0);
    db_image_free(env, got);
    db_image_free(env, image);
    finish(env);
}
END_TEST

/* The sample for channel C at (x, y), of DEPTH bits. */
static unsigned sample_at(int x, int y, int c, int depth)
{
    return (unsigned)(x * 37 + y * 101 + c * 53 + x * y * 7 + 5) *
           (depth == 16 ? 263u : 1u) % (1u << depth);
}

static size_t fill_samples(uint8_t *samples, int width, int height,
                           int channels, int depth)
{
    size_t row_bytes =
        ((size_t)width * (size_t)channels * (size_t)depth + 7) / 8;
    int x, y, c;

    memset(samples, 0, row_bytes * (size_t)height);
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++)
            for (c = 0; c < channels; c++) {
                unsigned value = sample_at(x, y, c, depth);
                size_t bit = (size_t)(x * channels + c) * (size_t)depth;
                uint8_t *at = samples + (size_t)y * row_bytes + bit / 8;

                if (depth == 16) {
                    at[0] = (uint8_t)(value >> 8);
                    at[1] = (uint8_t)value;
                } else {
                    at[0] |= (uint8_t)(value << (8 - (size_t)depth - bit % 8));
                }
            }
    return row_bytes;
}

/* What the pixel must be, from the samples. */
static void expected_pixel(const struct png_form *form, int x, int y,
                           uint8_t pixel[3])
{
    bool color = (form->color_type & PNG_COLOR_MASK_COLOR) != 0;
    int c;

    for (c = 0; c < 3; c++) {
        unsigned value = sample_at(x, y, color ? c : 0, form->depth);

        if (form->depth == 16)
            value >>= 8;
        else if (form->depth < 8)
            value = value * 255 / ((1u << form->depth) - 1);
        pixel[c] = (uint8_t)value;
    }
    if (form->color_type == PNG_COLOR_TYPE_PALETTE) {
        unsigned index = sample_at(x, y, 0, form->depth);

        pixel[0] = (uint8_t)(255 - index);
        pixel[1] = (uint8_t)(index * 7);
        pixel[2] = (uint8_t)(index * 31);
    }
}

static void check_png(struct db_env *env, const struct png_form *form,
                      int width, int height)
{
    static const int channels[] = {[PNG_COLOR_TYPE_GRAY] = 1,
                                   [PNG_COLOR_TYPE_RGB] = 3,
                                   [PNG_COLOR_TYPE_PALETTE] = 1,
                                   [PNG_COLOR_TYPE_GRAY_ALPHA] = 2,
                                   [PNG_COLOR_TYPE_RGB_ALPHA] = 4};
    uint8_t samples[1 << 14];
    size_t row_bytes = fill_samples(samples, width, height,
                                    channels[form->color_type], form->depth);
    struct db_image *got =
        decode(env, make_png(form, width, height, samples, row_bytes));
    uint8_t want[3];
    int x, y;

    ck_assert_int_eq(got->width, width);
    ck_assert_int_eq(got->height, height);
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++) {
            expected_pixel(form, x, y, want);
            unit_assert_msg(
                memcmp(got->pixels + (y * width + x) * 3, want, 3) == 0,
                "pixel %d, %d", x, y);
        }
    db_image_free(env, got);
}

START_TEST(png_forms)
{
    static const struct {
        int color_type, depth;
    } kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1},        {PNG_COLOR_TYPE_GRAY, 2},
        {PNG_COLOR_TYPE_GRAY, 4},        {PNG_COLOR_TYPE_GRAY, 8},
        {PNG_COLOR_TYPE_GRAY, 16},       {PNG_COLOR_TYPE_RGB, 8},
        {PNG_COLOR_TYPE_RGB, 16},        {PNG_COLOR_TYPE_PALETTE, 1},
        {PNG_COLOR_TYPE_PALETTE, 2},     {PNG_COLOR_TYPE_PALETTE, 4},
        {PNG_COLOR_TYPE_PALETTE, 8},     {PNG_COLOR_TYPE_GRAY_ALPHA, 8},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {PNG_COLOR_TYPE_RGB_ALPHA, 8},
        {PNG_COLOR_TYPE_RGB_ALPHA, 16},
    };
    static const int sizes[][2] = {{1, 1}, {3, 2}, {37, 29}, {8, 16}};
    struct failing failing;
    struct db_env *env = start(&failing);
    size_t k, s;
    int way;

    for (k = 0; k < DB_COUNT(kinds); k++)
        for (s = 0; s < DB_COUNT(sizes); s++)
            for (way = 0; way < 4; way++) {
                const struct png_form form = {
                    kinds[k].color_type,
                    kinds[k].depth,
                    way % 2 == 1,
                    way / 2 == 1 &&
                        (kinds[k].color_type & PNG_COLOR_MASK_ALPHA) == 0,
                    NULL,
                    0};

                check_png(env, &form, sizes[s][0], sizes[s][1]);
            }
    finish(env);
}
END_TEST

static unsigned make_exif(uint8_t *to, bool big_endian, int type, int value)
{
    static const uint8_t little[] = {'I', 'I',  42, 0, 8, 0, 0, 0, 1,
                                     0,   0x12, 1,  0, 0, 1, 0, 0, 0,
                                     0,   0,    0,  0, 0, 0, 0, 0};
    static const uint8_t big[] = {'M', 'M', 0,    42, 0, 0, 0, 8, 0,
                                  1,   1,   0x12, 0,  0, 0, 0, 0, 1,
                                  0,   0,   0,    0,  0, 0, 0, 0};

    memcpy(to, big_endian ? big : little, sizeof(little));
    to[big_endian ? 13 : 12] = (uint8_t)type;
    to[!big_endian || type == 1 ? 18 : type == 3 ? 19 : 21] = (uint8_t)value;
    return sizeof(little);
}

/* Pixels named by letters, row after row, for each orientation of ABC/DEF. */
static const struct {
    int width, height;
    const char *letters;
} upright[] = {
    {3, 2, "ABCDEF"}, {3, 2, "ABCDEF"}, {3, 2, "CBAFED"}, {3, 2, "FEDCBA"},
    {3, 2, "DEFABC"}, {2, 3, "ADBECF"}, {2, 3, "DAEBFC"}, {2, 3, "FCEBDA"},
    {2, 3, "CFBEAD"}, {3, 2, "ABCDEF"},
};

static struct db_image *draw_letters(struct db_env *env)
{
    struct db_image *image;
    int i;

    ck_assert_int_eq(db_image_new(env, 3, 2, &image), 0);
    for (i = 0; i < 18; i++)
        image->pixels[i] = (uint8_t)('A' + i / 3);
    return image;
}

START_TEST(png_orientation)
{
    static const int types[] = {1, 3, 4};
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw_letters(env);
    uint8_t exif[64];
    size_t value, t, i;
    int big;

    for (value = 0; value < DB_COUNT(upright); value++)
        for (t = 0; t < DB_COUNT(types); t++)
            for (big = 0; big < 2; big++) {
                unsigned size = make_exif(exif, big == 1, types[t], (int)value);
                struct db_image *got =
                    decode(env, make_plain_png(image, exif, size));

                ck_assert_int_eq(got->width, upright[value].width);
                ck_assert_int_eq(got->height, upright[value].height);
                for (i = 0; i < 18; i++)
                    ck_assert_int_eq(got->pixels[i],
                                     upright[value].letters[i / 3]);
                db_image_free(env, got);
            }
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(jpeg_orientation)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 19, 10);
    uint8_t exif[64] = "Exif\0";
    int value, big;

    for (value = 0; value < 10; value++)
        for (big = 0; big < 2; big++) {
            unsigned size = 6 + make_exif(exif + 6, big == 1, 3, value);
            const struct jpeg_form form = {
                .components = 3, .exif = exif, .exif_size = size};
            const struct jpeg_form plain = {.components = 3};
            struct db_image *got = decode(env, make_jpeg(image, &form));
            struct db_image *want = decode(env, make_jpeg(image, &plain));

            ck_assert_int_eq(db_exif_apply(env, "file", value, &want), 0);
            assert_same(want, got);
            db_image_free(env, want);
            db_image_free(env, got);
        }
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(exif_is_hostile)
{
    uint32_t state = 3;
    uint8_t exif[64], copy[64];
    unsigned size = make_exif(exif, false, 3, 6);
    unsigned i, cut;

    ck_assert_int_eq(db_exif_orientation(exif, size), 6);
    for (cut = 0; cut < 20; cut++)
        ck_assert_int_eq(db_exif_orientation(exif, cut), 1);
    for (i = 0; i < 20000; i++) {
        uint8_t *block;
        int orientation;

        memcpy(copy, exif, size);
        copy[next_random(&state) % size] = (uint8_t)next_random(&state);
        copy[next_random(&state) % size] = (uint8_t)next_random(&state);
        cut = next_random(&state) % (size + 1);
        block = malloc(cut + 1);
        ck_assert_ptr_nonnull(block);
        memcpy(block, copy, cut);
        orientation = db_exif_orientation(block, cut);
        ck_assert_int_ge(orientation, 1);
        ck_assert_int_le(orientation, 8);
        free(block);
    }
}
END_TEST

/* Some small files of every sort, for the tests that damage them. */
static int sample_files(struct db_env *env, struct bytes files[8])
{
    const struct jpeg_form jpegs[] = {
        {.components = 3, .smooth_chroma = true, .restart_interval = 2},
        {.components = 3, .progressive = true},
        {.components = 4},
    };
    const struct png_form interlaced = {
        PNG_COLOR_TYPE_RGB_ALPHA, 8, true, false, NULL, 0};
    const struct png_form palette = {
        PNG_COLOR_TYPE_PALETTE, 4, false, true, NULL, 0};
    struct db_image *image = draw(env, 19, 11);
    uint8_t samples[4096], exif[64];
    unsigned exif_size = make_exif(exif, true, 3, 5);
    size_t row_bytes, i;
    int count = 0;

    for (i = 0; i < DB_COUNT(jpegs); i++)
        files[count++] = make_jpeg(image, &jpegs[i]);
    files[count++] = make_plain_png(image, exif, exif_size);
    row_bytes = fill_samples(samples, 9, 7, 4, 8);
    files[count++] = make_png(&interlaced, 9, 7, samples, row_bytes);
    row_bytes = fill_samples(samples, 9, 7, 1, 4);
    files[count++] = make_png(&palette, 9, 7, samples, row_bytes);
    db_image_free(env, image);
    return count;
}

/* From a block of its own size, so that sanitizers see reads behind it. */
static int decode_part(struct db_env *env, const uint8_t *data, size_t size,
                       struct db_image **out)
{
    uint8_t *copy = malloc(size + (size == 0));
    int status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    status = db_image_decode(env, "dog.jpg", copy, size, out);
    free(copy);
    return status;
}

START_TEST(truncated)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *const untouched = (struct db_image *)&failing;
    struct bytes files[8];
    int count = sample_files(env, files);
    size_t size;
    int i;

    for (i = 0; i < count; i++) {
        for (size = 0; size < files[i].size; size++) {
            struct db_image *image = untouched;

            ck_assert_int_eq(decode_part(env, files[i].data, size, &image),
                             DREAMBOOTH_EFORMAT);
            ck_assert_ptr_eq(image, untouched);
            assert_says(env, "dog.jpg: ");
            if (size >= 8)
                assert_says(env, "truncated");
        }
        free(files[i].data);
    }
    finish(env);
}
END_TEST

static void decode_damaged(struct db_env *env, const struct bytes *file)
{
    struct db_image *const untouched = (struct db_image *)env;
    struct db_image *image = untouched;
    int status = decode_part(env, file->data, file->size, &image);

    if (status == DREAMBOOTH_OK) {
        db_image_free(env, image);
        return;
    }
    ck_assert_msg(status == DREAMBOOTH_EFORMAT ||
                      status == DREAMBOOTH_EUNSUPPORTED ||
                      status == DREAMBOOTH_ELIMIT,
                  "%d: %s", status, env->error_text);
    ck_assert_ptr_eq(image, untouched);
    assert_says(env, "dog.jpg: ");
}

START_TEST(bits_flipped)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct bytes files[8];
    int count = sample_files(env, files);
    size_t step = unit_is_quick() ? 11 : 1;
    size_t bit;
    int i;

    env->limit_bytes = 8 * MEGABYTE;
    for (i = 0; i < count; i++) {
        for (bit = 0; bit < files[i].size * 8; bit += step) {
            files[i].data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            decode_damaged(env, &files[i]);
            files[i].data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(files[i].data);
    }
    finish(env);
}
END_TEST

START_TEST(extra_bytes_are_harmless)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct bytes files[8];
    int count = sample_files(env, files);
    struct db_image *plain, *longer;
    int i;

    for (i = 0; i < count; i++) {
        struct bytes copy = {NULL, 0};

        bytes_append(&copy, files[i].data, files[i].size);
        bytes_append(&copy, "and then some text", 18);
        plain = decode(env, files[i]);
        longer = decode(env, copy);
        assert_same(plain, longer);
        db_image_free(env, plain);
        db_image_free(env, longer);
    }
    finish(env);
}
END_TEST

START_TEST(allocations_fail)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *const untouched = (struct db_image *)&failing;
    struct bytes files[8];
    int count = sample_files(env, files);
    long allowance;
    int i, status;

    for (i = 0; i < count; i++) {
        for (allowance = 0, status = -1; status != DREAMBOOTH_OK; allowance++) {
            struct db_image *image = untouched;

            failing.allowance = allowance;
            status = decode_part(env, files[i].data, files[i].size, &image);
            if (status == DREAMBOOTH_OK) {
                db_image_free(env, image);
                break;
            }
            ck_assert_int_eq(status, DREAMBOOTH_ENOMEM);
            ck_assert_ptr_eq(image, untouched);
            assert_says(env, "dog.jpg: ");
            assert_says(env, "memory");
            ck_assert_int_lt(allowance, 1000);
        }
        ck_assert_int_gt(allowance, 0);
        free(files[i].data);
    }
    finish(env);
}
END_TEST

static void put_sides(struct bytes *png, uint32_t width, uint32_t height)
{
    uint8_t *header = png->data + 16;
    uint32_t crc;
    int i;

    for (i = 0; i < 4; i++) {
        header[i] = (uint8_t)(width >> (24 - 8 * i));
        header[4 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    crc = 0xffffffffu;
    for (i = 12; i < 29; i++) {
        int bit;

        crc ^= png->data[i];
        for (bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    for (i = 0; i < 4; i++)
        png->data[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
}

START_TEST(too_large)
{
    static const struct {
        uint32_t width, height;
        int status;
    } sides[] = {{40000, 1, DREAMBOOTH_EUNSUPPORTED},
                 {1, 40000, DREAMBOOTH_EUNSUPPORTED},
                 {32768, 32768, DREAMBOOTH_EUNSUPPORTED},
                 {0x1fffff00, 0x1fffff00, DREAMBOOTH_EUNSUPPORTED},
                 {0, 5, DREAMBOOTH_EFORMAT},
                 {32768, 8192, DREAMBOOTH_ELIMIT}};
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 2, 2);
    struct bytes png = make_plain_png(image, NULL, 0);
    size_t i;

    env->limit_bytes = MEGABYTE;
    for (i = 0; i < DB_COUNT(sides); i++) {
        struct db_image *got;

        put_sides(&png, sides[i].width, sides[i].height);
        ck_assert_int_eq(decode_part(env, png.data, png.size, &got),
                         sides[i].status);
        assert_says(env, "dog.jpg: ");
    }
    free(png.data);
    db_image_free(env, image);
    finish(env);
}
END_TEST

/* A sequential file with its last scan six hundred times over. */
START_TEST(too_many_scans)
{
    const struct jpeg_form form = {.components = 3, .one_scan_each = true};
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 16, 16);
    struct bytes jpeg = make_jpeg(image, &form);
    struct bytes bomb = {NULL, 0};
    struct db_image *got;
    size_t scan = 0;
    size_t i;

    for (i = 0; i + 1 < jpeg.size; i++)
        if (jpeg.data[i] == 0xff && jpeg.data[i + 1] == 0xda)
            scan = i;
    bytes_append(&bomb, jpeg.data, jpeg.size - 2);
    for (i = 0; i < 600; i++)
        bytes_append(&bomb, jpeg.data + scan, jpeg.size - 2 - scan);
    bytes_append(&bomb, jpeg.data + jpeg.size - 2, 2);
    ck_assert_int_eq(decode_part(env, bomb.data, bomb.size, &got),
                     DREAMBOOTH_EFORMAT);
    assert_says(env, "scans");
    free(bomb.data);
    free(jpeg.data);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(other_kinds)
{
    static const struct {
        const char *bytes;
        size_t size;
        int status;
        const char *says;
    } files[] = {
        {"", 0, DREAMBOOTH_EFORMAT, "is empty"},
        {"hello, this is text", 19, DREAMBOOTH_EFORMAT,
         "is neither a JPEG nor a PNG file"},
        {"RIFF\x10\0\0\0WEBPVP8 ", 16, DREAMBOOTH_EUNSUPPORTED,
         "is a WebP file; only JPEG and PNG are read: convert it"},
        {"RIFF\x10\0\0\0WAVEfmt ", 16, DREAMBOOTH_EFORMAT, "neither"},
        {"GIF89a\1\0\1\0", 10, DREAMBOOTH_EUNSUPPORTED, "is a GIF file"},
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0",
         16, DREAMBOOTH_EUNSUPPORTED, "is a HEIC file"},
        {"\0\0\0\x18"
         "ftypavif\0\0\0\0",
         16, DREAMBOOTH_EUNSUPPORTED, "is an AVIF file"},
        {"II*\0\x08\0\0\0", 8, DREAMBOOTH_EUNSUPPORTED, "is a TIFF"},
        {"BM\x46\0\0\0\0\0\0\0", 10, DREAMBOOTH_EUNSUPPORTED, "is a BMP"},
        {"BMW is a car, this is text", 26, DREAMBOOTH_EFORMAT, "neither"},
    };
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image;
    size_t i;

    for (i = 0; i < DB_COUNT(files); i++) {
        ck_assert_int_eq(db_image_decode(env, "dog.jpg", files[i].bytes,
                                         files[i].size, &image),
                         files[i].status);
        assert_says(env, "dog.jpg: ");
        assert_says(env, files[i].says);
    }
    finish(env);
}
END_TEST

START_TEST(read_from_disk)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 12, 7);
    struct bytes png = make_plain_png(image, NULL, 0);
    struct db_image *got;
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    unit_directory_new(folder);
    ck_assert_int_eq(
        db_image_read(env, unit_path(path, folder, "no.png"), &got),
        DREAMBOOTH_ENOTFOUND);
    assert_says(env, "no.png");
    ck_assert_int_eq(db_image_read(env, folder, &got), DREAMBOOTH_EFORMAT);
    assert_says(env, "is not a file");
    unit_path(path, folder, "a picture called.jpg");
    unit_write_file(path, png.data, png.size);
    ck_assert_int_eq(db_image_read(env, path, &got), DREAMBOOTH_OK);
    assert_same(image, got);
    db_image_free(env, got);
    unit_write_file(path, png.data, 0);
    ck_assert_int_eq(db_image_read(env, path, &got), DREAMBOOTH_EFORMAT);
    assert_says(env, "called.jpg: is empty");
    free(png.data);
    db_image_free(env, image);
    unit_directory_free(folder);
    finish(env);
}
END_TEST

static double filter_weight(enum db_filter filter, double x)
{
    x = fabs(x);
    if (filter == DB_FILTER_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return 1.5 * x * x * x - 2.5 * x * x + 1.0;
    return x < 2.0 ? -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0 : 0.0;
}

/* One axis in double precision: OUT[i] for COUNT values STEP apart. */
static void filter_axis(const double *from, double *to, int source, int target,
                        size_t step, enum db_filter filter)
{
    double scale = (double)source / target;
    double wide = scale > 1.0 ? scale : 1.0;
    double radius = (filter == DB_FILTER_BILINEAR ? 1.0 : 2.0) * wide;
    int i, k;

    for (i = 0; i < target; i++) {
        double center = (i + 0.5) * scale;
        double sum = 0.0;
        double total = 0.0;

        for (k = 0; k < source; k++) {
            double weight;

            if (fabs(k + 0.5 - center) > radius)
                continue;
            weight = filter_weight(filter, (k + 0.5 - center) / wide);
            sum += weight * from[(size_t)k * step];
            total += weight;
        }
        sum /= total;
        to[(size_t)i * step] = sum;
    }
}

static void check_resize(struct db_env *env, const struct db_image *image,
                         int width, int height, enum db_filter filter)
{
    size_t room = 3 * 64 * 64;
    double *from = calloc(3 * room, sizeof(double));
    double *half = from + room;
    double *whole = half + room;
    struct db_image *got;
    int i;

    for (i = 0; i < (int)db_image_size(image); i++)
        from[i] = image->pixels[i];
    for (i = 0; i < image->height * 3; i++)
        filter_axis(from + i / 3 * image->width * 3 + i % 3,
                    half + i / 3 * width * 3 + i % 3, image->width, width, 3,
                    filter);
    for (i = 0; i < width * 3; i++)
        filter_axis(half + i, whole + i, image->height, height,
                    (size_t)width * 3, filter);
    ck_assert_int_eq(db_image_resize(env, image, width, height, filter, &got),
                     0);
    ck_assert_int_eq(got->width, width);
    ck_assert_int_eq(got->height, height);
    for (i = 0; i < width * height * 3; i++) {
        double want = whole[i] < 0 ? 0 : whole[i] > 255 ? 255 : whole[i];

        unit_assert_msg(fabs(got->pixels[i] - want) <= 1.6,
                        "number %d: %d, not %g", i, got->pixels[i], want);
    }
    db_image_free(env, got);
    free(from);
}

START_TEST(resize_against_doubles)
{
    static const int sides[] = {1, 2, 3, 7, 16, 31, 64};
    struct failing failing;
    struct db_env *env = start(&failing);
    size_t step = unit_is_quick() ? 3 : 1;
    size_t i, size = DB_COUNT(sides);

    for (i = 0; i < size * size * size * size; i += step) {
        struct db_image *image =
            draw(env, sides[i % size], sides[i / size % size]);
        int width = sides[i / size / size % size];
        int height = sides[i / size / size / size];

        check_resize(env, image, width, height, DB_FILTER_BILINEAR);
        check_resize(env, image, width, height, DB_FILTER_BICUBIC);
        db_image_free(env, image);
    }
    finish(env);
}
END_TEST

START_TEST(resize_keeps_flat_colours)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    static const uint8_t levels[] = {0, 1, 127, 254, 255};
    struct db_image *image, *got;
    size_t i, k;
    int filter;

    ck_assert_int_eq(db_image_new(env, 23, 31, &image), 0);
    for (k = 0; k < DB_COUNT(levels); k++)
        for (filter = 0; filter < 2; filter++) {
            memset(image->pixels, levels[k], db_image_size(image));
            ck_assert_int_eq(db_image_resize(env, image, 17, 90,
                                             (enum db_filter)filter, &got),
                             0);
            for (i = 0; i < db_image_size(got); i++)
                unit_assert_msg(got->pixels[i] == levels[k], "%d, not %d",
                                got->pixels[i], levels[k]);
            db_image_free(env, got);
        }
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(resize_short_side)
{
    static const struct {
        int width, height, size, want_width, want_height;
    } cases[] = {
        {70, 190, 64, 64, 173}, {200, 120, 64, 106, 64},
        {64, 64, 64, 64, 64},   {48, 40, 64, 76, 64},
        {1, 3, 5, 5, 15},       {181, 67, 128, 345, 128},
    };
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image, *got;
    size_t i;

    for (i = 0; i < DB_COUNT(cases); i++) {
        image = draw(env, cases[i].width, cases[i].height);
        ck_assert_int_eq(db_image_resize_short_side(env, image, cases[i].size,
                                                    DB_FILTER_BILINEAR, &got),
                         0);
        ck_assert_int_eq(got->width, cases[i].want_width);
        ck_assert_int_eq(got->height, cases[i].want_height);
        db_image_free(env, got);
        db_image_free(env, image);
    }
    image = draw(env, 1000, 1);
    ck_assert_int_eq(
        db_image_resize_short_side(env, image, 512, DB_FILTER_BILINEAR, &got),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_image_resize_short_side(env, image, 0, DB_FILTER_BILINEAR, &got),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_image_resize(env, image, 5, -1, DB_FILTER_BILINEAR, &got),
        DREAMBOOTH_EINVAL);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(resize_without_memory)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 30, 20);
    struct db_image *got = NULL;
    long allowance;

    for (allowance = 0; got == NULL; allowance++) {
        int status;

        failing.allowance = allowance;
        status = db_image_resize(env, image, 11, 13, DB_FILTER_BICUBIC, &got);
        ck_assert_int_eq(status, got == NULL ? DREAMBOOTH_ENOMEM : 0);
    }
    ck_assert_int_ge(allowance, 10);
    db_image_free(env, got);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(crop_and_center)
{
    static const int halves[][3] = {{5, 2, 2}, {3, 2, 0}, {7, 2, 2},
                                    {9, 2, 4}, {8, 2, 3}, {2, 2, 0}};
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 9, 6);
    struct db_image *part;
    size_t i;
    int x, y;

    for (i = 0; i < DB_COUNT(halves); i++)
        ck_assert_int_eq(db_image_center_offset(halves[i][0], halves[i][1]),
                         halves[i][2]);
    ck_assert_int_eq(db_image_crop(env, image, 2, 1, 4, 5, &part), 0);
    for (y = 0; y < 5; y++)
        for (x = 0; x < 4; x++)
            ck_assert_mem_eq(part->pixels + (y * 4 + x) * 3,
                             image->pixels + ((y + 1) * 9 + x + 2) * 3, 3);
    db_image_free(env, part);
    ck_assert_int_eq(db_image_crop(env, image, 6, 1, 4, 5, &part),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_image_crop(env, image, 0, -1, 4, 5, &part),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_image_crop(env, image, 2147483647, 0, 4, 5, &part),
                     DREAMBOOTH_EINVAL);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(flip)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw_letters(env);
    int i;

    db_image_flip(image);
    for (i = 0; i < 18; i++)
        ck_assert_int_eq(image->pixels[i], "CBAFED"[i / 3]);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(floats_and_back)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image, *got;
    float values[16 * 16 * 3];
    int i;

    ck_assert_int_eq(db_image_new(env, 16, 16, &image), 0);
    for (i = 0; i < 768; i++)
        image->pixels[i] = (uint8_t)i;
    db_image_to_tensor(image, values);
    ck_assert_float_eq(values[0], -1.0f);
    ck_assert_float_eq(values[255], 1.0f);
    ck_assert_float_eq(values[100], (100.0f / 255.0f - 0.5f) / 0.5f);
    ck_assert_int_eq(db_image_from_floats(env, values, 16, 16, &got), 0);
    assert_same(image, got);
    db_image_free(env, got);
    values[0] = -7.0f;
    values[1] = 1.25f;
    values[2] = 0.0f; /* 127.5 */
    ck_assert_int_eq(db_image_from_floats(env, values, 16, 16, &got), 0);
    ck_assert_int_eq(got->pixels[0], 0);
    ck_assert_int_eq(got->pixels[1], 255);
    ck_assert_int_eq(got->pixels[2], 128);
    db_image_free(env, got);
    values[16 * 3 * 4 + 5 * 3 + 1] = NAN;
    ck_assert_int_eq(db_image_from_floats(env, values, 16, 16, &got),
                     DREAMBOOTH_ENONFINITE);
    assert_says(env, "x = 5, y = 4");
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(sheet)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *letters = draw_letters(env);
    struct db_image *dot, *joined;
    const struct db_image *images[3];

    ck_assert_int_eq(db_image_new(env, 1, 2, &dot), 0);
    memset(dot->pixels, 9, 6);
    images[0] = letters;
    images[1] = images[2] = dot;
    ck_assert_int_eq(db_image_sheet(env, images, 3, 2, 1, &joined), 0);
    ck_assert_int_eq(joined->width, 9);
    ck_assert_int_eq(joined->height, 7);
    ck_assert_int_eq(joined->pixels[0], 255);
    ck_assert_mem_eq(joined->pixels + (1 * 9 + 1) * 3, letters->pixels, 9);
    ck_assert_mem_eq(joined->pixels + (2 * 9 + 1) * 3, letters->pixels + 9, 9);
    ck_assert_int_eq(joined->pixels[(1 * 9 + 5) * 3], 255);
    ck_assert_int_eq(joined->pixels[(1 * 9 + 6) * 3], 9);
    ck_assert_int_eq(joined->pixels[(4 * 9 + 2) * 3], 9);
    ck_assert_int_eq(joined->pixels[(4 * 9 + 6) * 3], 255);
    db_image_free(env, joined);
    ck_assert_int_eq(db_image_sheet(env, images, 3, 9, 0, &joined), 0);
    ck_assert_int_eq(joined->width, 9);
    ck_assert_int_eq(joined->height, 2);
    db_image_free(env, joined);
    ck_assert_int_eq(db_image_sheet(env, images, 0, 1, 0, &joined),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_image_sheet(env, images, 3, 1, 30000, &joined),
                     DREAMBOOTH_EINVAL);
    db_image_free(env, dot);
    db_image_free(env, letters);
    finish(env);
}
END_TEST

static const struct db_png_text texts[] = {
    {"prompt", "a sks dog\nin the snow"},
    {"negative-prompt", ""},
    {"title", "Stra\xc3\x9f"
              "e \xe2\x9c\xa8 \xf0\x9f\x90\x95"},
    {"a longer key of words", "7"},
};

START_TEST(png_texts)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 31, 17);
    struct db_image *got;
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    char *value;
    size_t i;

    unit_directory_new(folder);
    unit_path(path, folder, "out.png");
    ck_assert_int_eq(db_png_write(env, path, image, texts, DB_COUNT(texts)), 0);
    ck_assert_int_eq(db_image_read(env, path, &got), 0);
    assert_same(image, got);
    for (i = 0; i < DB_COUNT(texts); i++) {
        ck_assert_int_eq(db_png_read_text(env, path, texts[i].key, &value), 0);
        ck_assert_str_eq(value, texts[i].value);
        db_free(env, value);
    }
    ck_assert_int_eq(db_png_read_text(env, path, "seed", &value),
                     DREAMBOOTH_ENOTFOUND);
    assert_says(env, "has no text \"seed\"");
    unit_path(path, folder, "none/out.png");
    ck_assert_int_eq(db_png_write(env, path, image, NULL, 0),
                     DREAMBOOTH_ENOTFOUND);
    assert_says(env, "none/out.png");
    db_image_free(env, got);
    db_image_free(env, image);
    unit_directory_free(folder);
    finish(env);
}
END_TEST

START_TEST(png_texts_that_are_none)
{
    static const struct db_png_text bad[] = {
        {"", "x"},
        {" key", "x"},
        {"key ", "x"},
        {"a  b", "x"},
        {"k\xc3\xa4", "x"},
        {"key", "\xff"},
        {"key", "a\xc3"},
        {"12345678901234567890123456789012345678901234567890"
         "123456789012345678901234567890",
         "x"}};
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 3, 3);
    uint8_t *bytes;
    size_t size, i;

    for (i = 0; i < DB_COUNT(bad); i++)
        ck_assert_int_eq(db_png_encode(env, image, &bad[i], 1, &bytes, &size),
                         DREAMBOOTH_EINVAL);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(png_encode_twice)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 200, 100);
    uint8_t *first, *again;
    size_t first_size, size;
    long allowance;
    int status;

    ck_assert_int_eq(
        db_png_encode(env, image, texts, DB_COUNT(texts), &first, &first_size),
        0);
    for (allowance = 0, status = -1; status != DREAMBOOTH_OK; allowance++) {
        failing.allowance = allowance;
        status =
            db_png_encode(env, image, texts, DB_COUNT(texts), &again, &size);
        if (status != DREAMBOOTH_OK)
            ck_assert_int_eq(status, DREAMBOOTH_ENOMEM);
    }
    ck_assert_int_gt(allowance, 5);
    ck_assert_uint_eq(size, first_size);
    ck_assert_mem_eq(first, again, size);
    db_free(env, first);
    db_free(env, again);
    db_image_free(env, image);
    finish(env);
}
END_TEST

START_TEST(png_text_without_memory)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 5, 4);
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    char *value = NULL;
    long allowance;
    int status;

    unit_directory_new(folder);
    unit_path(path, folder, "out.png");
    ck_assert_int_eq(db_png_write(env, path, image, texts, DB_COUNT(texts)), 0);
    for (allowance = 0, status = -1; status != DREAMBOOTH_OK; allowance++) {
        failing.allowance = allowance;
        status = db_png_read_text(env, path, "title", &value);
        if (status != DREAMBOOTH_OK)
            ck_assert_int_eq(status, DREAMBOOTH_ENOMEM);
    }
    ck_assert_str_eq(value, texts[2].value);
    db_free(env, value);
    db_image_free(env, image);
    unit_directory_free(folder);
    finish(env);
}
END_TEST

/* A write that fails for want of memory leaves the old file and no other. */
START_TEST(png_write_is_atomic)
{
    struct failing failing;
    struct db_env *env = start(&failing);
    struct db_image *image = draw(env, 40, 40);
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    long allowance;
    int status;

    unit_directory_new(folder);
    unit_path(path, folder, "out.png");
    unit_write_file(path, "old", 3);
    for (allowance = 0, status = -1; status != DREAMBOOTH_OK; allowance++) {
        size_t size;
        char *bytes = unit_read_file(path, &size);

        ck_assert_str_eq(bytes, "old");
        free(bytes);
        failing.allowance = allowance;
        status = db_png_write(env, path, image, texts, DB_COUNT(texts));
    }
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    db_image_free(env, image);
    finish(env);
}
END_TEST

static Suite *image_suite(void)
{
    Suite *suite = suite_create("image");

    unit_add(suite, "jpeg_forms", jpeg_forms);
    unit_add(suite, "jpeg_grey_and_chroma", jpeg_grey_and_chroma);
    unit_add(suite, "png_forms", png_forms);
    unit_add(suite, "png_orientation", png_orientation);
    unit_add(suite, "jpeg_orientation", jpeg_orientation);
    unit_add(suite, "exif_is_hostile", exif_is_hostile);
    unit_add(suite, "truncated", truncated);
    unit_add(suite, "bits_flipped", bits_flipped);
    unit_add(suite, "extra_bytes_are_harmless", extra_bytes_are_harmless);
    unit_add(suite, "allocations_fail", allocations_fail);
    unit_add(suite, "too_large", too_large);
    unit_add(suite, "too_many_scans", too_many_scans);
    unit_add(suite, "other_kinds", other_kinds);
    unit_add(suite, "read_from_disk", read_from_disk);
    unit_add(suite, "resize_against_doubles", resize_against_doubles);
    unit_add(suite, "resize_keeps_flat_colours", resize_keeps_flat_colours);
    unit_add(suite, "resize_short_side", resize_short_side);
    unit_add(suite, "resize_without_memory", resize_without_memory);
    unit_add(suite, "crop_and_center", crop_and_center);
    unit_add(suite, "flip", flip);
    unit_add(suite, "floats_and_back", floats_and_back);
    unit_add(suite, "sheet", sheet);
    unit_add(suite, "png_texts", png_texts);
    unit_add(suite, "png_texts_that_are_none", png_texts_that_are_none);
    unit_add(suite, "png_encode_twice", png_encode_twice);
    unit_add(suite, "png_text_without_memory", png_text_without_memory);
    unit_add(suite, "png_write_is_atomic", png_write_is_atomic);
    return suite;
}

int main(void)
{
    return unit_main(image_suite());
}

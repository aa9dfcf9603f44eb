/* SPDX-License-Identifier: MIT */
/*
 * Pictures in memory, and the one door through which files become pictures.
 * What a file is, its first bytes say; its name is not asked.
 */
#include "file/image.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/jpeg.h"
#include "file/png.h"

/* A file larger than this is not a photo that we could hold. */
#define MAX_FILE_BYTES ((int64_t)1 << 31)

int db_image_new(struct db_env *env, int width, int height,
                 struct db_image **out)
{
    struct db_image *image;
    int64_t pixels = (int64_t)width * height;

    if (width < 1 || height < 1 || width > DB_IMAGE_MAX_SIDE ||
        height > DB_IMAGE_MAX_SIDE || pixels > DB_IMAGE_MAX_PIXELS)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "an image of %d x %d pixels is impossible: sides are 1 "
                       "to %d, and at most %lld pixels in all",
                       width, height, DB_IMAGE_MAX_SIDE,
                       (long long)DB_IMAGE_MAX_PIXELS);
    image = db_alloc(env, sizeof(*image) + (size_t)pixels * 3);
    if (image == NULL)
        return env->error_status;
    image->width = width;
    image->height = height;
    *out = image;
    return DREAMBOOTH_OK;
}

void db_image_free(struct db_env *env, struct db_image *image)
{
    db_free(env, image);
}

size_t db_image_size(const struct db_image *image)
{
    return (size_t)image->width * (size_t)image->height * 3;
}

int db_image_check_sides(struct db_env *env, const char *name, uint64_t width,
                         uint64_t height)
{
    if (width >= 1 && height >= 1 && width <= DB_IMAGE_MAX_SIDE &&
        height <= DB_IMAGE_MAX_SIDE &&
        width * height <= (uint64_t)DB_IMAGE_MAX_PIXELS)
        return DREAMBOOTH_OK;
    return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                   "%s: %llu x %llu pixels; sides may be 1 to %d, and there "
                   "may be %lld pixels in all: make the picture smaller",
                   name, (unsigned long long)width, (unsigned long long)height,
                   DB_IMAGE_MAX_SIDE, (long long)DB_IMAGE_MAX_PIXELS);
}

struct magic {
    size_t offset;
    const char *bytes;
    size_t size;
};

#define MAGIC(offset, text)                                                    \
    {                                                                          \
        offset, text, sizeof(text) - 1                                         \
    }

struct image_kind {
    const char *name; /* with its article */
    struct magic first, second;
    int (*decode)(struct db_env *env, const char *name, const void *bytes,
                  size_t size, struct db_image **out); /* or NULL */
};

static const struct image_kind kinds[] = {
    {"a JPEG", MAGIC(0, "\xff\xd8\xff"), {0, "", 0}, db_jpeg_decode},
    {"a PNG", MAGIC(0, "\x89PNG\r\n\x1a\n"), {0, "", 0}, db_png_decode},
    {"a WebP", MAGIC(0, "RIFF"), MAGIC(8, "WEBP"), NULL},
    {"a GIF", MAGIC(0, "GIF8"), {0, "", 0}, NULL},
    {"a BMP", MAGIC(0, "BM"), MAGIC(6, "\0\0\0\0"), NULL},
    {"a TIFF or camera raw", MAGIC(0, "II*\0"), {0, "", 0}, NULL},
    {"a TIFF or camera raw", MAGIC(0, "MM\0*"), {0, "", 0}, NULL},
    {"an AVIF", MAGIC(4, "ftypavi"), {0, "", 0}, NULL},
    {"a HEIC", MAGIC(4, "ftyphe"), {0, "", 0}, NULL},
    {"a HEIC", MAGIC(4, "ftypmif1"), {0, "", 0}, NULL},
    {"a HEIC", MAGIC(4, "ftypmsf1"), {0, "", 0}, NULL},
    {"a JPEG XL", MAGIC(0, "\xff\x0a"), {0, "", 0}, NULL},
    {"a JPEG XL", MAGIC(0, "\0\0\0\x0cJXL \r\n"), {0, "", 0}, NULL},
    {"a JPEG 2000", MAGIC(0, "\0\0\0\x0cjP  \r\n"), {0, "", 0}, NULL},
    {"a Photoshop", MAGIC(0, "8BPS"), {0, "", 0}, NULL},
    {"a PDF", MAGIC(0, "%PDF"), {0, "", 0}, NULL},
};

static bool magic_matches(const struct magic *magic, const uint8_t *bytes,
                          size_t size)
{
    return size >= magic->offset + magic->size &&
           memcmp(bytes + magic->offset, magic->bytes, magic->size) == 0;
}

static const struct image_kind *kind_of(const uint8_t *bytes, size_t size)
{
    size_t i;

    for (i = 0; i < DB_COUNT(kinds); i++)
        if (magic_matches(&kinds[i].first, bytes, size) &&
            magic_matches(&kinds[i].second, bytes, size))
            return &kinds[i];
    return NULL;
}

int db_image_decode(struct db_env *env, const char *name, const void *bytes,
                    size_t size, struct db_image **out)
{
    const struct image_kind *kind = kind_of(bytes, size);

    if (size == 0)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: is empty; remove or replace the file", name);
    if (kind == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: is neither a JPEG nor a PNG file", name);
    if (kind->decode == NULL)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: is %s file; only JPEG and PNG are read: convert it",
                       name, kind->name);
    return kind->decode(env, name, bytes, size, out);
}

/* SIZE bytes, or fewer where the file has been cut meanwhile: *got. */
static int read_all(struct db_env *env, const char *path, int descriptor,
                    uint8_t *bytes, size_t size, size_t *got)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(descriptor, bytes + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return db_fail_errno(env, errno, "%s: cannot read", path);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return DREAMBOOTH_OK;
}

static int read_descriptor(struct db_env *env, const char *path, int descriptor,
                           uint8_t **bytes_out, size_t *size_out)
{
    struct stat about;
    uint8_t *bytes;
    int status;

    if (fstat(descriptor, &about) != 0)
        return db_fail_errno(env, errno, "%s: cannot read", path);
    if (!S_ISREG(about.st_mode))
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s: is not a file", path);
    if (about.st_size > MAX_FILE_BYTES)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: %lld bytes are too many for a picture; make it "
                       "smaller",
                       path, (long long)about.st_size);
    bytes = db_alloc(env, (size_t)about.st_size);
    if (bytes == NULL)
        return db_fail_prefix(env, env->error_status, "%s", path);
    status =
        read_all(env, path, descriptor, bytes, (size_t)about.st_size, size_out);
    if (status == DREAMBOOTH_OK)
        *bytes_out = bytes;
    else
        db_free(env, bytes);
    return status;
}

int db_image_read_bytes(struct db_env *env, const char *path,
                        uint8_t **bytes_out, size_t *size_out)
{
    /* Not blocking, so that a FIFO among the photos does not hang us. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int status;

    if (descriptor < 0)
        return db_fail_errno(env, errno, "%s: cannot open", path);
    status = read_descriptor(env, path, descriptor, bytes_out, size_out);
    close(descriptor);
    return status;
}

int db_image_read(struct db_env *env, const char *path, struct db_image **out)
{
    uint8_t *bytes;
    size_t size;
    int status = db_image_read_bytes(env, path, &bytes, &size);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_image_decode(env, path, bytes, size, out);
    db_free(env, bytes);
    return status;
}

int db_image_crop(struct db_env *env, const struct db_image *image, int left,
                  int top, int width, int height, struct db_image **out)
{
    struct db_image *part = NULL;
    int status, y;

    if (left < 0 || top < 0 || width < 1 || height < 1 ||
        width > image->width || height > image->height ||
        left > image->width - width || top > image->height - height)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a crop of %d x %d at (%d, %d) is not inside the image "
                       "of %d x %d",
                       width, height, left, top, image->width, image->height);
    status = db_image_new(env, width, height, &part);
    if (status != DREAMBOOTH_OK)
        return status;
    for (y = 0; y < height; y++)
        memcpy(part->pixels + (size_t)y * (size_t)width * 3,
               image->pixels +
                   ((size_t)(top + y) * (size_t)image->width + (size_t)left) *
                       3,
               (size_t)width * 3);
    *out = part;
    return DREAMBOOTH_OK;
}

int db_image_center_offset(int side, int size)
{
    int spare = side - size;
    int half = spare / 2;

    return spare % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

void db_image_flip(struct db_image *image)
{
    size_t width = (size_t)image->width;
    uint8_t pixel[3];
    size_t x;
    int y;

    for (y = 0; y < image->height; y++) {
        uint8_t *row = image->pixels + (size_t)y * width * 3;

        for (x = 0; x < width / 2; x++) {
            uint8_t *a = row + x * 3;
            uint8_t *b = row + (width - 1 - x) * 3;

            memcpy(pixel, a, 3);
            memcpy(a, b, 3);
            memcpy(b, pixel, 3);
        }
    }
}

void db_image_to_tensor(const struct db_image *image, float *out)
{
    size_t size = db_image_size(image);
    size_t i;

    for (i = 0; i < size; i++) {
        float unit = (float)image->pixels[i] / 255.0f;

        out[i] = (unit - 0.5f) / 0.5f;
    }
}

static uint8_t byte_of(float value)
{
    float unit = value * 0.5f + 0.5f;

    unit = unit < 0.0f ? 0.0f : unit > 1.0f ? 1.0f : unit;
    return (uint8_t)rintf(unit * 255.0f);
}

int db_image_from_floats(struct db_env *env, const float *values, int width,
                         int height, struct db_image **out)
{
    struct db_image *image = NULL;
    size_t i, size;
    int status = db_image_new(env, width, height, &image);

    if (status != DREAMBOOTH_OK)
        return status;
    size = db_image_size(image);
    for (i = 0; i < size; i++) {
        if (!isfinite(values[i])) {
            status = db_fail(env, DREAMBOOTH_ENONFINITE,
                             "the image has a value that is no finite number "
                             "at x = %zu, y = %zu",
                             i / 3 % (size_t)width, i / 3 / (size_t)width);
            db_image_free(env, image);
            return status;
        }
        image->pixels[i] = byte_of(values[i]);
    }
    *out = image;
    return DREAMBOOTH_OK;
}

static void paste(struct db_image *sheet, const struct db_image *image,
                  int64_t left, int64_t top)
{
    size_t row_bytes = (size_t)image->width * 3;
    int y;

    for (y = 0; y < image->height; y++) {
        size_t at = (size_t)(top + y) * (size_t)sheet->width + (size_t)left;

        memcpy(sheet->pixels + at * 3, image->pixels + (size_t)y * row_bytes,
               row_bytes);
    }
}

/* The sides of a sheet, checked; cell sides without margins are handed out. */
static int new_sheet(struct db_env *env, const struct db_image *const *images,
                     int count, int columns, int margin, int *cell_width,
                     int *cell_height, struct db_image **out)
{
    int64_t rows, width, height;
    int i;

    if (count < 1 || columns < 1 || margin < 0 || margin > DB_IMAGE_MAX_SIDE)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a sheet of %d images in %d columns with a margin of "
                       "%d is impossible",
                       count, columns, margin);
    *cell_width = *cell_height = 1;
    for (i = 0; i < count; i++) {
        if (images[i]->width > *cell_width)
            *cell_width = images[i]->width;
        if (images[i]->height > *cell_height)
            *cell_height = images[i]->height;
    }
    rows = ((int64_t)count + columns - 1) / columns;
    width = ((int64_t)*cell_width + margin) * columns + margin;
    height = ((int64_t)*cell_height + margin) * rows + margin;
    if (width > DB_IMAGE_MAX_SIDE || height > DB_IMAGE_MAX_SIDE)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a sheet of %lld x %lld pixels is too large: fewer "
                       "images or columns",
                       (long long)width, (long long)height);
    return db_image_new(env, (int)width, (int)height, out);
}

int db_image_sheet(struct db_env *env, const struct db_image *const *images,
                   int count, int columns, int margin, struct db_image **out)
{
    struct db_image *sheet = NULL;
    int cell_width = 0;
    int cell_height = 0;
    int status, i;

    if (columns > count)
        columns = count;
    status = new_sheet(env, images, count, columns, margin, &cell_width,
                       &cell_height, &sheet);
    if (status != DREAMBOOTH_OK)
        return status;
    memset(sheet->pixels, 255, db_image_size(sheet));
    for (i = 0; i < count; i++) {
        int64_t column = i % columns;
        int64_t row = i / columns;

        paste(sheet, images[i],
              margin + column * ((int64_t)cell_width + margin) +
                  (cell_width - images[i]->width) / 2,
              margin + row * ((int64_t)cell_height + margin) +
                  (cell_height - images[i]->height) / 2);
    }
    *out = sheet;
    return DREAMBOOTH_OK;
}

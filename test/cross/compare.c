/* SPDX-License-Identifier: MIT */
/*
 * How far two files are apart: two pictures (PNG), by their bytes, or two
 * safetensors files of 32-bit floats, by their numbers, which are read byte by
 * byte as the format says, with nothing of the library.
 *
 * compare FILE FILE LARGEST MEAN: prints the largest and the mean difference,
 * and fails where one is above what is given or the files are not alike in
 * form.
 */
#include <math.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    size_t count;
    double *at;
    unsigned char *header; /* of the same SIZE where forms are alike */
    size_t header_size;
};

static void fail(const char *path, const char *what)
{
    fprintf(stderr, "compare: %s: %s\n", path, what);
    exit(2);
}

static void *get(size_t size)
{
    void *memory = malloc(size + 1);

    if (memory == NULL)
        fail("", "out of memory");
    return memory;
}

static struct values read_picture(const char *path)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    struct values values = {0};
    unsigned char *bytes;

    if (!png_image_begin_read_from_file(&image, path))
        fail(path, image.message);
    image.format = PNG_FORMAT_RGB;
    values.count = PNG_IMAGE_SIZE(image);
    values.at = get(values.count * sizeof(double));
    bytes = get(values.count);
    if (!png_image_finish_read(&image, NULL, bytes, 0, NULL))
        fail(path, image.message);
    for (size_t i = 0; i < values.count; i++)
        values.at[i] = bytes[i];
    free(bytes);
    return values;
}

static unsigned char *read_bytes(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;
    long end;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 ||
        (end = ftell(file)) < 8)
        fail(path, "cannot be read");
    rewind(file);
    *size = (size_t)end;
    bytes = get(*size);
    if (fread(bytes, 1, *size, file) != *size)
        fail(path, "cannot be read");
    fclose(file);
    return bytes;
}

static float little_endian_float(const unsigned char *bytes)
{
    uint32_t bits = bytes[0] | (uint32_t)bytes[1] << 8 |
                    (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static struct values read_tensors(const char *path)
{
    struct values values = {0};
    size_t size;
    uint64_t header = 0;

    values.header = read_bytes(path, &size);
    for (int i = 7; i >= 0; i--)
        header = header << 8 | values.header[i];
    if (header > size - 8 || (size - 8 - header) % 4 != 0)
        fail(path, "is no safetensors file of 32-bit floats");
    values.header_size = 8 + (size_t)header;
    values.count = (size - values.header_size) / 4;
    values.at = get(values.count * sizeof(double));
    for (size_t i = 0; i < values.count; i++)
        values.at[i] =
            little_endian_float(values.header + values.header_size + 4 * i);
    return values;
}

static struct values read_values(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot != NULL && strcmp(dot, ".png") == 0 ? read_picture(path)
                                                   : read_tensors(path);
}

int main(int argc, char **argv)
{
    struct values one, other;
    double largest = 0, sum = 0;

    if (argc != 5)
        fail("usage", "compare FILE FILE LARGEST MEAN");
    one = read_values(argv[1]);
    other = read_values(argv[2]);
    if (one.count != other.count || one.header_size != other.header_size ||
        (one.header_size > 0 &&
         memcmp(one.header, other.header, one.header_size) != 0))
        fail(argv[2], "is of another form");
    for (size_t i = 0; i < one.count; i++) {
        double difference = fabs(one.at[i] - other.at[i]);

        /* A NaN is not less, and so is the largest. */
        largest = difference <= largest ? largest : difference;
        sum += difference;
    }
    printf("%zu numbers differ by %g at most and %g on average\n", one.count,
           largest, sum / (double)one.count);
    return !(largest <= atof(argv[3]) &&
             sum / (double)one.count <= atof(argv[4]));
}

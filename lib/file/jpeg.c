/* SPDX-License-Identifier: MIT */
/*
 * JPEG decoding. libjpeg reports by calling back and expects not to be returned
 * to: the callbacks note what happened in the reader and jump to guarded(), and
 * everything that must survive the jump lives in the reader, not in locals.
 */
#include "file/jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "file/exif.h"

/* Progressive files have about ten scans; thousands of empty ones are a way to
 * keep a reader busy for hours with a small file. */
#define MAX_SCANS 500

#define EXIF_HEADER "Exif\0"
#define EXIF_HEADER_BYTES 6

struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    struct db_env *env;
    const char *name;
    const uint8_t *bytes;
    size_t size;
    struct db_image *image;
    uint8_t *cmyk_row; /* [width, 4], or NULL */
    int status;        /* why guarded() was jumped out of */
};

static struct jpeg_reader *reader_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static _Noreturn void escape(struct jpeg_reader *reader, int status)
{
    reader->status = status;
    longjmp(reader->escape, 1);
}

static int fail_damaged(struct jpeg_reader *reader)
{
    char reason[JMSG_LENGTH_MAX];

    reader->errors.format_message((j_common_ptr)&reader->jpeg, reason);
    return db_fail(reader->env, DREAMBOOTH_EFORMAT,
                   "%s: damaged JPEG (%s); replace the file", reader->name,
                   reason);
}

static int fail_truncated(struct jpeg_reader *reader)
{
    return db_fail(reader->env, DREAMBOOTH_EFORMAT,
                   "%s: truncated JPEG (it ends after %zu bytes, before the "
                   "picture does); replace the file",
                   reader->name, reader->size);
}

static int fail_unsupported(struct jpeg_reader *reader)
{
    char reason[JMSG_LENGTH_MAX];

    reader->errors.format_message((j_common_ptr)&reader->jpeg, reason);
    return db_fail(reader->env, DREAMBOOTH_EUNSUPPORTED,
                   "%s: a kind of JPEG that is not read (%s); convert it",
                   reader->name, reason);
}

static int fail_no_memory(struct jpeg_reader *reader)
{
    return db_fail(reader->env, DREAMBOOTH_ENOMEM,
                   "%s: out of memory while decoding", reader->name);
}

static int fail_limit(struct jpeg_reader *reader)
{
    return db_fail(reader->env, DREAMBOOTH_ELIMIT,
                   "%s: decoding needs more memory than the limit of %.1f MB "
                   "leaves; raise the limit or make the picture smaller",
                   reader->name, (double)reader->env->limit_bytes / 1e6);
}

/* libjpeg's errors that are not simply damage. */
static const struct {
    int code;
    int (*fail)(struct jpeg_reader *reader);
} special_errors[] = {
    {JERR_OUT_OF_MEMORY, fail_no_memory},
    {JERR_NO_BACKING_STORE, fail_limit},
    {JERR_INPUT_EMPTY, fail_truncated},
    {JERR_INPUT_EOF, fail_truncated},
    {JERR_BAD_PRECISION, fail_unsupported},
    {JERR_SOF_UNSUPPORTED, fail_unsupported},
    {JERR_ARITH_NOTIMPL, fail_unsupported},
    {JERR_CONVERSION_NOTIMPL, fail_unsupported},
    {JERR_NOT_COMPILED, fail_unsupported},
    {JERR_FRACT_SAMPLE_NOTIMPL, fail_unsupported},
    {JERR_CCIR601_NOTIMPL, fail_unsupported},
    {JWRN_JPEG_EOF, fail_truncated},
};

/* Warnings about what does not touch the pixels. */
static const int harmless_warnings[] = {JWRN_ADOBE_XFORM, JWRN_EXTRANEOUS_DATA,
                                        JWRN_JFIF_MAJOR, JWRN_NOT_SEQUENTIAL};

static _Noreturn void on_error(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = reader_of(jpeg);
    size_t i;

    for (i = 0; i < DB_COUNT(special_errors); i++)
        if (special_errors[i].code == jpeg->err->msg_code)
            escape(reader, special_errors[i].fail(reader));
    escape(reader, fail_damaged(reader));
}

static void on_message(j_common_ptr jpeg, int level)
{
    size_t i;

    if (level >= 0)
        return;
    for (i = 0; i < DB_COUNT(harmless_warnings); i++)
        if (harmless_warnings[i] == jpeg->err->msg_code)
            return;
    on_error(jpeg);
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = reader_of(jpeg);

    if (reader->jpeg.input_scan_number > MAX_SCANS)
        escape(reader, db_fail(reader->env, DREAMBOOTH_EFORMAT,
                               "%s: damaged JPEG (more than %d scans); replace "
                               "the file",
                               reader->name, MAX_SCANS));
}

/* libjpeg allocates by itself; where the environment has a limit, what is left
 * of it is libjpeg's limit as well. */
static void limit_memory(struct jpeg_reader *reader)
{
    struct db_env *env = reader->env;
    uint64_t live = atomic_load(&env->live_bytes);

    if (env->limit_bytes == 0)
        return;
    reader->jpeg.mem->max_memory_to_use =
        env->limit_bytes > live + 1 ? (long)(env->limit_bytes - live) : 1;
}

static void open_reader(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;

    jpeg_create_decompress(jpeg);
    jpeg->progress = &reader->progress;
    limit_memory(reader);
    jpeg_mem_src(jpeg, reader->bytes, reader->size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
}

static int prepare(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    int status = db_image_check_sides(reader->env, reader->name,
                                      jpeg->image_width, jpeg->image_height);

    if (status != DREAMBOOTH_OK)
        return status;
    if (jpeg->num_components == 2 || jpeg->num_components > 4)
        return db_fail(reader->env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: a JPEG with %d colour components is not read; "
                       "convert it",
                       reader->name, jpeg->num_components);
    if (jpeg->num_components == 4) {
        jpeg->out_color_space = JCS_CMYK;
        reader->cmyk_row = db_alloc_array(reader->env, jpeg->image_width, 4);
        if (reader->cmyk_row == NULL)
            return db_fail_prefix(reader->env, reader->env->error_status, "%s",
                                  reader->name);
    } else {
        jpeg->out_color_space = JCS_RGB;
    }
    status = db_image_new(reader->env, (int)jpeg->image_width,
                          (int)jpeg->image_height, &reader->image);
    if (status != DREAMBOOTH_OK)
        return db_fail_prefix(reader->env, status, "%s", reader->name);
    return DREAMBOOTH_OK;
}

/* a b / 255, rounded, as Pillow does it. */
static uint32_t multiply_255(uint32_t a, uint32_t b)
{
    uint32_t t = a * b + 128;

    return ((t >> 8) + t) >> 8;
}

/* Both [width]; CMYK is stored inverted: 255 is no ink. */
static void rgb_of_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t width)
{
    size_t x, channel;

    for (x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (channel = 0; channel < 3; channel++)
            rgb[channel] =
                (uint8_t)(cmyk[3] -
                          multiply_255(255u - cmyk[channel], cmyk[3]));
}

static void read_rows(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;

    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *rgb = reader->image->pixels +
                       (size_t)jpeg->output_scanline * jpeg->image_width * 3;
        JSAMPROW row = reader->cmyk_row == NULL ? rgb : reader->cmyk_row;

        jpeg_read_scanlines(jpeg, &row, 1);
        if (reader->cmyk_row != NULL)
            rgb_of_cmyk(reader->cmyk_row, rgb, jpeg->image_width);
    }
    jpeg_finish_decompress(jpeg);
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg)
{
    jpeg_saved_marker_ptr marker;

    for (marker = jpeg->marker_list; marker != NULL; marker = marker->next)
        if (marker->data_length > EXIF_HEADER_BYTES &&
            memcmp(marker->data, EXIF_HEADER, EXIF_HEADER_BYTES) == 0)
            return db_exif_orientation(marker->data + EXIF_HEADER_BYTES,
                                       marker->data_length - EXIF_HEADER_BYTES);
    return 1;
}

static int guarded(struct jpeg_reader *reader)
{
    int status, orientation;

    if (setjmp(reader->escape) != 0)
        return reader->status;
    open_reader(reader);
    orientation = orientation_of(&reader->jpeg);
    status = prepare(reader);
    if (status != DREAMBOOTH_OK)
        return status;
    read_rows(reader);
    return db_exif_apply(reader->env, reader->name, orientation,
                         &reader->image);
}

static void init_reader(struct jpeg_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
    reader->jpeg.err = jpeg_std_error(&reader->errors);
    reader->jpeg.client_data = reader;
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = on_output;
    reader->progress.progress_monitor = on_progress;
}

int db_jpeg_decode(struct db_env *env, const char *name, const void *bytes,
                   size_t size, struct db_image **out)
{
    struct jpeg_reader reader;
    int status;

    init_reader(&reader);
    reader.env = env;
    reader.name = name;
    reader.bytes = bytes;
    reader.size = size;
    status = guarded(&reader);
    jpeg_destroy_decompress(&reader.jpeg);
    db_free(env, reader.cmyk_row);
    if (status == DREAMBOOTH_OK)
        *out = reader.image;
    else
        db_image_free(env, reader.image);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * PNG decoding and encoding. libpng's memory is ours. Its errors jump to the
 * functions with setjmp(); everything that must survive the jump lives in
 * struct png_work, not in locals.
 */
#include "file/png.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>
#include <utf8proc.h>

#include "file/atomic.h"
#include "file/exif.h"

#define MAX_KEY 79
#define MAX_CHUNK_BYTES (8 << 20)
#define COMPRESSION_LEVEL 6

/* In front of what libpng is given, in a ring: it forgets some blocks when
 * memory fails, and we free those that are left. */
struct png_block {
    struct png_block *next, *previous;
};

struct png_work {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    struct db_env *env;
    const char *name;
    struct png_block blocks; /* the ring's start */
    bool memory_failed;
    int status; /* why it was jumped */

    const uint8_t *bytes; /* reading: the file, and how much of it is read */
    size_t size, used;
    bool truncated;
    struct db_image *image;

    uint8_t *output; /* writing: what has come out so far */
    size_t output_size, output_room;
};

static png_voidp on_alloc(png_structp png, png_alloc_size_t size)
{
    struct png_work *work = png_get_mem_ptr(png);
    struct png_block *block = NULL;

    if (size <= SIZE_MAX - sizeof(*block))
        block = db_alloc(work->env, sizeof(*block) + size);
    if (block == NULL) {
        work->memory_failed = true;
        return NULL;
    }
    block->next = work->blocks.next;
    block->previous = &work->blocks;
    block->next->previous = block;
    work->blocks.next = block;
    return block + 1;
}

static void free_block(struct png_work *work, struct png_block *block)
{
    block->next->previous = block->previous;
    block->previous->next = block->next;
    db_free(work->env, block);
}

static void on_free(png_structp png, png_voidp pointer)
{
    struct png_work *work = png_get_mem_ptr(png);

    if (pointer != NULL)
        free_block(work, (struct png_block *)pointer - 1);
}

static void free_forgotten(struct png_work *work)
{
    while (work->blocks.next != &work->blocks)
        free_block(work, work->blocks.next);
}

/* libpng puts its own words into the error when memory fails, and does without
 * some chunks silently; the environment's error is the true one. */
static int fail_no_memory(struct png_work *work)
{
    return db_fail_prefix(work->env, work->env->error_status, "%s", work->name);
}

static int fail_start(struct png_work *work)
{
    if (work->memory_failed)
        return fail_no_memory(work);
    return db_fail(work->env, DREAMBOOTH_EINTERNAL,
                   "%s: libpng could not be started", work->name);
}

static _Noreturn void on_error(png_structp png, png_const_charp message)
{
    struct png_work *work = png_get_error_ptr(png);

    if (work->memory_failed)
        work->status = fail_no_memory(work);
    else if (work->truncated)
        work->status =
            db_fail(work->env, DREAMBOOTH_EFORMAT,
                    "%s: truncated PNG (it ends after %zu bytes, before the "
                    "picture does); replace the file",
                    work->name, work->size);
    else
        work->status = db_fail(work->env, DREAMBOOTH_EFORMAT,
                               "%s: damaged PNG (%s); replace the file",
                               work->name, message);
    longjmp(work->escape, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep to, size_t size)
{
    struct png_work *work = png_get_io_ptr(png);

    if (size > work->size - work->used) {
        work->truncated = true;
        png_error(png, "end of file");
    }
    memcpy(to, work->bytes + work->used, size);
    work->used += size;
}

static void init_work(struct png_work *work, struct db_env *env,
                      const char *name)
{
    memset(work, 0, sizeof(*work));
    work->env = env;
    work->name = name;
    work->blocks.next = work->blocks.previous = &work->blocks;
}

/* To be called under setjmp(). The COUNT chunks of CHUNKS (names of four
 * characters and a zero) are not looked at. */
static int open_reader(struct png_work *work, const char *chunks, int count)
{
    work->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, work, on_error,
                                         on_warning, work, on_alloc, on_free);
    if (work->png == NULL)
        return fail_start(work);
    work->info = png_create_info_struct(work->png);
    if (work->info == NULL)
        return fail_no_memory(work);
    png_set_read_fn(work->png, work, on_read);
    png_set_user_limits(work->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(work->png, MAX_CHUNK_BYTES);
    png_set_keep_unknown_chunks(work->png, PNG_HANDLE_CHUNK_NEVER,
                                (png_const_bytep)chunks, count);
    png_read_info(work->png, work->info);
    return DREAMBOOTH_OK;
}

static void close_reader(struct png_work *work)
{
    png_destroy_read_struct(&work->png, &work->info, NULL);
    free_forgotten(work);
}

static int prepare(struct png_work *work)
{
    png_uint_32 width = png_get_image_width(work->png, work->info);
    png_uint_32 height = png_get_image_height(work->png, work->info);
    int status = db_image_check_sides(work->env, work->name, width, height);

    if (status != DREAMBOOTH_OK)
        return status;
    png_set_strip_16(work->png);
    png_set_strip_alpha(work->png);
    png_set_palette_to_rgb(work->png);
    png_set_expand_gray_1_2_4_to_8(work->png);
    png_set_gray_to_rgb(work->png);
    status = db_image_new(work->env, (int)width, (int)height, &work->image);
    if (status != DREAMBOOTH_OK)
        return db_fail_prefix(work->env, status, "%s", work->name);
    return DREAMBOOTH_OK;
}

/* Interlaced pictures are read in seven passes over the same rows. */
static int read_rows(struct png_work *work)
{
    size_t row_bytes = (size_t)work->image->width * 3;
    int passes = png_set_interlace_handling(work->png);
    int pass, y;

    png_read_update_info(work->png, work->info);
    if (png_get_rowbytes(work->png, work->info) != row_bytes)
        return db_fail(work->env, DREAMBOOTH_EINTERNAL,
                       "%s: libpng gives rows of another size", work->name);
    for (pass = 0; pass < passes; pass++)
        for (y = 0; y < work->image->height; y++)
            png_read_row(work->png, work->image->pixels + (size_t)y * row_bytes,
                         NULL);
    png_read_end(work->png, work->info);
    return DREAMBOOTH_OK;
}

static int orientation_of(const struct png_work *work)
{
    png_bytep exif;
    png_uint_32 size;

    if (png_get_eXIf_1(work->png, work->info, &size, &exif) != PNG_INFO_eXIf)
        return 1;
    return db_exif_orientation(exif, size);
}

static int decode_guarded(struct png_work *work, const char *ignored, int count)
{
    int status;

    if (setjmp(work->escape) != 0)
        return work->status;
    status = open_reader(work, ignored, count);
    if (status != DREAMBOOTH_OK)
        return status;
    status = prepare(work);
    if (status != DREAMBOOTH_OK)
        return status;
    status = read_rows(work);
    if (status != DREAMBOOTH_OK)
        return status;
    return work->memory_failed ? fail_no_memory(work) : DREAMBOOTH_OK;
}

int db_png_decode(struct db_env *env, const char *name, const void *bytes,
                  size_t size, struct db_image **out)
{
    static const char ignored[] =
        "bKGD\0cHRM\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0"
        "sPLT\0sRGB\0tEXt\0tIME\0tRNS\0zTXt";
    struct png_work work;
    int status;

    init_work(&work, env, name);
    work.bytes = bytes;
    work.size = size;
    status = decode_guarded(&work, ignored, (int)sizeof(ignored) / 5);
    if (status == DREAMBOOTH_OK)
        status = db_exif_apply(env, name, orientation_of(&work), &work.image);
    close_reader(&work);
    if (status == DREAMBOOTH_OK)
        *out = work.image;
    else
        db_image_free(env, work.image);
    return status;
}

static void on_write(png_structp png, png_bytep bytes, size_t size)
{
    struct png_work *work = png_get_io_ptr(png);

    if (size > work->output_room - work->output_size) {
        size_t room = (work->output_room + size) * 2;
        uint8_t *output = db_resize(work->env, work->output, room);

        if (output == NULL) {
            work->memory_failed = true;
            png_error(png, "out of memory");
        }
        work->output = output;
        work->output_room = room;
    }
    memcpy(work->output + work->output_size, bytes, size);
    work->output_size += size;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static bool key_is_good(const char *key)
{
    size_t length = strlen(key);
    size_t i;

    if (length < 1 || length > MAX_KEY || key[0] == ' ' ||
        key[length - 1] == ' ')
        return false;
    for (i = 0; i < length; i++)
        if (key[i] < ' ' || key[i] > '~' ||
            (key[i] == ' ' && key[i + 1] == ' '))
            return false;
    return true;
}

static bool text_is_utf8(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t codepoint;

    while (*at != 0) {
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &codepoint);

        if (n < 1)
            return false;
        at += n;
    }
    return true;
}

static bool text_is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text > 126)
            return false;
    return true;
}

static int check_texts(struct db_env *env, const struct db_png_text *texts,
                       size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (!key_is_good(texts[i].key))
            return db_fail(env, DREAMBOOTH_EINVAL,
                           "\"%s\" cannot be the name of a text in a PNG: 1 to "
                           "%d printable ASCII characters are wanted",
                           texts[i].key, MAX_KEY);
        if (!text_is_utf8(texts[i].value))
            return db_fail(env, DREAMBOOTH_EINVAL,
                           "the text \"%s\" for a PNG is no UTF-8",
                           texts[i].key);
    }
    return DREAMBOOTH_OK;
}

static void put_text(struct png_work *work, const struct db_png_text *from)
{
    char language[] = "";
    png_text text = {0};

    /* libpng copies what it reads through these pointers. */
    text.compression = text_is_ascii(from->value) ? PNG_TEXT_COMPRESSION_NONE
                                                  : PNG_ITXT_COMPRESSION_NONE;
    text.key = (png_charp)(uintptr_t)from->key;
    text.text = (png_charp)(uintptr_t)from->value;
    text.lang = language;
    text.lang_key = language;
    png_set_text(work->png, work->info, &text, 1);
}

static int encode_guarded(struct png_work *work, const struct db_image *image,
                          const struct db_png_text *texts, size_t text_count)
{
    size_t i;
    int y;

    if (setjmp(work->escape) != 0)
        return work->status;
    work->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, work, on_error,
                                          on_warning, work, on_alloc, on_free);
    if (work->png == NULL)
        return fail_start(work);
    work->info = png_create_info_struct(work->png);
    if (work->info == NULL)
        return fail_no_memory(work);
    png_set_write_fn(work->png, work, on_write, on_flush);
    png_set_compression_level(work->png, COMPRESSION_LEVEL);
    png_set_IHDR(work->png, work->info, (png_uint_32)image->width,
                 (png_uint_32)image->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (i = 0; i < text_count; i++)
        put_text(work, &texts[i]);
    png_write_info(work->png, work->info);
    for (y = 0; y < image->height; y++)
        png_write_row(work->png,
                      image->pixels + (size_t)y * (size_t)image->width * 3);
    png_write_end(work->png, NULL);
    return work->memory_failed ? fail_no_memory(work) : DREAMBOOTH_OK;
}

static int encode(struct db_env *env, const char *name,
                  const struct db_image *image, const struct db_png_text *texts,
                  size_t text_count, uint8_t **bytes, size_t *size)
{
    struct png_work work;
    int status = check_texts(env, texts, text_count);

    if (status != DREAMBOOTH_OK)
        return status;
    init_work(&work, env, name);
    status = encode_guarded(&work, image, texts, text_count);
    png_destroy_write_struct(&work.png, &work.info);
    free_forgotten(&work);
    if (status != DREAMBOOTH_OK) {
        db_free(env, work.output);
        return status;
    }
    *bytes = work.output;
    *size = work.output_size;
    return DREAMBOOTH_OK;
}

int db_png_encode(struct db_env *env, const struct db_image *image,
                  const struct db_png_text *texts, size_t text_count,
                  uint8_t **bytes, size_t *size)
{
    return encode(env, "PNG", image, texts, text_count, bytes, size);
}

int db_png_write(struct db_env *env, const char *path,
                 const struct db_image *image, const struct db_png_text *texts,
                 size_t text_count)
{
    uint8_t *bytes;
    size_t size;
    int status = encode(env, path, image, texts, text_count, &bytes, &size);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_atomic_write_file(env, path, bytes, size);
    db_free(env, bytes);
    return status;
}

/* tEXt and zTXt are Latin-1, whose characters are Unicode's first 256. */
static char *utf8_of_latin1(struct db_env *env, const char *text)
{
    char *copy = db_alloc_array(env, strlen(text) + 1, 2);
    char *out = copy;

    if (copy == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        unsigned character = (unsigned char)*text;

        if (character < 0x80) {
            *out++ = (char)character;
        } else {
            *out++ = (char)(0xc0 | character >> 6);
            *out++ = (char)(0x80 | (character & 0x3f));
        }
    }
    *out = '\0';
    return copy;
}

static int text_value(struct png_work *work, const char *key, char **value)
{
    png_textp texts;
    int count = 0;
    int i;
    char *copy;

    png_get_text(work->png, work->info, &texts, &count);
    for (i = 0; i < count && strcmp(texts[i].key, key) != 0; i++)
        continue;
    if (i == count)
        return db_fail(work->env, DREAMBOOTH_ENOTFOUND,
                       "%s: has no text \"%s\"", work->name, key);
    copy = texts[i].compression >= PNG_ITXT_COMPRESSION_NONE
               ? db_copy_text(work->env, texts[i].text)
               : utf8_of_latin1(work->env, texts[i].text);
    if (copy == NULL)
        return fail_no_memory(work);
    *value = copy;
    return DREAMBOOTH_OK;
}

int db_png_read_text(struct db_env *env, const char *path, const char *key,
                     char **value)
{
    struct png_work work;
    uint8_t *bytes;
    size_t size;
    int status = db_image_read_bytes(env, path, &bytes, &size);

    if (status != DREAMBOOTH_OK)
        return status;
    init_work(&work, env, path);
    work.bytes = bytes;
    work.size = size;
    status = decode_guarded(&work, "iCCP\0sPLT\0tRNS", 3);
    if (status == DREAMBOOTH_OK)
        status = text_value(&work, key, value);
    close_reader(&work);
    db_image_free(env, work.image);
    db_free(env, bytes);
    return status;
}

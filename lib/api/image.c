/* SPDX-License-Identifier: MIT */
/* The image handle: a picture, and the context that its memory is from. */
#include "api/handle_int.h"

#include <string.h>

#include "file/png.h"
#include "file/resize.h"

int db_image_wrap(dreambooth_context *context, struct db_image *image,
                  dreambooth_image **out)
{
    struct db_env *env = &context->env;
    dreambooth_image *handle = db_alloc(env, sizeof(*handle));

    if (handle == NULL) {
        db_image_free(env, image);
        return env->error_status;
    }
    handle->context = db_context_hold(context);
    handle->image = image;
    *out = handle;
    return DREAMBOOTH_OK;
}

int dreambooth_image_read(dreambooth_image **out, dreambooth_context *context,
                          const char *path)
{
    struct db_image *image;
    int status = db_check_given(&context->env, path, "path");

    if (status == DREAMBOOTH_OK)
        status = db_image_read(&context->env, path, &image);
    return status != DREAMBOOTH_OK ? status
                                   : db_image_wrap(context, image, out);
}

int dreambooth_image_decode(dreambooth_image **out, dreambooth_context *context,
                            const char *name, const void *bytes, size_t size)
{
    struct db_image *image;
    int status = db_check_given(&context->env, bytes, "bytes");

    if (status == DREAMBOOTH_OK)
        status = db_image_decode(&context->env, name != NULL ? name : "image",
                                 bytes, size, &image);
    return status != DREAMBOOTH_OK ? status
                                   : db_image_wrap(context, image, out);
}

int dreambooth_image_new(dreambooth_image **out, dreambooth_context *context,
                         int width, int height, const unsigned char *pixels)
{
    struct db_image *image;
    int status;

    if (width < 1 || height < 1)
        return db_fail(&context->env, DREAMBOOTH_EINVAL,
                       "an image of %d x %d pixels is impossible", width,
                       height);
    status = db_image_check_sides(&context->env, "new image", (uint64_t)width,
                                  (uint64_t)height);
    if (status == DREAMBOOTH_OK)
        status = db_image_new(&context->env, width, height, &image);
    if (status != DREAMBOOTH_OK)
        return status;
    if (pixels != NULL)
        memcpy(image->pixels, pixels, db_image_size(image));
    else
        memset(image->pixels, 0, db_image_size(image));
    return db_image_wrap(context, image, out);
}

void dreambooth_image_free(dreambooth_image *image)
{
    dreambooth_context *context;

    if (image == NULL)
        return;
    context = image->context;
    db_image_free(&context->env, image->image);
    db_free(&context->env, image);
    db_context_release(context);
}

int dreambooth_image_width(const dreambooth_image *image)
{
    return image->image->width;
}

int dreambooth_image_height(const dreambooth_image *image)
{
    return image->image->height;
}

unsigned char *dreambooth_image_pixels(dreambooth_image *image)
{
    return image->image->pixels;
}

int dreambooth_image_square(dreambooth_image **out,
                            const dreambooth_image *image, int size)
{
    struct db_image *resized, *square;
    int status;

    if (size < 1)
        return db_fail(&image->context->env, DREAMBOOTH_EINVAL,
                       "a size of %d pixels is impossible", size);
    status = db_image_resize_short_side(&image->context->env, image->image,
                                        size, DB_FILTER_BILINEAR, &resized);
    if (status != DREAMBOOTH_OK)
        return status;
    status = db_image_crop(&image->context->env, resized,
                           db_image_center_offset(resized->width, size),
                           db_image_center_offset(resized->height, size), size,
                           size, &square);
    db_image_free(&image->context->env, resized);
    return status != DREAMBOOTH_OK ? status
                                   : db_image_wrap(image->context, square, out);
}

/* The smallest number of columns that makes no more rows than columns. */
static int square_columns(size_t count)
{
    int columns = 1;

    while ((size_t)columns * (size_t)columns < count)
        columns++;
    return columns;
}

int dreambooth_image_sheet(dreambooth_image **out, dreambooth_context *context,
                           dreambooth_image *const *images, size_t count,
                           int columns, int margin)
{
    struct db_env *env = &context->env;
    const struct db_image **list;
    struct db_image *sheet;
    size_t i;
    int status;

    if (count == 0 || count > 1000000 || margin < 0 || columns < 0)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a sheet needs 1 to 1000000 images, and margin and "
                       "columns of 0 or more");
    list = db_alloc_array(env, count, sizeof(*list));
    if (list == NULL)
        return env->error_status;
    for (i = 0; i < count; i++)
        list[i] = images[i]->image;
    status = db_image_sheet(env, list, (int)count,
                            columns > 0 ? columns : square_columns(count),
                            margin, &sheet);
    db_free(env, list);
    return status != DREAMBOOTH_OK ? status
                                   : db_image_wrap(context, sheet, out);
}

static int check_texts(const dreambooth_image *image, const char *const *keys,
                       const char *const *values, size_t count)
{
    int status = DREAMBOOTH_OK;
    size_t i;

    if (count > 0)
        status = db_check_given(&image->context->env, keys, "keys");
    if (count > 0 && status == DREAMBOOTH_OK)
        status = db_check_given(&image->context->env, values, "values");
    for (i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        status = db_check_given(&image->context->env, keys[i], "keys[i]");
        if (status == DREAMBOOTH_OK)
            status =
                db_check_given(&image->context->env, values[i], "values[i]");
    }
    return status;
}

int dreambooth_image_write(const dreambooth_image *image, const char *path,
                           const char *const *keys, const char *const *values,
                           size_t count)
{
    struct db_png_text *texts = NULL;
    size_t i;
    int status = db_check_given(&image->context->env, path, "path");

    if (status == DREAMBOOTH_OK)
        status = check_texts(image, keys, values, count);
    if (status != DREAMBOOTH_OK)
        return status;
    if (count > 0) {
        texts = db_alloc_array(&image->context->env, count, sizeof(*texts));
        if (texts == NULL)
            return image->context->env.error_status;
    }
    for (i = 0; i < count; i++) {
        texts[i].key = keys[i];
        texts[i].value = values[i];
    }
    status =
        db_png_write(&image->context->env, path, image->image, texts, count);
    db_free(&image->context->env, texts);
    return status;
}

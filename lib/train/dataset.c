/* SPDX-License-Identifier: MIT */
/*
 * Reading photos as diffusers' DreamBoothDataset does: the shorter side is
 * resized to the training size (bilinear), then a square is cut out, from the
 * middle or, step by step, at random.
 */
#include "train/dataset.h"

#include <string.h>
#include <strings.h>

#include "file/folder.h"
#include "file/resize.h"

#define HASH_START 14695981039346656037u
#define HASH_FACTOR 1099511628211u

void db_dataset_init(struct db_dataset *dataset, struct db_env *env,
                     int64_t size, enum db_crop crop)
{
    memset(dataset, 0, sizeof(*dataset));
    dataset->env = env;
    dataset->size = size;
    dataset->crop = crop;
    dataset->hash = HASH_START;
}

void db_dataset_free(struct db_dataset *dataset)
{
    int64_t i;

    for (i = 0; i < dataset->count; i++) {
        struct db_photo *photo = &dataset->photos[i];

        db_free(dataset->env, photo->name);
        db_image_free(dataset->env, photo->image);
        db_tensor_release(photo->posterior[0]);
        db_tensor_release(photo->posterior[1]);
    }
    if (dataset->env != NULL)
        db_free(dataset->env, dataset->photos);
    dataset->photos = NULL;
    dataset->count = dataset->capacity = 0;
}

/* FNV-1a over the sides and the pixels. */
static uint64_t hash_image(uint64_t hash, const struct db_image *image)
{
    const int sides[2] = {image->width, image->height};
    size_t size = db_image_size(image);
    size_t i;

    for (i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
        hash = (hash ^ (uint64_t)sides[i]) * HASH_FACTOR;
    for (i = 0; i < size; i++)
        hash = (hash ^ image->pixels[i]) * HASH_FACTOR;
    return hash;
}

static int make_room(struct db_dataset *dataset)
{
    int64_t capacity = dataset->capacity == 0 ? 8 : 2 * dataset->capacity;
    struct db_photo *photos;

    if (dataset->count < dataset->capacity)
        return DREAMBOOTH_OK;
    photos = db_resize(dataset->env, dataset->photos,
                       (size_t)capacity * sizeof(*photos));
    if (photos == NULL)
        return dataset->env->error_status;
    dataset->photos = photos;
    dataset->capacity = capacity;
    return DREAMBOOTH_OK;
}

/* IMAGE resized and, with a crop from the middle, cropped. */
static int bring_to_size(const struct db_dataset *dataset,
                         const struct db_image *image, struct db_image **out)
{
    int size = (int)dataset->size;
    struct db_image *resized;
    int status = db_image_resize_short_side(dataset->env, image, size,
                                            DB_FILTER_BILINEAR, &resized);

    if (status != DREAMBOOTH_OK || dataset->crop != DB_CROP_CENTER) {
        if (status == DREAMBOOTH_OK)
            *out = resized;
        return status;
    }
    status = db_image_crop(
        dataset->env, resized, db_image_center_offset(resized->width, size),
        db_image_center_offset(resized->height, size), size, size, out);
    db_image_free(dataset->env, resized);
    return status;
}

int db_dataset_add_image(struct db_dataset *dataset, const char *name,
                         const struct db_image *image)
{
    struct db_photo photo = {.name = NULL};
    int status = make_room(dataset);

    if (status != DREAMBOOTH_OK)
        return status;
    status = bring_to_size(dataset, image, &photo.image);
    if (status != DREAMBOOTH_OK)
        return db_fail_prefix(dataset->env, status, "%s", name);
    photo.name = db_copy_text(dataset->env, name);
    if (photo.name == NULL) {
        db_image_free(dataset->env, photo.image);
        return dataset->env->error_status;
    }
    dataset->hash = hash_image(dataset->hash, photo.image);
    dataset->photos[dataset->count++] = photo;
    return DREAMBOOTH_OK;
}

static bool has_signature(const uint8_t *bytes, size_t size)
{
    static const uint8_t jpeg[] = {0xff, 0xd8, 0xff};
    static const uint8_t png[] = {0x89, 'P', 'N', 'G'};

    return (size >= sizeof(jpeg) && memcmp(bytes, jpeg, sizeof(jpeg)) == 0) ||
           (size >= sizeof(png) && memcmp(bytes, png, sizeof(png)) == 0);
}

static bool is_called_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const char *dot = strrchr(name, '.');
    size_t i;

    for (i = 0; dot != NULL && i < DB_COUNT(endings); i++) {
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Adds the file PATH if it is a picture. */
static int add_file(struct db_dataset *dataset, const char *path)
{
    struct db_env *env = dataset->env;
    struct db_image *image = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int status = db_image_read_bytes(env, path, &bytes, &size);

    if (status != DREAMBOOTH_OK)
        return status;
    if (!has_signature(bytes, size) && !is_called_picture(path)) {
        db_log(env, DB_LOG_WARNING, "%s: skipped, neither JPEG nor PNG", path);
        goto done;
    }
    status = db_image_decode(env, path, bytes, size, &image);
    if (status == DREAMBOOTH_OK)
        status = db_dataset_add_image(dataset, path, image);
done:
    db_image_free(env, image);
    db_free(env, bytes);
    return status;
}

int db_dataset_add_folder(struct db_dataset *dataset, const char *folder,
                          int64_t maximum)
{
    struct db_env *env = dataset->env;
    struct db_folder_list list = {0};
    int64_t before = dataset->count;
    int status = db_folder_files(env, folder, &list);
    size_t i;

    for (i = 0; i < list.count && status == DREAMBOOTH_OK; i++) {
        char *path;

        if (maximum > 0 && dataset->count - before == maximum)
            break;
        path = db_path_join(env, folder, list.names[i]);
        status = path == NULL ? env->error_status : add_file(dataset, path);
        db_free(env, path);
    }
    db_folder_list_free(env, &list);
    if (status == DREAMBOOTH_OK && dataset->count == before)
        status = db_fail(env, DREAMBOOTH_ENOTFOUND,
                         "%s: no JPEG or PNG files in this folder", folder);
    return status;
}

uint64_t db_dataset_bytes(const struct db_dataset *dataset)
{
    uint64_t bytes = 0;
    int64_t i;

    for (i = 0; i < dataset->count; i++)
        bytes += db_image_size(dataset->photos[i].image);
    return bytes;
}

/* SPDX-License-Identifier: MIT */
/*
 * Class images on disk. Each file stands for itself: what is there and reads as
 * a picture counts, the rest is to be made. class-images.json keeps different
 * series apart.
 */
#include "train/class_images.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "file/atomic.h"
#include "file/folder.h"
#include "file/json.h"
#include "train/trainer.h"

#define MANIFEST "class-images.json"

static int set_json(struct db_env *env, json_t *object, const char *key,
                    json_t *value)
{
    if (value == NULL || json_object_set_new(object, key, value) != 0)
        return db_fail(env, DREAMBOOTH_ENOMEM,
                       "out of memory while writing " MANIFEST);
    return DREAMBOOTH_OK;
}

static int write_manifest(struct db_env *env, const char *path,
                          const struct db_trainer_settings *settings,
                          uint64_t seed)
{
    json_t *object = json_object();
    int status;

    status = object == NULL ? set_json(env, NULL, "prompt", NULL)
                            : set_json(env, object, "prompt",
                                       json_string(settings->class_prompt));
    if (status == DREAMBOOTH_OK)
        status = set_json(env, object, "seed", json_integer((json_int_t)seed));
    if (status == DREAMBOOTH_OK)
        status = set_json(env, object, "size", json_integer(settings->size));
    if (status == DREAMBOOTH_OK)
        status =
            set_json(env, object, "steps", json_integer(settings->class_steps));
    if (status == DREAMBOOTH_OK)
        status = set_json(env, object, "guidance_scale",
                          json_real(settings->class_guidance_scale));
    if (status == DREAMBOOTH_OK)
        status = db_json_save(env, path, object);
    json_decref(object);
    return status;
}

static int disagree(const struct db_json_reader *reader, const char *what,
                    const char *option)
{
    return db_fail(reader->env, DREAMBOOTH_EINVAL,
                   "%s: the class images in this folder were made %s; give "
                   "another class-dir, or the same %s",
                   reader->file, what, option);
}

/* Are more images of the same series asked for, and not another's? */
static int compare_series(const struct db_json_reader *reader,
                          const struct db_trainer_settings *settings)
{
    int64_t size = 0, steps = 0;
    double scale = 0;
    int status = db_json_get_integer(reader, "size", DB_JSON_REQUIRED, &size);

    if (status == DREAMBOOTH_OK)
        status = db_json_get_integer(reader, "steps", DB_JSON_REQUIRED, &steps);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_real(reader, "guidance_scale", DB_JSON_REQUIRED,
                                  &scale);
    if (status != DREAMBOOTH_OK)
        return status;
    if (size != settings->size)
        return disagree(reader, "in another size", "size");
    if (steps != settings->class_steps)
        return disagree(reader, "with another number of steps", "class-steps");
    if (scale != settings->class_guidance_scale)
        return disagree(reader, "with another guidance scale",
                        "class-guidance-scale");
    return DREAMBOOTH_OK;
}

/* Reads the manifest; its seed is what the series goes on with. */
static int read_manifest(struct db_env *env, const char *path,
                         const struct db_trainer_settings *settings,
                         struct db_class_images *images)
{
    struct db_json_reader reader = {.env = env, .file = path};
    const char *prompt = NULL;
    json_t *object = NULL;
    int64_t seed = 0;
    int status = db_json_load(env, path, &object);

    if (status != DREAMBOOTH_OK)
        return status;
    reader.object = object;
    status = db_json_get_text(&reader, "prompt", DB_JSON_REQUIRED, &prompt);
    if (status == DREAMBOOTH_OK && strcmp(prompt, settings->class_prompt) != 0)
        status = disagree(&reader, "from another class prompt", "class-prompt");
    if (status == DREAMBOOTH_OK)
        status = db_json_get_integer(&reader, "seed", DB_JSON_REQUIRED, &seed);
    if (status == DREAMBOOTH_OK && images->missing_count > 0)
        status = compare_series(&reader, settings);
    if (status == DREAMBOOTH_OK)
        images->seed = (uint64_t)seed;
    json_decref(object);
    return status;
}

/* Whole numbers up to 2^53 survive every way that a seed may take. */
static uint64_t series_seed(const struct db_trainer_settings *settings)
{
    struct db_random random;

    db_random_init(&random, (uint64_t)settings->seed, DB_RANDOM_CLASS_IMAGE, 0,
                   0);
    return db_random_u64(&random) >> 11;
}

char *db_class_images_path(struct db_env *env,
                           const struct db_class_images *images, int64_t number)
{
    return db_format(env, "%s/class-%05lld.png", images->folder,
                     (long long)number);
}

/* Is the file PATH a whole picture? */
static int is_picture(struct db_env *env, const char *path, bool *out)
{
    struct db_image *image = NULL;
    int status = db_image_read(env, path, &image);

    db_image_free(env, image);
    *out = status == DREAMBOOTH_OK;
    if (status == DREAMBOOTH_ENOMEM || status == DREAMBOOTH_ELIMIT)
        return status;
    return DREAMBOOTH_OK;
}

static bool is_ours(const char *name)
{
    int number = 0, length = 0;

    return sscanf(name, "class-%5d.png%n", &number, &length) == 1 &&
           length == (int)strlen("class-00000.png") && name[length] == '\0';
}

/* Pictures of the user's own. */
static int count_others(struct db_env *env, struct db_class_images *images)
{
    struct db_folder_list list = {0};
    size_t i;
    int status = db_folder_files(env, images->folder, &list);

    for (i = 0; i < list.count && status == DREAMBOOTH_OK; i++) {
        bool good = false;
        char *path;

        if (is_ours(list.names[i]) || strcmp(list.names[i], MANIFEST) == 0)
            continue;
        path = db_path_join(env, images->folder, list.names[i]);
        status =
            path == NULL ? env->error_status : is_picture(env, path, &good);
        db_free(env, path);
        if (good)
            images->present++;
    }
    db_folder_list_free(env, &list);
    return status;
}

/* The numbers from 0 on whose files are not there or no good, until there will
 * be as many images as are wanted. */
static int list_missing(struct db_env *env, struct db_class_images *images)
{
    int64_t others = images->present;
    int64_t number;

    for (number = 0; number + others < images->wanted; number++) {
        char *path = db_class_images_path(env, images, number);
        bool good = false;
        int status = path == NULL ? env->error_status : DREAMBOOTH_OK;

        if (status == DREAMBOOTH_OK && db_path_exists(path))
            status = is_picture(env, path, &good);
        db_free(env, path);
        if (status != DREAMBOOTH_OK)
            return status;
        if (good)
            images->present++;
        else
            images->missing[images->missing_count++] = number;
    }
    return DREAMBOOTH_OK;
}

static int look(struct db_env *env, const struct db_trainer_settings *settings,
                struct db_class_images *images)
{
    char *manifest;
    int status;

    images->folder = db_trainer_class_folder(env, settings);
    images->missing =
        db_alloc_array(env, (size_t)images->wanted, sizeof(int64_t));
    if (images->folder == NULL || images->missing == NULL)
        return env->error_status;
    status = db_make_folders(env, images->folder);
    if (status == DREAMBOOTH_OK && settings->instance_dir != NULL &&
        db_path_same(settings->instance_dir, images->folder))
        status = db_fail(env, DREAMBOOTH_EINVAL,
                         "%s: class images cannot go into the folder of the "
                         "photos; give another class-dir",
                         images->folder);
    if (status == DREAMBOOTH_OK)
        status = count_others(env, images);
    if (status == DREAMBOOTH_OK)
        status = list_missing(env, images);
    if (status != DREAMBOOTH_OK)
        return status;
    manifest = db_path_join(env, images->folder, MANIFEST);
    if (manifest == NULL)
        return env->error_status;
    if (db_path_exists(manifest))
        status = read_manifest(env, manifest, settings, images);
    else if (images->missing_count > 0)
        status = write_manifest(env, manifest, settings, images->seed);
    db_free(env, manifest);
    return status;
}

int db_class_images_open(struct db_env *env,
                         const struct db_trainer_settings *settings,
                         struct db_class_images **out)
{
    struct db_class_images *images = db_alloc_zero(env, sizeof(*images));
    int status = DREAMBOOTH_OK;

    if (images == NULL)
        return env->error_status;
    images->seed = series_seed(settings);
    if (db_trainer_has_prior(settings)) {
        images->wanted = settings->class_images;
        status = look(env, settings, images);
    }
    if (status != DREAMBOOTH_OK) {
        db_class_images_free(env, images);
        return status;
    }
    *out = images;
    return DREAMBOOTH_OK;
}

void db_class_images_free(struct db_env *env, struct db_class_images *images)
{
    if (images == NULL)
        return;
    db_free(env, images->folder);
    db_free(env, images->missing);
    db_free(env, images);
}

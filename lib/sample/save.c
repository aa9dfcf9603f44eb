/* SPDX-License-Identifier: MIT */
/*
 * Finished images as PNG files that tell how they were made: every setting that
 * has a say in the pixels becomes a text chunk under its option's name.
 */
#include "sample/sampler_int.h"

#include <string.h>

#include "file/png.h"

/* Not told: how the work was cut up. */
static bool is_told(const char *name)
{
    return strcmp(name, "batch") != 0 && strcmp(name, "count") != 0 &&
           strcmp(name, "size") != 0 && strcmp(name, "first-image") != 0;
}

/* Room for every option, the image's number, the model and the software. */
#define TEXTS_MAX 24

struct texts {
    struct db_png_text list[TEXTS_MAX];
    char *owned[TEXTS_MAX];
    size_t count;
};

static void add(struct texts *texts, const char *key, char *value, bool owned)
{
    if (value == NULL || texts->count == TEXTS_MAX)
        return;
    texts->list[texts->count].key = key;
    texts->list[texts->count].value = value;
    texts->owned[texts->count] = owned ? value : NULL;
    texts->count++;
}

static int add_settings(const struct db_sampler *sampler, struct texts *texts)
{
    size_t i;

    for (i = 0; i < db_sampler_options.count; i++) {
        const char *name = db_sampler_options.rows[i].name;
        char *value = NULL;
        int status;

        if (!is_told(name))
            continue;
        status = db_options_get_text(sampler->env, &db_sampler_options,
                                     &sampler->settings, name, &value);
        if (status != DREAMBOOTH_OK)
            return status;
        add(texts, name, value, true);
    }
    return DREAMBOOTH_OK;
}

int db_sampler_save_image(const struct db_sampler *sampler, int64_t index,
                          const char *path)
{
    const struct db_image *image = db_sampler_image(sampler, index);
    struct texts texts = {.count = 0};
    char *number;
    int status;
    size_t i;

    if (image == NULL)
        return db_fail(sampler->env, DREAMBOOTH_ESTATE,
                       "image %lld is not finished", (long long)index);
    status = add_settings(sampler, &texts);
    if (status != DREAMBOOTH_OK)
        goto done;
    number = db_format(sampler->env, "%lld",
                       (long long)(sampler->settings.first_image + index));
    if (number == NULL) {
        status = sampler->env->error_status;
        goto done;
    }
    add(&texts, "image", number, true);
    add(&texts, "model", sampler->pipeline->path, false);
    status = db_png_write(sampler->env, path, image, texts.list, texts.count);
done:
    for (i = 0; i < texts.count; i++)
        db_free(sampler->env, texts.owned[i]);
    return status;
}

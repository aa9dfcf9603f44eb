/* SPDX-License-Identifier: MIT */
/*
 * Sample images while training goes on: always the same prompt and seeds, so
 * that the rows of the sheet show what the steps between them changed. The
 * sheet is made from the files, so that it survives a resume.
 */
#include "api/trainer_int.h"

#include <string.h>

#include "file/atomic.h"
#include "file/folder.h"
#include "file/png.h"

#define MARGIN 4

static int draw(dreambooth_trainer *trainer, struct db_sampler **out)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    const char *prompt = settings->sample_prompt != NULL
                             ? settings->sample_prompt
                             : settings->instance_prompt;
    struct db_sampler_settings options;
    struct db_sampler *sampler = NULL;
    int status = db_options_init(trainer->env, &db_sampler_options, &options);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_options_set(trainer->env, &db_sampler_options, &options,
                            "prompt", prompt);
    if (status == DREAMBOOTH_OK) {
        options.steps = settings->sample_steps;
        options.size = settings->size;
        options.seed = settings->seed;
        options.count = settings->sample_count;
        status = db_sampler_new(&trainer->model->device,
                                trainer->model->pipeline, &options, &sampler);
    }
    db_options_release(trainer->env, &db_sampler_options, &options);
    if (status == DREAMBOOTH_OK)
        status = db_sampler_run(sampler);
    if (status < 0) {
        db_sampler_free(sampler);
        return status;
    }
    *out = sampler;
    return DREAMBOOTH_OK;
}

static int write_samples(dreambooth_trainer *trainer,
                         const struct db_sampler *sampler, const char *folder)
{
    int64_t step = db_trainer_report_of(trainer->inner)->step;
    int status = DREAMBOOTH_OK;
    int64_t i;

    for (i = 0; i < trainer->settings.sample_count; i++) {
        char *path = db_format(trainer->env, "%s/step-%06lld-%02lld.png",
                               folder, (long long)step, (long long)i);

        if (path == NULL)
            return trainer->env->error_status;
        status = db_sampler_save_image(sampler, i, path);
        db_free(trainer->env, path);
        if (status != DREAMBOOTH_OK)
            break;
    }
    return status;
}

/* Reads all of NAMES; what was read must be freed also on failure. */
static int read_all(struct db_env *env, const char *folder, char **names,
                    size_t count, struct db_image **images)
{
    int status = DREAMBOOTH_OK;
    size_t i;

    for (i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        char *path = db_path_join(env, folder, names[i]);

        if (path == NULL)
            return env->error_status;
        status = db_image_read(env, path, &images[i]);
        db_free(env, path);
    }
    return status;
}

static int join(dreambooth_trainer *trainer, const char *folder, char **names,
                size_t count, const char *path)
{
    struct db_env *env = trainer->env;
    struct db_image **images = db_alloc_zero(env, count * sizeof(*images));
    struct db_image *sheet = NULL;
    size_t i;
    int status;

    if (images == NULL)
        return env->error_status;
    status = read_all(env, folder, names, count, images);
    if (status == DREAMBOOTH_OK)
        status = db_image_sheet(env, (const struct db_image *const *)images,
                                (int)count, (int)trainer->settings.sample_count,
                                MARGIN, &sheet);
    if (status == DREAMBOOTH_OK)
        status = db_png_write(env, path, sheet, NULL, 0);
    db_image_free(env, sheet);
    for (i = 0; i < count; i++)
        db_image_free(env, images[i]);
    db_free(env, images);
    return status;
}

static int join_folder(dreambooth_trainer *trainer, const char *folder)
{
    struct db_env *env = trainer->env;
    struct db_folder_list list = {0};
    char *path = db_path_join(env, trainer->settings.out, "samples.png");
    int status;

    if (path == NULL)
        return env->error_status;
    status = db_folder_files(env, folder, &list);
    if (status == DREAMBOOTH_OK && list.count > 0)
        status = join(trainer, folder, list.names, list.count, path);
    db_folder_list_free(env, &list);
    db_free(env, path);
    return status;
}

int db_sample_sheet(dreambooth_trainer *trainer)
{
    struct db_env *env = trainer->env;
    struct db_sampler *sampler = NULL;
    char *folder;
    int status;

    if (trainer->settings.out == NULL)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "sample-every needs the option out");
    folder = db_path_join(env, trainer->settings.out, "samples");
    if (folder == NULL)
        return env->error_status;
    status = draw(trainer, &sampler);
    if (status == DREAMBOOTH_OK)
        status = db_make_folders(env, folder);
    if (status == DREAMBOOTH_OK)
        status = write_samples(trainer, sampler, folder);
    if (status == DREAMBOOTH_OK)
        status = join_folder(trainer, folder);
    db_sampler_free(sampler);
    db_free(env, folder);
    return status;
}

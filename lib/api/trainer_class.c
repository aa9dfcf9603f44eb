/* SPDX-License-Identifier: MIT */
/*
 * Class images: the frozen model's own samples of the class, drawn with the
 * ancestral sampler before training and kept on disk. They stand here because
 * training and sampling do not know each other.
 */
#include "api/trainer_int.h"

#include "file/png.h"

/* How many of the missing images from FIRST on have adjacent numbers. */
static int64_t run_length(const struct db_class_images *images, int64_t first,
                          int64_t most)
{
    int64_t count = 1;

    while (count < most && first + count < images->missing_count &&
           images->missing[first + count] == images->missing[first] + count)
        count++;
    return count;
}

static int next_sampler(dreambooth_trainer *trainer)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    const struct db_class_images *images = trainer->classes;
    struct db_sampler_settings sampler;
    int status = db_options_init(trainer->env, &db_sampler_options, &sampler);

    if (status != DREAMBOOTH_OK)
        return status;
    trainer->class_count =
        run_length(images, trainer->class_first, settings->class_batch);
    status = db_options_set(trainer->env, &db_sampler_options, &sampler,
                            "prompt", settings->class_prompt);
    if (status == DREAMBOOTH_OK) {
        sampler.sampler = DB_SAMPLER_DDPM;
        sampler.steps = settings->class_steps;
        sampler.guidance_scale = settings->class_guidance_scale;
        sampler.size = settings->size;
        sampler.seed = (int64_t)images->seed;
        sampler.count = sampler.batch = trainer->class_count;
        sampler.first_image = images->missing[trainer->class_first];
        status =
            db_sampler_new(&trainer->model->device, trainer->model->pipeline,
                           &sampler, &trainer->class_sampler);
    }
    db_options_release(trainer->env, &db_sampler_options, &sampler);
    return status;
}

/* Writes what the sampler has finished, and makes room for the next. */
static int keep_images(dreambooth_trainer *trainer)
{
    const struct db_class_images *images = trainer->classes;
    int status = DREAMBOOTH_OK;
    int64_t i;

    for (i = 0; i < trainer->class_count && status == DREAMBOOTH_OK; i++) {
        char *path = db_class_images_path(
            trainer->env, images, images->missing[trainer->class_first + i]);

        if (path == NULL)
            return trainer->env->error_status;
        status = db_sampler_save_image(trainer->class_sampler, i, path);
        db_free(trainer->env, path);
    }
    if (status != DREAMBOOTH_OK)
        return status;
    db_sampler_free(trainer->class_sampler);
    trainer->class_sampler = NULL;
    trainer->class_first += trainer->class_count;
    trainer->facts.class_done += trainer->class_count;
    trainer->facts.class_missing -= trainer->class_count;
    return DREAMBOOTH_OK;
}

int db_class_stage_open(dreambooth_trainer *trainer)
{
    int status;

    if (!db_trainer_has_prior(&trainer->settings))
        return DREAMBOOTH_OK;
    status = db_class_images_open(trainer->env, &trainer->settings,
                                  &trainer->classes);
    if (status != DREAMBOOTH_OK)
        return status;
    trainer->facts.class_done = trainer->classes->present;
    trainer->facts.class_missing = trainer->classes->missing_count;
    return DREAMBOOTH_OK;
}

int db_class_stage_step(dreambooth_trainer *trainer)
{
    int status = DREAMBOOTH_OK;

    if (trainer->classes == NULL ||
        trainer->class_first >= trainer->classes->missing_count)
        return DREAMBOOTH_DONE;
    if (trainer->class_sampler == NULL)
        status = next_sampler(trainer);
    if (status == DREAMBOOTH_OK)
        status = db_sampler_step(trainer->class_sampler);
    if (status == DREAMBOOTH_DONE ||
        (status == DREAMBOOTH_OK &&
         db_sampler_step_number(trainer->class_sampler) ==
             db_sampler_step_count(trainer->class_sampler)))
        status = keep_images(trainer);
    return status;
}

void db_class_stage_close(dreambooth_trainer *trainer)
{
    db_sampler_free(trainer->class_sampler);
    trainer->class_sampler = NULL;
    db_class_images_free(trainer->env, trainer->classes);
    trainer->classes = NULL;
}

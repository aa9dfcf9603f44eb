/* SPDX-License-Identifier: MIT */
/*
 * The trainer's handle: what is told and asked. How a run goes on stands in
 * trainer_run.c.
 */
#include "api/trainer_int.h"

#include <string.h>

#define REPORT(field) offsetof(struct db_trainer_facts, report.field)
#define PLAN(field) offsetof(struct db_trainer_facts, plan.field)

static const struct db_fact facts[] = {
    {"step", DB_FACT_INTEGER, REPORT(step), NULL, "steps that were taken"},
    {"loss", DB_FACT_REAL, REPORT(loss), NULL,
     "loss of the last step: instance + prior-loss-weight x prior"},
    {"loss.instance", DB_FACT_REAL, REPORT(loss_instance), NULL,
     "mean square error of the noise predicted for the photos"},
    {"loss.prior", DB_FACT_REAL, REPORT(loss_prior), NULL,
     "the same for the class images; 0 without them"},
    {"gradient-norm", DB_FACT_REAL, REPORT(gradient_norm), NULL,
     "norm of the gradient over all parameters, before clipping"},
    {"learning-rate.now", DB_FACT_REAL, REPORT(learning_rate), NULL,
     "learning rate of the last step"},
    {"seconds", DB_FACT_REAL, REPORT(seconds), "seconds",
     "time that the last step took"},
    {"memory.peak", DB_FACT_SIZE, REPORT(peak_memory), "bytes",
     "the most memory that was in use at once"},
    {"plan.memory", DB_FACT_SIZE, PLAN(memory), "bytes",
     "memory that the run will take at most, with the model"},
    {"plan.parameters", DB_FACT_SIZE, PLAN(parameters), "bytes",
     "of it, the model's parameters"},
    {"plan.gradients", DB_FACT_SIZE, PLAN(gradients), "bytes",
     "of it, gradients"},
    {"plan.moments", DB_FACT_SIZE, PLAN(moments), "bytes",
     "of it, AdamW's two moments"},
    {"plan.activations", DB_FACT_SIZE, PLAN(activations), "bytes",
     "of it, what the layers keep for the backward pass"},
    {"plan.images", DB_FACT_SIZE, PLAN(images), "bytes",
     "of it, photos and class images"},
    {"plan.disk", DB_FACT_SIZE, PLAN(disk), "bytes",
     "disk that the run will fill at most"},
    {"plan.checkpoint", DB_FACT_SIZE, PLAN(checkpoint), "bytes",
     "of it, one checkpoint"},
    {"plan.recompute", DB_FACT_BOOL, PLAN(recompute), NULL,
     "whether activations will be computed again in the backward pass"},
    {"class-images.done", DB_FACT_INTEGER,
     offsetof(struct db_trainer_facts, class_done), NULL,
     "class images that this run has made"},
    {"class-images.missing", DB_FACT_INTEGER,
     offsetof(struct db_trainer_facts, class_missing), NULL,
     "class images that are still to be made"},
};

const struct db_fact_table db_trainer_facts = {facts, DB_COUNT(facts)};

int dreambooth_trainer_new(dreambooth_trainer **out, dreambooth_model *model)
{
    struct db_env *env = &model->context->env;
    dreambooth_trainer *trainer;
    int status;

    if (model->pipeline == NULL)
        return db_model_check_whole(model);
    trainer = db_alloc_zero(env, sizeof(*trainer));
    if (trainer == NULL)
        return env->error_status;
    trainer->env = env;
    status = db_options_init(env, &db_trainer_options, &trainer->settings);
    if (status != DREAMBOOTH_OK) {
        db_free(env, trainer);
        return status;
    }
    trainer->model = db_model_hold(model);
    *out = trainer;
    return DREAMBOOTH_OK;
}

void db_trainer_forget_photos(dreambooth_trainer *trainer)
{
    size_t i;

    for (i = 0; i < trainer->photo_count; i++)
        db_image_free(trainer->env, trainer->photos[i]);
    db_free(trainer->env, trainer->photos);
    trainer->photos = NULL;
    trainer->photo_count = 0;
}

void dreambooth_trainer_free(dreambooth_trainer *trainer)
{
    dreambooth_model *model;
    struct db_env *env;

    if (trainer == NULL)
        return;
    model = trainer->model;
    env = trainer->env;
    if (model->trainer == trainer)
        model->trainer = NULL;
    db_class_stage_close(trainer);
    db_trainer_free(trainer->inner);
    db_trainer_forget_photos(trainer);
    db_options_release(env, &db_trainer_options, &trainer->settings);
    db_free(env, trainer->text);
    db_free(env, trainer);
    dreambooth_model_free(model);
}

static int check_new(const dreambooth_trainer *trainer)
{
    if (trainer->stage == DB_STAGE_NEW)
        return DREAMBOOTH_OK;
    return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                   "options and photos cannot change once the trainer has "
                   "started; make another trainer");
}

int dreambooth_trainer_set(dreambooth_trainer *trainer, const char *name,
                           const char *value)
{
    int status = check_new(trainer);

    return status != DREAMBOOTH_OK
               ? status
               : db_options_set(trainer->env, &db_trainer_options,
                                &trainer->settings, name, value);
}

int dreambooth_trainer_set_integer(dreambooth_trainer *trainer,
                                   const char *name, int64_t value)
{
    int status = check_new(trainer);

    return status != DREAMBOOTH_OK
               ? status
               : db_options_set_integer(trainer->env, &db_trainer_options,
                                        &trainer->settings, name, value);
}

int dreambooth_trainer_set_double(dreambooth_trainer *trainer, const char *name,
                                  double value)
{
    int status = check_new(trainer);

    return status != DREAMBOOTH_OK
               ? status
               : db_options_set_real(trainer->env, &db_trainer_options,
                                     &trainer->settings, name, value);
}

static struct db_subject subject_of(dreambooth_trainer *trainer)
{
    if (trainer->inner != NULL)
        trainer->facts.report = *db_trainer_report_of(trainer->inner);
    return (struct db_subject){.env = trainer->env,
                               .facts = &db_trainer_facts,
                               .fact_base = &trainer->facts,
                               .table = &db_trainer_options,
                               .settings = &trainer->settings};
}

int dreambooth_trainer_get_text(dreambooth_trainer *trainer, const char *name,
                                const char **out)
{
    struct db_subject subject = subject_of(trainer);

    return db_subject_text(&subject, name, &trainer->text, out);
}

int dreambooth_trainer_get_integer(dreambooth_trainer *trainer,
                                   const char *name, int64_t *out)
{
    struct db_subject subject = subject_of(trainer);

    return db_subject_integer(&subject, name, out);
}

int dreambooth_trainer_get_double(dreambooth_trainer *trainer, const char *name,
                                  double *out)
{
    struct db_subject subject = subject_of(trainer);

    return db_subject_real(&subject, name, out);
}

int dreambooth_trainer_add_folder(dreambooth_trainer *trainer,
                                  const char *folder)
{
    int status = db_check_given(trainer->env, folder, "folder");

    return status != DREAMBOOTH_OK
               ? status
               : dreambooth_trainer_set(trainer, "instance-dir", folder);
}

int dreambooth_trainer_add_image(dreambooth_trainer *trainer,
                                 const dreambooth_image *image)
{
    const struct db_image *from;
    struct db_image **photos, *copy;
    int status = check_new(trainer);

    if (status == DREAMBOOTH_OK)
        status = db_check_given(trainer->env, image, "image");
    if (status != DREAMBOOTH_OK)
        return status;
    from = image->image;
    status = db_image_new(trainer->env, from->width, from->height, &copy);
    if (status != DREAMBOOTH_OK)
        return status;
    memcpy(copy->pixels, from->pixels, db_image_size(from));
    photos = db_resize(trainer->env, trainer->photos,
                       (trainer->photo_count + 1) * sizeof(*photos));
    if (photos == NULL) {
        db_image_free(trainer->env, copy);
        return trainer->env->error_status;
    }
    photos[trainer->photo_count++] = copy;
    trainer->photos = photos;
    return DREAMBOOTH_OK;
}

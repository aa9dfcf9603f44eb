/* SPDX-License-Identifier: MIT */
/*
 * A run from its settings to its result, in stages that each call moves on a
 * little: settle the identifier, check what can be checked, make class images,
 * start (and resume), train, save.
 */
#include "api/trainer_int.h"

#include <string.h>

#include "text/identifier.h"
#include "text/prompt.h"
#include "train/dataset.h"

static bool needs_identifier(const struct db_trainer_settings *settings)
{
    return (settings->instance_prompt != NULL &&
            db_prompt_has_place_holder(settings->instance_prompt)) ||
           (settings->sample_prompt != NULL &&
            db_prompt_has_place_holder(settings->sample_prompt));
}

/* So many rare tokens are drawn for the one with the weakest prior to be taken:
 * enough to leave out words that mean something by chance. */
#define IDENTIFIER_DRAWS 16

/* Picks a rare token with the run's seed: the weakest of a few draws. */
static int pick_identifier(dreambooth_trainer *trainer)
{
    const struct db_pipeline *pipeline = trainer->model->pipeline;
    struct db_param *table = pipeline->text_encoder->token_embedding;
    struct db_identifier_options options;
    struct db_identifier *picked;
    int status;

    db_identifier_defaults(&options);
    options.seed = (uint64_t)trainer->settings.seed;
    if (!trainer->model->described) {
        status = db_param_need(table, NULL);
        if (status != DREAMBOOTH_OK)
            return status;
        options.embeddings = db_tensor_f32(table->data);
        options.draws = IDENTIFIER_DRAWS;
        options.dimension = (size_t)table->shape.size[1];
    }
    status = db_identifier_pick(pipeline->tokenizer, &options, 1, &picked);
    if (status != DREAMBOOTH_OK)
        return db_fail_prefix(trainer->env, status,
                              "picking an identifier for [V] (or set the "
                              "option identifier)");
    status = db_options_set(trainer->env, &db_trainer_options,
                            &trainer->settings, "identifier", picked[0].text);
    if (status == DREAMBOOTH_OK)
        db_log(trainer->env, DB_LOG_INFO, "identifier %s",
               picked[0].explanation);
    db_identifiers_free(trainer->env, picked, 1);
    return status;
}

/* A line of log for each line of FINDINGS. */
static void warn_of_findings(struct db_env *env, const char *word,
                             const char *findings)
{
    size_t length;

    for (; *findings != '\0'; findings += length + (findings[length] == '\n')) {
        length = strcspn(findings, "\n");
        if (length > 0)
            db_log(env, DB_LOG_WARNING, "identifier \"%s\": %.*s", word,
                   (int)length, findings);
    }
}

/* A word of the user's own is used as it is, with a warning where it is poor.*/
static int judge_identifier(dreambooth_trainer *trainer)
{
    const char *word = trainer->settings.identifier;
    struct db_identifier_options options;
    struct db_identifier_report report = {0};
    int status;

    db_identifier_defaults(&options);
    status = db_identifier_check(trainer->model->pipeline->tokenizer, word,
                                 strlen(word), &options, &report);
    if (status == DREAMBOOTH_OK && report.findings != 0)
        warn_of_findings(trainer->env, word, report.text);
    db_identifier_report_release(trainer->env, &report);
    return status;
}

static int fill(dreambooth_trainer *trainer, char **prompt)
{
    char *filled;
    int status = db_fill_prompt(trainer->env, *prompt,
                                trainer->settings.identifier, &filled);

    if (status == DREAMBOOTH_OK) {
        db_free(trainer->env, *prompt);
        *prompt = filled;
    }
    return status;
}

static int settle_identifier(dreambooth_trainer *trainer)
{
    struct db_trainer_settings *settings = &trainer->settings;
    int status = DREAMBOOTH_OK;

    if (settings->identifier != NULL)
        status = judge_identifier(trainer);
    else if (needs_identifier(settings))
        status = pick_identifier(trainer);
    if (status == DREAMBOOTH_OK)
        status = fill(trainer, &settings->instance_prompt);
    if (status == DREAMBOOTH_OK)
        status = fill(trainer, &settings->sample_prompt);
    return status;
}

/* Photos that cannot be read are found before hours go into class images. */
static int check_photos(dreambooth_trainer *trainer)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    db_log_function *log = trainer->env->log;
    struct db_dataset photos;
    int status;

    if (settings->instance_dir == NULL)
        return trainer->photo_count > 0
                   ? DREAMBOOTH_OK
                   : db_fail(trainer->env, DREAMBOOTH_EINVAL,
                             "there are no photos: give instance-dir");
    db_dataset_init(&photos, trainer->env, settings->size,
                    (enum db_crop)settings->crop);
    /* What is skipped is told at the start, when the folder is read again. */
    trainer->env->log = NULL;
    status = db_dataset_add_folder(&photos, settings->instance_dir, 0);
    trainer->env->log = log;
    db_dataset_free(&photos);
    return status;
}

int dreambooth_trainer_plan(dreambooth_trainer *trainer)
{
    return db_train_plan_make(trainer->env, trainer->model->pipeline,
                              &trainer->settings, trainer->env->limit_bytes,
                              &trainer->facts.plan);
}

static int make_inner(dreambooth_trainer *trainer)
{
    int status =
        db_trainer_new(&trainer->model->device, trainer->model->pipeline,
                       &trainer->settings, &trainer->inner);
    size_t i;

    for (i = 0; i < trainer->photo_count && status == DREAMBOOTH_OK; i++)
        status = db_trainer_add_image(trainer->inner, trainer->photos[i]);
    if (status != DREAMBOOTH_OK) {
        db_trainer_free(trainer->inner);
        trainer->inner = NULL;
    }
    return status;
}

static int settle_all(dreambooth_trainer *trainer)
{
    int status = db_model_check_whole(trainer->model);

    if (status == DREAMBOOTH_OK)
        status = settle_identifier(trainer);
    if (status == DREAMBOOTH_OK)
        status = make_inner(trainer);
    if (status == DREAMBOOTH_OK)
        status = check_photos(trainer);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_plan(trainer);
    if (status == DREAMBOOTH_OK)
        status = db_train_plan_check(trainer->env, &trainer->facts.plan,
                                     &trainer->settings);
    if (status == DREAMBOOTH_OK)
        status = db_class_stage_open(trainer);
    if (status != DREAMBOOTH_OK) {
        db_trainer_free(trainer->inner);
        trainer->inner = NULL;
    }
    return status;
}

/* Settles a copy of the settings, so that after an error they are what the
 * caller set, and can be set anew. */
static int settle(dreambooth_trainer *trainer)
{
    struct db_env *env = trainer->env;
    struct db_trainer_settings before = trainer->settings, copy;
    int status = db_options_init(env, &db_trainer_options, &copy);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_options_copy(env, &db_trainer_options, &copy, &before);
    if (status != DREAMBOOTH_OK) {
        db_options_release(env, &db_trainer_options, &copy);
        return status;
    }
    trainer->settings = copy;
    status = settle_all(trainer);
    if (status == DREAMBOOTH_OK) {
        db_options_release(env, &db_trainer_options, &before);
        trainer->stage = DB_STAGE_CLASS;
    } else {
        db_options_release(env, &db_trainer_options, &trainer->settings);
        trainer->settings = before;
    }
    return status;
}

/* Reads everything and resumes. What could not be started is made anew for the
 * next try. */
static int begin(dreambooth_trainer *trainer)
{
    dreambooth_model *model = trainer->model;
    int status = DREAMBOOTH_OK;

    if (model->trainer != NULL && model->trainer != trainer)
        return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                       "another trainer is training this model: free it first");
    if (trainer->inner == NULL)
        status = make_inner(trainer);
    if (status != DREAMBOOTH_OK)
        return status;
    status = db_trainer_start(trainer->inner);
    if (status == DREAMBOOTH_OK)
        status = db_trainer_record(trainer->inner);
    if (status != DREAMBOOTH_OK) {
        db_trainer_free(trainer->inner);
        trainer->inner = NULL;
        return status;
    }
    db_trainer_forget_photos(trainer);
    model->trainer = trainer;
    trainer->stage = DB_STAGE_READY;
    return DREAMBOOTH_DONE;
}

int dreambooth_trainer_prepare(dreambooth_trainer *trainer)
{
    int status = db_check_cancelled(trainer->env);

    if (status != DREAMBOOTH_OK)
        return status;
    switch (trainer->stage) {
    case DB_STAGE_NEW:
        return settle(trainer);
    case DB_STAGE_CLASS:
        status = db_class_stage_step(trainer);
        if (status != DREAMBOOTH_DONE)
            return status;
        db_class_stage_close(trainer);
        trainer->stage = DB_STAGE_START;
        return DREAMBOOTH_OK;
    case DB_STAGE_START:
        return begin(trainer);
    case DB_STAGE_READY:
    case DB_STAGE_SAVED:
        break;
    }
    return DREAMBOOTH_DONE;
}

static int prepare_all(dreambooth_trainer *trainer)
{
    const struct db_trainer_facts *facts = &trainer->facts;
    int status;

    do {
        status = dreambooth_trainer_prepare(trainer);
        if (trainer->stage == DB_STAGE_CLASS)
            db_context_progress(trainer->model->context, "class images",
                                facts->class_done,
                                facts->class_done + facts->class_missing);
    } while (status == DREAMBOOTH_OK);
    return status == DREAMBOOTH_DONE ? DREAMBOOTH_OK : status;
}

static int save_once(dreambooth_trainer *trainer)
{
    int status = DREAMBOOTH_OK;

    if (trainer->stage != DB_STAGE_SAVED)
        status = trainer->settings.out != NULL
                     ? db_trainer_save(trainer->inner)
                     : db_trainer_record(trainer->inner);
    if (status != DREAMBOOTH_OK)
        return status;
    trainer->stage = DB_STAGE_SAVED;
    return DREAMBOOTH_DONE;
}

/* A sheet that could not be drawn is drawn before the next step. */
static int draw_due_sheet(dreambooth_trainer *trainer)
{
    int status = DREAMBOOTH_OK;

    if (trainer->sheet_due)
        status = db_sample_sheet(trainer);
    if (status == DREAMBOOTH_OK)
        trainer->sheet_due = false;
    return status;
}

int dreambooth_trainer_step(dreambooth_trainer *trainer)
{
    const struct db_trainer_report *report;
    int64_t before;
    int status = prepare_all(trainer);

    if (status == DREAMBOOTH_OK)
        status = draw_due_sheet(trainer);
    if (status != DREAMBOOTH_OK)
        return status;
    report = db_trainer_report_of(trainer->inner);
    before = report->step;
    status = db_trainer_step(trainer->inner);
    if (status == DREAMBOOTH_DONE)
        return save_once(trainer);
    if (report->step > before)
        trainer->sheet_due = db_trainer_sample_due(trainer->inner);
    return status == DREAMBOOTH_OK ? draw_due_sheet(trainer) : status;
}

int dreambooth_trainer_run(dreambooth_trainer *trainer)
{
    int status;

    while ((status = dreambooth_trainer_step(trainer)) == DREAMBOOTH_OK)
        db_context_progress(trainer->model->context, "training",
                            db_trainer_report_of(trainer->inner)->step,
                            trainer->settings.steps);
    return status == DREAMBOOTH_DONE ? DREAMBOOTH_OK : status;
}

int dreambooth_trainer_checkpoint(dreambooth_trainer *trainer)
{
    if (trainer->inner == NULL)
        return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                       "there is nothing to keep before the first step");
    return db_trainer_checkpoint(trainer->inner);
}

/* SPDX-License-Identifier: MIT */
/*
 * The loop's one turn and what is around it. A step computes everything before
 * it changes anything; what it had drawn from the torch stream is put back when
 * it fails, so that it can be tried again.
 */
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "diffusion/schedule_config.h"
#include "diffusion/stepper.h"
#include "file/atomic.h"
#include "file/folder.h"
#include "train/checkpoint.h"
#include "train/feed.h"
#include "train/metrics.h"

struct db_trainer {
    struct db_env *env;
    struct db_device *device;
    struct db_pipeline *pipeline;
    struct db_trainer_settings settings;
    struct db_schedule *schedule;
    struct db_feed feed;
    struct db_optimizer *optimizer;
    struct db_train_plan plan;
    struct db_trainer_report report;
    char *checkpoints, *metrics; /* paths; NULL without "out" */
    uint64_t frozen_hash;
    int64_t checkpoint_step; /* of the newest checkpoint */
    bool started, broken;
};

static int check_size(struct db_env *env, int64_t size, int64_t factor)
{
    int64_t low = size / factor * factor;

    if (size % factor == 0)
        return DREAMBOOTH_OK;
    return db_fail(
        env, DREAMBOOTH_EINVAL,
        "size of %lld pixels does not fit the model, which takes "
        "multiples of %lld: try %lld",
        (long long)size, (long long)factor,
        (long long)(low > 0 && size - low <= factor / 2 ? low : low + factor));
}

static int check_settings(const struct db_trainer *trainer)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    const struct db_pipeline *pipeline = trainer->pipeline;
    struct db_env *env = trainer->env;

    if (settings->instance_prompt == NULL ||
        settings->instance_prompt[0] == '\0')
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "instance-prompt is needed, such as \"a [V] dog\"");
    if (pipeline->unet->config.in_channels !=
            pipeline->vae->config.latent_channels ||
        pipeline->unet->config.out_channels !=
            pipeline->vae->config.latent_channels ||
        pipeline->vae->config.in_channels != 3)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "the channels of UNet and VAE are not those of a "
                       "text-to-image model");
    return check_size(env, settings->size, pipeline->vae->factor);
}

/* The schedule that training noises by: the model's, as DDPM reads it. */
static int make_schedule(struct db_trainer *trainer)
{
    const char *text = trainer->pipeline->scheduler_config;
    struct db_env *env = trainer->env;
    struct db_schedule_config config;
    int status = db_schedule_config_read(env, "scheduler_config.json",
                                         text != NULL ? text : "{}", &config);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_stepper_resolve_config(env, DB_STEPPER_DDPM, &config);
    if (status == DREAMBOOTH_OK)
        status = db_schedule_new(env, &config, &trainer->schedule);
    db_schedule_config_release(env, &config);
    return status;
}

static int make_paths(struct db_trainer *trainer)
{
    const char *out = trainer->settings.out;

    if (out == NULL)
        return DREAMBOOTH_OK;
    trainer->checkpoints = db_path_join(trainer->env, out, "checkpoints");
    trainer->metrics = db_path_join(trainer->env, out, "metrics.csv");
    if (trainer->checkpoints == NULL || trainer->metrics == NULL)
        return trainer->env->error_status;
    return DREAMBOOTH_OK;
}

static int set_up(struct db_trainer *trainer,
                  const struct db_trainer_settings *settings)
{
    struct db_env *env = trainer->env;
    int status;

    status = db_options_init(env, &db_trainer_options, &trainer->settings);
    if (status == DREAMBOOTH_OK)
        status = db_options_copy(env, &db_trainer_options, &trainer->settings,
                                 settings);
    if (status == DREAMBOOTH_OK)
        status = check_settings(trainer);
    if (status == DREAMBOOTH_OK)
        status = make_schedule(trainer);
    if (status == DREAMBOOTH_OK)
        status = make_paths(trainer);
    if (status == DREAMBOOTH_OK)
        db_feed_init(&trainer->feed, trainer->device, trainer->pipeline,
                     &trainer->settings, trainer->schedule->count);
    return status;
}

int db_trainer_new(struct db_device *device, struct db_pipeline *pipeline,
                   const struct db_trainer_settings *settings,
                   struct db_trainer **out)
{
    struct db_env *env = device->env;
    struct db_trainer *trainer = db_alloc_zero(env, sizeof(*trainer));
    int status;

    if (trainer == NULL)
        return env->error_status;
    trainer->env = env;
    trainer->device = device;
    trainer->pipeline = pipeline;
    status = set_up(trainer, settings);
    if (status != DREAMBOOTH_OK) {
        db_trainer_free(trainer);
        return status;
    }
    *out = trainer;
    return DREAMBOOTH_OK;
}

void db_trainer_free(struct db_trainer *trainer)
{
    struct db_env *env;

    if (trainer == NULL)
        return;
    env = trainer->env;
    if (trainer->optimizer != NULL)
        db_optimizer_free_gradients(trainer->optimizer);
    db_optimizer_free(trainer->optimizer);
    db_feed_free(&trainer->feed);
    db_schedule_free(trainer->schedule);
    db_free(env, trainer->checkpoints);
    db_free(env, trainer->metrics);
    db_options_release(env, &db_trainer_options, &trainer->settings);
    db_free(env, trainer);
    db_return_blocks(env);
}

int db_trainer_add_image(struct db_trainer *trainer,
                         const struct db_image *image)
{
    char name[32];
    struct db_dataset *photos = &trainer->feed.instances;

    if (trainer->started)
        return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                       "photos cannot be added once training has started");
    snprintf(name, sizeof(name), "photo %lld", (long long)photos->count + 1);
    return db_dataset_add_image(photos, name, image);
}

char *db_trainer_class_folder(struct db_env *env,
                              const struct db_trainer_settings *settings)
{
    if (settings->class_dir != NULL)
        return db_copy_text(env, settings->class_dir);
    return db_path_join(env, settings->out != NULL ? settings->out : "",
                        "class");
}

static int read_class_images(struct db_trainer *trainer)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    struct db_dataset *images = &trainer->feed.classes;
    char *folder = db_trainer_class_folder(trainer->env, settings);
    int status;

    if (folder == NULL)
        return trainer->env->error_status;
    status = db_dataset_add_folder(images, folder, settings->class_images);
    if (status == DREAMBOOTH_OK && images->count < settings->class_images)
        status = db_fail(trainer->env, DREAMBOOTH_ESTATE,
                         "%s: %lld class images are there, %lld are wanted; "
                         "make the others first",
                         folder, (long long)images->count,
                         (long long)settings->class_images);
    db_free(trainer->env, folder);
    return status;
}

static int read_images(struct db_trainer *trainer)
{
    const char *folder = trainer->settings.instance_dir;
    int status = DREAMBOOTH_OK;

    if (folder != NULL)
        status = db_dataset_add_folder(&trainer->feed.instances, folder, 0);
    if (status == DREAMBOOTH_OK && trainer->feed.instances.count == 0)
        status = db_fail(trainer->env, DREAMBOOTH_EINVAL,
                         "there are no photos: give instance-dir");
    if (status == DREAMBOOTH_OK && trainer->feed.prior)
        status = read_class_images(trainer);
    return status;
}

static void fill_state(struct db_trainer *trainer,
                       struct db_checkpoint_state *state)
{
    state->settings = &trainer->settings;
    state->step = trainer->report.step;
    state->noise = &trainer->feed.noise;
    state->instance_hash = trainer->feed.instances.hash;
    state->class_hash = trainer->feed.classes.hash;
    state->frozen_hash = trainer->frozen_hash;
    state->weights = trainer->pipeline->weights;
}

/* Goes back to the newest checkpoint, or makes sure that there is none which a
 * run from the start would be mixed up with. */
static int resume(struct db_trainer *trainer)
{
    struct db_env *env = trainer->env;
    struct db_checkpoint_state state;
    int64_t newest = 0;
    bool found = false;
    int status;

    if (!trainer->settings.resume) {
        status = db_checkpoint_newest(env, trainer->checkpoints, &newest);
        if (status == DREAMBOOTH_OK && newest > 0)
            status = db_fail(env, DREAMBOOTH_EINVAL,
                             "%s holds checkpoints of an earlier run, up to "
                             "step %lld; resume it, remove them, or choose "
                             "another out",
                             trainer->checkpoints, (long long)newest);
        return status;
    }
    fill_state(trainer, &state);
    status = db_checkpoint_resume(trainer->pipeline, trainer->optimizer, &state,
                                  trainer->checkpoints, &found);
    if (status != DREAMBOOTH_OK || !found)
        return status;
    trainer->report.step = trainer->checkpoint_step = state.step;
    db_log(env, DB_LOG_INFO, "resumed at step %lld", (long long)state.step);
    return DREAMBOOTH_OK;
}

/* The folder of the result, clear of what killed runs left in it. */
static int open_out(struct db_trainer *trainer)
{
    struct db_env *env = trainer->env;
    int status;

    if (trainer->settings.out == NULL)
        return DREAMBOOTH_OK;
    status = db_checkpoint_frozen_hash(trainer->pipeline,
                                       trainer->settings.train_text_encoder,
                                       &trainer->frozen_hash);
    if (status == DREAMBOOTH_OK)
        status = db_make_folders(env, trainer->settings.out);
    if (status == DREAMBOOTH_OK)
        status = db_atomic_sweep(env, trainer->settings.out);
    if (status == DREAMBOOTH_OK && db_path_is_folder(trainer->checkpoints))
        status = db_atomic_sweep(env, trainer->checkpoints);
    if (status == DREAMBOOTH_OK)
        status = resume(trainer);
    if (status == DREAMBOOTH_OK)
        status = db_metrics_start(env, trainer->metrics, trainer->report.step);
    return status;
}

static int start(struct db_trainer *trainer)
{
    struct db_env *env = trainer->env;
    int status = db_train_plan_make(env, trainer->pipeline, &trainer->settings,
                                    env->limit_bytes, &trainer->plan);

    if (status == DREAMBOOTH_OK)
        status = db_train_plan_check(env, &trainer->plan, &trainer->settings);
    if (status == DREAMBOOTH_OK)
        status = read_images(trainer);
    if (status == DREAMBOOTH_OK)
        status = db_feed_prompts(&trainer->feed);
    if (status == DREAMBOOTH_OK)
        status = db_optimizer_new(trainer->device, trainer->pipeline,
                                  &trainer->settings, &trainer->optimizer);
    if (status == DREAMBOOTH_OK)
        status = open_out(trainer);
    return status;
}

int db_trainer_start(struct db_trainer *trainer)
{
    int status;

    if (trainer->started)
        return DREAMBOOTH_OK;
    if (trainer->broken)
        return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                       "this trainer could not start; make a new one");
    status = start(trainer);
    trainer->started = status == DREAMBOOTH_OK;
    trainer->broken = !trainer->started;
    return status;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Constant after a linear warm-up that begins with 0, as in diffusers. */
static double learning_rate(const struct db_trainer *trainer)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    int64_t step = trainer->report.step;

    if (step >= settings->learning_rate_warmup)
        return settings->learning_rate;
    return settings->learning_rate * (double)step /
           (double)settings->learning_rate_warmup;
}

/* Neither VAE nor, as a rule, text encoder is needed now: they are read again
 * for the next photo or sheet. */
static void forget_untrained(const struct db_pipeline *pipeline)
{
    int part;

    for (part = 0; part < DB_PARTS; part++)
        db_params_forget(db_pipeline_params(pipeline, (enum db_part)part));
}

/* The gradients of one batch, added to those that there are. */
static int add_batch(struct db_trainer *trainer, int64_t number,
                     struct db_trainer_report *report)
{
    const struct db_trainer_settings *settings = &trainer->settings;
    double share = 1 / (double)settings->gradient_accumulation;
    struct db_train_form form = {.prior_loss_weight =
                                     settings->prior_loss_weight,
                                 .snr_gamma = settings->snr_gamma,
                                 .scale = share,
                                 .recompute = trainer->plan.recompute,
                                 .kept = &trainer->plan.kept,
                                 .step = report->step};
    struct db_train_losses losses = {0};
    struct db_train_batch batch;
    int status = db_feed_batch(&trainer->feed, number, &batch);

    if (status != DREAMBOOTH_OK)
        return status;
    forget_untrained(trainer->pipeline);
    status =
        db_train_gradients(trainer->device, trainer->pipeline,
                           trainer->schedule, &batch, &form, &losses, NULL);
    db_train_batch_release(trainer->env, &batch);
    report->loss += share * losses.loss;
    report->loss_instance += share * losses.instance;
    report->loss_prior += share * losses.prior;
    return status;
}

/* One update of the parameters, or nothing. */
static int take_step(struct db_trainer *trainer,
                     struct db_trainer_report *report)
{
    int64_t batches = trainer->settings.gradient_accumulation;
    int64_t first = trainer->report.step * batches;
    struct db_noise before = trainer->feed.noise;
    int64_t i;
    int status = DREAMBOOTH_OK;

    for (i = 0; i < batches && status == DREAMBOOTH_OK; i++) {
        status = db_check_cancelled(trainer->env);
        if (status == DREAMBOOTH_OK)
            status = add_batch(trainer, first + i, report);
    }
    if (status == DREAMBOOTH_OK)
        status = db_optimizer_norm(trainer->optimizer, report->step,
                                   &report->gradient_norm);
    if (status == DREAMBOOTH_OK)
        status = db_optimizer_update(trainer->optimizer, report->learning_rate,
                                     report->gradient_norm);
    db_optimizer_free_gradients(trainer->optimizer);
    if (status != DREAMBOOTH_OK)
        trainer->feed.noise = before;
    return status;
}

static bool checkpoint_due(const struct db_trainer *trainer)
{
    int64_t every = trainer->settings.checkpoint_every;
    int64_t step = trainer->report.step;

    return every > 0 && trainer->checkpoints != NULL &&
           step != trainer->checkpoint_step &&
           (step % every == 0 || step == trainer->settings.steps);
}

int db_trainer_step(struct db_trainer *trainer)
{
    struct db_trainer_report report = {0};
    double begin = now();
    int status = db_trainer_start(trainer);

    if (status == DREAMBOOTH_OK && checkpoint_due(trainer))
        status = db_trainer_checkpoint(trainer); /* which could not be then */
    if (status != DREAMBOOTH_OK)
        return status;
    if (trainer->report.step >= trainer->settings.steps)
        return DREAMBOOTH_DONE;
    report.step = trainer->report.step + 1;
    report.learning_rate = learning_rate(trainer);
    status = take_step(trainer, &report);
    if (status != DREAMBOOTH_OK)
        return status;
    report.seconds = now() - begin;
    report.peak_memory = atomic_load(&trainer->env->peak_bytes);
    trainer->report = report;
    if (trainer->metrics != NULL)
        status = db_metrics_append(trainer->env, trainer->metrics, &report,
                                   trainer->feed.prior);
    if (status == DREAMBOOTH_OK && checkpoint_due(trainer))
        status = db_trainer_checkpoint(trainer);
    return status;
}

int db_trainer_checkpoint(struct db_trainer *trainer)
{
    struct db_checkpoint_state state;
    int status;

    if (!trainer->started || trainer->checkpoints == NULL)
        return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                       "a checkpoint needs a started run and the option out");
    if (trainer->checkpoint_step == trainer->report.step)
        return DREAMBOOTH_OK;
    status = db_optimizer_check(trainer->optimizer, trainer->report.step);
    if (status != DREAMBOOTH_OK)
        return status;
    fill_state(trainer, &state);
    status = db_checkpoint_write(trainer->pipeline, trainer->optimizer, &state,
                                 trainer->checkpoints,
                                 trainer->settings.keep_checkpoints);
    if (status == DREAMBOOTH_OK)
        trainer->checkpoint_step = trainer->report.step;
    return status;
}

/* What has a say in the result; paths and intervals have none. */
static bool is_recorded(const struct db_option *row,
                        const struct db_trainer_settings *settings)
{
    if (row->flags & DB_OPTION_CHANGEABLE)
        return false;
    return db_trainer_has_prior(settings) ||
           strncmp(row->name, "class-", 6) != 0;
}

int db_trainer_record(struct db_trainer *trainer)
{
    struct db_env *env = trainer->env;
    char steps[24];
    size_t i;
    int status;

    snprintf(steps, sizeof(steps), "%lld", (long long)trainer->report.step);
    status = db_pipeline_set(trainer->pipeline, "steps", steps);
    for (i = 0; i < db_trainer_options.count && status == DREAMBOOTH_OK; i++) {
        const char *name = db_trainer_options.rows[i].name;
        char *text = NULL;

        if (!is_recorded(&db_trainer_options.rows[i], &trainer->settings))
            continue;
        status = db_options_get_text(env, &db_trainer_options,
                                     &trainer->settings, name, &text);
        if (status == DREAMBOOTH_OK)
            status = db_pipeline_set(trainer->pipeline, name, text);
        db_free(env, text);
    }
    return status;
}

int db_trainer_save(struct db_trainer *trainer)
{
    int status;

    if (trainer->settings.out == NULL)
        return db_fail(trainer->env, DREAMBOOTH_ESTATE,
                       "the option out says where to save, and is not set");
    status = db_optimizer_check(trainer->optimizer, trainer->report.step);
    if (status == DREAMBOOTH_OK)
        status = db_trainer_record(trainer);
    if (status == DREAMBOOTH_OK)
        status =
            db_pipeline_save(trainer->pipeline, trainer->settings.out, DB_F32);
    return status;
}

const struct db_trainer_report *db_trainer_report_of(
    const struct db_trainer *trainer)
{
    return &trainer->report;
}

const struct db_trainer_settings *db_trainer_settings_of(
    const struct db_trainer *trainer)
{
    return &trainer->settings;
}

bool db_trainer_sample_due(const struct db_trainer *trainer)
{
    int64_t every = trainer->settings.sample_every;

    return every > 0 && trainer->report.step > 0 &&
           trainer->report.step % every == 0;
}

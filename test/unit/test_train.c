/* SPDX-License-Identifier: MIT */
/*
 * The trainer on a tiny model: the loss falls, a run that was stopped and
 * resumed gives the bits of one that was not, whatever the number of threads,
 * and what is wrong with photos, settings or checkpoints is said beforehand.
 */
#include "tiny.h"

#include <math.h>

#include "base/noise.h"
#include "diffusion/schedule_config.h"
#include "file/folder.h"
#include "train/checkpoint.h"
#include "train/class_images.h"
#include "train/feed.h"
#include "train/order.h"
#include "train/step.h"
#include "train/trainer.h"

static struct db_env env;
static struct db_pool *pool;
static struct db_device device;
static struct db_trainer_settings settings;
static char folder[UNIT_PATH_MAX];
static char model[UNIT_PATH_MAX], photos[UNIT_PATH_MAX], out[UNIT_PATH_MAX];
static char log_text[1024];

static void keep_log(void *user, int level, const char *text)
{
    (void)user;
    if (level >= (int)DB_LOG_WARNING)
        snprintf(log_text, sizeof(log_text), "%s", text);
}

static void set(const char *name, const char *value)
{
    int status =
        db_options_set(&env, &db_trainer_options, &settings, name, value);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
}

/* Two photos, of which one is no square. */
static void write_photos(void)
{
    char path[UNIT_PATH_MAX];

    tiny_write_picture(&env, unit_path(path, photos, "a.png"), 1, 24, 16);
    tiny_write_picture(&env, unit_path(path, photos, "b.png"), 2, 16, 21);
}

static void setup(void)
{
    db_env_init(&env);
    env.log = keep_log;
    log_text[0] = '\0';
    ck_assert_int_eq(db_pool_new(&env, 2, &pool), DREAMBOOTH_OK);
    db_device_init(&device, &env, pool, &db_backend_reference);
    unit_directory_new(folder);
    ck_assert_int_eq(mkdir(unit_path(model, folder, "model"), 0777), 0);
    ck_assert_int_eq(mkdir(unit_path(photos, folder, "photos"), 0777), 0);
    unit_path(out, folder, "out");
    tiny_write_model(model);
    write_photos();
    memset(&settings, 0, sizeof(settings));
    ck_assert_int_eq(db_options_init(&env, &db_trainer_options, &settings),
                     DREAMBOOTH_OK);
    set("instance-dir", photos);
    set("instance-prompt", "a qzx dog");
    set("size", "16");
    set("learning-rate", "1e-2");
    set("steps", "6");
    set("checkpoint-every", "2");
    set("seed", "9");
}

static void teardown(void)
{
    db_options_release(&env, &db_trainer_options, &settings);
    unit_directory_free(folder);
    db_pool_free(pool);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static struct db_trainer *make(struct db_pipeline *pipeline)
{
    struct db_trainer *trainer = NULL;
    int status = db_trainer_new(&device, pipeline, &settings, &trainer);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return trainer;
}

/* Takes COUNT steps, all of which must be there to take. */
static void take(struct db_trainer *trainer, int count)
{
    for (; count > 0; count--) {
        int status = db_trainer_step(trainer);

        ck_assert_msg(status == DREAMBOOTH_OK, "%d: %s", status,
                      env.error_text);
    }
}

/* A whole run; the trained pipeline. */
static struct db_pipeline *run(void)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer = make(pipeline);

    take(trainer, (int)settings.steps);
    ck_assert_int_eq(db_trainer_step(trainer), DREAMBOOTH_DONE);
    db_trainer_free(trainer);
    return pipeline;
}

/* The trainer does not start, with STATUS and a text that has TEXT. */
static void refuse_start(int status, const char *text)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer = make(pipeline);
    int got = db_trainer_start(trainer);

    ck_assert_msg(got == status, "%d: %s", got, env.error_text);
    ck_assert_msg(strstr(env.error_text, text) != NULL, "\"%s\"",
                  env.error_text);
    ck_assert_int_eq(db_trainer_start(trainer), DREAMBOOTH_ESTATE);
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
}

static void use_prior(void)
{
    char path[UNIT_PATH_MAX], name[64];
    int i;

    unit_path(path, folder, "class");
    if (mkdir(path, 0777) == 0) {
        for (i = 0; i < 3; i++) {
            char file[UNIT_PATH_MAX];

            snprintf(name, sizeof(name), "class-%05d.png", i);
            tiny_write_picture(&env, unit_path(file, path, name), 10 + i, 16,
                               16);
        }
    }
    set("class-dir", path);
    set("class-prompt", "a dog");
    set("class-images", "3");
}

START_TEST(the_loss_falls)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer;
    double first = 0, last = 0;
    int i, steps = unit_is_quick() ? 25 : 60;

    use_prior();
    set("steps", "60");
    set("batch", "2");
    trainer = make(pipeline);
    for (i = 0; i < steps; i++) {
        take(trainer, 1);
        if (i < 10)
            first += db_trainer_report_of(trainer)->loss;
        if (i >= steps - 10)
            last += db_trainer_report_of(trainer)->loss;
    }
    ck_assert_msg(last < 0.8 * first, "from %g to %g", first, last);
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
}
END_TEST

/* The lines of metrics.csv: the header and the steps 1.. in order. */
static void check_metrics(int steps)
{
    char path[UNIT_PATH_MAX];
    size_t size;
    char *text = unit_read_file(unit_path(path, out, "metrics.csv"), &size);
    char *line = strtok(text, "\n");
    int count = 0;

    ck_assert_str_eq(line, "step,loss.instance,loss.prior,gradient_norm,"
                           "learning_rate,seconds,peak_memory_bytes");
    while ((line = strtok(NULL, "\n")) != NULL)
        ck_assert_int_eq(atoi(line), ++count);
    ck_assert_int_eq(count, steps);
    free(text);
}

/* Stops a run after three steps, as a killed process would, and resumes it. */
static struct db_pipeline *run_in_two(void)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer = make(pipeline);

    take(trainer, 3);
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
    set("resume", "true");
    pipeline = tiny_pipeline(&env, model);
    trainer = make(pipeline);
    ck_assert_int_eq(db_trainer_start(trainer), DREAMBOOTH_OK);
    ck_assert_int_eq(db_trainer_report_of(trainer)->step, 2);
    check_metrics(2);
    take(trainer, 4);
    ck_assert_int_eq(db_trainer_step(trainer), DREAMBOOTH_DONE);
    check_metrics(6);
    ck_assert_int_eq(db_trainer_save(trainer), DREAMBOOTH_OK);
    db_trainer_free(trainer);
    set("resume", "false");
    return pipeline;
}

START_TEST(resuming_gives_the_same_bits)
{
    static const char *const kinds[] = {"torch", "counter"};
    size_t k, count = unit_is_quick() ? 1 : DB_COUNT(kinds);

    use_prior();
    set("crop", "random");
    set("flip", "yes");
    set("gradient-accumulation", "2");
    set("train-text-encoder", "yes");
    set("learning-rate-warmup", "2");
    for (k = 0; k < count; k++) {
        struct db_pipeline *whole, *halves, *opened = NULL;

        set("rng", kinds[k]);
        set("out", NULL);
        whole = run();
        set("out", out);
        halves = run_in_two();
        ck_assert(tiny_same(whole, halves));
        ck_assert_int_eq(db_pipeline_open(&env, out, &opened), DREAMBOOTH_OK);
        ck_assert(tiny_same(whole, opened));
        ck_assert_str_eq(db_pipeline_get(opened, "instance-prompt"),
                         "a qzx dog");
        ck_assert_str_eq(db_pipeline_get(opened, "steps"), "6");
        db_pipeline_free(opened);
        db_pipeline_free(whole);
        db_pipeline_free(halves);
        unit_directory_free(out);
    }
}
END_TEST

START_TEST(threads_change_nothing)
{
    static const dreambooth_backend *backends[2];
    struct db_pipeline *expected, *got;
    int threads;
    size_t b;

    use_prior();
    set("steps", "2");
    backends[0] = &db_backend_reference;
    backends[1] = &db_backend_blas;
    for (b = 0; b < 2; b++) {
        db_device_init(&device, &env, pool, backends[b]);
        expected = run();
        for (threads = 1; threads <= 3; threads += 2) {
            struct db_pool *other;

            ck_assert_int_eq(db_pool_new(&env, threads, &other), DREAMBOOTH_OK);
            db_device_init(&device, &env, other, backends[b]);
            got = run();
            ck_assert(tiny_same(expected, got));
            db_pipeline_free(got);
            db_pool_free(other);
        }
        db_pipeline_free(expected);
    }
    db_device_init(&device, &env, pool, &db_backend_reference);
}
END_TEST

START_TEST(recomputing_changes_nothing)
{
    struct db_pipeline *kept, *recomputed;

    use_prior();
    set("train-text-encoder", "yes");
    set("recompute", "off");
    kept = run();
    set("recompute", "on");
    recomputed = run();
    ck_assert(tiny_same(kept, recomputed));
    db_pipeline_free(kept);
    db_pipeline_free(recomputed);
}
END_TEST

/* Gradients of ROWS rows from FIRST on, added up with weight SCALE. */
static void add_gradients(struct db_pipeline *pipeline,
                          const struct db_schedule *schedule,
                          const struct db_train_batch *whole, int64_t first,
                          int64_t rows, double scale)
{
    struct db_train_form form = {
        .prior_loss_weight = 1, .snr_gamma = 5, .scale = scale, .step = 1};
    struct db_train_losses losses;
    struct db_train_batch part = *whole;
    int status;

    part.instances = rows;
    ck_assert_int_eq(db_tensor_rows(whole->latents, first, rows, &part.latents),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_tensor_rows(whole->noise, first, rows, &part.noise),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_tensor_rows(whole->context, first, rows, &part.context),
                     DREAMBOOTH_OK);
    part.timesteps = whole->timesteps + first;
    status = db_train_gradients(&device, pipeline, schedule, &part, &form,
                                &losses, NULL);
    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    db_tensor_release(part.latents);
    db_tensor_release(part.noise);
    db_tensor_release(part.context);
}

START_TEST(accumulation_is_a_larger_batch)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_params *params = db_pipeline_params(pipeline, DB_UNET);
    struct db_schedule_config config;
    struct db_schedule *schedule;
    struct db_optimizer *optimizer;
    struct db_train_batch batch;
    struct db_feed feed;
    double whole, parts;

    set("batch", "2");
    ck_assert_int_eq(
        db_schedule_config_read(&env, "x", tiny_scheduler, &config),
        DREAMBOOTH_OK);
    ck_assert_int_eq(db_schedule_new(&env, &config, &schedule), DREAMBOOTH_OK);
    ck_assert_int_eq(db_optimizer_new(&device, pipeline, &settings, &optimizer),
                     DREAMBOOTH_OK);
    db_feed_init(&feed, &device, pipeline, &settings, 1000);
    ck_assert_int_eq(db_dataset_add_folder(&feed.instances, photos, 0),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_feed_prompts(&feed), DREAMBOOTH_OK);
    ck_assert_int_eq(db_feed_batch(&feed, 0, &batch), DREAMBOOTH_OK);

    add_gradients(pipeline, schedule, &batch, 0, 2, 1);
    ck_assert_int_eq(db_optimizer_norm(optimizer, 1, &whole), DREAMBOOTH_OK);
    db_params_free_gradients(params);
    add_gradients(pipeline, schedule, &batch, 0, 1, 0.5);
    add_gradients(pipeline, schedule, &batch, 1, 1, 0.5);
    ck_assert_int_eq(db_optimizer_norm(optimizer, 1, &parts), DREAMBOOTH_OK);
    ck_assert_double_eq_tol(whole, parts, 1e-5 * whole);
    db_optimizer_free_gradients(optimizer);

    db_train_batch_release(&env, &batch);
    db_feed_free(&feed);
    db_optimizer_free(optimizer);
    db_schedule_free(schedule);
    db_schedule_config_release(&env, &config);
    db_pipeline_free(pipeline);
}
END_TEST

START_TEST(nan_stops_the_run)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_pipeline *before = tiny_pipeline(&env, model);
    struct db_params *params = db_pipeline_params(pipeline, DB_UNET);
    struct db_params *kept = db_pipeline_params(before, DB_UNET);
    struct db_trainer *trainer;
    size_t i;

    set("out", out);
    trainer = make(pipeline);
    take(trainer, 2);
    db_tensor_f32(db_params_find(params, "conv_out.bias")->data)[0] = NAN;
    for (i = 0; i < params->count; i++)
        memcpy(kept->items[i]->data->data, params->items[i]->data->data,
               (size_t)db_tensor_count(kept->items[i]->data) * 4);
    ck_assert_int_eq(db_trainer_step(trainer), DREAMBOOTH_ENONFINITE);
    ck_assert_ptr_nonnull(strstr(env.error_text, "step 3"));
    ck_assert_ptr_nonnull(strstr(env.error_text, "unet.conv_out.bias"));
    ck_assert(tiny_same(pipeline, before));
    ck_assert_int_eq(db_trainer_report_of(trainer)->step, 2);
    check_metrics(2);
    /* Nor is it saved. */
    ck_assert_int_eq(db_trainer_save(trainer), DREAMBOOTH_ENONFINITE);
    ck_assert_ptr_nonnull(strstr(env.error_text, "unet.conv_out.bias"));
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
    db_pipeline_free(before);
}
END_TEST

START_TEST(a_cancelled_step_can_be_taken_again)
{
    struct db_pipeline *expected, *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer;

    set("rng", "torch");
    expected = run();
    trainer = make(pipeline);
    take(trainer, 2);
    atomic_store(&env.cancelled, 1);
    ck_assert_int_eq(db_trainer_step(trainer), DREAMBOOTH_ECANCELLED);
    atomic_store(&env.cancelled, 0);
    take(trainer, 4);
    ck_assert(tiny_same(expected, pipeline));
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
    db_pipeline_free(expected);
}
END_TEST

START_TEST(photos_are_checked_first)
{
    struct db_dataset dataset;
    char path[UNIT_PATH_MAX];
    size_t size;
    char *bytes;

    tiny_write(photos, "notes.txt", "not a photo");
    db_dataset_init(&dataset, &env, 16, DB_CROP_CENTER);
    ck_assert_int_eq(db_dataset_add_folder(&dataset, photos, 0), DREAMBOOTH_OK);
    ck_assert_int_eq(dataset.count, 2);
    ck_assert_ptr_nonnull(strstr(dataset.photos[0].name, "a.png"));
    ck_assert_int_eq(dataset.photos[0].image->width, 16);
    ck_assert_int_eq(dataset.photos[1].image->height, 16);
    ck_assert_ptr_nonnull(strstr(log_text, "notes.txt: skipped"));
    db_dataset_free(&dataset);

    bytes = unit_read_file(unit_path(path, photos, "b.png"), &size);
    unit_write_file(path, bytes, size / 2);
    free(bytes);
    refuse_start(DREAMBOOTH_EFORMAT, "b.png");
    tiny_write(photos, "b.png", "");
    refuse_start(DREAMBOOTH_EFORMAT, "b.png");
    set("instance-dir", model);
    refuse_start(DREAMBOOTH_ENOTFOUND, "no JPEG or PNG");
    set("instance-dir", "/nowhere");
    refuse_start(DREAMBOOTH_ENOTFOUND, "/nowhere");
    set("instance-dir", NULL);
    refuse_start(DREAMBOOTH_EINVAL, "instance-dir");
}
END_TEST

static void refuse_settings(int status, const char *text)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer = NULL;

    ck_assert_int_eq(db_trainer_new(&device, pipeline, &settings, &trainer),
                     status);
    ck_assert_msg(strstr(env.error_text, text) != NULL, "\"%s\"",
                  env.error_text);
    db_pipeline_free(pipeline);
}

START_TEST(plans_are_checked_first)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_train_plan plan;

    set("out", out);
    set("recompute", "off");
    ck_assert_int_eq(db_train_plan_make(&env, pipeline, &settings, 0, &plan),
                     DREAMBOOTH_OK);
    ck_assert_uint_gt(plan.memory, plan.parameters + plan.moments);
    ck_assert_uint_gt(plan.disk, plan.checkpoint);
    db_pipeline_free(pipeline);
    env.limit_bytes = plan.memory - 1000;
    refuse_start(DREAMBOOTH_ELIMIT, "lower size or batch, set recompute");
    env.limit_bytes = 0;
    plan.disk = (uint64_t)1 << 62;
    ck_assert_int_eq(db_train_plan_check(&env, &plan, &settings),
                     DREAMBOOTH_ENOSPACE);
    ck_assert_ptr_nonnull(strstr(env.error_text, "keep-checkpoints"));
    set("size", "15");
    refuse_settings(DREAMBOOTH_EINVAL, "try 14");
    set("size", "16");
    set("instance-prompt", NULL);
    refuse_settings(DREAMBOOTH_EINVAL, "instance-prompt");
}
END_TEST

/* Numbers that every machine has exactly. */
static void fill(struct db_tensor *tensor, int number)
{
    int64_t i;

    for (i = 0; i < db_tensor_count(tensor); i++)
        db_tensor_f32(tensor)[i] =
            (float)((i * 7 + number) % 1021 - 510) / 1024.0f;
}

/* Checksums, which a checkpoint has of its files and of the parts that are not
 * trained, are those of another machine: a run may go on there. */
START_TEST(checkpoints_are_the_same_everywhere)
{
    static const char *const wanted[] = {"\"frozen\": \"000000006001bcfa\"",
                                         "\"unet\": \"00000000985c07a4\"",
                                         "\"optimizer\": \"000000000e3ee20c\""};
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_checkpoint_state state = {.settings = &settings, .step = 3};
    struct db_optimizer *optimizer = NULL;
    struct db_noise noise;
    char path[UNIT_PATH_MAX], *text;
    size_t i, size;
    int part;

    for (part = 0; part < DB_PARTS; part++) {
        const struct db_params *params =
            db_pipeline_params(pipeline, (enum db_part)part);

        for (i = 0; i < params->count; i++)
            fill(params->items[i]->data, (int)i);
    }
    ck_assert_int_eq(db_optimizer_new(&device, pipeline, &settings, &optimizer),
                     0);
    for (i = 0; i < optimizer->count; i++) {
        fill(optimizer->items[i].m, (int)i + 1);
        fill(optimizer->items[i].v, (int)i + 2);
    }
    db_noise_init(&noise, DB_NOISE_TORCH, 9);
    state.noise = &noise;
    ck_assert_int_eq(
        db_checkpoint_frozen_hash(pipeline, false, &state.frozen_hash),
        DREAMBOOTH_OK);
    ck_assert_int_eq(db_checkpoint_write(pipeline, optimizer, &state, out, 1),
                     DREAMBOOTH_OK);
    text =
        unit_read_file(unit_path(path, out, "step-000003/state.json"), &size);
    for (i = 0; i < DB_COUNT(wanted); i++)
        ck_assert_msg(strstr(text, wanted[i]) != NULL, "no %s", wanted[i]);
    free(text);
    db_optimizer_free(optimizer);
    db_pipeline_free(pipeline);
}
END_TEST

/* A run of four steps in OUT with checkpoints at 2 and 4. */
static void leave_checkpoints(void)
{
    set("out", out);
    set("steps", "4");
    db_pipeline_free(run());
    set("resume", "true");
    set("steps", "6");
}

/* The step that a resumed run begins at. */
static int64_t resumed_step(void)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    struct db_trainer *trainer = make(pipeline);
    int status = db_trainer_start(trainer);
    int64_t step = db_trainer_report_of(trainer)->step;

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
    return step;
}

/* Turns one bit in the middle of a file of a checkpoint. */
static void damage(const char *name)
{
    char path[UNIT_PATH_MAX];
    size_t size;
    char *bytes = unit_read_file(unit_path(path, out, name), &size);

    bytes[size - size / 3] ^= 1;
    unit_write_file(path, bytes, size);
    free(bytes);
}

START_TEST(damaged_checkpoints_are_passed_over)
{
    char path[UNIT_PATH_MAX];

    leave_checkpoints();
    ck_assert_int_eq(resumed_step(), 4);
    damage("checkpoints/step-000004/optimizer.safetensors");
    ck_assert_int_eq(resumed_step(), 2);
    ck_assert_ptr_nonnull(strstr(log_text, "step-000004 is damaged"));
    damage("checkpoints/step-000002/state.json");
    ck_assert_int_eq(resumed_step(), 0);
    ck_assert_int_eq(
        remove(unit_path(path, out, "checkpoints/step-000002/state.json")), 0);
    ck_assert_int_eq(resumed_step(), 0);
}
END_TEST

START_TEST(checkpoints_are_pruned)
{
    char path[UNIT_PATH_MAX];

    set("out", out);
    set("checkpoint-every", "1");
    db_pipeline_free(run());
    ck_assert(!db_path_exists(unit_path(path, out, "checkpoints/step-000004")));
    ck_assert(db_path_exists(unit_path(path, out, "checkpoints/step-000005")));
    ck_assert(db_path_exists(unit_path(path, out, "checkpoints/step-000006")));
}
END_TEST

START_TEST(other_settings_do_not_resume)
{
    char path[UNIT_PATH_MAX];

    leave_checkpoints();
    set("learning-rate", "2e-2");
    refuse_start(DREAMBOOTH_EINVAL, "option \"learning-rate\" is \"0.02\" now");
    set("learning-rate", "1e-2");
    set("checkpoint-every", "3");
    ck_assert_int_eq(resumed_step(), 4);
    tiny_write_picture(&env, unit_path(path, photos, "c.png"), 3, 20, 20);
    refuse_start(DREAMBOOTH_EINVAL, "photos");
    ck_assert_int_eq(remove(path), 0);
    set("resume", "false");
    refuse_start(DREAMBOOTH_EINVAL, "earlier run");
}
END_TEST

START_TEST(class_images_are_counted)
{
    struct db_class_images *images;
    char path[UNIT_PATH_MAX];
    char *name;

    use_prior();
    set("class-images", "5");
    ck_assert_int_eq(db_class_images_open(&env, &settings, &images),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(images->present, 3);
    ck_assert_int_eq(images->missing_count, 2);
    ck_assert_int_eq(images->missing[0], 3);
    name = db_class_images_path(&env, images, 3);
    ck_assert_ptr_nonnull(strstr(name, "class-00003.png"));
    tiny_write_picture(&env, name, 4, 16, 16);
    db_free(&env, name);
    db_class_images_free(&env, images);

    unit_path(path, folder, "class/class-00001.png");
    unit_write_file(path, "\x89PNG", 4);
    ck_assert_int_eq(db_class_images_open(&env, &settings, &images),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(images->present, 3);
    ck_assert_int_eq(images->missing[0], 1);
    ck_assert_int_eq(images->missing[1], 4);
    db_class_images_free(&env, images);
    refuse_start(DREAMBOOTH_EFORMAT, "class-00001.png");
    ck_assert_int_eq(remove(path), 0);
    refuse_start(DREAMBOOTH_ESTATE, "3 class images are there, 5 are wanted");

    set("class-prompt", "a cat");
    ck_assert_int_eq(db_class_images_open(&env, &settings, &images),
                     DREAMBOOTH_EINVAL);
    ck_assert_ptr_nonnull(strstr(env.error_text, "class-dir"));
    set("class-dir", photos);
    ck_assert_int_eq(db_class_images_open(&env, &settings, &images),
                     DREAMBOOTH_EINVAL);
    ck_assert_ptr_nonnull(strstr(env.error_text, "folder of the photos"));
    set("class-prompt", NULL);
    ck_assert_int_eq(db_class_images_open(&env, &settings, &images),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(images->missing_count, 0);
    db_class_images_free(&env, images);
}
END_TEST

START_TEST(each_pass_shows_every_photo)
{
    int seen[7] = {0};
    int64_t position, photo;
    bool differ = false;

    for (position = 0; position < 21; position++) {
        int64_t next;

        ck_assert_int_eq(
            db_order_photo(&env, 1, DB_RANDOM_TRAIN_ORDER, position, 7, &photo),
            DREAMBOOTH_OK);
        ck_assert_int_eq(db_order_photo(&env, 1, DB_RANDOM_TRAIN_ORDER,
                                        position + 7, 7, &next),
                         DREAMBOOTH_OK);
        differ |= next != photo;
        seen[photo]++;
        if (position % 7 == 6)
            for (int i = 0; i < 7; i++)
                ck_assert_int_eq(seen[i], (int)(position / 7) + 1);
    }
    ck_assert(differ);
}
END_TEST

START_TEST(photos_may_come_from_memory)
{
    struct db_pipeline *from_folder, *pipeline = tiny_pipeline(&env, model);
    struct db_image *a = tiny_picture(&env, 1, 24, 16);
    struct db_image *b = tiny_picture(&env, 2, 16, 21);
    struct db_trainer *trainer;

    from_folder = run();
    set("instance-dir", NULL);
    trainer = make(pipeline);
    ck_assert_int_eq(db_trainer_add_image(trainer, a), DREAMBOOTH_OK);
    ck_assert_int_eq(db_trainer_add_image(trainer, b), DREAMBOOTH_OK);
    take(trainer, 6);
    ck_assert_int_eq(db_trainer_add_image(trainer, a), DREAMBOOTH_ESTATE);
    ck_assert(tiny_same(from_folder, pipeline));
    db_trainer_free(trainer);
    db_image_free(&env, a);
    db_image_free(&env, b);
    db_pipeline_free(pipeline);
    db_pipeline_free(from_folder);
}
END_TEST

/* Allocation number `fail_at` fails, and the next, which may be its second
 * try. */
static long allocations, fail_at;

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    (void)user;
    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (++allocations == fail_at || allocations == fail_at + 1)
        return NULL;
    return realloc(pointer, size);
}

static int train_once(struct db_pipeline *pipeline)
{
    struct db_trainer *trainer = NULL;
    int status = db_trainer_new(&device, pipeline, &settings, &trainer);

    if (status == DREAMBOOTH_OK)
        status = db_trainer_step(trainer);
    if (status == DREAMBOOTH_OK)
        status = db_trainer_save(trainer);
    db_trainer_free(trainer);
    return status;
}

START_TEST(every_allocation_may_fail)
{
    struct db_pipeline *pipeline = tiny_pipeline(&env, model);
    int status;

    use_prior();
    set("rng", "torch");
    set("out", out);
    set("checkpoint-every", "1");
    set("resume", "true");
    env.resize = failing_resize;
    for (fail_at = 1;; fail_at += 1 + fail_at / (unit_is_quick() ? 5 : 30)) {
        allocations = 0;
        status = train_once(pipeline);
        if (status == DREAMBOOTH_OK)
            break;
        ck_assert_msg(status == DREAMBOOTH_ENOMEM, "%ld: %d, %s", fail_at,
                      status, env.error_text);
    }
    ck_assert_int_lt(allocations, fail_at);
    db_pipeline_free(pipeline);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *function)
{
    TCase *test_case = tcase_create(name);

    tcase_set_timeout(test_case, 0);
    tcase_add_checked_fixture(test_case, setup, teardown);
    tcase_add_test(test_case, function);
    suite_add_tcase(suite, test_case);
}

int main(void)
{
    Suite *suite = suite_create("train");

    add(suite, "loss", the_loss_falls);
    add(suite, "resuming", resuming_gives_the_same_bits);
    add(suite, "threads", threads_change_nothing);
    add(suite, "recomputing", recomputing_changes_nothing);
    add(suite, "accumulation", accumulation_is_a_larger_batch);
    add(suite, "nan", nan_stops_the_run);
    add(suite, "cancelling", a_cancelled_step_can_be_taken_again);
    add(suite, "photos", photos_are_checked_first);
    add(suite, "plans", plans_are_checked_first);
    add(suite, "everywhere", checkpoints_are_the_same_everywhere);
    add(suite, "damage", damaged_checkpoints_are_passed_over);
    add(suite, "pruning", checkpoints_are_pruned);
    add(suite, "other settings", other_settings_do_not_resume);
    add(suite, "class images", class_images_are_counted);
    add(suite, "order", each_pass_shows_every_photo);
    add(suite, "photos from memory", photos_may_come_from_memory);
    add(suite, "allocations", every_allocation_may_fail);
    return unit_main(suite);
}

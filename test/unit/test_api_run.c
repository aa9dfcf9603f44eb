/* SPDX-License-Identifier: MIT */
/*
 * Whole runs through the public handles: drawing and training in every way that
 * must give the same bits (stepwise or whole, on any number of threads,
 * cancelled, killed and resumed), and runs that must stop.
 */
#include "api.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static api_settings with_class = {
    "class-prompt", "a dog", "class-images", "3", "class-steps", "2", NULL};

START_TEST(test_sampler_steps)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, NULL);
    dreambooth_image *whole = api_draw(model, NULL), *image = NULL;
    int64_t step = 0, total = 0, width = 0, shape[4] = {0};
    float values[4 * 8 * 8], few[3];
    const char *text = NULL;
    int status, calls = 0;

    step = total = 7;
    api_ok(dreambooth_sampler_get_integer(sampler, "step", &step));
    api_ok(dreambooth_sampler_get_integer(sampler, "total-steps", &total));
    ck_assert_int_eq(step + total, 0);
    api_fails(dreambooth_sampler_image(&image, sampler, 0), DREAMBOOTH_ESTATE,
              "not finished");
    api_fails(dreambooth_sampler_preview(&image, sampler, 0), DREAMBOOTH_ESTATE,
              "first step");
    api_fails(dreambooth_sampler_latents(sampler, shape, values, 1),
              DREAMBOOTH_ESTATE, "first step");
    while ((status = dreambooth_sampler_step(sampler)) == DREAMBOOTH_OK) {
        calls++;
        api_ok(dreambooth_sampler_get_integer(sampler, "step", &step));
        ck_assert_int_eq(step, calls);
        api_ok(dreambooth_sampler_preview(&image, sampler, 0));
        ck_assert_int_eq(dreambooth_image_width(image), 16);
        dreambooth_image_free(image);
        image = NULL;
        api_fails(dreambooth_sampler_image(&image, sampler, 0),
                  DREAMBOOTH_ESTATE, "not finished");
        api_fails(dreambooth_sampler_set(sampler, "steps", "9"),
                  DREAMBOOTH_ESTATE, "another sampler");
    }
    ck_assert_int_eq(status, DREAMBOOTH_DONE);
    ck_assert_int_eq(dreambooth_sampler_step(sampler), DREAMBOOTH_DONE);
    api_ok(dreambooth_sampler_get_integer(sampler, "total-steps", &total));
    ck_assert_int_eq(total, calls + 1);
    api_ok(dreambooth_sampler_get_integer(sampler, "width", &width));
    ck_assert_int_eq(width, 16);
    api_ok(dreambooth_sampler_get_text(sampler, "sampler", &text));
    ck_assert_str_eq(text, "pndm");
    api_ok(dreambooth_sampler_image(&image, sampler, 0));
    ck_assert(api_same_picture(image, whole));
    api_ok(dreambooth_sampler_latents(sampler, shape, values, 4 * 8 * 8));
    ck_assert(shape[0] == 1 && shape[1] == 4 && shape[2] == 8 && shape[3] == 8);
    api_ok(dreambooth_sampler_latents(sampler, shape, few, 3));
    ck_assert_mem_eq(few, values, sizeof(few));
    api_ok(dreambooth_sampler_latents(sampler, shape, NULL, 0));
    dreambooth_image_free(image);
    dreambooth_image_free(whole);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

/* Each image of a series is the same, whatever batch it is made in. */
START_TEST(test_sampler_series)
{
    static api_settings three = {"count",   "3",    "batch", "2",
                                 "sampler", "ddpm", NULL};
    static api_settings third = {"first-image", "2",    "batch", "1",
                                 "sampler",     "ddpm", NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, three);
    dreambooth_image *alone = api_draw(model, third), *images[4] = {NULL};
    size_t i;

    api_ok(dreambooth_sampler_run(sampler));
    for (i = 0; i < 3; i++)
        api_ok(dreambooth_sampler_image(&images[i], sampler, i));
    api_fails(dreambooth_sampler_image(&images[3], sampler, 3),
              DREAMBOOTH_ESTATE, "image 3");
    api_fails(dreambooth_sampler_image(&images[3], sampler, SIZE_MAX),
              DREAMBOOTH_ESTATE, "not finished");
    ck_assert(api_same_picture(images[2], alone));
    ck_assert(!api_same_picture(images[1], alone));
    for (i = 0; i < 3; i++)
        dreambooth_image_free(images[i]);
    dreambooth_image_free(alone);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_sampler_file)
{
    static const char *const keys[][2] = {{"prompt", "a photo of a dog"},
                                          {"seed", "9"},
                                          {"steps", "3"},
                                          {"sampler", "pndm"},
                                          {"width", "16"},
                                          {"image", "0"}};
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, NULL);
    dreambooth_image *image = NULL, *read = NULL;
    char path[UNIT_PATH_MAX];
    struct db_env env;
    size_t i;

    db_env_init(&env);
    api_path(path, "drawn.png");
    api_fails(dreambooth_sampler_write(sampler, 0, path), DREAMBOOTH_ESTATE,
              "not finished");
    api_ok(dreambooth_sampler_run(sampler));
    api_fails(dreambooth_sampler_write(sampler, 0, NULL), DREAMBOOTH_EINVAL,
              "path");
    api_ok(dreambooth_sampler_write(sampler, 0, path));
    api_ok(dreambooth_sampler_image(&image, sampler, 0));
    api_ok(dreambooth_image_read(&read, api_context, path));
    ck_assert(api_same_picture(image, read));
    for (i = 0; i < DB_COUNT(keys); i++) {
        char *value = NULL;

        ck_assert_int_eq(db_png_read_text(&env, path, keys[i][0], &value), 0);
        ck_assert_str_eq(value, keys[i][1]);
        db_free(&env, value);
    }
    dreambooth_image_free(read);
    dreambooth_image_free(image);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_sampler_errors)
{
    static api_settings odd = {"width", "17", NULL};
    static api_settings bare = {"prompt", NULL, NULL};
    static api_settings large = {"size", "512", NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, odd);
    int64_t live = 0;

    api_fails(dreambooth_sampler_step(sampler), DREAMBOOTH_EINVAL, "17");
    api_ok(dreambooth_sampler_set(sampler, "width", "16"));
    api_ok(dreambooth_sampler_run(sampler));
    api_ok(dreambooth_sampler_run(sampler));
    dreambooth_sampler_free(sampler);
    dreambooth_image_free(api_draw(model, bare));

    sampler = api_sampler(model, large);
    api_ok(dreambooth_context_get_integer(api_context, "memory.live", &live));
    api_ok(dreambooth_context_set_integer(api_context, "memory-limit",
                                          live + 1000000));
    api_fails(dreambooth_sampler_run(sampler), DREAMBOOTH_ELIMIT,
              "lower size or batch");
    api_ok(dreambooth_sampler_set(sampler, "size", "16"));
    api_ok(dreambooth_sampler_run(sampler));
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

/* Trains with SETTINGS in a fresh context of THREADS threads, saves to NAME and
 * draws to NAME.png. */
static void run_on_threads(int threads, const char *name)
{
    dreambooth_context *outer = api_context;
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    dreambooth_sampler *sampler;
    char path[UNIT_PATH_MAX], file[64];

    ck_assert_int_eq(dreambooth_context_new(&api_context), DREAMBOOTH_OK);
    api_ok(dreambooth_context_set_integer(api_context, "threads", threads));
    model = api_model(api_context);
    trainer = api_trainer(model, NULL);
    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    api_save(model, name);
    sampler = api_sampler(model, NULL);
    api_ok(dreambooth_sampler_run(sampler));
    snprintf(file, sizeof(file), "%s.png", name);
    api_ok(dreambooth_sampler_write(sampler, 0, api_path(path, file)));
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
    dreambooth_context_free(api_context);
    api_context = outer;
}

START_TEST(test_threads)
{
    api_write_photos(2);
    run_on_threads(1, "one");
    run_on_threads(2, "two");
    run_on_threads(3, "three");
    ck_assert(api_same_unet("one", "two"));
    ck_assert(api_same_unet("one", "three"));
    ck_assert(api_same_file("one.png", "two.png"));
    ck_assert(api_same_file("one.png", "three.png"));
}
END_TEST

/* Trains a fresh model to the end and saves it as NAME. */
static void train_whole(const char *const *more, const char *name)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = api_trainer(model, more);

    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    api_save(model, name);
    dreambooth_model_free(model);
}

START_TEST(test_trainer_steps)
{
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    double loss = 0, norm = 0;
    int64_t step = -1;
    int status, steps = 0;

    api_write_photos(2);
    train_whole(NULL, "whole");
    model = api_model(api_context);
    trainer = api_trainer(model, NULL);
    api_fails(dreambooth_trainer_checkpoint(trainer), DREAMBOOTH_ESTATE,
              "first step");
    while ((status = dreambooth_trainer_prepare(trainer)) == DREAMBOOTH_OK)
        continue;
    ck_assert_int_eq(status, DREAMBOOTH_DONE);
    ck_assert_int_eq(dreambooth_trainer_prepare(trainer), DREAMBOOTH_DONE);
    api_fails(dreambooth_trainer_set(trainer, "steps", "9"), DREAMBOOTH_ESTATE,
              "another trainer");
    while ((status = dreambooth_trainer_step(trainer)) == DREAMBOOTH_OK) {
        api_ok(dreambooth_trainer_get_integer(trainer, "step", &step));
        ck_assert_int_eq(step, ++steps);
        api_ok(dreambooth_trainer_get_double(trainer, "loss", &loss));
        api_ok(dreambooth_trainer_get_double(trainer, "gradient-norm", &norm));
        ck_assert_double_gt(loss, 0);
        ck_assert_double_gt(norm, 0);
    }
    ck_assert_int_eq(status, DREAMBOOTH_DONE);
    ck_assert_int_eq(steps, 4);
    ck_assert_int_eq(dreambooth_trainer_step(trainer), DREAMBOOTH_DONE);
    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    api_save(model, "stepwise");
    dreambooth_model_free(model);
    ck_assert(api_same_unet("whole", "stepwise"));
}
END_TEST

/* Photos one by one are as good as a folder of them. */
START_TEST(test_trainer_photos)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = NULL;
    dreambooth_image *image;
    int i;

    api_write_photos(2);
    train_whole(NULL, "whole");
    api_ok(dreambooth_trainer_new(&trainer, model));
    api_set_trainer(trainer, api_training);
    for (i = 0; i < 2; i++) {
        image = api_picture(api_context, i, 24 + i, 20);
        api_ok(dreambooth_trainer_add_image(trainer, image));
        dreambooth_image_free(image);
    }
    api_ok(dreambooth_trainer_run(trainer));
    image = api_picture(api_context, 3, 24, 20);
    api_fails(dreambooth_trainer_add_image(trainer, image), DREAMBOOTH_ESTATE,
              "photos");
    dreambooth_image_free(image);
    dreambooth_trainer_free(trainer);
    api_save(model, "single");
    dreambooth_model_free(model);
    ck_assert(api_same_unet("whole", "single"));
}
END_TEST

/* After an error, the settings are as the caller left them, and can be mended
 * for another try. */
START_TEST(test_trainer_errors)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = NULL, *second;
    const char *text = NULL;
    char path[UNIT_PATH_MAX];

    api_write_photos(2);
    api_ok(dreambooth_trainer_new(&trainer, model));
    api_fails(dreambooth_trainer_step(trainer), DREAMBOOTH_EINVAL,
              "instance-prompt");
    api_set_trainer(trainer, api_training);
    api_ok(dreambooth_trainer_set(trainer, "instance-prompt", "a [V] dog"));
    api_fails(dreambooth_trainer_step(trainer), DREAMBOOTH_EINVAL, "photos");
    api_ok(dreambooth_trainer_get_text(trainer, "instance-prompt", &text));
    ck_assert_str_eq(text, "a [V] dog");
    api_ok(dreambooth_trainer_get_text(trainer, "identifier", &text));
    ck_assert_str_eq(text, "");
    api_ok(dreambooth_trainer_add_folder(trainer, api_path(path, "nowhere")));
    api_fails(dreambooth_trainer_step(trainer), DREAMBOOTH_ENOTFOUND, path);
    api_ok(dreambooth_trainer_add_folder(trainer, api_path(path, "photos")));
    api_ok(dreambooth_trainer_set(trainer, "size", "17"));
    api_fails(dreambooth_trainer_step(trainer), DREAMBOOTH_EINVAL, "17");
    api_ok(dreambooth_trainer_set(trainer, "size", "16"));
    api_ok(dreambooth_trainer_set(trainer, "identifier", "cat"));
    api_ok(dreambooth_trainer_step(trainer));
    api_ok(dreambooth_trainer_get_text(trainer, "instance-prompt", &text));
    ck_assert_str_eq(text, "a cat dog");
    second = api_trainer(model, NULL);
    api_fails(dreambooth_trainer_step(second), DREAMBOOTH_ESTATE,
              "another trainer");
    dreambooth_trainer_free(trainer);
    api_ok(dreambooth_trainer_step(second));
    dreambooth_trainer_free(second);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_trainer_limit)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = api_trainer(model, NULL);
    int64_t live = 0, step = 0;

    api_write_photos(2);
    api_ok(dreambooth_context_get_integer(api_context, "memory.live", &live));
    api_ok(dreambooth_context_set_integer(api_context, "memory-limit",
                                          live + 50000));
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_ELIMIT,
              "the run needs about");
    api_ok(dreambooth_trainer_get_integer(trainer, "step", &step));
    ck_assert_int_eq(step, 0);
    api_ok(dreambooth_context_set_integer(api_context, "memory-limit", 0));
    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
}
END_TEST

/* The plan of a model that was only described, and that of the whole one. */
START_TEST(test_trainer_plan)
{
    static const char *const names[] = {
        "plan.memory", "plan.parameters", "plan.gradients", "plan.moments",
        "plan.disk",   "plan.checkpoint", "plan.images"};
    dreambooth_model *model = api_model(api_context), *described = NULL;
    dreambooth_model *opened = NULL;
    dreambooth_trainer *trainers[2];
    char path[UNIT_PATH_MAX];
    int64_t values[2];
    size_t i, k;

    api_write_photos(1);
    api_save(model, "saved");
    api_ok(dreambooth_model_describe(&described, api_context,
                                     api_path(path, "saved")));
    api_ok(
        dreambooth_model_open(&opened, api_context, api_path(path, "saved")));
    trainers[0] = api_trainer(opened, with_class);
    trainers[1] = api_trainer(described, with_class);
    for (k = 0; k < 2; k++) {
        api_ok(dreambooth_trainer_set(trainers[k], "checkpoint-every", "2"));
        api_set_out(trainers[k], "out");
        api_ok(dreambooth_trainer_plan(trainers[k]));
    }
    for (i = 0; i < DB_COUNT(names); i++) {
        for (k = 0; k < 2; k++) {
            api_ok(dreambooth_trainer_get_integer(trainers[k], names[i],
                                                  &values[k]));
            ck_assert_int_gt(values[k], 0);
        }
        if (i > 0)
            ck_assert_int_eq(values[0], values[1]);
    }
    ck_assert_int_ne(access(api_path(path, "out"), F_OK), 0);
    api_fails(dreambooth_trainer_run(trainers[1]), DREAMBOOTH_ESTATE,
              "described");
    dreambooth_trainer_free(trainers[0]);
    dreambooth_trainer_free(trainers[1]);
    dreambooth_model_free(described);
    dreambooth_model_free(opened);
    dreambooth_model_free(model);
}
END_TEST

/* Class images are made once; those that are there, or whole, stay. */
START_TEST(test_class_images)
{
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    char first[UNIT_PATH_MAX], path[UNIT_PATH_MAX], *kept, *again;
    size_t size, other;
    int64_t done = 0, missing = 0;

    api_write_photos(2);
    model = api_model(api_context);
    trainer = api_trainer(model, with_class);
    api_ok(
        dreambooth_trainer_set(trainer, "class-dir", api_path(path, "class")));
    api_ok(dreambooth_trainer_prepare(trainer));
    api_ok(dreambooth_trainer_get_integer(trainer, "class-images.missing",
                                          &missing));
    ck_assert_int_eq(missing, 3);
    while (dreambooth_trainer_prepare(trainer) == DREAMBOOTH_OK && done < 2)
        api_ok(dreambooth_trainer_get_integer(trainer, "class-images.done",
                                              &done));
    ck_assert_int_eq(done, 2);
    dreambooth_trainer_free(trainer);
    kept = unit_read_file(api_path(first, "class/class-00000.png"), &size);
    unit_write_file(first, kept, size / 2);

    trainer = api_trainer(model, with_class);
    api_ok(dreambooth_trainer_set(trainer, "class-dir", path));
    api_ok(dreambooth_trainer_prepare(trainer));
    api_ok(dreambooth_trainer_get_integer(trainer, "class-images.missing",
                                          &missing));
    ck_assert_int_eq(missing, 2);
    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    again = unit_read_file(first, &other);
    ck_assert_uint_eq(size, other);
    ck_assert_mem_eq(kept, again, size);
    free(kept);
    free(again);

    trainer = api_trainer(model, with_class);
    api_ok(dreambooth_trainer_set(trainer, "class-dir", path));
    api_ok(dreambooth_trainer_set(trainer, "class-prompt", "a cat"));
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_EINVAL,
              "another class prompt");
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
}
END_TEST

static void cancel_on_signal(int number)
{
    (void)number;
    dreambooth_context_cancel(api_context);
}

static void *cancel_soon(void *argument)
{
    usleep(*(const unsigned *)argument);
    dreambooth_context_cancel(api_context);
    return NULL;
}

/* Runs TRAINER, cancelled again and again: by another thread and by a signal,
 * which both come at any time. Returns how often it was. */
static int run_with_cancels(dreambooth_trainer *trainer)
{
    unsigned wait = 500;
    int status, cancels = 0;
    pthread_t thread;

    do {
        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, &wait), 0);
        status = dreambooth_trainer_run(trainer);
        pthread_join(thread, NULL);
        dreambooth_context_clear_cancel(api_context);
        if (status == DREAMBOOTH_ECANCELLED)
            cancels++;
        wait = wait * 3 / 2;
    } while (status == DREAMBOOTH_ECANCELLED && cancels < 40);
    api_ok(status);
    return cancels;
}

START_TEST(test_cancel)
{
    static api_settings drawn = {
        "sample-every", "2", "sample-steps", "2", "sample-count", "1", NULL};
    struct sigaction action = {.sa_handler = cancel_on_signal}, before;
    dreambooth_model *model;
    dreambooth_trainer *trainer;

    api_write_photos(2);
    model = api_model(api_context);
    trainer = api_trainer(model, with_class);
    api_set_trainer(trainer, drawn);
    api_set_out(trainer, "whole");
    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);

    model = api_model(api_context);
    trainer = api_trainer(model, with_class);
    api_set_trainer(trainer, drawn);
    api_set_out(trainer, "cancelled");
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_ECANCELLED, "cancel");
    dreambooth_context_clear_cancel(api_context);
    run_with_cancels(trainer);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    ck_assert(api_same_unet("whole", "cancelled"));
    ck_assert(api_same_file("whole/samples.png", "cancelled/samples.png"));
}
END_TEST

/* Draws, cancelled before each step and in between. */
START_TEST(test_cancel_sampler)
{
    static api_settings noisy = {"sampler", "euler-ancestral", NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_image *whole = api_draw(model, noisy), *image = NULL;
    dreambooth_sampler *sampler = api_sampler(model, noisy);
    int status;

    do {
        dreambooth_context_cancel(api_context);
        api_fails(dreambooth_sampler_run(sampler), DREAMBOOTH_ECANCELLED,
                  "cancel");
        dreambooth_context_clear_cancel(api_context);
        status = dreambooth_sampler_step(sampler);
    } while (status == DREAMBOOTH_OK);
    ck_assert_int_eq(status, DREAMBOOTH_DONE);
    api_ok(dreambooth_sampler_image(&image, sampler, 0));
    ck_assert(api_same_picture(whole, image));
    dreambooth_image_free(whole);
    dreambooth_image_free(image);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

/* A run to OUT of six steps with checkpoints and class images that goes on from
 * whatever is there. Returns the status; the context is the caller's. */
static int run_resumed(dreambooth_context *context, const char *out)
{
    static api_settings resumed = {
        "steps", "6", "checkpoint-every", "2", "resume", "yes", NULL};
    dreambooth_context *before = api_context;
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    int status;

    api_context = context;
    model = api_model(context);
    trainer = api_trainer(model, with_class);
    api_set_trainer(trainer, resumed);
    api_set_out(trainer, out);
    status = dreambooth_trainer_run(trainer);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    api_context = before;
    return status;
}

START_TEST(test_resume)
{
    static api_settings some = {
        "steps", "6", "checkpoint-every", "2", "keep-checkpoints", "1", NULL};
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    int64_t step = 0;
    int i;

    api_write_photos(2);
    api_ok(run_resumed(api_context, "whole"));
    model = api_model(api_context);
    trainer = api_trainer(model, with_class);
    api_set_trainer(trainer, some);
    api_set_out(trainer, "parts");
    for (i = 0; i < 3; i++)
        api_ok(dreambooth_trainer_step(trainer));
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);

    /* Without being asked to, a run does not go on, nor write over. */
    model = api_model(api_context);
    trainer = api_trainer(model, with_class);
    api_set_out(trainer, "parts");
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_EINVAL, "resume");
    dreambooth_trainer_free(trainer);
    trainer = api_trainer(model, with_class);
    api_set_trainer(trainer, some);
    api_set_out(trainer, "parts");
    api_ok(dreambooth_trainer_set(trainer, "resume", "yes"));
    while (dreambooth_trainer_prepare(trainer) == DREAMBOOTH_OK)
        continue;
    api_ok(dreambooth_trainer_get_integer(trainer, "step", &step));
    ck_assert_int_eq(step, 2);
    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    ck_assert(api_same_unet("whole", "parts"));
}
END_TEST

/* In a process of its own, which is killed after MICROSECONDS. True if it had
 * come to its end before. */
static bool run_and_kill(const char *out, unsigned microseconds)
{
    pid_t child = fork();
    int status = 0;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dreambooth_context *context = NULL;

        if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
            _exit(2);
        _exit(run_resumed(context, out) == DREAMBOOTH_OK ? 0 : 1);
    }
    usleep(microseconds);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

START_TEST(test_killed)
{
    unsigned wait = unit_is_quick() ? 100000 : 4000;
    int kills = 0, most = unit_is_quick() ? 5 : 40;

    api_write_photos(2);
    api_ok(run_resumed(api_context, "whole"));
    while (!run_and_kill("killed", wait) && kills < most) {
        kills++;
        wait += 2000 + wait / 10;
    }
    api_ok(run_resumed(api_context, "killed"));
    ck_assert(api_same_unet("whole", "killed"));
}
END_TEST

/* Writes NaN over the middle of the UNet's file: its last tensors. */
static void poison(const char *name)
{
    const char *file = "unet/diffusion_pytorch_model.safetensors";
    const unsigned char nan[4] = {0, 0, 0xc0, 0x7f};
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX], *bytes;
    size_t size;

    unit_path(path, api_path(folder, name), file);
    bytes = unit_read_file(path, &size);
    memcpy(bytes + size - 4, nan, sizeof(nan));
    unit_write_file(path, bytes, size);
    free(bytes);
}

START_TEST(test_not_finite)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer;
    dreambooth_sampler *sampler;
    char path[UNIT_PATH_MAX];
    int64_t step = -1;

    api_write_photos(2);
    api_save(model, "poisoned");
    dreambooth_model_free(model);
    poison("poisoned");
    api_ok(
        dreambooth_model_open(&model, api_context, api_path(path, "poisoned")));
    sampler = api_sampler(model, NULL);
    api_fails(dreambooth_sampler_run(sampler), DREAMBOOTH_ENONFINITE, "step 1");
    dreambooth_sampler_free(sampler);
    trainer = api_trainer(model, NULL);
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_ENONFINITE,
              "step 1: ");
    ck_assert_ptr_nonnull(
        strstr(dreambooth_context_error(api_context), "parameter unet."));
    api_ok(dreambooth_trainer_get_integer(trainer, "step", &step));
    ck_assert_int_eq(step, 0);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
}
END_TEST

static dreambooth_backend sound; /* what the broken backend is made from */
static int gradients_left;       /* until one is broken */

/* The loss's gradient, of which one is not finite. */
static int break_gradient(const dreambooth_kernel_host *host,
                          const dreambooth_mse *a)
{
    int status = sound.mse_backward(host, a);

    if (gradients_left-- == 0)
        a->dprediction[a->count / 2] = (float)NAN;
    return status;
}

/* Numbers that blow up in the third step stop the run there; parameters and
 * checkpoint are those of the second, and the run can go on. */
START_TEST(test_blows_up)
{
    dreambooth_backend table = {.size = sizeof(table),
                                .abi = DREAMBOOTH_BACKEND_ABI,
                                .name = "broken",
                                .mse_backward = break_gradient};
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    int64_t step = -1;

    api_write_photos(2);
    api_ok(run_resumed(api_context, "whole"));
    api_ok(dreambooth_context_get_backend(api_context, "simd", &sound,
                                          sizeof(sound)));
    api_ok(dreambooth_context_add_backend(api_context, &table, "simd"));
    api_ok(dreambooth_context_set(api_context, "backend", "broken"));
    model = api_model(api_context);
    trainer = api_trainer(model, with_class);
    api_set_out(trainer, "broken");
    api_ok(dreambooth_trainer_set(trainer, "steps", "6"));
    api_ok(dreambooth_trainer_set(trainer, "checkpoint-every", "2"));
    gradients_left = 2;
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_ENONFINITE,
              "step 3: the gradient of unet.");
    api_ok(dreambooth_trainer_get_integer(trainer, "step", &step));
    ck_assert_int_eq(step, 2);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    api_ok(run_resumed(api_context, "broken"));
    ck_assert(api_same_unet("whole", "broken"));
}
END_TEST

/* What could not be written after a step is written by the next. */
START_TEST(test_late_checkpoint)
{
    static api_settings often = {"checkpoint-every",
                                 "2",
                                 "sample-every",
                                 "2",
                                 "sample-steps",
                                 "1",
                                 "sample-count",
                                 "1",
                                 NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = api_trainer(model, often);
    char path[UNIT_PATH_MAX];
    int64_t step = 0;

    api_write_photos(2);
    api_set_out(trainer, "out");
    api_ok(dreambooth_trainer_step(trainer));
    unit_write_file(api_path(path, "out/checkpoints"), "", 0);
    ck_assert_int_lt(dreambooth_trainer_step(trainer), 0);
    api_ok(dreambooth_trainer_get_integer(trainer, "step", &step));
    ck_assert_int_eq(step, 2);
    ck_assert_int_eq(unlink(path), 0);
    api_ok(dreambooth_trainer_step(trainer));
    ck_assert_int_eq(
        access(api_path(path, "out/checkpoints/step-000002"), F_OK), 0);
    ck_assert_int_eq(
        access(api_path(path, "out/samples/step-000002-00.png"), F_OK), 0);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_sample_sheet)
{
    static api_settings drawn = {"sample-every",
                                 "2",
                                 "sample-steps",
                                 "2",
                                 "sample-count",
                                 "3",
                                 "sample-prompt",
                                 "a qzx dog photo",
                                 NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = api_trainer(model, drawn);
    dreambooth_image *sheet = NULL;
    char path[UNIT_PATH_MAX];

    api_write_photos(2);
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_EINVAL, "out");
    dreambooth_trainer_free(trainer);
    trainer = api_trainer(model, drawn);
    api_set_out(trainer, "out");
    api_ok(dreambooth_trainer_run(trainer));
    ck_assert_int_eq(
        access(api_path(path, "out/samples/step-000002-00.png"), F_OK), 0);
    ck_assert_int_eq(
        access(api_path(path, "out/samples/step-000004-02.png"), F_OK), 0);
    api_ok(dreambooth_image_read(&sheet, api_context,
                                 api_path(path, "out/samples.png")));
    ck_assert_int_eq(dreambooth_image_width(sheet), 3 * 16 + 4 * 4);
    ck_assert_int_eq(dreambooth_image_height(sheet), 2 * 16 + 3 * 4);
    dreambooth_image_free(sheet);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
}
END_TEST

/* WORD is what the picker finds to be the weakest of sixteen. */
static void check_weakest(dreambooth_model *model, const char *word)
{
    dreambooth_identifier *picker = NULL;

    api_ok(dreambooth_identifier_new_for_model(&picker, model));
    api_ok(dreambooth_identifier_set_integer(picker, "count", 1));
    api_ok(dreambooth_identifier_set_integer(picker, "draws", 16));
    api_ok(dreambooth_identifier_pick(picker));
    ck_assert_str_eq(dreambooth_identifier_word(picker, 0), word);
    dreambooth_identifier_free(picker);
}

/* The identifier is picked alike with one seed, is told, kept with the model,
 * and stands for [V] when drawing. */
START_TEST(test_identifier_is_kept)
{
    static api_settings picked = {"instance-prompt", "a [V] dog", NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = api_trainer(model, picked);
    dreambooth_image *marked, *written;
    const char *text = NULL;
    char word[64], prompt[96], path[UNIT_PATH_MAX];
    const char *settings[] = {"prompt", prompt, NULL};
    int i;

    api_write_photos(2);
    api_ok(dreambooth_trainer_run(trainer));
    api_ok(dreambooth_trainer_get_text(trainer, "identifier", &text));
    snprintf(word, sizeof(word), "%s", text);
    ck_assert_uint_gt(strlen(word), 0);
    dreambooth_trainer_free(trainer);
    api_save(model, "kept");
    for (i = 0; i < 2; i++) {
        api_ok(dreambooth_model_get_text(model, "record.identifier", &text));
        ck_assert_str_eq(text, word);
        snprintf(prompt, sizeof(prompt), "[V] on a photo");
        marked = api_draw(model, settings);
        snprintf(prompt, sizeof(prompt), "%s on a photo", word);
        written = api_draw(model, settings);
        ck_assert(api_same_picture(marked, written));
        dreambooth_image_free(marked);
        dreambooth_image_free(written);
        dreambooth_model_free(model);
        api_ok(
            dreambooth_model_open(&model, api_context, api_path(path, "kept")));
    }
    dreambooth_model_free(model);
    model = api_model(api_context);
    trainer = api_trainer(model, picked);
    api_ok(dreambooth_trainer_prepare(trainer));
    api_ok(dreambooth_trainer_get_text(trainer, "identifier", &text));
    ck_assert_str_eq(text, word);
    dreambooth_trainer_free(trainer);
    check_weakest(model, word);
    dreambooth_model_free(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api_run");

    api_add(suite, "sampler stepwise", test_sampler_steps);
    api_add(suite, "sampler series", test_sampler_series);
    api_add(suite, "sampler file", test_sampler_file);
    api_add(suite, "sampler errors", test_sampler_errors);
    api_add(suite, "threads", test_threads);
    api_add(suite, "trainer stepwise", test_trainer_steps);
    api_add(suite, "photos one by one", test_trainer_photos);
    api_add(suite, "trainer errors", test_trainer_errors);
    api_add(suite, "memory limit", test_trainer_limit);
    api_add(suite, "plan", test_trainer_plan);
    api_add(suite, "class images", test_class_images);
    api_add(suite, "cancel", test_cancel);
    api_add(suite, "cancelled drawing", test_cancel_sampler);
    api_add(suite, "resume", test_resume);
    api_add(suite, "killed", test_killed);
    api_add(suite, "not finite", test_not_finite);
    api_add(suite, "blows up", test_blows_up);
    api_add(suite, "late checkpoint", test_late_checkpoint);
    api_add(suite, "sample sheet", test_sample_sheet);
    api_add(suite, "identifier is kept", test_identifier_is_kept);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/*
 * Training and drawing through the public interface, by a model with random
 * weights in a folder, which is made once. What a step finds cached by the time
 * it counts (encoded photos and prompts) is what every step of a run but the
 * first finds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

#define PROMPT "a small red robot in the grass"
#define CLASS_PROMPT "a robot in the grass"

struct own {
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    char folder[4096]; /* of the class images; removed in the end */
};

/* Makes the model in FOLDER, by way of another, so that it is there whole or
 * not at all. */
static void make_model(const struct bench_step *step, const char *folder)
{
    char config[4096], vocabulary[4096], part[4200];
    dreambooth_context *context;
    dreambooth_model *model;

    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        bench_die("out of memory");
    bench_step_path(step, "", config, sizeof(config));
    snprintf(vocabulary, sizeof(vocabulary), "%s/test/bench-vocabulary",
             bench_folder("BUILD_DIR"));
    if (access(vocabulary, F_OK) != 0)
        bench_die("there is no %s: \"make tests\" makes it", vocabulary);
    snprintf(part, sizeof(part), "%s-%ld", folder, (long)getpid());
    if (dreambooth_model_init(&model, context, config, vocabulary, 1) !=
            DREAMBOOTH_OK ||
        dreambooth_model_save(model, part, "f32") != DREAMBOOTH_OK)
        bench_die("%s", dreambooth_context_error(context));
    if (rename(part, folder) != 0)
        bench_die("cannot make %s", folder);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
}

/* The same, by a process of its own: its memory is not the step's. */
static void need_model(const struct bench_step *step, const char *folder)
{
    int status = 0;
    pid_t child;

    if (access(folder, F_OK) == 0)
        return;
    child = fork();
    if (child == 0) {
        make_model(step, folder);
        _exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        bench_die("cannot make %s", folder);
}

static struct own *begin(struct bench_step *step)
{
    struct own *own = calloc(1, sizeof(*own));
    char folder[4096];

    if (own == NULL)
        bench_die("out of memory");
    snprintf(folder, sizeof(folder), "%s/test/bench-model-%s",
             bench_folder("BUILD_DIR"), step->request.model);
    need_model(step, folder);
    bench_step_check(step,
                     dreambooth_model_open(&own->model, step->context, folder));
    step->own = own;
    return own;
}

/* A picture of noise. */
static dreambooth_image *draw(struct bench_step *step, uint32_t state)
{
    int side = (int)step->request.side;
    dreambooth_image *image;
    unsigned char *pixels;
    int i;

    bench_step_check(
        step, dreambooth_image_new(&image, step->context, side, side, NULL));
    pixels = dreambooth_image_pixels(image);
    for (i = 0; i < 3 * side * side; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (unsigned char)(state >> 24);
    }
    return image;
}

static void class_path(const struct own *own, int64_t index, char *path,
                       size_t size)
{
    snprintf(path, size, "%.4000s/%d.png", own->folder, (int)index);
}

static void make_class_images(struct bench_step *step, struct own *own)
{
    dreambooth_image *image;
    char path[4200];
    int64_t i;

    snprintf(own->folder, sizeof(own->folder), "%s/test/bench-class-%ld",
             bench_folder("BUILD_DIR"), (long)getpid());
    if (mkdir(own->folder, 0777) != 0)
        bench_die("cannot make %s", own->folder);
    for (i = 0; i < step->request.batch; i++) {
        image = draw(step, (uint32_t)(1000 + i));
        class_path(own, i, path, sizeof(path));
        bench_step_check(step,
                         dreambooth_image_write(image, path, NULL, NULL, 0));
        dreambooth_image_free(image);
    }
}

/* A value that is NULL is left to the trainer. */
static void set(struct bench_step *step, const char *name, const char *value)
{
    const struct own *own = step->own;

    if (value != NULL)
        bench_step_check(step,
                         dreambooth_trainer_set(own->trainer, name, value));
}

static void set_integer(struct bench_step *step, const char *name,
                        int64_t value)
{
    const struct own *own = step->own;

    bench_step_check(step,
                     dreambooth_trainer_set_integer(own->trainer, name, value));
}

static void open_train(struct bench_step *step)
{
    const struct bench_request *request = &step->request;
    struct own *own = begin(step);
    dreambooth_image *image;
    int64_t i;

    bench_step_check(step, dreambooth_trainer_new(&own->trainer, own->model));
    set(step, "instance-prompt", PROMPT);
    set_integer(step, "size", request->side);
    set_integer(step, "batch", request->batch);
    set_integer(step, "steps", 1000000);
    set_integer(step, "checkpoint-every", 0);
    set(step, "train-text-encoder", request->text_encoder ? "yes" : "no");
    set(step, "recompute", request->recompute);
    set(step, "optimizer", request->optimizer);
    set(step, "gradients", request->gradients);
    for (i = 0; i < request->batch; i++) {
        image = draw(step, (uint32_t)i);
        bench_step_check(step,
                         dreambooth_trainer_add_image(own->trainer, image));
        dreambooth_image_free(image);
    }
    if (request->prior) {
        make_class_images(step, own);
        set(step, "class-prompt", CLASS_PROMPT);
        set(step, "class-dir", own->folder);
        set_integer(step, "class-images", request->batch);
    }
}

static void run_train(struct bench_step *step)
{
    const struct own *own = step->own;

    bench_step_check(step, dreambooth_trainer_step(own->trainer));
}

static void close_handles(struct bench_step *step)
{
    struct own *own = step->own;
    char path[4200];
    int64_t i;

    dreambooth_trainer_free(own->trainer);
    dreambooth_model_free(own->model);
    for (i = 0; own->folder[0] != '\0' && i < step->request.batch; i++) {
        class_path(own, i, path, sizeof(path));
        unlink(path);
    }
    if (own->folder[0] != '\0')
        rmdir(own->folder);
    free(own);
}

const struct bench_kind bench_step_train = {"train", open_train, run_train,
                                            close_handles};

static void open_sample(struct bench_step *step)
{
    begin(step);
}

/* The whole image: both prompts, all steps, the decoder. */
static void run_sample(struct bench_step *step)
{
    const struct bench_request *request = &step->request;
    const struct own *own = step->own;
    dreambooth_sampler *sampler;

    bench_step_check(step, dreambooth_sampler_new(&sampler, own->model));
    bench_step_check(step, dreambooth_sampler_set(sampler, "prompt", PROMPT));
    bench_step_check(step, dreambooth_sampler_set(sampler, "sampler", "ddim"));
    bench_step_check(
        step, dreambooth_sampler_set_integer(sampler, "size", request->side));
    bench_step_check(
        step, dreambooth_sampler_set_integer(sampler, "steps", request->steps));
    bench_step_check(step, dreambooth_sampler_run(sampler));
    dreambooth_sampler_free(sampler);
}

const struct bench_kind bench_step_sample = {"sample", open_sample, run_sample,
                                             close_handles};

/* SPDX-License-Identifier: MIT */
/*
 * `dreambooth train --dry-run`: memory and disk from the library's plan, time
 * from two steps that are really taken and thrown away.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <dreambooth/sampler.h>

#include "exit.h"
#include "machine.h"
#include "progress.h"
#include "setup.h"
#include "train.h"

static int set_trainer(void *trainer, const char *name, const char *value)
{
    return dreambooth_trainer_set(trainer, name, value);
}

/* The facts of a plan by their names, as --json has them. */
static json_t *plan_facts(dreambooth_trainer *trainer)
{
    json_t *facts = json_object();
    char name[64], type[16];
    size_t i;

    for (i = 0; dreambooth_fact_info("trainer", i, "name", name,
                                     sizeof(name)) == DREAMBOOTH_OK;
         i++) {
        int64_t value;

        if (strncmp(name, "plan.", 5) != 0 ||
            dreambooth_trainer_get_integer(trainer, name, &value) !=
                DREAMBOOTH_OK)
            continue;
        dreambooth_fact_info("trainer", i, "type", type, sizeof(type));
        json_object_set_new(facts, name + 5,
                            strcmp(type, "boolean") == 0
                                ? json_boolean(value != 0)
                                : json_integer(value));
    }
    return facts;
}

static void read_plan(dreambooth_trainer *trainer, struct run_plan *plan)
{
    plan->memory = trainer_integer(trainer, "plan.memory");
    plan->parameters = trainer_integer(trainer, "plan.parameters");
    plan->gradients = trainer_integer(trainer, "plan.gradients");
    plan->moments = trainer_integer(trainer, "plan.moments");
    plan->activations = trainer_integer(trainer, "plan.activations");
    plan->disk = trainer_integer(trainer, "plan.disk");
    plan->checkpoint = trainer_integer(trainer, "plan.checkpoint");
    plan->recompute = trainer_integer(trainer, "plan.recompute") != 0;
}

static int check_limit(dreambooth_context *context, const struct run_plan *plan)
{
    char need[32], have[32];
    int64_t limit = 0;

    dreambooth_context_get_integer(context, "memory-limit", &limit);
    if (limit == 0 || plan->memory <= limit)
        return EXIT_DONE;
    format_bytes((double)plan->memory, need, sizeof(need));
    format_bytes((double)limit, have, sizeof(have));
    return complain(EXIT_RESOURCES,
                    "the run takes about %s, the memory limit is %s: a smaller "
                    "--size or --batch takes less",
                    need, have);
}

static int plan_described(const struct options *options,
                          dreambooth_context *context, dreambooth_model *model,
                          struct run_plan *plan)
{
    dreambooth_trainer *trainer = NULL;
    int status = dreambooth_trainer_new(&trainer, model);
    int code;

    if (status == DREAMBOOTH_OK)
        status = options_apply(options, "trainer", set_trainer, trainer);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_plan(trainer);
    code = setup_check(options, context, status);
    if (code == EXIT_DONE) {
        read_plan(trainer, plan);
        if (options_yes(options, "json"))
            plan->facts = plan_facts(trainer);
        code = check_limit(context, plan);
    }
    dreambooth_trainer_free(trainer);
    return code;
}

int train_plan(const struct options *options, dreambooth_context *context,
               struct run_plan *plan)
{
    dreambooth_model *model;
    int64_t size;
    int status, code = EXIT_DONE;

    /* Opening the model says the same again. */
    dreambooth_context_set_log(context, NULL, NULL);
    status =
        dreambooth_model_describe(&model, context, options->positionals[0]);
    setup_log(context, options);
    if (status != DREAMBOOTH_OK)
        return setup_check(options, context, status);
    /* Without a size it is no whole pipeline: opening it will tell why. */
    if (dreambooth_model_get_integer(model, "size", &size) == DREAMBOOTH_OK)
        code = plan_described(options, context, model, plan);
    dreambooth_model_free(model);
    return code;
}

static void print_bytes(const char *label, int64_t bytes)
{
    char text[32];

    format_bytes((double)bytes, text, sizeof(text));
    printf("%-26s%10s\n", label, text);
}

static void print_plan(const struct run_plan *plan)
{
    print_bytes("memory, about", plan->memory);
    print_bytes("  parameters", plan->parameters);
    print_bytes("  gradients", plan->gradients);
    print_bytes("  AdamW's moments", plan->moments);
    print_bytes(plan->recompute ? "  activations, recomputed" : "  activations",
                plan->activations);
    print_bytes("disk, about", plan->disk);
    print_bytes("  of which a checkpoint", plan->checkpoint);
}

/* All options but those that have to do with files and class images. */
static int set_for_measure(void *trainer, const char *name, const char *value)
{
    static const char *const left_out[] = {
        "out",          "resume", "class-prompt", "class-dir",
        "class-images", "steps",  "batch",        "sample-every"};
    size_t i;

    for (i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
        if (strcmp(left_out[i], name) == 0)
            return DREAMBOOTH_OK;
    return dreambooth_trainer_set(trainer, name, value);
}

/* The second of two steps of as many photos as a real one has photos and class
 * images: they cost the same. */
static int measure_step(const struct options *options, dreambooth_model *model,
                        double *seconds)
{
    bool prior = options_text(options, "class-prompt") != NULL;
    long batch = strtol(options_text(options, "batch"), NULL, 10);
    dreambooth_trainer *trainer;
    int status = dreambooth_trainer_new(&trainer, model);
    int i;

    if (status != DREAMBOOTH_OK)
        return status;
    status = options_apply(options, "trainer", set_for_measure, trainer);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set_integer(trainer, "batch",
                                                prior ? 2 * batch : batch);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set_integer(trainer, "steps", 2);
    for (i = 0; i < 2 && status == DREAMBOOTH_OK; i++)
        status = dreambooth_trainer_step(trainer);
    if (status == DREAMBOOTH_OK)
        *seconds = trainer_double(trainer, "seconds");
    dreambooth_trainer_free(trainer);
    return status;
}

/* The second of two sampling steps of a class image. */
static int measure_draw(const struct options *options, dreambooth_model *model,
                        double *seconds)
{
    dreambooth_sampler *sampler;
    int status = dreambooth_sampler_new(&sampler, model);
    double start = 0;
    int i;

    if (status != DREAMBOOTH_OK)
        return status;
    status = dreambooth_sampler_set(sampler, "prompt",
                                    options_text(options, "class-prompt"));
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set(sampler, "sampler", "ddpm");
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set(sampler, "size",
                                        options_text(options, "size"));
    for (i = 0; i < 2 && status == DREAMBOOTH_OK; i++) {
        start = seconds_now();
        status = dreambooth_sampler_step(sampler);
    }
    *seconds = seconds_now() - start;
    dreambooth_sampler_free(sampler);
    return status;
}

static bool is_image(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL &&
           (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 ||
            strcasecmp(dot, ".jpeg") == 0);
}

/* How many images are in the folder of class images. */
static long count_class_images(const struct options *options)
{
    const char *folder = options_text(options, "class-dir");
    char path[4096];
    struct dirent *entry;
    long count = 0;
    DIR *open;

    if (folder == NULL) {
        snprintf(path, sizeof(path), "%s/class", options_text(options, "out"));
        folder = path;
    }
    open = opendir(folder);
    if (open == NULL)
        return 0;
    while ((entry = readdir(open)) != NULL)
        count += is_image(entry->d_name);
    closedir(open);
    return count;
}

static long missing_class_images(const struct options *options)
{
    long wanted = strtol(options_text(options, "class-images"), NULL, 10);
    long there = count_class_images(options);

    if (options_text(options, "class-prompt") == NULL || there >= wanted)
        return 0;
    return wanted - there;
}

/* How long a run takes. */
struct run_time {
    double steps, step;   /* their number, and the seconds of one */
    double images, image; /* class images that are missing */
};

static int measure(const struct options *options, dreambooth_model *model,
                   struct run_time *time)
{
    double draws = strtod(options_text(options, "class-steps"), NULL);
    double draw = 0;
    int status = measure_step(options, model, &time->step);

    time->steps = strtod(options_text(options, "steps"), NULL);
    time->images = (double)missing_class_images(options);
    if (status == DREAMBOOTH_OK && time->images > 0)
        status = measure_draw(options, model, &draw);
    time->image = draws * draw;
    return status;
}

static double total(const struct run_time *time)
{
    return time->steps * time->step + time->images * time->image;
}

static void print_part(const char *label, double count, const char *what,
                       double each)
{
    char text[32];

    format_duration(count * each, text, sizeof(text));
    printf("%-26s%10s  (%.0f %s of %.3g s)\n", label, text, count, what, each);
}

static void print_time(const struct run_time *time)
{
    char text[32];

    format_duration(total(time), text, sizeof(text));
    printf("%-26s%10s\n", "time, about", text);
    if (time->images > 0)
        print_part("  class images", time->images, "images", time->image);
    print_part("  training", time->steps, "steps", time->step);
}

static int print_json(const struct run_plan *plan, const struct run_time *time)
{
    json_t *object = json_deep_copy(plan->facts);

    json_object_set_new(object, "seconds", json_real(total(time)));
    json_object_set_new(object, "steps", json_integer((json_int_t)time->steps));
    json_object_set_new(object, "step-seconds", json_real(time->step));
    json_object_set_new(object, "class-images",
                        json_integer((json_int_t)time->images));
    json_object_set_new(object, "class-image-seconds", json_real(time->image));
    return json_print(object);
}

int train_dry_run(const struct options *options, dreambooth_context *context,
                  const struct run_plan *plan)
{
    struct run_time time = {0};
    dreambooth_model *model;
    int status, code;

    status = dreambooth_model_open(&model, context, options->positionals[0]);
    if (status != DREAMBOOTH_OK)
        return setup_check(options, context, status);
    if (plan->facts == NULL) {
        print_plan(plan);
        fflush(stdout);
    }
    status = measure(options, model, &time);
    progress_clear();
    code = setup_check(options, context, status);
    if (code == EXIT_DONE && plan->facts != NULL)
        code = print_json(plan, &time);
    else if (code == EXIT_DONE)
        print_time(&time);
    dreambooth_model_free(model);
    return code;
}

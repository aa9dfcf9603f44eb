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
    code = setup_check(context, status);
    if (code == EXIT_DONE) {
        read_plan(trainer, plan);
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
        return complain_of(context, status);
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

static void print_time(const char *label, double count, const char *what,
                       double each)
{
    char total[32];

    format_duration(count * each, total, sizeof(total));
    printf("%-26s%10s  (%.0f %s of %.3g s)\n", label, total, count, what, each);
}

static int measure(const struct options *options, dreambooth_model *model)
{
    double steps = strtod(options_text(options, "steps"), NULL);
    double draws = strtod(options_text(options, "class-steps"), NULL);
    long missing = missing_class_images(options);
    double step = 0, draw = 0;
    char total[32];
    int status = measure_step(options, model, &step);

    if (status == DREAMBOOTH_OK && missing > 0)
        status = measure_draw(options, model, &draw);
    if (status != DREAMBOOTH_OK)
        return status;
    format_duration(steps * step + (double)missing * draws * draw, total,
                    sizeof(total));
    printf("%-26s%10s\n", "time, about", total);
    if (missing > 0)
        print_time("  class images", (double)missing, "images", draws * draw);
    print_time("  training", steps, "steps", step);
    return DREAMBOOTH_OK;
}

int train_dry_run(const struct options *options, dreambooth_context *context,
                  const struct run_plan *plan)
{
    dreambooth_model *model;
    int status, code;

    status = dreambooth_model_open(&model, context, options->positionals[0]);
    if (status != DREAMBOOTH_OK)
        return complain_of(context, status);
    print_plan(plan);
    fflush(stdout);
    status = measure(options, model);
    code = setup_check(context, status);
    dreambooth_model_free(model);
    return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * `dreambooth train`: drives the trainer, which does everything else, and shows
 * how it goes.
 */
#include "train.h"

#include <stdio.h>
#include <sys/stat.h>

#include "commands.h"
#include "exit.h"
#include "machine.h"
#include "progress.h"
#include "setup.h"

/* Losses are noisy: what is shown is the mean of so many steps. */
#define LAST_STEPS 50

struct losses {
    double instance[LAST_STEPS], prior[LAST_STEPS];
    int64_t count; /* of all that were added */
};

struct run {
    const struct options *options;
    dreambooth_context *context;
    dreambooth_model *model;
    dreambooth_trainer *trainer;
    struct losses losses;
    double start;
};

int64_t trainer_integer(dreambooth_trainer *trainer, const char *name)
{
    int64_t value = 0;

    dreambooth_trainer_get_integer(trainer, name, &value);
    return value;
}

double trainer_double(dreambooth_trainer *trainer, const char *name)
{
    double value = 0;

    dreambooth_trainer_get_double(trainer, name, &value);
    return value;
}

static void add_losses(struct run *run)
{
    struct losses *losses = &run->losses;
    int64_t place = losses->count++ % LAST_STEPS;

    losses->instance[place] = trainer_double(run->trainer, "loss.instance");
    losses->prior[place] = trainer_double(run->trainer, "loss.prior");
}

static double mean(const double *values, int64_t count)
{
    double sum = 0;
    int64_t i;

    for (i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

/* "loss 0.1234 + 0.1012": instance and prior; how many steps it is the mean of,
 * or 0 for none. */
static int64_t format_losses(const struct run *run, char *text, size_t size)
{
    const struct losses *losses = &run->losses;
    int64_t count = losses->count < LAST_STEPS ? losses->count : LAST_STEPS;
    char prior[32] = "";

    text[0] = '\0';
    if (count == 0)
        return 0;
    if (options_text(run->options, "class-prompt") != NULL)
        snprintf(prior, sizeof(prior), " + %.4f", mean(losses->prior, count));
    snprintf(text, size, "loss %.4f%s", mean(losses->instance, count), prior);
    return count;
}

static void show_class_images(struct run *run)
{
    int64_t done = trainer_integer(run->trainer, "class-images.done");
    int64_t missing = trainer_integer(run->trainer, "class-images.missing");

    if (missing > 0)
        progress_show("class images", done, done + missing, NULL);
}

static void show_step(struct run *run)
{
    char losses[64];

    format_losses(run, losses, sizeof(losses));
    progress_show("step", trainer_integer(run->trainer, "step"),
                  trainer_integer(run->trainer, "steps"),
                  losses[0] == '\0' ? NULL : losses);
}

static int drive(struct run *run)
{
    int status;

    while ((status = dreambooth_trainer_prepare(run->trainer)) == DREAMBOOTH_OK)
        show_class_images(run);
    if (status != DREAMBOOTH_DONE)
        return status;
    show_step(run);
    while ((status = dreambooth_trainer_step(run->trainer)) == DREAMBOOTH_OK) {
        add_losses(run);
        show_step(run);
    }
    return status;
}

static void print_result(struct run *run)
{
    const char *out = options_text(run->options, "out");
    char losses[64], duration[32];
    int64_t count = format_losses(run, losses, sizeof(losses));

    progress_clear();
    format_duration(seconds_now() - run->start, duration, sizeof(duration));
    printf("%s: %lld of %lld steps are done", out,
           (long long)trainer_integer(run->trainer, "step"),
           (long long)trainer_integer(run->trainer, "steps"));
    if (count > 0)
        printf(", %lld now in %s", (long long)run->losses.count, duration);
    putchar('\n');
    if (count > 0)
        printf(
            "%s (%s), the mean of the last %lld; all are in %s/metrics.csv\n",
            losses,
            options_text(run->options, "class-prompt") != NULL
                ? "instance + prior"
                : "instance",
            (long long)count, out);
    printf("try: dreambooth sample %s --prompt \"%s\" --out subject.png\n", out,
           options_text(run->options, "instance-prompt"));
}

/* After Ctrl-C: the step that was reached is kept, too. */
static int stop(struct run *run)
{
    int64_t step = trainer_integer(run->trainer, "step");
    int64_t images = trainer_integer(run->trainer, "class-images.done");
    int code = complain_code(DREAMBOOTH_ECANCELLED);
    int status = DREAMBOOTH_OK;

    dreambooth_context_clear_cancel(run->context);
    if (step > 0)
        status = dreambooth_trainer_checkpoint(run->trainer);
    if (status != DREAMBOOTH_OK)
        return setup_check(run->options, run->context, status);
    if (step == 0)
        return complain(code,
                        "stopped before step 1, with %lld class images made; "
                        "go on with the same command and --resume",
                        (long long)images);
    return complain(code,
                    "stopped after step %lld of %lld, which is kept; go on "
                    "with the same command and --resume",
                    (long long)step,
                    (long long)trainer_integer(run->trainer, "steps"));
}

static int finish(struct run *run, int status)
{
    if (status == DREAMBOOTH_ECANCELLED && run->trainer != NULL)
        return stop(run);
    if (status < DREAMBOOTH_OK)
        return setup_check(run->options, run->context, status);
    if (!options_yes(run->options, "quiet"))
        print_result(run);
    return EXIT_DONE;
}

static int set_trainer(void *trainer, const char *name, const char *value)
{
    return dreambooth_trainer_set(trainer, name, value);
}

static int train(const struct options *options, dreambooth_context *context)
{
    struct run run = {.options = options, .context = context};
    int status, code;

    run.start = seconds_now();
    status =
        dreambooth_model_open(&run.model, context, options->positionals[0]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_new(&run.trainer, run.model);
    if (status == DREAMBOOTH_OK)
        status = options_apply(options, "trainer", set_trainer, run.trainer);
    if (status == DREAMBOOTH_OK)
        status = drive(&run);
    code = finish(&run, status);
    dreambooth_trainer_free(run.trainer);
    dreambooth_model_free(run.model);
    return code;
}

static int check_needs(const struct options *options)
{
    static const char *const needs[] = {"instance-dir", "instance-prompt",
                                        "out", NULL};
    int code = EXIT_DONE;
    size_t i;

    for (i = 0; needs[i] != NULL && code == EXIT_DONE; i++)
        code = options_need(options, needs[i]);
    return code;
}

/* Class images among the photos would be learned as the subject. */
static int check_folders(const struct options *options)
{
    const char *photos = options_text(options, "instance-dir");
    const char *images = options_text(options, "class-dir");
    struct stat a, b;

    if (images == NULL || stat(photos, &a) != 0 || stat(images, &b) != 0 ||
        a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return EXIT_DONE;
    return options_complain(
        options, EXIT_USAGE, "class-dir",
        "--class-dir and --instance-dir are the same folder, %s: "
        "class images must not lie among the photos",
        images);
}

static int run_train(const struct options *options)
{
    dreambooth_context *context;
    struct run_plan plan = {0};
    int code = check_needs(options);

    if (code == EXIT_DONE && options_yes(options, "json") &&
        !options_yes(options, "dry-run"))
        code = complain(EXIT_USAGE, "--json goes with --dry-run only: the "
                                    "losses of a run are in metrics.csv");
    if (code == EXIT_DONE)
        code = check_folders(options);
    if (code == EXIT_DONE)
        code = setup_begin(options, &context);
    if (code != EXIT_DONE)
        return code;
    code = train_plan(options, context, &plan);
    if (code == EXIT_DONE)
        code = options_yes(options, "dry-run")
                   ? train_dry_run(options, context, &plan)
                   : train(options, context);
    json_decref(plan.facts);
    return setup_end(context, code);
}

static const char *const handles[] = {"context", "trainer", NULL};
static const struct positional positionals[] = {
    {"MODEL",
     "the model to start from: folder of a pipeline in the form of diffusers",
     NULL, false},
    {NULL, NULL, NULL, false},
};
static const struct own_flag own[] = {
    {"dry-run", NULL, NULL,
     "write nothing: check the input and say how much memory, disk and time "
     "the run would take",
     NULL},
    {"json", NULL, NULL, "print what --dry-run has to say as an object of JSON",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct subcommand train_command = {
    .name = "train",
    .arguments = "MODEL --instance-dir DIR --instance-prompt TEXT --out DIR "
                 "[--class-prompt TEXT]",
    .summary = "Teaches a model a subject from a few photos",
    .description =
        "Fine-tunes the model with DreamBooth: three to five photos of one "
        "subject are bound to a rare word, the identifier, which [V] stands "
        "for in prompts. With a class prompt, pictures that the model "
        "itself draws of the class are trained on as well, so that it does "
        "not forget what others of the class look like (prior "
        "preservation); those that are missing are drawn first.\n\n"
        "The result is a folder of the same form, with the record "
        "dreambooth.json and the losses in metrics.csv. Checkpoints are "
        "written on the way. A run that was stopped or killed goes on with "
        "the same command and --resume, and comes to the same bits as if it "
        "had never stopped.\n\n"
        "With --dry-run --json: memory, parameters, gradients, moments, "
        "activations, images, disk and checkpoint in bytes, recompute (true or "
        "false), seconds in all, steps, step-seconds, class-images (how many "
        "are missing) and class-image-seconds.",
    .example = "dreambooth train MODEL --instance-dir photos --instance-prompt "
               "\"a [V] dog\" --class-prompt \"a dog\" --out my-dog",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run_train,
};

/* SPDX-License-Identifier: MIT */
/*
 * `dreambooth sample`: each image is written as soon as it is finished, so that
 * stopping a long run loses nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dreambooth/sampler.h>

#include "commands.h"
#include "exit.h"
#include "machine.h"
#include "progress.h"
#include "setup.h"

#define SHEET_MARGIN 4

struct drawing {
    const struct options *options;
    dreambooth_context *context;
    dreambooth_sampler *sampler;
    const char *out;
    size_t count;   /* of images */
    size_t written; /* of them */
    bool sheet;
};

/* Complains if nothing can be written where PATH lies: better now than after
 * the work. */
static int check_out(const struct options *options)
{
    const char *path = options_text(options, "out");
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    struct stat facts;
    char *folder;
    int code = EXIT_DONE;

    if ((slash != NULL && slash[1] == '\0') ||
        (stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)))
        return options_complain(
            options, EXIT_USAGE, "out",
            "--out %s is a folder: give a file, such as out.png", path);
    folder = slash == NULL   ? strdup(".")
             : slash == path ? strdup("/")
                             : strndup(path, length);
    if (folder == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    if (access(folder, W_OK | X_OK) != 0)
        code = options_complain(options, errno == ENOENT ? EXIT_INPUT : EXIT_IO,
                                "out", "--out %s: cannot write into %s: %s",
                                path, folder, strerror(errno));
    free(folder);
    return code;
}

/* out.png of several images is out-0.png, out-1.png and so on, with as many
 * digits as the last one needs. For free(). */
static char *image_path(const struct drawing *drawing, size_t index)
{
    const char *out = drawing->out;
    const char *slash = strrchr(out, '/');
    const char *dot = strrchr(slash == NULL ? out : slash, '.');
    size_t size = strlen(out) + 32;
    int stem = (int)(dot == NULL ? strlen(out) : (size_t)(dot - out));
    int digits = snprintf(NULL, 0, "%zu", drawing->count - 1);
    char *path = malloc(size);

    if (path == NULL)
        return NULL;
    if (drawing->count == 1)
        snprintf(path, size, "%s", out);
    else
        snprintf(path, size, "%.*s-%0*zu%s", stem, out, digits, index,
                 dot == NULL ? "" : dot);
    return path;
}

/* The images below step / steps-an-image are finished; a batch finishes all at
 * once, so what is asked for may not be there yet. */
static int write_finished(struct drawing *drawing)
{
    int status = DREAMBOOTH_OK;

    while (drawing->written < drawing->count && status == DREAMBOOTH_OK) {
        char *path = image_path(drawing, drawing->written);

        if (path == NULL)
            return DREAMBOOTH_ENOMEM;
        status =
            dreambooth_sampler_write(drawing->sampler, drawing->written, path);
        free(path);
        if (status == DREAMBOOTH_OK)
            drawing->written++;
    }
    return status == DREAMBOOTH_ESTATE ? DREAMBOOTH_OK : status;
}

static int draw(struct drawing *drawing)
{
    int64_t step, total;
    int status, written = DREAMBOOTH_OK;

    do {
        status = dreambooth_sampler_step(drawing->sampler);
        if (status < DREAMBOOTH_OK)
            return status;
        if (dreambooth_sampler_get_integer(drawing->sampler, "step", &step) ==
                DREAMBOOTH_OK &&
            dreambooth_sampler_get_integer(drawing->sampler, "total-steps",
                                           &total) == DREAMBOOTH_OK)
            progress_show("drawing step", step, total, NULL);
        if (!drawing->sheet)
            written = write_finished(drawing);
    } while (status == DREAMBOOTH_OK && written == DREAMBOOTH_OK);
    return written;
}

static int collect(const struct drawing *drawing, dreambooth_image **images)
{
    int status = DREAMBOOTH_OK;
    size_t i;

    for (i = 0; i < drawing->count && status == DREAMBOOTH_OK; i++)
        status = dreambooth_sampler_image(&images[i], drawing->sampler, i);
    return status;
}

static int write_sheet(const struct drawing *drawing)
{
    static const char *const keys[] = {"prompt", "seed", "sampler", "steps",
                                       "guidance-scale"};
    const char *values[sizeof(keys) / sizeof(keys[0])];
    dreambooth_image **images, *sheet = NULL;
    size_t count = sizeof(keys) / sizeof(keys[0]);
    size_t i;
    int status;

    for (i = 0; i < count; i++)
        values[i] = options_text(drawing->options, keys[i]);
    images = calloc(drawing->count, sizeof(dreambooth_image *));
    if (images == NULL)
        return DREAMBOOTH_ENOMEM;
    status = collect(drawing, images);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_image_sheet(&sheet, drawing->context, images,
                                        drawing->count, 0, SHEET_MARGIN);
    if (status == DREAMBOOTH_OK)
        status =
            dreambooth_image_write(sheet, drawing->out, keys, values, count);
    dreambooth_image_free(sheet);
    for (i = 0; i < drawing->count; i++)
        dreambooth_image_free(images[i]);
    free(images);
    return status;
}

static void print_result(const struct drawing *drawing, double seconds)
{
    char duration[32];
    char *last = image_path(drawing, drawing->count - 1);
    char *first = image_path(drawing, 0);

    progress_clear();
    format_duration(seconds, duration, sizeof(duration));
    if (drawing->sheet || drawing->count == 1)
        printf("%s: %zu image%s in %s\n", drawing->out, drawing->count,
               drawing->count == 1 ? "" : "s", duration);
    else if (first != NULL && last != NULL)
        printf("%s to %s: %zu images in %s\n", first, last, drawing->count,
               duration);
    free(first);
    free(last);
}

static int set_sampler(void *sampler, const char *name, const char *value)
{
    return dreambooth_sampler_set(sampler, name, value);
}

static int stopped(const struct drawing *drawing)
{
    return complain(complain_code(DREAMBOOTH_ECANCELLED),
                    "stopped; %zu of %zu images are written", drawing->written,
                    drawing->count);
}

static int draw_all(struct drawing *drawing, dreambooth_model *model)
{
    double start = seconds_now();
    int64_t count = 0;
    int status = dreambooth_sampler_new(&drawing->sampler, model);

    if (status == DREAMBOOTH_OK)
        status = options_apply(drawing->options, "sampler", set_sampler,
                               drawing->sampler);
    if (status == DREAMBOOTH_OK)
        status =
            dreambooth_sampler_get_integer(drawing->sampler, "count", &count);
    drawing->count = (size_t)count;
    if (status == DREAMBOOTH_OK)
        status = draw(drawing);
    if (status == DREAMBOOTH_OK && drawing->sheet)
        status = write_sheet(drawing);
    if (status == DREAMBOOTH_OK && !options_yes(drawing->options, "quiet"))
        print_result(drawing, seconds_now() - start);
    dreambooth_sampler_free(drawing->sampler);
    if (status == DREAMBOOTH_ECANCELLED)
        return stopped(drawing);
    return setup_check(drawing->options, drawing->context, status);
}

static int run(const struct options *options)
{
    struct drawing drawing = {.options = options};
    dreambooth_model *model;
    int code = options_need(options, "prompt");
    int status;

    drawing.out = options_text(options, "out");
    drawing.sheet = options_yes(options, "sheet");
    if (code == EXIT_DONE)
        code = check_out(options);
    if (code == EXIT_DONE)
        code = setup_begin(options, &drawing.context);
    if (code != EXIT_DONE)
        return code;
    status =
        dreambooth_model_open(&model, drawing.context, options->positionals[0]);
    if (status != DREAMBOOTH_OK)
        return setup_end(drawing.context,
                         setup_check(options, drawing.context, status));
    code = draw_all(&drawing, model);
    dreambooth_model_free(model);
    return setup_end(drawing.context, code);
}

static const char *const handles[] = {"context", "sampler", NULL};
static const struct positional positionals[] = {
    {"MODEL", "folder of a pipeline in the form of diffusers", NULL, false},
    {NULL, NULL, NULL, false},
};
static const struct own_flag own[] = {
    {"out", "FILE", "sample.png",
     "the picture; of several, out.png becomes out-0.png, out-1.png ...", NULL},
    {"sheet", NULL, NULL, "join several pictures in one file", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct subcommand sample_command = {
    .name = "sample",
    .arguments = "MODEL --prompt TEXT [--out FILE]",
    .summary = "Draws pictures with a model",
    .description =
        "Draws the prompt with the model and writes PNG files, whose text "
        "records tell prompt, seed and settings. In the prompt, [V] stands "
        "for the identifier of a model that was trained here. The same seed "
        "gives the same picture, whatever the number of threads.",
    .example = "dreambooth sample MODEL --prompt \"a dog\" --steps 25 "
               "--seed 7 --out dog.png",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

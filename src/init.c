/* SPDX-License-Identifier: MIT */
/* `dreambooth init`: a model with random weights from configuration files. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/model.h>

#include "commands.h"
#include "exit.h"
#include "setup.h"

/* Complains if --out has anything in it: models are not written over. */
static int check_empty(const struct options *options)
{
    const char *folder = options_text(options, "out");
    DIR *open = opendir(folder);
    struct dirent *entry;
    bool empty = true;

    if (open == NULL)
        return errno == ENOENT
                   ? EXIT_DONE
                   : options_complain(options, EXIT_IO, "out", "%s: %s", folder,
                                      strerror(errno));
    while ((entry = readdir(open)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = false;
    closedir(open);
    if (empty)
        return EXIT_DONE;
    return options_complain(
        options, EXIT_USAGE, "out",
        "%s is not empty: choose another --out, or remove it", folder);
}

static void print_result(dreambooth_model *model, const char *folder)
{
    int64_t part, parts = 0, sum = 0, value;
    char name[64];

    dreambooth_model_get_integer(model, "parts", &parts);
    for (part = 0; part < parts; part++) {
        snprintf(name, sizeof(name), "part.%lld.parameters", (long long)part);
        if (dreambooth_model_get_integer(model, name, &value) == DREAMBOOTH_OK)
            sum += value;
    }
    printf("%s: a model of %lld parameters with random weights\n", folder,
           (long long)sum);
}

static int make(const struct options *options, dreambooth_context *context)
{
    const char *folder = options_text(options, "out");
    unsigned long long seed = strtoull(options_text(options, "seed"), NULL, 10);
    dreambooth_model *model;
    int status = dreambooth_model_init(&model, context, options->positionals[0],
                                       options_text(options, "tokenizer"),
                                       (uint64_t)seed);

    if (status != DREAMBOOTH_OK)
        return status;
    status = dreambooth_model_save(model, folder,
                                   options_text(options, "precision"));
    if (status == DREAMBOOTH_OK && !options_yes(options, "quiet"))
        print_result(model, folder);
    dreambooth_model_free(model);
    return status;
}

static int check_seed(const struct options *options)
{
    const char *text = options_text(options, "seed");

    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text))
        return EXIT_DONE;
    return options_complain(
        options, EXIT_USAGE, "seed",
        "option --seed: \"%s\" is not right; give a whole number "
        "from 0",
        text);
}

static int run(const struct options *options)
{
    dreambooth_context *context;
    int code = options_need(options, "out");

    if (code == EXIT_DONE)
        code = check_seed(options);
    if (code == EXIT_DONE)
        code = check_empty(options);
    if (code == EXIT_DONE)
        code = setup_begin(options, &context);
    if (code != EXIT_DONE)
        return code;
    return setup_end(context,
                     setup_check(options, context, make(options, context)));
}

static const char *const handles[] = {"context", NULL};
static const struct positional positionals[] = {
    {"CONFIG", "folder of a pipeline of which only the JSON files are read",
     NULL, false},
    {NULL, NULL, NULL, false},
};
static const struct own_flag own[] = {
    {"out", "DIR", NULL, "folder of the new model", NULL},
    {"tokenizer", "DIR", NULL,
     "folder with vocab.json and merges.txt; default: CONFIG's tokenizer",
     NULL},
    {"seed", "N", "0", "seed of the weights", NULL},
    {"precision", "KIND", "f32", "precision of the files", "f32 f16 bf16"},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct subcommand init_command = {
    .name = "init",
    .arguments = "CONFIG --out DIR [--tokenizer DIR]",
    .summary = "Makes a model with random weights, to train from nothing",
    .description =
        "Makes a model of the shape that the configuration files describe, "
        "with random weights as PyTorch initialises them. Such a model "
        "draws noise: it is for tests, and for training from nothing. The "
        "same seed gives the same model.",
    .example = "dreambooth init my-config --tokenizer my-vocabulary --seed 1 "
               "--out my-model",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

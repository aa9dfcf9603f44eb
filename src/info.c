/* SPDX-License-Identifier: MIT */
/* `dreambooth info`: what is in a model's folder or file. */
#include <stdio.h>

#include <dreambooth/model.h>

#include "commands.h"
#include "exit.h"
#include "progress.h"
#include "setup.h"

/* A part's fact; 0 for one that is not there. */
static int64_t part_number(dreambooth_model *model, int64_t part,
                           const char *key)
{
    char name[64];
    int64_t value = 0;

    snprintf(name, sizeof(name), "part.%lld.%s", (long long)part, key);
    dreambooth_model_get_integer(model, name, &value);
    return value;
}

static void print_part_text(dreambooth_model *model, int64_t part,
                            const char *key, int width)
{
    const char *text = "?";
    char name[64];

    snprintf(name, sizeof(name), "part.%lld.%s", (long long)part, key);
    dreambooth_model_get_text(model, name, &text);
    printf("%-*s", width, text);
}

static void print_row(int64_t tensors, int64_t parameters, int64_t bytes)
{
    char size[32];

    format_bytes((double)bytes, size, sizeof(size));
    printf("%8lld  %14lld  %10s  ", (long long)tensors, (long long)parameters,
           size);
}

static void print_parts(dreambooth_model *model)
{
    int64_t part, parts = 0, tensors = 0, parameters = 0, bytes = 0;

    dreambooth_model_get_integer(model, "parts", &parts);
    printf("%-22s%8s  %14s  %10s  %s\n", "part", "tensors", "parameters",
           "size", "precision");
    for (part = 0; part < parts; part++) {
        print_part_text(model, part, "name", 22);
        print_row(part_number(model, part, "tensors"),
                  part_number(model, part, "parameters"),
                  part_number(model, part, "bytes"));
        print_part_text(model, part, "precision", 0);
        putchar('\n');
        tensors += part_number(model, part, "tensors");
        parameters += part_number(model, part, "parameters");
        bytes += part_number(model, part, "bytes");
    }
    if (parts > 1) {
        printf("%-22s", "together");
        print_row(tensors, parameters, bytes);
        putchar('\n');
    }
}

static void print_facts(dreambooth_model *model)
{
    static const char *const texts[][2] = {
        {"scheduler", "scheduler"},
        {"record.identifier", "identifier"},
        {"record.instance-prompt", "instance prompt"},
        {"record.class-prompt", "class prompt"},
        {"record.steps", "steps trained"},
    };
    int64_t value;
    const char *text;
    size_t i;

    putchar('\n');
    if (dreambooth_model_get_integer(model, "size", &value) == DREAMBOOTH_OK)
        printf("%-18s%lld pixels\n", "made for", (long long)value);
    if (dreambooth_model_get_integer(model, "prompt-length", &value) ==
        DREAMBOOTH_OK)
        printf("%-18s%lld tokens\n", "prompt length", (long long)value);
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (dreambooth_model_get_text(model, texts[i][0], &text) ==
            DREAMBOOTH_OK)
            printf("%-18s%s\n", texts[i][1], text);
}

static int run(const struct options *options)
{
    dreambooth_context *context;
    dreambooth_model *model;
    int64_t size;
    int code = setup_begin(options, &context);
    int status;

    if (code != EXIT_DONE)
        return code;
    status =
        dreambooth_model_describe(&model, context, options->positionals[0]);
    if (status != DREAMBOOTH_OK)
        return setup_end(context, complain_of(context, status));
    print_parts(model);
    if (dreambooth_model_get_integer(model, "size", &size) == DREAMBOOTH_OK)
        print_facts(model);
    dreambooth_model_free(model);
    return setup_end(context, EXIT_DONE);
}

static const char *const handles[] = {"context", NULL};
static const struct positional positionals[] = {
    {"MODEL",
     "folder of a pipeline or of one of its parts, or a .safetensors file",
     NULL, false},
    {NULL, NULL, NULL, false},
};

const struct subcommand info_command = {
    .name = "info",
    .arguments = "MODEL",
    .summary = "Shows what is in a model's folder or .safetensors file",
    .description =
        "Lists the parts with their tensors, parameters, bytes and "
        "precision; of a whole pipeline also what it was made for, and of "
        "one that was trained here the identifier, the prompts and the "
        "steps. Weights are not read, so that it takes no time.",
    .example = "dreambooth info my-dog",
    .handles = handles,
    .positionals = positionals,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/* `dreambooth info`: what is in a model's folder or file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/model.h>

#include "commands.h"
#include "exit.h"
#include "json.h"
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

/* A fact as its type has it; NULL for one that the model does not have. */
static json_t *fact(dreambooth_model *model, const char *name, const char *type)
{
    const char *text;

    if (dreambooth_model_get_text(model, name, &text) != DREAMBOOTH_OK)
        return NULL;
    if (strcmp(type, "integer") == 0)
        return json_integer(strtoll(text, NULL, 10));
    if (strcmp(type, "real") == 0)
        return json_real(strtod(text, NULL));
    if (strcmp(type, "boolean") == 0)
        return json_boolean(strcmp(text, "true") == 0);
    return json_text(text);
}

/* "part.N.bytes" is "bytes" of each part. */
static void add_to_parts(json_t *parts, dreambooth_model *model,
                         const char *key, const char *type)
{
    int64_t i, count = 0;
    char name[96];

    dreambooth_model_get_integer(model, "parts", &count);
    for (i = 0; i < count; i++) {
        if ((int64_t)json_array_size(parts) == i)
            json_array_append_new(parts, json_object());
        snprintf(name, sizeof(name), "part.%lld.%s", (long long)i, key);
        json_object_set_new(json_array_get(parts, (size_t)i), key,
                            fact(model, name, type));
    }
}

/* "record.KEY": the options of a trainer that the record has. */
static void add_record(json_t *object, dreambooth_model *model)
{
    char key[64], name[96], type[16];
    json_t *record = json_object();
    size_t i;

    for (i = 0; dreambooth_option_info("trainer", i, "name", key,
                                       sizeof(key)) == DREAMBOOTH_OK;
         i++) {
        dreambooth_option_info("trainer", i, "type", type, sizeof(type));
        snprintf(name, sizeof(name), "record.%s", key);
        json_object_set_new(record, key, fact(model, name, type));
    }
    if (json_object_size(record) > 0)
        json_object_set(object, "record", record);
    json_decref(record);
}

/* All facts of a model, by their names. */
static int print_json(dreambooth_model *model)
{
    char name[64], type[16];
    json_t *object = json_object(), *parts = json_array();
    size_t i;

    for (i = 0; dreambooth_fact_info("model", i, "name", name, sizeof(name)) ==
                DREAMBOOTH_OK;
         i++) {
        dreambooth_fact_info("model", i, "type", type, sizeof(type));
        if (strncmp(name, "part.N.", 7) == 0)
            add_to_parts(parts, model, name + 7, type);
        else if (strcmp(name, "parts") == 0)
            json_object_set(object, name, parts);
        else if (strcmp(name, "record.KEY") == 0)
            add_record(object, model);
        else
            json_object_set_new(object, name, fact(model, name, type));
    }
    json_decref(parts);
    return json_print(object);
}

static int print(dreambooth_model *model)
{
    int64_t size;

    print_parts(model);
    if (dreambooth_model_get_integer(model, "size", &size) == DREAMBOOTH_OK)
        print_facts(model);
    return EXIT_DONE;
}

static int run(const struct options *options)
{
    dreambooth_context *context;
    dreambooth_model *model;
    int code = setup_begin(options, &context);
    int status;

    if (code != EXIT_DONE)
        return code;
    status =
        dreambooth_model_describe(&model, context, options->positionals[0]);
    if (status != DREAMBOOTH_OK)
        return setup_end(context, setup_check(options, context, status));
    code = options_yes(options, "json") ? print_json(model) : print(model);
    dreambooth_model_free(model);
    return setup_end(context, code);
}

static const char *const handles[] = {"context", NULL};
static const struct own_flag own[] = {
    {"json", NULL, NULL, "print an object of JSON instead of a table", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
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
        "steps. Weights are not read, so that it takes no time.\n\n"
        "With --json: path, parts (a list of objects with name, parameters, "
        "tensors, bytes and precision) and, of a pipeline, size, prompt-length "
        "and scheduler; of one that was trained here also record, an object "
        "with the options of the training.",
    .example = "dreambooth info my-dog",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/*
 * Stands between a program and the library, and cuts down what would take long:
 * so the guide can say what one would really type, and the test can run it.
 *
 * It has the functions that set options of trainers and samplers under their
 * own names, and hands on to the library's. A value above the one in the table
 * becomes that; new handles begin with those of the table.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/sampler.h>
#include <dreambooth/trainer.h>

struct most {
    const char *name;
    int64_t value;
};

static const struct most of_trainer[] = {
    {"steps", 4},
    {"size", 32},
    {"class-images", 2},
    {"class-steps", 2},
    {"sample-every", 2},
    {"sample-steps", 2},
    {"checkpoint-every", 2},
    {NULL, 0},
};

static const struct most of_sampler[] = {
    {"steps", 2}, {"size", 32}, {"width", 32}, {"height", 32}, {NULL, 0},
};

static int same_name(const char *a, const char *b)
{
    while (*a != '\0' && (*a == *b || (*a == '-' && *b == '_')))
        a++, b++;
    return *a == *b;
}

static int64_t cut(const struct most *table, const char *name, int64_t value)
{
    for (; table->name != NULL; table++)
        if (same_name(table->name, name) && value > table->value)
            return table->value;
    return value;
}

/* The function of the library that has the name of the one which asks. */
static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL) {
        fprintf(stderr, "small: no %s\n", name);
        abort();
    }
    return function;
}

typedef int set_text(void *handle, const char *name, const char *value);
typedef int set_integer(void *handle, const char *name, int64_t value);
typedef int make(void *out, dreambooth_model *model);

static int cut_text(const char *function, const struct most *table,
                    void *handle, const char *name, const char *value)
{
    set_text *set = (set_text *)next(function);
    char text[32], *end;
    long long number;

    if (value == NULL)
        return set(handle, name, value);
    number = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0' || cut(table, name, number) == number)
        return set(handle, name, value);
    snprintf(text, sizeof(text), "%lld", (long long)cut(table, name, number));
    return set(handle, name, text);
}

static int begin(const char *function, const char *setter,
                 const struct most *table, void *out, dreambooth_model *model)
{
    int status = ((make *)next(function))(out, model);
    set_integer *set = (set_integer *)next(setter);
    void *handle;

    for (; table->name != NULL && status == DREAMBOOTH_OK; table++) {
        memcpy(&handle, out, sizeof(handle));
        if (strcmp(table->name, "sample-every") != 0)
            status = set(handle, table->name, table->value);
    }
    return status;
}

int dreambooth_trainer_new(dreambooth_trainer **out, dreambooth_model *model)
{
    return begin(__func__, "dreambooth_trainer_set_integer", of_trainer, out,
                 model);
}

int dreambooth_sampler_new(dreambooth_sampler **out, dreambooth_model *model)
{
    return begin(__func__, "dreambooth_sampler_set_integer", of_sampler, out,
                 model);
}

int dreambooth_trainer_set(dreambooth_trainer *trainer, const char *name,
                           const char *value)
{
    return cut_text(__func__, of_trainer, trainer, name, value);
}

int dreambooth_sampler_set(dreambooth_sampler *sampler, const char *name,
                           const char *value)
{
    return cut_text(__func__, of_sampler, sampler, name, value);
}

int dreambooth_trainer_set_integer(dreambooth_trainer *trainer,
                                   const char *name, int64_t value)
{
    return ((set_integer *)next(__func__))(trainer, name,
                                           cut(of_trainer, name, value));
}

int dreambooth_sampler_set_integer(dreambooth_sampler *sampler,
                                   const char *name, int64_t value)
{
    return ((set_integer *)next(__func__))(sampler, name,
                                           cut(of_sampler, name, value));
}

/* SPDX-License-Identifier: MIT */
/* What all kinds of steps have in common: the request and the context. */
#include "step.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handle_int.h"

const struct bench_request bench_request_default = {
    .kind = "unet", .model = "sd15", .side = 512, .batch = 1, .steps = 20};

static const struct bench_kind *const kinds[] = {
    &bench_step_unet, &bench_step_vae, &bench_step_text, &bench_step_train,
    &bench_step_sample};

enum field_type { FIELD_TEXT, FIELD_INTEGER, FIELD_BOOL };

#define FIELD(name, type)                                                      \
    {                                                                          \
#name, type, offsetof(struct bench_request, name)                      \
    }

static const struct {
    const char *name;
    enum field_type type;
    size_t offset;
} fields[] = {FIELD(kind, FIELD_TEXT),      FIELD(model, FIELD_TEXT),
              FIELD(backend, FIELD_TEXT),   FIELD(precision, FIELD_TEXT),
              FIELD(weights, FIELD_TEXT),   FIELD(threads, FIELD_INTEGER),
              FIELD(side, FIELD_INTEGER),   FIELD(batch, FIELD_INTEGER),
              FIELD(width, FIELD_INTEGER),  FIELD(steps, FIELD_INTEGER),
              FIELD(prior, FIELD_BOOL),     FIELD(text_encoder, FIELD_BOOL),
              FIELD(recompute, FIELD_TEXT), FIELD(optimizer, FIELD_TEXT),
              FIELD(gradients, FIELD_TEXT), FIELD(memory_limit, FIELD_TEXT)};

void bench_request_set(struct bench_request *request, const char *text)
{
    const char *value = strchr(text, '=');
    void *place;
    size_t i;

    for (i = 0; value != NULL && i < DB_COUNT(fields); i++) {
        if (strncmp(text, fields[i].name, (size_t)(value - text)) != 0 ||
            fields[i].name[value - text] != '\0')
            continue;
        place = (char *)request + fields[i].offset;
        if (fields[i].type == FIELD_TEXT)
            *(const char **)place = value + 1;
        else if (fields[i].type == FIELD_INTEGER)
            *(int64_t *)place = strtoll(value + 1, NULL, 10);
        else
            *(bool *)place = strcmp(value + 1, "yes") == 0;
        return;
    }
    bench_die("a step has no \"%s\"", text);
}

void bench_step_check(const struct bench_step *step, int status)
{
    if (status < DREAMBOOTH_OK)
        bench_die("%s", dreambooth_context_error(step->context));
}

/* False if there is no such option. */
static bool set(const struct bench_step *step, const char *name,
                const char *value)
{
    int status;

    if (value == NULL)
        return true;
    status = dreambooth_context_set(step->context, name, value);
    if (status == DREAMBOOTH_ENOTFOUND)
        return false;
    bench_step_check(step, status);
    return true;
}

bool bench_step_open(struct bench_step *step,
                     const struct bench_request *request)
{
    const char *backend = request->backend == NULL ? "blas" : request->backend;
    size_t i;

    memset(step, 0, sizeof(*step));
    step->request = *request;
    for (i = 0; i < DB_COUNT(kinds); i++)
        if (strcmp(kinds[i]->name, request->kind) == 0)
            step->kind = kinds[i];
    if (step->kind == NULL)
        bench_die("there is no kind of step called %s", request->kind);
    if (dreambooth_context_new(&step->context) != DREAMBOOTH_OK)
        bench_die("out of memory");
    step->env = &step->context->env;
    bench_step_check(step, dreambooth_context_set_integer(
                               step->context, "threads", request->threads));
    if (!set(step, "precision", request->precision) ||
        !set(step, "weights", request->weights) ||
        !set(step, "memory-limit", request->memory_limit)) {
        dreambooth_context_free(step->context);
        return false;
    }
    bench_step_check(step,
                     bench_count_add(&step->count, step->context, backend));
    bench_step_check(step, db_context_device(step->context, &step->device));
    step->kind->open(step);
    return true;
}

void bench_step_need(struct bench_step *step,
                     const struct bench_request *request)
{
    if (!bench_step_open(step, request))
        bench_die("the library has no option \"precision\" or \"weights\"");
}

void bench_step_run(void *argument)
{
    struct bench_step *step = argument;

    bench_count_reset(&step->count);
    step->kind->run(step);
}

void bench_step_close(struct bench_step *step)
{
    step->kind->close(step);
    dreambooth_context_free(step->context);
}

void bench_step_path(const struct bench_step *step, const char *file,
                     char *path, size_t size)
{
    snprintf(path, size, "%s/test/bench/config/%s/%s", bench_folder("SRC_DIR"),
             step->request.model, file);
}

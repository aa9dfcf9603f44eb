/* SPDX-License-Identifier: MIT */
/*
 * Text to image, end to end: the same prompt and seed must give the latents
 * that diffusers had after each step, and the same picture. The noise is drawn
 * here, by the stream that a seed means in PyTorch, not read from the record.
 */
#include "parity.h"

#include <stdio.h>
#include <string.h>

#include "file/folder.h"
#include "file/image.h"
#include "file/json.h"
#include "model/prompt.h"
#include "base/noise.h"
#include "sample/sampler.h"

#define PATH_BYTES 4096

static const struct parity_tolerance noise_tolerance = {1e-5, 0, 0};
static const struct parity_tolerance context_tolerance = {0, 2e-5, 0};
static const struct parity_tolerance latents_tolerance = {0, 2e-4, 0};
static const struct parity_tolerance image_tolerance = {1e-3, 0, 0};
static const struct parity_tolerance pixel_tolerance = {1, 0, 0};

/* Classes that have a sampler of ours. */
static const struct {
    const char *class_name;
    int sampler;
} classes[] = {
    {"DDPMScheduler", DB_SAMPLER_DDPM},
    {"DDIMScheduler", DB_SAMPLER_DDIM},
    {"PNDMScheduler", DB_SAMPLER_PNDM},
    {"EulerAncestralDiscreteScheduler", DB_SAMPLER_EULER_ANCESTRAL},
};

/* A case at work. */
struct subject {
    struct parity *p;
    const char *name;
    const json_t *facts;
    struct db_safetensors *file;
    struct db_pipeline *pipeline;
    struct db_sampler_settings settings;
    const char *vocabulary; /* for a model that has none of its own */
    int64_t first;          /* image of the case that the sampler begins with */
};

static const struct db_safetensors_entry *find(const struct subject *subject,
                                               const char *name)
{
    const struct db_safetensors_entry *entry =
        db_safetensors_find(subject->file, name);

    if (entry == NULL || entry->dtype != DB_F32)
        parity_fail(subject->p, "%s is missing", name);
    return entry;
}

/* GOT [count, h, w, c] against planes [count, c, h, w] from OFFSET on. */
static void compare_planes(const struct subject *subject, const char *what,
                           const struct db_tensor *got,
                           const struct db_safetensors_entry *want,
                           int64_t offset, struct parity_tolerance tolerance)
{
    const int64_t *size = got->shape.size;
    int64_t count = db_tensor_count(got);
    float *planes =
        db_alloc_array(subject->p->env, 2 * (size_t)count, sizeof(*planes));

    if (planes == NULL || offset + count > want->count) {
        parity_fail(subject->p, "%s has another size", what);
    } else {
        db_nhwc_to_nchw(db_tensor_f32(got), size[0], size[1], size[2], size[3],
                        planes);
        memcpy(planes + count,
               (const float *)parity_data(subject->p, want) + offset,
               (size_t)count * sizeof(*planes));
        parity_compare(subject->p, what, planes, planes + count, count,
                       tolerance);
    }
    db_free(subject->p->env, planes);
}

/* The latents after each call of the UNet. */
static int compare_run(const struct subject *subject,
                       struct db_sampler *sampler)
{
    const struct db_safetensors_entry *want = find(subject, "latents");
    double deviation = json_number_value(json_object_get(
        json_object_get(subject->facts, "f64_dev"), "last_latents"));
    int64_t steps, per_step, call;
    char what[32];

    if (want == NULL)
        return DREAMBOOTH_OK;
    steps = want->shape[0];
    per_step = want->count / steps;
    if (db_sampler_step_count(sampler) != steps)
        parity_fail(subject->p, "%lld calls of the UNet, wanted %lld",
                    (long long)db_sampler_step_count(sampler),
                    (long long)steps);
    for (call = 0; call < steps; call++) {
        const struct db_tensor *latents;
        int status = db_sampler_step(sampler);

        if (status != DREAMBOOTH_OK)
            return status;
        latents = db_sampler_latents(sampler, NULL);
        snprintf(what, sizeof(what), "latents %lld", (long long)call);
        compare_planes(subject, what, latents, want,
                       call * per_step +
                           subject->first * (per_step / want->shape[1]),
                       parity_no_finer(latents_tolerance, deviation));
    }
    return DREAMBOOTH_OK;
}

/* The pictures as floats, from the last latents. */
static int compare_floats(const struct subject *subject,
                          const struct db_sampler *sampler)
{
    const struct db_safetensors_entry *want = find(subject, "image");
    const struct db_tensor *latents = db_sampler_latents(sampler, NULL);
    float factor = (float)subject->pipeline->vae->config.scaling_factor;
    struct db_tape tape;
    struct db_var *z;
    int64_t i;
    int status;

    if (want == NULL)
        return DREAMBOOTH_OK;
    db_tape_init(&tape, subject->p->device, false);
    z = db_var_empty(&tape, &latents->shape);
    for (i = 0; z != NULL && i < db_tensor_count(latents); i++)
        db_tensor_f32(z->data)[i] = db_tensor_f32(latents)[i] / factor;
    z = db_vae_decode(&tape, subject->pipeline->vae, z, NULL);
    status = tape.status;
    for (i = 0; z != NULL && i < db_tensor_count(z->data); i++) {
        float value = db_tensor_f32(z->data)[i] / 2 + 0.5f;

        db_tensor_f32(z->data)[i] = value < 0 ? 0 : value > 1 ? 1 : value;
    }
    if (z != NULL)
        compare_planes(subject, "image", z->data, want,
                       subject->first * (want->count / want->shape[0]),
                       image_tolerance);
    db_drop(z);
    db_tape_clear(&tape);
    return status;
}

/* Pixel by pixel, as numbers, so that the error is told in levels. */
static int compare_png(const struct subject *subject,
                       const struct db_image *got, const char *path)
{
    struct db_image *want = NULL;
    struct db_env *env = subject->p->env;
    size_t size = db_image_size(got);
    float *levels;
    size_t i;
    int status = db_image_read(env, path, &want);

    if (status != DREAMBOOTH_OK)
        return status;
    levels = db_alloc_array(env, 2 * size, sizeof(*levels));
    if (want->width != got->width || want->height != got->height) {
        parity_fail(subject->p, "%s has another size", path);
    } else if (levels != NULL) {
        for (i = 0; i < size; i++) {
            levels[i] = got->pixels[i];
            levels[size + i] = want->pixels[i];
        }
        parity_compare(subject->p, "png", levels, levels + size, (int64_t)size,
                       pixel_tolerance);
    }
    if (levels == NULL)
        status = env->error_status;
    db_free(env, levels);
    db_image_free(env, want);
    return status;
}

static int compare_images(const struct subject *subject,
                          const struct db_sampler *sampler)
{
    int64_t i;

    for (i = 0; i < subject->settings.count; i++) {
        char path[PATH_BYTES];
        int status;

        snprintf(path, sizeof(path), "%s/pipeline/%s.%lld.png",
                 subject->p->directory, subject->name,
                 (long long)(subject->first + i));
        status = compare_png(subject, db_sampler_image(sampler, i), path);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

/* The first draw: what seed and order give before anything is computed. */
static void compare_noise(const struct subject *subject)
{
    const struct db_safetensors_entry *want = find(subject, "initial_noise");
    struct db_noise noise;
    int64_t size, i;
    float *drawn;

    if (want == NULL)
        return;
    size = want->count / want->shape[0];
    drawn = db_alloc_array(subject->p->env, (size_t)size, sizeof(*drawn));
    for (i = 0; drawn != NULL && i < subject->settings.count; i++) {
        db_noise_init(&noise, DB_NOISE_TORCH,
                      (uint64_t)(subject->settings.seed + i));
        db_noise_normal(&noise, DB_RANDOM_SAMPLE_LATENTS, 0, 0, 1, size, drawn);
        parity_compare(subject->p, "noise", drawn,
                       (const float *)parity_data(subject->p, want) +
                           (subject->first + i) * size,
                       size, noise_tolerance);
    }
    db_free(subject->p->env, drawn);
}

/* The encoded prompts: unconditional rows first. */
static int compare_context(const struct subject *subject)
{
    const struct db_safetensors_entry *want = find(subject, "context");
    const struct db_sampler_settings *settings = &subject->settings;
    bool guided = settings->guidance_scale > 1;
    const char *texts[2] = {settings->negative_prompt, settings->prompt};
    int64_t rows, i;

    if (want == NULL)
        return DREAMBOOTH_OK;
    rows = want->shape[0];
    for (i = guided ? 0 : 1; i < 2; i++) {
        struct db_tensor *context;
        int64_t row = i == 0 ? 0 : rows - 1;
        int status = db_prompt_encode(subject->p->device, subject->pipeline,
                                      texts[i], &context);

        if (status != DREAMBOOTH_OK)
            return status;
        parity_compare(subject->p, i == 0 ? "negative context" : "context",
                       db_tensor_f32(context),
                       (const float *)parity_data(subject->p, want) +
                           row * (want->count / rows),
                       want->count / rows, context_tolerance);
        db_tensor_release(context);
    }
    return DREAMBOOTH_OK;
}

/* One sampler's images, all of the case's or a part of them. */
static int run_sampler(const struct subject *subject)
{
    struct db_sampler *sampler = NULL;
    int status = compare_context(subject);

    compare_noise(subject);
    if (status == DREAMBOOTH_OK)
        status = db_sampler_new(subject->p->device, subject->pipeline,
                                &subject->settings, &sampler);
    if (status == DREAMBOOTH_OK)
        status = compare_run(subject, sampler);
    if (status == DREAMBOOTH_OK)
        status = compare_floats(subject, sampler);
    if (status == DREAMBOOTH_OK)
        status = compare_images(subject, sampler);
    db_sampler_free(sampler);
    return status;
}

/* A list of seeds is one generator for each image; a run of numbers is what our
 * batches have, others are sampled one by one. */
static int run_seeds(struct subject *subject)
{
    const json_t *seed = json_object_get(subject->facts, "seed");
    int64_t count = json_is_array(seed) ? (int64_t)json_array_size(seed) : 1;
    bool in_a_row = true;
    int64_t i;

    if (!json_is_array(seed)) {
        subject->settings.seed = json_integer_value(seed);
        return run_sampler(subject);
    }
    subject->settings.seed = json_integer_value(json_array_get(seed, 0));
    for (i = 1; i < count; i++) {
        if (json_integer_value(json_array_get(seed, (size_t)i)) !=
            subject->settings.seed + i)
            in_a_row = false;
    }
    if (in_a_row) {
        subject->settings.count = subject->settings.batch = count;
        return run_sampler(subject);
    }
    for (i = 0; i < count; i++) {
        int status;

        subject->first = i;
        subject->settings.seed =
            json_integer_value(json_array_get(seed, (size_t)i));
        status = run_sampler(subject);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

static int read_settings(struct subject *subject, int sampler)
{
    struct db_json_reader reader = {subject->p->env, "cases.json",
                                    subject->facts};
    struct db_sampler_settings *settings = &subject->settings;
    const char *prompt = NULL, *negative = NULL;
    int64_t size[2] = {0, 0};
    size_t sides = 0;
    int status = db_options_init(reader.env, &db_sampler_options, settings);

    if (status == DREAMBOOTH_OK)
        status = db_json_get_text(&reader, "prompt", DB_JSON_REQUIRED, &prompt);
    if (status == DREAMBOOTH_OK)
        status =
            db_json_get_text(&reader, "negative", DB_JSON_OPTIONAL, &negative);
    if (status == DREAMBOOTH_OK)
        status = db_options_set(reader.env, &db_sampler_options, settings,
                                "prompt", prompt);
    if (status == DREAMBOOTH_OK)
        status = db_options_set(reader.env, &db_sampler_options, settings,
                                "negative-prompt", negative);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_integer(&reader, "steps", DB_JSON_REQUIRED,
                                     &settings->steps);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_real(&reader, "guidance", DB_JSON_REQUIRED,
                                  &settings->guidance_scale);
    if (status == DREAMBOOTH_OK)
        status =
            db_json_get_real(&reader, "eta", DB_JSON_OPTIONAL, &settings->eta);
    if (status == DREAMBOOTH_OK)
        status = db_json_get_integers(&reader, "size", DB_JSON_REQUIRED, size,
                                      2, &sides);
    settings->height = size[0];
    settings->width = size[1];
    settings->sampler = sampler;
    settings->rng = DB_NOISE_TORCH;
    return status;
}

/* Is there a vocabulary in the model's folder? */
static bool has_tokenizer(const struct parity *p, const char *model)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/models/%s/tokenizer/vocab.json",
             p->directory, model);
    return db_path_is_file(path);
}

/* The pipeline with the case's scheduler in the place of its own. */
static int open_pipeline(struct subject *subject, const char *model)
{
    struct db_env *env = subject->p->env;
    char path[PATH_BYTES];
    char *text = NULL;
    int status;

    snprintf(path, sizeof(path), "%s/models/%s", subject->p->directory, model);
    if (has_tokenizer(subject->p, model))
        status = db_pipeline_open(env, path, &subject->pipeline);
    else
        status = db_pipeline_open_vocabulary(env, path, subject->vocabulary,
                                             &subject->pipeline);
    if (status == DREAMBOOTH_OK)
        status = db_json_text(
            env, json_object_get(subject->facts, "scheduler_config"), &text);
    if (status != DREAMBOOTH_OK)
        return status;
    db_free(env, subject->pipeline->scheduler_config);
    subject->pipeline->scheduler_config = text;
    return DREAMBOOTH_OK;
}

static void run_case(struct parity *p, const char *name, const char *model,
                     const json_t *facts, int sampler, const char *vocabulary)
{
    struct subject subject = {
        .p = p, .name = name, .facts = facts, .vocabulary = vocabulary};
    char path[PATH_BYTES];
    int status;

    parity_begin(p, "pipeline/%s", name);
    snprintf(path, sizeof(path), "%s/pipeline/%s.safetensors", p->directory,
             name);
    status = db_safetensors_open(p->env, path, &subject.file);
    if (status == DREAMBOOTH_OK)
        status = open_pipeline(&subject, model);
    if (status == DREAMBOOTH_OK)
        status = read_settings(&subject, sampler);
    if (status == DREAMBOOTH_OK)
        status = run_seeds(&subject);
    if (status != DREAMBOOTH_OK)
        parity_fail(p, "%s", p->env->error_text);
    db_options_release(p->env, &db_sampler_options, &subject.settings);
    db_pipeline_free(subject.pipeline);
    db_safetensors_free(subject.file);
    parity_end(p);
}

/* Why a case is not for us, or NULL; *SAMPLER is ours for it. */
static const char *why_not(const char *vocabulary, const json_t *facts,
                           const char *name, const char *model,
                           const char *scheduler, int *sampler)
{
    size_t i;

    if (name == NULL || model == NULL || scheduler == NULL)
        return "without name, model or scheduler";
    if (strstr(model, "xl") != NULL)
        return "two text encoders: a later issue";
    if (vocabulary == NULL)
        return "no model has a vocabulary";
    if (json_number_value(json_object_get(facts, "guidance_rescale")) != 0)
        return "guidance_rescale: a later issue";
    if (json_integer_value(json_object_get(facts, "images")) > 1 &&
        !json_is_array(json_object_get(facts, "seed")))
        return "one generator for several images";
    for (i = 0; i < DB_COUNT(classes); i++) {
        if (strcmp(classes[i].class_name, scheduler) == 0) {
            *sampler = classes[i].sampler;
            return NULL;
        }
    }
    return "another scheduler: a later issue";
}

static int load_cases(struct parity *p, json_t **out)
{
    char path[PATH_BYTES];
    json_error_t error;

    snprintf(path, sizeof(path), "%s/pipeline/cases.json", p->directory);
    *out = json_load_file(path, 0, &error);
    if (*out == NULL)
        return db_fail(p->env, DREAMBOOTH_EFORMAT, "%s: %s", path, error.text);
    return DREAMBOOTH_OK;
}

void parity_pipeline(struct parity *p)
{
    json_t *cases = NULL;
    json_t *facts;
    char *vocabulary;
    size_t i;

    if (load_cases(p, &cases) != DREAMBOOTH_OK) {
        parity_begin(p, "pipeline");
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
        return;
    }
    vocabulary = parity_find_vocabulary(p);
    json_array_foreach(cases, i, facts)
    {
        const char *name = json_string_value(json_object_get(facts, "name"));
        const char *model = json_string_value(json_object_get(facts, "model"));
        int sampler = DB_SAMPLER_AUTO;
        const char *reason = why_not(
            vocabulary, facts, name, model,
            json_string_value(json_object_get(facts, "scheduler")), &sampler);
        char title[160];

        snprintf(title, sizeof(title), "pipeline/%s",
                 name != NULL ? name : "?");
        if (reason != NULL)
            parity_skip(p, title, reason);
        else
            run_case(p, name, model, facts, sampler, vocabulary);
    }
    db_free(p->env, vocabulary);
    json_decref(cases);
}

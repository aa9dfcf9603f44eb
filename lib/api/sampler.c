/* SPDX-License-Identifier: MIT */
/*
 * The sampler's handle: settings until the first step, then a running sampler
 * with the identifier in its prompts.
 */
#include "api/handle_int.h"

#include <string.h>

#include "file/png.h"
#include "sample/sampler.h"
#include "text/prompt.h"

struct sampler_facts {
    int64_t step, total;
};

struct dreambooth_sampler {
    dreambooth_model *model;
    struct db_env *env;
    struct db_sampler_settings settings;
    struct db_sampler *running; /* NULL before the first step */
    char *text;
};

static const struct db_fact facts[] = {
    {"step", DB_FACT_INTEGER, offsetof(struct sampler_facts, step), NULL,
     "calls of the UNet that were made"},
    {"total-steps", DB_FACT_INTEGER, offsetof(struct sampler_facts, total),
     NULL, "calls of the UNet that all images take"},
};

const struct db_fact_table db_sampler_facts = {facts, DB_COUNT(facts)};

int dreambooth_sampler_new(dreambooth_sampler **out, dreambooth_model *model)
{
    struct db_env *env = &model->context->env;
    dreambooth_sampler *sampler;
    int status = db_model_check_whole(model);

    if (status != DREAMBOOTH_OK)
        return status;
    sampler = db_alloc_zero(env, sizeof(*sampler));
    if (sampler == NULL)
        return env->error_status;
    sampler->env = env;
    status = db_options_init(env, &db_sampler_options, &sampler->settings);
    if (status != DREAMBOOTH_OK) {
        db_free(env, sampler);
        return status;
    }
    sampler->model = db_model_hold(model);
    *out = sampler;
    return DREAMBOOTH_OK;
}

void dreambooth_sampler_free(dreambooth_sampler *sampler)
{
    dreambooth_model *model;
    struct db_env *env;

    if (sampler == NULL)
        return;
    model = sampler->model;
    env = sampler->env;
    db_sampler_free(sampler->running);
    db_options_release(env, &db_sampler_options, &sampler->settings);
    db_free(env, sampler->text);
    db_free(env, sampler);
    dreambooth_model_free(model);
}

static int check_idle(const dreambooth_sampler *sampler)
{
    if (sampler->running == NULL)
        return DREAMBOOTH_OK;
    return db_fail(sampler->env, DREAMBOOTH_ESTATE,
                   "options cannot change once the sampler has started; make "
                   "another sampler");
}

int dreambooth_sampler_set(dreambooth_sampler *sampler, const char *name,
                           const char *value)
{
    int status = check_idle(sampler);

    return status != DREAMBOOTH_OK
               ? status
               : db_options_set(sampler->env, &db_sampler_options,
                                &sampler->settings, name, value);
}

int dreambooth_sampler_set_integer(dreambooth_sampler *sampler,
                                   const char *name, int64_t value)
{
    int status = check_idle(sampler);

    return status != DREAMBOOTH_OK
               ? status
               : db_options_set_integer(sampler->env, &db_sampler_options,
                                        &sampler->settings, name, value);
}

int dreambooth_sampler_set_double(dreambooth_sampler *sampler, const char *name,
                                  double value)
{
    int status = check_idle(sampler);

    return status != DREAMBOOTH_OK
               ? status
               : db_options_set_real(sampler->env, &db_sampler_options,
                                     &sampler->settings, name, value);
}

static struct db_subject subject_of(const dreambooth_sampler *sampler,
                                    struct sampler_facts *now)
{
    const struct db_sampler_settings *settings = &sampler->settings;

    *now = (struct sampler_facts){0};
    if (sampler->running != NULL) {
        now->step = db_sampler_step_number(sampler->running);
        now->total = db_sampler_step_count(sampler->running);
        settings = db_sampler_settings_of(sampler->running);
    }
    return (struct db_subject){.env = sampler->env,
                               .facts = &db_sampler_facts,
                               .fact_base = now,
                               .table = &db_sampler_options,
                               .settings = settings};
}

int dreambooth_sampler_get_text(dreambooth_sampler *sampler, const char *name,
                                const char **out)
{
    struct sampler_facts now;
    struct db_subject subject = subject_of(sampler, &now);

    return db_subject_text(&subject, name, &sampler->text, out);
}

int dreambooth_sampler_get_integer(dreambooth_sampler *sampler,
                                   const char *name, int64_t *out)
{
    struct sampler_facts now;
    struct db_subject subject = subject_of(sampler, &now);

    return db_subject_integer(&subject, name, out);
}

int dreambooth_sampler_get_double(dreambooth_sampler *sampler, const char *name,
                                  double *out)
{
    struct sampler_facts now;
    struct db_subject subject = subject_of(sampler, &now);

    return db_subject_real(&subject, name, out);
}

/* SETTINGS with the model's identifier in their prompts. */
static int fill_prompts(dreambooth_sampler *sampler,
                        struct db_sampler_settings *settings)
{
    const char *identifier =
        db_pipeline_get(sampler->model->pipeline, "identifier");
    char *prompt = NULL, *negative = NULL;
    int status;

    if (identifier == NULL && settings->prompt != NULL &&
        db_prompt_has_place_holder(settings->prompt))
        db_log(sampler->env, DB_LOG_INFO,
               "the model has no identifier recorded: [V] is taken as written");
    status =
        db_fill_prompt(sampler->env, settings->prompt, identifier, &prompt);
    if (status == DREAMBOOTH_OK)
        status = db_fill_prompt(sampler->env, settings->negative_prompt,
                                identifier, &negative);
    if (status != DREAMBOOTH_OK) {
        db_free(sampler->env, prompt);
        return status;
    }
    settings->prompt = prompt;
    settings->negative_prompt = negative;
    return DREAMBOOTH_OK;
}

/* Over the limit it is better to say so now than to stop in the middle. */
static int check_memory(const dreambooth_sampler *sampler,
                        const struct db_sampler *made)
{
    const struct db_sampler_settings *settings = db_sampler_settings_of(made);
    struct db_env *env = sampler->env;
    uint64_t needed = atomic_load(&env->live_bytes) + db_sampler_memory(made);

    if (env->limit_bytes == 0 || needed <= env->limit_bytes)
        return DREAMBOOTH_OK;
    return db_fail(env, DREAMBOOTH_ELIMIT,
                   "sampling %lld x %lld pixels needs about %.1f MB of memory "
                   "and the limit is %.1f MB; raise it, or lower size or batch",
                   (long long)settings->width, (long long)settings->height,
                   (double)needed / 1e6, (double)env->limit_bytes / 1e6);
}

static int start(dreambooth_sampler *sampler)
{
    struct db_sampler_settings settings = sampler->settings;
    struct db_sampler *made = NULL;
    int status;

    if (sampler->running != NULL)
        return DREAMBOOTH_OK;
    status = fill_prompts(sampler, &settings);
    if (status != DREAMBOOTH_OK)
        return status;
    status = db_sampler_new(&sampler->model->device, sampler->model->pipeline,
                            &settings, &made);
    db_free(sampler->env, settings.prompt);
    db_free(sampler->env, settings.negative_prompt);
    if (status == DREAMBOOTH_OK)
        status = check_memory(sampler, made);
    if (status != DREAMBOOTH_OK) {
        db_sampler_free(made);
        return status;
    }
    sampler->running = made;
    return DREAMBOOTH_OK;
}

int dreambooth_sampler_step(dreambooth_sampler *sampler)
{
    int status = start(sampler);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_sampler_step(sampler->running);
    if (status == DREAMBOOTH_OK && db_sampler_step_number(sampler->running) ==
                                       db_sampler_step_count(sampler->running))
        return DREAMBOOTH_DONE;
    return status;
}

int dreambooth_sampler_run(dreambooth_sampler *sampler)
{
    int status;

    do {
        status = dreambooth_sampler_step(sampler);
        if (sampler->running != NULL)
            db_context_progress(sampler->model->context, "sampling",
                                db_sampler_step_number(sampler->running),
                                db_sampler_step_count(sampler->running));
    } while (status == DREAMBOOTH_OK);
    return status == DREAMBOOTH_DONE ? DREAMBOOTH_OK : status;
}

static int not_finished(const dreambooth_sampler *sampler, size_t index)
{
    return db_fail(sampler->env, DREAMBOOTH_ESTATE, "image %zu is not finished",
                   index);
}

int dreambooth_sampler_image(dreambooth_image **out,
                             dreambooth_sampler *sampler, size_t index)
{
    const struct db_image *image =
        sampler->running == NULL
            ? NULL
            : db_sampler_image(sampler->running, (int64_t)index);
    struct db_image *copy;
    int status;

    if (image == NULL)
        return not_finished(sampler, index);
    status = db_image_new(sampler->env, image->width, image->height, &copy);
    if (status != DREAMBOOTH_OK)
        return status;
    memcpy(copy->pixels, image->pixels, db_image_size(image));
    return db_image_wrap(sampler->model->context, copy, out);
}

static int not_begun(const dreambooth_sampler *sampler)
{
    return db_fail(sampler->env, DREAMBOOTH_ESTATE,
                   "there is nothing to see before the first step");
}

int dreambooth_sampler_preview(dreambooth_image **out,
                               dreambooth_sampler *sampler, size_t index)
{
    struct db_image *image;
    int status;

    if (sampler->running == NULL ||
        db_sampler_latents(sampler->running, NULL) == NULL)
        return not_begun(sampler);
    status = db_sampler_preview(sampler->running, (int64_t)index, &image);
    return status != DREAMBOOTH_OK
               ? status
               : db_image_wrap(sampler->model->context, image, out);
}

int dreambooth_sampler_write(dreambooth_sampler *sampler, size_t index,
                             const char *path)
{
    int status = db_check_given(sampler->env, path, "path");

    if (status != DREAMBOOTH_OK)
        return status;
    if (sampler->running == NULL)
        return not_finished(sampler, index);
    return db_sampler_save_image(sampler->running, (int64_t)index, path);
}

int dreambooth_sampler_latents(dreambooth_sampler *sampler, int64_t shape[4],
                               float *values, size_t capacity)
{
    const struct db_tensor *latents = NULL;
    const int64_t *size;
    float *all;

    if (sampler->running != NULL)
        latents = db_sampler_latents(sampler->running, NULL);
    if (latents == NULL)
        return not_begun(sampler);
    size = latents->shape.size;
    if (capacity > 0) {
        size_t count = (size_t)db_tensor_count(latents);

        all = db_alloc_array(sampler->env, count, sizeof(*all));
        if (all == NULL)
            return sampler->env->error_status;
        db_nhwc_to_nchw(db_tensor_f32(latents), size[0], size[1], size[2],
                        size[3], all);
        memcpy(values, all,
               (count < capacity ? count : capacity) * sizeof(*all));
        db_free(sampler->env, all);
    }
    shape[0] = size[0];
    shape[1] = size[3];
    shape[2] = size[1];
    shape[3] = size[2];
    return DREAMBOOTH_OK;
}

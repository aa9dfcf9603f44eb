/* SPDX-License-Identifier: MIT */
/*
 * A sampler's life: settings are completed and checked and prompts encoded when
 * it is made; then batch after batch is denoised, decoded and kept.
 */
#include "sample/sampler_int.h"

#include <string.h>

#include "diffusion/schedule_config.h"
#include "model/prompt.h"

static int check_model(struct db_env *env, const struct db_pipeline *pipeline)
{
    const struct db_unet_config *unet = &pipeline->unet->config;
    const struct db_vae_config *vae = &pipeline->vae->config;

    if (unet->in_channels != vae->latent_channels ||
        unet->out_channels != vae->latent_channels)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "the UNet takes %lld channels and gives %lld, the VAE "
                       "has %lld: not a text-to-image model",
                       (long long)unet->in_channels,
                       (long long)unet->out_channels,
                       (long long)vae->latent_channels);
    if (vae->out_channels != 3)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "the VAE makes images of %lld channels, not 3",
                       (long long)vae->out_channels);
    return DREAMBOOTH_OK;
}

static int fit_side(struct db_env *env, const char *name, int64_t side,
                    int64_t factor)
{
    int64_t low = side / factor * factor;
    int64_t high = low + factor;

    if (side >= 1 && side % factor == 0 && side <= DB_IMAGE_MAX_SIDE)
        return DREAMBOOTH_OK;
    if (side > DB_IMAGE_MAX_SIDE)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "%s of %lld pixels is too large: at most %d", name,
                       (long long)side, DB_IMAGE_MAX_SIDE);
    if (low < factor)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "%s of %lld pixels does not fit the model, which takes "
                       "multiples of %lld: try %lld",
                       name, (long long)side, (long long)factor,
                       (long long)high);
    return db_fail(env, DREAMBOOTH_EINVAL,
                   "%s of %lld pixels does not fit the model, which takes "
                   "multiples of %lld: try %lld or %lld",
                   name, (long long)side, (long long)factor,
                   (long long)(side - low <= high - side ? low : high),
                   (long long)(side - low <= high - side ? high : low));
}

/* Fills in width and height, and what of them the latents have. */
static int complete_size(struct db_sampler *sampler)
{
    const struct db_pipeline *pipeline = sampler->pipeline;
    struct db_sampler_settings *settings = &sampler->settings;
    int64_t factor = pipeline->vae->factor;
    int64_t size = settings->size;
    int status;

    if (size == 0)
        size = pipeline->unet->config.sample_size * factor;
    if (size == 0)
        size = pipeline->vae->config.sample_size;
    if (settings->width == 0)
        settings->width = size;
    if (settings->height == 0)
        settings->height = size;
    status = fit_side(sampler->env, "width", settings->width, factor);
    if (status == DREAMBOOTH_OK)
        status = fit_side(sampler->env, "height", settings->height, factor);
    if (status != DREAMBOOTH_OK)
        return status;
    if (settings->width * settings->height > DB_IMAGE_MAX_PIXELS)
        return db_fail(sampler->env, DREAMBOOTH_EINVAL,
                       "an image of %lld x %lld pixels is too large",
                       (long long)settings->width, (long long)settings->height);
    sampler->width = settings->width / factor;
    sampler->height = settings->height / factor;
    sampler->channels = pipeline->vae->config.latent_channels;
    return DREAMBOOTH_OK;
}

/* Fills in the sampler, whose kinds have the numbers of the choices behind
 * AUTO. */
static void complete_kind(struct db_sampler *sampler)
{
    struct db_sampler_settings *settings = &sampler->settings;

    if (settings->sampler == DB_SAMPLER_AUTO) {
        const char *class_name = sampler->pipeline->scheduler_class;

        if (class_name == NULL ||
            !db_stepper_find_class(class_name, &sampler->kind))
            sampler->kind = DB_STEPPER_PNDM;
        settings->sampler = (int)sampler->kind + DB_SAMPLER_DDPM;
    }
    sampler->kind = (enum db_stepper_kind)(settings->sampler - DB_SAMPLER_DDPM);
}

/* How often a batch calls the UNet: asked of a stepper that is made for it. */
static int count_calls(struct db_sampler *sampler)
{
    struct db_stepper_settings settings = {.steps = sampler->settings.steps,
                                           .eta = sampler->settings.eta};
    struct db_stepper *stepper;
    int status = db_stepper_new(sampler->env, sampler->kind, &sampler->config,
                                &settings, 1, 1, &stepper);

    if (status != DREAMBOOTH_OK)
        return status;
    sampler->calls = db_stepper_calls(stepper);
    db_stepper_free(stepper);
    return DREAMBOOTH_OK;
}

/* The text encoder leaves memory afterwards. */
static int encode_prompts(struct db_sampler *sampler)
{
    const struct db_sampler_settings *settings = &sampler->settings;
    int status = db_prompt_encode(sampler->device, sampler->pipeline,
                                  settings->prompt, &sampler->prompt);

    if (status == DREAMBOOTH_OK && sampler->guided)
        status =
            db_prompt_encode(sampler->device, sampler->pipeline,
                             settings->negative_prompt, &sampler->negative);
    db_params_forget(db_pipeline_params(sampler->pipeline, DB_TEXT_ENCODER));
    return status;
}

/* What db_sampler_new() does once there is something to free. */
static int set_up(struct db_sampler *sampler,
                  const struct db_sampler_settings *settings)
{
    struct db_env *env = sampler->env;
    const char *text = sampler->pipeline->scheduler_config;
    int status;

    status = db_options_init(env, &db_sampler_options, &sampler->settings);
    if (status == DREAMBOOTH_OK)
        status = db_options_copy(env, &db_sampler_options, &sampler->settings,
                                 settings);
    if (status == DREAMBOOTH_OK)
        status = check_model(env, sampler->pipeline);
    if (status == DREAMBOOTH_OK)
        status = complete_size(sampler);
    if (status == DREAMBOOTH_OK)
        status = db_schedule_config_read(env, "scheduler_config.json",
                                         text != NULL ? text : "{}",
                                         &sampler->config);
    if (status != DREAMBOOTH_OK)
        return status;
    complete_kind(sampler);
    sampler->guided = sampler->settings.guidance_scale > 1;
    sampler->images =
        db_alloc_zero(env, (size_t)sampler->settings.count * sizeof(void *));
    if (sampler->images == NULL)
        return env->error_status;
    status = count_calls(sampler);
    if (status == DREAMBOOTH_OK)
        status = encode_prompts(sampler);
    return status;
}

int db_sampler_new(struct db_device *device, const struct db_pipeline *pipeline,
                   const struct db_sampler_settings *settings,
                   struct db_sampler **out)
{
    struct db_env *env = device->env;
    struct db_sampler *sampler = db_alloc_zero(env, sizeof(*sampler));
    int status;

    if (sampler == NULL)
        return env->error_status;
    sampler->env = env;
    sampler->device = device;
    sampler->pipeline = pipeline;
    status = set_up(sampler, settings);
    if (status != DREAMBOOTH_OK) {
        db_sampler_free(sampler);
        return status;
    }
    *out = sampler;
    return DREAMBOOTH_OK;
}

void db_sampler_free(struct db_sampler *sampler)
{
    struct db_env *env;
    int64_t i;

    if (sampler == NULL)
        return;
    env = sampler->env;
    for (i = 0; sampler->images != NULL && i < sampler->settings.count; i++)
        db_image_free(env, sampler->images[i]);
    db_free(env, sampler->images);
    db_sampler_batch_free(env, &sampler->batch);
    db_tensor_release(sampler->prompt);
    db_tensor_release(sampler->negative);
    db_schedule_config_release(env, &sampler->config);
    db_options_release(env, &db_sampler_options, &sampler->settings);
    db_free(env, sampler);
    db_return_blocks(env);
}

/* Decodes the batch's images one by one, which bounds the memory. */
static int finish_batch(struct db_sampler *sampler)
{
    struct db_sampler_batch *batch = &sampler->batch;

    while (batch->decoded < batch->count) {
        struct db_image *image = NULL;
        int status = db_sampler_decode(sampler, batch->decoded, &image);

        if (status != DREAMBOOTH_OK)
            return status;
        sampler->images[sampler->finished++] = image;
        batch->decoded++;
    }
    return DREAMBOOTH_OK;
}

static bool batch_is_over(const struct db_sampler *sampler)
{
    return sampler->batch.decoded == sampler->batch.count;
}

int db_sampler_step(struct db_sampler *sampler)
{
    int status = db_check_cancelled(sampler->env);

    if (status != DREAMBOOTH_OK)
        return status;
    if (sampler->finished == sampler->settings.count)
        return DREAMBOOTH_DONE;
    if (batch_is_over(sampler)) {
        struct db_sampler_batch next;

        status = db_sampler_batch_begin(sampler, sampler->finished, &next);
        if (status != DREAMBOOTH_OK)
            return status;
        db_sampler_batch_free(sampler->env, &sampler->batch);
        sampler->batch = next;
    }
    if (sampler->batch.call < sampler->calls)
        status = db_sampler_batch_step(sampler);
    if (status == DREAMBOOTH_OK && sampler->batch.call == sampler->calls)
        status = finish_batch(sampler);
    return status;
}

int db_sampler_run(struct db_sampler *sampler)
{
    int status;

    do
        status = db_sampler_step(sampler);
    while (status == DREAMBOOTH_OK);
    return status == DREAMBOOTH_DONE ? DREAMBOOTH_OK : status;
}

int64_t db_sampler_step_number(const struct db_sampler *sampler)
{
    return sampler->batch.first / sampler->settings.batch * sampler->calls +
           sampler->batch.call;
}

int64_t db_sampler_step_count(const struct db_sampler *sampler)
{
    const struct db_sampler_settings *settings = &sampler->settings;

    return (settings->count + settings->batch - 1) / settings->batch *
           sampler->calls;
}

int64_t db_sampler_image_count(const struct db_sampler *sampler)
{
    return sampler->finished;
}

const struct db_image *db_sampler_image(const struct db_sampler *sampler,
                                        int64_t index)
{
    if (index < 0 || index >= sampler->finished)
        return NULL;
    return sampler->images[index];
}

const struct db_tensor *db_sampler_latents(const struct db_sampler *sampler,
                                           int64_t *first)
{
    if (first != NULL)
        *first = sampler->batch.first;
    return sampler->batch.latents;
}

int db_sampler_preview(struct db_sampler *sampler, int64_t index,
                       struct db_image **out)
{
    if (index < 0 || index >= sampler->batch.count)
        return db_fail(sampler->env, DREAMBOOTH_EINVAL,
                       "no image %lld in the current batch of %lld",
                       (long long)index, (long long)sampler->batch.count);
    return db_sampler_decode(sampler, index, out);
}

const struct db_sampler_settings *db_sampler_settings_of(
    const struct db_sampler *sampler)
{
    return &sampler->settings;
}

/* SPDX-License-Identifier: MIT */
/*
 * The denoising of one batch. Noise is drawn for each image from a source of
 * its own; a failed step changes nothing, so that it can be tried again.
 */
#include "sample/sampler_int.h"

#include <math.h>
#include <string.h>

static struct db_shape latent_shape(const struct db_sampler *sampler,
                                    int64_t images)
{
    return db_shape4(images, sampler->height, sampler->width,
                     sampler->channels);
}

static int64_t image_size(const struct db_sampler *sampler)
{
    return sampler->height * sampler->width * sampler->channels;
}

/* Normal numbers for each image of BATCH into OUT [count, h, w, c]; they come
 * in the order [c, h, w], as PyTorch would have them. */
static int draw_noise(const struct db_sampler *sampler,
                      struct db_sampler_batch *batch,
                      enum db_random_purpose purpose, int64_t step, float *out)
{
    int64_t size = image_size(sampler);
    float *planes = db_alloc_array(sampler->env, (size_t)size, sizeof(*planes));
    int64_t i;

    if (planes == NULL)
        return sampler->env->error_status;
    for (i = 0; i < batch->count; i++) {
        int64_t number = sampler->settings.first_image + batch->first + i;

        db_noise_normal(&batch->sources[i], purpose, (uint64_t)step,
                        (uint32_t)number, 1, size, planes);
        db_nchw_to_nhwc(planes, 1, sampler->channels, sampler->height,
                        sampler->width, out + i * size);
    }
    db_free(sampler->env, planes);
    return DREAMBOOTH_OK;
}

static int draw_latents(const struct db_sampler *sampler,
                        struct db_sampler_batch *batch)
{
    float *latents = db_tensor_f32(batch->latents);
    float sigma = db_stepper_init_noise_sigma(batch->stepper);
    int64_t count = db_tensor_count(batch->latents);
    int64_t i;
    int status;

    status = draw_noise(sampler, batch, DB_RANDOM_SAMPLE_LATENTS, 0, latents);
    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < count; i++)
        latents[i] *= sigma;
    return DREAMBOOTH_OK;
}

/* The sources of the batch's images: one seed for all counter streams, a seed
 * for each torch stream. */
static int make_sources(const struct db_sampler *sampler,
                        struct db_sampler_batch *batch)
{
    const struct db_sampler_settings *settings = &sampler->settings;
    uint64_t seed = (uint64_t)settings->seed;
    int64_t i;

    batch->sources = db_alloc_array(sampler->env, (size_t)batch->count,
                                    sizeof(*batch->sources));
    if (batch->sources == NULL)
        return sampler->env->error_status;
    for (i = 0; i < batch->count; i++) {
        int64_t number = settings->first_image + batch->first + i;

        db_noise_init(&batch->sources[i], (enum db_noise_kind)settings->rng,
                      settings->rng == DB_NOISE_TORCH ? seed + (uint64_t)number
                                                      : seed);
    }
    return DREAMBOOTH_OK;
}

/* Repeats the encoded prompts for each image: unconditional rows first. */
static int make_context(const struct db_sampler *sampler,
                        struct db_sampler_batch *batch)
{
    struct db_shape shape = sampler->prompt->shape;
    int64_t size = db_tensor_count(sampler->prompt);
    int64_t unconditional = sampler->guided ? batch->count : 0;
    int64_t i;
    int status;

    shape.size[0] = unconditional + batch->count;
    status = db_tensor_new(sampler->env, DB_F32, &shape, &batch->context);
    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < shape.size[0]; i++) {
        const struct db_tensor *source =
            i < unconditional ? sampler->negative : sampler->prompt;

        memcpy(db_tensor_f32(batch->context) + i * size, db_tensor_f32(source),
               (size_t)size * sizeof(float));
    }
    return DREAMBOOTH_OK;
}

/* What kernels may take for themselves meanwhile. */
#define SPARE ((uint64_t)64 << 20)

/* Forms of weights save time alone: where a limit leaves no room beside all
 * that is needed, there are none. */
static size_t room_for_forms(const struct db_sampler *sampler)
{
    const struct db_env *env = sampler->env;
    size_t size = db_unet_forms_size(sampler->pipeline->unet, sampler->device);
    uint64_t needed = atomic_load(&env->live_bytes) +
                      db_sampler_memory(sampler) + size + SPARE;

    return env->limit_bytes == 0 || needed <= env->limit_bytes ? size : 0;
}

static int make_steps(const struct db_sampler *sampler,
                      struct db_sampler_batch *batch)
{
    int status = db_unet_steps_new(sampler->env, sampler->calls, &batch->unet);
    int64_t i;

    batch->unet.forms.most = room_for_forms(sampler);
    for (i = 0; i < sampler->calls && status == DREAMBOOTH_OK; i++)
        batch->unet.timesteps[i] = db_stepper_timestep(batch->stepper, i);
    return status;
}

int db_sampler_batch_begin(struct db_sampler *sampler, int64_t first,
                           struct db_sampler_batch *out)
{
    const struct db_sampler_settings *settings = &sampler->settings;
    struct db_stepper_settings stepper_settings = {.steps = settings->steps,
                                                   .eta = settings->eta};
    struct db_sampler_batch batch = {.first = first, .noise_call = -1};
    struct db_shape shape;
    int status;

    batch.count = settings->count - first;
    if (batch.count > settings->batch)
        batch.count = settings->batch;
    shape = latent_shape(sampler, batch.count);
    status = db_stepper_new(sampler->env, sampler->kind, &sampler->config,
                            &stepper_settings, batch.count, image_size(sampler),
                            &batch.stepper);
    if (status == DREAMBOOTH_OK)
        status = make_steps(sampler, &batch);
    if (status == DREAMBOOTH_OK)
        status = make_sources(sampler, &batch);
    if (status == DREAMBOOTH_OK)
        status = make_context(sampler, &batch);
    if (status == DREAMBOOTH_OK)
        status = db_tensor_new(sampler->env, DB_F32, &shape, &batch.latents);
    if (status == DREAMBOOTH_OK)
        status = db_tensor_new(sampler->env, DB_F32, &shape, &batch.noise);
    if (status == DREAMBOOTH_OK)
        status = draw_latents(sampler, &batch);
    if (status != DREAMBOOTH_OK) {
        db_sampler_batch_free(sampler->env, &batch);
        return status;
    }
    *out = batch;
    return DREAMBOOTH_OK;
}

void db_sampler_batch_free(struct db_env *env, struct db_sampler_batch *batch)
{
    db_stepper_free(batch->stepper);
    db_unet_steps_release(&batch->unet);
    db_free(env, batch->sources);
    db_tensor_release(batch->latents);
    db_tensor_release(batch->noise);
    db_tensor_release(batch->context);
    memset(batch, 0, sizeof(*batch));
}

/* The UNet's input: the scaled latents, twice with guidance. */
static int make_input(const struct db_sampler *sampler, struct db_tensor **out)
{
    const struct db_sampler_batch *batch = &sampler->batch;
    int64_t count = db_tensor_count(batch->latents);
    struct db_shape shape =
        latent_shape(sampler, batch->count * (sampler->guided ? 2 : 1));
    struct db_tensor *input;
    int status = db_tensor_new(sampler->env, DB_F32, &shape, &input);

    if (status != DREAMBOOTH_OK)
        return status;
    db_stepper_scale_input(batch->stepper, batch->call,
                           db_tensor_f32(batch->latents), db_tensor_f32(input));
    if (sampler->guided)
        memcpy(db_tensor_f32(input) + count, db_tensor_f32(input),
               (size_t)count * sizeof(float));
    *out = input;
    return DREAMBOOTH_OK;
}

/* The UNet's output for the current latents, [rows, h, w, c]. */
static int predict(struct db_sampler *sampler, struct db_tensor **out)
{
    struct db_sampler_batch *batch = &sampler->batch;
    struct db_tensor *input = NULL;
    struct db_var *sample, *context, *output;
    struct db_tape tape;
    int status = make_input(sampler, &input);

    if (status != DREAMBOOTH_OK)
        return status;
    db_tape_init(&tape, sampler->device, false);
    sample = db_var_new(&tape, input, false);
    db_tensor_release(input);
    context = db_var_new(&tape, batch->context, false);
    output = db_unet_step(&tape, sampler->pipeline->unet, &batch->unet,
                          batch->call, sample, context);
    status = tape.status;
    if (status == DREAMBOOTH_OK)
        *out = db_tensor_hold(output->data);
    db_drop(output);
    db_tape_clear(&tape);
    return status;
}

/* Classifier-free guidance, in place: OUTPUT's first COUNT numbers become
 * uncond + scale (cond - uncond). */
static void guide(float *output, int64_t count, double scale)
{
    const float *conditional = output + count;
    float factor = (float)scale;
    int64_t i;

    for (i = 0; i < count; i++)
        output[i] += factor * (conditional[i] - output[i]);
}

static int check_finite(const struct db_sampler *sampler, const float *values,
                        int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return db_fail(sampler->env, DREAMBOOTH_ENONFINITE,
                           "the UNet's prediction in step %lld of %lld is not "
                           "finite; the model may be damaged",
                           (long long)sampler->batch.call + 1,
                           (long long)sampler->calls);
    }
    return DREAMBOOTH_OK;
}

/* The noise for the next call, drawn once however often the call is tried. */
static int draw_step_noise(struct db_sampler *sampler, const float **out)
{
    struct db_sampler_batch *batch = &sampler->batch;
    float *noise = db_tensor_f32(batch->noise);
    int status;

    *out = NULL;
    if (!db_stepper_needs_noise(batch->stepper, batch->call))
        return DREAMBOOTH_OK;
    if (batch->noise_call != batch->call) {
        status = draw_noise(sampler, batch, DB_RANDOM_SAMPLE_STEP, batch->call,
                            noise);
        if (status != DREAMBOOTH_OK)
            return status;
        batch->noise_call = batch->call;
    }
    *out = noise;
    return DREAMBOOTH_OK;
}

int db_sampler_batch_step(struct db_sampler *sampler)
{
    struct db_sampler_batch *batch = &sampler->batch;
    int64_t count = db_tensor_count(batch->latents);
    struct db_tensor *output = NULL;
    const float *noise;
    int status = predict(sampler, &output);

    if (status != DREAMBOOTH_OK)
        return status;
    status =
        check_finite(sampler, db_tensor_f32(output), db_tensor_count(output));
    if (status == DREAMBOOTH_OK && sampler->guided)
        guide(db_tensor_f32(output), count, sampler->settings.guidance_scale);
    if (status == DREAMBOOTH_OK)
        status = draw_step_noise(sampler, &noise);
    if (status == DREAMBOOTH_OK)
        status =
            db_stepper_step(batch->stepper, batch->call, db_tensor_f32(output),
                            db_tensor_f32(batch->latents), noise);
    db_tensor_release(output);
    if (status == DREAMBOOTH_OK)
        batch->call++;
    return status;
}

/* One image's latents, divided by the VAE's scaling factor. */
static int unscaled_latents(const struct db_sampler *sampler, int64_t index,
                            struct db_tensor **out)
{
    struct db_shape shape = latent_shape(sampler, 1);
    int64_t size = image_size(sampler);
    const float *latents = db_tensor_f32(sampler->batch.latents) + index * size;
    float factor = (float)sampler->pipeline->vae->config.scaling_factor;
    int64_t i;
    int status = db_tensor_new(sampler->env, DB_F32, &shape, out);

    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < size; i++)
        db_tensor_f32(*out)[i] = latents[i] / factor;
    return DREAMBOOTH_OK;
}

int db_sampler_decode(struct db_sampler *sampler, int64_t index,
                      struct db_image **out)
{
    struct db_tensor *latents = NULL;
    struct db_var *z, *picture;
    struct db_tape tape;
    int status = unscaled_latents(sampler, index, &latents);

    if (status != DREAMBOOTH_OK)
        return status;
    db_tape_init(&tape, sampler->device, false);
    z = db_var_new(&tape, latents, false);
    db_tensor_release(latents);
    picture = db_vae_decode(&tape, sampler->pipeline->vae, z, NULL);
    status = tape.status;
    if (status == DREAMBOOTH_OK)
        status =
            db_image_from_floats(sampler->env, db_tensor_f32(picture->data),
                                 (int)picture->data->shape.size[2],
                                 (int)picture->data->shape.size[1], out);
    db_drop(picture);
    db_tape_clear(&tape);
    return status;
}

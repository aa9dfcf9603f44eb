/* SPDX-License-Identifier: MIT */
/*
 * Sums over sizes. Only the activations are an estimate: see activations.c.
 */
#include "train/plan.h"

#include <stdio.h>
#include <string.h>

#include "file/atomic.h"
#include "file/folder.h"
#include "train/activations.h"

/* Eight cached numbers for each latent pixel, and the pixels of a photo. */
static uint64_t image_bytes(const struct db_pipeline *pipeline,
                            const struct db_trainer_settings *settings,
                            int64_t count)
{
    uint64_t side = (uint64_t)(settings->size / pipeline->vae->factor);
    uint64_t channels = (uint64_t)pipeline->vae->config.latent_channels;
    uint64_t latents = side * side * channels * 2 * sizeof(float);
    uint64_t pixels = 3 * (uint64_t)settings->size * (uint64_t)settings->size;

    return (uint64_t)count * (pixels + latents * (settings->flip ? 2 : 1));
}

/* What the parameters of a part come to. */
struct part_bytes {
    uint64_t data, gradients, moments;
    uint64_t largest; /* of the weights of products, as floats */
};

static struct part_bytes measure_part(
    const struct db_pipeline *pipeline, enum db_part part,
    const struct db_trainer_settings *settings)
{
    const struct db_params *params = db_pipeline_params(pipeline, part);
    struct part_bytes bytes = {0};
    size_t i;

    for (i = 0; i < params->count; i++) {
        const struct db_param *param = params->items[i];
        uint64_t count = (uint64_t)db_shape_count(&param->shape);
        bool plain = !db_param_is_weight(param);

        bytes.data += count * db_dtype_size(param->dtype);
        bytes.gradients +=
            count * (plain || settings->gradients == DB_GRADIENTS_F32 ? 4 : 2);
        bytes.moments +=
            plain || settings->optimizer == DB_ADAMW
                ? 8 * count
                : 2 * count + 8 * (count / DREAMBOOTH_NARROW_BLOCK);
        if (!plain && 4 * count > bytes.largest)
            bytes.largest = 4 * count;
    }
    return bytes;
}

/* Weights that are rounded pass by as floats, one at a time. */
static uint64_t passing_bytes(const struct db_pipeline *pipeline,
                              const struct db_trainer_settings *settings,
                              uint64_t largest)
{
    return (pipeline->weights == DB_BF16 ? largest : 0) +
           (settings->gradients == DB_GRADIENTS_BF16 ? largest : 0);
}

/* The vocabulary and the like: what is allocated now and is no parameter. */
static uint64_t other_bytes(struct db_env *env,
                            const struct db_pipeline *pipeline)
{
    uint64_t live = atomic_load(&env->live_bytes);
    int part;

    for (part = 0; part < DB_PARTS; part++) {
        uint64_t bytes =
            db_params_bytes(db_pipeline_params(pipeline, (enum db_part)part));

        live = bytes < live ? live - bytes : 0;
    }
    return live;
}

/* A few photos: their number is not known before the folder is read. */
#define TYPICAL_PHOTOS 8

static void fill_sizes(const struct db_pipeline *pipeline,
                       const struct db_trainer_settings *settings,
                       struct db_train_plan *plan)
{
    int64_t images = TYPICAL_PHOTOS;
    uint64_t trained = 0, passing = 0;
    int part;

    for (part = 0; part < DB_PARTS; part++) {
        struct part_bytes bytes =
            measure_part(pipeline, (enum db_part)part, settings);
        bool trains = part == DB_UNET ||
                      (part == DB_TEXT_ENCODER && settings->train_text_encoder);

        /* What has no file cannot be read again. */
        if (trains || pipeline->path[0] == '\0')
            plan->parameters += bytes.data;
        if (!trains)
            continue;
        trained += bytes.data;
        plan->gradients += bytes.gradients;
        plan->moments += bytes.moments;
        if (bytes.largest > passing)
            passing = bytes.largest;
    }
    if (db_trainer_has_prior(settings))
        images += settings->class_images;
    plan->images = image_bytes(pipeline, settings, images);
    plan->passing = passing_bytes(pipeline, settings, passing);
    if (settings->out == NULL)
        return;
    plan->result = db_pipeline_save_size(pipeline, DB_F32);
    if (settings->checkpoint_every > 0)
        plan->checkpoint = trained + plan->moments;
    /* One more than are kept, while it is written. */
    plan->disk = plan->result +
                 plan->checkpoint * (uint64_t)(settings->keep_checkpoints + 1);
}

/* Which segments are kept, with REST bytes for all but activations and
 * gradients. */
static void choose_kept(const struct db_pipeline *pipeline,
                        const struct db_trainer_settings *settings,
                        uint64_t limit, uint64_t rest,
                        struct db_train_plan *plan)
{
    uint64_t usual = rest + plan->gradients + plan->gradients / 64 + rest / 64;
    /* Estimates may be a little low. */
    uint64_t budget = limit != 0 ? limit - limit / 32 : usual;
    struct db_segments none = {{0}};
    uint64_t least =
        rest + db_activations_peak(pipeline, settings, &none, plan->gradients);

    if (limit == 0 && budget < least)
        budget = least; /* what does not raise the peak costs nothing */
    memset(&plan->kept, 0xff, sizeof(plan->kept));
    plan->recompute = settings->recompute == DB_RECOMPUTE_ON;
    if (settings->recompute == DB_RECOMPUTE_AUTO)
        plan->recompute =
            rest + db_activations_peak(pipeline, settings, &plan->kept,
                                       plan->gradients) >
            budget;
    if (!plan->recompute)
        return;
    if (settings->recompute == DB_RECOMPUTE_ON || budget < rest)
        budget = rest;
    db_activations_keep(pipeline, settings, plan->gradients, budget - rest,
                        &plan->kept);
}

int db_train_plan_make(struct db_env *env, const struct db_pipeline *pipeline,
                       const struct db_trainer_settings *settings,
                       uint64_t limit, struct db_train_plan *out)
{
    struct db_train_plan plan = {0};
    uint64_t rest;

    fill_sizes(pipeline, settings, &plan);
    plan.other = other_bytes(env, pipeline);
    rest = plan.parameters + plan.moments + plan.images + plan.other +
           plan.passing;
    choose_kept(pipeline, settings, limit, rest, &plan);
    plan.activations =
        db_activations_peak(pipeline, settings, &plan.kept, plan.gradients);
    if (plan.activations > plan.gradients)
        plan.activations -= plan.gradients;
    else
        plan.activations = 0;
    plan.activations += plan.passing;
    plan.memory = rest - plan.passing + plan.gradients + plan.activations;
    *out = plan;
    return DREAMBOOTH_OK;
}

/* The bytes of checkpoints and results that a former run has left, which this
 * one will replace. */
static uint64_t reusable(const struct db_train_plan *plan,
                         const struct db_trainer_settings *settings)
{
    return settings->resume ? plan->checkpoint : 0;
}

static int check_disk(struct db_env *env, const struct db_train_plan *plan,
                      const struct db_trainer_settings *settings)
{
    uint64_t there = 0;
    uint64_t needed = plan->disk - reusable(plan, settings);
    int status;

    if (settings->out == NULL)
        return DREAMBOOTH_OK;
    status = db_disk_free(env, settings->out, &there);
    if (status != DREAMBOOTH_OK || needed <= there)
        return status;
    return db_fail(env, DREAMBOOTH_ENOSPACE,
                   "%s: the run needs %.1f MB on disk and %.1f MB are free; "
                   "make room, or lower keep-checkpoints (each has %.1f MB), "
                   "or turn checkpoints off with checkpoint-every 0",
                   settings->out, (double)needed / 1e6, (double)there / 1e6,
                   (double)plan->checkpoint / 1e6);
}

/* What would make it fit, as far as it is not set already. */
static void advise(const struct db_train_plan *plan,
                   const struct db_trainer_settings *settings, char *text,
                   size_t size)
{
    snprintf(
        text, size, "%s%s%s%s", plan->recompute ? "" : ", set recompute to on",
        settings->optimizer == DB_ADAMW ? ", set optimizer to adamw-8bit" : "",
        settings->gradients == DB_GRADIENTS_F32
            ? ", set gradients and weights to bfloat16"
            : "",
        settings->train_text_encoder ? ", or do not train the text encoder"
                                     : "");
}

int db_train_plan_check(struct db_env *env, const struct db_train_plan *plan,
                        const struct db_trainer_settings *settings)
{
    char advice[160];

    if (env->limit_bytes == 0 || plan->memory <= env->limit_bytes)
        return check_disk(env, plan, settings);
    advise(plan, settings, advice, sizeof(advice));
    return db_fail(env, DREAMBOOTH_ELIMIT,
                   "the run needs about %.1f MB of memory and the limit is "
                   "%.1f MB; raise it, lower size or batch%s",
                   (double)plan->memory / 1e6, (double)env->limit_bytes / 1e6,
                   advice);
}

/* SPDX-License-Identifier: MIT */
/*
 * Sums over sizes. Only the activations are an estimate: see activations.c.
 */
#include "train/plan.h"

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

static uint64_t part_bytes(const struct db_pipeline *pipeline,
                           enum db_part part)
{
    return (uint64_t)db_params_elements(db_pipeline_params(pipeline, part)) *
           sizeof(float);
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
    uint64_t trained = part_bytes(pipeline, DB_UNET);
    uint64_t checkpoints;

    if (settings->train_text_encoder)
        trained += part_bytes(pipeline, DB_TEXT_ENCODER);
    if (db_trainer_has_prior(settings))
        images += settings->class_images;
    plan->parameters = part_bytes(pipeline, DB_UNET) +
                       part_bytes(pipeline, DB_TEXT_ENCODER) +
                       part_bytes(pipeline, DB_VAE);
    plan->gradients = trained;
    plan->moments = 2 * trained;
    plan->images = image_bytes(pipeline, settings, images);
    if (settings->out == NULL)
        return;
    plan->result = db_pipeline_save_size(pipeline, DB_F32);
    if (settings->checkpoint_every > 0)
        plan->checkpoint = 3 * trained;
    /* One more than are kept, while it is written. */
    checkpoints = plan->checkpoint * (uint64_t)(settings->keep_checkpoints + 1);
    plan->disk = plan->result + checkpoints;
}

int db_train_plan_make(struct db_env *env, const struct db_pipeline *pipeline,
                       const struct db_trainer_settings *settings,
                       uint64_t limit, struct db_train_plan *out)
{
    struct db_train_plan plan = {0};
    uint64_t rest, full;

    fill_sizes(pipeline, settings, &plan);
    plan.other = other_bytes(env, pipeline);
    rest = plan.parameters + plan.moments + plan.images + plan.other;
    full = db_activations_peak(pipeline, settings, false, plan.gradients);
    plan.recompute = settings->recompute == DB_RECOMPUTE_ON;
    if (settings->recompute == DB_RECOMPUTE_AUTO)
        plan.recompute = limit != 0 ? rest + full > limit
                                    : full > (rest + plan.gradients) / 2;
    plan.activations =
        plan.recompute
            ? db_activations_peak(pipeline, settings, true, plan.gradients)
            : full;
    if (plan.activations > plan.gradients)
        plan.activations -= plan.gradients;
    else
        plan.activations = 0;
    plan.memory = rest + plan.gradients + plan.activations;
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

int db_train_plan_check(struct db_env *env, const struct db_train_plan *plan,
                        const struct db_trainer_settings *settings)
{
    if (env->limit_bytes != 0 && plan->memory > env->limit_bytes)
        return db_fail(
            env, DREAMBOOTH_ELIMIT,
            "the run needs about %.1f MB of memory and the limit "
            "is %.1f MB; raise it, lower size or batch%s%s",
            (double)plan->memory / 1e6, (double)env->limit_bytes / 1e6,
            plan->recompute ? "" : ", set recompute to on",
            settings->train_text_encoder ? ", or do not train the text encoder"
                                         : "");
    return check_disk(env, plan, settings);
}

/* SPDX-License-Identifier: MIT */
/*
 * A DreamBooth run (Ruiz et al., 2022) from photos to a saved model, one
 * optimiser step a call. It owns the order of things: checks and plans first,
 * then steps with checkpoints and metrics, then the result.
 *
 * All randomness is a function of seed, purpose and step (or, with the torch
 * stream, part of the checkpoint), so that a run that was killed and resumed
 * gives the same bits as one that was not.
 */
#ifndef DB_TRAIN_TRAINER_H
#define DB_TRAIN_TRAINER_H

#include "file/image.h"
#include "model/pipeline.h"
#include "train/options.h"
#include "train/plan.h"

struct db_trainer;

/* What the last step was like. */
struct db_trainer_report {
    int64_t step;         /* optimiser steps taken */
    double loss;          /* instance + prior_loss_weight * prior */
    double loss_instance; /* weighted by snr-gamma, if that is on */
    double loss_prior;    /* 0 without prior preservation */
    double gradient_norm; /* before clipping */
    double learning_rate;
    double seconds;
    uint64_t peak_memory; /* bytes, of the environment so far */
};

/*
 * A trainer of PIPELINE, whose parameters it will change, and which must live
 * as long. The settings are copied; a prompt holds the identifier itself by
 * now. EINVAL for settings that do not go together.
 */
int db_trainer_new(struct db_device *device, struct db_pipeline *pipeline,
                   const struct db_trainer_settings *settings,
                   struct db_trainer **out);
void db_trainer_free(struct db_trainer *trainer); /* NULL is fine */

/* A photo beside those of instance-dir; it is copied. Before the start. */
int db_trainer_add_image(struct db_trainer *trainer,
                         const struct db_image *image);

/*
 * Reads and checks all images, plans memory and disk, and resumes from the
 * newest good checkpoint of "out" where that is asked for. Class images must
 * be in their folder (class_images.h). After it db_trainer_report_of() tells
 * the step that is reached. ELIMIT and ENOSPACE for a plan that does not fit.
 * A trainer that could not start must be made anew (ESTATE).
 */
int db_trainer_start(struct db_trainer *trainer);

/*
 * One optimiser step; DREAMBOOTH_DONE when "steps" are taken. Starts the
 * trainer if that was not done. Writes the step's line of metrics and, when it
 * is due, a checkpoint. ENONFINITE, naming step and tensor: the parameters are
 * as they were before the step. After ECANCELLED the step can be tried again.
 */
int db_trainer_step(struct db_trainer *trainer);

/* Writes a checkpoint of the present state now, unless there is one. */
int db_trainer_checkpoint(struct db_trainer *trainer);
/* Puts the settings and the step into the pipeline's record. */
int db_trainer_record(struct db_trainer *trainer);
/* Saves the pipeline with its record (dreambooth.json) into "out". */
int db_trainer_save(struct db_trainer *trainer);

const struct db_trainer_report *db_trainer_report_of(
    const struct db_trainer *trainer);
const struct db_trainer_settings *db_trainer_settings_of(
    const struct db_trainer *trainer);
/* Are sample images due after the step that was just taken? */
bool db_trainer_sample_due(const struct db_trainer *trainer);
/* The folder of the class images, in fresh memory: class-dir or out/class. */
char *db_trainer_class_folder(struct db_env *env,
                              const struct db_trainer_settings *settings);

#endif

/* SPDX-License-Identifier: MIT */
/* How much memory a training step takes beside parameters and moments. */
#ifndef DB_TRAIN_ACTIVATIONS_H
#define DB_TRAIN_ACTIVATIONS_H

#include "model/pipeline.h"
#include "train/options.h"

/*
 * The most bytes that activations and gradients have together at any time of a
 * step, with the segments KEPT: gradients (GRADIENTS bytes in the end) grow
 * while activations are used up. An estimate from the shapes in the
 * configuration.
 */
uint64_t db_activations_peak(const struct db_pipeline *pipeline,
                             const struct db_trainer_settings *settings,
                             const struct db_segments *kept,
                             uint64_t gradients);
/* Segments that can be kept with at most BUDGET bytes, from the end on: those
 * are gone first. None where even that is more. */
void db_activations_keep(const struct db_pipeline *pipeline,
                         const struct db_trainer_settings *settings,
                         uint64_t gradients, uint64_t budget,
                         struct db_segments *kept);

#endif

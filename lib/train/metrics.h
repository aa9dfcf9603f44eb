/* SPDX-License-Identifier: MIT */
/*
 * metrics.csv: a line a step, written as the step ends, so that it can be
 * watched while the run goes on.
 */
#ifndef DB_TRAIN_METRICS_H
#define DB_TRAIN_METRICS_H

#include "train/trainer.h"

/*
 * Makes the file PATH hold the header and the lines of steps 1..STEP that it
 * has already: what a killed run wrote behind its last checkpoint goes.
 */
int db_metrics_start(struct db_env *env, const char *path, int64_t step);

/* Appends the line of a step; without prior preservation loss.prior is empty.
 */
int db_metrics_append(struct db_env *env, const char *path,
                      const struct db_trainer_report *report, bool prior);

#endif

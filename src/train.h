/* SPDX-License-Identifier: MIT */
/* What `dreambooth train` and its --dry-run share. */
#ifndef TRAIN_H
#define TRAIN_H

#include <dreambooth/trainer.h>

#include "json.h"
#include "options.h"

/* What a run will take. */
struct run_plan {
    int64_t memory, parameters, gradients, moments, activations, disk,
        checkpoint;
    bool recompute;
    json_t *facts; /* all of them for --json, to be freed; else NULL */
};

/* Describes the model, checks all options against it, and plans; complains of
 * a plan that the memory limit does not allow. */
int train_plan(const struct options *options, dreambooth_context *context,
               struct run_plan *plan);
/* Prints the plan and, measured by two steps, the time. */
int train_dry_run(const struct options *options, dreambooth_context *context,
                  const struct run_plan *plan);

int64_t trainer_integer(dreambooth_trainer *trainer, const char *name);
double trainer_double(dreambooth_trainer *trainer, const char *name);

#endif

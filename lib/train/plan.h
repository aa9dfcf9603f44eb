/* SPDX-License-Identifier: MIT */
/*
 * What a run will need, said before step 1: memory for parameters, gradients,
 * AdamW's moments and activations, and disk for checkpoints and the result.
 */
#ifndef DB_TRAIN_PLAN_H
#define DB_TRAIN_PLAN_H

#include "model/pipeline.h"
#include "train/options.h"

/* Bytes throughout. */
struct db_train_plan {
    uint64_t parameters;  /* all, or what is trained where the rest can be read
                           * again when it is needed */
    uint64_t gradients;   /* of what is trained */
    uint64_t moments;     /* AdamW's two */
    uint64_t activations; /* beyond what gradients need when they are all
                           * there: these grow as those shrink; estimated */
    uint64_t passing;     /* of activations: weights and gradients as floats */
    uint64_t images;      /* photos and cached latents */
    uint64_t other;       /* what the environment holds beside parameters */
    uint64_t memory;      /* the sum: the peak to expect */
    uint64_t checkpoint;  /* of one on disk */
    uint64_t result;      /* of the saved pipeline */
    uint64_t disk;        /* more than is there now, at the peak */
    bool recompute;       /* activations are computed again, not kept */
    struct db_segments kept; /* but for those of these segments */
};

/*
 * The plan for SETTINGS; db_pipeline_describe() is enough of a pipeline. With
 * recompute "auto" as many segments are kept as LIMIT leaves room for, or,
 * without a limit (0), as cost a sixty-fourth of all the rest.
 */
int db_train_plan_make(struct db_env *env, const struct db_pipeline *pipeline,
                       const struct db_trainer_settings *settings,
                       uint64_t limit, struct db_train_plan *out);

/* ELIMIT or ENOSPACE, saying what is needed, what there is and what to change,
 * where the plan does not fit the environment's limit or the disk of "out". */
int db_train_plan_check(struct db_env *env, const struct db_train_plan *plan,
                        const struct db_trainer_settings *settings);

#endif

/* SPDX-License-Identifier: MIT */
/* state.json of a checkpoint, for the files that write and read it. */
#ifndef DB_TRAIN_CHECKPOINT_INT_H
#define DB_TRAIN_CHECKPOINT_INT_H

#include "train/checkpoint.h"

/* Files whose checksums are kept: unet, text_encoder, optimizer. */
#define DB_CHECKPOINT_FILES 3
extern const char *const db_checkpoint_bases[DB_CHECKPOINT_FILES];

struct db_checkpoint_sums {
    bool there[DB_CHECKPOINT_FILES];
    uint64_t sum[DB_CHECKPOINT_FILES];
};

/* Writes FOLDER/state.json. */
int db_checkpoint_state_save(struct db_env *env, const char *folder,
                             const struct db_checkpoint_state *state,
                             const struct db_checkpoint_sums *sums);

/* What was read from a state.json. */
struct db_checkpoint_read {
    int64_t step;
    struct db_noise noise;
    struct db_checkpoint_sums sums;
};

/*
 * Reads FOLDER/state.json. EFORMAT when it is damaged. With COMPARE, EINVAL
 * where it does not go with STATE.
 */
int db_checkpoint_state_load(struct db_env *env, const char *folder,
                             const struct db_checkpoint_state *state,
                             bool compare, struct db_checkpoint_read *out);

#endif

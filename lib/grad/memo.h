/* SPDX-License-Identifier: MIT */
/*
 * What layers gave that will be asked the same again: over the steps of a
 * sampler neither the prompt nor the timesteps change, and so neither do the
 * keys, values and shifts that are linear in them. A tape with a memo, which
 * does not record, looks there first.
 *
 * An entry is for one layer and one input. Whoever owns the memo clears it when
 * parameters have changed.
 */
#ifndef DB_GRAD_MEMO_H
#define DB_GRAD_MEMO_H

#include "grad/tape.h"

struct db_memo_entry {
    const struct db_param *weight;
    struct db_tensor *x, *y;
};

/* All zero but ENV: empty. */
struct db_memo {
    struct db_env *env;
    int64_t row; /* which db_known_row() gives */
    struct db_memo_entry *entries;
    size_t count, capacity;
};

/* Drops all that is known. */
void db_memo_clear(struct db_memo *memo);

/* db_linear() by way of tape->memo, if there is one and the tape does not
 * record. */
struct db_var *db_linear_known(struct db_tape *tape, struct db_var *x,
                               struct db_param *weight, struct db_param *bias);

/* Where there is a memo, its row of X [rows, channels], as [1, channels]; else
 * X. */
struct db_var *db_known_row(struct db_tape *tape, struct db_var *x);

#endif

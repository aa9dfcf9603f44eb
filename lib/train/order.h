/* SPDX-License-Identifier: MIT */
/*
 * Which photo comes when: each pass over a data set is a permutation of it,
 * which the seed and the pass determine.
 */
#ifndef DB_TRAIN_ORDER_H
#define DB_TRAIN_ORDER_H

#include "base/random.h"

/* The photo, of COUNT, at place POSITION of the run, counted from 0. PURPOSE
 * is DB_RANDOM_TRAIN_ORDER or DB_RANDOM_TRAIN_CLASS_ORDER. */
int db_order_photo(struct db_env *env, uint64_t seed,
                   enum db_random_purpose purpose, int64_t position,
                   int64_t count, int64_t *out);

#endif

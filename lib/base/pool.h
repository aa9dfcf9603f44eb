/* SPDX-License-Identifier: MIT */
/*
 * A pool of threads that runs numbered tasks. Which thread runs which task is
 * a matter of timing; what the tasks are must not be: callers divide work by
 * shape, so that results are the same whatever the number of threads.
 */
#ifndef DB_BASE_POOL_H
#define DB_BASE_POOL_H

#include "base/env.h"

struct db_pool;

typedef void db_task(void *argument, int64_t index, int worker);

/* THREADS >= 1, the calling thread included: 1 starts no thread. Signals are
 * blocked in the pool's threads. While there is a pool, ENV keeps free blocks
 * (db_keep_blocks()): kernels ask for the same sizes again and again. */
int db_pool_new(struct db_env *env, int threads, struct db_pool **out);
void db_pool_free(struct db_pool *pool);
int db_pool_threads(const struct db_pool *pool);

/*
 * Runs task(argument, i, worker) for i in 0..count-1 and returns when all are
 * done; the calling thread takes part as worker 0. Not reentrant. Threads
 * without work sleep soon, and nobody waits for one that sleeps.
 */
void db_pool_run(struct db_pool *pool, int64_t count, db_task *task,
                 void *argument);

#endif

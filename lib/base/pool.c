/* SPDX-License-Identifier: MIT */
/*
 * The thread pool. Threads take task numbers from one atomic counter; a
 * generation number, raised once a run, wakes them. They spin for a few
 * microseconds before they sleep, since kernels come in quick succession.
 */
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define STACK_BYTES ((size_t)1 << 20)
#define SPINS 2000 /* loads of a shared word: some microseconds */

/* Bytes of a block worth keeping: malloc() itself keeps what is smaller. */
#define WORTH_KEEPING ((size_t)32 << 20)

struct worker {
    struct db_pool *pool;
    int number; /* 1..threads-1; the caller is worker 0 */
    pthread_t thread;
};

struct db_pool {
    struct db_env *env;
    int threads;
    int started; /* entries of workers that run */
    struct worker *workers;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t finished;
    _Alignas(8) _Atomic uint64_t generation; /* written under the lock */
    atomic_int busy; /* workers still in this generation */
    bool stop;

    void *kept; /* scratch memory, for the next who wants some; or NULL */
    size_t kept_size;
    bool kept_used;

    db_task *task;
    void *argument;
    int64_t count;
    _Alignas(8) _Atomic int64_t next;
};

static void run_tasks(struct db_pool *pool, int worker)
{
    int64_t index;

    for (;;) {
        index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->count)
            return;
        pool->task(pool->argument, index, worker);
    }
}

/* Sleeps until there is a generation after SEEN; false at the pool's end. */
static bool wait_for_work(struct db_pool *pool, uint64_t *seen)
{
    bool stop;
    int i;

    for (i = 0; i < SPINS; i++)
        if (atomic_load_explicit(&pool->generation, memory_order_relaxed) !=
            *seen)
            break;
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->generation) == *seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    *seen = atomic_load(&pool->generation);
    stop = pool->stop;
    pthread_mutex_unlock(&pool->lock);
    return !stop;
}

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct db_pool *pool = worker->pool;
    uint64_t seen = 0;

    while (wait_for_work(pool, &seen)) {
        run_tasks(pool, worker->number);
        if (atomic_fetch_sub(&pool->busy, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
    return NULL;
}

/* Begins a generation; the fields of the run are set. */
static void announce(struct db_pool *pool, bool stop)
{
    pthread_mutex_lock(&pool->lock);
    pool->stop = stop;
    atomic_fetch_add(&pool->generation, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for_workers(struct db_pool *pool)
{
    int i;

    for (i = 0; i < SPINS; i++)
        if (atomic_load(&pool->busy) == 0)
            return;
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->busy) != 0)
        pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

/* Starts the workers with every signal blocked. Returns 0 or an errno. */
static int start_workers(struct db_pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int error = pthread_attr_init(&attributes);
    int i;

    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (i = 0; i < pool->threads - 1 && error == 0; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].number = i + 1;
        error = pthread_create(&pool->workers[i].thread, &attributes,
                               worker_main, &pool->workers[i]);
        if (error == 0)
            pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static int init_locks(struct db_pool *pool)
{
    int error = pthread_mutex_init(&pool->lock, NULL);

    if (error != 0)
        return error;
    error = pthread_cond_init(&pool->wake, NULL);
    if (error != 0)
        goto fail_lock;
    error = pthread_cond_init(&pool->finished, NULL);
    if (error != 0)
        goto fail_wake;
    return 0;
fail_wake:
    pthread_cond_destroy(&pool->wake);
fail_lock:
    pthread_mutex_destroy(&pool->lock);
    return error;
}

static struct db_pool *allocate(struct db_env *env, int threads)
{
    struct db_pool *pool = db_alloc_zero(env, sizeof(*pool));

    if (pool == NULL)
        return NULL;
    pool->env = env;
    pool->threads = threads;
    atomic_init(&pool->generation, 0);
    atomic_init(&pool->busy, 0);
    atomic_init(&pool->next, 0);
    pool->workers =
        db_alloc_array(env, (size_t)threads, sizeof(*pool->workers));
    if (pool->workers == NULL) {
        db_free(env, pool);
        return NULL;
    }
    return pool;
}

int db_pool_new(struct db_env *env, int threads, struct db_pool **out)
{
    struct db_pool *pool;
    int error;

    if (threads < 1)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "the number of threads is %d; it must be 1 or more",
                       threads);
    pool = allocate(env, threads);
    if (pool == NULL)
        return env->error_status;
    error = init_locks(pool);
    if (error != 0) {
        db_free(env, pool->workers);
        db_free(env, pool);
        return db_fail_errno(env, error, "cannot make a thread pool");
    }
    error = start_workers(pool);
    if (error != 0) {
        int started = pool->started;

        db_pool_free(pool);
        db_fail_errno(env, error,
                      "cannot start thread %d of %d; lower the number of "
                      "threads",
                      started + 2, threads);
        env->error_status = DREAMBOOTH_ENOMEM;
        return DREAMBOOTH_ENOMEM;
    }
    *out = pool;
    return DREAMBOOTH_OK;
}

void db_pool_free(struct db_pool *pool)
{
    int i;

    if (pool == NULL)
        return;
    announce(pool, true);
    for (i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    db_free(pool->env, pool->kept);
    db_free(pool->env, pool->workers);
    db_free(pool->env, pool);
}

static void drop_kept(struct db_pool *pool)
{
    db_free(pool->env, pool->kept);
    pool->kept = NULL;
    pool->kept_size = 0;
}

void *db_pool_scratch_new(struct db_pool *pool, size_t size)
{
    if (pool->kept_used || size < WORTH_KEEPING)
        return db_alloc(pool->env, size);
    if (pool->kept_size < size || pool->kept == NULL) {
        drop_kept(pool);
        pool->kept = db_alloc(pool->env, size);
        if (pool->kept == NULL)
            return NULL;
        pool->kept_size = size;
    }
    pool->kept_used = true;
    return pool->kept;
}

void db_pool_scratch_free(struct db_pool *pool, void *scratch)
{
    if (scratch == NULL || scratch != pool->kept) {
        db_free(pool->env, scratch);
        return;
    }
    pool->kept_used = false;
    if (pool->env->limit_bytes != 0)
        drop_kept(pool);
}

int db_pool_threads(const struct db_pool *pool)
{
    return pool->threads;
}

void db_pool_run(struct db_pool *pool, int64_t count, db_task *task,
                 void *argument)
{
    int64_t i;

    if (pool->threads == 1 || count <= 1) {
        for (i = 0; i < count; i++)
            task(argument, i, 0);
        return;
    }
    pool->task = task;
    pool->argument = argument;
    pool->count = count;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->busy, pool->started);
    announce(pool, false);
    run_tasks(pool, 0);
    wait_for_workers(pool);
}

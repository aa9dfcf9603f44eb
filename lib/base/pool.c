/* SPDX-License-Identifier: MIT */
/*
 * The thread pool. Each thread has a range of the task numbers, and helps
 * another when it is done: so from run to run a thread meets the same part of
 * arrays, which its own cache may have still. A run is open while numbers are
 * left; a worker that comes in time joins it, and one that comes late finds it
 * closed. So the caller never waits for a thread that the system has not woken
 * yet, only for those at work.
 *
 * Kernels come in quick succession: workers look out for the next run for some
 * microseconds before they sleep, and a caller who finds none asleep makes no
 * call to the system.
 */
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define STACK_BYTES ((size_t)1 << 20)

/* How long a thread looks out before it sleeps: what waking it costs. Longer
 * would take from a busy neighbour what it gives us. */
#define LOOK_OUT_NS 50000
#define LOOKS 32 /* between two looks at the clock */

/* The state of the run at hand, in one word: whether it is open, how many
 * workers have joined, and above them its number. */
#define OPEN ((uint64_t)1)
#define JOINED ((uint64_t)2)
#define ALL_JOINED ((uint64_t)0xfffffe)
#define NUMBER ((uint64_t)1 << 24)

struct worker {
    struct db_pool *pool;
    int number; /* 1..threads-1; the caller is worker 0 */
    pthread_t thread;
};

/* Task numbers that are left of a worker's range. */
struct range {
    _Alignas(64) _Atomic int64_t next;
    int64_t end;
};

struct db_pool {
    struct db_env *env;
    int threads;
    int started; /* entries of workers that run */
    struct worker *workers;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t finished;
    _Alignas(8) _Atomic uint64_t state;
    atomic_int asleep; /* workers that wait for wake */
    atomic_bool caller_asleep;
    atomic_bool stop;

    db_task *task;
    void *argument;
    struct range *ranges; /* of each worker */
};

/* Runs what is left of RANGE. */
static void run_range(const struct db_pool *pool, struct range *range,
                      int worker)
{
    int64_t index;

    while (atomic_load_explicit(&range->next, memory_order_relaxed) <
           range->end) {
        index =
            atomic_fetch_add_explicit(&range->next, 1, memory_order_relaxed);
        if (index < range->end)
            pool->task(pool->argument, index, worker);
    }
}

/* Its own range first, then those of the next. */
static void run_tasks(const struct db_pool *pool, int worker)
{
    int i;

    for (i = worker; i < pool->threads; i++)
        run_range(pool, &pool->ranges[i], worker);
    for (i = 0; i < worker; i++)
        run_range(pool, &pool->ranges[i], worker);
}

static void set_ranges(struct db_pool *pool, int64_t count)
{
    const int64_t least = count / pool->threads, more = count % pool->threads;
    int64_t begin = 0;
    int i;

    for (i = 0; i < pool->threads; i++) {
        struct range *range = &pool->ranges[i];

        range->end = begin + least + (i < more);
        atomic_store_explicit(&range->next, begin, memory_order_relaxed);
        begin = range->end;
    }
}

static int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Tells the processor that this is a loop that waits. */
static void pause_a_little(void)
{
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_ia32_pause();
#elif defined(__GNUC__) && defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

typedef bool condition(struct db_pool *pool, uint64_t seen);

/* Whether it came true while we looked. */
static bool look_out(struct db_pool *pool, condition *is_met, uint64_t seen)
{
    int64_t end = 0;
    int i;

    do {
        for (i = 0; i < LOOKS; i++) {
            if (is_met(pool, seen))
                return true;
            pause_a_little();
        }
        if (end == 0)
            end = clock_ns() + LOOK_OUT_NS;
    } while (clock_ns() < end);
    return false;
}

static bool has_news(struct db_pool *pool, uint64_t seen)
{
    return atomic_load(&pool->state) / NUMBER != seen ||
           atomic_load(&pool->stop);
}

static bool is_deserted(struct db_pool *pool, uint64_t unused)
{
    (void)unused;
    return (atomic_load(&pool->state) & ALL_JOINED) == 0;
}

/* Sleeps until there is a run after SEEN, or the pool's end. */
static void wait_for_work(struct db_pool *pool, uint64_t seen)
{
    if (look_out(pool, has_news, seen))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->asleep, 1);
    while (!has_news(pool, seen))
        pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->lock);
}

/* Joins the run at hand, if it is open still; *SEEN is its number. */
static bool join_run(struct db_pool *pool, uint64_t *seen)
{
    uint64_t state = atomic_load(&pool->state);

    while ((state & OPEN) != 0)
        if (atomic_compare_exchange_weak(&pool->state, &state,
                                         state + JOINED)) {
            *seen = state / NUMBER;
            return true;
        }
    *seen = state / NUMBER;
    return false;
}

/* The last to leave a run that is closed wakes the caller. */
static void leave_run(struct db_pool *pool)
{
    uint64_t left = atomic_fetch_sub(&pool->state, JOINED) - JOINED;

    if ((left & (OPEN | ALL_JOINED)) != 0 || !atomic_load(&pool->caller_asleep))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct db_pool *pool = worker->pool;
    uint64_t seen = 0;

    for (;;) {
        wait_for_work(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        if (join_run(pool, &seen)) {
            run_tasks(pool, worker->number);
            leave_run(pool);
        }
    }
}

static void wake_sleepers(struct db_pool *pool)
{
    if (atomic_load(&pool->asleep) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* Lets nobody else join, and waits for those who have. */
static void end_run(struct db_pool *pool)
{
    atomic_fetch_and(&pool->state, ~OPEN);
    if (look_out(pool, is_deserted, 0))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_asleep, true);
    while (!is_deserted(pool, 0))
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->caller_asleep, false);
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

static void free_memory(struct db_pool *pool)
{
    struct db_env *env = pool->env;

    db_free(env, pool->ranges);
    db_free(env, pool->workers);
    db_free(env, pool);
    db_keep_blocks(env, false);
}

static struct db_pool *allocate(struct db_env *env, int threads)
{
    struct db_pool *pool = db_alloc_zero(env, sizeof(*pool));

    if (pool == NULL)
        return NULL;
    pool->env = env;
    pool->threads = threads;
    atomic_init(&pool->state, 0);
    atomic_init(&pool->asleep, 0);
    atomic_init(&pool->caller_asleep, false);
    atomic_init(&pool->stop, false);
    pool->workers =
        db_alloc_array(env, (size_t)threads, sizeof(*pool->workers));
    if (pool->workers != NULL)
        pool->ranges =
            db_alloc_array(env, (size_t)threads, sizeof(*pool->ranges));
    if (pool->ranges == NULL) {
        db_free(env, pool->workers);
        db_free(env, pool);
        return NULL;
    }
    db_keep_blocks(env, true);
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
        free_memory(pool);
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
    atomic_store(&pool->stop, true);
    wake_sleepers(pool);
    for (i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free_memory(pool);
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
    set_ranges(pool, count);
    atomic_store(&pool->state,
                 (atomic_load(&pool->state) / NUMBER + 1) * NUMBER + OPEN);
    wake_sleepers(pool);
    run_tasks(pool, 0);
    end_run(pool);
}

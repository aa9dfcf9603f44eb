/* SPDX-License-Identifier: MIT */
/* The thread pool: every task runs once, on a worker of its own at a time. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "base/pool.h"
#include "unit.h"

#define MOST_TASKS 5000
#define MOST_THREADS 7

struct record {
    atomic_int runs[MOST_TASKS];
    atomic_int inside[MOST_THREADS];
    atomic_int overlaps;
    int threads;
};

static void count_task(void *argument, int64_t index, int worker)
{
    struct record *record = argument;

    if (worker < 0 || worker >= record->threads ||
        atomic_fetch_add(&record->inside[worker], 1) != 0)
        atomic_fetch_add(&record->overlaps, 1);
    atomic_fetch_add(&record->runs[index], 1);
    if (worker >= 0 && worker < record->threads)
        atomic_fetch_sub(&record->inside[worker], 1);
}

static void run_count(struct db_pool *pool, int64_t count)
{
    static struct record record;
    int64_t i;

    memset(&record, 0, sizeof(record));
    record.threads = db_pool_threads(pool);
    db_pool_run(pool, count, count_task, &record);
    for (i = 0; i < MOST_TASKS; i++)
        ck_assert_int_eq(atomic_load(&record.runs[i]), i < count);
    ck_assert_int_eq(atomic_load(&record.overlaps), 0);
}

START_TEST(every_task_runs_once)
{
    static const int64_t counts[] = {0, 1, 2, 3, 7, 64, MOST_TASKS};
    struct db_pool *pool = NULL;
    struct db_env env;
    int threads;
    size_t i;

    db_env_init(&env);
    for (threads = 1; threads <= MOST_THREADS; threads++) {
        ck_assert_int_eq(db_pool_new(&env, threads, &pool), DREAMBOOTH_OK);
        ck_assert_int_eq(db_pool_threads(pool), threads);
        for (i = 0; i < DB_COUNT(counts); i++)
            run_count(pool, counts[i]);
        db_pool_free(pool);
        ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
    }
}
END_TEST

static void add_task(void *argument, int64_t index, int worker)
{
    int64_t *values = argument;

    (void)worker;
    values[index]++;
}

/* Plain memory: what tasks write is seen by the caller and by later tasks. */
START_TEST(many_short_runs)
{
    int64_t values[5] = {0};
    struct db_pool *pool = NULL;
    struct db_env env;
    int runs = unit_is_quick() ? 500 : 20000;
    int i;

    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 3, &pool), DREAMBOOTH_OK);
    for (i = 0; i < runs; i++)
        db_pool_run(pool, 5, add_task, values);
    for (i = 0; i < 5; i++)
        ck_assert_int_eq(values[i], runs);
    db_pool_free(pool);
}
END_TEST

static void one_task(void *argument, int64_t index, int worker)
{
    pthread_t *thread = argument;

    (void)index;
    ck_assert_int_eq(worker, 0);
    *thread = pthread_self();
}

START_TEST(one_task_runs_on_the_caller)
{
    pthread_t thread;
    struct db_pool *pool = NULL;
    struct db_env env;

    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 4, &pool), DREAMBOOTH_OK);
    memset(&thread, 0, sizeof(thread));
    db_pool_run(pool, 1, one_task, &thread);
    ck_assert(pthread_equal(thread, pthread_self()));
    db_pool_free(pool);
}
END_TEST

struct masks {
    pthread_t caller;
    atomic_int unblocked;
};

static void mask_task(void *argument, int64_t index, int worker)
{
    struct masks *masks = argument;
    struct timespec nap = {0, 2000000};
    sigset_t mask;

    (void)index;
    (void)worker;
    if (pthread_equal(pthread_self(), masks->caller)) {
        nanosleep(&nap, NULL); /* leave some for the others */
        return;
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGINT) || !sigismember(&mask, SIGTERM))
        atomic_fetch_add(&masks->unblocked, 1);
}

START_TEST(signals_stay_with_the_caller)
{
    struct masks masks;
    struct db_pool *pool = NULL;
    struct db_env env;
    sigset_t before;
    sigset_t after;

    db_env_init(&env);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    ck_assert_int_eq(db_pool_new(&env, 3, &pool), DREAMBOOTH_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    masks.caller = pthread_self();
    atomic_init(&masks.unblocked, 0);
    db_pool_run(pool, 20, mask_task, &masks);
    ck_assert_int_eq(atomic_load(&masks.unblocked), 0);
    db_pool_free(pool);
}
END_TEST

START_TEST(no_threads_is_refused)
{
    struct db_pool *pool = NULL;
    struct db_env env;

    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 0, &pool), DREAMBOOTH_EINVAL);
    ck_assert_int_eq(env.error_status, DREAMBOOTH_EINVAL);
    ck_assert_ptr_null(pool);
    db_pool_free(NULL);
}
END_TEST

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    int *left = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return (*left)-- > 0 ? realloc(pointer, size) : NULL;
}

START_TEST(no_memory_is_an_error)
{
    struct db_pool *pool = NULL;
    struct db_env env;
    int n;
    int left;

    db_env_init(&env);
    env.resize = failing_resize;
    env.resize_user = &left;
    for (n = 0; n < 2; n++) {
        left = n;
        ck_assert_int_eq(db_pool_new(&env, 2, &pool), DREAMBOOTH_ENOMEM);
        ck_assert_ptr_null(pool);
        ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
    }
}
END_TEST

/* The address space ends somewhere among the stacks of a hundred thousand
 * threads, if the number of threads has no end before. */
START_TEST(too_many_threads_is_an_error)
{
    struct rlimit before;
    struct rlimit tight;
    struct db_pool *pool = NULL;
    struct db_env env;
    int status;

    if (unit_is_quick())
        return; /* sanitizers need the address space for themselves */
    db_env_init(&env);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)1 << 29;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    status = db_pool_new(&env, 100000, &pool);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(status, DREAMBOOTH_ENOMEM);
    ck_assert_ptr_nonnull(strstr(env.error_text, "thread"));
    ck_assert_ptr_null(pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

static void *counting_resize(void *user, void *pointer, size_t old_size,
                             size_t size)
{
    int64_t *bytes = user; /* [in use at the allocator, calls that fail] */

    if (size == 0) {
        bytes[0] -= (int64_t)old_size;
        free(pointer);
        return NULL;
    }
    if (bytes[1] > 0) {
        bytes[1]--;
        return NULL;
    }
    bytes[0] += (int64_t)size;
    return realloc(pointer, size);
}

#define LARGE ((size_t)40 << 20)

/* Frees blocks of 1, 2, .. COUNT times LARGE, so that they are kept. */
static void keep_blocks(struct db_env *env, int count)
{
    void *blocks[8];
    int i;

    for (i = 0; i < count; i++)
        blocks[i] = db_alloc(env, (size_t)(i + 1) * LARGE);
    for (i = 0; i < count; i++)
        db_free(env, blocks[i]);
}

/* Free blocks are given out again, and count as free. */
START_TEST(blocks_are_kept)
{
    struct db_pool *pool = NULL;
    int64_t bytes[2] = {0};
    struct db_env env;
    uint64_t empty;
    void *block;

    db_env_init(&env);
    env.resize = counting_resize;
    env.resize_user = bytes;
    ck_assert_int_eq(db_pool_new(&env, 1, &pool), DREAMBOOTH_OK);
    empty = env.live_bytes;
    keep_blocks(&env, 2);
    ck_assert_uint_eq(env.live_bytes, empty);
    ck_assert_int_gt(bytes[0], 3 * LARGE);
    block = db_alloc(&env, 2 * LARGE - 5);
    ck_assert_uint_eq(env.live_bytes, empty + 2 * LARGE);
    ck_assert_int_lt(bytes[0], 3 * LARGE + 10000);
    db_free(&env, block);
    db_return_blocks(&env);
    ck_assert_int_lt(bytes[0], 10000);
    keep_blocks(&env, 2);
    db_pool_free(pool);
    ck_assert_int_eq(bytes[0], 0);
}
END_TEST

/* What is kept and used together stays near what was used at the peak, and
 * within the limit. */
START_TEST(kept_blocks_make_room)
{
    struct db_pool *pool = NULL;
    int64_t bytes[2] = {0};
    struct db_env env;
    void *block;

    db_env_init(&env);
    env.resize = counting_resize;
    env.resize_user = bytes;
    ck_assert_int_eq(db_pool_new(&env, 1, &pool), DREAMBOOTH_OK);
    keep_blocks(&env, 3);
    block = db_alloc(&env, 4 * LARGE);
    ck_assert_int_lt(bytes[0], 4 * LARGE + ((size_t)128 << 20) + 10000);
    db_free(&env, block);
    env.limit_bytes = 5 * LARGE + 10000;
    block = db_alloc(&env, 5 * LARGE);
    ck_assert_ptr_nonnull(block);
    ck_assert_int_lt(bytes[0], 5 * LARGE + 20000);
    ck_assert_ptr_null(db_alloc(&env, LARGE));
    ck_assert_int_eq(env.error_status, DREAMBOOTH_ELIMIT);
    db_free(&env, block);
    db_pool_free(pool);
    ck_assert_int_eq(bytes[0], 0);
}
END_TEST

/* An allocator that has no more gets back what is kept, and is asked again. */
START_TEST(kept_blocks_go_back_for_want_of_memory)
{
    struct db_pool *pool = NULL;
    int64_t bytes[2] = {0};
    struct db_env env;
    void *block;

    db_env_init(&env);
    env.resize = counting_resize;
    env.resize_user = bytes;
    ck_assert_int_eq(db_pool_new(&env, 1, &pool), DREAMBOOTH_OK);
    keep_blocks(&env, 3);
    bytes[1] = 1;
    block = db_alloc(&env, 100);
    ck_assert_ptr_nonnull(block);
    ck_assert_int_lt(bytes[0], 10000);
    bytes[1] = 1;
    ck_assert_ptr_null(db_alloc(&env, 100));
    ck_assert_int_eq(env.error_status, DREAMBOOTH_ENOMEM);
    db_free(&env, block);
    db_pool_free(pool);
}
END_TEST

static void nap_task(void *argument, int64_t index, int worker)
{
    struct timespec nap = {0, 50000000};

    (void)argument;
    (void)index;
    (void)worker;
    nanosleep(&nap, NULL);
}

static double processor_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Neither workers without work nor a caller without workers burn time. */
START_TEST(waiting_threads_sleep)
{
    struct db_pool *pool = NULL;
    struct db_env env;
    double begun;

    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 4, &pool), DREAMBOOTH_OK);
    begun = processor_seconds();
    db_pool_run(pool, 5, nap_task, NULL);
    nap_task(NULL, 0, 0);
    ck_assert_double_lt(processor_seconds() - begun, 0.05);
    db_pool_free(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");

    unit_add(suite, "every_task_runs_once", every_task_runs_once);
    unit_add(suite, "many_short_runs", many_short_runs);
    unit_add(suite, "one_task_runs_on_the_caller", one_task_runs_on_the_caller);
    unit_add(suite, "signals_stay_with_the_caller",
             signals_stay_with_the_caller);
    unit_add(suite, "no_threads_is_refused", no_threads_is_refused);
    unit_add(suite, "no_memory_is_an_error", no_memory_is_an_error);
    unit_add(suite, "blocks_are_kept", blocks_are_kept);
    unit_add(suite, "kept_blocks_make_room", kept_blocks_make_room);
    unit_add(suite, "kept_blocks_go_back_for_want_of_memory",
             kept_blocks_go_back_for_want_of_memory);
    unit_add(suite, "waiting_threads_sleep", waiting_threads_sleep);
    unit_add(suite, "too_many_threads_is_an_error",
             too_many_threads_is_an_error);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/* Larger blocks: cut, joined and used again, and never one over another. */
#include <sys/resource.h>

#include "base/pool.h"
#include "unit.h"

#define MB ((size_t)1 << 20)
#define BLOCKS 64

static struct db_pool *open_pool(struct db_env *env)
{
    struct db_pool *pool = NULL;

    db_env_init(env);
    ck_assert_int_eq(db_pool_new(env, 2, &pool), DREAMBOOTH_OK);
    return pool;
}

static long page_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

struct held {
    uint32_t *block;
    size_t count;
    uint32_t mark;
};

static void hold(struct db_env *env, struct held *held, size_t size,
                 uint32_t mark)
{
    size_t i;

    held->block = db_alloc(env, size);
    held->count = size / sizeof(*held->block);
    held->mark = mark;
    ck_assert_ptr_nonnull(held->block);
    ck_assert_uint_eq((uintptr_t)held->block % 64, 0);
    for (i = 0; i < held->count; i += 64)
        held->block[i] = mark;
    held->block[held->count - 1] = mark;
}

static void let_go(struct db_env *env, struct held *held)
{
    size_t i, wrong = 0;

    if (held->block == NULL)
        return;
    for (i = 0; i < held->count; i += 64)
        wrong += held->block[i] != held->mark;
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(held->block[held->count - 1], held->mark);
    db_free(env, held->block);
    held->block = NULL;
}

/* The same blocks of many sizes each time, in the same order. */
static void pass(struct db_env *env, int turns)
{
    struct held held[BLOCKS] = {{NULL, 0, 0}};
    uint32_t state = 1;
    int i;

    for (i = 0; i < turns; i++) {
        struct held *one = &held[next_random(&state) % BLOCKS];
        size_t size = (size_t)1000 << next_random(&state) % 12;

        let_go(env, one);
        hold(env, one, size + next_random(&state) % size, (uint32_t)i);
    }
    for (i = 0; i < BLOCKS; i++)
        let_go(env, &held[i]);
}

static uint64_t all_memory(struct db_env *env)
{
    return atomic_load(&env->live_bytes) + db_heap_warm(&env->heap);
}

START_TEST(blocks_do_not_overlap)
{
    struct db_env env;
    struct db_pool *pool = open_pool(&env);
    uint64_t empty = env.live_bytes;

    pass(&env, unit_is_quick() ? 200 : 1000);
    ck_assert_uint_eq(env.live_bytes, empty);
    ck_assert_uint_le(all_memory(&env), env.peak_bytes + 64 * MB);
    db_pool_free(pool);
    ck_assert_ptr_null(env.heap.regions);
    ck_assert_uint_eq(env.heap.warm, 0);
}
END_TEST

START_TEST(a_second_pass_has_no_page_faults)
{
    struct db_env env;
    struct db_pool *pool = open_pool(&env);
    long before, faults;

    if (unit_is_quick())
        goto done; /* tools have page faults of their own */
    pass(&env, 500);
    pass(&env, 500);
    before = page_faults();
    pass(&env, 500);
    faults = page_faults() - before;
    ck_assert_int_lt(faults, 50);
done:
    db_pool_free(pool);
}
END_TEST

/* What two neighbours leave is one piece, which serves without growth. */
START_TEST(neighbours_are_joined)
{
    struct db_env env;
    struct db_pool *pool = open_pool(&env);
    char *one, *two, *three, *both, *part;

    if (!db_heap_wants(MB))
        goto done; /* a build for a tool that watches over memory */
    one = db_alloc(&env, MB);
    two = db_alloc(&env, 2 * MB);
    three = db_alloc(&env, MB);
    db_free(&env, two);
    db_free(&env, one);
    both = db_alloc(&env, 3 * MB);
    ck_assert_ptr_eq(both, one);
    db_free(&env, both);
    part = db_alloc(&env, MB / 2);
    ck_assert_ptr_eq(part, one);
    ck_assert_uint_gt(db_heap_warm(&env.heap), 2 * MB);
    db_free(&env, part);
    db_free(&env, three);
done:
    db_pool_free(pool);
}
END_TEST

/* Pages go back where they would make more than the limit, and when they are
 * asked for; a block that outlives the pool goes back when it is freed. */
START_TEST(pages_go_back)
{
    struct db_env env;
    struct db_pool *pool = open_pool(&env);
    char *low, *high, *last;

    low = db_alloc(&env, 40 * MB);
    high = db_alloc(&env, MB);
    db_free(&env, low);
    env.limit_bytes = env.live_bytes + 50 * MB;
    last = db_alloc(&env, 45 * MB);
    ck_assert_ptr_nonnull(last);
    ck_assert_uint_le(all_memory(&env), env.limit_bytes);
    ck_assert_ptr_null(db_alloc(&env, 10 * MB));
    ck_assert_int_eq(env.error_status, DREAMBOOTH_ELIMIT);
    db_free(&env, last);
    db_return_blocks(&env);
    ck_assert_uint_eq(db_heap_warm(&env.heap), 0);
    db_pool_free(pool);
    memset(high, 1, MB);
    db_free(&env, high);
    ck_assert_ptr_null(env.heap.regions);
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

/* A large piece does not lose all its pages for the sake of some. */
START_TEST(only_so_many_pages_go_back)
{
    struct db_env env;
    struct db_pool *pool = open_pool(&env);
    char *low, *high, *last, *part;

    if (!db_heap_wants(MB))
        goto done; /* a build for a tool that watches over memory */
    low = db_alloc(&env, 40 * MB);
    high = db_alloc(&env, MB);
    db_free(&env, low);
    env.limit_bytes = env.live_bytes + 60 * MB;
    last = db_alloc(&env, 45 * MB);
    ck_assert_ptr_nonnull(last);
    ck_assert_uint_le(all_memory(&env), env.limit_bytes);
    ck_assert_uint_gt(db_heap_warm(&env.heap), 12 * MB);
    part = db_alloc(&env, 14 * MB);
    ck_assert_ptr_eq(part, low);
    memset(part, 1, 14 * MB);
    db_free(&env, part);
    ck_assert_uint_le(all_memory(&env), env.limit_bytes);
    db_free(&env, last);
    db_free(&env, high);
done:
    db_pool_free(pool);
    ck_assert_uint_eq(env.heap.warm, 0);
}
END_TEST

/* A process that may have little address space gets what there is. */
START_TEST(address_space_may_be_short)
{
    struct db_env env;
    struct db_pool *pool = open_pool(&env);
    struct rlimit before, tight;
    char *blocks[8] = {NULL}, *impossible;
    int i;

    if (unit_is_quick())
        goto done; /* sanitizers need the address space for themselves */
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)1 << 30;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    for (i = 0; i < 8; i++)
        blocks[i] = db_alloc(&env, 40 * MB);
    impossible = db_alloc(&env, 2048 * MB);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_ptr_null(impossible);
    ck_assert_int_eq(env.error_status, DREAMBOOTH_ENOMEM);
    for (i = 0; i < 8; i++) {
        ck_assert_ptr_nonnull(blocks[i]);
        db_free(&env, blocks[i]);
    }
done:
    db_pool_free(pool);
    ck_assert_ptr_null(env.heap.regions);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");

    unit_add(suite, "blocks_do_not_overlap", blocks_do_not_overlap);
    unit_add(suite, "a_second_pass_has_no_page_faults",
             a_second_pass_has_no_page_faults);
    unit_add(suite, "neighbours_are_joined", neighbours_are_joined);
    unit_add(suite, "pages_go_back", pages_go_back);
    unit_add(suite, "only_so_many_pages_go_back", only_so_many_pages_go_back);
    unit_add(suite, "address_space_may_be_short", address_space_may_be_short);
    return unit_main(suite);
}

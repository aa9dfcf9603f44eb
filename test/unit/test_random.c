/* SPDX-License-Identifier: MIT */
/* Counter-based streams, PyTorch's stream, and the noise source over both. */
#include "unit.h"

#include <math.h>

#include "base/noise.h"

/* Known answers of Philox4x32-10, from the authors' own library. */
START_TEST(philox_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } answers[] = {
        {{0, 0, 0, 0},
         {0, 0},
         {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    uint32_t got[4];
    size_t i;

    for (i = 0; i < DB_COUNT(answers); i++) {
        db_philox4x32(answers[i].counter, answers[i].key, got);
        ck_assert_mem_eq(got, answers[i].want, sizeof(got));
    }
}
END_TEST

START_TEST(streams_differ_in_every_part_of_their_name)
{
    struct db_random streams[6];
    uint64_t words[6];
    int i, j;

    db_random_init(&streams[0], 1, DB_RANDOM_TEST, 2, 3);
    db_random_init(&streams[1], 2, DB_RANDOM_TEST, 2, 3);
    db_random_init(&streams[2], 1, DB_RANDOM_INIT, 2, 3);
    db_random_init(&streams[3], 1, DB_RANDOM_TEST, 3, 3);
    db_random_init(&streams[4], 1, DB_RANDOM_TEST, 2, 4);
    db_random_init(&streams[5], 1 + (UINT64_C(1) << 32), DB_RANDOM_TEST, 2, 3);
    for (i = 0; i < 6; i++) {
        words[i] = db_random_u64(&streams[i]);
        for (j = 0; j < i; j++)
            ck_assert(words[i] != words[j]);
    }
    db_random_init(&streams[1], 1, DB_RANDOM_TEST, 2, 3);
    ck_assert(db_random_u64(&streams[1]) == words[0]);
}
END_TEST

START_TEST(numbers_below_a_limit)
{
    struct db_random random;
    int counts[7] = {0};
    int i;

    db_random_init(&random, 5, DB_RANDOM_TEST, 0, 0);
    for (i = 0; i < 70000; i++)
        counts[db_random_below(&random, 7)]++;
    for (i = 0; i < 7; i++)
        ck_assert_int_lt(abs(counts[i] - 10000), 500);
    for (i = 0; i < 100; i++) {
        ck_assert(db_random_below(&random, 1) == 0);
        ck_assert(db_random_below(&random, UINT64_MAX) < UINT64_MAX);
        ck_assert(db_random_double(&random) < 1);
        ck_assert(db_random_float(&random) < 1);
    }
}
END_TEST

START_TEST(normals_go_by_position)
{
    struct db_random random;
    float whole[101], part[40];

    db_random_init(&random, 9, DB_RANDOM_TEST, 1, 1);
    db_random_normals(&random, 0, whole, 101);
    db_random_u32(&random);
    db_random_normals(&random, 33, part, 40);
    ck_assert_mem_eq(part, whole + 33, sizeof(part));
    db_random_normals(&random, 100, part, 1);
    ck_assert_mem_eq(part, whole + 100, sizeof(float));
}
END_TEST

START_TEST(normals_are_normal)
{
    enum { COUNT = 100000 };
    static float values[COUNT];
    struct db_random random;
    double sum[4] = {0};
    int i, k;

    db_random_init(&random, 3, DB_RANDOM_TEST, 0, 0);
    db_random_normals(&random, 0, values, COUNT);
    for (i = 0; i < COUNT; i++)
        for (k = 0; k < 4; k++)
            sum[k] += pow((double)values[i], k + 1) / COUNT;
    ck_assert_double_eq_tol(sum[0], 0, 0.02);
    ck_assert_double_eq_tol(sum[1], 1, 0.02);
    ck_assert_double_eq_tol(sum[2], 0, 0.05);
    ck_assert_double_eq_tol(sum[3], 3, 0.1);
}
END_TEST

static void expect_permutation(const int64_t *values, int64_t count)
{
    bool seen[50] = {false};
    int64_t i;

    for (i = 0; i < count; i++) {
        ck_assert(values[i] >= 0 && values[i] < count && !seen[values[i]]);
        seen[values[i]] = true;
    }
}

START_TEST(permutations_have_each_number_once)
{
    struct db_torch_random torch;
    struct db_random random;
    int64_t values[50], count;

    db_random_init(&random, 3, DB_RANDOM_TEST, 0, 0);
    db_torch_seed(&torch, 3);
    for (count = 0; count <= 50; count++) {
        db_random_permutation(&random, values, count);
        expect_permutation(values, count);
        db_torch_randperm(&torch, values, count);
        expect_permutation(values, count);
    }
}
END_TEST

/* The 10000th output of the C++ standard's mt19937 with its default seed. */
START_TEST(mersenne_twister_known_answer)
{
    struct db_torch_random random;
    int i;

    db_torch_seed(&random, 5489);
    for (i = 0; i < 9999; i++)
        db_torch_u32(&random);
    ck_assert_uint_eq(db_torch_u32(&random), 4123659995u);
    db_torch_seed(&random, 5489 + (UINT64_C(1) << 40));
    ck_assert_uint_eq(db_torch_u32(&random), 3499211612u);
}
END_TEST

START_TEST(short_normals_come_in_pairs)
{
    struct db_torch_random one, two;
    float a[3], b[3], unused[16];

    db_torch_seed(&one, 1);
    db_torch_seed(&two, 1);
    db_torch_randn(&one, a, 2);
    db_torch_randn(&two, b, 1);
    db_torch_randn(&two, unused, 16); /* leaves the second of the pair */
    db_torch_randn(&two, b + 1, 1);
    ck_assert_mem_eq(a, b, 2 * sizeof(float));
}
END_TEST

START_TEST(long_normals_redraw_their_end)
{
    struct db_torch_random random;
    float a[32], b[20];

    db_torch_seed(&random, 4);
    db_torch_randn(&random, a, 16);
    db_torch_seed(&random, 4);
    db_torch_randn(&random, b, 20);
    ck_assert_mem_eq(a, b, 4 * sizeof(float));
    ck_assert(memcmp(a + 4, b + 4, 12 * sizeof(float)) != 0);
}
END_TEST

START_TEST(integers_stay_in_their_range)
{
    struct db_torch_random random;
    int64_t values[200];
    int32_t small;
    int i;

    db_torch_seed(&random, 0);
    db_torch_randint(&random, -5, 7, values, 200);
    for (i = 0; i < 200; i++)
        ck_assert(values[i] >= -5 && values[i] < 7);
    db_torch_randint(&random, INT64_MIN, INT64_MAX, values, 200);
    db_torch_random_i64(&random, values, 200);
    for (i = 0; i < 200; i++) {
        db_torch_random_i32(&random, &small, 1);
        ck_assert(values[i] >= 0 && small >= 0);
    }
}
END_TEST

START_TEST(noise_of_an_image_ignores_its_batch)
{
    struct db_noise noise;
    float batch[3 * 20], single[20];
    int64_t integers[3], integer;

    db_noise_init(&noise, DB_NOISE_COUNTER, 11);
    db_noise_normal(&noise, DB_RANDOM_TRAIN_NOISE, 4, 0, 3, 20, batch);
    db_noise_normal(&noise, DB_RANDOM_TRAIN_NOISE, 4, 2, 1, 20, single);
    ck_assert_mem_eq(single, batch + 40, sizeof(single));
    db_noise_integers(&noise, DB_RANDOM_TRAIN_TIMESTEPS, 4, 0, 3, 1000,
                      integers);
    db_noise_integers(&noise, DB_RANDOM_TRAIN_TIMESTEPS, 4, 2, 1, 1000,
                      &integer);
    ck_assert_int_eq(integer, integers[2]);
}
END_TEST

START_TEST(torch_noise_is_torchs_stream)
{
    struct db_torch_random torch;
    struct db_noise noise;
    float a[40], b[40];
    int64_t i, j;

    db_noise_init(&noise, DB_NOISE_TORCH, 11);
    db_torch_seed(&torch, 11);
    db_noise_normal(&noise, DB_RANDOM_TRAIN_NOISE, 4, 0, 2, 20, a);
    db_torch_randn(&torch, b, 40);
    ck_assert_mem_eq(a, b, sizeof(a));
    db_noise_integers(&noise, DB_RANDOM_TRAIN_TIMESTEPS, 4, 0, 1, 1000, &i);
    db_torch_randint(&torch, 0, 1000, &j, 1);
    ck_assert_int_eq(i, j);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");

    unit_add(suite, "philox", philox_known_answers);
    unit_add(suite, "names", streams_differ_in_every_part_of_their_name);
    unit_add(suite, "below", numbers_below_a_limit);
    unit_add(suite, "positions", normals_go_by_position);
    unit_add(suite, "moments", normals_are_normal);
    unit_add(suite, "permutations", permutations_have_each_number_once);
    unit_add(suite, "mt19937", mersenne_twister_known_answer);
    unit_add(suite, "pairs", short_normals_come_in_pairs);
    unit_add(suite, "blocks", long_normals_redraw_their_end);
    unit_add(suite, "integers", integers_stay_in_their_range);
    unit_add(suite, "noise", noise_of_an_image_ignores_its_batch);
    unit_add(suite, "torch noise", torch_noise_is_torchs_stream);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/*
 * Training in little memory: weights and gradients in bfloat16, moments of 8
 * bits. It learns as training in floats does, keeps the promises about bits,
 * and loses nothing in the average by rounding at random.
 */
#include "tiny.h"

#include <math.h>

#include "train/trainer.h"

static struct db_env env;
static struct db_pool *pool;
static struct db_device device;
static struct db_trainer_settings settings;
static char folder[UNIT_PATH_MAX], model[UNIT_PATH_MAX], saved[UNIT_PATH_MAX];
static char photos[UNIT_PATH_MAX], class_folder[UNIT_PATH_MAX];
static char out[UNIT_PATH_MAX];

static void set(const char *name, const char *value)
{
    int status =
        db_options_set(&env, &db_trainer_options, &settings, name, value);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
}

static void write_pictures(void)
{
    char path[UNIT_PATH_MAX], name[32];
    int i;

    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%d.png", i);
        tiny_write_picture(&env, unit_path(path, photos, name), i, 16, 16);
        tiny_write_picture(&env, unit_path(path, class_folder, name), 10 + i,
                           16, 16);
    }
}

static void setup(void)
{
    struct db_pipeline *made;

    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 2, &pool), DREAMBOOTH_OK);
    db_device_init(&device, &env, pool, &db_backend_blas);
    unit_directory_new(folder);
    ck_assert_int_eq(mkdir(unit_path(model, folder, "model"), 0777), 0);
    ck_assert_int_eq(mkdir(unit_path(photos, folder, "photos"), 0777), 0);
    ck_assert_int_eq(mkdir(unit_path(class_folder, folder, "class"), 0777), 0);
    unit_path(out, folder, "out");
    unit_path(saved, folder, "saved");
    tiny_write_model(model);
    made = tiny_pipeline(&env, model);
    ck_assert_int_eq(db_pipeline_save(made, saved, DB_F32), DREAMBOOTH_OK);
    db_pipeline_free(made);
    write_pictures();
    memset(&settings, 0, sizeof(settings));
    ck_assert_int_eq(db_options_init(&env, &db_trainer_options, &settings),
                     DREAMBOOTH_OK);
    set("instance-dir", photos);
    set("instance-prompt", "a qzx dog");
    set("class-dir", class_folder);
    set("class-prompt", "a dog");
    set("class-images", "3");
    set("size", "16");
    set("seed", "9");
}

static void teardown(void)
{
    db_options_release(&env, &db_trainer_options, &settings);
    unit_directory_free(folder);
    db_pool_free(pool);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static void use_little_memory(void)
{
    set("optimizer", "adamw-8bit");
    set("gradients", "bfloat16");
}

static struct db_pipeline *open_as(enum db_dtype weights)
{
    struct db_pipeline *pipeline = NULL;
    int status = db_pipeline_open_as(&env, saved, weights, &pipeline);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return pipeline;
}

static struct db_trainer *make(struct db_pipeline *pipeline)
{
    struct db_trainer *trainer = NULL;
    int status = db_trainer_new(&device, pipeline, &settings, &trainer);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return trainer;
}

static void step(struct db_trainer *trainer)
{
    int status = db_trainer_step(trainer);

    ck_assert_msg(status == DREAMBOOTH_OK, "%d: %s", status, env.error_text);
}

/* STEPS steps, the losses of which go to LOSSES unless that is NULL. */
static struct db_pipeline *run(enum db_dtype weights, int steps, double *losses)
{
    struct db_pipeline *pipeline = open_as(weights);
    struct db_trainer *trainer = make(pipeline);
    int i;

    for (i = 0; i < steps; i++) {
        step(trainer);
        if (losses != NULL)
            losses[i] = db_trainer_report_of(trainer)->loss;
    }
    db_trainer_free(trainer);
    return pipeline;
}

#define STEPS 80

/* The same seeds give the same photos, noise and timesteps, so that losses can
 * be held against each other step by step. Measured: 0.2 % apart. */
START_TEST(the_loss_falls_as_with_floats)
{
    const int steps = unit_is_quick() ? 8 : STEPS;
    double wide[STEPS], narrow[STEPS], first = 0, last[2] = {0}, apart = 0;
    int i;

    set("learning-rate", "3e-3");
    set("batch", "2");
    db_pipeline_free(run(DB_F32, steps, wide));
    use_little_memory();
    db_pipeline_free(run(DB_BF16, steps, narrow));
    for (i = 0; i < steps; i++) {
        first += i < 10 ? wide[i] : 0;
        last[0] += i >= steps - 10 ? wide[i] : 0;
        last[1] += i >= steps - 10 ? narrow[i] : 0;
        apart += fabs(narrow[i] - wide[i]) / wide[i] / steps;
    }
    ck_assert_msg(unit_is_quick() || last[0] < 0.8 * first,
                  "floats: from %g to %g", first, last[0]);
    ck_assert_msg(fabs(last[1] - last[0]) < 0.01 * last[0],
                  "narrow %g, floats %g", last[1], last[0]);
    ck_assert_msg(apart < 0.01, "%g apart", apart);
}
END_TEST

START_TEST(threads_change_nothing)
{
    struct db_pipeline *expected, *got;
    struct db_pool *other;

    use_little_memory();
    set("learning-rate", "1e-2");
    set("train-text-encoder", "yes");
    expected = run(DB_BF16, 3, NULL);
    ck_assert_int_eq(db_pool_new(&env, 5, &other), DREAMBOOTH_OK);
    db_device_init(&device, &env, other, &db_backend_blas);
    set("recompute", "on");
    got = run(DB_BF16, 3, NULL);
    ck_assert(tiny_same(expected, got));
    db_pipeline_free(got);
    db_pool_free(other);
    /* Another seed rounds otherwise. */
    db_device_init(&device, &env, pool, &db_backend_blas);
    set("seed", "10");
    got = run(DB_BF16, 3, NULL);
    ck_assert(!tiny_same(expected, got));
    db_pipeline_free(got);
    db_pipeline_free(expected);
}
END_TEST

static void resume(int before, int after, struct db_pipeline **trained)
{
    struct db_trainer *trainer;

    *trained = open_as(DB_BF16);
    trainer = make(*trained);
    ck_assert_msg(db_trainer_start(trainer) == DREAMBOOTH_OK, "%s",
                  env.error_text);
    ck_assert_int_eq(db_trainer_report_of(trainer)->step, before);
    for (; after > 0; after--)
        step(trainer);
    db_trainer_free(trainer);
}

START_TEST(resuming_gives_the_same_bits)
{
    struct db_pipeline *whole, *halves;

    use_little_memory();
    set("learning-rate", "1e-2");
    set("gradient-accumulation", "2");
    set("train-text-encoder", "yes");
    set("checkpoint-every", "2");
    whole = run(DB_BF16, 5, NULL);
    set("out", out);
    db_pipeline_free(run(DB_BF16, 3, NULL));
    set("resume", "yes");
    resume(2, 3, &halves);
    ck_assert(tiny_same(whole, halves));
    db_pipeline_free(halves);
    db_pipeline_free(whole);
}
END_TEST

/* A run goes on with what it was begun with. */
static void refuse_resume(enum db_dtype weights, const char *option)
{
    struct db_pipeline *pipeline = open_as(weights);
    struct db_trainer *trainer = make(pipeline);

    ck_assert_int_eq(db_trainer_start(trainer), DREAMBOOTH_EINVAL);
    ck_assert_msg(strstr(env.error_text, option) != NULL, "%s", env.error_text);
    db_trainer_free(trainer);
    db_pipeline_free(pipeline);
}

START_TEST(other_kinds_do_not_resume)
{
    use_little_memory();
    set("checkpoint-every", "1");
    set("out", out);
    db_pipeline_free(run(DB_BF16, 1, NULL));
    set("resume", "yes");
    refuse_resume(DB_F32, "\"weights\"");
    set("optimizer", "adamw");
    refuse_resume(DB_BF16, "\"optimizer\"");
    set("optimizer", "adamw-8bit");
    set("gradients", "float32");
    refuse_resume(DB_BF16, "\"gradients\"");
}
END_TEST

static struct db_train_plan plan_of(enum db_dtype weights, uint64_t limit)
{
    struct db_pipeline *pipeline = open_as(weights);
    struct db_train_plan plan;

    ck_assert_int_eq(
        db_train_plan_make(&env, pipeline, &settings, limit, &plan),
        DREAMBOOTH_OK);
    db_pipeline_free(pipeline);
    return plan;
}

/* What is there for the backward pass is kept, and the rest run again; a limit
 * that is too low says what would help. */
START_TEST(plans_use_what_there_is)
{
    struct db_train_plan all, none, some, narrow;

    set("size", "64");
    set("recompute", "off");
    all = plan_of(DB_F32, 0);
    set("recompute", "on");
    none = plan_of(DB_F32, 0);
    ck_assert_uint_lt(none.memory, all.memory);
    set("recompute", "auto");
    some = plan_of(DB_F32, (none.memory + all.memory) / 2);
    ck_assert(some.recompute && some.kept.bits[0] != 0);
    ck_assert_uint_le(some.memory, (none.memory + all.memory) / 2);
    ck_assert_uint_gt(some.memory, none.memory);
    ck_assert(!plan_of(DB_F32, 2 * all.memory).recompute);
    env.limit_bytes = none.memory - 1;
    ck_assert_int_eq(db_train_plan_check(&env, &none, &settings),
                     DREAMBOOTH_ELIMIT);
    ck_assert_ptr_nonnull(strstr(env.error_text, "optimizer to adamw-8bit"));
    ck_assert_ptr_nonnull(strstr(env.error_text, "weights to bfloat16"));
    env.limit_bytes = 0;
    use_little_memory();
    narrow = plan_of(DB_BF16, 0);
    ck_assert_uint_lt(narrow.parameters, none.parameters * 6 / 10);
    ck_assert_uint_lt(narrow.gradients, none.gradients * 6 / 10);
    ck_assert_uint_lt(narrow.moments, none.moments / 3);
}
END_TEST

/* Every combination runs. */
START_TEST(all_combinations_run)
{
    static const char *const optimizers[] = {"adamw", "adamw-8bit"};
    static const char *const gradients[] = {"float32", "bfloat16"};
    int i;

    for (i = 0; i < 8; i++) {
        set("optimizer", optimizers[i & 1]);
        set("gradients", gradients[i >> 1 & 1]);
        db_pipeline_free(run(i & 4 ? DB_BF16 : DB_F32, 2, NULL));
    }
}
END_TEST

#define COUNT (64 * DREAMBOOTH_NARROW_BLOCK)

/*
 * A v that moves by a thousandth a step, where codes are 3 to 6 hundredths
 * apart, gets to where floats get; so does a weight that moves by less than
 * half of its last place. One element in 256 is a hundred times as large.
 */
START_TEST(small_steps_are_not_lost)
{
    static uint8_t m[COUNT], v[COUNT];
    static float m_scales[COUNT / DREAMBOOTH_NARROW_BLOCK];
    static float v_scales[COUNT / DREAMBOOTH_NARROW_BLOCK], g[COUNT];
    static uint16_t p[COUNT];
    const int steps = unit_is_quick() ? 100 : 1000;
    double weight = 0, want_v = 0, moved = 0, root = 0;
    dreambooth_adamw_narrow a = {.count = COUNT,
                                 .learning_rate = 1e-5,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .epsilon = 1e-8,
                                 .gradient_scale = 1,
                                 .gradient = g,
                                 .parameter_bf16 = p,
                                 .m_codes = m,
                                 .v_codes = v,
                                 .m_scales = m_scales,
                                 .v_scales = v_scales};
    int i;

    for (i = 0; i < COUNT; i++) {
        p[i] = 0x3f80; /* 1; below it the last place is 2^-8 */
        g[i] = i % 256 == 0 ? 100 : 1;
    }
    for (a.step = 1; a.step <= steps; a.step++) {
        a.counter[1] = (uint32_t)a.step;
        ck_assert_int_eq(db_run(&device, adamw_narrow, &a), DREAMBOOTH_OK);
        want_v = 0.999 * want_v + 0.001;
    }
    for (i = 0; i < COUNT; i++) {
        uint32_t bits = (uint32_t)p[i] << 16;
        float value;

        memcpy(&value, &bits, sizeof(value));
        weight += (double)value / COUNT;
    }
    for (i = 1; i < 256; i++)
        root += ldexp((v[i] >> 4 ? 16 : 0) + v[i] % 16,
                      (v[i] >> 4 ? v[i] >> 4 : 1) - 19) *
                (double)v_scales[0] / 255;
    moved = 1 - weight;
    ck_assert_msg(fabs(moved / (steps * 1e-5) - 1) < 0.1, "moved by %g", moved);
    ck_assert_msg(fabs(root / sqrt(want_v) - 1) < 0.05, "%g, not %g", root,
                  sqrt(want_v));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("narrow");
    TCase *test_case = tcase_create("narrow");

    tcase_add_checked_fixture(test_case, setup, teardown);
    tcase_add_test(test_case, the_loss_falls_as_with_floats);
    tcase_add_test(test_case, threads_change_nothing);
    tcase_add_test(test_case, resuming_gives_the_same_bits);
    tcase_add_test(test_case, other_kinds_do_not_resume);
    tcase_add_test(test_case, plans_use_what_there_is);
    tcase_add_test(test_case, all_combinations_run);
    tcase_add_test(test_case, small_steps_are_not_lost);
    suite_add_tcase(suite, test_case);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/*
 * The sampler on a tiny model: images depend on seed and number alone, steps
 * can be cancelled, tried again and looked into, and errors say what to do.
 */
#include "tiny.h"

#include <math.h>

#include "base/noise.h"
#include "file/png.h"
#include "sample/sampler_int.h"

static struct db_env env;
static struct db_pool *pool;
static struct db_device device;
static struct db_pipeline *pipeline;
static struct db_sampler_settings settings;
static char folder[UNIT_PATH_MAX];
static char log_text[1024];

static void keep_log(void *user, int level, const char *text)
{
    (void)user;
    if (level >= (int)DB_LOG_WARNING)
        snprintf(log_text, sizeof(log_text), "%s", text);
}

static void set(const char *name, const char *value)
{
    int status =
        db_options_set(&env, &db_sampler_options, &settings, name, value);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
}

static void setup(void)
{
    db_env_init(&env);
    env.log = keep_log;
    log_text[0] = '\0';
    ck_assert_int_eq(db_pool_new(&env, 2, &pool), DREAMBOOTH_OK);
    db_device_init(&device, &env, pool, &db_backend_reference);
    unit_directory_new(folder);
    tiny_write_model(folder);
    pipeline = tiny_pipeline(&env, folder);
    memset(&settings, 0, sizeof(settings));
    ck_assert_int_eq(db_options_init(&env, &db_sampler_options, &settings),
                     DREAMBOOTH_OK);
    set("prompt", "a photo of a dog");
    set("steps", "4");
    set("seed", "3");
}

static void teardown(void)
{
    db_options_release(&env, &db_sampler_options, &settings);
    db_pipeline_free(pipeline);
    unit_directory_free(folder);
    db_pool_free(pool);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static struct db_sampler *make(void)
{
    struct db_sampler *sampler = NULL;
    int status = db_sampler_new(&device, pipeline, &settings, &sampler);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return sampler;
}

static void finish(struct db_sampler *sampler)
{
    int status = db_sampler_run(sampler);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
}

static void refuse(int status, const char *text)
{
    struct db_sampler *sampler = NULL;
    int got = db_sampler_new(&device, pipeline, &settings, &sampler);

    ck_assert_int_eq(got, status);
    ck_assert_ptr_null(sampler);
    ck_assert_msg(strstr(env.error_text, text) != NULL, "\"%s\"",
                  env.error_text);
}

static bool same(const struct db_image *a, const struct db_image *b)
{
    return a->width == b->width && a->height == b->height &&
           memcmp(a->pixels, b->pixels, db_image_size(a)) == 0;
}

START_TEST(every_sampler_gives_images)
{
    static const char *const names[] = {"auto", "ddpm", "ddim", "pndm",
                                        "euler-ancestral"};
    size_t i;

    for (i = 0; i < DB_COUNT(names); i++) {
        struct db_sampler *sampler;

        set("sampler", names[i]);
        sampler = make();
        ck_assert_int_eq(db_sampler_step_number(sampler), 0);
        finish(sampler);
        ck_assert_int_eq(db_sampler_image_count(sampler), 1);
        ck_assert_int_eq(db_sampler_image(sampler, 0)->width, 16);
        ck_assert_int_eq(db_sampler_step_number(sampler),
                         db_sampler_step_count(sampler));
        ck_assert_int_eq(db_sampler_step(sampler), DREAMBOOTH_DONE);
        db_sampler_free(sampler);
    }
}
END_TEST

/* In batches of SIZE. */
static struct db_sampler *five_images(const char *size, const char *rng)
{
    struct db_sampler *sampler;

    set("sampler", "euler-ancestral");
    set("count", "5");
    set("batch", size);
    set("rng", rng);
    sampler = make();
    finish(sampler);
    ck_assert_int_eq(db_sampler_image_count(sampler), 5);
    return sampler;
}

START_TEST(batches_change_nothing)
{
    static const char *const kinds[] = {"counter", "torch"};
    size_t k;

    for (k = 0; k < DB_COUNT(kinds); k++) {
        struct db_sampler *singly = five_images("1", kinds[k]);
        struct db_sampler *pairs = five_images("2", kinds[k]);
        struct db_sampler *later;
        int64_t i;

        for (i = 0; i < 5; i++)
            ck_assert(
                same(db_sampler_image(singly, i), db_sampler_image(pairs, i)));
        ck_assert(
            !same(db_sampler_image(singly, 0), db_sampler_image(singly, 1)));
        set("count", "1");
        set("first-image", "3");
        later = make();
        finish(later);
        ck_assert(
            same(db_sampler_image(later, 0), db_sampler_image(singly, 3)));
        set("first-image", "0");
        db_sampler_free(later);
        db_sampler_free(singly);
        db_sampler_free(pairs);
    }
}
END_TEST

/* With the torch stream, a later image of the series is the first one of a
 * seed that is as much higher. */
START_TEST(torch_seeds_count_up)
{
    struct db_sampler *series = five_images("5", "torch");
    struct db_sampler *single;

    set("count", "1");
    set("batch", "1");
    set("seed", "5");
    single = make();
    finish(single);
    ck_assert(same(db_sampler_image(single, 0), db_sampler_image(series, 2)));
    db_sampler_free(single);
    db_sampler_free(series);
}
END_TEST

START_TEST(threads_change_nothing)
{
    static const dreambooth_backend *backends[2];
    struct db_sampler *expected, *got;
    int threads;
    size_t b;

    backends[0] = &db_backend_reference;
    backends[1] = &db_backend_blas;
    for (b = 0; b < 2; b++) {
        db_device_init(&device, &env, pool, backends[b]);
        expected = make();
        finish(expected);
        for (threads = 1; threads <= 3; threads += 2) {
            struct db_pool *other;

            ck_assert_int_eq(db_pool_new(&env, threads, &other), DREAMBOOTH_OK);
            db_device_init(&device, &env, other, backends[b]);
            got = make();
            finish(got);
            ck_assert(
                same(db_sampler_image(got, 0), db_sampler_image(expected, 0)));
            db_sampler_free(got);
            db_pool_free(other);
        }
        db_device_init(&device, &env, pool, backends[b]);
        db_sampler_free(expected);
    }
}
END_TEST

START_TEST(sides_must_fit)
{
    set("width", "15");
    refuse(DREAMBOOTH_EINVAL, "try 14 or 16");
    set("width", "1");
    refuse(DREAMBOOTH_EINVAL, "try 2");
    set("width", "20");
    set("height", "12");
    {
        struct db_sampler *sampler = make();

        finish(sampler);
        ck_assert_int_eq(db_sampler_image(sampler, 0)->width, 20);
        ck_assert_int_eq(db_sampler_image(sampler, 0)->height, 12);
        ck_assert_int_eq(db_sampler_settings_of(sampler)->sampler,
                         DB_SAMPLER_PNDM);
        db_sampler_free(sampler);
    }
}
END_TEST

START_TEST(guidance_matters)
{
    struct db_sampler *with = make(), *without, *negative;

    finish(with);
    set("guidance-scale", "1");
    without = make();
    finish(without);
    set("guidance-scale", "7.5");
    set("negative-prompt", "cat");
    negative = make();
    finish(negative);
    ck_assert(!same(db_sampler_image(with, 0), db_sampler_image(without, 0)));
    ck_assert(!same(db_sampler_image(with, 0), db_sampler_image(negative, 0)));
    db_sampler_free(with);
    db_sampler_free(without);
    db_sampler_free(negative);
}
END_TEST

START_TEST(long_prompts_are_cut)
{
    struct db_sampler *sampler;

    set("prompt", "a photo of a dog of a photo of a cat");
    sampler = make();
    ck_assert_ptr_nonnull(strstr(log_text, "dropped"));
    ck_assert_ptr_nonnull(strstr(log_text, "cat"));
    db_sampler_free(sampler);
}
END_TEST

START_TEST(a_cancelled_step_can_be_taken_again)
{
    struct db_sampler *expected, *sampler;

    set("sampler", "ddpm");
    expected = make();
    finish(expected);
    sampler = make();
    ck_assert_int_eq(db_sampler_step(sampler), DREAMBOOTH_OK);
    atomic_store(&env.cancelled, 1);
    ck_assert_int_eq(db_sampler_step(sampler), DREAMBOOTH_ECANCELLED);
    ck_assert_int_eq(db_sampler_step_number(sampler), 1);
    atomic_store(&env.cancelled, 0);
    finish(sampler);
    ck_assert(
        same(db_sampler_image(sampler, 0), db_sampler_image(expected, 0)));
    db_sampler_free(sampler);
    db_sampler_free(expected);
}
END_TEST

START_TEST(the_last_preview_is_the_image)
{
    struct db_sampler *sampler = make();
    struct db_image *preview = NULL;

    ck_assert_int_eq(db_sampler_preview(sampler, 0, &preview),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_sampler_step(sampler), DREAMBOOTH_OK);
    ck_assert_ptr_null(db_sampler_image(sampler, 0));
    ck_assert_int_eq(db_sampler_save_image(sampler, 0, "x.png"),
                     DREAMBOOTH_ESTATE);
    ck_assert_int_eq(db_sampler_preview(sampler, 0, &preview), DREAMBOOTH_OK);
    db_image_free(&env, preview);
    finish(sampler);
    ck_assert_int_eq(db_sampler_preview(sampler, 0, &preview), DREAMBOOTH_OK);
    ck_assert(same(preview, db_sampler_image(sampler, 0)));
    db_image_free(&env, preview);
    db_sampler_free(sampler);
}
END_TEST

START_TEST(files_tell_how_they_were_made)
{
    struct db_sampler *sampler = make();
    char path[UNIT_PATH_MAX];
    char *value = NULL;

    finish(sampler);
    unit_path(path, folder, "image.png");
    ck_assert_int_eq(db_sampler_save_image(sampler, 0, path), DREAMBOOTH_OK);
    ck_assert_int_eq(db_png_read_text(&env, path, "prompt", &value),
                     DREAMBOOTH_OK);
    ck_assert_str_eq(value, "a photo of a dog");
    db_free(&env, value);
    ck_assert_int_eq(db_png_read_text(&env, path, "seed", &value),
                     DREAMBOOTH_OK);
    ck_assert_str_eq(value, "3");
    db_free(&env, value);
    ck_assert_int_eq(db_png_read_text(&env, path, "sampler", &value),
                     DREAMBOOTH_OK);
    ck_assert_str_eq(value, "pndm");
    db_free(&env, value);
    db_sampler_free(sampler);
}
END_TEST

START_TEST(nan_is_told_with_its_step)
{
    struct db_sampler *sampler = make();
    struct db_params *params = db_pipeline_params(pipeline, DB_UNET);

    ck_assert_int_eq(db_sampler_step(sampler), DREAMBOOTH_OK);
    db_tensor_f32(params->items[0]->data)[0] = NAN;
    ck_assert_int_eq(db_sampler_step(sampler), DREAMBOOTH_ENONFINITE);
    ck_assert_ptr_nonnull(strstr(env.error_text, "step 2"));
    db_sampler_free(sampler);
}
END_TEST

START_TEST(damaged_schedulers_are_refused)
{
    db_free(&env, pipeline->scheduler_config);
    pipeline->scheduler_config = db_copy_text(&env, "{\"beta_start\": [1]}");
    refuse(DREAMBOOTH_EFORMAT, "beta_start");
    db_free(&env, pipeline->scheduler_config);
    pipeline->scheduler_config = db_copy_text(&env, "{\"beta_start\": ");
    refuse(DREAMBOOTH_EFORMAT, "scheduler_config.json:1");
}
END_TEST

static int products; /* of matrices that were computed */

static int count_gemm(const dreambooth_kernel_host *host,
                      const dreambooth_gemm *a)
{
    products++;
    return db_backend_reference.gemm(host, a);
}

/* A prediction for the same latents at timestep INDEX of STEPS, or without
 * them, and the products that it took. */
static struct db_tensor *predict(struct db_device *counting,
                                 struct db_tensor *context,
                                 const float *timesteps,
                                 struct db_unet_steps *steps, int64_t index,
                                 int *count)
{
    struct db_shape shape = db_shape4(2, 4, 4, 4);
    float each[2] = {timesteps[index], timesteps[index]};
    struct db_tensor *result;
    struct db_var *x, *prompt;
    struct db_tape tape;
    int64_t i;

    db_tape_init(&tape, counting, false);
    prompt = db_var_new(&tape, context, false);
    x = db_var_empty(&tape, &shape);
    for (i = 0; i < db_tensor_count(x->data); i++)
        db_tensor_f32(x->data)[i] = (float)(i % 7) - 3;
    products = 0;
    x = steps == NULL
            ? db_unet_forward(&tape, pipeline->unet, x, each, prompt, NULL)
            : db_unet_step(&tape, pipeline->unet, steps, index, x, prompt);
    *count = products;
    ck_assert_int_eq(tape.status, DREAMBOOTH_OK);
    result = db_tensor_hold(x->data);
    db_drop(x);
    return result;
}

/* A parameter of the UNet that is called .. NAME takes another value. */
static void change(const char *name)
{
    struct db_params *params = db_pipeline_params(pipeline, DB_UNET);
    size_t i;

    for (i = 0; i < params->count; i++)
        if (strstr(params->items[i]->name, name) != NULL)
            break;
    ck_assert_uint_lt(i, params->count);
    db_tensor_f32(params->items[i]->data)[0] += 1.0f;
    params->items[i]->version++;
}

/* Of all that STEPS keeps. */
static uint64_t floats_of(const struct db_unet_steps *steps)
{
    int64_t count = db_tensor_count(steps->times);
    size_t i;

    for (i = 0; i < steps->memo.count; i++)
        count += db_tensor_count(steps->memo.entries[i].y);
    return (uint64_t)count;
}

/* Over the steps of a sampler, what is linear in the prompt or the timesteps is
 * computed once, and anew when parameters have changed. */
START_TEST(steps_share_what_stays)
{
    static const float timesteps[] = {801, 601, 401, 201};
    static const char *const names[] = {NULL, "attn2.to_k", "time_emb_proj",
                                        "time_embedding.linear_1"};
    struct db_shape shape =
        db_shape3(2, 5, pipeline->unet->config.cross_attention_dim[0]);
    dreambooth_backend table = db_backend_reference;
    struct db_device counting;
    struct db_unet_steps steps;
    struct db_tensor *context;
    int64_t i;

    table.gemm = count_gemm;
    db_device_init(&counting, &env, pool, &table);
    ck_assert_int_eq(db_unet_steps_new(&env, 4, &steps), DREAMBOOTH_OK);
    memcpy(steps.timesteps, timesteps, sizeof(timesteps));
    ck_assert_int_eq(db_tensor_new_zero(&env, DB_F32, &shape, &context),
                     DREAMBOOTH_OK);
    for (i = 0; i < db_tensor_count(context); i++)
        db_tensor_f32(context)[i] = (float)(i % 5) - 2;
    for (i = 0; i < 4; i++) {
        struct db_tensor *want, *first, *second;
        int all, some, fewer;

        if (names[i] != NULL)
            change(names[i]);
        want = predict(&counting, context, timesteps, NULL, i, &all);
        first = predict(&counting, context, timesteps, &steps, i, &some);
        second = predict(&counting, context, timesteps, &steps, i, &fewer);
        ck_assert_int_eq(some, all);
        ck_assert_int_lt(fewer, all);
        ck_assert_mem_eq(first->data, want->data, 2 * 64 * sizeof(float));
        ck_assert_mem_eq(second->data, want->data, 2 * 64 * sizeof(float));
        db_tensor_release(want);
        db_tensor_release(first);
        db_tensor_release(second);
    }
    ck_assert_uint_eq(db_unet_steps_floats(pipeline->unet, 4, 2, 5),
                      floats_of(&steps));
    db_tensor_release(context);
    db_unet_steps_release(&steps);
}
END_TEST

/* The memory that a run of one image is said to need. */
static uint64_t memory_of(const char *steps, const char *guidance_scale)
{
    struct db_sampler *sampler = NULL;
    uint64_t result;

    set("steps", steps);
    set("guidance-scale", guidance_scale);
    set("sampler", "ddim");
    ck_assert_int_eq(db_sampler_new(&device, pipeline, &settings, &sampler),
                     DREAMBOOTH_OK);
    result = db_sampler_memory(sampler);
    db_sampler_free(sampler);
    return result;
}

/* What stays from step to step is part of it, and so is the negative prompt. */
START_TEST(memory_counts_what_stays)
{
    const int64_t length = 8; /* of tiny_text's prompts */
    uint64_t one = memory_of("1", "1"), four = memory_of("4", "1");
    uint64_t two_rows = memory_of("1", "7.5");

    ck_assert_uint_eq(four - one,
                      sizeof(float) *
                          (db_unet_steps_floats(pipeline->unet, 4, 1, length) -
                           db_unet_steps_floats(pipeline->unet, 1, 1, length)));
    ck_assert_uint_ge(two_rows - one,
                      sizeof(float) *
                          (db_unet_steps_floats(pipeline->unet, 1, 2, length) -
                           db_unet_steps_floats(pipeline->unet, 1, 1, length)));
    ck_assert_uint_gt(db_unet_steps_floats(pipeline->unet, 1, 2, length),
                      db_unet_steps_floats(pipeline->unet, 1, 1, length));
}
END_TEST

static void *keep_nothing(const dreambooth_kernel_host *host,
                          const dreambooth_form *form, size_t size, int *is_new)
{
    (void)host;
    (void)form;
    (void)size;
    *is_new = 0;
    return NULL;
}

/* What kernels keep of the weights changes no bit, and is made anew when these
 * change; where a limit leaves no room, there is nothing. */
START_TEST(forms_change_nothing)
{
    struct db_sampler *with, *without, *changed;

    db_device_init(&device, &env, pool, db_backend_find("simd"));
    ck_assert_uint_gt(db_unet_forms_size(pipeline->unet, &device), 0);
    with = make();
    finish(with);
    ck_assert_uint_gt(with->batch.unet.forms.most, 0);
    ck_assert_ptr_null(device.forms);
    device.host.keep = keep_nothing;
    env.limit_bytes =
        env.live_bytes + db_sampler_memory(with) + ((uint64_t)32 << 20);
    without = make();
    ck_assert_int_eq(db_sampler_batch_begin(without, 0, &without->batch),
                     DREAMBOOTH_OK);
    ck_assert_uint_eq(without->batch.unet.forms.most, 0);
    env.limit_bytes = 0;
    finish(without);
    ck_assert(same(db_sampler_image(with, 0), db_sampler_image(without, 0)));
    change("conv_in.weight");
    changed = make();
    finish(changed);
    ck_assert(!same(db_sampler_image(with, 0), db_sampler_image(changed, 0)));
    db_sampler_free(changed);
    db_sampler_free(without);
    db_sampler_free(with);
}
END_TEST

/* Allocation number `fail_at` fails, and the next, which may be its second
 * try. */
static long allocations, fail_at;

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    (void)user;
    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (++allocations == fail_at || allocations == fail_at + 1)
        return NULL;
    return realloc(pointer, size);
}

static int sample_once(void)
{
    struct db_sampler *sampler = NULL;
    int status = db_sampler_new(&device, pipeline, &settings, &sampler);

    if (status == DREAMBOOTH_OK)
        status = db_sampler_run(sampler);
    db_sampler_free(sampler);
    return status;
}

START_TEST(every_allocation_may_fail)
{
    uint64_t before = env.live_bytes;
    int status;

    set("steps", "1");
    set("sampler", "ddpm");
    env.resize = failing_resize;
    for (fail_at = 1;; fail_at += 1 + fail_at / (unit_is_quick() ? 5 : 40)) {
        allocations = 0;
        status = sample_once();
        ck_assert_uint_eq(env.live_bytes, before);
        if (status == DREAMBOOTH_OK)
            break;
        ck_assert_msg(status == DREAMBOOTH_ENOMEM, "%ld: %d, %s", fail_at,
                      status, env.error_text);
    }
    ck_assert_int_lt(allocations, fail_at);
    fail_at = 0;
}
END_TEST

/* How many weights of products are in memory. */
static size_t count_there(const struct db_params *params)
{
    size_t i, count = 0;

    for (i = 0; i < params->count; i++)
        count += params->items[i]->layout == DB_LAYOUT_MATRIX &&
                 params->items[i]->data != NULL;
    return count;
}

/* It is read again for the next prompt, and stays where nothing could be. */
START_TEST(the_text_encoder_leaves_memory)
{
    struct db_pipeline *made = pipeline;
    struct db_sampler *sampler = make(), *again;
    struct db_params *params = db_pipeline_params(made, DB_TEXT_ENCODER);
    char path[UNIT_PATH_MAX];

    finish(sampler);
    ck_assert_uint_gt(count_there(params), 0);
    unit_path(path, folder, "saved");
    ck_assert_int_eq(db_pipeline_save(made, path, DB_F32), DREAMBOOTH_OK);
    ck_assert_int_eq(db_pipeline_open(&env, path, &pipeline), DREAMBOOTH_OK);
    params = db_pipeline_params(pipeline, DB_TEXT_ENCODER);
    db_sampler_free(make());
    again = make();
    ck_assert_uint_eq(count_there(params), 0);
    finish(again);
    ck_assert(same(db_sampler_image(again, 0), db_sampler_image(sampler, 0)));
    db_sampler_free(again);
    db_sampler_free(sampler);
    db_pipeline_free(pipeline);
    pipeline = made;
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *function)
{
    TCase *test_case = tcase_create(name);

    tcase_set_timeout(test_case, 0);
    tcase_add_checked_fixture(test_case, setup, teardown);
    tcase_add_test(test_case, function);
    suite_add_tcase(suite, test_case);
}

int main(void)
{
    Suite *suite = suite_create("sample");

    add(suite, "samplers", every_sampler_gives_images);
    add(suite, "batches", batches_change_nothing);
    add(suite, "torch seeds", torch_seeds_count_up);
    add(suite, "threads", threads_change_nothing);
    add(suite, "sides", sides_must_fit);
    add(suite, "guidance", guidance_matters);
    add(suite, "long prompts", long_prompts_are_cut);
    add(suite, "cancelling", a_cancelled_step_can_be_taken_again);
    add(suite, "preview", the_last_preview_is_the_image);
    add(suite, "files", files_tell_how_they_were_made);
    add(suite, "nan", nan_is_told_with_its_step);
    add(suite, "steps", steps_share_what_stays);
    add(suite, "forms change nothing", forms_change_nothing);
    add(suite, "memory", memory_counts_what_stays);
    add(suite, "text encoder", the_text_encoder_leaves_memory);
    add(suite, "schedulers", damaged_schedulers_are_refused);
    add(suite, "allocations", every_allocation_may_fail);
    return unit_main(suite);
}

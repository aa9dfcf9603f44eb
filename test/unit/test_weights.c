/* SPDX-License-Identifier: MIT */
/*
 * Weights that are read when they are needed: that a model which was opened
 * computes what it should whatever is there already, in floats and in bfloat16,
 * and that a file which changes meanwhile is an error and nothing worse.
 */
#include <fcntl.h>
#include <unistd.h>

#include "nn/param_int.h"
#include "tensor/convert.h"
#include "tiny.h"

static char folder[UNIT_PATH_MAX], saved[UNIT_PATH_MAX];
static char unet_file[UNIT_PATH_MAX];
static struct db_env env;
static struct db_pool *pool;
static struct db_device device;

static void set_up(void)
{
    struct db_pipeline *made;

    unit_directory_new(folder);
    tiny_write_model(folder);
    unit_path(saved, folder, "saved");
    unit_path(unet_file, saved, "unet/diffusion_pytorch_model.safetensors");
    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 3, &pool), DREAMBOOTH_OK);
    db_device_init(&device, &env, pool, &db_backend_blas);
    made = tiny_pipeline(&env, folder);
    ck_assert_int_eq(db_pipeline_save(made, saved, DB_F32), DREAMBOOTH_OK);
    db_pipeline_free(made);
}

static void tear_down(void)
{
    db_pool_free(pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
    unit_directory_free(folder);
}

static struct db_pipeline *open_as(const char *path, enum db_dtype weights)
{
    struct db_pipeline *pipeline = NULL;
    int status = db_pipeline_open_as(&env, path, weights, &pipeline);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return pipeline;
}

/* One pass of the UNet, 4 x 4 x 4 numbers into OUT; its status. */
static int run_unet(const struct db_pipeline *pipeline, float *out)
{
    struct db_shape image = db_shape4(1, 4, 4, 4), words = db_shape3(1, 2, 8);
    const float timestep = 9;
    struct db_var *x, *context, *y;
    struct db_tape tape;
    int64_t i;
    int status;

    db_tape_init(&tape, &device, false);
    x = db_var_empty(&tape, &image);
    context = db_var_empty(&tape, &words);
    for (i = 0; i < 64; i++)
        db_tensor_f32(x->data)[i] = (float)(i % 7) - 3;
    for (i = 0; i < 16; i++)
        db_tensor_f32(context->data)[i] = (float)(i % 5) - 2;
    y = db_unet_forward(&tape, pipeline->unet, x, &timestep, context, NULL);
    status = tape.status;
    if (y != NULL)
        memcpy(out, y->data->data, 64 * sizeof(float));
    db_drop(y);
    db_tape_clear(&tape);
    return status;
}

static size_t count_there(const struct db_params *params)
{
    size_t i, count = 0;

    for (i = 0; i < params->count; i++)
        if (params->items[i]->layout != DB_LAYOUT_PLAIN &&
            params->items[i]->data != NULL)
            count++;
    return count;
}

START_TEST(weights_are_read_when_needed)
{
    struct db_pipeline *made = tiny_pipeline(&env, folder);
    struct db_pipeline *opened = open_as(saved, DB_F32);
    struct db_params *params = db_pipeline_params(opened, DB_UNET);
    float want[64], got[64];

    ck_assert_uint_eq(count_there(params), 0);
    ck_assert_int_eq(run_unet(made, want), DREAMBOOTH_OK);
    ck_assert_int_eq(run_unet(opened, got), DREAMBOOTH_OK);
    ck_assert_mem_eq(want, got, sizeof(want));
    ck_assert_uint_gt(count_there(params), 0);
    ck_assert_uint_eq(count_there(db_pipeline_params(opened, DB_VAE)), 0);
    db_params_set_trainable(params, true);
    db_params_forget(params);
    ck_assert_uint_gt(count_there(params), 0);
    db_params_set_trainable(params, false);
    db_params_forget(params);
    ck_assert_uint_eq(count_there(params), 0);
    ck_assert_int_eq(run_unet(opened, got), DREAMBOOTH_OK);
    ck_assert_mem_eq(want, got, sizeof(want));
    db_pipeline_free(made);
    db_pipeline_free(opened);
}
END_TEST

/* A model that was never read is saved as it is. */
START_TEST(what_is_not_there_is_saved)
{
    struct db_pipeline *opened = open_as(saved, DB_F32);
    char copy[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    char *want, *got;
    size_t size, copied;

    unit_path(copy, folder, "copy");
    ck_assert_int_eq(db_pipeline_save(opened, copy, DB_F32), DREAMBOOTH_OK);
    ck_assert_uint_eq(count_there(db_pipeline_params(opened, DB_UNET)), 0);
    want = unit_read_file(unet_file, &size);
    got = unit_read_file(
        unit_path(path, copy, "unet/diffusion_pytorch_model.safetensors"),
        &copied);
    ck_assert_uint_eq(size, copied);
    ck_assert_mem_eq(want, got, size);
    free(want);
    free(got);
    db_pipeline_free(opened);
}
END_TEST

/* Weights of products, and they alone, are rounded to nearest. */
static void check_rounded(struct db_params *halves, struct db_params *floats)
{
    size_t i;
    int64_t k;

    ck_assert_int_eq(db_params_need(halves, pool), DREAMBOOTH_OK);
    ck_assert_int_eq(db_params_need(floats, NULL), DREAMBOOTH_OK);
    for (i = 0; i < halves->count; i++) {
        const struct db_tensor *half = halves->items[i]->data;
        const struct db_tensor *whole = floats->items[i]->data;
        bool rounded = db_param_is_weight(halves->items[i]);

        ck_assert_int_eq(half->dtype, rounded ? DB_BF16 : DB_F32);
        for (k = 0; k < db_tensor_count(half); k++)
            ck_assert(rounded
                          ? ((uint16_t *)half->data)[k] ==
                                db_f32_to_bf16(db_tensor_f32(whole)[k])
                          : db_tensor_f32(half)[k] == db_tensor_f32(whole)[k]);
    }
}

START_TEST(bfloat16_weights_take_half_the_memory)
{
    struct db_pipeline *floats = open_as(saved, DB_F32);
    struct db_pipeline *halves = open_as(saved, DB_BF16), *again;
    struct db_params *params = db_pipeline_params(halves, DB_UNET);
    char copy[UNIT_PATH_MAX];
    float want[64], got[64];
    int part;

    for (part = 0; part < DB_PARTS; part++)
        check_rounded(db_pipeline_params(halves, (enum db_part)part),
                      db_pipeline_params(floats, (enum db_part)part));
    ck_assert_uint_lt(db_params_bytes(params),
                      db_params_bytes(db_pipeline_params(floats, DB_UNET)) * 6 /
                          10);
    unit_path(copy, folder, "copy");
    ck_assert_int_eq(db_pipeline_save(halves, copy, DB_BF16), DREAMBOOTH_OK);
    again = open_as(copy, DB_BF16);
    db_params_forget(params);
    ck_assert_int_eq(run_unet(halves, got), DREAMBOOTH_OK);
    ck_assert_int_eq(run_unet(again, want), DREAMBOOTH_OK);
    ck_assert_int_eq(run_unet(floats, want), DREAMBOOTH_OK);
    db_pipeline_free(again);
    /* What floats of the same values give. */
    ck_assert_int_eq(db_pipeline_save(halves, copy, DB_F32), DREAMBOOTH_OK);
    again = open_as(copy, DB_F32);
    ck_assert_int_eq(run_unet(again, want), DREAMBOOTH_OK);
    ck_assert_mem_eq(want, got, sizeof(want));
    db_pipeline_free(again);
    db_pipeline_free(floats);
    db_pipeline_free(halves);
}
END_TEST

/* What happens to the file of the UNet after it was opened. */

static void shorten(void)
{
    ck_assert_int_eq(truncate(unet_file, 20000), 0);
}

static void overwrite(void)
{
    int file = open(unet_file, O_WRONLY);

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pwrite(file, "changed", 7, 30000), 7);
    ck_assert_int_eq(close(file), 0);
}

static void (*const changes[])(void) = {shorten, overwrite};

START_TEST(a_file_that_changes_is_an_error)
{
    struct db_pipeline *opened;
    char copy[UNIT_PATH_MAX];
    float got[64];
    size_t i;

    unit_path(copy, folder, "copy");
    for (i = 0; i < DB_COUNT(changes); i++) {
        set_up();
        opened = open_as(saved, i == 0 ? DB_BF16 : DB_F32);
        usleep(20000); /* file systems count time in larger steps */
        changes[i]();
        ck_assert_int_eq(run_unet(opened, got), DREAMBOOTH_EIO);
        ck_assert_ptr_nonnull(strstr(env.error_text, unet_file));
        ck_assert_ptr_nonnull(strstr(env.error_text, "tensor \""));
        ck_assert_ptr_nonnull(strstr(env.error_text, "has changed"));
        ck_assert_int_eq(db_pipeline_save(opened, copy, DB_F32),
                         DREAMBOOTH_EIO);
        ck_assert_int_eq(
            db_params_need(db_pipeline_params(opened, DB_UNET), pool),
            DREAMBOOTH_EIO);
        ck_assert_int_eq(
            db_params_need(db_pipeline_params(opened, DB_VAE), pool),
            DREAMBOOTH_OK);
        db_pipeline_free(opened);
        tear_down();
    }
}
END_TEST

/* A file that another takes the place of stays what it was. */
START_TEST(a_file_that_is_replaced_stays)
{
    struct db_pipeline *opened = open_as(saved, DB_F32);
    struct db_pipeline *made = tiny_pipeline(&env, folder);
    float want[64], got[64];

    ck_assert_int_eq(run_unet(made, want), DREAMBOOTH_OK);
    ck_assert_int_eq(unlink(unet_file), 0);
    tiny_write(saved, "unet/diffusion_pytorch_model.safetensors", "other");
    ck_assert_int_eq(run_unet(opened, got), DREAMBOOTH_OK);
    ck_assert_mem_eq(want, got, sizeof(want));
    db_pipeline_free(opened);
    db_pipeline_free(made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weights");
    TCase *whole = tcase_create("whole"), *broken = tcase_create("broken");

    tcase_add_checked_fixture(whole, set_up, tear_down);
    tcase_add_test(whole, weights_are_read_when_needed);
    tcase_add_test(whole, what_is_not_there_is_saved);
    tcase_add_test(whole, bfloat16_weights_take_half_the_memory);
    tcase_add_test(whole, a_file_that_is_replaced_stays);
    tcase_add_test(broken, a_file_that_changes_is_an_error);
    suite_add_tcase(suite, whole);
    suite_add_tcase(suite, broken);
    return unit_main(suite);
}

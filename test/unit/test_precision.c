/* SPDX-License-Identifier: MIT */
/*
 * What bfloat16 costs in exactness: with the precision and with weights of that
 * name, a pass of the UNet, its gradients and a training step stay near those
 * of the reference backend in floats, and are not the same where a processor
 * multiplies bfloat16.
 *
 * Bounds are twice what was measured with AMX, or a little more; AVX512-BF16
 * keeps them too, where it is.
 */
#include <math.h>

#include "kernel/simd/simd_int.h"
#include "tiny.h"
#include "train/trainer.h"

#define SIDE 8
#define TOKENS 8
#define OUTPUTS (2 * SIDE * SIDE * 4)

static struct db_env env;
static struct db_pool *pool;
static char folder[UNIT_PATH_MAX], saved[UNIT_PATH_MAX];

static const struct way {
    const char *name;
    enum db_dtype weights;
    int precision;
    const char *backend;
} golden = {"float32", DB_F32, DREAMBOOTH_FLOAT32, "reference"},
  ways[] = {{"precision", DB_F32, DREAMBOOTH_BFLOAT16, "simd"},
            {"weights", DB_BF16, DREAMBOOTH_FLOAT32, "simd"},
            {"precision and weights", DB_BF16, DREAMBOOTH_BFLOAT16, "simd"},
            {"AVX512-BF16", DB_F32, DREAMBOOTH_BFLOAT16, "simd-avx512bf16"},
            {"AVX512-BF16 and weights", DB_BF16, DREAMBOOTH_BFLOAT16,
             "simd-avx512bf16"}};

static bool is_there(const struct way *way)
{
    return db_backend_find(way->backend) != NULL;
}

static void set_up(void)
{
    struct db_pipeline *made;

    unit_directory_new(folder);
    tiny_write_model(folder);
    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 2, &pool), DREAMBOOTH_OK);
    made = tiny_pipeline(&env, folder);
    ck_assert_int_eq(
        db_pipeline_save(made, unit_path(saved, folder, "saved"), DB_F32),
        DREAMBOOTH_OK);
    db_pipeline_free(made);
}

static void tear_down(void)
{
    db_pool_free(pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
    unit_directory_free(folder);
}

static void open_device(const struct way *way, struct db_device *device)
{
    db_device_init(device, &env, pool, db_backend_find(way->backend));
    device->host.precision = way->precision;
}

static struct db_pipeline *open_model(const struct way *way)
{
    struct db_pipeline *pipeline = NULL;
    int status = db_pipeline_open_as(&env, saved, way->weights, &pipeline);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return pipeline;
}

/* Does this way multiply otherwise than floats do? */
static bool rounds(const struct way *way)
{
    const dreambooth_backend *table = db_backend_find(way->backend);

    return way->weights == DB_BF16 || (way->precision == DREAMBOOTH_BFLOAT16 &&
                                       db_simd_tiles(table->user) != NULL);
}

/* The root of the mean square of GOT's error, as a share of WANT's. */
static double distance(const float *got, const float *want, int64_t count)
{
    double error = 0, whole = 0;
    int64_t i;

    for (i = 0; i < count; i++) {
        double apart = (double)got[i] - (double)want[i];

        error += apart * apart;
        whole += (double)want[i] * (double)want[i];
    }
    return sqrt(error / whole);
}

static void check_near(const struct way *way, const char *what, double apart,
                       double bound)
{
    double least = rounds(way) ? bound / 20 : 0;

    ck_assert_msg(apart <= (rounds(way) ? bound : 1e-5),
                  "%s, %s: %.3g from floats", way->name, what, apart);
    ck_assert_msg(apart >= least,
                  "%s, %s: %.3g from floats, as if none were"
                  " rounded",
                  way->name, what, apart);
}

static struct db_var *filled(struct db_tape *tape, struct db_shape shape,
                             int seed)
{
    struct db_var *var = db_var_empty(tape, &shape);
    int64_t i;

    for (i = 0; i < db_tensor_count(var->data); i++)
        db_tensor_f32(var->data)[i] = (float)sin((double)((i + 1) * seed));
    return var;
}

/* All gradients of PARAMS, one after the other. */
static float *gradients_of(const struct db_params *params)
{
    float *all = malloc((size_t)db_params_elements(params) * sizeof(*all));
    int64_t used = 0, count;
    size_t i;

    ck_assert_ptr_nonnull(all);
    for (i = 0; i < params->count; i++) {
        ck_assert_ptr_nonnull(params->items[i]->gradient);
        count = db_tensor_count(params->items[i]->gradient);
        memcpy(all + used, params->items[i]->gradient->data,
               (size_t)count * sizeof(*all));
        used += count;
    }
    ck_assert_int_eq(used, db_params_elements(params));
    return all;
}

/* The UNet's prediction and the gradients of its squares' mean. */
static float *run_unet(const struct way *way, float output[OUTPUTS],
                       int64_t *count)
{
    const float timesteps[] = {900, 30};
    struct db_pipeline *pipeline = open_model(way);
    struct db_params *params = &pipeline->unet->params;
    struct db_device device;
    struct db_tensor *target;
    struct db_var *y;
    struct db_tape tape;
    float *gradients;

    open_device(way, &device);
    db_params_set_trainable(params, true);
    db_tape_init(&tape, &device, true);
    y = filled(&tape, db_shape4(2, SIDE, SIDE, 4), 3);
    y = db_unet_forward(&tape, pipeline->unet, y, timesteps,
                        filled(&tape, db_shape3(2, TOKENS, 8), 5), NULL);
    ck_assert_int_eq(tape.status, DREAMBOOTH_OK);
    memcpy(output, y->data->data, OUTPUTS * sizeof(float));
    ck_assert_int_eq(db_tensor_new_zero(&env, DB_F32, &y->data->shape, &target),
                     DREAMBOOTH_OK);
    y = db_mse(&tape, y, target, NULL, NULL);
    ck_assert_int_eq(db_tape_backward(&tape, y, NULL), DREAMBOOTH_OK);
    db_tape_clear(&tape);
    db_tensor_release(target);
    gradients = gradients_of(params);
    *count = db_params_elements(params);
    db_pipeline_free(pipeline);
    return gradients;
}

START_TEST(the_unet_stays_near)
{
    static const double bounds[][2] = {{1.5e-2, 2.3e-2},
                                       {1.1e-2, 1.8e-2},
                                       {1.6e-2, 2.5e-2},
                                       {1.5e-2, 2.3e-2},
                                       {1.6e-2, 2.5e-2}};
    float want[OUTPUTS], got[OUTPUTS];
    int64_t count;
    float *gradients = run_unet(&golden, want, &count), *other;
    size_t i;

    for (i = 0; i < DB_COUNT(ways) && is_there(&ways[i]); i++) {
        other = run_unet(&ways[i], got, &count);
        check_near(&ways[i], "output", distance(got, want, OUTPUTS),
                   bounds[i][0]);
        check_near(&ways[i], "gradients", distance(other, gradients, count),
                   bounds[i][1]);
        free(other);
    }
    free(gradients);
}
END_TEST

#define STEPS 2
#define FACTS (2 * STEPS)

/* Loss and norm of the gradients of two steps on one picture: those of the
 * second are of the parameters that the first one left. */
static void train(const struct way *way, float facts[FACTS])
{
    static const char *const options[][2] = {{"instance-prompt", "a qzx dog"},
                                             {"size", "16"},
                                             {"seed", "9"},
                                             {"learning-rate", "1e-2"}};
    struct db_trainer_settings settings = {0};
    struct db_pipeline *pipeline = open_model(way);
    struct db_image *picture = tiny_picture(&env, 1, 16, 16);
    struct db_trainer *trainer = NULL;
    struct db_device device;
    size_t i;

    open_device(way, &device);
    ck_assert_int_eq(db_options_init(&env, &db_trainer_options, &settings),
                     DREAMBOOTH_OK);
    for (i = 0; i < DB_COUNT(options); i++)
        ck_assert_int_eq(db_options_set(&env, &db_trainer_options, &settings,
                                        options[i][0], options[i][1]),
                         DREAMBOOTH_OK);
    ck_assert_msg(db_trainer_new(&device, pipeline, &settings, &trainer) ==
                      DREAMBOOTH_OK,
                  "%s", env.error_text);
    ck_assert_int_eq(db_trainer_add_image(trainer, picture), DREAMBOOTH_OK);
    for (i = 0; i < STEPS; i++) {
        ck_assert_int_eq(db_trainer_step(trainer), DREAMBOOTH_OK);
        facts[2 * i] = (float)db_trainer_report_of(trainer)->loss;
        facts[2 * i + 1] = (float)db_trainer_report_of(trainer)->gradient_norm;
    }
    db_trainer_free(trainer);
    db_image_free(&env, picture);
    db_options_release(&env, &db_trainer_options, &settings);
    db_pipeline_free(pipeline);
}

START_TEST(a_step_stays_near)
{
    static const double bounds[] = {2e-3, 4e-3, 6e-3, 2e-3, 6e-3};
    float want[FACTS], got[FACTS];
    size_t i;

    train(&golden, want);
    for (i = 0; i < DB_COUNT(ways) && is_there(&ways[i]); i++) {
        train(&ways[i], got);
        check_near(&ways[i], "steps", distance(got, want, FACTS), bounds[i]);
    }
}
END_TEST

#define CHANNELS 48
#define MOST_VALUES (32 * 32 * CHANNELS)

/* How far a 3x3 convolution of a picture of SIDE x SIDE is from floats. */
static double distance_of_convolution(const struct way *way, int64_t side)
{
    static float x[MOST_VALUES], want[MOST_VALUES], got[MOST_VALUES];
    static float weight[9 * CHANNELS * CHANNELS];
    dreambooth_conv2d c = {.batch = 1,
                           .in_height = side,
                           .in_width = side,
                           .in_channels = CHANNELS,
                           .out_height = side,
                           .out_width = side,
                           .out_channels = CHANNELS,
                           .kernel_height = 3,
                           .kernel_width = 3,
                           .stride = 1,
                           .pad_top = 1,
                           .pad_left = 1,
                           .pad_bottom = 1,
                           .pad_right = 1,
                           .x = x,
                           .weight = weight,
                           .y = want};
    struct db_device device;
    int64_t i;

    for (i = 0; i < MOST_VALUES; i++)
        x[i] = (float)sin((double)i);
    for (i = 0; i < 9 * CHANNELS * CHANNELS; i++)
        weight[i] = (float)cos((double)(3 * i));
    open_device(&golden, &device);
    ck_assert_int_eq(db_run(&device, conv2d_forward, &c), DREAMBOOTH_OK);
    c.y = got;
    open_device(way, &device);
    ck_assert_int_eq(db_run(&device, conv2d_forward, &c), DREAMBOOTH_OK);
    return distance(got, want, side * side * CHANNELS);
}

/* Winograd's way with floats is faster for large pictures. */
START_TEST(few_pixels_are_rounded)
{
    const struct way way = {"AVX512-BF16", DB_F32, DREAMBOOTH_BFLOAT16,
                            "simd-avx512bf16"};

    if (!is_there(&way))
        return;
    ck_assert_double_lt(distance_of_convolution(&way, 32), 1e-5);
    ck_assert_double_gt(distance_of_convolution(&way, 16), 1e-4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("precision");
    TCase *test_case = tcase_create("precision");

    tcase_add_checked_fixture(test_case, set_up, tear_down);
    tcase_add_test(test_case, the_unet_stays_near);
    tcase_add_test(test_case, a_step_stays_near);
    tcase_add_test(test_case, few_pixels_are_rounded);
    suite_add_tcase(suite, test_case);
    return unit_main(suite);
}

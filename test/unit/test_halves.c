/* SPDX-License-Identifier: MIT */
/* What lies in bfloat16 between products, where they round to that anyway,
 * changes no bit: not in a slot, and not in a transformer. */
#include <math.h>
#include <string.h>

#include "halves.h"
#include "kernel/device.h"
#include "nn/transformer.h"
#include "unit.h"

/* The bits of all where products are of tiles, and nearly them elsewhere. */
static void check_halves(const struct db_device *d, const uint16_t *got,
                         const float *want, float factor, int64_t count,
                         const char *what)
{
    int64_t i;

    for (i = 0; i < count; i++)
        if (db_device_narrows(d))
            unit_assert_msg(got[i] == rounded(factor * want[i]), "%s, %d", what,
                            (int)i);
        else
            unit_assert_msg(fabsf(widened(got[i]) - factor * want[i]) < 0.02f,
                            "%s, %d", what, (int)i);
}

/* With a factor; and over a residual. */
static void check_product(struct db_device *d, int64_t m, int64_t n, int64_t k)
{
    float *a = values(m * k, 1), *b = values(n * k, 2), *bias = values(n, 3);
    float *want = values(m * n, 4), *got = values(m * n, 5);
    uint16_t *half = halves(got, m * n, 1.0f);
    dreambooth_gemm g = {.batch = 1,
                         .m = m,
                         .n = n,
                         .k = k,
                         .transpose_b = 1,
                         .alpha = 1.0f,
                         .a = a,
                         .b = b,
                         .c = want,
                         .lda = k,
                         .ldb = k,
                         .ldc = n};
    int64_t i;

    ck_assert_int_eq(db_run(d, gemm, &g), DREAMBOOTH_OK);
    g.alpha = 0.3f;
    g.c = NULL;
    g.c_bf16 = half;
    ck_assert_int_eq(db_run(d, gemm, &g), DREAMBOOTH_OK);
    check_halves(d, half, want, 0.3f, m * n, "product");
    g.alpha = 1.0f;
    g.bias = bias;
    g.c = want;
    g.c_bf16 = NULL;
    ck_assert_int_eq(db_run(d, gemm, &g), DREAMBOOTH_OK);
    for (i = 0; i < m * n; i++)
        want[i] += got[i];
    g.c = got;
    g.beta = 1.0f;
    ck_assert_int_eq(db_run(d, gemm, &g), DREAMBOOTH_OK);
    for (i = 0; i < m * n; i++)
        unit_assert_msg(db_device_narrows(d) ? got[i] == want[i]
                                             : fabsf(got[i] - want[i]) < 1e-3f,
                        "residual, %d", (int)i);
    db_free(&env, a);
    db_free(&env, b);
    db_free(&env, bias);
    db_free(&env, want);
    db_free(&env, got);
    db_free(&env, half);
}

static void check_norm(struct db_device *d, int64_t rows, int64_t channels)
{
    float *x = values(rows * channels, 1), *y = values(rows * channels, 2);
    float *weight = values(channels, 3), *bias = values(channels, 4);
    float *statistics = values(2 * rows, 5);
    uint16_t *half = halves(y, rows * channels, 1.0f);
    dreambooth_layer_norm a = {.rows = rows,
                               .channels = channels,
                               .epsilon = 1e-5f,
                               .x = x,
                               .weight = weight,
                               .bias = bias,
                               .y = y,
                               .mean = statistics,
                               .rstd = statistics + rows};

    ck_assert_int_eq(db_run(d, layer_norm_forward, &a), DREAMBOOTH_OK);
    a.y = NULL;
    a.y_bf16 = half;
    ck_assert_int_eq(db_run(d, layer_norm_forward, &a), DREAMBOOTH_OK);
    check_halves(d, half, y, 1.0f, rows * channels, "norm");
    db_free(&env, x);
    db_free(&env, y);
    db_free(&env, weight);
    db_free(&env, bias);
    db_free(&env, statistics);
    db_free(&env, half);
}

#define LOG2_E 1.4426950408889634

static void check_attention(struct db_device *d, int64_t queries, int64_t keys,
                            int64_t size)
{
    enum { BATCH = 2, HEADS = 3 };
    const int64_t row = BATCH * HEADS * size;
    float *q = values(queries * row, 1), *k = values(keys * row, 2);
    float *v = values(keys * row, 3), *y = values(queries * row, 4);
    float *lse = values(BATCH * HEADS * queries, 5);
    dreambooth_attention a = {.batch = BATCH,
                              .heads = HEADS,
                              .query_length = queries,
                              .key_length = keys,
                              .head_size = size,
                              .scale = 0.37f,
                              .q = q,
                              .k = k,
                              .v = v,
                              .y = y,
                              .lse = lse};
    uint16_t *half[] = {
        halves(q, queries * row, (float)((double)a.scale * LOG2_E)),
        halves(k, keys * row, 1.0f), halves(v, keys * row, 1.0f),
        halves(y, queries * row, 1.0f)};
    size_t i;

    ck_assert_int_eq(db_run(d, attention_forward, &a), DREAMBOOTH_OK);
    a.q = a.k = a.v = NULL;
    a.y = NULL;
    a.q_bf16 = half[0];
    a.k_bf16 = half[1];
    a.v_bf16 = half[2];
    a.y_bf16 = half[3];
    ck_assert_int_eq(db_run(d, attention_forward, &a), DREAMBOOTH_OK);
    check_halves(d, half[3], y, 1.0f, queries * row, "attention");
    for (i = 0; i < DB_COUNT(half); i++)
        db_free(&env, half[i]);
    db_free(&env, q);
    db_free(&env, k);
    db_free(&env, v);
    db_free(&env, y);
    db_free(&env, lse);
}

START_TEST(slots_write_what_is_read)
{
    const dreambooth_backend *table;
    struct db_device device;
    size_t t;

    db_env_init(&env);
    for (t = 0; (table = db_backend_at(t)) != NULL; t++) {
        if ((table->features & DREAMBOOTH_FUSES) == 0)
            continue;
        open_device(&device, 3, table, DREAMBOOTH_BFLOAT16);
        check_product(&device, 64, 64, 64);
        check_product(&device, 83, 78, 130);
        check_product(&device, 200, 96, 2080);
        check_norm(&device, 70, 83);
        check_attention(&device, 70, 90, 40);
        check_attention(&device, 64, 64, 64);
        db_pool_free(device.pool);
    }
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

static struct db_tensor *tensor(const struct db_shape *shape, uint32_t seed)
{
    const int64_t count = db_shape_count(shape);
    struct db_tensor *x = NULL;
    float *from = values(count, seed);

    ck_assert_int_eq(db_tensor_new(&env, DB_F32, shape, &x), DREAMBOOTH_OK);
    memcpy(db_tensor_f32(x), from, (size_t)count * sizeof(float));
    db_free(&env, from);
    return x;
}

static struct db_tensor *run(struct db_device *device,
                             const struct db_transformer *transformer,
                             int64_t side, bool recording)
{
    const struct db_shape image = db_shape4(2, side, side, 96);
    const struct db_shape words = db_shape3(2, 77, 80);
    struct db_tensor *x = tensor(&image, 1), *context = tensor(&words, 2), *y;
    struct db_tape tape;
    struct db_var *result;

    db_tape_init(&tape, device, recording);
    result =
        db_transformer_forward(&tape, transformer, db_var_new(&tape, x, false),
                               db_var_new(&tape, context, false), NULL);
    ck_assert_int_eq(tape.status, DREAMBOOTH_OK);
    y = db_tensor_hold(result->data);
    db_drop(result);
    db_tape_clear(&tape);
    db_tensor_release(x);
    db_tensor_release(context);
    return y;
}

/* What is recorded is all floats. */
static void check_transformer(bool linear)
{
    const struct db_transformer_sizes sizes = {.channels = 96,
                                               .context_channels = 80,
                                               .heads = 2,
                                               .layers = 2,
                                               .groups = 32,
                                               .linear = linear};
    struct db_transformer transformer;
    struct db_params params;
    struct db_device device;
    int64_t side;

    db_env_init(&env);
    open_device(&device, 2, db_backend_find("simd"), DREAMBOOTH_BFLOAT16);
    db_params_init(&params, &env);
    db_transformer_build(&transformer, &params, "transformer", &sizes);
    ck_assert_int_eq(db_params_randomize(&params, "unet", 1), DREAMBOOTH_OK);
    for (side = 8; side < 11; side++) {
        struct db_tensor *want = run(&device, &transformer, side, true);
        struct db_tensor *got = run(&device, &transformer, side, false);

        ck_assert_int_eq(memcmp(db_tensor_f32(got), db_tensor_f32(want),
                                (size_t)db_tensor_count(got) * sizeof(float)),
                         0);
        db_tensor_release(want);
        db_tensor_release(got);
    }
    db_params_free(&params);
    db_pool_free(device.pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}

START_TEST(transformers_are_the_same)
{
    check_transformer(false);
    check_transformer(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("halves");

    unit_add(suite, "slots_write_what_is_read", slots_write_what_is_read);
    unit_add(suite, "transformers_are_the_same", transformers_are_the_same);
    return unit_main(suite);
}

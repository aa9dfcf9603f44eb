/* SPDX-License-Identifier: MIT */
/*
 * Kernels from outside: a table that counts the calls of every slot and hands
 * them on, as a plugin would wrap another backend's; and tables that are
 * refused.
 */
#include "api.h"

/* One line for each slot: its name, its arguments. */
/* clang-format off */
#define EACH_SLOT(PUT) \
    PUT(gemm, gemm) \
    PUT(conv2d_forward, conv2d) \
    PUT(conv2d_backward_data, conv2d) \
    PUT(conv2d_backward_weight, conv2d) \
    PUT(group_norm_forward, group_norm) \
    PUT(group_norm_backward, group_norm) \
    PUT(layer_norm_forward, layer_norm) \
    PUT(layer_norm_backward, layer_norm) \
    PUT(attention_forward, attention) \
    PUT(attention_backward, attention) \
    PUT(softmax_forward, softmax) \
    PUT(softmax_backward, softmax) \
    PUT(unary_forward, unary) \
    PUT(unary_backward, unary) \
    PUT(geglu_forward, geglu) \
    PUT(geglu_backward, geglu) \
    PUT(axpby, axpby) \
    PUT(add_rows, rows) \
    PUT(sum_rows, rows) \
    PUT(copy, copy) \
    PUT(upsample_nearest_forward, resample) \
    PUT(upsample_nearest_backward, resample) \
    PUT(average_pool_forward, resample) \
    PUT(average_pool_backward, resample) \
    PUT(embedding_forward, embedding) \
    PUT(embedding_backward, embedding) \
    PUT(mse_forward, mse) \
    PUT(mse_backward, mse) \
    PUT(adamw, adamw) \
    PUT(sum_squares, sum_squares) \
    PUT(adamw_narrow, adamw_narrow) \
    PUT(narrow, narrow)
/* clang-format on */

static dreambooth_backend blas; /* what is wrapped */

#define MEMBER(slot, arguments) int64_t slot;
static struct {
    EACH_SLOT(MEMBER)
} calls;

#define WRAPPER(slot, arguments)                                               \
    static int count_##slot(const dreambooth_kernel_host *host,                \
                            const dreambooth_##arguments *a)                   \
    {                                                                          \
        calls.slot++;                                                          \
        return blas.slot(host, a);                                             \
    }
EACH_SLOT(WRAPPER)

#define FILL(slot, arguments) .slot = count_##slot,
static const dreambooth_backend counting = {.size = sizeof(counting),
                                            .abi = DREAMBOOTH_BACKEND_ABI,
                                            .name = "counting",
                                            EACH_SLOT(FILL)};

/* Trains the text encoder as well, saves as NAME and draws NAME.png, with the
 * context's backend. */
static void train_and_draw(const char *name)
{
    static api_settings more = {"train-text-encoder", "yes", NULL};
    dreambooth_model *model = api_model(api_context);
    dreambooth_trainer *trainer = api_trainer(model, more);
    dreambooth_sampler *sampler;
    char path[UNIT_PATH_MAX], file[64];

    api_ok(dreambooth_trainer_run(trainer));
    dreambooth_trainer_free(trainer);
    api_save(model, name);
    sampler = api_sampler(model, NULL);
    api_ok(dreambooth_sampler_run(sampler));
    snprintf(file, sizeof(file), "%s.png", name);
    api_ok(dreambooth_sampler_write(sampler, 0, api_path(path, file)));
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}

START_TEST(test_counting)
{
    const char *name = NULL;

    api_write_photos(2);
    api_ok(dreambooth_context_set(api_context, "backend", "blas"));
    train_and_draw("blas");
    api_ok(dreambooth_context_get_backend(api_context, "blas", &blas,
                                          sizeof(blas)));
    api_ok(dreambooth_context_add_backend(api_context, &counting, NULL));
    api_ok(dreambooth_context_set(api_context, "backend", "counting"));
    api_ok(dreambooth_context_get_text(api_context, "backend", &name));
    ck_assert_str_eq(name, "counting");
    memset(&calls, 0, sizeof(calls));
    train_and_draw("counting");
    ck_assert(api_same_unet("blas", "counting"));
    ck_assert(api_same_file("blas.png", "counting.png"));
    ck_assert_int_gt(calls.gemm, 100);
    ck_assert_int_gt(calls.conv2d_forward, 100);
    ck_assert_int_gt(calls.conv2d_backward_data, 20);
    ck_assert_int_gt(calls.conv2d_backward_weight, 20);
    ck_assert_int_gt(calls.group_norm_backward, 20);
    ck_assert_int_gt(calls.layer_norm_backward, 20);
    ck_assert_int_gt(calls.attention_backward, 20);
    ck_assert_int_gt(calls.unary_backward, 10);
    ck_assert_int_gt(calls.geglu_backward, 4);
    ck_assert_int_gt(calls.embedding_backward, 3);
    ck_assert_int_gt(calls.upsample_nearest_backward, 3);
    ck_assert_int_eq(calls.mse_backward, 4);
    ck_assert_int_gt(calls.adamw, 4 * 50);
    ck_assert_int_eq(calls.adamw, calls.sum_squares);
}
END_TEST

/* A table with one slot, and one that ends before the others. */
START_TEST(test_partial)
{
    dreambooth_backend one = {.size = sizeof(one),
                              .abi = DREAMBOOTH_BACKEND_ABI,
                              .name = "one",
                              .adamw = count_adamw};
    dreambooth_backend older = {.size = offsetof(dreambooth_backend, adamw),
                                .abi = DREAMBOOTH_BACKEND_ABI,
                                .name = "older",
                                .gemm = count_gemm,
                                .adamw = count_adamw};
    dreambooth_backend merged = {0};

    api_ok(dreambooth_context_get_backend(api_context, "blas", &blas,
                                          sizeof(blas)));
    api_ok(dreambooth_context_add_backend(api_context, &one, "reference"));
    api_ok(dreambooth_context_get_backend(api_context, "one", &merged,
                                          sizeof(merged)));
    ck_assert_str_eq(merged.name, "one");
    ck_assert_uint_eq(merged.size, sizeof(merged));
    ck_assert(merged.gemm != NULL);
    ck_assert(merged.gemm != blas.gemm);
    ck_assert(merged.adamw == count_adamw);
    api_ok(dreambooth_context_add_backend(api_context, &older, "one"));
    one.adamw = NULL;
    api_ok(dreambooth_context_get_backend(api_context, "older", &merged,
                                          sizeof(merged)));
    ck_assert(merged.gemm == count_gemm);
    ck_assert(merged.adamw == count_adamw);
    memset(&merged, 0, sizeof(merged));
    api_ok(dreambooth_context_get_backend(
        api_context, "blas", &merged,
        offsetof(dreambooth_backend, conv2d_forward)));
    ck_assert(merged.gemm == blas.gemm);
    ck_assert(merged.conv2d_forward == NULL);
    ck_assert_uint_eq(merged.size,
                      offsetof(dreambooth_backend, conv2d_forward));

    api_write_photos(1);
    api_ok(dreambooth_context_set(api_context, "backend", "older"));
    memset(&calls, 0, sizeof(calls));
    train_and_draw("older");
    ck_assert_int_gt(calls.gemm, 0);
    ck_assert_int_gt(calls.adamw, 0);
}
END_TEST

START_TEST(test_refused)
{
    dreambooth_backend table = {.size = sizeof(table),
                                .abi = DREAMBOOTH_BACKEND_ABI + 1,
                                .name = "mine"};
    dreambooth_backend copy = {.size = 77};

    api_fails(dreambooth_context_add_backend(api_context, &table, "blas"),
              DREAMBOOTH_EINVAL, "ABI");
    table.abi = DREAMBOOTH_BACKEND_ABI;
    table.size = 4;
    api_fails(dreambooth_context_add_backend(api_context, &table, "blas"),
              DREAMBOOTH_EINVAL, "size");
    table.size = sizeof(table);
    table.name = NULL;
    api_fails(dreambooth_context_add_backend(api_context, &table, "blas"),
              DREAMBOOTH_EINVAL, "no name");
    table.name = "";
    api_fails(dreambooth_context_add_backend(api_context, &table, "blas"),
              DREAMBOOTH_EINVAL, "no name");
    table.name = "blas";
    api_fails(dreambooth_context_add_backend(api_context, &table, "blas"),
              DREAMBOOTH_EINVAL, "already");
    table.name = "mine";
    api_fails(dreambooth_context_add_backend(api_context, &table, "abacus"),
              DREAMBOOTH_ENOTFOUND, "abacus");
    api_fails(dreambooth_context_add_backend(api_context, NULL, "blas"),
              DREAMBOOTH_EINVAL, "NULL");
    api_ok(dreambooth_context_add_backend(api_context, &table, "blas"));
    api_fails(dreambooth_context_add_backend(api_context, &table, "blas"),
              DREAMBOOTH_EINVAL, "already");
    api_fails(dreambooth_context_get_backend(api_context, "abacus", &copy,
                                             sizeof(copy)),
              DREAMBOOTH_ENOTFOUND, "abacus");
    api_fails(
        dreambooth_context_get_backend(api_context, NULL, &copy, sizeof(copy)),
        DREAMBOOTH_EINVAL, "NULL");
    ck_assert_uint_eq(copy.size, 77);
}
END_TEST

static int fail_softly(const dreambooth_kernel_host *host,
                       const dreambooth_conv2d *a)
{
    (void)host;
    (void)a;
    return DREAMBOOTH_EUNSUPPORTED;
}

static int fail_oddly(const dreambooth_kernel_host *host,
                      const dreambooth_adamw *a)
{
    (void)host;
    (void)a;
    return 5;
}

/* A kernel's error ends the call, and is told with slot and backend. */
START_TEST(test_failing)
{
    dreambooth_backend table = {.size = sizeof(table),
                                .abi = DREAMBOOTH_BACKEND_ABI,
                                .name = "failing",
                                .conv2d_backward_data = fail_softly};
    dreambooth_model *model;
    dreambooth_trainer *trainer;

    api_write_photos(1);
    api_ok(dreambooth_context_add_backend(api_context, &table, NULL));
    table.name = "odd";
    table.conv2d_backward_data = NULL;
    table.adamw = fail_oddly;
    api_ok(dreambooth_context_add_backend(api_context, &table, NULL));
    api_ok(dreambooth_context_set(api_context, "backend", "failing"));
    model = api_model(api_context);
    trainer = api_trainer(model, NULL);
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_EUNSUPPORTED,
              "conv2d_backward_data of backend failing");
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    api_ok(dreambooth_context_set(api_context, "backend", "odd"));
    model = api_model(api_context);
    trainer = api_trainer(model, NULL);
    api_fails(dreambooth_trainer_run(trainer), DREAMBOOTH_EINTERNAL,
              "adamw of backend odd returned 5");
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend");

    api_add(suite, "counting", test_counting);
    api_add(suite, "partial tables", test_partial);
    api_add(suite, "refused tables", test_refused);
    api_add(suite, "failing kernels", test_failing);
    return unit_main(suite);
}

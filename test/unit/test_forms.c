/* SPDX-License-Identifier: MIT */
/*
 * What kernels keep of weights: it is found again while the weights stay, gone
 * when one changes, within its size, and never changes a bit.
 */
#include "kernel/bf16/bf16_int.h"
#include "kernel/device.h"
#include "unit.h"

#define ROWS 60
#define OUT 50
#define PLACES 9
#define IN 35
#define SIDE 5

static struct db_env env;
static struct db_pool *pool;
static struct db_device device;
static struct db_forms forms;
static float x[ROWS * OUT * IN], weight[OUT * PLACES * IN], bias[OUT];
static uint16_t narrow_weight[OUT * PLACES * IN];

static void setup(void)
{
    int i;

    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 2, &pool), DREAMBOOTH_OK);
    db_device_init(&device, &env, pool, &db_backend_reference);
    memset(&forms, 0, sizeof(forms));
    forms.env = &env;
    forms.most = (size_t)1 << 20;
    device.forms = &forms;
    for (i = 0; i < ROWS * OUT * IN; i++)
        x[i] = (float)(i % 31) / 7 - 2;
    for (i = 0; i < OUT * PLACES * IN; i++) {
        weight[i] = (float)(i % 23) / 9 - 1;
        narrow_weight[i] = (uint16_t)(0x3f80 + i % 19);
    }
    for (i = 0; i < OUT; i++)
        bias[i] = (float)i;
}

static void teardown(void)
{
    db_forms_release(&forms);
    db_pool_free(pool);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static void know(const void *first, const void *second, uint64_t version)
{
    ck_assert_int_eq(db_forms_count(&forms, 2), DREAMBOOTH_OK);
    db_forms_set(&forms, 0, first, version);
    db_forms_set(&forms, 1, second, version);
}

/* The form NUMBER of AT, 100 bytes. */
static void *keep(const void *at, int64_t number, int *is_new)
{
    const dreambooth_form form = {at, &forms, {number}};

    return device.host.keep(&device.host, &form, 100, is_new);
}

static void expect(const void *at, int64_t number, void *want, int want_new)
{
    int is_new = -1;

    ck_assert_ptr_eq(keep(at, number, &is_new), want);
    ck_assert_int_eq(is_new, want_new);
}

static void *make(const void *at, int64_t number)
{
    int is_new = 0;
    void *memory = keep(at, number, &is_new);

    ck_assert_ptr_nonnull(memory);
    ck_assert_int_eq(is_new, 1);
    ck_assert_uint_eq((uintptr_t)memory % 64, 0);
    memset(memory, (int)number, 100);
    return memory;
}

START_TEST(forms_are_found)
{
    char *first, *second, *third;

    know(x, weight, 1);
    first = make(x, 1);
    second = make(weight, 2);
    third = make(x, 3);
    ck_assert_int_ge(labs(first - second), 100);
    ck_assert_int_ge(labs(third - second), 100);
    know(x, weight, 1);
    expect(x, 1, first, 0);
    expect(weight, 2, second, 0);
    expect(x, 3, third, 0);
    expect(x, 1, first, 0);
    ck_assert_int_eq(first[99], 1);
    ck_assert_int_eq(second[99], 2);
    ck_assert_int_eq(third[99], 3);
}
END_TEST

/* Neither what is no weight nor what may change has a form. */
START_TEST(only_weights_have_forms)
{
    know(x, NULL, 1);
    expect(weight, 1, NULL, 0);
    expect(x + 1, 1, NULL, 0);
    make(x, 1);
    device.forms = NULL;
    expect(x, 1, NULL, 0);
}
END_TEST

START_TEST(a_change_ends_them)
{
    know(x, weight, 1);
    make(x, 1);
    know(x, weight, 2);
    make(x, 1);
    know(x, weight + 1, 2);
    make(x, 1);
    ck_assert_int_eq(db_forms_count(&forms, 1), DREAMBOOTH_OK);
    expect(x, 1, NULL, 0);
    db_forms_set(&forms, 0, x, 2);
    make(x, 1);
}
END_TEST

START_TEST(there_is_room_for_so_many)
{
    void *first, *second;

    forms.most = 2 * db_forms_size(100);
    know(x, weight, 1);
    first = make(x, 1);
    second = make(x, 2);
    expect(x, 3, NULL, 0);
    expect(x, 1, first, 0);
    expect(x, 2, second, 0);
}
END_TEST

static void *no_memory(void *user, void *pointer, size_t old_size, size_t size)
{
    if (size > 0)
        return NULL;
    return db_standard_resize(user, pointer, old_size, size);
}

START_TEST(without_memory_there_are_none)
{
    know(x, weight, 1);
    env.resize = no_memory;
    db_keep_blocks(&env, false);
    expect(x, 1, NULL, 0);
    ck_assert_int_eq(db_forms_count(&forms, 3), DREAMBOOTH_ENOMEM);
    env.resize = db_standard_resize;
    db_keep_blocks(&env, true);
    expect(x, 1, NULL, 0);
}
END_TEST

/* Products with weights in floats and in bfloat16, and convolutions; to Y. */
struct product {
    bool is_conv, is_narrow;
    int64_t stride, side; /* of a product, no stride and rows */
};

static void multiply(const struct product *p, const struct db_bf16_isa *isa,
                     int parts, float *y)
{
    const int64_t out = p->is_conv ? (p->side + 2 - 3) / p->stride + 1 : 0;
    const dreambooth_gemm gemm = {
        .batch = 1,
        .m = p->side,
        .n = OUT,
        .k = IN * PLACES,
        .transpose_b = 1,
        .alpha = 1,
        .a = x,
        .b = p->is_narrow ? NULL : weight,
        .b_bf16 = p->is_narrow ? narrow_weight : NULL,
        .c = y,
        .lda = IN * PLACES,
        .ldb = IN * PLACES,
        .ldc = OUT,
        .bias = bias,
    };
    const dreambooth_conv2d conv = {
        .batch = 2,
        .in_height = p->side,
        .in_width = p->side,
        .in_channels = IN,
        .out_height = out,
        .out_width = out,
        .out_channels = OUT,
        .kernel_height = 3,
        .kernel_width = 3,
        .stride = p->stride,
        .pad_top = 1,
        .pad_bottom = 1,
        .pad_left = 1,
        .pad_right = 1,
        .x = x,
        .weight = p->is_narrow ? NULL : weight,
        .weight_bf16 = p->is_narrow ? narrow_weight : NULL,
        .bias = bias,
        .y = y,
    };

    ck_assert_int_eq(
        p->is_conv ? db_bf16_conv2d_forward(&device.host, isa, parts, &conv)
                   : db_bf16_gemm(&device.host, isa, parts, &gemm),
        DREAMBOOTH_OK);
}

/* Bits are the same without forms, with fresh and with old ones; and old ones
 * are looked at, not the weight. */
static void check(const struct product *p, const struct db_bf16_isa *isa,
                  int parts)
{
    static float want[ROWS * OUT], got[ROWS * OUT];
    int i;

    device.forms = NULL;
    memset(want, 0, sizeof(want));
    multiply(p, isa, parts, want);
    device.forms = &forms;
    know(weight, narrow_weight,
         forms.weights == NULL ? 1 : forms.weights[0].version + 1);
    for (i = 0; i < 2; i++) {
        memset(got, 0, sizeof(got));
        multiply(p, isa, parts, got);
        ck_assert_mem_eq(got, want, sizeof(got));
    }
    weight[5] += 1;
    narrow_weight[5] ^= 0x40;
    multiply(p, isa, parts, got);
    ck_assert_mem_eq(got, want, sizeof(got));
    know(weight, narrow_weight, forms.weights[0].version + 1);
    multiply(p, isa, parts, got);
    ck_assert_mem_ne(got, want, sizeof(got));
    weight[5] -= 1;
    narrow_weight[5] ^= 0x40;
}

START_TEST(products_keep_bits)
{
    static const struct product products[] = {
        {false, false, 0, ROWS}, {false, true, 0, ROWS}, {false, false, 0, 17},
        {true, false, 1, SIDE},  {true, false, 2, SIDE}, {true, true, 1, SIDE},
        {true, false, 1, 4},     {true, false, 2, 8}};
    size_t i, n;
    int parts;

    for (i = 0; i < DB_COUNT(products); i++)
        for (n = 0; db_bf16_isa_at(n) != NULL; n++)
            for (parts = 1; parts <= 3; parts++)
                check(&products[i], db_bf16_isa_at(n), parts);
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
    Suite *suite = suite_create("forms");

    add(suite, "forms_are_found", forms_are_found);
    add(suite, "only_weights_have_forms", only_weights_have_forms);
    add(suite, "a_change_ends_them", a_change_ends_them);
    add(suite, "there_is_room_for_so_many", there_is_room_for_so_many);
    add(suite, "without_memory_there_are_none", without_memory_there_are_none);
    add(suite, "products_keep_bits", products_keep_bits);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/*
 * Tensors: shapes that lie, views that share memory, and the two orders of
 * images.
 */
#include "tensor/tensor.h"
#include "unit.h"

static const struct db_shape shape_2_3_4 = {3, {2, 3, 4}};

static struct db_tensor *numbered(struct db_env *env,
                                  const struct db_shape *shape)
{
    struct db_tensor *tensor;
    int64_t i;

    ck_assert_int_eq(db_tensor_new(env, DB_F32, shape, &tensor), DREAMBOOTH_OK);
    for (i = 0; i < db_tensor_count(tensor); i++)
        db_tensor_f32(tensor)[i] = (float)i;
    return tensor;
}

START_TEST(dtypes)
{
    static const struct {
        enum db_dtype dtype;
        const char *name;
        size_t size;
    } wanted[] = {{DB_F32, "F32", 4},  {DB_F16, "F16", 2}, {DB_BF16, "BF16", 2},
                  {DB_F64, "F64", 8},  {DB_I64, "I64", 8}, {DB_I32, "I32", 4},
                  {DB_I16, "I16", 2},  {DB_I8, "I8", 1},   {DB_U8, "U8", 1},
                  {DB_BOOL, "BOOL", 1}};
    size_t i;

    for (i = 0; i < DB_COUNT(wanted); i++) {
        ck_assert_str_eq(db_dtype_name(wanted[i].dtype), wanted[i].name);
        ck_assert_uint_eq(db_dtype_size(wanted[i].dtype), wanted[i].size);
    }
}
END_TEST

START_TEST(shapes)
{
    const struct db_shape one = db_shape1(2), two = db_shape2(2, 3),
                          three = db_shape3(2, 3, 4),
                          four = db_shape4(2, 3, 4, 5), scalar = {0, {0}};

    ck_assert_int_eq(db_shape_count(&scalar), 1);
    ck_assert_int_eq(db_shape_count(&one), 2);
    ck_assert_int_eq(db_shape_count(&two), 6);
    ck_assert_int_eq(db_shape_count(&three), 24);
    ck_assert_int_eq(db_shape_count(&four), 120);
    ck_assert(db_shape_equal(&three, &shape_2_3_4));
    ck_assert(!db_shape_equal(&three, &four));
    ck_assert(!db_shape_equal(&scalar, &one));
    ck_assert(db_shape_equal(&scalar, &scalar));
}
END_TEST

/* The whole text, or as much as there is room for, always with an end. */
START_TEST(shape_texts)
{
    static const struct {
        struct db_shape shape;
        const char *text;
    } wanted[] = {{{0, {0}}, "[]"},
                  {{1, {7}}, "[7]"},
                  {{4, {2, 4, 8, 8}}, "[2, 4, 8, 8]"},
                  {{2, {-1, INT64_MIN}}, "[-1, -9223372036854775808]"},
                  {{9, {1, 2, 3, 4}}, "[1, 2, 3, 4]"}};
    char text[96], same[96];
    size_t i, size;

    for (i = 0; i < DB_COUNT(wanted); i++)
        for (size = 1; size < sizeof(text); size++) {
            memset(text, 'x', sizeof(text));
            db_shape_text(&wanted[i].shape, text, size);
            snprintf(same, size, "%s", wanted[i].text);
            ck_assert_str_eq(text, same);
            ck_assert_int_eq(text[size], 'x');
        }
}
END_TEST

/* Refused before any memory is asked for, with the result untouched. */
START_TEST(impossible_shapes)
{
    static const struct db_shape bad[] = {
        {1, {-1}},
        {2, {4, INT64_MIN}},
        {1, {INT64_MAX}},
        {2, {INT64_MAX, 2}},
        {3, {1 << 30, 1 << 30, 1 << 30}},
        {4, {65536, 65536, 65536, 65536}}, /* 2^64: 0 where it wraps */
        {4, {0, 65536, (int64_t)1 << 40, 65536}},
        {5, {1, 1, 1, 1}},
        {-1, {1}},
    };
    struct db_tensor *const untouched = (struct db_tensor *)(uintptr_t)8;
    struct db_tensor *out = untouched;
    struct db_env env;
    size_t i;

    db_env_init(&env);
    for (i = 0; i < DB_COUNT(bad); i++) {
        ck_assert_int_eq(db_tensor_new(&env, DB_F64, &bad[i], &out),
                         DREAMBOOTH_EINVAL);
        ck_assert_int_eq(db_tensor_new_zero(&env, DB_U8, &bad[i], &out),
                         DREAMBOOTH_EINVAL);
        ck_assert_ptr_eq(out, untouched);
    }
    ck_assert_uint_eq(env.peak_bytes, 0);
}
END_TEST

START_TEST(empty_and_scalar)
{
    static const struct db_shape nothing = {3, {4, 0, 2}}, scalar = {0, {0}};
    struct db_tensor *a, *b, *rows;
    struct db_env env;

    db_env_init(&env);
    ck_assert_int_eq(db_tensor_new_zero(&env, DB_F32, &nothing, &a),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_tensor_count(a), 0);
    ck_assert_int_eq(db_tensor_rows(a, 1, 3, &rows), DREAMBOOTH_OK);
    ck_assert_int_eq(db_tensor_new_zero(&env, DB_F32, &scalar, &b),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_tensor_count(b), 1);
    ck_assert(db_tensor_f32(b)[0] == 0.0f);
    db_tensor_release(a);
    db_tensor_release(b);
    db_tensor_release(rows);
    db_tensor_release(NULL);
    ck_assert_ptr_null(db_tensor_hold(NULL));
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

START_TEST(views_keep_memory_alive)
{
    const struct db_shape flat = db_shape1(24), row = db_shape2(4, 3);
    struct db_tensor *tensor, *reshaped, *rows, *inner;
    struct db_env env;

    db_env_init(&env);
    tensor = numbered(&env, &shape_2_3_4);
    ck_assert(db_tensor_sole(tensor));
    ck_assert_int_eq(db_tensor_reshape(tensor, &flat, &reshaped),
                     DREAMBOOTH_OK);
    ck_assert(!db_tensor_sole(tensor));
    ck_assert(!db_tensor_sole(reshaped));
    ck_assert_ptr_eq(reshaped->data, tensor->data);
    ck_assert_int_eq(db_tensor_rows(tensor, 1, 1, &rows), DREAMBOOTH_OK);
    ck_assert_int_eq(rows->shape.size[0], 1);
    ck_assert_int_eq(rows->shape.size[2], 4);
    db_tensor_release(tensor);
    db_tensor_release(reshaped);
    ck_assert(db_tensor_sole(rows));
    ck_assert(db_tensor_f32(rows)[0] == 12.0f);
    ck_assert(db_tensor_f32(rows)[11] == 23.0f);
    ck_assert_int_eq(db_tensor_reshape(rows, &row, &inner), DREAMBOOTH_OK);
    db_tensor_release(rows);
    ck_assert_int_eq(db_tensor_rows(inner, 3, 1, &rows), DREAMBOOTH_OK);
    db_tensor_release(inner);
    ck_assert(db_tensor_f32(rows)[0] == 21.0f);
    db_tensor_release(rows);
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

START_TEST(holding)
{
    struct db_tensor *tensor;
    struct db_env env;

    db_env_init(&env);
    tensor = numbered(&env, &shape_2_3_4);
    ck_assert_ptr_eq(db_tensor_hold(tensor), tensor);
    ck_assert(!db_tensor_sole(tensor));
    db_tensor_release(tensor);
    ck_assert(db_tensor_sole(tensor));
    db_tensor_release(tensor);
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

/* Views that the tensor does not have. */
START_TEST(wrong_views)
{
    static const struct db_shape bad[] = {{2, {5, 5}},
                                          {2, {-4, -6}},
                                          {3, {-2, -3, 4}},
                                          {5, {2, 3, 4, 1}},
                                          {2, {INT64_MAX, INT64_MAX}}};
    static const int64_t rows[][2] = {{0, 3},         {2, 1},
                                      {-1, 1},        {0, -1},
                                      {3, 0},         {1, INT64_MAX},
                                      {INT64_MAX, 1}, {INT64_MIN, 1},
                                      {1, INT64_MIN}, {INT64_MAX, INT64_MAX}};
    struct db_tensor *tensor, *out = NULL;
    uint64_t live;
    struct db_env env;
    size_t i;

    db_env_init(&env);
    tensor = numbered(&env, &shape_2_3_4);
    live = env.live_bytes;
    for (i = 0; i < DB_COUNT(bad); i++)
        ck_assert_int_eq(db_tensor_reshape(tensor, &bad[i], &out),
                         DREAMBOOTH_EINVAL);
    ck_assert_ptr_nonnull(strstr(env.error_text, "[2, 3, 4]"));
    for (i = 0; i < DB_COUNT(rows); i++)
        ck_assert_int_eq(db_tensor_rows(tensor, rows[i][0], rows[i][1], &out),
                         DREAMBOOTH_EINVAL);
    ck_assert_ptr_nonnull(strstr(env.error_text, "[2, 3, 4]"));
    ck_assert_ptr_null(out);
    ck_assert_uint_eq(env.live_bytes, live);
    ck_assert(db_tensor_sole(tensor));
    db_tensor_release(tensor);
    ck_assert_uint_eq(env.live_bytes, 0);
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

START_TEST(allocations_fail)
{
    const struct db_shape flat = db_shape1(24);
    struct db_tensor *tensor, *view;
    struct db_env env;
    int left, allowed, status;

    db_env_init(&env);
    env.resize = failing_resize;
    env.resize_user = &left;
    for (allowed = 0, status = DREAMBOOTH_ENOMEM; status != DREAMBOOTH_OK;
         allowed++) {
        tensor = view = NULL;
        left = allowed;
        status = db_tensor_new_zero(&env, DB_F32, &shape_2_3_4, &tensor);
        if (status == DREAMBOOTH_OK)
            status = db_tensor_reshape(tensor, &flat, &view);
        ck_assert(status == DREAMBOOTH_OK || status == DREAMBOOTH_ENOMEM);
        db_tensor_release(tensor);
        db_tensor_release(view);
        ck_assert_uint_eq(env.live_bytes, 0);
    }
    ck_assert_int_gt(allowed, 3);
}
END_TEST

/* Odd sizes around the tiles; element for element, there and back. */
START_TEST(image_orders)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 1},  {2, 3, 4, 5},
                                       {1, 16, 4, 4}, {3, 17, 5, 7},
                                       {1, 33, 1, 1}, {2, 1, 9, 31}};
    size_t s, count;
    int64_t n, c, h, w;

    for (s = 0; s < DB_COUNT(sizes); s++) {
        const int64_t *size = sizes[s];
        float *x, *y, *back;

        count = (size_t)(size[0] * size[1] * size[2] * size[3]);
        x = calloc(count * 3, sizeof(*x));
        ck_assert_ptr_nonnull(x);
        y = x + count;
        back = y + count;
        for (n = 0; n < (int64_t)count; n++)
            x[n] = (float)(n + 1);
        db_nchw_to_nhwc(x, size[0], size[1], size[2], size[3], y);
        for (n = 0; n < size[0]; n++)
            for (c = 0; c < size[1]; c++)
                for (h = 0; h < size[2]; h++)
                    for (w = 0; w < size[3]; w++)
                        ck_assert(
                            y[((n * size[2] + h) * size[3] + w) * size[1] +
                              c] ==
                            x[((n * size[1] + c) * size[2] + h) * size[3] + w]);
        db_nhwc_to_nchw(y, size[0], size[2], size[3], size[1], back);
        ck_assert_mem_eq(x, back, count * sizeof(*x));
        free(x);
    }
}
END_TEST

static Suite *tensor_suite(void)
{
    Suite *suite = suite_create("tensor");

    unit_add(suite, "dtypes", dtypes);
    unit_add(suite, "shapes", shapes);
    unit_add(suite, "shape texts", shape_texts);
    unit_add(suite, "impossible shapes", impossible_shapes);
    unit_add(suite, "empty and scalar", empty_and_scalar);
    unit_add(suite, "views keep memory alive", views_keep_memory_alive);
    unit_add(suite, "holding", holding);
    unit_add(suite, "wrong views", wrong_views);
    unit_add(suite, "allocations fail", allocations_fail);
    unit_add(suite, "image orders", image_orders);
    return suite;
}

int main(void)
{
    return unit_main(tensor_suite());
}

/* SPDX-License-Identifier: MIT */
/*
 * Tensors: a counted view of a counted buffer. Both counts exist so that a view
 * keeps the memory alive, and so that an operation can tell whether it may
 * write over its input.
 */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

struct db_buffer {
    int references;
    void *data;
};

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [DB_F32] = {"F32", 4},   [DB_F16] = {"F16", 2}, [DB_BF16] = {"BF16", 2},
    [DB_F64] = {"F64", 8},   [DB_I64] = {"I64", 8}, [DB_I32] = {"I32", 4},
    [DB_I16] = {"I16", 2},   [DB_I8] = {"I8", 1},   [DB_U8] = {"U8", 1},
    [DB_BOOL] = {"BOOL", 1},
};

size_t db_dtype_size(enum db_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *db_dtype_name(enum db_dtype dtype)
{
    return dtypes[dtype].name;
}

struct db_shape db_shape1(int64_t a)
{
    return (struct db_shape){1, {a}};
}

struct db_shape db_shape2(int64_t a, int64_t b)
{
    return (struct db_shape){2, {a, b}};
}

struct db_shape db_shape3(int64_t a, int64_t b, int64_t c)
{
    return (struct db_shape){3, {a, b, c}};
}

struct db_shape db_shape4(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (struct db_shape){4, {a, b, c, d}};
}

int64_t db_shape_count(const struct db_shape *shape)
{
    int64_t count = 1;
    int i;

    for (i = 0; i < shape->rank; i++)
        count *= shape->size[i];
    return count;
}

bool db_shape_equal(const struct db_shape *a, const struct db_shape *b)
{
    return a->rank == b->rank &&
           memcmp(a->size, b->size, sizeof(a->size[0]) * (size_t)a->rank) == 0;
}

void db_shape_text(const struct db_shape *shape, char *text, size_t size)
{
    size_t used = 0;
    int i;

    used += (size_t)snprintf(text, size, "[");
    for (i = 0; i < shape->rank && i < DB_MAX_RANK && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld",
                                 i == 0 ? "" : ", ", (long long)shape->size[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

/* The bytes of a tensor; false where SHAPE is no shape or too big. That its
 * dimensions other than 0 make too much is enough: the product of some of them,
 * such as a row's, must not overflow either. */
static bool byte_size(enum db_dtype dtype, const struct db_shape *shape,
                      size_t *out)
{
    uint64_t size = dtypes[dtype].size;
    bool empty = false;
    int i;

    if (shape->rank < 0 || shape->rank > DB_MAX_RANK)
        return false;
    for (i = 0; i < shape->rank; i++) {
        int64_t n = shape->size[i];

        if (n < 0 || (n != 0 && size > SIZE_MAX / 4 / (uint64_t)n))
            return false;
        size *= n == 0 ? 1 : (uint64_t)n;
        empty = empty || n == 0;
    }
    *out = empty ? 0 : (size_t)size;
    return true;
}

static struct db_buffer *buffer_new(struct db_env *env, size_t size)
{
    struct db_buffer *buffer = db_alloc(env, sizeof(*buffer));

    if (buffer == NULL)
        return NULL;
    buffer->references = 1;
    buffer->data = db_alloc(env, size);
    if (buffer->data == NULL) {
        db_free(env, buffer);
        return NULL;
    }
    return buffer;
}

static void buffer_release(struct db_env *env, struct db_buffer *buffer)
{
    if (--buffer->references > 0)
        return;
    db_free(env, buffer->data);
    db_free(env, buffer);
}

int db_tensor_new(struct db_env *env, enum db_dtype dtype,
                  const struct db_shape *shape, struct db_tensor **out)
{
    struct db_tensor *tensor;
    char text[96];
    size_t size;

    if (!byte_size(dtype, shape, &size)) {
        db_shape_text(shape, text, sizeof(text));
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a tensor of shape %s is too big, or no tensor", text);
    }
    tensor = db_alloc(env, sizeof(*tensor));
    if (tensor == NULL)
        return env->error_status;
    tensor->buffer = buffer_new(env, size);
    if (tensor->buffer == NULL) {
        db_free(env, tensor);
        return env->error_status;
    }
    tensor->references = 1;
    tensor->dtype = dtype;
    tensor->shape = *shape;
    tensor->data = tensor->buffer->data;
    tensor->env = env;
    *out = tensor;
    return DREAMBOOTH_OK;
}

int db_tensor_new_zero(struct db_env *env, enum db_dtype dtype,
                       const struct db_shape *shape, struct db_tensor **out)
{
    int status = db_tensor_new(env, dtype, shape, out);

    if (status == DREAMBOOTH_OK)
        memset((*out)->data, 0,
               (size_t)db_tensor_count(*out) * db_dtype_size(dtype));
    return status;
}

struct db_tensor *db_tensor_hold(struct db_tensor *tensor)
{
    if (tensor != NULL)
        tensor->references++;
    return tensor;
}

void db_tensor_release(struct db_tensor *tensor)
{
    if (tensor == NULL || --tensor->references > 0)
        return;
    buffer_release(tensor->env, tensor->buffer);
    db_free(tensor->env, tensor);
}

static int view(struct db_tensor *tensor, const struct db_shape *shape,
                size_t offset, struct db_tensor **out)
{
    struct db_tensor *fresh = db_alloc(tensor->env, sizeof(*fresh));

    if (fresh == NULL)
        return tensor->env->error_status;
    *fresh = *tensor;
    fresh->references = 1;
    fresh->shape = *shape;
    fresh->data = (unsigned char *)tensor->data + offset;
    fresh->buffer->references++;
    *out = fresh;
    return DREAMBOOTH_OK;
}

int db_tensor_reshape(struct db_tensor *tensor, const struct db_shape *shape,
                      struct db_tensor **out)
{
    char from[96], to[96];
    size_t size;

    if (!byte_size(tensor->dtype, shape, &size) ||
        db_shape_count(shape) != db_tensor_count(tensor)) {
        db_shape_text(&tensor->shape, from, sizeof(from));
        db_shape_text(shape, to, sizeof(to));
        return db_fail(tensor->env, DREAMBOOTH_EINVAL,
                       "a tensor of shape %s cannot be reshaped to %s", from,
                       to);
    }
    return view(tensor, shape, 0, out);
}

int db_tensor_rows(struct db_tensor *tensor, int64_t first, int64_t count,
                   struct db_tensor **out)
{
    struct db_shape shape = tensor->shape;
    char text[96];
    size_t row;

    if (shape.rank == 0 || first < 0 || count < 0 ||
        first > shape.size[0] - count) {
        db_shape_text(&shape, text, sizeof(text));
        return db_fail(tensor->env, DREAMBOOTH_EINVAL,
                       "a tensor of shape %s has no %lld rows from row %lld on",
                       text, (long long)count, (long long)first);
    }
    shape.size[0] = 1;
    row = (size_t)db_shape_count(&shape) * db_dtype_size(tensor->dtype);
    shape.size[0] = count;
    return view(tensor, &shape, row * (size_t)first, out);
}

int64_t db_tensor_count(const struct db_tensor *tensor)
{
    return db_shape_count(&tensor->shape);
}

float *db_tensor_f32(const struct db_tensor *tensor)
{
    return tensor->data;
}

float *db_tensor_if_f32(const struct db_tensor *tensor)
{
    return tensor->dtype == DB_F32 ? tensor->data : NULL;
}

uint16_t *db_tensor_if_bf16(const struct db_tensor *tensor)
{
    return tensor->dtype == DB_BF16 ? tensor->data : NULL;
}

bool db_tensor_sole(const struct db_tensor *tensor)
{
    return tensor->references == 1 && tensor->buffer->references == 1;
}

/* x [rows, columns] to y [columns, rows], in tiles that fit the cache. */
static void transpose(const float *x, int64_t rows, int64_t columns, float *y)
{
    const int64_t tile = 16;
    int64_t r0, c0, r, c;

    for (r0 = 0; r0 < rows; r0 += tile)
        for (c0 = 0; c0 < columns; c0 += tile)
            for (r = r0; r < rows && r < r0 + tile; r++)
                for (c = c0; c < columns && c < c0 + tile; c++)
                    y[c * rows + r] = x[r * columns + c];
}

void db_nchw_to_nhwc(const float *x, int64_t n, int64_t c, int64_t h, int64_t w,
                     float *y)
{
    int64_t i;

    for (i = 0; i < n; i++)
        transpose(x + i * c * h * w, c, h * w, y + i * c * h * w);
}

void db_nhwc_to_nchw(const float *x, int64_t n, int64_t h, int64_t w, int64_t c,
                     float *y)
{
    int64_t i;

    for (i = 0; i < n; i++)
        transpose(x + i * c * h * w, h * w, c, y + i * c * h * w);
}

/* SPDX-License-Identifier: MIT */
/*
 * Dense row-major arrays with counted references. A tensor is a shape over a
 * stretch of a counted buffer, so that reshaping and taking leading rows share
 * memory and cost nothing.
 *
 * Counts are not atomic: a tensor belongs to the thread that uses its context.
 */
#ifndef DB_TENSOR_TENSOR_H
#define DB_TENSOR_TENSOR_H

#include "base/env.h"

#define DB_MAX_RANK 4

enum db_dtype {
    DB_F32,
    DB_F16,
    DB_BF16,
    DB_F64,
    DB_I64,
    DB_I32,
    DB_I16,
    DB_I8,
    DB_U8,
    DB_BOOL
};

size_t db_dtype_size(enum db_dtype dtype);
const char *db_dtype_name(enum db_dtype dtype); /* safetensors': "F32" ... */

struct db_shape {
    int rank;
    int64_t size[DB_MAX_RANK];
};

struct db_shape db_shape1(int64_t a);
struct db_shape db_shape2(int64_t a, int64_t b);
struct db_shape db_shape3(int64_t a, int64_t b, int64_t c);
struct db_shape db_shape4(int64_t a, int64_t b, int64_t c, int64_t d);
int64_t db_shape_count(const struct db_shape *shape);
bool db_shape_equal(const struct db_shape *a, const struct db_shape *b);
/* Writes "[2, 4, 8, 8]". */
void db_shape_text(const struct db_shape *shape, char *text, size_t size);

struct db_buffer;

struct db_tensor {
    int references;
    enum db_dtype dtype;
    struct db_shape shape;
    void *data; /* inside buffer */
    struct db_buffer *buffer;
    struct db_env *env;
};

/* The contents are undefined. EINVAL for a negative or overflowing shape. */
int db_tensor_new(struct db_env *env, enum db_dtype dtype,
                  const struct db_shape *shape, struct db_tensor **out);
int db_tensor_new_zero(struct db_env *env, enum db_dtype dtype,
                       const struct db_shape *shape, struct db_tensor **out);
struct db_tensor *db_tensor_hold(struct db_tensor *tensor);
void db_tensor_release(struct db_tensor *tensor); /* NULL is fine */

/* A tensor over the same memory with another shape of the same count. */
int db_tensor_reshape(struct db_tensor *tensor, const struct db_shape *shape,
                      struct db_tensor **out);
/* Rows FIRST..FIRST+COUNT-1 of the first dimension, over the same memory. */
int db_tensor_rows(struct db_tensor *tensor, int64_t first, int64_t count,
                   struct db_tensor **out);

int64_t db_tensor_count(const struct db_tensor *tensor);
float *db_tensor_f32(const struct db_tensor *tensor);
/* NULL unless the elements are of that type. */
float *db_tensor_if_f32(const struct db_tensor *tensor);
uint16_t *db_tensor_if_bf16(const struct db_tensor *tensor);
/* Is this the only reference to the memory? Then it may be overwritten. */
bool db_tensor_sole(const struct db_tensor *tensor);

/* [N, C, H, W] to [N, H, W, C] and back: the library's edge to files and
 * callers that keep PyTorch's order. Buffers must not overlap. */
void db_nchw_to_nhwc(const float *x, int64_t n, int64_t c, int64_t h, int64_t w,
                     float *y);
void db_nhwc_to_nchw(const float *x, int64_t n, int64_t h, int64_t w, int64_t c,
                     float *y);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Linear layers, one matrix product forward and two backward; and biases, which
 * convolutions have as well.
 */
#include "grad/tape_int.h"

int db_bias_backward(struct db_tape *tape, struct db_param *bias,
                     struct db_tensor *dy)
{
    dreambooth_rows a = {.batch = 1,
                         .rows = db_shape_rows(&dy->shape),
                         .columns = db_shape_columns(&dy->shape),
                         .x = db_tensor_f32(dy)};

    if (!db_param_wanted(bias))
        return DREAMBOOTH_OK;
    a.sum = db_param_gradient(tape, bias);
    return a.sum == NULL ? tape->status : db_run(tape->device, sum_rows, &a);
}

bool db_bias_fits(const struct db_param *bias, int64_t channels)
{
    return bias == NULL || db_tensor_count(bias->data) == channels;
}

/* dW += dy^T x with x [rows, in], W [out, in], dy [rows, out]. */
static int weight_backward(struct db_tape *tape, struct db_param *weight,
                           const struct db_tensor *x, struct db_tensor *dy)
{
    dreambooth_gemm a = {.batch = 1,
                         .m = db_shape_columns(&dy->shape),
                         .k = db_shape_rows(&dy->shape),
                         .transpose_a = 1,
                         .alpha = 1.0f,
                         .a = db_tensor_f32(dy)};
    bool fresh;

    if (!db_param_wanted(weight))
        return DREAMBOOTH_OK;
    a.n = db_shape_columns(&x->shape);
    a.b = db_tensor_f32(x);
    a.lda = a.m;
    a.ldb = a.ldc = a.n;
    a.c = db_param_fresh_gradient(tape, weight, &fresh);
    a.beta = fresh ? 0.0f : 1.0f;
    return a.c == NULL ? tape->status : db_run(tape->device, gemm, &a);
}

/* dx = dy W. */
static int input_backward(struct db_tape *tape, struct db_slot *slot,
                          const struct db_param *weight, struct db_tensor *dy)
{
    struct db_shape shape = dy->shape;
    struct db_tensor *dx;
    dreambooth_gemm a = {.batch = 1,
                         .m = db_shape_rows(&shape),
                         .k = db_shape_columns(&shape),
                         .alpha = 1.0f,
                         .a = db_tensor_f32(dy),
                         .b = db_param_f32(weight),
                         .b_bf16 = db_param_bf16(weight)};

    if (slot == NULL)
        return DREAMBOOTH_OK;
    a.n = db_tensor_count(weight->data) / a.k;
    shape.size[shape.rank - 1] = a.n;
    dx = db_op_tensor(tape, &shape);
    if (dx == NULL)
        return tape->status;
    a.c = db_tensor_f32(dx);
    a.lda = a.k;
    a.ldb = a.ldc = a.n;
    return db_slot_finish(tape, slot, dx, db_run(tape->device, gemm, &a));
}

/* saved: x, if the weight trains. */
static int linear_backward(struct db_tape *tape, struct db_op *op,
                           struct db_tensor *dy)
{
    int status = weight_backward(tape, op->params[0], op->saved[0], dy);

    if (status == DREAMBOOTH_OK)
        status = db_bias_backward(tape, op->params[1], dy);
    return status != DREAMBOOTH_OK
               ? status
               : input_backward(tape, op->inputs[0], op->params[0], dy);
}

/* x W^T + bias, but for c; false where they do not fit. */
static bool describe(const struct db_tensor *x, const struct db_param *weight,
                     const struct db_param *bias, dreambooth_gemm *product)
{
    const int64_t outputs = weight->data->shape.size[0];
    const int64_t inputs = db_shape_columns(&x->shape);

    *product = (dreambooth_gemm){
        .batch = 1,
        .m = db_shape_rows(&x->shape),
        .n = outputs,
        .k = inputs,
        .transpose_b = 1,
        .alpha = 1.0f,
        .a = db_tensor_if_f32(x),
        .a_bf16 = db_tensor_if_bf16(x),
        .b = db_param_f32(weight),
        .b_bf16 = db_param_bf16(weight),
        .lda = inputs,
        .ldb = inputs,
        .ldc = outputs,
        .bias = bias == NULL ? NULL : db_tensor_f32(bias->data)};
    return x->shape.rank > 0 && outputs > 0 &&
           db_tensor_count(weight->data) == outputs * inputs &&
           db_bias_fits(bias, outputs);
}

struct db_var *db_linear(struct db_tape *tape, struct db_var *x,
                         struct db_param *weight, struct db_param *bias)
{
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    struct db_tensor *y;
    struct db_shape shape;
    struct db_var *result;
    struct db_op *op;
    dreambooth_gemm product;

    if (!db_op_ready(tape, &x, 1) || !db_op_needs(tape, weight, &x, 1))
        return NULL;
    if (!describe(x->data, weight, bias, &product))
        return db_op_misfit(tape, weight->name, &x, 1, &weight->shape);
    shape = x->data->shape;
    shape.size[shape.rank - 1] = product.n;
    y = db_op_tensor(tape, &shape);
    if (y != NULL) {
        product.c = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, gemm, &product));
    }
    result = db_op_record(tape, linear_backward, y, &x, 1, params, &op);
    if (op != NULL && db_param_wanted(weight))
        op->saved[0] = db_tensor_hold(x->data);
    db_drop(x);
    return result;
}

/* How a product of X and PARAMS ends that nobody records: C, taken over, is its
 * result. */
static struct db_var *run_alone(struct db_tape *tape, struct db_var *x,
                                struct db_param *const *params,
                                dreambooth_gemm *product, struct db_tensor *c)
{
    struct db_op *op;
    struct db_var *result;

    if (c != NULL) {
        product->c = db_tensor_if_f32(c);
        product->c_bf16 = db_tensor_if_bf16(c);
        db_tape_fail(tape, db_run(tape->device, gemm, product));
    }
    result = db_op_record(tape, NULL, c, &x, 1, params, &op);
    db_drop(x);
    return result;
}

/* Rows like those of X. */
static struct db_tensor *rows_of(struct db_tape *tape, const struct db_var *x,
                                 int64_t columns, enum db_dtype dtype)
{
    struct db_shape shape = x->data->shape;
    struct db_tensor *y = NULL;

    shape.size[shape.rank - 1] = columns;
    db_tape_fail(tape, db_tensor_new(tape->env, dtype, &shape, &y));
    return y;
}

/* Without a record, and in one product. */
static struct db_var *gated(struct db_tape *tape, struct db_var *x,
                            struct db_param *weight, struct db_param *bias)
{
    const bool is_narrow = db_device_narrows(tape->device) &&
                           tape->device->host.precision == DREAMBOOTH_BFLOAT16;
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    dreambooth_gemm product;

    if (!db_op_ready(tape, &x, 1) || !db_op_needs(tape, weight, &x, 1))
        return NULL;
    if (!describe(x->data, weight, bias, &product) || product.n % 2 != 0)
        return db_op_misfit(tape, weight->name, &x, 1, &weight->shape);
    product.geglu = 1;
    product.ldc = product.n / 2;
    return run_alone(
        tape, x, params, &product,
        rows_of(tape, x, product.ldc, is_narrow ? DB_BF16 : DB_F32));
}

struct db_var *db_linear_narrow(struct db_tape *tape, struct db_var *x,
                                struct db_param *weight, float factor)
{
    struct db_param *params[DB_OP_PARAMS] = {weight};
    dreambooth_gemm product;

    if (!db_op_ready(tape, &x, 1) || !db_op_needs(tape, weight, &x, 1))
        return NULL;
    if (!describe(x->data, weight, NULL, &product))
        return db_op_misfit(tape, weight->name, &x, 1, &weight->shape);
    product.alpha = factor;
    return run_alone(tape, x, params, &product,
                     rows_of(tape, x, product.n, DB_BF16));
}

/* Beyond, sums leave the cache more than once. */
#define MOST_ADDED 2560

/* Over the residual, which holds sums of floats that nobody else sees. */
static bool goes_over(const struct db_tape *tape,
                      const dreambooth_gemm *product,
                      const struct db_var *residual)
{
    return db_tape_narrows(tape, residual) && db_op_sole(residual) &&
           product->bias != NULL && product->k <= MOST_ADDED &&
           product->m * product->n == db_tensor_count(residual->data);
}

struct db_var *db_linear_add(struct db_tape *tape, struct db_var *x,
                             struct db_param *weight, struct db_param *bias,
                             struct db_var *residual)
{
    struct db_var *inputs[2] = {x, residual};
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    struct db_tensor *sum;
    struct db_var *result;
    dreambooth_gemm product;

    if (!db_op_ready(tape, inputs, 2) || !db_op_needs(tape, weight, inputs, 2))
        return NULL;
    if (!describe(x->data, weight, bias, &product) ||
        !goes_over(tape, &product, residual))
        return db_add(tape, db_linear(tape, x, weight, bias), residual);
    product.beta = 1.0f;
    sum = db_tensor_hold(residual->data);
    result = run_alone(tape, x, params, &product, sum);
    db_drop(residual);
    return result;
}

struct db_var *db_linear_geglu(struct db_tape *tape, struct db_var *x,
                               struct db_param *weight, struct db_param *bias)
{
    return tape->recording || !db_device_fuses(tape->device)
               ? db_geglu(tape, db_linear(tape, x, weight, bias))
               : gated(tape, x, weight, bias);
}

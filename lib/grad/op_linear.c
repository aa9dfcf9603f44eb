/* SPDX-License-Identifier: MIT */
/*
 * Linear layers: one matrix product forward, two backward.
 */
#include "grad/tape_int.h"

/*
 * dx = dy W, dW += dy^T x, db += the column sums of dy, with x [rows, in],
 * W [out, in], dy [rows, out].
 */
static int linear_backward(struct db_tape *tape, struct db_op *op,
                           struct db_tensor *dy)
{
    struct db_param *weight = op->params[0], *bias = op->params[1];
    int64_t rows = db_shape_rows(&dy->shape);
    int64_t out = weight->data->shape.size[0];
    int64_t in = db_tensor_count(weight->data) / out;
    int status = DREAMBOOTH_OK;

    if (db_param_wanted(weight)) {
        dreambooth_gemm dw = {.batch = 1,
                              .m = out,
                              .n = in,
                              .k = rows,
                              .transpose_a = 1,
                              .alpha = 1.0f,
                              .beta = 1.0f,
                              .a = db_tensor_f32(dy),
                              .lda = out,
                              .b = db_tensor_f32(op->saved[0]),
                              .ldb = in,
                              .ldc = in};
        dw.c = db_param_gradient(tape, weight);
        if (dw.c == NULL)
            return tape->status;
        status = db_run(tape->device, gemm, &dw);
    }
    if (status == DREAMBOOTH_OK && db_param_wanted(bias)) {
        dreambooth_rows db = {
            .batch = 1, .rows = rows, .columns = out, .x = db_tensor_f32(dy)};
        db.sum = db_param_gradient(tape, bias);
        if (db.sum == NULL)
            return tape->status;
        status = db_run(tape->device, sum_rows, &db);
    }
    if (status == DREAMBOOTH_OK && op->inputs[0] != NULL) {
        struct db_shape shape = dy->shape;
        dreambooth_gemm g = {.batch = 1,
                             .m = rows,
                             .n = in,
                             .k = out,
                             .alpha = 1.0f,
                             .a = db_tensor_f32(dy),
                             .lda = out,
                             .b = db_tensor_f32(weight->data),
                             .ldb = in,
                             .ldc = in};
        struct db_tensor *dx;

        shape.size[shape.rank - 1] = in;
        dx = db_op_tensor(tape, &shape);
        if (dx == NULL)
            return tape->status;
        g.c = db_tensor_f32(dx);
        status = db_run(tape->device, gemm, &g);
        if (status != DREAMBOOTH_OK)
            db_tensor_release(dx);
        else
            status = db_slot_add(tape, op->inputs[0], dx);
    }
    return status;
}

struct db_var *db_linear(struct db_tape *tape, struct db_var *x,
                         struct db_param *weight, struct db_param *bias)
{
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    struct db_tensor *y;
    struct db_shape shape;
    struct db_var *result;
    struct db_op *op;
    dreambooth_gemm product = {.batch = 1, .transpose_b = 1, .alpha = 1.0f};

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    shape = x->data->shape;
    product.n = weight->data->shape.size[0];
    product.k = db_shape_columns(&shape);
    product.m = db_shape_rows(&shape);
    if (db_tensor_count(weight->data) != product.n * product.k) {
        db_op_misfit(tape, weight->name, &shape, &weight->shape);
        db_drop(x);
        return NULL;
    }
    shape.size[shape.rank - 1] = product.n;
    y = db_op_tensor(tape, &shape);
    if (y != NULL) {
        product.a = db_tensor_f32(x->data);
        product.b = db_tensor_f32(weight->data);
        product.c = db_tensor_f32(y);
        product.lda = product.ldb = product.k;
        product.ldc = product.n;
        product.bias = bias == NULL ? NULL : db_tensor_f32(bias->data);
        db_tape_fail(tape, db_run(tape->device, gemm, &product));
    }
    result = db_op_record(tape, linear_backward, y, &x, 1, params, &op);
    if (op != NULL && db_param_wanted(weight))
        op->saved[0] = db_tensor_hold(x->data);
    db_drop(x);
    return result;
}

/* SPDX-License-Identifier: MIT */
/*
 * Operations that only move data: joining and cutting channels, reshaping.
 */
#include "grad/tape_int.h"

/* Copies columns [x_first, + count) of X to columns [y_first, ..) of Y. */
static int copy_columns(struct db_tape *tape, const struct db_tensor *x,
                        int64_t x_first, struct db_tensor *y, int64_t y_first,
                        int64_t count)
{
    dreambooth_copy a = {.rows = db_shape_rows(&x->shape),
                         .columns = count,
                         .x = db_tensor_f32(x) + x_first,
                         .x_stride = db_shape_columns(&x->shape),
                         .y = db_tensor_f32(y) + y_first,
                         .y_stride = db_shape_columns(&y->shape)};

    return db_run(tape->device, copy, &a);
}

/* A fresh tensor of columns [first, + count) of DY. */
static struct db_tensor *cut(struct db_tape *tape, const struct db_tensor *dy,
                             int64_t first, int64_t count)
{
    struct db_shape shape = dy->shape;
    struct db_tensor *part;

    shape.size[shape.rank - 1] = count;
    part = db_op_tensor(tape, &shape);
    if (part != NULL)
        db_tape_fail(tape, copy_columns(tape, dy, first, part, 0, count));
    return part;
}

static int concat_backward(struct db_tape *tape, struct db_op *op,
                           struct db_tensor *dy)
{
    int64_t first = op->facts.channels.count;
    int64_t second = db_shape_columns(&dy->shape) - first;
    int status = DREAMBOOTH_OK;

    if (op->inputs[0] != NULL)
        status = db_slot_add(tape, op->inputs[0], cut(tape, dy, 0, first));
    if (status == DREAMBOOTH_OK && op->inputs[1] != NULL)
        status = db_slot_add(tape, op->inputs[1], cut(tape, dy, first, second));
    return status;
}

/* Are they equal but for the last dimension? */
static bool rows_equal(struct db_shape x, struct db_shape y)
{
    if (x.rank == 0 || y.rank == 0)
        return false;
    x.size[x.rank - 1] = y.size[y.rank - 1] = 0;
    return db_shape_equal(&x, &y);
}

struct db_var *db_concat(struct db_tape *tape, struct db_var *x,
                         struct db_var *y)
{
    struct db_var *inputs[2] = {x, y};
    struct db_tensor *joined;
    struct db_shape shape;
    struct db_var *result;
    struct db_op *op;
    int64_t first, second;

    if (!db_op_ready(tape, inputs, 2))
        return NULL;
    shape = x->data->shape;
    if (!rows_equal(shape, y->data->shape))
        return db_op_misfit(tape, "concat", inputs, 2, &y->data->shape);
    first = db_shape_columns(&shape);
    second = db_shape_columns(&y->data->shape);
    shape.size[shape.rank - 1] = first + second;
    joined = db_op_tensor(tape, &shape);
    if (joined != NULL) {
        db_tape_fail(tape, copy_columns(tape, x->data, 0, joined, 0, first));
        db_tape_fail(tape,
                     copy_columns(tape, y->data, 0, joined, first, second));
    }
    result = db_op_record(tape, concat_backward, joined, inputs, 2, NULL, &op);
    if (op != NULL)
        op->facts.channels.count = first;
    db_op_drop(inputs, 2);
    return result;
}

static int channels_backward(struct db_tape *tape, struct db_op *op,
                             struct db_tensor *dy)
{
    struct db_tensor *dx;
    int status =
        db_tensor_new_zero(tape->env, DB_F32, &op->facts.channels.shape, &dx);

    if (status != DREAMBOOTH_OK)
        return status;
    status = copy_columns(tape, dy, 0, dx, op->facts.channels.first,
                          db_shape_columns(&dy->shape));
    return db_slot_finish(tape, op->inputs[0], dx, status);
}

struct db_var *db_channels(struct db_tape *tape, struct db_var *x,
                           int64_t first, int64_t count)
{
    struct db_shape shape;
    struct db_tensor *part;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    shape = db_shape2(first, count);
    if (x->data->shape.rank == 0 || first < 0 || count < 1 ||
        first > db_shape_columns(&x->data->shape) - count)
        return db_op_misfit(tape, "channels", &x, 1, &shape);
    part = cut(tape, x->data, first, count);
    result = db_op_record(tape, channels_backward, part, &x, 1, NULL, &op);
    if (op != NULL) {
        op->facts.channels.first = first;
        op->facts.channels.shape = x->data->shape;
    }
    db_drop(x);
    return result;
}

static int reshape_backward(struct db_tape *tape, struct db_op *op,
                            struct db_tensor *dy)
{
    struct db_tensor *dx = NULL;
    int status = db_tensor_reshape(dy, &op->facts.shape, &dx);

    return status != DREAMBOOTH_OK ? status
                                   : db_slot_add(tape, op->inputs[0], dx);
}

struct db_var *db_reshape(struct db_tape *tape, struct db_var *x,
                          const struct db_shape *shape)
{
    struct db_tensor *y = NULL;
    struct db_var *result;
    struct db_op *op;
    int status;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    status = db_tensor_reshape(x->data, shape, &y);
    if (status == DREAMBOOTH_EINVAL)
        return db_op_misfit(tape, "reshape", &x, 1, shape);
    db_tape_fail(tape, status);
    result = db_op_record(tape, reshape_backward, y, &x, 1, NULL, &op);
    if (op != NULL)
        op->facts.shape = x->data->shape;
    db_drop(x);
    return result;
}

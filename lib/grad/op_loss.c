/* SPDX-License-Identifier: MIT */
/*
 * Mean squared error with a weight for each image: the loss of every half of a
 * batch.
 */
#include "grad/tape_int.h"

#include <string.h>

static int mse_backward(struct db_tape *tape, struct db_op *op,
                        struct db_tensor *dy)
{
    const struct db_shape *shape = &op->saved[0]->shape;
    struct db_tensor *dx = db_op_tensor(tape, shape);
    dreambooth_mse a = {.batch = shape->size[0],
                        .prediction = db_tensor_f32(op->saved[0]),
                        .target = db_tensor_f32(op->saved[1]),
                        .dloss = db_tensor_f32(dy)[0]};

    if (dx == NULL)
        return tape->status;
    a.count = db_tensor_count(dx) / a.batch;
    if (op->saved[2] != NULL)
        a.weight = db_tensor_f32(op->saved[2]);
    a.dprediction = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, mse_backward, &a));
}

/* The weights in a tensor of their own; NULL where there are none. */
static struct db_tensor *copy_weights(struct db_tape *tape, const float *weight,
                                      int64_t batch)
{
    struct db_shape shape = db_shape1(batch);
    struct db_tensor *copy;

    if (weight == NULL)
        return NULL;
    copy = db_op_tensor(tape, &shape);
    if (copy != NULL)
        memcpy(copy->data, weight, (size_t)batch * sizeof(*weight));
    return copy;
}

struct db_var *db_mse(struct db_tape *tape, struct db_var *x,
                      struct db_tensor *target, const float *weight,
                      double *loss)
{
    struct db_shape one = db_shape1(1);
    struct db_tensor *y, *weights;
    struct db_var *result;
    struct db_op *op;
    dreambooth_mse a = {.weight = weight};
    double value = 0.0;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    if (!db_shape_equal(&x->data->shape, &target->shape) ||
        target->shape.rank == 0 || db_tensor_count(target) == 0)
        return db_op_misfit(tape, "loss", &x, 1, &target->shape);
    a.batch = target->shape.size[0];
    y = db_op_tensor(tape, &one);
    weights = copy_weights(tape, weight, a.batch);
    if (tape->status == DREAMBOOTH_OK) {
        a.count = db_tensor_count(target) / a.batch;
        a.prediction = db_tensor_f32(x->data);
        a.target = db_tensor_f32(target);
        a.loss = &value;
        db_tape_fail(tape, db_run(tape->device, mse_forward, &a));
        db_tensor_f32(y)[0] = (float)value;
    }
    result = db_op_record(tape, mse_backward, y, &x, 1, NULL, &op);
    if (op != NULL) {
        op->saved[0] = db_tensor_hold(x->data);
        op->saved[1] = db_tensor_hold(target);
        op->saved[2] = db_tensor_hold(weights);
    }
    if (result != NULL && loss != NULL)
        *loss = value;
    db_tensor_release(weights);
    db_drop(x);
    return result;
}

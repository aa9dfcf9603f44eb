/* SPDX-License-Identifier: MIT */
/*
 * Convolutions, by the backend's three conv2d kernels.
 */
#include <string.h>

#include "grad/tape_int.h"

/* Fills dW where FRESH is set, else adds to it. */
static int run_weight(struct db_device *device, const dreambooth_conv2d *a,
                      bool fresh)
{
    const int64_t count =
        a->out_channels * a->kernel_height * a->kernel_width * a->in_channels;
    int status;

    if (fresh && !db_device_overwrites(device)) {
        memset(a->dweight, 0, (size_t)count * sizeof(*a->dweight));
        fresh = false;
    }
    device->host.overwrite = fresh;
    status = db_run(device, conv2d_backward_weight, a);
    device->host.overwrite = 0;
    return status;
}

/* dW and db from x and dy; db alone where the weight does not train. */
static int params_backward(struct db_tape *tape, struct db_op *op,
                           struct db_tensor *dy, dreambooth_conv2d *a)
{
    struct db_param *weight = op->params[0], *bias = op->params[1];
    bool fresh;

    if (!db_param_wanted(weight))
        return db_bias_backward(tape, bias, dy);
    a->x = db_tensor_f32(op->saved[0]);
    a->dweight = db_param_fresh_gradient(tape, weight, &fresh);
    if (a->dweight == NULL)
        return tape->status;
    if (db_param_wanted(bias) &&
        (a->dbias = db_param_gradient(tape, bias)) == NULL)
        return tape->status;
    return run_weight(tape->device, a, fresh);
}

/* saved: x, if the weight trains. dx comes from dy and W. */
static int conv2d_backward(struct db_tape *tape, struct db_op *op,
                           struct db_tensor *dy)
{
    dreambooth_conv2d a = op->facts.conv2d;
    struct db_shape shape =
        db_shape4(a.batch, a.in_height, a.in_width, a.in_channels);
    struct db_tensor *dx;
    int status;

    a.dy = db_tensor_f32(dy);
    a.weight = db_param_f32(op->params[0]);
    status = params_backward(tape, op, dy, &a);
    if (status != DREAMBOOTH_OK || op->inputs[0] == NULL)
        return status;
    dx = db_op_tensor(tape, &shape);
    if (dx == NULL)
        return tape->status;
    a.weight_bf16 = db_param_bf16(op->params[0]);
    a.dx = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, conv2d_backward_data, &a));
}

/* The sizes among the kernel's arguments; false where they do not fit. */
static bool measure(dreambooth_conv2d *a, const struct db_shape *x,
                    const struct db_param *weight, const struct db_param *bias,
                    const struct db_conv2d_form *form)
{
    const int64_t *w = weight->data->shape.size; /* out, height, width, in */

    if (x->rank != 4 || weight->data->shape.rank != 4 || x->size[3] != w[3] ||
        form->stride < 1 || !db_bias_fits(bias, w[0]))
        return false;
    *a = (dreambooth_conv2d){.batch = x->size[0],
                             .in_height = x->size[1],
                             .in_width = x->size[2],
                             .in_channels = x->size[3],
                             .out_channels = w[0],
                             .kernel_height = w[1],
                             .kernel_width = w[2],
                             .stride = form->stride,
                             .pad_top = form->pad_top,
                             .pad_bottom = form->pad_bottom,
                             .pad_left = form->pad_left,
                             .pad_right = form->pad_right};
    a->out_height =
        (a->in_height + a->pad_top + a->pad_bottom - w[1]) / a->stride + 1;
    a->out_width =
        (a->in_width + a->pad_left + a->pad_right - w[2]) / a->stride + 1;
    return a->in_height + a->pad_top + a->pad_bottom >= w[1] &&
           a->in_width + a->pad_left + a->pad_right >= w[2];
}

struct db_var *db_conv2d(struct db_tape *tape, struct db_var *x,
                         struct db_param *weight, struct db_param *bias,
                         const struct db_conv2d_form *form)
{
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    struct db_shape shape;
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;
    dreambooth_conv2d sizes, a;

    if (!db_op_ready(tape, &x, 1) || !db_op_needs(tape, weight, &x, 1))
        return NULL;
    if (!measure(&sizes, &x->data->shape, weight, bias, form))
        return db_op_misfit(tape, weight->name, &x, 1, &weight->shape);
    a = sizes;
    shape = db_shape4(a.batch, a.out_height, a.out_width, a.out_channels);
    y = db_op_tensor(tape, &shape);
    if (y != NULL) {
        a.x = db_tensor_f32(x->data);
        a.weight = db_param_f32(weight);
        a.weight_bf16 = db_param_bf16(weight);
        a.bias = bias == NULL ? NULL : db_tensor_f32(bias->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, conv2d_forward, &a));
    }
    result = db_op_record(tape, conv2d_backward, y, &x, 1, params, &op);
    if (op != NULL) {
        op->facts.conv2d = sizes;
        if (db_param_wanted(weight))
            op->saved[0] = db_tensor_hold(x->data);
    }
    db_drop(x);
    return result;
}

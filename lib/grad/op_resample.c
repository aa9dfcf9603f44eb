/* SPDX-License-Identifier: MIT */
/*
 * Nearest upsampling and 2x2 average pooling.
 */
#include "grad/tape_int.h"

static void form(dreambooth_resample *a, const struct db_shape *in,
                 const struct db_shape *out)
{
    a->batch = in->size[0];
    a->in_height = in->size[1];
    a->in_width = in->size[2];
    a->out_height = out->size[1];
    a->out_width = out->size[2];
    a->channels = in->size[3];
}

static int upsample_backward(struct db_tape *tape, struct db_op *op,
                             struct db_tensor *dy)
{
    struct db_tensor *dx = db_op_tensor(tape, &op->facts.shape);
    dreambooth_resample a = {.dy = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    form(&a, &op->facts.shape, &dy->shape);
    a.dx = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, upsample_nearest_backward, &a));
}

static int average_backward(struct db_tape *tape, struct db_op *op,
                            struct db_tensor *dy)
{
    struct db_tensor *dx = db_op_tensor(tape, &op->facts.shape);
    dreambooth_resample a = {.dy = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    form(&a, &op->facts.shape, &dy->shape);
    a.dx = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, average_pool_backward, &a));
}

/* A result of HEIGHT x WIDTH with the kernel's arguments in A; NULL, with X
 * dropped, on failure. */
static struct db_tensor *prepare(struct db_tape *tape, struct db_var *x,
                                 int64_t height, int64_t width,
                                 dreambooth_resample *a)
{
    const int64_t *size = x->data->shape.size;
    struct db_shape shape = db_shape4(size[0], height, width, size[3]);
    struct db_tensor *y;

    if (x->data->shape.rank != 4 || height < 1 || width < 1) {
        db_op_misfit(tape, "resample", &x, 1, &shape);
        return NULL;
    }
    y = db_op_tensor(tape, &shape);
    if (y == NULL) {
        db_drop(x);
        return NULL;
    }
    form(a, &x->data->shape, &shape);
    a->x = db_tensor_f32(x->data);
    a->y = db_tensor_f32(y);
    return y;
}

static struct db_var *record(struct db_tape *tape, db_backward *backward,
                             struct db_tensor *y, struct db_var *x)
{
    struct db_op *op;
    struct db_var *result = db_op_record(tape, backward, y, &x, 1, NULL, &op);

    if (op != NULL)
        op->facts.shape = x->data->shape;
    db_drop(x);
    return result;
}

struct db_var *db_upsample_nearest(struct db_tape *tape, struct db_var *x,
                                   int64_t height, int64_t width)
{
    dreambooth_resample a = {0};
    struct db_tensor *y;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    y = prepare(tape, x, height, width, &a);
    if (y == NULL)
        return NULL;
    db_tape_fail(tape, db_run(tape->device, upsample_nearest_forward, &a));
    return record(tape, upsample_backward, y, x);
}

struct db_var *db_average_pool(struct db_tape *tape, struct db_var *x)
{
    dreambooth_resample a = {0};
    struct db_tensor *y;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    y = prepare(tape, x, x->data->shape.size[1] / 2, x->data->shape.size[2] / 2,
                &a);
    if (y == NULL)
        return NULL;
    db_tape_fail(tape, db_run(tape->device, average_pool_forward, &a));
    return record(tape, average_backward, y, x);
}

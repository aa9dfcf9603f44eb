/* SPDX-License-Identifier: MIT */
/*
 * Elementwise operations and broadcast sums. They write over their input where
 * nobody else can see it.
 */
#include "grad/tape_int.h"

/* dy's own memory where nobody else holds it: elementwise gradients fit in. */
static struct db_tensor *over(struct db_tape *tape, struct db_tensor *dy)
{
    return db_tensor_sole(dy) ? db_tensor_hold(dy)
                              : db_op_tensor(tape, &dy->shape);
}

static int activation_backward(struct db_tape *tape, struct db_op *op,
                               struct db_tensor *dy)
{
    struct db_tensor *dx = over(tape, dy);
    dreambooth_unary a = {.activation = op->facts.activation,
                          .count = db_tensor_count(dy),
                          .x = db_tensor_f32(op->saved[0]),
                          .dy = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    a.dx = db_tensor_f32(dx);
    db_tape_fail(tape, db_run(tape->device, unary_backward, &a));
    return db_slot_add(tape, op->inputs[0], dx);
}

struct db_var *db_activation(struct db_tape *tape, struct db_var *x,
                             enum dreambooth_activation activation)
{
    dreambooth_unary a = {.activation = (int32_t)activation};
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    y = db_op_wanted(tape, &x, 1, NULL) ? db_op_tensor(tape, &x->data->shape)
                                        : db_op_in_place(tape, x);
    if (y != NULL) {
        a.count = db_tensor_count(y);
        a.x = db_tensor_f32(x->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, unary_forward, &a));
    }
    result = db_op_record(tape, activation_backward, y, &x, 1, NULL, &op);
    if (op != NULL) {
        op->facts.activation = (int32_t)activation;
        op->saved[0] = db_tensor_hold(x->data);
    }
    db_drop(x);
    return result;
}

static int geglu_backward(struct db_tape *tape, struct db_op *op,
                          struct db_tensor *dy)
{
    struct db_tensor *dx = db_op_tensor(tape, &op->saved[0]->shape);
    dreambooth_geglu a = {.rows = db_shape_rows(&dy->shape),
                          .width = db_shape_columns(&dy->shape),
                          .x = db_tensor_f32(op->saved[0]),
                          .dy = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    a.dx = db_tensor_f32(dx);
    db_tape_fail(tape, db_run(tape->device, geglu_backward, &a));
    return db_slot_add(tape, op->inputs[0], dx);
}

struct db_var *db_geglu(struct db_tape *tape, struct db_var *x)
{
    dreambooth_geglu a = {0};
    struct db_shape shape;
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    shape = x->data->shape;
    shape.size[shape.rank - 1] /= 2;
    y = db_op_tensor(tape, &shape);
    if (y != NULL) {
        a.rows = db_shape_rows(&shape);
        a.width = db_shape_columns(&shape);
        a.x = db_tensor_f32(x->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, geglu_forward, &a));
    }
    result = db_op_record(tape, geglu_backward, y, &x, 1, NULL, &op);
    if (op != NULL)
        op->saved[0] = db_tensor_hold(x->data);
    db_drop(x);
    return result;
}

static int add_backward(struct db_tape *tape, struct db_op *op,
                        struct db_tensor *dy)
{
    int status = db_slot_add(tape, op->inputs[0], db_tensor_hold(dy));

    return status != DREAMBOOTH_OK
               ? status
               : db_slot_add(tape, op->inputs[1], db_tensor_hold(dy));
}

struct db_var *db_add(struct db_tape *tape, struct db_var *x, struct db_var *y)
{
    struct db_var *inputs[2] = {x, y};
    struct db_var *from = x, *other = y;
    struct db_tensor *sum;
    struct db_var *result;
    struct db_op *op;
    dreambooth_axpby a = {.alpha = 1.0f};

    if (!db_op_ready(tape, inputs, 2))
        return NULL;
    if (!db_shape_equal(&x->data->shape, &y->data->shape)) {
        db_op_misfit(tape, "sum", &x->data->shape, &y->data->shape);
        db_op_drop(inputs, 2);
        return NULL;
    }
    sum = db_op_in_place(tape, x);
    if (sum != NULL && sum != x->data) {
        db_tensor_release(sum);
        sum = db_op_in_place(tape, y);
        from = y;
        other = x;
    }
    if (sum != NULL) {
        a.count = db_tensor_count(sum);
        a.y = db_tensor_f32(sum);
        if (sum != from->data) {
            a.x = db_tensor_f32(from->data);
            db_tape_fail(tape, db_run(tape->device, axpby, &a));
        }
        a.x = db_tensor_f32(other->data);
        a.beta = 1.0f;
        if (tape->status == DREAMBOOTH_OK)
            db_tape_fail(tape, db_run(tape->device, axpby, &a));
    }
    result = db_op_record(tape, add_backward, sum, inputs, 2, NULL, &op);
    db_op_drop(inputs, 2);
    return result;
}

static int scale_backward(struct db_tape *tape, struct db_op *op,
                          struct db_tensor *dy)
{
    struct db_tensor *dx = over(tape, dy);
    dreambooth_axpby a = {.count = db_tensor_count(dy),
                          .alpha = op->facts.factor,
                          .x = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    a.y = db_tensor_f32(dx);
    db_tape_fail(tape, db_run(tape->device, axpby, &a));
    return db_slot_add(tape, op->inputs[0], dx);
}

struct db_var *db_scale(struct db_tape *tape, struct db_var *x, float factor)
{
    dreambooth_axpby a = {.alpha = factor};
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    y = db_op_in_place(tape, x);
    if (y != NULL) {
        a.count = db_tensor_count(y);
        a.x = db_tensor_f32(x->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, axpby, &a));
    }
    result = db_op_record(tape, scale_backward, y, &x, 1, NULL, &op);
    if (op != NULL)
        op->facts.factor = factor;
    db_drop(x);
    return result;
}

/* dx = dy; dv = the sum of dy over the rows of each image. */
static int add_rows_backward(struct db_tape *tape, struct db_op *op,
                             struct db_tensor *dy)
{
    const struct db_shape *v = &op->facts.shape;
    struct db_tensor *dv = NULL;
    dreambooth_rows a = {
        .batch = v->size[0], .columns = v->size[1], .x = db_tensor_f32(dy)};
    int status = db_slot_add(tape, op->inputs[0], db_tensor_hold(dy));

    if (status != DREAMBOOTH_OK || op->inputs[1] == NULL)
        return status;
    status = db_tensor_new_zero(tape->env, DB_F32, v, &dv);
    if (status != DREAMBOOTH_OK)
        return status;
    a.rows = db_shape_rows(&dy->shape) / a.batch;
    a.sum = db_tensor_f32(dv);
    db_tape_fail(tape, db_run(tape->device, sum_rows, &a));
    return db_slot_add(tape, op->inputs[1], dv);
}

struct db_var *db_add_rows(struct db_tape *tape, struct db_var *x,
                           struct db_var *v)
{
    struct db_var *inputs[2] = {x, v};
    dreambooth_rows a = {0};
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, inputs, 2))
        return NULL;
    a.batch = x->data->shape.size[0];
    a.columns = db_shape_columns(&x->data->shape);
    if (db_tensor_count(v->data) != a.batch * a.columns || a.batch == 0) {
        db_op_misfit(tape, "row sum", &x->data->shape, &v->data->shape);
        db_op_drop(inputs, 2);
        return NULL;
    }
    y = db_op_in_place(tape, x);
    if (y != NULL) {
        a.rows = db_shape_rows(&y->shape) / a.batch;
        a.x = db_tensor_f32(x->data);
        a.v = db_tensor_f32(v->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, add_rows, &a));
    }
    result = db_op_record(tape, add_rows_backward, y, inputs, 2, NULL, &op);
    if (op != NULL)
        op->facts.shape = db_shape2(a.batch, a.columns);
    db_op_drop(inputs, 2);
    return result;
}

/* dx = dy; dw[l] += the sum of dy[b, l] over b. */
static int add_positions_backward(struct db_tape *tape, struct db_op *op,
                                  struct db_tensor *dy)
{
    dreambooth_rows a = {.batch = 1,
                         .rows = dy->shape.size[0],
                         .columns = dy->shape.size[1] * dy->shape.size[2],
                         .x = db_tensor_f32(dy)};

    if (db_param_wanted(op->params[0])) {
        a.sum = db_param_gradient(tape, op->params[0]);
        if (a.sum == NULL)
            return tape->status;
        db_tape_fail(tape, db_run(tape->device, sum_rows, &a));
    }
    return tape->status != DREAMBOOTH_OK
               ? tape->status
               : db_slot_add(tape, op->inputs[0], db_tensor_hold(dy));
}

struct db_var *db_add_positions(struct db_tape *tape, struct db_var *x,
                                struct db_param *w)
{
    struct db_param *params[DB_OP_PARAMS] = {w};
    const struct db_shape *shape;
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;
    dreambooth_axpby a = {.alpha = 1.0f, .beta = 1.0f};
    int64_t i;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    shape = &x->data->shape;
    if (shape->rank != 3 || shape->size[1] > w->data->shape.size[0] ||
        shape->size[2] != w->data->shape.size[1]) {
        db_op_misfit(tape, w->name, shape, &w->shape);
        db_drop(x);
        return NULL;
    }
    y = db_op_tensor(tape, shape);
    a.count = shape->size[1] * shape->size[2];
    for (i = 0; y != NULL && i < shape->size[0]; i++) {
        a.y = db_tensor_f32(y) + i * a.count;
        a.x = db_tensor_f32(x->data) + i * a.count;
        a.beta = 0.0f;
        db_tape_fail(tape, db_run(tape->device, axpby, &a));
        a.x = db_tensor_f32(w->data);
        a.beta = 1.0f;
        db_tape_fail(tape, db_run(tape->device, axpby, &a));
    }
    result = db_op_record(tape, add_positions_backward, y, &x, 1, params, &op);
    db_drop(x);
    return result;
}

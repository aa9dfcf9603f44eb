/* SPDX-License-Identifier: MIT */
/*
 * Elementwise operations and broadcast sums. They write over their input where
 * nobody else can see it.
 */
#include "grad/tape_int.h"

static int activation_backward(struct db_tape *tape, struct db_op *op,
                               struct db_tensor *dy)
{
    struct db_tensor *dx = db_op_over(tape, dy);
    dreambooth_unary a = {.activation = op->facts.activation,
                          .count = db_tensor_count(dy),
                          .x = db_tensor_f32(op->saved[0]),
                          .dy = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    a.dx = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, unary_backward, &a));
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
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, geglu_backward, &a));
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
    if (shape.rank == 0 || db_shape_columns(&shape) % 2 != 0)
        return db_op_misfit(tape, "geglu", &x, 1, &shape);
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
    struct db_tensor *sum;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, inputs, 2))
        return NULL;
    if (!db_shape_equal(&x->data->shape, &y->data->shape))
        return db_op_misfit(tape, "sum", inputs, 2, &y->data->shape);
    sum = db_op_in_place(tape, db_op_sole(y) ? y : x);
    if (sum != NULL)
        db_tape_fail(tape, db_add_tensors(tape, x->data, y->data, sum));
    result = db_op_record(tape, add_backward, sum, inputs, 2, NULL, &op);
    db_op_drop(inputs, 2);
    return result;
}

static int scale_backward(struct db_tape *tape, struct db_op *op,
                          struct db_tensor *dy)
{
    struct db_tensor *dx = db_op_over(tape, dy);
    dreambooth_axpby a = {.count = db_tensor_count(dy),
                          .alpha = op->facts.factor,
                          .x = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    a.y = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, axpby, &a));
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
    return db_slot_finish(tape, op->inputs[1], dv,
                          db_run(tape->device, sum_rows, &a));
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
    a.columns = db_shape_columns(&x->data->shape);
    a.batch =
        db_tensor_count(v->data) == a.columns ? 1 : x->data->shape.size[0];
    if (x->data->shape.rank < 2 || a.batch == 0 ||
        db_tensor_count(v->data) != a.batch * a.columns)
        return db_op_misfit(tape, "row sum", inputs, 2, &v->data->shape);
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
    int status = DREAMBOOTH_OK;

    if (db_param_wanted(op->params[0])) {
        a.sum = db_param_gradient(tape, op->params[0]);
        status =
            a.sum == NULL ? tape->status : db_run(tape->device, sum_rows, &a);
    }
    return status != DREAMBOOTH_OK
               ? status
               : db_slot_add(tape, op->inputs[0], db_tensor_hold(dy));
}

/* y[b] = x[b] + w for every image b; y may be x. */
static int add_to_each(struct db_tape *tape, const struct db_tensor *x,
                       const struct db_tensor *w, struct db_tensor *y)
{
    int64_t count = x->shape.size[1] * x->shape.size[2], b;
    dreambooth_axpby copy = {.count = db_tensor_count(x),
                             .alpha = 1.0f,
                             .x = db_tensor_f32(x),
                             .y = db_tensor_f32(y)};
    dreambooth_axpby add = {
        .count = count, .alpha = 1.0f, .beta = 1.0f, .x = db_tensor_f32(w)};
    int status = y == x ? DREAMBOOTH_OK : db_run(tape->device, axpby, &copy);

    for (b = 0; b < x->shape.size[0] && status == DREAMBOOTH_OK; b++) {
        add.y = db_tensor_f32(y) + b * count;
        status = db_run(tape->device, axpby, &add);
    }
    return status;
}

struct db_var *db_add_positions(struct db_tape *tape, struct db_var *x,
                                struct db_param *w)
{
    struct db_param *params[DB_OP_PARAMS] = {w};
    const struct db_shape *shape, *table = &w->data->shape;
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    shape = &x->data->shape;
    if (shape->rank != 3 || table->rank != 2 ||
        shape->size[1] > table->size[0] || shape->size[2] != table->size[1])
        return db_op_misfit(tape, w->name, &x, 1, &w->shape);
    y = db_op_in_place(tape, x);
    if (y != NULL)
        db_tape_fail(tape, add_to_each(tape, x->data, w->data, y));
    result = db_op_record(tape, add_positions_backward, y, &x, 1, params, &op);
    db_drop(x);
    return result;
}

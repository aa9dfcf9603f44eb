/* SPDX-License-Identifier: MIT */
/*
 * Group and layer normalisation. Both save their input and its statistics.
 */
#include "grad/tape_int.h"

/* The gradients' places: dx (may stay NULL, or be DY), dweight, dbias. */
static int gradients(struct db_tape *tape, struct db_op *op,
                     struct db_tensor *dy, struct db_tensor **dx,
                     float **dweight, float **dbias)
{
    *dx = NULL;
    *dweight = *dbias = NULL;
    if (db_param_wanted(op->params[0]) &&
        (*dweight = db_param_gradient(tape, op->params[0])) == NULL)
        return tape->status;
    if (db_param_wanted(op->params[1]) &&
        (*dbias = db_param_gradient(tape, op->params[1])) == NULL)
        return tape->status;
    if (op->inputs[0] != NULL && (*dx = db_op_over(tape, dy)) == NULL)
        return tape->status;
    return DREAMBOOTH_OK;
}

static void group_form(dreambooth_group_norm *a, const struct db_tensor *x,
                       const union db_op_facts *facts)
{
    a->batch = x->shape.size[0];
    a->channels = db_shape_columns(&x->shape);
    a->pixels = db_shape_rows(&x->shape) / (a->batch > 0 ? a->batch : 1);
    a->groups = facts->norm.groups;
    a->epsilon = facts->norm.epsilon;
    a->silu = facts->norm.silu;
    a->x = db_tensor_f32(x);
}

static int group_norm_backward(struct db_tape *tape, struct db_op *op,
                               struct db_tensor *dy)
{
    dreambooth_group_norm a = {.dy = db_tensor_f32(dy)};
    struct db_tensor *dx;
    int status = gradients(tape, op, dy, &dx, &a.dweight, &a.dbias);

    if (status != DREAMBOOTH_OK)
        return status;
    group_form(&a, op->saved[0], &op->facts);
    a.weight = db_tensor_f32(op->params[0]->data);
    a.bias = db_tensor_f32(op->params[1]->data);
    a.mean = db_tensor_f32(op->saved[1]);
    a.rstd = db_tensor_f32(op->saved[2]);
    a.dx = dx == NULL ? NULL : db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, group_norm_backward, &a));
}

static void layer_form(dreambooth_layer_norm *a, const struct db_tensor *x,
                       float epsilon)
{
    a->rows = db_shape_rows(&x->shape);
    a->channels = db_shape_columns(&x->shape);
    a->epsilon = epsilon;
    a->x = db_tensor_f32(x);
}

static int layer_norm_backward(struct db_tape *tape, struct db_op *op,
                               struct db_tensor *dy)
{
    dreambooth_layer_norm a = {.dy = db_tensor_f32(dy)};
    struct db_tensor *dx;
    int status = gradients(tape, op, dy, &dx, &a.dweight, &a.dbias);

    if (status != DREAMBOOTH_OK)
        return status;
    layer_form(&a, op->saved[0], op->facts.norm.epsilon);
    a.weight = db_tensor_f32(op->params[0]->data);
    a.mean = db_tensor_f32(op->saved[1]);
    a.rstd = db_tensor_f32(op->saved[2]);
    a.dx = dx == NULL ? NULL : db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, layer_norm_backward, &a));
}

/* Places for the result and COUNT means and reciprocal deviations. */
struct places {
    struct db_tensor *y, *mean, *rstd;
};

/* Like X, in bfloat16. */
static struct db_tensor *halves_of(struct db_tape *tape, const struct db_var *x)
{
    struct db_tensor *y = NULL;

    if (tape->status == DREAMBOOTH_OK)
        db_tape_fail(tape,
                     db_tensor_new(tape->env, DB_BF16, &x->data->shape, &y));
    return y;
}

static bool make_places(struct db_tape *tape, struct db_var *x,
                        struct db_param *const *params, int64_t count,
                        bool is_narrow, struct places *places)
{
    struct db_shape statistics = db_shape1(count);

    places->y = is_narrow ? halves_of(tape, x)
                : db_op_wanted(tape, &x, 1, params)
                    ? db_op_tensor(tape, &x->data->shape)
                    : db_op_in_place(tape, x);
    places->mean = db_op_tensor(tape, &statistics);
    places->rstd = db_op_tensor(tape, &statistics);
    return tape->status == DREAMBOOTH_OK;
}

static struct db_var *record(struct db_tape *tape, db_backward *backward,
                             struct places *places, struct db_var *x,
                             struct db_param *const *params,
                             const union db_op_facts *facts)
{
    struct db_op *op;
    struct db_var *result =
        db_op_record(tape, backward, places->y, &x, 1, params, &op);

    if (op != NULL) {
        op->facts = *facts;
        op->saved[0] = db_tensor_hold(x->data);
        op->saved[1] = db_tensor_hold(places->mean);
        op->saved[2] = db_tensor_hold(places->rstd);
    }
    db_tensor_release(places->mean);
    db_tensor_release(places->rstd);
    db_drop(x);
    return result;
}

static bool fits(const struct db_shape *x, const struct db_param *weight,
                 const struct db_param *bias)
{
    int64_t channels = db_shape_columns(x);

    return x->rank >= 2 && db_tensor_count(weight->data) == channels &&
           db_bias_fits(bias, channels);
}

struct db_var *db_group_norm(struct db_tape *tape, struct db_var *x,
                             struct db_param *weight, struct db_param *bias,
                             int64_t groups, float epsilon, bool silu)
{
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    union db_op_facts facts = {.norm = {groups, epsilon, silu}};
    dreambooth_group_norm a = {0};
    struct places places;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    if (!fits(&x->data->shape, weight, bias) || groups < 1 ||
        db_shape_columns(&x->data->shape) % groups != 0)
        return db_op_misfit(tape, weight->name, &x, 1, &weight->shape);
    group_form(&a, x->data, &facts);
    if (make_places(tape, x, params, a.batch * groups, false, &places)) {
        a.weight = db_tensor_f32(weight->data);
        a.bias = db_tensor_f32(bias->data);
        a.y = db_tensor_f32(places.y);
        a.mean = db_tensor_f32(places.mean);
        a.rstd = db_tensor_f32(places.rstd);
        db_tape_fail(tape, db_run(tape->device, group_norm_forward, &a));
    }
    return record(tape, group_norm_backward, &places, x, params, &facts);
}

static struct db_var *layer_norm(struct db_tape *tape, struct db_var *x,
                                 struct db_param *weight, struct db_param *bias,
                                 float epsilon, bool is_narrow)
{
    struct db_param *params[DB_OP_PARAMS] = {weight, bias};
    union db_op_facts facts = {.norm = {0, epsilon, false}};
    dreambooth_layer_norm a = {0};
    struct places places;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    if (!fits(&x->data->shape, weight, bias))
        return db_op_misfit(tape, weight->name, &x, 1, &weight->shape);
    layer_form(&a, x->data, epsilon);
    if (make_places(tape, x, params, a.rows, is_narrow, &places)) {
        a.weight = db_tensor_f32(weight->data);
        a.bias = db_tensor_f32(bias->data);
        a.y = db_tensor_if_f32(places.y);
        a.y_bf16 = db_tensor_if_bf16(places.y);
        a.mean = db_tensor_f32(places.mean);
        a.rstd = db_tensor_f32(places.rstd);
        db_tape_fail(tape, db_run(tape->device, layer_norm_forward, &a));
    }
    return record(tape, layer_norm_backward, &places, x, params, &facts);
}

struct db_var *db_layer_norm(struct db_tape *tape, struct db_var *x,
                             struct db_param *weight, struct db_param *bias,
                             float epsilon)
{
    return layer_norm(tape, x, weight, bias, epsilon, false);
}

struct db_var *db_layer_norm_narrow(struct db_tape *tape, struct db_var *x,
                                    struct db_param *weight,
                                    struct db_param *bias, float epsilon)
{
    return layer_norm(tape, x, weight, bias, epsilon, true);
}

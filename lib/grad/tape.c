/* SPDX-License-Identifier: MIT */
/*
 * The tape: a chain of recorded operations, run backwards. Each record is freed
 * as soon as its backward pass is done, so that memory falls as the gradient
 * goes down.
 */
#include "grad/tape_int.h"

void db_tape_init(struct db_tape *tape, struct db_device *device,
                  bool recording)
{
    *tape = (struct db_tape){.env = device->env,
                             .device = device,
                             .recording = recording,
                             .status = DREAMBOOTH_OK};
}

void db_tape_fail(struct db_tape *tape, int status)
{
    if (status < 0 && tape->status == DREAMBOOTH_OK)
        tape->status = status;
}

static void slot_release(struct db_slot *slot)
{
    if (slot == NULL || --slot->references > 0)
        return;
    db_tensor_release(slot->gradient);
    db_free(slot->env, slot);
}

static struct db_slot *slot_hold(struct db_slot *slot)
{
    if (slot != NULL)
        slot->references++;
    return slot;
}

static struct db_slot *slot_new(struct db_tape *tape)
{
    struct db_slot *slot = db_alloc(tape->env, sizeof(*slot));

    if (slot == NULL)
        return NULL;
    *slot = (struct db_slot){.references = 1, .env = tape->env};
    return slot;
}

static void op_free(struct db_env *env, struct db_op *op)
{
    int i;

    for (i = 0; i < DB_OP_SAVED; i++)
        db_tensor_release(op->saved[i]);
    for (i = 0; i < DB_OP_INPUTS; i++)
        slot_release(op->inputs[i]);
    slot_release(op->result);
    db_free(env, op);
}

void db_tape_clear(struct db_tape *tape)
{
    struct db_op *op;

    while ((op = tape->last) != NULL) {
        tape->last = op->previous;
        op_free(tape->env, op);
    }
    tape->status = DREAMBOOTH_OK;
}

/* There is no variable or tensor, and the tape does not know why: what made it
 * failed outside the tape, or was never asked to. */
static void fail_of_nothing(struct db_tape *tape)
{
    if (tape->status != DREAMBOOTH_OK)
        return;
    if (tape->env->error_status >= 0)
        db_fail(tape->env, DREAMBOOTH_EINTERNAL,
                "an operation was given no variable");
    db_tape_fail(tape, tape->env->error_status);
}

/* Takes over DATA, also on failure. */
static struct db_var *var_over(struct db_tape *tape, struct db_tensor *data,
                               bool want_gradient)
{
    struct db_var *var = db_alloc(tape->env, sizeof(*var));

    if (var == NULL)
        goto fail;
    *var = (struct db_var){.references = 1, .env = tape->env, .data = data};
    if (want_gradient && (var->slot = slot_new(tape)) == NULL)
        goto fail;
    return var;
fail:
    db_tape_fail(tape, tape->env->error_status);
    db_free(tape->env, var);
    db_tensor_release(data);
    return NULL;
}

struct db_var *db_var_new(struct db_tape *tape, struct db_tensor *data,
                          bool want_gradient)
{
    if (data == NULL)
        fail_of_nothing(tape);
    if (tape->status != DREAMBOOTH_OK)
        return NULL;
    return var_over(tape, db_tensor_hold(data), want_gradient);
}

struct db_var *db_var_empty(struct db_tape *tape, const struct db_shape *shape)
{
    struct db_tensor *data = db_op_tensor(tape, shape);

    return data == NULL ? NULL : var_over(tape, data, false);
}

struct db_var *db_hold(struct db_var *var)
{
    if (var != NULL)
        var->references++;
    return var;
}

void db_drop(struct db_var *var)
{
    if (var == NULL || --var->references > 0)
        return;
    db_tensor_release(var->data);
    slot_release(var->slot);
    db_free(var->env, var);
}

static bool any_trains(struct db_param *const *params)
{
    int i;

    for (i = 0; params != NULL && i < DB_OP_PARAMS; i++)
        if (db_param_wanted(params[i]))
            return true;
    return false;
}

/* All products of matrices that are no smaller round their factors. */
#define LEAST_SIDE 64

bool db_tape_narrows(const struct db_tape *tape, const struct db_var *x)
{
    const struct db_shape *shape;

    if (x == NULL || tape->recording || !db_device_narrows(tape->device) ||
        tape->device->host.precision != DREAMBOOTH_BFLOAT16)
        return false;
    shape = &x->data->shape;
    return shape->rank >= 2 && shape->size[shape->rank - 1] >= LEAST_SIDE &&
           shape->size[shape->rank - 2] >= LEAST_SIDE;
}

bool db_op_wanted(const struct db_tape *tape, struct db_var *const *inputs,
                  int count, struct db_param *const *params)
{
    int i;

    if (!tape->recording)
        return false;
    for (i = 0; i < count; i++)
        if (inputs[i]->slot != NULL)
            return true;
    return any_trains(params);
}

bool db_op_ready(struct db_tape *tape, struct db_var *const *inputs, int count)
{
    int i;

    for (i = 0; i < count; i++)
        if (inputs[i] == NULL)
            fail_of_nothing(tape);
    if (tape->status == DREAMBOOTH_OK)
        return true;
    db_op_drop(inputs, count);
    return false;
}

void db_op_drop(struct db_var *const *inputs, int count)
{
    int i;

    for (i = 0; i < count; i++)
        db_drop(inputs[i]);
}

/* A record with its slots and parameters, linked into the chain. */
static struct db_op *op_new(struct db_tape *tape, struct db_var *result,
                            struct db_var *const *inputs, int count,
                            struct db_param *const *params)
{
    struct db_op *op = db_alloc_zero(tape->env, sizeof(*op));
    int i;

    if (op == NULL)
        return NULL;
    op->result = slot_hold(result->slot);
    for (i = 0; i < count; i++)
        op->inputs[i] = slot_hold(inputs[i]->slot);
    for (i = 0; params != NULL && i < DB_OP_PARAMS; i++)
        op->params[i] = params[i];
    op->previous = tape->last;
    tape->last = op;
    return op;
}

struct db_var *db_op_record(struct db_tape *tape, db_backward *backward,
                            struct db_tensor *result,
                            struct db_var *const *inputs, int count,
                            struct db_param *const *params, struct db_op **out)
{
    bool wanted = db_op_wanted(tape, inputs, count, params);
    struct db_var *var;

    *out = NULL;
    tape->trains = tape->trains || any_trains(params);
    if (result == NULL || tape->status != DREAMBOOTH_OK) {
        db_tensor_release(result);
        return NULL;
    }
    var = var_over(tape, result, wanted);
    if (var == NULL || !wanted)
        return var;
    *out = op_new(tape, var, inputs, count, params);
    if (*out == NULL) {
        db_tape_fail(tape, tape->env->error_status);
        db_drop(var);
        return NULL;
    }
    (*out)->backward = backward;
    return var;
}

int db_add_tensors(struct db_tape *tape, const struct db_tensor *x,
                   const struct db_tensor *y, struct db_tensor *sum)
{
    dreambooth_axpby add = {.count = db_tensor_count(sum),
                            .alpha = 1.0f,
                            .x = db_tensor_f32(x),
                            .y = db_tensor_f32(sum)};
    int status = DREAMBOOTH_OK;

    if (sum != x && sum != y)
        status = db_run(tape->device, axpby, &add);
    add.x = db_tensor_f32(sum == y ? x : y);
    add.beta = 1.0f;
    return status != DREAMBOOTH_OK ? status : db_run(tape->device, axpby, &add);
}

/* Adds GRADIENT to what SLOT has, in whichever tensor nobody else can see. */
static int slot_sum(struct db_tape *tape, struct db_slot *slot,
                    struct db_tensor *gradient)
{
    struct db_tensor *sum = NULL;
    int status = DREAMBOOTH_OK;

    if (db_tensor_sole(slot->gradient))
        sum = db_tensor_hold(slot->gradient);
    else if (db_tensor_sole(gradient))
        sum = db_tensor_hold(gradient);
    else
        status = db_tensor_new(tape->env, DB_F32, &gradient->shape, &sum);
    if (status == DREAMBOOTH_OK)
        status = db_add_tensors(tape, slot->gradient, gradient, sum);
    if (status != DREAMBOOTH_OK) {
        db_tensor_release(sum);
        return status;
    }
    db_tensor_release(slot->gradient);
    slot->gradient = sum;
    return DREAMBOOTH_OK;
}

int db_slot_add(struct db_tape *tape, struct db_slot *slot,
                struct db_tensor *gradient)
{
    int status = DREAMBOOTH_OK;

    if (gradient == NULL)
        return tape->env->error_status;
    if (slot != NULL && slot->gradient == NULL) {
        slot->gradient = gradient;
        return DREAMBOOTH_OK;
    }
    if (slot != NULL)
        status = slot_sum(tape, slot, gradient);
    db_tensor_release(gradient);
    return status;
}

int db_slot_finish(struct db_tape *tape, struct db_slot *slot,
                   struct db_tensor *gradient, int status)
{
    if (status == DREAMBOOTH_OK && gradient != NULL)
        return db_slot_add(tape, slot, gradient);
    db_tensor_release(gradient);
    return status;
}

static struct db_tensor *tensor_of(struct db_tape *tape, enum db_dtype dtype,
                                   const struct db_shape *shape)
{
    struct db_tensor *tensor = NULL;

    if (tape->status == DREAMBOOTH_OK)
        db_tape_fail(tape, db_tensor_new(tape->env, dtype, shape, &tensor));
    return tensor;
}

struct db_tensor *db_op_tensor(struct db_tape *tape,
                               const struct db_shape *shape)
{
    return tensor_of(tape, DB_F32, shape);
}

struct db_tensor *db_op_tensor_like(struct db_tape *tape,
                                    const struct db_tensor *x)
{
    return tensor_of(tape, x->dtype, &x->shape);
}

bool db_op_sole(const struct db_var *x)
{
    return x->references == 1 && db_tensor_sole(x->data);
}

struct db_tensor *db_op_in_place(struct db_tape *tape, struct db_var *x)
{
    if (db_op_sole(x))
        return db_tensor_hold(x->data);
    return db_op_tensor(tape, &x->data->shape);
}

struct db_tensor *db_op_over(struct db_tape *tape, struct db_tensor *dy)
{
    return db_tensor_sole(dy) ? db_tensor_hold(dy)
                              : db_op_tensor(tape, &dy->shape);
}

struct db_var *db_op_misfit(struct db_tape *tape, const char *name,
                            struct db_var *const *inputs, int count,
                            const struct db_shape *other)
{
    char text[96], other_text[96];

    db_shape_text(&inputs[0]->data->shape, text, sizeof(text));
    db_shape_text(other, other_text, sizeof(other_text));
    db_tape_fail(tape, db_fail(tape->env, DREAMBOOTH_EINTERNAL,
                               "%s: shapes %s and %s do not fit", name, text,
                               other_text));
    db_op_drop(inputs, count);
    return NULL;
}

int64_t db_shape_columns(const struct db_shape *shape)
{
    return shape->rank == 0 ? 1 : shape->size[shape->rank - 1];
}

int64_t db_shape_rows(const struct db_shape *shape)
{
    int64_t rows = 1;
    int i;

    for (i = 0; i + 1 < shape->rank; i++)
        rows *= shape->size[i];
    return rows;
}

/* Puts SEED, or ones, into the slot of RESULT. */
static int seed_result(struct db_tape *tape, struct db_var *result,
                       struct db_tensor *seed)
{
    struct db_tensor *gradient;
    int64_t i, count;

    if (seed != NULL)
        return db_slot_add(tape, result->slot, db_tensor_hold(seed));
    gradient = db_op_tensor(tape, &result->data->shape);
    if (gradient == NULL)
        return tape->status;
    count = db_tensor_count(gradient);
    for (i = 0; i < count; i++)
        db_tensor_f32(gradient)[i] = 1.0f;
    return db_slot_add(tape, result->slot, gradient);
}

static void finish_params(struct db_tape *tape, struct db_op *op)
{
    int i;

    for (i = 0; i < DB_OP_PARAMS && tape->status == DREAMBOOTH_OK; i++)
        if (op->params[i] != NULL)
            db_tape_fail(tape, db_param_finish(tape, op->params[i]));
}

/* Runs and frees the last operation. */
static void step_back(struct db_tape *tape)
{
    struct db_op *op = tape->last;
    struct db_tensor *dy = op->result->gradient;

    tape->last = op->previous;
    if (dy != NULL) {
        op->result->gradient = NULL;
        db_tape_fail(tape, op->backward(tape, op, dy));
        db_tensor_release(dy);
        finish_params(tape, op);
    }
    op_free(tape->env, op);
}

int db_tape_backward(struct db_tape *tape, struct db_var *result,
                     struct db_tensor *seed)
{
    if (!db_op_ready(tape, &result, 1))
        return tape->status;
    if (seed != NULL && !db_shape_equal(&seed->shape, &result->data->shape)) {
        db_op_misfit(tape, "seed gradient", &result, 1, &seed->shape);
        return tape->status;
    }
    db_tape_fail(tape, seed_result(tape, result, seed));
    db_drop(result);
    while (tape->status == DREAMBOOTH_OK && tape->last != NULL)
        step_back(tape);
    return tape->status;
}

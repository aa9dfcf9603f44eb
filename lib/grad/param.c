/* SPDX-License-Identifier: MIT */
/* What operations do with parameters: have them there, and find the place of
 * their gradients. */
#include <string.h>

#include "grad/tape_int.h"

int db_param_need(struct db_param *param, struct db_pool *pool)
{
    if (param->data != NULL)
        return DREAMBOOTH_OK;
    if (param->load == NULL)
        return db_fail(param->env, DREAMBOOTH_EINTERNAL,
                       "the parameter %s has no values", param->name);
    return param->load(param, pool);
}

bool db_op_needs(struct db_tape *tape, struct db_param *param,
                 struct db_var *const *inputs, int count)
{
    db_tape_fail(tape, db_param_need(param, tape->device->pool));
    if (tape->status == DREAMBOOTH_OK)
        return true;
    db_op_drop(inputs, count);
    return false;
}

const float *db_param_f32(const struct db_param *param)
{
    return db_tensor_if_f32(param->data);
}

const uint16_t *db_param_bf16(const struct db_param *param)
{
    return db_tensor_if_bf16(param->data);
}

bool db_param_is_weight(const struct db_param *param)
{
    return param->layout == DB_LAYOUT_MATRIX || param->layout == DB_LAYOUT_CONV;
}

bool db_param_wanted(const struct db_param *param)
{
    return param != NULL && param->trainable;
}

float *db_param_fresh_gradient(struct db_tape *tape, struct db_param *param,
                               bool *fresh)
{
    struct db_tensor **sum =
        param->gradients == DB_F32 ? &param->gradient : &param->sum;
    int status = DREAMBOOTH_OK;

    *fresh = *sum == NULL;
    if (*fresh)
        status = db_tensor_new(tape->env, DB_F32, &param->data->shape, sum);
    param->touched = true;
    db_tape_fail(tape, status);
    return status == DREAMBOOTH_OK ? db_tensor_f32(*sum) : NULL;
}

float *db_param_gradient(struct db_tape *tape, struct db_param *param)
{
    bool fresh;
    float *sum = db_param_fresh_gradient(tape, param, &fresh);

    if (sum != NULL && fresh)
        memset(sum, 0, (size_t)db_tensor_count(param->data) * sizeof(*sum));
    return sum;
}

/* Adds what an operation made to the gradient in bfloat16. */
static int round_sum(struct db_tape *tape, struct db_param *param)
{
    dreambooth_narrow a = {.count = db_tensor_count(param->sum),
                           .add = param->gradient != NULL,
                           .x = db_tensor_f32(param->sum),
                           .sum = &param->squares};
    int status = DREAMBOOTH_OK;

    if (param->gradient == NULL)
        status = db_tensor_new(tape->env, DB_BF16, &param->sum->shape,
                               &param->gradient);
    if (status == DREAMBOOTH_OK) {
        a.y = param->gradient->data;
        status = db_run(tape->device, narrow, &a);
    }
    db_tensor_release(param->sum);
    param->sum = NULL;
    return status;
}

int db_param_finish(struct db_tape *tape, struct db_param *param)
{
    dreambooth_sum_squares a = {.sum = &param->squares};

    if (!param->touched)
        return DREAMBOOTH_OK;
    param->touched = false;
    if (param->sum != NULL)
        return round_sum(tape, param);
    a.count = db_tensor_count(param->gradient);
    a.x = db_tensor_f32(param->gradient);
    return db_run(tape->device, sum_squares, &a);
}

void db_param_free_gradient(struct db_param *param)
{
    db_tensor_release(param->gradient);
    db_tensor_release(param->sum);
    param->gradient = param->sum = NULL;
    param->touched = false;
}

/* SPDX-License-Identifier: MIT */
/* What operations do with parameters: have them there, and find the place of
 * their gradients. */
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
    return param->data->dtype == DB_F32 ? param->data->data : NULL;
}

const uint16_t *db_param_bf16(const struct db_param *param)
{
    return param->data->dtype == DB_BF16 ? param->data->data : NULL;
}

bool db_param_wanted(const struct db_param *param)
{
    return param != NULL && param->trainable;
}

float *db_param_gradient(struct db_tape *tape, struct db_param *param)
{
    int status;

    if (param->gradient == NULL) {
        status = db_tensor_new_zero(tape->env, DB_F32, &param->data->shape,
                                    &param->gradient);
        if (status != DREAMBOOTH_OK) {
            db_tape_fail(tape, status);
            return NULL;
        }
    }
    return db_tensor_f32(param->gradient);
}

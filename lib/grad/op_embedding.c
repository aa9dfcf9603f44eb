/* SPDX-License-Identifier: MIT */
/*
 * Table look-up by ids, and the sinusoids that stand for a timestep.
 */
#include "grad/tape_int.h"

#include <math.h>
#include <string.h>

/* dtable[ids[r]] += dy[r]. */
static int embedding_backward(struct db_tape *tape, struct db_op *op,
                              struct db_tensor *dy)
{
    struct db_param *table = op->params[0];
    dreambooth_embedding a = {.rows = db_shape_rows(&dy->shape),
                              .columns = db_shape_columns(&dy->shape),
                              .entries = table->data->shape.size[0],
                              .ids = op->saved[0]->data,
                              .dy = db_tensor_f32(dy)};

    a.dtable = db_param_gradient(tape, table);
    return a.dtable == NULL ? tape->status
                            : db_run(tape->device, embedding_backward, &a);
}

/* Is TABLE a table, and do all ids have a row in it? */
static int check_ids(struct db_tape *tape, const struct db_param *table,
                     const int64_t *ids, int64_t count)
{
    const struct db_shape *shape = &table->data->shape;
    int64_t i;

    if (shape->rank != 2 || count < 1)
        return db_fail(tape->env, DREAMBOOTH_EINTERNAL,
                       "%s: not a table, or no ids to look up", table->name);
    for (i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= shape->size[0])
            return db_fail(
                tape->env, DREAMBOOTH_EINVAL,
                "%s: token id %lld does not exist, the table has %lld rows",
                table->name, (long long)ids[i], (long long)shape->size[0]);
    return DREAMBOOTH_OK;
}

struct db_var *db_embedding(struct db_tape *tape, struct db_param *table,
                            const int64_t *ids, int64_t batch, int64_t length)
{
    struct db_param *params[DB_OP_PARAMS] = {table};
    struct db_shape id_shape = db_shape1(batch * length), shape;
    struct db_tensor *id_tensor = NULL, *y;
    struct db_var *result;
    struct db_op *op;
    dreambooth_embedding a = {.rows = batch * length, .ids = ids};

    if (tape->status == DREAMBOOTH_OK)
        db_op_needs(tape, table, NULL, 0);
    if (tape->status == DREAMBOOTH_OK)
        db_tape_fail(tape, check_ids(tape, table, ids, a.rows));
    if (tape->status != DREAMBOOTH_OK)
        return NULL;
    a.columns = table->data->shape.size[1];
    a.entries = table->data->shape.size[0];
    shape = db_shape3(batch, length, a.columns);
    db_tape_fail(tape, db_tensor_new(tape->env, DB_I64, &id_shape, &id_tensor));
    y = db_op_tensor(tape, &shape);
    if (tape->status == DREAMBOOTH_OK) {
        memcpy(id_tensor->data, ids, (size_t)a.rows * sizeof(*ids));
        a.table = db_tensor_f32(table->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, embedding_forward, &a));
    }
    result = db_op_record(tape, embedding_backward, y, NULL, 0, params, &op);
    if (op != NULL)
        op->saved[0] = db_tensor_hold(id_tensor);
    db_tensor_release(id_tensor);
    return result;
}

void db_timestep_embedding(const float *timesteps, int64_t count, int64_t width,
                           bool flip_sin_to_cos, float downscale_freq_shift,
                           float *y)
{
    int64_t half = width / 2, i, n;
    float step = (float)-log(10000.0);

    for (n = 0; n < count; n++) {
        float *sines = y + n * width + (flip_sin_to_cos ? half : 0);
        float *cosines = y + n * width + (flip_sin_to_cos ? 0 : half);

        for (i = 0; i < half; i++) {
            float frequency =
                expf(step * (float)i / ((float)half - downscale_freq_shift));
            float argument = timesteps[n] * frequency;

            sines[i] = sinf(argument);
            cosines[i] = cosf(argument);
        }
        if (width % 2 != 0)
            y[n * width + width - 1] = 0.0f;
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Scaled dot-product attention, and softmax by itself. Attention saves q, k, v,
 * the result and one number a row (the log of its sum of exponentials), never
 * the scores.
 */
#include "grad/tape_int.h"

#include <math.h>

static float scale_of(int64_t head_size)
{
    return (float)(1.0 / sqrt((double)head_size));
}

static void form(dreambooth_attention *a, const struct db_tensor *q,
                 const struct db_tensor *k, const struct db_tensor *v,
                 int64_t heads, bool causal)
{
    a->batch = q->shape.size[0];
    a->heads = heads;
    a->query_length = q->shape.size[1];
    a->key_length = k->shape.size[1];
    a->head_size = q->shape.size[2] / heads;
    a->scale = scale_of(a->head_size);
    a->causal = causal;
    a->q = db_tensor_if_f32(q);
    a->k = db_tensor_if_f32(k);
    a->v = db_tensor_if_f32(v);
    a->q_bf16 = db_tensor_if_bf16(q);
    a->k_bf16 = db_tensor_if_bf16(k);
    a->v_bf16 = db_tensor_if_bf16(v);
}

#define LOG2_E 1.4426950408889634

float db_attention_factor(int64_t head_size)
{
    return (float)((double)scale_of(head_size) * LOG2_E);
}

/* saved: q, k, v, y, lse. */
static int attention_backward(struct db_tape *tape, struct db_op *op,
                              struct db_tensor *dy)
{
    dreambooth_attention a = {.dy = db_tensor_f32(dy)};
    struct db_tensor *gradients[3] = {NULL};
    int status, i;

    form(&a, op->saved[0], op->saved[1], op->saved[2],
         op->facts.attention.heads, op->facts.attention.causal);
    for (i = 0; i < 3; i++)
        gradients[i] = db_op_tensor(tape, &op->saved[i]->shape);
    status = tape->status;
    if (status == DREAMBOOTH_OK) {
        a.y = db_tensor_f32(op->saved[3]);
        a.lse = db_tensor_f32(op->saved[4]);
        a.dq = db_tensor_f32(gradients[0]);
        a.dk = db_tensor_f32(gradients[1]);
        a.dv = db_tensor_f32(gradients[2]);
        status = db_run(tape->device, attention_backward, &a);
    }
    for (i = 0; i < 3; i++)
        status = db_slot_finish(tape, op->inputs[i], gradients[i], status);
    return status;
}

static bool fits(const struct db_shape *q, const struct db_shape *k,
                 const struct db_shape *v, int64_t heads)
{
    return q->rank == 3 && k->rank == 3 && db_shape_equal(k, v) &&
           q->size[0] == k->size[0] && q->size[2] == k->size[2] && heads > 0 &&
           q->size[2] % heads == 0;
}

struct db_var *db_attention(struct db_tape *tape, struct db_var *q,
                            struct db_var *k, struct db_var *v, int64_t heads,
                            bool causal)
{
    struct db_var *inputs[3] = {q, k, v};
    struct db_tensor *y, *lse;
    struct db_shape rows;
    struct db_var *result;
    struct db_op *op;
    dreambooth_attention a = {0};
    int i;

    if (!db_op_ready(tape, inputs, 3))
        return NULL;
    if (!fits(&q->data->shape, &k->data->shape, &v->data->shape, heads))
        return db_op_misfit(tape, "attention", inputs, 3, &k->data->shape);
    form(&a, q->data, k->data, v->data, heads, causal);
    rows = db_shape3(a.batch, heads, a.query_length);
    y = db_op_tensor_like(tape, q->data);
    lse = db_op_tensor(tape, &rows);
    if (tape->status == DREAMBOOTH_OK) {
        a.y = db_tensor_if_f32(y);
        a.y_bf16 = db_tensor_if_bf16(y);
        a.lse = db_tensor_f32(lse);
        db_tape_fail(tape, db_run(tape->device, attention_forward, &a));
    }
    result = db_op_record(tape, attention_backward, y, inputs, 3, NULL, &op);
    if (op != NULL) {
        op->facts.attention.heads = heads;
        op->facts.attention.causal = causal;
        for (i = 0; i < 3; i++)
            op->saved[i] = db_tensor_hold(inputs[i]->data);
        op->saved[3] = db_tensor_hold(result->data);
        op->saved[4] = db_tensor_hold(lse);
    }
    db_tensor_release(lse);
    db_op_drop(inputs, 3);
    return result;
}

static int softmax_backward(struct db_tape *tape, struct db_op *op,
                            struct db_tensor *dy)
{
    struct db_tensor *dx = db_op_tensor(tape, &dy->shape);
    dreambooth_softmax a = {.rows = db_shape_rows(&dy->shape),
                            .columns = db_shape_columns(&dy->shape),
                            .y = db_tensor_f32(op->saved[0]),
                            .dy = db_tensor_f32(dy)};

    if (dx == NULL)
        return tape->status;
    a.dx = db_tensor_f32(dx);
    return db_slot_finish(tape, op->inputs[0], dx,
                          db_run(tape->device, softmax_backward, &a));
}

struct db_var *db_softmax(struct db_tape *tape, struct db_var *x)
{
    dreambooth_softmax a = {0};
    struct db_tensor *y;
    struct db_var *result;
    struct db_op *op;

    if (!db_op_ready(tape, &x, 1))
        return NULL;
    y = db_op_tensor(tape, &x->data->shape);
    if (y != NULL) {
        a.rows = db_shape_rows(&y->shape);
        a.columns = db_shape_columns(&y->shape);
        a.x = db_tensor_f32(x->data);
        a.y = db_tensor_f32(y);
        db_tape_fail(tape, db_run(tape->device, softmax_forward, &a));
    }
    result = db_op_record(tape, softmax_backward, y, &x, 1, NULL, &op);
    if (op != NULL)
        op->saved[0] = db_tensor_hold(result->data);
    db_drop(x);
    return result;
}

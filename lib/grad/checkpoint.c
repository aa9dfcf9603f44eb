/* SPDX-License-Identifier: MIT */
/*
 * Recomputed segments: the forward pass keeps only a segment's inputs, the
 * backward pass runs it again on a tape of its own (Chen et al. 2016,
 * "Training deep nets with sublinear memory cost").
 */
#include "grad/ops.h"
#include "grad/tape_int.h"

/* The segment's inputs as fresh variables of the inner tape. */
static bool fresh_inputs(struct db_tape *inner, struct db_op *op,
                         struct db_var **inputs, struct db_var **kept)
{
    int i;

    for (i = 0; i < op->facts.segment.count; i++) {
        inputs[i] = db_var_new(inner, op->saved[i], op->inputs[i] != NULL);
        kept[i] = db_hold(inputs[i]);
        db_tensor_release(op->saved[i]);
        op->saved[i] = NULL;
    }
    return inner->status == DREAMBOOTH_OK;
}

static int segment_backward(struct db_tape *tape, struct db_op *op,
                            struct db_tensor *dy)
{
    struct db_var *inputs[DB_SEGMENT_INPUTS] = {NULL};
    struct db_var *kept[DB_SEGMENT_INPUTS] = {NULL};
    struct db_tape inner;
    struct db_var *result;
    int status, i;

    db_tape_init(&inner, tape->device, true);
    if (fresh_inputs(&inner, op, inputs, kept)) {
        result =
            op->facts.segment.body(&inner, op->facts.segment.context, inputs);
        db_tape_backward(&inner, result, dy);
    } else {
        for (i = 0; i < DB_SEGMENT_INPUTS; i++)
            db_drop(inputs[i]);
    }
    status = inner.status;
    for (i = 0; i < DB_SEGMENT_INPUTS; i++) {
        if (status == DREAMBOOTH_OK && kept[i] != NULL &&
            kept[i]->slot != NULL && kept[i]->slot->gradient != NULL)
            status = db_slot_add(tape, op->inputs[i],
                                 db_tensor_hold(kept[i]->slot->gradient));
        db_drop(kept[i]);
    }
    db_tape_clear(&inner);
    return status;
}

/* Runs BODY without recording, and records it whole: if an input wants a
 * gradient or the body met a parameter that trains. */
static struct db_var *run_unrecorded(struct db_tape *tape,
                                     db_segment_body *body, const void *context,
                                     struct db_var **inputs, int count)
{
    struct db_param met = {.trainable = false};
    struct db_param *params[DB_OP_PARAMS] = {&met};
    struct db_var *held[DB_SEGMENT_INPUTS] = {NULL};
    struct db_var *inner, *result = NULL;
    struct db_op *op = NULL;
    int i;

    for (i = 0; i < count; i++)
        held[i] = db_hold(inputs[i]);
    tape->recording = false;
    tape->trains = false;
    inner = body(tape, context, inputs);
    tape->recording = true;
    met.trainable = tape->trains;
    if (inner != NULL)
        result =
            db_op_record(tape, segment_backward, db_tensor_hold(inner->data),
                         held, count, params, &op);
    if (op != NULL) {
        op->facts.segment.body = body;
        op->facts.segment.context = context;
        op->facts.segment.count = count;
        op->params[0] = NULL;
        for (i = 0; i < count; i++)
            op->saved[i] = db_tensor_hold(held[i]->data);
    }
    db_drop(inner);
    for (i = 0; i < count; i++)
        db_drop(held[i]);
    return result;
}

/* Inputs of their own to a segment that is kept: what it adds to the gradient
 * of one is summed up within it first, as when it is run again. Sums come out
 * the same to the bit, whether memory allowed to keep the segment or not. */
static void separate_inputs(struct db_tape *tape, struct db_var **inputs,
                            int count)
{
    int i;

    for (i = 0; i < count; i++) {
        struct db_shape shape = inputs[i]->data->shape;

        inputs[i] = db_reshape(tape, inputs[i], &shape);
    }
}

/* Counts the segment; is it to be run again? */
static bool is_recomputed(struct db_tape *tape)
{
    int number = tape->segments;

    if (!tape->recording || !tape->recompute)
        return false;
    tape->segments++;
    return tape->kept == NULL || number >= DB_SEGMENTS ||
           (tape->kept->bits[number / 64] >> number % 64 & 1) == 0;
}

struct db_var *db_checkpoint(struct db_tape *tape, db_segment_body *body,
                             const void *context, struct db_var **inputs,
                             int count)
{
    if (!db_op_ready(tape, inputs, count))
        return NULL;
    if (is_recomputed(tape))
        return run_unrecorded(tape, body, context, inputs, count);
    if (tape->recording)
        separate_inputs(tape, inputs, count);
    return body(tape, context, inputs);
}

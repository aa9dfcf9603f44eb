/* SPDX-License-Identifier: MIT */
/*
 * What operations share: how one is recorded, and the small acts that every
 * backward pass is made of.
 */
#ifndef DB_GRAD_TAPE_INT_H
#define DB_GRAD_TAPE_INT_H

#include "grad/ops.h"

#define DB_OP_INPUTS 3
#define DB_OP_SAVED 5
#define DB_OP_PARAMS 2

struct db_op;

/* Computes the inputs' gradients from DY, the gradient of the result. */
typedef int db_backward(struct db_tape *tape, struct db_op *op,
                        struct db_tensor *dy);

/* A recorded operation. It holds references to everything but the params. */
struct db_op {
    struct db_op *previous;
    db_backward *backward;
    struct db_slot *result;
    struct db_slot *inputs[DB_OP_INPUTS]; /* NULL: no gradient wanted */
    struct db_tensor *saved[DB_OP_SAVED];
    struct db_param *params[DB_OP_PARAMS]; /* NULL where there is none */
    union db_op_facts {
        dreambooth_conv2d conv2d;
        struct {
            int64_t groups;
            float epsilon;
            bool silu;
        } norm;
        struct {
            int64_t heads;
            bool causal;
        } attention;
        int32_t activation;
        float factor;
        struct {
            int64_t first, count;
            struct db_shape shape;
        } channels;
        struct db_shape shape;
        struct {
            db_segment_body *body;
            const void *context;
            int count;
        } segment;
    } facts;
};

/*
 * How an operation starts: true when all COUNT inputs are there and the tape
 * has not failed; else the inputs are dropped.
 */
bool db_op_ready(struct db_tape *tape, struct db_var *const *inputs, int count);
void db_op_drop(struct db_var *const *inputs, int count);

/*
 * How it ends: wraps RESULT (taken over, also on failure; NULL is fine) as the
 * operation's variable, unless the tape has failed. When the tape records and
 * one of the COUNT inputs or of PARAMS (NULL or DB_OP_PARAMS of them) wants a
 * gradient, *OP is a record that the caller completes with saved tensors and
 * facts; else it is NULL. The inputs are not dropped.
 */
struct db_var *db_op_record(struct db_tape *tape, db_backward *backward,
                            struct db_tensor *result,
                            struct db_var *const *inputs, int count,
                            struct db_param *const *params, struct db_op **op);

/* Does any of it want a gradient while the tape records? */
bool db_op_wanted(const struct db_tape *tape, struct db_var *const *inputs,
                  int count, struct db_param *const *params);

/* A gradient contribution, taken over. SLOT may be NULL; so may GRADIENT, where
 * making it failed. */
int db_slot_add(struct db_tape *tape, struct db_slot *slot,
                struct db_tensor *gradient);
/* How a backward pass ends: GRADIENT (NULL where none is wanted), taken over,
 * to SLOT if STATUS, that of its kernel, is OK. */
int db_slot_finish(struct db_tape *tape, struct db_slot *slot,
                   struct db_tensor *gradient, int status);
/* Makes sure that PARAM has data; else the tape fails and the inputs are
 * dropped. */
bool db_op_needs(struct db_tape *tape, struct db_param *param,
                 struct db_var *const *inputs, int count);
/* The data of PARAM, as its type has them; NULL as the other. */
const float *db_param_f32(const struct db_param *param);
const uint16_t *db_param_bf16(const struct db_param *param);
/* Where to add to the gradient of PARAM, made of zeros on first use; NULL on
 * failure. */
float *db_param_gradient(struct db_tape *tape, struct db_param *param);
/* The same for an operation that overwrites it where *FRESH is set: then it is
 * not made of zeros, but of anything. */
float *db_param_fresh_gradient(struct db_tape *tape, struct db_param *param,
                               bool *fresh);
/* How an operation that may have added to it ends: rounds the gradient, if it
 * is kept so, and sums its squares. */
int db_param_finish(struct db_tape *tape, struct db_param *param);
bool db_param_wanted(const struct db_param *param);
/* Adds the column sums of DY [rows, channels] to the gradient of BIAS, if that
 * is wanted. */
int db_bias_backward(struct db_tape *tape, struct db_param *bias,
                     struct db_tensor *dy);
/* Is it [channels]? NULL, for no bias, is. */
bool db_bias_fits(const struct db_param *bias, int64_t channels);

/* A tensor for a result; NULL with the status on the tape. */
struct db_tensor *db_op_tensor(struct db_tape *tape,
                               const struct db_shape *shape);
/* Of the shape and type of X. */
struct db_tensor *db_op_tensor_like(struct db_tape *tape,
                                    const struct db_tensor *x);
/* Can nobody else see X, or its memory? */
bool db_op_sole(const struct db_var *x);
/* X's own tensor where nobody else can see it, else a fresh one alike. */
struct db_tensor *db_op_in_place(struct db_tape *tape, struct db_var *x);
/* DY's own tensor where nobody else holds it, else a fresh one alike: for
 * gradients that are elementwise. */
struct db_tensor *db_op_over(struct db_tape *tape, struct db_tensor *dy);
/* SUM = X + Y, of one shape; SUM may be either. */
int db_add_tensors(struct db_tape *tape, const struct db_tensor *x,
                   const struct db_tensor *y, struct db_tensor *sum);
/* How an operation ends whose inputs' shapes, and OTHER, do not fit: the tape
 * fails, the inputs are dropped, the result is NULL. */
struct db_var *db_op_misfit(struct db_tape *tape, const char *name,
                            struct db_var *const *inputs, int count,
                            const struct db_shape *other);

/* The last dimension, and how many rows of it there are. */
int64_t db_shape_columns(const struct db_shape *shape);
int64_t db_shape_rows(const struct db_shape *shape);

#endif

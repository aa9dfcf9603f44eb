/* SPDX-License-Identifier: MIT */
/*
 * Define-by-run differentiation. Operations (ops.h) compute at once and, while
 * the tape records, note what their backward pass will need.
 *
 * Two rules make model code short:
 *
 * 1. An operation takes over the reference of each variable it is given. Use a
 *    variable twice by giving db_hold(x) the first time. So a buffer dies with
 *    its last use, and what nobody else holds is written over in place.
 * 2. Errors stick. A failed operation gives NULL and leaves its status on the
 *    tape; operations on NULL give NULL, and drop their other inputs. Check
 *    tape->status once, at the end.
 *
 * Without recording, the same code is inference and keeps nothing.
 */
#ifndef DB_GRAD_TAPE_H
#define DB_GRAD_TAPE_H

#include "kernel/device.h"
#include "tensor/tensor.h"

/*
 * Where a gradient gathers between the operations that use a variable and the
 * one that made it. NULL stands for "no gradient wanted".
 */
struct db_slot {
    int references;
    struct db_env *env;
    struct db_tensor *gradient; /* NULL until the first contribution */
};

/* A variable: data, and where its gradient goes. */
struct db_var {
    int references;
    struct db_env *env;
    struct db_tensor *data; /* F32 */
    struct db_slot *slot;
};

/*
 * What a trainable array is to its layer. Convolution weights are kept as [out,
 * height, width, in]; the files have [out, in, height, width]. Only the weights
 * of products, MATRIX and CONV, may be BF16. These and a TABLE, [entries,
 * channels], may be read when they are needed.
 */
enum db_layout {
    DB_LAYOUT_PLAIN,
    DB_LAYOUT_TABLE,
    DB_LAYOUT_MATRIX,
    DB_LAYOUT_CONV
};

struct db_param;

/* Gives PARAM its data; POOL may be NULL. */
typedef int db_param_load(struct db_param *param, struct db_pool *pool);

struct db_param {
    struct db_env *env;
    char *name;            /* as in the file, such as "conv_in.weight" */
    struct db_shape shape; /* as in the file */
    enum db_layout layout;
    bool trainable;
    uint64_t version;       /* raised by those who change data */
    enum db_dtype dtype;    /* that data have, F32 or BF16 */
    struct db_tensor *data; /* in the layout above; NULL: not there yet */
    /* NULL until a backward pass; adds up. It has the type of gradients once
     * the operations that add to it are done. */
    struct db_tensor *gradient;
    enum db_dtype gradients; /* F32 or BF16 */
    double squares;          /* the sum of the gradient's squares */
    struct db_tensor *sum;   /* what an operation adds before it is rounded */
    bool touched;            /* by the operation that runs backwards */
    db_param_load *load;     /* NULL: data are there, or are never read */
    const void *origin;      /* for load() */
};

void db_param_free_gradient(struct db_param *param);
/* Is it the weight of products? */
bool db_param_is_weight(const struct db_param *param);

/* Makes sure that PARAM has data. Operations do so for what is not PLAIN.
 * POOL may be NULL. */
int db_param_need(struct db_param *param, struct db_pool *pool);

struct db_op;
struct db_memo;

/* Numbers of segments, in the order in which they run. */
#define DB_SEGMENTS 512
struct db_segments {
    uint64_t bits[DB_SEGMENTS / 64];
};

struct db_tape {
    struct db_env *env;
    struct db_device *device;
    bool recording;
    bool recompute; /* db_checkpoint() segments are run again, not kept, but
                     * for those in kept */
    const struct db_segments *kept; /* NULL: none */
    int segments;                   /* so far, while recompute is set */
    bool trains; /* since a segment began, a parameter was met that does */
    int status;
    struct db_op *last;
    struct db_memo *memo; /* memo.h; NULL: none */
};

/*
 * Whether X [.., rows, channels], and what products make of it, may be bfloat16
 * where products alone read it: they round to that anyway, and no bit changes.
 * Nothing is recorded then.
 */
bool db_tape_narrows(const struct db_tape *tape, const struct db_var *x);

void db_tape_init(struct db_tape *tape, struct db_device *device,
                  bool recording);
/* Drops what is recorded. The tape can then be used again. */
void db_tape_clear(struct db_tape *tape);
/* Makes STATUS stick, if it is an error and the first. */
void db_tape_fail(struct db_tape *tape, int status);

/* A variable over DATA (NULL, where making it failed, gives NULL), of which it
 * takes its own reference. With want_gradient its slot gathers; read it after
 * db_tape_backward(). */
struct db_var *db_var_new(struct db_tape *tape, struct db_tensor *data,
                          bool want_gradient);
/* A variable of a fresh tensor with undefined contents. */
struct db_var *db_var_empty(struct db_tape *tape, const struct db_shape *shape);
struct db_var *db_hold(struct db_var *var);
void db_drop(struct db_var *var); /* NULL is fine */

/*
 * Runs the recorded operations backwards from RESULT with the gradient SEED of
 * its shape (NULL: ones), adding to the gradients of parameters and of the
 * variables of db_var_new(); those between are gone when it ends. The record is
 * used up; after an error db_tape_clear() drops the rest. RESULT's reference is
 * taken over. Returns tape->status.
 */
int db_tape_backward(struct db_tape *tape, struct db_var *result,
                     struct db_tensor *seed);

/*
 * A segment of several operations with one result. While recording with
 * tape->recompute set, unless it is in tape->kept, only its inputs are kept,
 * and the backward pass runs it again; gradients are the same to the bit either
 * way. BODY gets a reference to each of the COUNT inputs, at most
 * DB_SEGMENT_INPUTS, and must give the same bits each time. CONTEXT must live
 * until the backward pass.
 */
#define DB_SEGMENT_INPUTS 3
typedef struct db_var *db_segment_body(struct db_tape *tape,
                                       const void *context,
                                       struct db_var **inputs);
struct db_var *db_checkpoint(struct db_tape *tape, db_segment_body *body,
                             const void *context, struct db_var **inputs,
                             int count);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The tape: recomputed segments against kept ones, and what it leaves behind
 * when something fails half-way.
 *
 * One small network is used throughout: blocks of norm, activation and linear
 * layers with a skip, each a segment, over a shared second input, and a loss.
 */
#include "grad/ops.h"
#include "grad/tape_int.h"
#include "unit.h"

#define ROWS 12
#define WIDTH 16
#define BLOCKS 6
#define BLOCK_PARAMS 6

struct net;

struct block {
    struct net *net;
    int index;
    struct db_param params[BLOCK_PARAMS]; /* norm w, b; linear w, b twice */
};

struct net {
    struct db_env env;
    struct db_device device;
    struct db_tensor *x, *condition, *target;
    struct block blocks[BLOCKS];
    uint64_t empty_bytes;
    int64_t calls;   /* of block bodies */
    int64_t fail_at; /* the call that fails; 0: none */
};

static float draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) / 2147483648.0f;
}

static struct db_tensor *drawn(struct net *net, struct db_shape shape,
                               uint64_t *state)
{
    struct db_tensor *tensor;
    int64_t i;

    ck_assert_int_eq(db_tensor_new(&net->env, DB_F32, &shape, &tensor),
                     DREAMBOOTH_OK);
    for (i = 0; i < db_tensor_count(tensor); i++)
        db_tensor_f32(tensor)[i] = draw(state);
    return tensor;
}

static void open_net(struct net *net, const dreambooth_backend *table,
                     int threads)
{
    static char name[] = "weight";
    const struct db_shape shapes[BLOCK_PARAMS] = {
        db_shape1(WIDTH), db_shape1(WIDTH),        db_shape2(WIDTH, WIDTH),
        db_shape1(WIDTH), db_shape2(WIDTH, WIDTH), db_shape1(WIDTH)};
    struct db_pool *pool;
    uint64_t state = 4711;
    int b, i;

    memset(net, 0, sizeof(*net));
    db_env_init(&net->env);
    ck_assert_int_eq(db_pool_new(&net->env, threads, &pool), DREAMBOOTH_OK);
    db_device_init(&net->device, &net->env, pool, table);
    net->x = drawn(net, db_shape3(2, ROWS, WIDTH), &state);
    net->condition = drawn(net, db_shape2(2, WIDTH), &state);
    net->target = drawn(net, db_shape3(2, ROWS, WIDTH), &state);
    for (b = 0; b < BLOCKS; b++) {
        net->blocks[b].net = net;
        net->blocks[b].index = b;
        for (i = 0; i < BLOCK_PARAMS; i++)
            net->blocks[b].params[i] =
                (struct db_param){.name = name,
                                  .shape = shapes[i],
                                  .trainable = true,
                                  .data = drawn(net, shapes[i], &state)};
    }
    net->empty_bytes = net->env.live_bytes;
}

static void drop_gradients(struct net *net)
{
    int b, i;

    for (b = 0; b < BLOCKS; b++)
        for (i = 0; i < BLOCK_PARAMS; i++) {
            db_tensor_release(net->blocks[b].params[i].gradient);
            net->blocks[b].params[i].gradient = NULL;
        }
}

static void close_net(struct net *net)
{
    int b, i;

    drop_gradients(net);
    ck_assert_uint_eq(net->env.live_bytes, net->empty_bytes);
    for (b = 0; b < BLOCKS; b++)
        for (i = 0; i < BLOCK_PARAMS; i++)
            db_tensor_release(net->blocks[b].params[i].data);
    db_tensor_release(net->x);
    db_tensor_release(net->condition);
    db_tensor_release(net->target);
    db_pool_free(net->device.pool);
    ck_assert_uint_eq(net->env.live_bytes, 0);
}

/* 0.9 x + linear(silu(linear(norm(x)) + condition)) + condition. A block uses
 * both inputs twice, and all blocks the condition, which is what makes the
 * order of sums matter. */
static struct db_var *block_body(struct db_tape *tape, const void *context,
                                 struct db_var **inputs)
{
    const struct block *block = context;
    struct db_param *p = (struct db_param *)block->params;
    struct db_var *x = inputs[0], *y;

    if (++block->net->calls == block->net->fail_at)
        db_tape_fail(tape, db_fail(tape->env, DREAMBOOTH_EIO,
                                   "block %d was told to fail", block->index));
    y = db_layer_norm(tape, db_hold(x), &p[0], &p[1], 1e-5f);
    y = db_add_rows(tape, db_linear(tape, y, &p[2], &p[3]), db_hold(inputs[1]));
    y = db_activation(tape, y, DREAMBOOTH_SILU);
    y = db_add_rows(tape, db_linear(tape, y, &p[4], &p[5]), inputs[1]);
    return db_add(tape, db_scale(tape, x, 0.9f), y);
}

struct outcome {
    int status;
    double loss;
    struct db_tensor *dx, *dcondition;
    uint64_t peak_bytes; /* above what the net holds */
};

/* Forward and backward. */
static struct outcome run(struct net *net, bool recompute)
{
    struct outcome outcome = {.status = DREAMBOOTH_OK};
    struct db_var *x, *condition, *inputs[2], *y;
    struct db_tape tape;
    int b;

    db_tape_init(&tape, &net->device, true);
    tape.recompute = recompute;
    net->calls = 0;
    net->env.peak_bytes = net->env.live_bytes;
    x = db_var_new(&tape, net->x, true);
    condition = db_var_new(&tape, net->condition, true);
    y = db_hold(x);
    for (b = 0; b < BLOCKS; b++) {
        inputs[0] = y;
        inputs[1] = db_hold(condition);
        y = db_checkpoint(&tape, block_body, &net->blocks[b], inputs, 2);
    }
    y = db_mse(&tape, y, net->target, NULL, &outcome.loss);
    outcome.status = db_tape_backward(&tape, y, NULL);
    if (outcome.status == DREAMBOOTH_OK) {
        outcome.dx = db_tensor_hold(x->slot->gradient);
        outcome.dcondition = db_tensor_hold(condition->slot->gradient);
    }
    outcome.peak_bytes = net->env.peak_bytes - net->empty_bytes;
    db_drop(x);
    db_drop(condition);
    db_tape_clear(&tape);
    return outcome;
}

static void forget(struct outcome *outcome)
{
    db_tensor_release(outcome->dx);
    db_tensor_release(outcome->dcondition);
}

static bool same_bits(const struct db_tensor *a, const struct db_tensor *b)
{
    return a != NULL && b != NULL && db_shape_equal(&a->shape, &b->shape) &&
           memcmp(a->data, b->data,
                  (size_t)db_tensor_count(a) * sizeof(float)) == 0;
}

static const dreambooth_backend *const tables[] = {&db_backend_reference,
                                                   &db_backend_blas};

static void check_same_gradients(struct net *a, struct net *b)
{
    int block, i;

    for (block = 0; block < BLOCKS; block++)
        for (i = 0; i < BLOCK_PARAMS; i++)
            ck_assert_msg(same_bits(a->blocks[block].params[i].gradient,
                                    b->blocks[block].params[i].gradient),
                          "block %d: gradients of parameter %d differ", block,
                          i);
}

/* Kept or run again: the same bits, twice over so that gradients add up. */
START_TEST(recomputing_changes_no_bit)
{
    struct net kept, again;
    struct outcome a, b;
    size_t t;
    int i;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_net(&kept, tables[t], 1);
        open_net(&again, tables[t], (int)t + 1);
        for (i = 0; i < 2; i++) {
            a = run(&kept, false);
            b = run(&again, true);
            ck_assert_int_eq(a.status, DREAMBOOTH_OK);
            ck_assert_int_eq(b.status, DREAMBOOTH_OK);
            ck_assert_int_eq(kept.calls, BLOCKS);
            ck_assert_int_eq(again.calls, 2 * BLOCKS);
            ck_assert(a.loss == b.loss && a.loss > 0.0);
            ck_assert(same_bits(a.dx, b.dx));
            ck_assert(same_bits(a.dcondition, b.dcondition));
            check_same_gradients(&kept, &again);
            forget(&a);
            forget(&b);
        }
        close_net(&kept);
        close_net(&again);
    }
}
END_TEST

/* A block keeps 5 tensors of x's size; recomputing, one block at a time does.
 * Gradients of parameters are there beforehand. */
START_TEST(recomputing_needs_less)
{
    const uint64_t tensor = 2 * ROWS * WIDTH * sizeof(float);
    struct outcome first, kept, again;
    struct net net;

    open_net(&net, &db_backend_reference, 1);
    first = run(&net, false);
    forget(&first);
    kept = run(&net, false);
    forget(&kept);
    again = run(&net, true);
    forget(&again);
    ck_assert_uint_gt(kept.peak_bytes,
                      again.peak_bytes + (BLOCKS - 2) * 3 * tensor);
    close_net(&net);
}
END_TEST

/* A frozen segment whose inputs want nothing is not run again. */
START_TEST(frozen_segments)
{
    struct db_var *inputs[2], *y;
    struct db_tape tape;
    struct net net;
    int b, i;

    open_net(&net, &db_backend_reference, 1);
    for (b = 0; b < 2; b++)
        for (i = 0; i < BLOCK_PARAMS; i++)
            net.blocks[b].params[i].trainable = false;
    db_tape_init(&tape, &net.device, true);
    tape.recompute = true;
    y = db_var_new(&tape, net.x, false);
    for (b = 0; b < BLOCKS; b++) {
        inputs[0] = y;
        inputs[1] = db_var_new(&tape, net.condition, false);
        y = db_checkpoint(&tape, block_body, &net.blocks[b], inputs, 2);
    }
    ck_assert_int_eq(db_tape_backward(&tape, y, NULL), DREAMBOOTH_OK);
    ck_assert_int_eq(net.calls, 2 * BLOCKS - 2);
    for (b = 0; b < BLOCKS; b++)
        for (i = 0; i < BLOCK_PARAMS; i++)
            ck_assert((net.blocks[b].params[i].gradient != NULL) == (b >= 2));
    close_net(&net);
}
END_TEST

/* Without recording a segment is nothing but its body. */
START_TEST(segments_at_inference)
{
    struct db_var *inputs[2];
    struct db_tape tape;
    struct db_var *y;
    struct net net;

    open_net(&net, &db_backend_reference, 1);
    db_tape_init(&tape, &net.device, false);
    tape.recompute = true;
    inputs[0] = db_var_new(&tape, net.x, true);
    inputs[1] = db_var_new(&tape, net.condition, false);
    y = db_checkpoint(&tape, block_body, &net.blocks[0], inputs, 2);
    ck_assert_ptr_nonnull(y);
    ck_assert_ptr_null(y->slot);
    ck_assert_ptr_null(tape.last);
    ck_assert_int_eq(net.calls, 1);
    db_drop(y);
    close_net(&net);
}
END_TEST

/* An error in the middle of a segment: going forward, and run again. */
START_TEST(errors_within_segments)
{
    struct outcome outcome;
    struct net net;
    int64_t call;
    int recompute;

    open_net(&net, &db_backend_reference, 1);
    for (recompute = 0; recompute < 2; recompute++)
        for (call = 1; call <= BLOCKS * (recompute + 1); call++) {
            net.fail_at = call;
            outcome = run(&net, recompute != 0);
            ck_assert_int_eq(outcome.status, DREAMBOOTH_EIO);
            ck_assert_ptr_nonnull(strstr(net.env.error_text, "told to fail"));
            ck_assert_int_eq(net.calls, call);
            drop_gradients(&net);
            ck_assert_uint_eq(net.env.live_bytes, net.empty_bytes);
        }
    net.fail_at = 0;
    outcome = run(&net, true);
    ck_assert_int_eq(outcome.status, DREAMBOOTH_OK);
    forget(&outcome);
    close_net(&net);
}
END_TEST

static struct db_var *stubborn_body(struct db_tape *tape, const void *context,
                                    struct db_var **inputs)
{
    (void)tape;
    (void)context;
    db_drop(inputs[0]);
    return NULL;
}

static struct db_var *passing_body(struct db_tape *tape, const void *context,
                                   struct db_var **inputs)
{
    (void)tape;
    (void)context;
    return inputs[0];
}

/* A body that gives nothing is an error; one that gives its input is none. */
START_TEST(odd_bodies)
{
    struct db_tape tape;
    struct db_var *x, *given;
    struct net net;
    int recompute, i;

    open_net(&net, &db_backend_reference, 1);
    for (recompute = 0; recompute < 2; recompute++) {
        net.env.error_status = DREAMBOOTH_OK;
        db_tape_init(&tape, &net.device, true);
        tape.recompute = recompute != 0;
        given = db_var_new(&tape, net.x, true);
        x = db_checkpoint(&tape, stubborn_body, NULL, &given, 1);
        ck_assert_ptr_null(x);
        ck_assert_int_lt(db_tape_backward(&tape, x, NULL), 0);
        db_tape_clear(&tape);
        x = db_var_new(&tape, net.x, true);
        given = db_hold(x);
        given = db_checkpoint(&tape, passing_body, NULL, &given, 1);
        ck_assert_int_eq(db_tape_backward(&tape, given, NULL), DREAMBOOTH_OK);
        for (i = 0; i < 2 * ROWS * WIDTH; i++)
            ck_assert(db_tensor_f32(x->slot->gradient)[i] == 1.0f);
        db_drop(x);
    }
    close_net(&net);
}
END_TEST

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    int64_t *left = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return (*left)-- > 0 ? realloc(pointer, size) : NULL;
}

/* The n-th allocation fails, for every n that a run makes. */
START_TEST(allocations_fail)
{
    int64_t left, n, step = unit_is_quick() ? 7 : 1;
    struct outcome outcome;
    struct net net;
    int recompute;

    open_net(&net, &db_backend_reference, 1);
    net.env.resize = failing_resize;
    net.env.resize_user = &left;
    for (recompute = 0; recompute < 2; recompute++)
        for (n = 0, outcome.status = DREAMBOOTH_ENOMEM;
             outcome.status != DREAMBOOTH_OK; n += step) {
            left = n;
            outcome = run(&net, recompute != 0);
            ck_assert(outcome.status == DREAMBOOTH_OK ||
                      outcome.status == DREAMBOOTH_ENOMEM);
            forget(&outcome);
            drop_gradients(&net);
            ck_assert_uint_eq(net.env.live_bytes, net.empty_bytes);
        }
    close_net(&net);
}
END_TEST

/* The same with the limit instead of the allocator. */
START_TEST(limits_hold)
{
    struct outcome outcome;
    struct net net;

    open_net(&net, &db_backend_reference, 1);
    net.env.limit_bytes = net.env.live_bytes + 20000;
    outcome = run(&net, false);
    ck_assert_int_eq(outcome.status, DREAMBOOTH_ELIMIT);
    drop_gradients(&net);
    ck_assert_uint_eq(net.env.live_bytes, net.empty_bytes);
    close_net(&net);
}
END_TEST

/* A tape that is dropped without going backward, and used again. */
START_TEST(clearing)
{
    struct db_tape tape;
    struct db_var *x, *y;
    struct net net;
    int i;

    open_net(&net, &db_backend_reference, 1);
    db_tape_init(&tape, &net.device, true);
    for (i = 0; i < 2; i++) {
        x = db_var_new(&tape, net.x, true);
        y = db_softmax(&tape, db_scale(&tape, x, 2.0f));
        ck_assert_ptr_nonnull(tape.last);
        db_drop(y);
        db_tape_fail(&tape, 1);
        ck_assert_int_eq(tape.status, DREAMBOOTH_OK);
        db_tape_fail(&tape, DREAMBOOTH_EIO);
        db_tape_fail(&tape, DREAMBOOTH_ENOMEM);
        ck_assert_int_eq(tape.status, DREAMBOOTH_EIO);
        db_tape_clear(&tape);
        ck_assert_ptr_null(tape.last);
        ck_assert_uint_eq(net.env.live_bytes, net.empty_bytes);
    }
    db_drop(NULL);
    ck_assert_ptr_null(db_hold(NULL));
    close_net(&net);
}
END_TEST

/* Seeds: ones, the caller's (which stays as it was), and of a wrong shape. */
START_TEST(seeds)
{
    struct db_tensor *copy;
    struct db_tape tape;
    struct db_var *x;
    struct net net;
    uint64_t state = 4711;
    int i;

    open_net(&net, &db_backend_reference, 1);
    db_tape_init(&tape, &net.device, true);
    x = db_var_new(&tape, net.x, true);
    db_tape_backward(&tape, db_scale(&tape, db_hold(x), 3.0f), NULL);
    for (i = 0; i < 2 * ROWS * WIDTH; i++)
        ck_assert(db_tensor_f32(x->slot->gradient)[i] == 3.0f);
    db_drop(x);
    copy = drawn(&net, net.x->shape, &state);
    x = db_var_new(&tape, net.target, true);
    db_tape_backward(&tape, db_scale(&tape, db_hold(x), 3.0f), net.x);
    ck_assert(same_bits(net.x, copy));
    for (i = 0; i < 2 * ROWS * WIDTH; i++)
        ck_assert(db_tensor_f32(x->slot->gradient)[i] ==
                  3.0f * db_tensor_f32(copy)[i]);
    ck_assert_int_eq(db_tape_backward(&tape, x, net.condition),
                     DREAMBOOTH_EINTERNAL);
    ck_assert_ptr_nonnull(strstr(net.env.error_text, "seed"));
    db_tensor_release(copy);
    db_tape_clear(&tape);
    close_net(&net);
}
END_TEST

/* What the result does not depend on is recorded, but costs nothing. */
START_TEST(unused_branches)
{
    struct db_tape tape;
    struct db_var *x, *unused;
    struct net net;

    open_net(&net, &db_backend_reference, 1);
    db_tape_init(&tape, &net.device, true);
    x = db_var_new(&tape, net.x, true);
    unused = db_var_new(&tape, net.condition, true);
    db_drop(db_softmax(&tape, db_hold(unused)));
    ck_assert_int_eq(
        db_tape_backward(&tape, db_scale(&tape, db_hold(x), 2.0f), NULL),
        DREAMBOOTH_OK);
    ck_assert_ptr_null(unused->slot->gradient);
    ck_assert_ptr_nonnull(x->slot->gradient);
    db_drop(x);
    db_drop(unused);
    close_net(&net);
}
END_TEST

static Suite *tape_suite(void)
{
    Suite *suite = suite_create("tape");

    unit_add(suite, "recomputing changes no bit", recomputing_changes_no_bit);
    unit_add(suite, "recomputing needs less", recomputing_needs_less);
    unit_add(suite, "frozen segments", frozen_segments);
    unit_add(suite, "segments at inference", segments_at_inference);
    unit_add(suite, "errors within segments", errors_within_segments);
    unit_add(suite, "odd bodies", odd_bodies);
    unit_add(suite, "allocations fail", allocations_fail);
    unit_add(suite, "limits hold", limits_hold);
    unit_add(suite, "clearing", clearing);
    unit_add(suite, "seeds", seeds);
    unit_add(suite, "unused branches", unused_branches);
    return suite;
}

int main(void)
{
    return unit_main(tape_suite());
}

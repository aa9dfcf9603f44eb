/* SPDX-License-Identifier: MIT */
/*
 * Every differentiable operation, against its definition (naive.h), finite
 * differences, and the promises of ops.h and tape.h.
 *
 * One table holds a case for each form of each operation: shapes of its
 * variables and parameters, and a function that applies it. All tests walk the
 * table, on the reference backend and on blas.
 *
 * The gradient of f(x) = sum r_i y_i(x) with random r, summed in double, is
 * compared with (f(x + h) - f(x - h)) / 2h, element for element. With h = 1e-2
 * the third derivative adds about 2e-5 and float32 rounding about 1e-5 to
 * numbers of size 1; allowed is 2e-3 of the tensor's largest gradient.
 */
#include <math.h>

#include "grad/ops.h"
#include "grad/tape_int.h"
#include "naive.h"
#include "unit.h"

#define STEP 1e-2f
#define TOLERANCE 2e-3
#define SEED 1234567
#define MOST_INPUTS 3
#define MOST_PARAMS 2
#define MOST_LEAVES (MOST_INPUTS + MOST_PARAMS)

struct op_case {
    const char *name;
    struct db_var *(*apply)(struct db_tape *tape, struct db_var **x,
                            struct db_param *p, const int64_t *facts);
    struct db_shape inputs[MOST_INPUTS]; /* up to the first of rank 0 */
    struct db_shape params[MOST_PARAMS];
    int64_t facts[6];
};

static struct db_var *linear(struct db_tape *tape, struct db_var **x,
                             struct db_param *p, const int64_t *facts)
{
    return db_linear(tape, x[0], &p[0], facts[0] ? &p[1] : NULL);
}

/* facts: stride, pad top, bottom, left, right, bias */
static struct db_var *conv2d(struct db_tape *tape, struct db_var **x,
                             struct db_param *p, const int64_t *facts)
{
    struct db_conv2d_form form = {facts[0], facts[1], facts[2], facts[3],
                                  facts[4]};

    return db_conv2d(tape, x[0], &p[0], facts[5] ? &p[1] : NULL, &form);
}

static struct db_var *group_norm(struct db_tape *tape, struct db_var **x,
                                 struct db_param *p, const int64_t *facts)
{
    return db_group_norm(tape, x[0], &p[0], &p[1], facts[0], 1e-3f,
                         facts[1] != 0);
}

static struct db_var *layer_norm(struct db_tape *tape, struct db_var **x,
                                 struct db_param *p, const int64_t *facts)
{
    (void)facts;
    return db_layer_norm(tape, x[0], &p[0], &p[1], 1e-3f);
}

/* facts: heads, causal */
static struct db_var *attention(struct db_tape *tape, struct db_var **x,
                                struct db_param *p, const int64_t *facts)
{
    (void)p;
    return db_attention(tape, x[0], x[1], x[2], facts[0], facts[1] != 0);
}

/* One variable as query, key and value. */
static struct db_var *self_attention(struct db_tape *tape, struct db_var **x,
                                     struct db_param *p, const int64_t *facts)
{
    (void)p;
    return db_attention(tape, db_hold(x[0]), db_hold(x[0]), x[0], facts[0],
                        facts[1] != 0);
}

static struct db_var *softmax(struct db_tape *tape, struct db_var **x,
                              struct db_param *p, const int64_t *facts)
{
    (void)p;
    (void)facts;
    return db_softmax(tape, x[0]);
}

static struct db_var *activation(struct db_tape *tape, struct db_var **x,
                                 struct db_param *p, const int64_t *facts)
{
    (void)p;
    return db_activation(tape, x[0], (enum dreambooth_activation)facts[0]);
}

static struct db_var *geglu(struct db_tape *tape, struct db_var **x,
                            struct db_param *p, const int64_t *facts)
{
    (void)p;
    (void)facts;
    return db_geglu(tape, x[0]);
}

static struct db_var *add(struct db_tape *tape, struct db_var **x,
                          struct db_param *p, const int64_t *facts)
{
    (void)p;
    (void)facts;
    return db_add(tape, x[0], x[1]);
}

static struct db_var *scale(struct db_tape *tape, struct db_var **x,
                            struct db_param *p, const int64_t *facts)
{
    (void)p;
    return db_scale(tape, x[0], (float)facts[0] / 100.0f);
}

static struct db_var *add_rows(struct db_tape *tape, struct db_var **x,
                               struct db_param *p, const int64_t *facts)
{
    (void)p;
    (void)facts;
    return db_add_rows(tape, x[0], x[1]);
}

static struct db_var *add_positions(struct db_tape *tape, struct db_var **x,
                                    struct db_param *p, const int64_t *facts)
{
    (void)facts;
    return db_add_positions(tape, x[0], &p[0]);
}

static struct db_var *concat(struct db_tape *tape, struct db_var **x,
                             struct db_param *p, const int64_t *facts)
{
    (void)p;
    (void)facts;
    return db_concat(tape, x[0], x[1]);
}

static struct db_var *channels(struct db_tape *tape, struct db_var **x,
                               struct db_param *p, const int64_t *facts)
{
    (void)p;
    return db_channels(tape, x[0], facts[0], facts[1]);
}

static struct db_var *reshape(struct db_tape *tape, struct db_var **x,
                              struct db_param *p, const int64_t *facts)
{
    struct db_shape shape = db_shape3(facts[0], facts[1], facts[2]);

    (void)p;
    return db_reshape(tape, x[0], &shape);
}

static struct db_var *upsample(struct db_tape *tape, struct db_var **x,
                               struct db_param *p, const int64_t *facts)
{
    (void)p;
    return db_upsample_nearest(tape, x[0], facts[0], facts[1]);
}

static struct db_var *average_pool(struct db_tape *tape, struct db_var **x,
                                   struct db_param *p, const int64_t *facts)
{
    (void)p;
    (void)facts;
    return db_average_pool(tape, x[0]);
}

static const int64_t embedded_ids[6] = {4, 0, 4, 2, 4, 0};

static struct db_var *embedding(struct db_tape *tape, struct db_var **x,
                                struct db_param *p, const int64_t *facts)
{
    (void)x;
    (void)facts;
    return db_embedding(tape, &p[0], embedded_ids, 2, 3);
}

static const float mse_weight[3] = {1.0f, 0.25f, 3.0f};

static float target_at(int64_t i)
{
    return 0.1f * (float)(i % 7);
}

/* facts: weighted */
static struct db_var *mse(struct db_tape *tape, struct db_var **x,
                          struct db_param *p, const int64_t *facts)
{
    struct db_tensor *target = NULL;
    struct db_var *loss;
    int64_t i;

    (void)p;
    if (x[0] == NULL)
        return NULL;
    db_tape_fail(tape,
                 db_tensor_new(tape->env, DB_F32, &x[0]->data->shape, &target));
    if (target == NULL) {
        db_drop(x[0]);
        return NULL;
    }
    for (i = 0; i < db_tensor_count(target); i++)
        db_tensor_f32(target)[i] = target_at(i);
    loss = db_mse(tape, x[0], target, facts[0] ? mse_weight : NULL, NULL);
    db_tensor_release(target);
    return loss;
}

#define R1(a)                                                                  \
    {                                                                          \
        1,                                                                     \
        {                                                                      \
            a                                                                  \
        }                                                                      \
    }
#define R2(a, b)                                                               \
    {                                                                          \
        2,                                                                     \
        {                                                                      \
            a, b                                                               \
        }                                                                      \
    }
#define R3(a, b, c)                                                            \
    {                                                                          \
        3,                                                                     \
        {                                                                      \
            a, b, c                                                            \
        }                                                                      \
    }
#define R4(a, b, c, d)                                                         \
    {                                                                          \
        4,                                                                     \
        {                                                                      \
            a, b, c, d                                                         \
        }                                                                      \
    }

static const struct op_case cases[] = {
    {"linear", linear, {R3(2, 3, 5)}, {R2(4, 5), R1(4)}, {1}},
    {"linear, no bias", linear, {R2(3, 5)}, {R2(7, 5)}, {0}},
    {"conv2d 3x3",
     conv2d,
     {R4(2, 5, 4, 3)},
     {R4(4, 3, 3, 3), R1(4)},
     {1, 1, 1, 1, 1, 1}},
    {"conv2d 3x3, no bias",
     conv2d,
     {R4(1, 4, 4, 2)},
     {R4(3, 3, 3, 2)},
     {1, 1, 1, 1, 1, 0}},
    {"conv2d 1x1",
     conv2d,
     {R4(2, 3, 4, 5)},
     {R4(3, 1, 1, 5), R1(3)},
     {1, 0, 0, 0, 0, 1}},
    {"conv2d stride 2",
     conv2d,
     {R4(1, 6, 5, 3)},
     {R4(2, 3, 3, 3), R1(2)},
     {2, 0, 1, 0, 1, 1}},
    {"conv2d stride 2, even pads",
     conv2d,
     {R4(2, 6, 6, 2)},
     {R4(3, 3, 3, 2), R1(3)},
     {2, 1, 1, 1, 1, 1}},
    {"group norm, image", group_norm, {R4(2, 3, 2, 6)}, {R1(6), R1(6)}, {3}},
    {"group norm, silu", group_norm, {R4(2, 3, 2, 6)}, {R1(6), R1(6)}, {2, 1}},
    {"group norm, sequence", group_norm, {R3(2, 5, 4)}, {R1(4), R1(4)}, {1}},
    {"layer norm", layer_norm, {R3(2, 3, 7)}, {R1(7), R1(7)}, {0}},
    {"attention, cross",
     attention,
     {R3(2, 5, 6), R3(2, 3, 6), R3(2, 3, 6)},
     {{0}},
     {2, 0}},
    {"attention, causal",
     attention,
     {R3(1, 6, 4), R3(1, 6, 4), R3(1, 6, 4)},
     {{0}},
     {1, 1}},
    {"attention, self", self_attention, {R3(2, 4, 6)}, {{0}}, {3, 0}},
    {"attention, self, causal", self_attention, {R3(2, 4, 6)}, {{0}}, {2, 1}},
    {"softmax", softmax, {R3(2, 3, 5)}, {{0}}, {0}},
    {"silu", activation, {R2(5, 6)}, {{0}}, {DREAMBOOTH_SILU}},
    {"gelu", activation, {R2(5, 6)}, {{0}}, {DREAMBOOTH_GELU}},
    {"gelu tanh", activation, {R2(5, 6)}, {{0}}, {DREAMBOOTH_GELU_TANH}},
    {"quick gelu", activation, {R2(5, 6)}, {{0}}, {DREAMBOOTH_QUICK_GELU}},
    {"geglu", geglu, {R3(2, 3, 8)}, {{0}}, {0}},
    {"add", add, {R3(2, 3, 4), R3(2, 3, 4)}, {{0}}, {0}},
    {"scale", scale, {R2(3, 4)}, {{0}}, {-130}},
    {"add rows", add_rows, {R4(2, 3, 2, 4), R2(2, 4)}, {{0}}, {0}},
    {"add positions", add_positions, {R3(2, 3, 4)}, {R2(5, 4)}, {0}},
    {"concat", concat, {R4(2, 2, 3, 4), R4(2, 2, 3, 2)}, {{0}}, {0}},
    {"channels", channels, {R3(2, 3, 7)}, {{0}}, {2, 3}},
    {"reshape", reshape, {R4(2, 3, 2, 2)}, {{0}}, {2, 2, 6}},
    {"upsample", upsample, {R4(2, 2, 3, 3)}, {{0}}, {4, 6}},
    {"upsample, uneven", upsample, {R4(1, 3, 2, 2)}, {{0}}, {7, 5}},
    {"average pool", average_pool, {R4(2, 4, 5, 3)}, {{0}}, {0}},
    {"embedding", embedding, {{0}}, {R2(5, 4)}, {0}},
    {"mse", mse, {R3(3, 2, 4)}, {{0}}, {0}},
    {"mse, weighted", mse, {R3(3, 2, 4)}, {{0}}, {1}},
};

/* A case's variables and parameters with drawn contents, on a device. Leaves
 * are the inputs and, from MOST_INPUTS on, the parameters. */
struct bench {
    struct db_env env;
    struct db_device device;
    const struct op_case *c;
    struct db_tensor *inputs[MOST_INPUTS];
    struct db_param params[MOST_PARAMS];
    uint64_t state;
    uint64_t empty_bytes; /* live without tensors: the pool's */
    bool pass_on;
};

/* What a run gave, in fresh memory; NULL where there is none. */
struct outcome {
    struct db_tensor *y;
    struct db_tensor *gradients[MOST_LEAVES];
};

static float draw(struct bench *b)
{
    b->state = b->state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(b->state >> 32) / 2147483648.0f;
}

static struct db_tensor *drawn(struct bench *b, const struct db_shape *shape)
{
    struct db_tensor *tensor;
    int64_t i;

    ck_assert_int_eq(db_tensor_new(&b->env, DB_F32, shape, &tensor),
                     DREAMBOOTH_OK);
    for (i = 0; i < db_tensor_count(tensor); i++)
        db_tensor_f32(tensor)[i] = 1.5f * draw(b);
    return tensor;
}

static void open_bench(struct bench *b, const dreambooth_backend *table,
                       int threads)
{
    struct db_pool *pool;

    memset(b, 0, sizeof(*b));
    db_env_init(&b->env);
    ck_assert_int_eq(db_pool_new(&b->env, threads, &pool), DREAMBOOTH_OK);
    db_device_init(&b->device, &b->env, pool, table);
    b->empty_bytes = b->env.live_bytes;
}

static void close_bench(struct bench *b)
{
    ck_assert_uint_eq(b->env.live_bytes, b->empty_bytes);
    db_pool_free(b->device.pool);
    ck_assert_uint_eq(b->env.live_bytes, 0);
}

static void load_case(struct bench *b, const struct op_case *c)
{
    static char name[] = "layer.weight";
    int i;

    b->c = c;
    b->state = 88172645463325252u;
    for (i = 0; i < MOST_INPUTS && c->inputs[i].rank != 0; i++)
        b->inputs[i] = drawn(b, &c->inputs[i]);
    for (i = 0; i < MOST_PARAMS && c->params[i].rank != 0; i++)
        b->params[i] = (struct db_param){.name = name,
                                         .shape = c->params[i],
                                         .trainable = true,
                                         .data = drawn(b, &c->params[i])};
}

static void unload_case(struct bench *b)
{
    int i;

    for (i = 0; i < MOST_INPUTS; i++)
        db_tensor_release(b->inputs[i]);
    for (i = 0; i < MOST_PARAMS; i++) {
        db_tensor_release(b->params[i].data);
        db_tensor_release(b->params[i].gradient);
    }
    memset(b->inputs, 0, sizeof(b->inputs));
    memset(b->params, 0, sizeof(b->params));
    ck_assert_uint_eq(b->env.live_bytes, b->empty_bytes);
}

static struct db_tensor *leaf(const struct bench *b, int index)
{
    return index < MOST_INPUTS ? b->inputs[index]
                               : b->params[index - MOST_INPUTS].data;
}

/* Applies the case on TAPE; leaves whose bit is in WANTED get a gradient. KEPT
 * are references to the inputs' variables. With b->pass_on the operation gets
 * copies of them that nobody else holds. */
static struct db_var *apply(struct bench *b, struct db_tape *tape,
                            unsigned wanted, struct db_var **kept)
{
    struct db_var *x[MOST_INPUTS] = {NULL};
    int i;

    for (i = 0; i < MOST_INPUTS && b->inputs[i] != NULL; i++) {
        x[i] = db_var_new(tape, b->inputs[i], (wanted >> i & 1) != 0);
        kept[i] = db_hold(x[i]);
        if (b->pass_on)
            x[i] = db_scale(tape, x[i], 1.0f);
    }
    for (i = 0; i < MOST_PARAMS; i++)
        b->params[i].trainable = (wanted >> (MOST_INPUTS + i) & 1) != 0;
    return b->c->apply(tape, x, b->params, b->c->facts);
}

/* The r of the functional; NULL when there is no memory. */
static struct db_tensor *drawn_seed(struct bench *b,
                                    const struct db_shape *shape)
{
    struct db_tensor *seed;
    int64_t i;

    if (db_tensor_new(&b->env, DB_F32, shape, &seed) != DREAMBOOTH_OK)
        return NULL;
    b->state = SEED;
    for (i = 0; i < db_tensor_count(seed); i++)
        db_tensor_f32(seed)[i] = draw(b);
    return seed;
}

/* Forward and backward with the drawn seed. */
static int run(struct bench *b, unsigned wanted, struct outcome *outcome)
{
    struct db_var *kept[MOST_INPUTS] = {NULL};
    struct db_tensor *seed = NULL;
    struct db_tape tape;
    struct db_var *y;
    int status, i;

    memset(outcome, 0, sizeof(*outcome));
    db_tape_init(&tape, &b->device, true);
    y = apply(b, &tape, wanted, kept);
    if (y != NULL) {
        outcome->y = db_tensor_hold(y->data);
        if (wanted == 0)
            ck_assert_ptr_null(tape.last);
        seed = drawn_seed(b, &y->data->shape);
        if (seed == NULL)
            db_tape_fail(&tape, b->env.error_status);
    }
    status = db_tape_backward(&tape, y, seed);
    for (i = 0; i < MOST_INPUTS; i++) {
        if (kept[i] != NULL && kept[i]->slot != NULL)
            outcome->gradients[i] = db_tensor_hold(kept[i]->slot->gradient);
        db_drop(kept[i]);
    }
    for (i = 0; i < MOST_PARAMS; i++) {
        outcome->gradients[MOST_INPUTS + i] = b->params[i].gradient;
        b->params[i].gradient = NULL;
    }
    db_tensor_release(seed);
    db_tape_clear(&tape);
    return status;
}

static void forget(struct outcome *outcome)
{
    int i;

    db_tensor_release(outcome->y);
    for (i = 0; i < MOST_LEAVES; i++)
        db_tensor_release(outcome->gradients[i]);
}

/* f(x) for the seed of run(). */
static double functional(struct bench *b)
{
    struct db_var *kept[MOST_INPUTS] = {NULL};
    struct db_tape tape;
    struct db_var *y;
    double sum = 0.0;
    int64_t i;

    db_tape_init(&tape, &b->device, false);
    y = apply(b, &tape, 0, kept);
    ck_assert_ptr_nonnull(y);
    b->state = SEED;
    for (i = 0; i < db_tensor_count(y->data); i++)
        sum += (double)draw(b) * (double)db_tensor_f32(y->data)[i];
    db_drop(y);
    for (i = 0; i < MOST_INPUTS; i++)
        db_drop(kept[i]);
    db_tape_clear(&tape);
    return sum;
}

static double difference_quotient(struct bench *b, float *value)
{
    float middle = *value, above = middle + STEP, below = middle - STEP;
    double upper, lower;

    *value = above;
    upper = functional(b);
    *value = below;
    lower = functional(b);
    *value = middle;
    return (upper - lower) / ((double)above - (double)below);
}

static void check_leaf(struct bench *b, int index, const struct db_tensor *got)
{
    struct db_tensor *tensor = leaf(b, index);
    int64_t count = db_tensor_count(tensor), i;
    double largest = 0.0, worst = 0.0;

    ck_assert_msg(got != NULL, "%s: leaf %d has no gradient", b->c->name,
                  index);
    ck_assert(db_shape_equal(&got->shape, &tensor->shape));
    for (i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)db_tensor_f32(got)[i]));
    for (i = 0; i < count; i++) {
        double wanted = difference_quotient(b, db_tensor_f32(tensor) + i);

        worst = fmax(worst, fabs(wanted - (double)db_tensor_f32(got)[i]));
    }
    ck_assert_msg(largest > 1e-3, "%s: leaf %d has a gradient of zeros",
                  b->c->name, index);
    ck_assert_msg(worst <= TOLERANCE * largest,
                  "%s: gradient of leaf %d is off by %g of %g", b->c->name,
                  index, worst, largest);
}

static const dreambooth_backend *const tables[] = {&db_backend_reference,
                                                   &db_backend_blas};

START_TEST(finite_differences)
{
    struct outcome outcome;
    struct bench b;
    size_t t, i;
    int j;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], (int)t + 1);
        for (i = 0; i < DB_COUNT(cases); i++) {
            load_case(&b, &cases[i]);
            ck_assert_int_eq(run(&b, ~0u, &outcome), DREAMBOOTH_OK);
            for (j = 0; j < MOST_LEAVES; j++)
                if (leaf(&b, j) != NULL)
                    check_leaf(&b, j, outcome.gradients[j]);
            forget(&outcome);
            unload_case(&b);
        }
        close_bench(&b);
    }
}
END_TEST

static const struct {
    struct db_var *(*apply)(struct db_tape *tape, struct db_var **x,
                            struct db_param *p, const int64_t *facts);
    void (*naive)(struct naive *n);
} definitions[] = {
    {linear, naive_linear},
    {group_norm, naive_group_norm},
    {layer_norm, naive_layer_norm},
    {attention, naive_attention},
    {self_attention, naive_attention},
    {softmax, naive_softmax},
    {activation, naive_activation},
    {geglu, naive_geglu},
    {add, naive_add},
    {scale, naive_scale},
    {add_rows, naive_add_rows},
    {add_positions, naive_add_positions},
    {concat, naive_concat},
    {channels, naive_channels},
    {reshape, naive_reshape},
    {upsample, naive_upsample},
    {average_pool, naive_average_pool},
};

/* What the case should give, from the definition of its operation. */
static void define(const struct bench *b, struct naive *n)
{
    float target[64];
    size_t i;

    if (b->c->apply == conv2d)
        naive_conv2d(n, b->c->params[0].size);
    if (b->c->apply == embedding)
        naive_embedding(n, embedded_ids);
    if (b->c->apply == mse) {
        for (i = 0; i < DB_COUNT(target); i++)
            target[i] = target_at((int64_t)i);
        naive_mse(n, target, b->c->facts[0] ? mse_weight : NULL);
    }
    for (i = 0; i < DB_COUNT(definitions); i++)
        if (b->c->apply == definitions[i].apply)
            definitions[i].naive(n);
}

static void check_result(const struct bench *b, const struct db_tensor *y)
{
    double values[512];
    struct naive n = {.x_rank = b->c->inputs[0].rank,
                      .facts = b->c->facts,
                      .ys = y->shape.size,
                      .count = db_tensor_count(y),
                      .columns = db_shape_columns(&y->shape),
                      .y = values};
    int64_t i;
    int j;

    ck_assert_int_le(n.count, (int64_t)DB_COUNT(values));
    for (j = 0; j < MOST_INPUTS; j++) {
        int from = b->c->apply == self_attention ? 0 : j;

        n.x[j] = leaf(b, from) ? db_tensor_f32(leaf(b, from)) : NULL;
        n.xs[j] = b->c->inputs[from].size;
    }
    for (j = 0; j < MOST_PARAMS; j++)
        n.p[j] = b->params[j].data ? db_tensor_f32(b->params[j].data) : NULL;
    for (i = 0; i < n.count; i++)
        values[i] = NAN;
    define(b, &n);
    for (i = 0; i < n.count; i++)
        ck_assert_msg(fabs((double)db_tensor_f32(y)[i] - values[i]) <
                          1e-5 * fmax(1.0, fabs(values[i])),
                      "%s: element %d is %g instead of %g", b->c->name, (int)i,
                      (double)db_tensor_f32(y)[i], values[i]);
}

/* Results are what the definitions say, to 1e-5. */
START_TEST(results_follow_definitions)
{
    struct outcome outcome;
    struct bench b;
    size_t t, i;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], 1);
        for (i = 0; i < DB_COUNT(cases); i++) {
            load_case(&b, &cases[i]);
            ck_assert_int_eq(run(&b, 0, &outcome), DREAMBOOTH_OK);
            check_result(&b, outcome.y);
            forget(&outcome);
            unload_case(&b);
        }
        close_bench(&b);
    }
}
END_TEST

static bool same_bits(const struct db_tensor *a, const struct db_tensor *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return db_shape_equal(&a->shape, &b->shape) &&
           memcmp(a->data, b->data,
                  (size_t)db_tensor_count(a) * sizeof(float)) == 0;
}

static void check_same(const char *name, const struct outcome *a,
                       const struct outcome *b)
{
    int j;

    ck_assert_msg(same_bits(a->y, b->y), "%s: results differ", name);
    for (j = 0; j < MOST_LEAVES; j++)
        ck_assert_msg(same_bits(a->gradients[j], b->gradients[j]),
                      "%s: gradients of leaf %d differ", name, j);
}

/* The reference twice; blas on one thread and on three. */
START_TEST(same_bits_again)
{
    struct bench first, second;
    struct outcome a, b;
    size_t t, i;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&first, tables[t], 1);
        open_bench(&second, tables[t], t == 0 ? 1 : 3);
        for (i = 0; i < DB_COUNT(cases); i++) {
            load_case(&first, &cases[i]);
            load_case(&second, &cases[i]);
            ck_assert_int_eq(run(&first, ~0u, &a), DREAMBOOTH_OK);
            ck_assert_int_eq(run(&second, ~0u, &b), DREAMBOOTH_OK);
            check_same(cases[i].name, &a, &b);
            forget(&a);
            forget(&b);
            unload_case(&first);
            unload_case(&second);
        }
        close_bench(&first);
        close_bench(&second);
    }
}
END_TEST

static bool leaves_exist(const struct bench *b, unsigned wanted)
{
    int j;

    for (j = 0; j < MOST_LEAVES; j++)
        if ((wanted >> j & 1) != 0 && leaf(b, j) == NULL)
            return false;
    return true;
}

/* Whatever subset wants gradients: exactly that gets one, of the same bits. */
START_TEST(only_what_is_wanted)
{
    struct outcome all, some;
    unsigned wanted;
    struct bench b;
    size_t t, i;
    int j;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], 1);
        for (i = 0; i < DB_COUNT(cases); i++) {
            load_case(&b, &cases[i]);
            ck_assert_int_eq(run(&b, ~0u, &all), DREAMBOOTH_OK);
            for (wanted = 0; wanted < 1u << MOST_LEAVES; wanted++) {
                if (!leaves_exist(&b, wanted))
                    continue;
                ck_assert_int_eq(run(&b, wanted, &some), DREAMBOOTH_OK);
                ck_assert(same_bits(all.y, some.y));
                for (j = 0; j < MOST_LEAVES; j++)
                    ck_assert_msg(
                        same_bits(some.gradients[j], (wanted >> j & 1) != 0
                                                         ? all.gradients[j]
                                                         : NULL),
                        "%s: leaf %d of %x", cases[i].name, j, wanted);
                forget(&some);
            }
            forget(&all);
            unload_case(&b);
        }
        close_bench(&b);
    }
}
END_TEST

/* Inputs that may be written over give the same bits, and so do gradients. */
START_TEST(inputs_that_nobody_holds)
{
    struct outcome kept, given;
    struct bench b;
    size_t t, i;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], 1);
        for (i = 0; i < DB_COUNT(cases); i++) {
            load_case(&b, &cases[i]);
            b.pass_on = false;
            ck_assert_int_eq(run(&b, ~0u, &kept), DREAMBOOTH_OK);
            b.pass_on = true;
            ck_assert_int_eq(run(&b, ~0u, &given), DREAMBOOTH_OK);
            check_same(cases[i].name, &kept, &given);
            forget(&kept);
            forget(&given);
            unload_case(&b);
        }
        close_bench(&b);
    }
}
END_TEST

static double relative_difference(const struct db_tensor *a,
                                  const struct db_tensor *b, double factor)
{
    double largest = 0.0, worst = 0.0;
    int64_t i;

    for (i = 0; i < db_tensor_count(a); i++) {
        double x = (double)db_tensor_f32(a)[i];
        double y = factor * (double)db_tensor_f32(b)[i];

        largest = fmax(largest, fabs(y));
        worst = fmax(worst, fabs(x - y));
    }
    return worst / largest;
}

/* The case twice on the same variables, added up: every gradient doubles. */
START_TEST(gradients_add_up)
{
    struct db_var *kept[MOST_INPUTS], *again[MOST_INPUTS], *y;
    struct db_tensor *seed, *got;
    struct outcome once;
    struct db_tape tape;
    struct bench b;
    size_t t, i;
    int j;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], 1);
        for (i = 0; i < DB_COUNT(cases); i++) {
            memset(kept, 0, sizeof(kept));
            load_case(&b, &cases[i]);
            ck_assert_int_eq(run(&b, ~0u, &once), DREAMBOOTH_OK);
            db_tape_init(&tape, &b.device, true);
            y = apply(&b, &tape, ~0u, kept);
            for (j = 0; j < MOST_INPUTS; j++)
                again[j] = db_hold(kept[j]);
            y = db_add(&tape, y,
                       b.c->apply(&tape, again, b.params, b.c->facts));
            ck_assert_ptr_nonnull(y);
            seed = drawn_seed(&b, &y->data->shape);
            ck_assert_int_eq(db_tape_backward(&tape, y, seed), DREAMBOOTH_OK);
            for (j = 0; j < MOST_LEAVES; j++) {
                if (leaf(&b, j) == NULL)
                    continue;
                got = j < MOST_INPUTS ? kept[j]->slot->gradient
                                      : b.params[j - MOST_INPUTS].gradient;
                ck_assert_msg(relative_difference(got, once.gradients[j], 2.0) <
                                  1e-5,
                              "%s: leaf %d", cases[i].name, j);
            }
            db_tensor_release(seed);
            for (j = 0; j < MOST_INPUTS; j++)
                db_drop(kept[j]);
            forget(&once);
            unload_case(&b);
        }
        close_bench(&b);
    }
}
END_TEST

struct failing {
    int64_t left; /* allocations that still succeed */
};

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    struct failing *failing = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return failing->left-- > 0 ? realloc(pointer, size) : NULL;
}

/* Every allocation of every case fails once. */
START_TEST(allocations_fail)
{
    struct failing failing = {INT64_MAX};
    struct outcome outcome;
    struct bench b;
    int64_t n;
    size_t t, i;
    int status;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], 2);
        b.env.resize = failing_resize;
        b.env.resize_user = &failing;
        for (i = 0; i < DB_COUNT(cases); i++) {
            for (n = 0, status = DREAMBOOTH_ENOMEM; status != DREAMBOOTH_OK;
                 n++) {
                failing.left = INT64_MAX;
                load_case(&b, &cases[i]);
                failing.left = n;
                status = run(&b, ~0u, &outcome);
                failing.left = INT64_MAX;
                ck_assert_msg(status == DREAMBOOTH_OK ||
                                  status == DREAMBOOTH_ENOMEM,
                              "%s: allocation %d", cases[i].name, (int)n);
                forget(&outcome);
                unload_case(&b);
            }
            ck_assert_int_gt(n, 4);
        }
        close_bench(&b);
    }
}
END_TEST

static int no_kernel(const dreambooth_kernel_host *host, const void *a)
{
    (void)host;
    (void)a;
    return DREAMBOOTH_EIO;
}

/* A table whose slot number INDEX fails. */
static dreambooth_backend broken_table(size_t index)
{
    int (*broken)(const dreambooth_kernel_host *, const void *) = no_kernel;
    dreambooth_backend table = db_backend_reference;

    memcpy((char *)&table + offsetof(dreambooth_backend, gemm) +
               index * sizeof(broken),
           &broken, sizeof(broken));
    return table;
}

/* A kernel's error comes out of the tape, and nothing leaks. Each case needs a
 * kernel forward and one backward but for reshape. */
START_TEST(kernels_fail)
{
    const size_t slots =
        (sizeof(dreambooth_backend) - offsetof(dreambooth_backend, gemm)) /
        sizeof(&no_kernel);
    size_t failures[DB_COUNT(cases)] = {0}, slot, i;
    dreambooth_backend table;
    struct outcome outcome;
    struct bench b;
    int status;

    for (slot = 0; slot < slots; slot++) {
        table = broken_table(slot);
        open_bench(&b, &table, 1);
        for (i = 0; i < DB_COUNT(cases); i++) {
            load_case(&b, &cases[i]);
            status = run(&b, ~0u, &outcome);
            ck_assert(status == DREAMBOOTH_OK || status == DREAMBOOTH_EIO);
            failures[i] += status == DREAMBOOTH_EIO;
            forget(&outcome);
            unload_case(&b);
        }
        close_bench(&b);
    }
    for (i = 0; i < DB_COUNT(cases); i++)
        ck_assert_msg(failures[i] > 0 || cases[i].apply == reshape,
                      "%s needs no kernel", cases[i].name);
}
END_TEST

/* Work is counted in calls of a kernel. Test code may have globals. */
static int gemm_calls, weight_calls;

static int counting_gemm(const dreambooth_kernel_host *host,
                         const dreambooth_gemm *a)
{
    gemm_calls++;
    return db_backend_reference.gemm(host, a);
}

static int counting_weight(const dreambooth_kernel_host *host,
                           const dreambooth_conv2d *a)
{
    weight_calls++;
    return db_backend_reference.conv2d_backward_weight(host, a);
}

/* Frozen parameters make no work, and keep no input. */
START_TEST(frozen_parameters_cost_nothing)
{
    dreambooth_backend table = db_backend_reference;
    const unsigned input = 1, weight = 1u << MOST_INPUTS;
    struct outcome outcome;
    struct bench b;

    table.gemm = counting_gemm;
    table.conv2d_backward_weight = counting_weight;
    gemm_calls = weight_calls = 0;
    open_bench(&b, &table, 1);
    load_case(&b, &cases[0]);
    ck_assert_int_eq(run(&b, input, &outcome), DREAMBOOTH_OK);
    ck_assert_int_eq(gemm_calls, 2);
    forget(&outcome);
    ck_assert_int_eq(run(&b, weight, &outcome), DREAMBOOTH_OK);
    ck_assert_int_eq(gemm_calls, 4);
    forget(&outcome);
    ck_assert_int_eq(run(&b, 0, &outcome), DREAMBOOTH_OK);
    ck_assert_int_eq(gemm_calls, 5);
    forget(&outcome);
    unload_case(&b);
    load_case(&b, &cases[2]);
    ck_assert_int_eq(run(&b, input, &outcome), DREAMBOOTH_OK);
    ck_assert_int_eq(weight_calls, 0);
    forget(&outcome);
    unload_case(&b);
    close_bench(&b);
}
END_TEST

static int adding_weight(const dreambooth_kernel_host *host,
                         const dreambooth_conv2d *a)
{
    ck_assert_int_eq(host->overwrite, 0);
    return db_backend_reference.conv2d_backward_weight(host, a);
}

/* A backend that only adds finds zeros in first gradients. */
START_TEST(first_gradients_are_zeros_for_those_who_add)
{
    dreambooth_backend table = db_backend_reference;
    struct bench adding, writing;
    struct outcome a, b;

    table.features = 0;
    table.conv2d_backward_weight = adding_weight;
    open_bench(&adding, &table, 1);
    open_bench(&writing, &db_backend_reference, 1);
    load_case(&adding, &cases[2]);
    load_case(&writing, &cases[2]);
    ck_assert_int_eq(run(&adding, ~0u, &a), DREAMBOOTH_OK);
    ck_assert_int_eq(run(&writing, ~0u, &b), DREAMBOOTH_OK);
    check_same(cases[2].name, &a, &b);
    forget(&a);
    forget(&b);
    unload_case(&adding);
    unload_case(&writing);
    close_bench(&adding);
    close_bench(&writing);
}
END_TEST

/* Applications to shapes that do not fit; TEXT is in the error. */
static const struct misfit {
    struct op_case c;
    const char *text;
} misfits[] = {
    {{"linear", linear, {R2(2, 5)}, {R2(4, 6), R1(4)}, {1}}, "layer.weight"},
    {{"linear bias", linear, {R2(2, 5)}, {R2(4, 5), R1(3)}, {1}},
     "layer.weight"},
    {{"conv channels",
      conv2d,
      {R4(1, 4, 4, 3)},
      {R4(2, 3, 3, 4)},
      {1, 1, 1, 1, 1}},
     "[1, 4, 4, 3]"},
    {{"conv rank", conv2d, {R3(4, 4, 3)}, {R4(2, 3, 3, 3)}, {1}}, "do not fit"},
    {{"conv size", conv2d, {R4(1, 2, 2, 3)}, {R4(2, 3, 3, 3)}, {1}},
     "[2, 3, 3, 3]"},
    {{"conv stride", conv2d, {R4(1, 4, 4, 3)}, {R4(2, 3, 3, 3)}, {0}},
     "do not fit"},
    {{"conv bias",
      conv2d,
      {R4(1, 4, 4, 3)},
      {R4(2, 3, 3, 3), R1(3)},
      {1, 0, 0, 0, 0, 1}},
     "do not fit"},
    {{"group norm channels", group_norm, {R3(1, 2, 6)}, {R1(4), R1(4)}, {2}},
     "layer.weight"},
    {{"group norm bias", group_norm, {R3(1, 2, 6)}, {R1(6), R1(4)}, {2}},
     "layer.weight"},
    {{"group norm groups", group_norm, {R3(1, 2, 6)}, {R1(6), R1(6)}, {4}},
     "layer.weight"},
    {{"group norm no groups", group_norm, {R3(1, 2, 6)}, {R1(6), R1(6)}, {0}},
     "layer.weight"},
    {{"layer norm", layer_norm, {R3(1, 2, 6)}, {R1(5), R1(6)}, {0}},
     "layer.weight"},
    {{"layer norm rank", layer_norm, {R1(6)}, {R1(6), R1(6)}, {0}},
     "layer.weight"},
    {{"attention heads",
      attention,
      {R3(1, 2, 6), R3(1, 2, 6), R3(1, 2, 6)},
      {{0}},
      {4, 0}},
     "attention"},
    {{"attention no heads",
      attention,
      {R3(1, 2, 6), R3(1, 2, 6), R3(1, 2, 6)},
      {{0}},
      {0, 0}},
     "attention"},
    {{"attention keys",
      attention,
      {R3(1, 2, 6), R3(1, 3, 6), R3(1, 2, 6)},
      {{0}},
      {2, 0}},
     "attention"},
    {{"attention batch",
      attention,
      {R3(1, 2, 6), R3(2, 2, 6), R3(2, 2, 6)},
      {{0}},
      {2, 0}},
     "attention"},
    {{"geglu", geglu, {R2(2, 5)}, {{0}}, {0}}, "geglu"},
    {{"add", add, {R2(2, 5), R2(5, 2)}, {{0}}, {0}}, "[5, 2]"},
    {{"add rows", add_rows, {R3(2, 3, 4), R2(2, 3)}, {{0}}, {0}}, "row sum"},
    {{"add rows rank", add_rows, {R1(2), R2(2, 2)}, {{0}}, {0}}, "row sum"},
    {{"add positions length", add_positions, {R3(2, 6, 4)}, {R2(5, 4)}, {0}},
     "layer.weight"},
    {{"add positions table", add_positions, {R3(2, 2, 4)}, {R1(20)}, {0}},
     "layer.weight"},
    {{"concat", concat, {R3(2, 3, 4), R3(3, 2, 4)}, {{0}}, {0}}, "concat"},
    {{"concat rank", concat, {R3(2, 3, 4), R2(6, 4)}, {{0}}, {0}}, "concat"},
    {{"channels", channels, {R2(2, 5)}, {{0}}, {3, 3}}, "channels"},
    {{"channels below", channels, {R2(2, 5)}, {{0}}, {-1, 3}}, "channels"},
    {{"channels far", channels, {R2(2, 5)}, {{0}}, {INT64_MAX, INT64_MAX}},
     "channels"},
    {{"reshape", reshape, {R2(2, 5)}, {{0}}, {2, 5, 2}}, "reshape"},
    {{"reshape below", reshape, {R2(2, 5)}, {{0}}, {-2, -5, 1}}, "reshape"},
    {{"upsample rank", upsample, {R3(2, 5, 3)}, {{0}}, {4, 4}}, "resample"},
    {{"upsample to nothing", upsample, {R4(1, 2, 2, 1)}, {{0}}, {0, 4}},
     "resample"},
    {{"pool of one row", average_pool, {R4(1, 1, 4, 2)}, {{0}}, {0}},
     "resample"},
    {{"embedding", embedding, {{0}}, {R1(20)}, {0}}, "layer.weight"},
};

/* After an error, operations give NULL and drop their inputs. */
static void check_sticks(struct bench *b, struct db_tape *tape)
{
    struct db_tensor *tensor = b->inputs[0];
    struct db_var *x;

    if (tensor == NULL)
        return;
    x = db_var_new(tape, tensor, true);
    ck_assert_ptr_null(x);
    ck_assert_ptr_null(db_scale(tape, x, 2.0f));
    ck_assert_ptr_null(db_add(tape, db_hold(x), x));
    ck_assert_int_eq(db_tape_backward(tape, x, NULL), DREAMBOOTH_EINTERNAL);
    db_tape_clear(tape);
    ck_assert_int_eq(tape->status, DREAMBOOTH_OK);
    x = db_scale(tape, db_var_new(tape, tensor, true), 2.0f);
    ck_assert_int_eq(db_tape_backward(tape, x, NULL), DREAMBOOTH_OK);
}

START_TEST(misfits_are_errors)
{
    struct db_var *kept[MOST_INPUTS];
    struct db_tape tape;
    struct bench b;
    size_t i;
    int j;

    open_bench(&b, &db_backend_reference, 1);
    for (i = 0; i < DB_COUNT(misfits); i++) {
        memset(kept, 0, sizeof(kept));
        load_case(&b, &misfits[i].c);
        db_tape_init(&tape, &b.device, true);
        ck_assert_msg(apply(&b, &tape, ~0u, kept) == NULL, "%s fits",
                      misfits[i].c.name);
        ck_assert_msg(tape.status == DREAMBOOTH_EINTERNAL, "%s: status %d",
                      misfits[i].c.name, tape.status);
        ck_assert_msg(strstr(b.env.error_text, misfits[i].text) != NULL,
                      "%s: %s", misfits[i].c.name, b.env.error_text);
        for (j = 0; j < MOST_INPUTS; j++)
            db_drop(kept[j]);
        check_sticks(&b, &tape);
        db_tape_clear(&tape);
        unload_case(&b);
    }
    close_bench(&b);
}
END_TEST

/* Each input NULL in turn, with no other error to explain it. */
START_TEST(missing_inputs_are_errors)
{
    struct db_tape tape;
    struct bench b;
    size_t i;
    int missing, j;

    open_bench(&b, &db_backend_reference, 1);
    for (i = 0; i < DB_COUNT(cases); i++)
        for (missing = 0; missing < MOST_INPUTS; missing++) {
            struct db_var *x[MOST_INPUTS] = {NULL};

            if (cases[i].inputs[missing].rank == 0)
                break;
            load_case(&b, &cases[i]);
            db_tape_init(&tape, &b.device, true);
            for (j = 0; j < MOST_INPUTS; j++)
                if (j != missing && b.inputs[j] != NULL)
                    x[j] = db_var_new(&tape, b.inputs[j], true);
            if (cases[i].apply != mse) {
                ck_assert_ptr_null(
                    cases[i].apply(&tape, x, b.params, cases[i].facts));
                ck_assert_int_eq(tape.status, DREAMBOOTH_EINTERNAL);
            }
            db_tape_clear(&tape);
            unload_case(&b);
        }
    close_bench(&b);
}
END_TEST

START_TEST(ids_are_checked)
{
    static const struct op_case table = {
        "embedding", NULL, {{0}}, {R2(5, 4)}, {0}};
    static const int64_t bad[2][2] = {{0, 5}, {-1, 0}};
    struct db_tape tape;
    struct bench b;
    int i;

    open_bench(&b, &db_backend_reference, 1);
    load_case(&b, &table);
    for (i = 0; i < 2; i++) {
        db_tape_init(&tape, &b.device, true);
        ck_assert_ptr_null(db_embedding(&tape, b.params, bad[i], 1, 2));
        ck_assert_int_eq(tape.status, DREAMBOOTH_EINVAL);
        ck_assert_ptr_nonnull(strstr(b.env.error_text, i ? "-1" : "5"));
    }
    unload_case(&b);
    close_bench(&b);
}
END_TEST

/*
 * Random programs on registers of one shape. Run plainly, an operation may
 * write over what nobody holds; run with every value held and copied, it may
 * not. Both must give the same bits, and no held value may ever change.
 */
#define REGISTERS 4
#define PROGRAM_STEPS 24
#define HELD_MOST (REGISTERS + PROGRAM_STEPS)

static const struct op_case program_leaves = {
    "program",
    NULL,
    {R4(2, 4, 2, 4), R2(2, 4), R4(2, 4, 2, 4)},
    {R2(4, 4), R1(4)},
    {0}};

struct held {
    struct db_var *vars[HELD_MOST];
    struct db_tensor *copies[HELD_MOST];
    int count;
};

static struct db_var *as_sequence(struct db_tape *tape, struct db_var *x)
{
    struct db_shape shape = db_shape3(2, 8, 4);

    return db_reshape(tape, x, &shape);
}

static struct db_var *as_image(struct db_tape *tape, struct db_var *x)
{
    struct db_shape shape = db_shape4(2, 4, 2, 4);

    return db_reshape(tape, x, &shape);
}

/* Takes over X and Y. */
static struct db_var *step(struct bench *b, struct db_tape *tape, int operation,
                           struct db_var *x, struct db_var *y)
{
    struct db_param *p = b->params;
    struct db_var *v;

    switch (operation) {
    case 0:
        return db_add(tape, x, y);
    case 1:
        db_drop(y);
        return db_scale(tape, x, 0.75f);
    case 2:
        db_drop(y);
        return db_activation(tape, x, DREAMBOOTH_SILU);
    case 3:
        db_drop(y);
        v = db_var_new(tape, b->inputs[1], false);
        return db_add_rows(tape, x, v);
    case 4:
        return db_geglu(tape, db_concat(tape, x, y));
    case 5:
        db_drop(y);
        return as_image(tape, db_scale(tape, as_sequence(tape, x), -0.5f));
    case 6:
        x = as_sequence(tape, x);
        y = as_sequence(tape, y);
        x = db_attention(tape, db_hold(x), x, y, 2, false);
        return as_image(tape, x);
    case 7:
        db_drop(y);
        return db_linear(tape, x, &p[0], &p[1]);
    case 8:
        db_drop(y);
        return db_average_pool(tape, db_upsample_nearest(tape, x, 8, 4));
    case 9:
        db_drop(x);
        return db_add(tape, db_hold(y), y);
    case 10:
        return db_channels(tape, db_concat(tape, x, y), 2, 4);
    default:
        db_drop(y);
        return db_softmax(tape, x);
    }
}

static void keep(struct bench *b, struct held *held, struct db_var *var)
{
    struct db_tensor *copy;

    if (held == NULL)
        return;
    ck_assert_int_eq(db_tensor_new(&b->env, DB_F32, &var->data->shape, &copy),
                     DREAMBOOTH_OK);
    memcpy(copy->data, var->data->data,
           (size_t)db_tensor_count(copy) * sizeof(float));
    held->vars[held->count] = db_hold(var);
    held->copies[held->count++] = copy;
}

static void check_and_drop(struct held *held)
{
    while (held->count > 0) {
        held->count--;
        ck_assert(same_bits(held->vars[held->count]->data,
                            held->copies[held->count]));
        db_drop(held->vars[held->count]);
        db_tensor_release(held->copies[held->count]);
    }
}

static int below(struct bench *b, int limit)
{
    b->state = b->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((b->state >> 33) % (uint64_t)limit);
}

/* The program of SEED; its result is the sum of all registers. A register that
 * is both the source and the target gives its reference away. */
static struct db_var *program(struct bench *b, struct db_tape *tape,
                              uint64_t seed, struct held *held)
{
    struct db_var *registers[REGISTERS];
    int i, operation, x, y, target;

    b->state = seed;
    for (i = 0; i < REGISTERS; i++) {
        registers[i] =
            db_scale(tape, db_var_new(tape, b->inputs[i % 2 * 2], true),
                     (float)i - 1.5f);
        keep(b, held, registers[i]);
    }
    for (i = 0; i < PROGRAM_STEPS; i++) {
        struct db_var *fresh, *first;

        operation = below(b, 12);
        x = below(b, REGISTERS);
        y = below(b, REGISTERS);
        target = below(b, 2) ? x : below(b, REGISTERS);
        if (target == x && x != y) {
            first = registers[x];
            registers[x] = NULL;
        } else {
            first = db_hold(registers[x]);
        }
        fresh = step(b, tape, operation, first, db_hold(registers[y]));
        db_drop(registers[target]);
        ck_assert_ptr_nonnull(fresh);
        registers[target] = fresh;
        keep(b, held, fresh);
    }
    for (i = 1; i < REGISTERS; i++)
        registers[0] = db_add(tape, registers[0], registers[i]);
    return registers[0];
}

static struct db_tensor *program_result(struct bench *b, uint64_t seed,
                                        bool recording, struct held *held)
{
    struct db_tensor *result;
    struct db_tape tape;
    struct db_var *y;

    db_tape_init(&tape, &b->device, recording);
    y = program(b, &tape, seed, held);
    ck_assert_int_eq(tape.status, DREAMBOOTH_OK);
    result = db_tensor_hold(y->data);
    if (recording)
        ck_assert_int_eq(db_tape_backward(&tape, y, NULL), DREAMBOOTH_OK);
    else
        db_drop(y);
    if (held != NULL)
        check_and_drop(held);
    return result;
}

START_TEST(nothing_held_is_altered)
{
    struct held held = {.count = 0};
    struct db_tensor *results[4];
    uint64_t seed, seeds = unit_is_quick() ? 20 : 500;
    struct bench b;
    size_t t;
    int i;

    for (t = 0; t < DB_COUNT(tables); t++) {
        open_bench(&b, tables[t], 1);
        load_case(&b, &program_leaves);
        for (seed = 1; seed <= seeds; seed++) {
            for (i = 0; i < 4; i++)
                results[i] =
                    program_result(&b, seed, i >= 2, i % 2 == 0 ? NULL : &held);
            for (i = 1; i < 4; i++)
                ck_assert_msg(same_bits(results[0], results[i]), "program %d",
                              (int)seed);
            for (i = 0; i < 4; i++)
                db_tensor_release(results[i]);
        }
        unload_case(&b);
        close_bench(&b);
    }
}
END_TEST

/* Reuse does happen: a chain of elementwise operations needs one tensor. */
START_TEST(inference_works_in_place)
{
    const uint64_t tensor = 64 * sizeof(float);
    struct db_shape shape = db_shape1(64);
    struct db_tensor *data;
    struct db_tape tape;
    struct db_var *x;
    struct bench b;
    int i;

    open_bench(&b, &db_backend_reference, 1);
    ck_assert_int_eq(db_tensor_new_zero(&b.env, DB_F32, &shape, &data),
                     DREAMBOOTH_OK);
    db_tape_init(&tape, &b.device, false);
    x = db_var_new(&tape, data, false);
    db_tensor_release(data);
    b.env.peak_bytes = b.env.live_bytes;
    for (i = 0; i < 8; i++)
        x = db_activation(&tape, db_scale(&tape, x, 2.0f), DREAMBOOTH_GELU);
    ck_assert_uint_lt(b.env.peak_bytes, b.env.live_bytes + tensor);
    db_drop(x);
    close_bench(&b);
}
END_TEST

static Suite *ops_suite(void)
{
    Suite *suite = suite_create("ops");

    unit_add(suite, "results", results_follow_definitions);
    unit_add(suite, "finite differences", finite_differences);
    unit_add(suite, "same bits again", same_bits_again);
    unit_add(suite, "only what is wanted", only_what_is_wanted);
    unit_add(suite, "inputs that nobody holds", inputs_that_nobody_holds);
    unit_add(suite, "gradients add up", gradients_add_up);
    unit_add(suite, "allocations fail", allocations_fail);
    unit_add(suite, "kernels fail", kernels_fail);
    unit_add(suite, "frozen parameters", frozen_parameters_cost_nothing);
    unit_add(suite, "first gradients",
             first_gradients_are_zeros_for_those_who_add);
    unit_add(suite, "misfits", misfits_are_errors);
    unit_add(suite, "missing inputs", missing_inputs_are_errors);
    unit_add(suite, "ids", ids_are_checked);
    unit_add(suite, "nothing held is altered", nothing_held_is_altered);
    unit_add(suite, "in place", inference_works_in_place);
    return suite;
}

int main(void)
{
    return unit_main(ops_suite());
}

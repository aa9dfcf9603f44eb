/* SPDX-License-Identifier: MIT */
/*
 * Every differentiable operation, against finite differences and against the
 * promises of ops.h and tape.h.
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
#include "unit.h"

#define STEP 1e-2f
#define TOLERANCE 2e-3
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
    return db_group_norm(tape, x[0], &p[0], &p[1], facts[0], 1e-3f);
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

static struct db_var *embedding(struct db_tape *tape, struct db_var **x,
                                struct db_param *p, const int64_t *facts)
{
    static const int64_t ids[6] = {4, 0, 4, 2, 4, 0};

    (void)x;
    (void)facts;
    return db_embedding(tape, &p[0], ids, 2, 3);
}

/* facts: weighted */
static struct db_var *mse(struct db_tape *tape, struct db_var **x,
                          struct db_param *p, const int64_t *facts)
{
    static const float weight[3] = {1.0f, 0.25f, 3.0f};
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
        db_tensor_f32(target)[i] = 0.1f * (float)(i % 7);
    loss = db_mse(tape, x[0], target, facts[0] ? weight : NULL, NULL);
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
 * are references to the inputs' variables. */
static struct db_var *apply(struct bench *b, struct db_tape *tape,
                            unsigned wanted, struct db_var **kept)
{
    struct db_var *x[MOST_INPUTS] = {NULL};
    int i;

    for (i = 0; i < MOST_INPUTS && b->inputs[i] != NULL; i++) {
        x[i] = db_var_new(tape, b->inputs[i], (wanted >> i & 1) != 0);
        kept[i] = db_hold(x[i]);
    }
    for (i = 0; i < MOST_PARAMS; i++)
        b->params[i].trainable = (wanted >> (MOST_INPUTS + i) & 1) != 0;
    return b->c->apply(tape, x, b->params, b->c->facts);
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
        b->state = 1234567;
        if (db_tensor_new(&b->env, DB_F32, &y->data->shape, &seed) ==
            DREAMBOOTH_OK)
            for (i = 0; i < (int)db_tensor_count(seed); i++)
                db_tensor_f32(seed)[i] = draw(b);
        else
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
    b->state = 1234567;
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

static Suite *ops_suite(void)
{
    Suite *suite = suite_create("ops");

    unit_add(suite, "finite differences", finite_differences);
    unit_add(suite, "same bits again", same_bits_again);
    unit_add(suite, "only what is wanted", only_what_is_wanted);
    return suite;
}

int main(void)
{
    return unit_main(ops_suite());
}

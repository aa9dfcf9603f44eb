/* SPDX-License-Identifier: MIT */
/*
 * Single operations and their gradients against PyTorch. Each NAME.json is a
 * list of cases (attributes) and NAME.safetensors their tensors, "c00.x" and so
 * on. The reference is brought into our layout (channels last) and compared
 * there, so inputs, results and gradients all go through one loader.
 */
#include "parity.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file/folder.h"
#include "grad/ops.h"
#include "tensor/tensor.h"

#define KEY_BYTES 64
#define MAX_INPUTS 4

/* How a tensor of the file lies in memory here. */
enum arrangement {
    PLAIN,
    IMAGE, /* [N, C, H, W] or [N, C, L] to [N, H, W, C] or [N, L, C] */
    HEADS  /* [B, heads, L, D] to [B, L, heads * D] */
};

struct input {
    const char *name;
    enum arrangement arrangement;
    struct db_var *var; /* one of the two is not NULL */
    struct db_param *param;
};

struct op_case {
    struct parity *p;
    const struct db_safetensors *file;
    const json_t *attributes;
    const char *name; /* "c00" */
    struct db_tape tape;
    int input_count;
    struct input inputs[MAX_INPUTS];
};

/* Where ATTRIBUTE is above a value, of_max is another. */
struct loosening {
    const char *attribute;
    double above, of_max;
};

/* Operations on variables: APPLY calls input() and param(), which note what has
 * a gradient, and gives the result. */
struct operation {
    const char *name;
    struct db_var *(*apply)(struct op_case *c);
    enum arrangement result;
    const struct parity_tolerance *forward, *backward;
    const struct loosening *loosening; /* or NULL */
};

static const struct db_safetensors_entry *find(const struct op_case *c,
                                               const char *name)
{
    char key[KEY_BYTES];

    snprintf(key, sizeof(key), "%.16s.%.40s", c->name, name);
    return db_safetensors_find(c->file, key);
}

static double number(const struct op_case *c, const char *key)
{
    return json_number_value(json_object_get(c->attributes, key));
}

static bool truth(const struct op_case *c, const char *key)
{
    return json_is_true(json_object_get(c->attributes, key));
}

static void heads_inward(const float *x, const int64_t shape[4], float *y)
{
    int64_t heads = shape[1], length = shape[2], width = shape[3];

    for (int64_t b = 0; b < shape[0]; b++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t l = 0; l < length; l++)
                memcpy(y + ((b * length + l) * heads + h) * width,
                       x + ((b * heads + h) * length + l) * width,
                       (size_t)width * sizeof(*y));
}

/* The shape here of an entry, whose own is brought to rank 4 in FOUR. */
static struct db_shape arranged(const struct db_safetensors_entry *entry,
                                enum arrangement arrangement, int64_t four[4])
{
    struct db_shape shape = {entry->rank == 0 ? 1 : entry->rank, {1, 1, 1, 1}};

    for (int i = 0; i < 4; i++)
        four[i] = i < entry->rank ? entry->shape[i] : 1;
    if (arrangement == HEADS)
        return db_shape3(four[0], four[2], four[1] * four[3]);
    for (int i = 0; i < shape.rank; i++)
        shape.size[i] = four[i];
    if (arrangement == IMAGE) {
        shape.size[1] = four[2];
        shape.size[2] = shape.rank == 3 ? four[1] : four[3];
        shape.size[3] = four[1];
    }
    return shape;
}

static void rearrange(const float *x, const int64_t four[4],
                      enum arrangement arrangement, float *y)
{
    if (arrangement == HEADS)
        heads_inward(x, four, y);
    else if (arrangement == IMAGE)
        db_nchw_to_nhwc(x, four[0], four[1], four[2], four[3], y);
    else
        memcpy(y, x,
               (size_t)(four[0] * four[1] * four[2] * four[3]) * sizeof(*y));
}

/* The tensor NAME of the case as it lies here, or NULL, which fails the case.
 */
static struct db_tensor *load(struct op_case *c, const char *name,
                              enum arrangement arrangement)
{
    struct db_env *env = c->p->env;
    const struct db_safetensors_entry *entry = find(c, name);
    struct db_tensor *tensor = NULL;
    struct db_shape shape;
    int64_t four[4];
    float *raw;

    if (entry == NULL || entry->rank > 4) {
        parity_fail(c->p, "%s is missing, or of too many dimensions", name);
        return NULL;
    }
    shape = arranged(entry, arrangement, four);
    raw = db_alloc_array(env, (size_t)entry->count, sizeof(*raw));
    if (raw == NULL || db_safetensors_read_f32(env, entry, raw) != 0 ||
        db_tensor_new(env, DB_F32, &shape, &tensor) != 0)
        parity_fail(c->p, "%s", env->error_text);
    else
        rearrange(raw, four, arrangement, db_tensor_f32(tensor));
    db_free(env, raw);
    return tensor;
}

/* The variable NAME with a gradient, for an operation to take over. */
static struct db_var *input(struct op_case *c, const char *name,
                            enum arrangement arrangement)
{
    struct db_tensor *tensor = load(c, name, arrangement);
    struct db_var *var;

    if (tensor == NULL)
        return NULL;
    var = db_var_new(&c->tape, tensor, true);
    db_tensor_release(tensor);
    if (var == NULL) {
        parity_fail(c->p, "%s", c->p->env->error_text);
        return NULL;
    }
    c->inputs[c->input_count++] = (struct input){name, arrangement, var, NULL};
    return db_hold(var);
}

/* The parameter NAME, or NULL where the case has none. */
static struct db_param *param(struct op_case *c, const char *name,
                              enum db_layout layout)
{
    const struct db_safetensors_entry *entry = find(c, name);
    enum arrangement arrangement = layout == DB_LAYOUT_CONV ? IMAGE : PLAIN;
    struct db_tensor *tensor;
    struct db_param *made;

    if (entry == NULL || (tensor = load(c, name, arrangement)) == NULL)
        return NULL;
    made = db_alloc_zero(c->p->env, sizeof(*made));
    if (made == NULL) {
        parity_fail(c->p, "%s", c->p->env->error_text);
        db_tensor_release(tensor);
        return NULL;
    }
    made->name = (char *)(uintptr_t)name;
    made->shape.rank = entry->rank;
    for (int i = 0; i < entry->rank; i++)
        made->shape.size[i] = entry->shape[i];
    made->layout = layout;
    made->trainable = true;
    made->data = tensor;
    c->inputs[c->input_count++] = (struct input){name, arrangement, NULL, made};
    return made;
}

static void release_inputs(struct op_case *c)
{
    for (int i = 0; i < c->input_count; i++) {
        struct db_param *made = c->inputs[i].param;

        db_drop(c->inputs[i].var);
        if (made == NULL)
            continue;
        db_tensor_release(made->data);
        db_tensor_release(made->gradient);
        db_free(c->p->env, made);
    }
}

static struct db_var *apply_conv2d(struct op_case *c)
{
    const json_t *pad = json_object_get(c->attributes, "pad");
    struct db_conv2d_form form = {
        .stride = (int64_t)number(c, "stride"),
        .pad_left = json_integer_value(json_array_get(pad, 0)),
        .pad_right = json_integer_value(json_array_get(pad, 1)),
        .pad_top = json_integer_value(json_array_get(pad, 2)),
        .pad_bottom = json_integer_value(json_array_get(pad, 3)),
    };
    struct db_var *x = input(c, "x", IMAGE);
    struct db_param *weight = param(c, "w", DB_LAYOUT_CONV);
    struct db_param *bias = param(c, "b", DB_LAYOUT_PLAIN);

    return db_conv2d(&c->tape, x, weight, bias, &form);
}

static struct db_var *apply_group_norm(struct op_case *c)
{
    struct db_var *x = input(c, "x", IMAGE);
    struct db_param *weight = param(c, "w", DB_LAYOUT_PLAIN);
    struct db_param *bias = param(c, "b", DB_LAYOUT_PLAIN);

    return db_group_norm(&c->tape, x, weight, bias,
                         (int64_t)number(c, "groups"), (float)number(c, "eps"),
                         false);
}

static struct db_var *apply_layer_norm(struct op_case *c)
{
    struct db_var *x = input(c, "x", PLAIN);
    struct db_param *weight = param(c, "w", DB_LAYOUT_PLAIN);
    struct db_param *bias = param(c, "b", DB_LAYOUT_PLAIN);

    return db_layer_norm(&c->tape, x, weight, bias, (float)number(c, "eps"));
}

static struct db_var *apply_silu(struct op_case *c)
{
    return db_activation(&c->tape, input(c, "x", PLAIN), DREAMBOOTH_SILU);
}

static struct db_var *apply_gelu(struct op_case *c)
{
    return db_activation(&c->tape, input(c, "x", PLAIN), DREAMBOOTH_GELU);
}

static struct db_var *apply_gelu_tanh(struct op_case *c)
{
    return db_activation(&c->tape, input(c, "x", PLAIN), DREAMBOOTH_GELU_TANH);
}

static struct db_var *apply_quick_gelu(struct op_case *c)
{
    return db_activation(&c->tape, input(c, "x", PLAIN), DREAMBOOTH_QUICK_GELU);
}

static struct db_var *apply_linear(struct op_case *c)
{
    struct db_var *x = input(c, "x", PLAIN);
    struct db_param *weight = param(c, "w", DB_LAYOUT_PLAIN);
    struct db_param *bias = param(c, "b", DB_LAYOUT_PLAIN);

    return db_linear(&c->tape, x, weight, bias);
}

static struct db_var *apply_geglu(struct op_case *c)
{
    return db_geglu(&c->tape, apply_linear(c));
}

static struct db_var *apply_attention(struct op_case *c)
{
    const struct db_safetensors_entry *entry = find(c, "q");
    struct db_var *q = input(c, "q", HEADS);
    struct db_var *k = input(c, "k", HEADS);
    struct db_var *v = input(c, "v", HEADS);
    int64_t heads = entry == NULL ? 1 : entry->shape[1];

    return db_attention(&c->tape, q, k, v, heads, truth(c, "causal"));
}

static struct db_var *apply_softmax(struct op_case *c)
{
    return db_softmax(&c->tape, input(c, "x", PLAIN));
}

static struct db_var *apply_upsample(struct op_case *c)
{
    const json_t *size = json_object_get(c->attributes, "size");

    return db_upsample_nearest(&c->tape, input(c, "x", IMAGE),
                               json_integer_value(json_array_get(size, 0)),
                               json_integer_value(json_array_get(size, 1)));
}

static struct db_var *apply_average_pool(struct op_case *c)
{
    return db_average_pool(&c->tape, input(c, "x", IMAGE));
}

static struct db_var *apply_embedding(struct op_case *c)
{
    const struct db_safetensors_entry *entry = find(c, "ids");
    struct db_param *table = param(c, "w", DB_LAYOUT_PLAIN);
    struct db_var *y;
    int64_t *ids;

    if (entry == NULL || entry->dtype != DB_I64 || entry->rank != 2) {
        parity_fail(c->p, "ids are missing or no [batch, length] of int64");
        return NULL;
    }
    ids = db_alloc(c->p->env, (size_t)entry->size);
    if (ids == NULL)
        return NULL;
    memcpy(ids, parity_data(c->p, entry), (size_t)entry->size);
    y = db_embedding(&c->tape, table, ids, entry->shape[0], entry->shape[1]);
    db_free(c->p->env, ids);
    return y;
}

static struct db_var *apply_mse(struct op_case *c)
{
    struct db_tensor *target = load(c, "target", PLAIN);
    struct db_tensor *weight =
        find(c, "weight") == NULL ? NULL : load(c, "weight", PLAIN);
    struct db_var *y =
        db_mse(&c->tape, input(c, "pred", PLAIN), target,
               weight == NULL ? NULL : db_tensor_f32(weight), NULL);

    db_tensor_release(target);
    db_tensor_release(weight);
    return y;
}

static const struct parity_tolerance sums = {1e-7, 1e-5, 0};
static const struct parity_tolerance exact = {0, 0, 0};
static const struct parity_tolerance millionth = {1e-6, 0, 0};
static const struct parity_tolerance of_unit = {2e-6, 0, 0};
static const struct parity_tolerance of_largest = {0, 1e-5, 0};

static const struct loosening offset = {"offset", 0, 2e-4};
static const struct loosening gain = {"gain", 1, 1e-4};

static const struct operation operations[] = {
    {"conv2d", apply_conv2d, IMAGE, &sums, &sums, NULL},
    {"group_norm", apply_group_norm, IMAGE, &sums, &sums, &offset},
    {"layer_norm", apply_layer_norm, PLAIN, &sums, &sums, &offset},
    {"silu", apply_silu, PLAIN, &of_unit, &of_unit, NULL},
    {"gelu", apply_gelu, PLAIN, &of_unit, &of_unit, NULL},
    {"gelu_tanh", apply_gelu_tanh, PLAIN, &of_unit, &of_unit, NULL},
    {"quick_gelu", apply_quick_gelu, PLAIN, &of_unit, &of_unit, NULL},
    {"geglu", apply_geglu, PLAIN, &sums, &sums, NULL},
    {"linear", apply_linear, PLAIN, &sums, &sums, NULL},
    {"attention", apply_attention, HEADS, &sums, &sums, &gain},
    {"softmax", apply_softmax, PLAIN, &millionth, &of_largest, NULL},
    {"upsample_nearest", apply_upsample, IMAGE, &exact, &millionth, NULL},
    {"avg_pool2x2", apply_average_pool, IMAGE, &millionth, &millionth, NULL},
    {"embedding", apply_embedding, PLAIN, &exact, &millionth, NULL},
    {"mse", apply_mse, PLAIN, &sums, &sums, NULL},
};

/* Tensors under "zero" are rounding noise in the reference as well. */
static struct parity_tolerance tolerance_of(const struct op_case *c,
                                            const struct operation *operation,
                                            const char *what)
{
    struct parity_tolerance tolerance =
        strcmp(what, "y") == 0 ? *operation->forward : *operation->backward;
    const json_t *zero = json_object_get(c->attributes, "zero");

    for (size_t i = 0; i < json_array_size(zero); i++)
        if (strcmp(json_string_value(json_array_get(zero, i)), what) == 0)
            return (struct parity_tolerance){1e-3, 0, 0};
    if (operation->loosening != NULL &&
        fabs(number(c, operation->loosening->attribute)) >
            operation->loosening->above)
        tolerance.of_max = operation->loosening->of_max;
    if (tolerance.of_max > 0)
        tolerance = parity_no_finer(
            tolerance, json_number_value(json_object_get(
                           json_object_get(c->attributes, "f64_dev"), what)));
    return tolerance;
}

/* |got - want| <= TOLERANCE max(1, |want|): absolute for the entries up to 1,
 * relative for those beyond. */
static void compare_by_unit(struct parity *p, const char *what,
                            const float *got, const float *want, int64_t count,
                            double tolerance)
{
    float *pairs = db_alloc_array(p->env, 2 * (size_t)count, sizeof(*pairs));
    int64_t small = 0, large = 0;

    if (pairs == NULL) {
        parity_fail(p, "%s", p->env->error_text);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        if (fabsf(want[i]) > 1)
            continue;
        pairs[small] = got[i];
        pairs[count + small++] = want[i];
    }
    parity_compare(p, what, pairs, pairs + count, small,
                   (struct parity_tolerance){tolerance, 0, 0});
    for (int64_t i = 0; i < count; i++) {
        if (fabsf(want[i]) <= 1)
            continue;
        pairs[large] = got[i];
        pairs[count + large++] = want[i];
    }
    parity_compare(p, what, pairs, pairs + count, large,
                   (struct parity_tolerance){0, 0, tolerance});
    db_free(p->env, pairs);
}

static void compare(struct op_case *c, const struct operation *operation,
                    const char *what, enum arrangement arrangement,
                    const struct db_tensor *got)
{
    struct parity_tolerance tolerance = tolerance_of(c, operation, what);
    struct db_tensor *want = load(c, what, arrangement);

    if (want == NULL)
        return;
    if (got == NULL || !db_shape_equal(&got->shape, &want->shape))
        parity_fail(c->p, "%s is missing or of another shape", what);
    else if (operation->forward == &of_unit)
        compare_by_unit(c->p, what, db_tensor_f32(got), db_tensor_f32(want),
                        db_tensor_count(want), tolerance.absolute);
    else
        parity_compare(c->p, what, db_tensor_f32(got), db_tensor_f32(want),
                       db_tensor_count(want), tolerance);
    db_tensor_release(want);
}

static void compare_gradients(struct op_case *c,
                              const struct operation *operation)
{
    char what[KEY_BYTES];

    for (int i = 0; i < c->input_count; i++) {
        const struct input *in = &c->inputs[i];

        snprintf(what, sizeof(what), "d%s", in->name);
        compare(c, operation, what, in->arrangement,
                in->var != NULL ? in->var->slot->gradient
                                : in->param->gradient);
    }
}

static void run_operation(struct op_case *c, const struct operation *operation)
{
    struct db_tensor *seed = NULL;
    struct db_var *y;

    db_tape_init(&c->tape, c->p->device, true);
    y = operation->apply(c);
    if (y != NULL) {
        compare(c, operation, "y", operation->result, y->data);
        seed = load(c, "dy", operation->result);
    }
    if (seed != NULL &&
        db_tape_backward(&c->tape, db_hold(y), seed) == DREAMBOOTH_OK)
        compare_gradients(c, operation);
    if (c->tape.status != DREAMBOOTH_OK)
        parity_fail(c->p, "%s", c->p->env->error_text);
    db_tensor_release(seed);
    db_drop(y);
    release_inputs(c);
    db_tape_clear(&c->tape);
}

/* Rows of timesteps below 10 are held to 1e-6: later ones multiply the rounding
 * of the frequency. */
static void run_timestep_embedding(struct op_case *c)
{
    static const struct parity_tolerance early = {1e-6, 0, 0};
    static const struct parity_tolerance late = {1e-4, 0, 0};
    struct db_tensor *t = load(c, "t", PLAIN), *want = load(c, "y", PLAIN);
    int64_t width = (int64_t)number(c, "dim");
    struct db_tensor *got = NULL;

    if (t == NULL || want == NULL || want->shape.size[1] != width ||
        db_tensor_new(c->p->env, DB_F32, &want->shape, &got) != DREAMBOOTH_OK) {
        parity_fail(c->p, "t and y do not fit");
        goto end;
    }
    db_timestep_embedding(db_tensor_f32(t), db_tensor_count(t), width,
                          truth(c, "flip_sin_to_cos"),
                          (float)number(c, "downscale_freq_shift"),
                          db_tensor_f32(got));
    for (int64_t i = 0; i < db_tensor_count(t); i++)
        parity_compare(c->p, "y", db_tensor_f32(got) + i * width,
                       db_tensor_f32(want) + i * width, width,
                       db_tensor_f32(t)[i] < 10 ? early : late);
end:
    db_tensor_release(got);
    db_tensor_release(want);
    db_tensor_release(t);
}

static void compare_to(struct op_case *c, const char *kind, int64_t step,
                       const float *got, double by_unit, double relative)
{
    char what[KEY_BYTES];
    struct db_tensor *want;

    snprintf(what, sizeof(what), "%s%d", kind, (int)step);
    want = load(c, what, PLAIN);
    if (want == NULL)
        return;
    if (by_unit > 0)
        compare_by_unit(c->p, what, got, db_tensor_f32(want),
                        db_tensor_count(want), by_unit);
    else
        parity_compare(c->p, what, got, db_tensor_f32(want),
                       db_tensor_count(want),
                       (struct parity_tolerance){0, 0, relative});
    db_tensor_release(want);
}

static void step_adamw(struct op_case *c, int64_t step, struct db_tensor *p,
                       struct db_tensor *m, struct db_tensor *v)
{
    char key[KEY_BYTES];
    struct db_tensor *gradient;
    dreambooth_adamw arguments;

    snprintf(key, sizeof(key), "g%d", (int)step);
    gradient = load(c, key, PLAIN);
    if (gradient == NULL)
        return;
    arguments = (dreambooth_adamw){
        .count = db_tensor_count(p),
        .step = step,
        .learning_rate = number(c, "lr"),
        .beta1 = number(c, "beta1"),
        .beta2 = number(c, "beta2"),
        .epsilon = number(c, "eps"),
        .weight_decay = number(c, "weight_decay"),
        .gradient_scale = 1,
        .gradient = db_tensor_f32(gradient),
        .parameter = db_tensor_f32(p),
        .m = db_tensor_f32(m),
        .v = db_tensor_f32(v),
    };
    if (db_run(c->p->device, adamw, &arguments) != DREAMBOOTH_OK)
        parity_fail(c->p, "%s", c->p->env->error_text);
    db_tensor_release(gradient);
    compare_to(c, "p", step, db_tensor_f32(p), 1e-7, 0);
    compare_to(c, "m", step, db_tensor_f32(m), 0, 1e-6);
    compare_to(c, "v", step, db_tensor_f32(v), 0, 1e-6);
}

static void run_adamw(struct op_case *c)
{
    struct db_tensor *p = load(c, "p0", PLAIN), *m = NULL, *v = NULL;
    int64_t steps = (int64_t)number(c, "steps");

    if (p == NULL)
        return;
    if (db_tensor_new_zero(c->p->env, DB_F32, &p->shape, &m) == 0 &&
        db_tensor_new_zero(c->p->env, DB_F32, &p->shape, &v) == 0)
        for (int64_t step = 1; step <= steps; step++)
            step_adamw(c, step, p, m, v);
    db_tensor_release(p);
    db_tensor_release(m);
    db_tensor_release(v);
}

/* The sum of squares over all "g<k>". */
static double gather_squares(struct op_case *c)
{
    double total = 0, sum;
    char key[KEY_BYTES];

    for (int k = 0;; k++) {
        struct db_tensor *gradient;
        dreambooth_sum_squares arguments;

        snprintf(key, sizeof(key), "g%d", k);
        if (find(c, key) == NULL || (gradient = load(c, key, PLAIN)) == NULL)
            return total;
        sum = 0;
        arguments = (dreambooth_sum_squares){db_tensor_count(gradient),
                                             db_tensor_f32(gradient), &sum};
        if (db_run(c->p->device, sum_squares, &arguments) != DREAMBOOTH_OK)
            parity_fail(c->p, "%s", c->p->env->error_text);
        total += sum;
        db_tensor_release(gradient);
    }
}

static void run_clip_grad_norm(struct op_case *c)
{
    double norm = sqrt(gather_squares(c));
    double factor = number(c, "max_norm") / (norm + 1e-6);
    struct db_tensor *gradient;
    dreambooth_axpby arguments;
    char key[KEY_BYTES];

    parity_compare_double(c->p, "norm", norm, number(c, "norm"),
                          (struct parity_tolerance){0, 0, 1e-6});
    for (int k = 0;; k++) {
        snprintf(key, sizeof(key), "g%d", k);
        if (find(c, key) == NULL || (gradient = load(c, key, PLAIN)) == NULL)
            return;
        arguments = (dreambooth_axpby){
            .count = db_tensor_count(gradient),
            .alpha = (float)(factor < 1 ? factor : 1),
            .x = db_tensor_f32(gradient),
            .y = db_tensor_f32(gradient),
        };
        if (db_run(c->p->device, axpby, &arguments) != DREAMBOOTH_OK)
            parity_fail(c->p, "%s", c->p->env->error_text);
        compare_to(c, "clipped", k, db_tensor_f32(gradient), 0, 1e-6);
        db_tensor_release(gradient);
    }
}

/* What has no tape. */
static const struct {
    const char *name;
    void (*run)(struct op_case *c);
} routines[] = {
    {"timestep_embedding", run_timestep_embedding},
    {"adamw", run_adamw},
    {"clip_grad_norm", run_clip_grad_norm},
};

/* Runs the case by whichever table has NAME. */
static void dispatch(struct op_case *c, const char *name)
{
    for (size_t i = 0; i < DB_COUNT(operations); i++)
        if (strcmp(operations[i].name, name) == 0)
            run_operation(c, &operations[i]);
    for (size_t i = 0; i < DB_COUNT(routines); i++)
        if (strcmp(routines[i].name, name) == 0)
            routines[i].run(c);
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < DB_COUNT(operations); i++)
        if (strcmp(operations[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < DB_COUNT(routines); i++)
        if (strcmp(routines[i].name, name) == 0)
            return true;
    return false;
}

static void run_cases(struct parity *p, const char *name, const json_t *cases,
                      const struct db_safetensors *file)
{
    for (size_t i = 0; i < json_array_size(cases); i++) {
        struct op_case c = {.p = p, .file = file};

        c.attributes = json_array_get(cases, i);
        c.name = json_string_value(json_object_get(c.attributes, "case"));
        parity_begin(p, "ops/%s %s", name, c.name == NULL ? "?" : c.name);
        if (c.name == NULL)
            parity_fail(p, "the case has no name");
        else
            dispatch(&c, name);
        parity_end(p);
    }
}

/* The operation whose cases are in FOLDER/NAME.json and .safetensors. */
static void run_file(struct parity *p, const char *folder, const char *name)
{
    char *list = db_format(p->env, "%s/%s.json", folder, name);
    char *tensors = db_format(p->env, "%s/%s.safetensors", folder, name);
    struct db_safetensors *file = NULL;
    json_error_t error;
    json_t *cases = NULL;

    if (list != NULL)
        cases = json_load_file(list, 0, &error);
    if (list == NULL || tensors == NULL || cases == NULL ||
        db_safetensors_open(p->env, tensors, &file) != DREAMBOOTH_OK) {
        parity_begin(p, "ops/%s", name);
        parity_fail(p, "its files cannot be read: %s",
                    cases == NULL ? "the list of cases" : p->env->error_text);
        parity_end(p);
    } else {
        run_cases(p, name, cases, file);
    }
    json_decref(cases);
    db_safetensors_free(file);
    db_free(p->env, list);
    db_free(p->env, tensors);
}

void parity_ops(struct parity *p)
{
    struct db_folder_list files = {NULL, 0};
    char *folder = db_path_join(p->env, p->directory, "ops");
    char title[KEY_BYTES + 8];

    if (folder == NULL || db_folder_files(p->env, folder, &files) != 0) {
        db_free(p->env, folder);
        parity_skip(p, "ops", p->env->error_text);
        return;
    }
    for (size_t i = 0; i < files.count; i++) {
        char *end = strstr(files.names[i], ".json");

        if (end == NULL || end[5] != '\0')
            continue;
        *end = '\0';
        snprintf(title, sizeof(title), "ops/%.*s", KEY_BYTES, files.names[i]);
        if (is_known(files.names[i]))
            run_file(p, folder, files.names[i]);
        else
            parity_skip(p, title, "no such operation here");
    }
    db_folder_list_free(p->env, &files);
    db_free(p->env, folder);
}

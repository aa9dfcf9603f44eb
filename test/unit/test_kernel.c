/* SPDX-License-Identifier: MIT */
/*
 * The blas backend against the reference, slot by slot, on odd shapes.
 *
 * One table holds every case: a function that draws inputs from a fixed seed,
 * runs one slot of a device and puts what it wrote into a bag. The tests run
 * all cases on both backends, on 1..7 threads, and with allocations failing.
 */
#include <math.h>

#include "kernel/bf16/bf16_int.h"
#include "kernel/device.h"
#include "unit.h"

#define MOST_SEGMENTS 8
#define MOST_BLOCKS 24

/* What a case wrote, as segments that are compared each by its own largest
 * value; and the memory that the case took. */
struct bag {
    float *values[MOST_SEGMENTS];
    int64_t counts[MOST_SEGMENTS];
    int segments;
    void *blocks[MOST_BLOCKS];
    int used;
    uint64_t state;
};

struct test_case {
    const char *name;
    int (*run)(struct db_device *device, struct bag *bag, const int64_t *shape);
    int64_t shape[13];
    double tolerance;
};

static float *take(struct bag *bag, int64_t count)
{
    float *block = calloc((size_t)count + 1, sizeof(float));

    ck_assert_ptr_nonnull(block);
    ck_assert_int_lt(bag->used, MOST_BLOCKS);
    bag->blocks[bag->used++] = block;
    return block;
}

static float draw(struct bag *bag)
{
    bag->state = bag->state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(bag->state >> 32) / 2147483648.0f;
}

static float *input(struct bag *bag, int64_t count)
{
    float *values = take(bag, count);
    int64_t i;

    for (i = 0; i < count; i++)
        values[i] = 2.0f * draw(bag);
    return values;
}

/* An output, full of numbers that a kernel has to replace, or to add to. */
static float *output(struct bag *bag, int64_t count)
{
    float *values = input(bag, count);

    bag->values[bag->segments] = values;
    bag->counts[bag->segments++] = count;
    return values;
}

static void empty(struct bag *bag)
{
    while (bag->used > 0)
        free(bag->blocks[--bag->used]);
    memset(bag, 0, sizeof(*bag));
    bag->state = 88172645463325252u;
}

/* batch, m, n, k, transpose_a, transpose_b, bias, beta * 10, extra stride */
static int run_gemm(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_gemm a = {.batch = s[0],
                         .m = s[1],
                         .n = s[2],
                         .k = s[3],
                         .transpose_a = (int)s[4],
                         .transpose_b = (int)s[5],
                         .alpha = 0.7f,
                         .beta = (float)s[7] / 10.0f};

    a.lda = (s[4] ? a.m : a.k) + s[8];
    a.ldb = (s[5] ? a.k : a.n) + s[8];
    a.ldc = a.n + s[8];
    a.a_step = (s[4] ? a.k : a.m) * a.lda;
    a.b_step = (s[5] ? a.n : a.k) * a.ldb;
    a.c_step = a.m * a.ldc;
    a.a = input(bag, a.batch * a.a_step);
    a.b = input(bag, a.batch * a.b_step);
    a.bias = s[6] ? input(bag, a.n) : NULL;
    a.c = output(bag, a.batch * a.c_step);
    if (s[7] == 0 && a.m > 0 && a.n > 0)
        a.c[0] = NAN;
    return db_run(d, gemm, &a);
}

/* batch, height, width, in, out, kernel, stride, pads t b l r, bias */
static void conv_arguments(struct bag *bag, const int64_t *s,
                           dreambooth_conv2d *a)
{
    memset(a, 0, sizeof(*a));
    a->batch = s[0];
    a->in_height = s[1];
    a->in_width = s[2];
    a->in_channels = s[3];
    a->out_channels = s[4];
    a->kernel_height = s[5];
    a->kernel_width = s[5];
    a->stride = s[6];
    a->pad_top = s[7];
    a->pad_bottom = s[8];
    a->pad_left = s[9];
    a->pad_right = s[10];
    a->out_height = (s[1] + s[7] + s[8] - s[5]) / s[6] + 1;
    a->out_width = (s[2] + s[9] + s[10] - s[5]) / s[6] + 1;
    a->x = input(bag, s[0] * s[1] * s[2] * s[3]);
    a->weight = input(bag, s[4] * s[5] * s[5] * s[3]);
    a->bias = s[11] ? input(bag, s[4]) : NULL;
    a->dy = input(bag, s[0] * a->out_height * a->out_width * s[4]);
}

static int run_conv(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_conv2d a;

    conv_arguments(bag, s, &a);
    a.y = output(bag, s[0] * a.out_height * a.out_width * s[4]);
    return db_run(d, conv2d_forward, &a);
}

static int run_conv_data(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_conv2d a;

    conv_arguments(bag, s, &a);
    a.dx = output(bag, s[0] * s[1] * s[2] * s[3]);
    return db_run(d, conv2d_backward_data, &a);
}

static int run_conv_weight(struct db_device *d, struct bag *bag,
                           const int64_t *s)
{
    const int64_t count = s[4] * s[5] * s[5] * s[3];
    dreambooth_conv2d a;
    int64_t i;
    int status;

    conv_arguments(bag, s, &a);
    a.dweight = output(bag, count);
    a.dbias = s[11] ? output(bag, s[4]) : NULL;
    d->host.overwrite = (int32_t)s[12];
    for (i = 0; i < count && s[12]; i++)
        a.dweight[i] = NAN; /* that is written must not matter */
    status = db_run(d, conv2d_backward_weight, &a);
    d->host.overwrite = 0;
    return status;
}

static float *offset_input(struct bag *bag, int64_t count, int64_t offset)
{
    float *values = input(bag, count);
    int64_t i;

    for (i = 0; i < count; i++)
        values[i] += (float)offset;
    return values;
}

/* batch, pixels, channels, groups, offset, which outputs: dx 1, dweight 2,
 * dbias 4; with 8 the SiLU, with 16 in place */
static int run_group_norm(struct db_device *d, struct bag *bag,
                          const int64_t *s)
{
    const int64_t count = s[0] * s[1] * s[2];
    dreambooth_group_norm a = {.batch = s[0],
                               .pixels = s[1],
                               .channels = s[2],
                               .groups = s[3],
                               .epsilon = 1e-5f,
                               .silu = (s[5] & 8) != 0};
    float *dy;

    a.x = offset_input(bag, count, s[4]);
    a.weight = input(bag, s[2]);
    a.bias = input(bag, s[2]);
    dy = input(bag, count);
    a.dy = dy;
    a.y = output(bag, count);
    a.mean = output(bag, s[0] * s[3]);
    a.rstd = output(bag, s[0] * s[3]);
    a.dx = s[5] & 1 ? output(bag, count) : NULL;
    a.dweight = s[5] & 2 ? output(bag, s[2]) : NULL;
    a.dbias = s[5] & 4 ? output(bag, s[2]) : NULL;
    if (db_run(d, group_norm_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    if (s[5] & 16) {
        memcpy(a.dx, dy, (size_t)count * sizeof(float));
        a.dy = a.dx;
    }
    if (db_run(d, group_norm_backward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    if (!(s[5] & 16))
        return DREAMBOOTH_OK;
    memcpy(a.y, a.x, (size_t)count * sizeof(float));
    a.x = a.y;
    return db_run(d, group_norm_forward, &a);
}

/* rows, channels, offset, which outputs; with 8 in place */
static int run_layer_norm(struct db_device *d, struct bag *bag,
                          const int64_t *s)
{
    const int64_t count = s[0] * s[1];
    dreambooth_layer_norm a = {
        .rows = s[0], .channels = s[1], .epsilon = 1e-5f};

    a.x = offset_input(bag, count, s[2]);
    a.weight = input(bag, s[1]);
    a.bias = input(bag, s[1]);
    a.dy = input(bag, count);
    a.y = output(bag, count);
    a.mean = output(bag, s[0]);
    a.rstd = output(bag, s[0]);
    a.dx = s[3] & 1 ? output(bag, count) : NULL;
    a.dweight = s[3] & 2 ? output(bag, s[1]) : NULL;
    a.dbias = s[3] & 4 ? output(bag, s[1]) : NULL;
    if (db_run(d, layer_norm_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    if (s[3] & 8) {
        memcpy(a.dx, a.dy, (size_t)count * sizeof(float));
        a.dy = a.dx;
    }
    if (db_run(d, layer_norm_backward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    if (!(s[3] & 8))
        return DREAMBOOTH_OK;
    memcpy(a.y, a.x, (size_t)count * sizeof(float));
    a.x = a.y;
    return db_run(d, layer_norm_forward, &a);
}

/* batch, heads, queries, keys, head_size, causal, gain */
static int run_attention(struct db_device *d, struct bag *bag, const int64_t *s)
{
    const int64_t queries = s[0] * s[1] * s[2] * s[4];
    const int64_t keys = s[0] * s[1] * s[3] * s[4];
    dreambooth_attention a = {.batch = s[0],
                              .heads = s[1],
                              .query_length = s[2],
                              .key_length = s[3],
                              .head_size = s[4],
                              .causal = (int)s[5]};

    a.scale = (float)s[6] / sqrtf((float)s[4]);
    a.q = input(bag, queries);
    a.k = input(bag, keys);
    a.v = input(bag, keys);
    a.dy = input(bag, queries);
    a.y = output(bag, queries);
    a.lse = output(bag, s[0] * s[1] * s[2]);
    a.dq = output(bag, queries);
    a.dk = output(bag, keys);
    a.dv = output(bag, keys);
    if (db_run(d, attention_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    return db_run(d, attention_backward, &a);
}

/* rows, columns */
static int run_softmax(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_softmax a = {.rows = s[0], .columns = s[1]};

    a.x = input(bag, s[0] * s[1]);
    a.dy = input(bag, s[0] * s[1]);
    a.y = output(bag, s[0] * s[1]);
    a.dx = output(bag, s[0] * s[1]);
    if (db_run(d, softmax_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    return db_run(d, softmax_backward, &a);
}

/* activation, count, in place */
static int run_unary(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_unary a = {.activation = (int32_t)s[0], .count = s[1]};
    float *x = input(bag, s[1]);
    int64_t i;

    for (i = 0; i < s[1]; i++)
        x[i] *= 5.0f;
    a.x = x;
    a.dx = output(bag, s[1]);
    a.dy = s[2] ? a.dx : input(bag, s[1]);
    if (db_run(d, unary_backward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    a.y = output(bag, s[1]);
    if (s[2]) {
        memcpy(a.y, x, (size_t)s[1] * sizeof(float));
        a.x = a.y;
    }
    return db_run(d, unary_forward, &a);
}

/* rows, width */
static int run_geglu(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_geglu a = {.rows = s[0], .width = s[1]};

    a.x = input(bag, 2 * s[0] * s[1]);
    a.dy = input(bag, s[0] * s[1]);
    a.y = output(bag, s[0] * s[1]);
    a.dx = output(bag, 2 * s[0] * s[1]);
    if (db_run(d, geglu_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    return db_run(d, geglu_backward, &a);
}

/* count, beta, in place */
static int run_axpby(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_axpby a = {
        .count = s[0], .alpha = 0.3f, .beta = 0.5f * (float)s[1]};

    a.y = output(bag, s[0]);
    a.x = s[2] ? a.y : input(bag, s[0]);
    if (s[1] == 0 && !s[2])
        a.y[0] = NAN;
    return db_run(d, axpby, &a);
}

/* batch, rows, columns, in place */
static int run_rows(struct db_device *d, struct bag *bag, const int64_t *s)
{
    const int64_t count = s[0] * s[1] * s[2];
    dreambooth_rows a = {.batch = s[0], .rows = s[1], .columns = s[2]};

    a.x = input(bag, count);
    a.v = input(bag, s[0] * s[2]);
    a.y = output(bag, count);
    a.sum = output(bag, s[0] * s[2]);
    if (db_run(d, sum_rows, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    if (s[3])
        a.x = a.y;
    return db_run(d, add_rows, &a);
}

/* rows, columns, x_stride, y_stride */
static int run_copy(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_copy a = {
        .rows = s[0], .columns = s[1], .x_stride = s[2], .y_stride = s[3]};

    a.x = input(bag, s[0] * s[2]);
    a.y = output(bag, s[0] * s[3]);
    return db_run(d, copy, &a);
}

/* batch, in_height, in_width, out_height, out_width, channels */
static void resample_arguments(struct bag *bag, const int64_t *s,
                               dreambooth_resample *a)
{
    const dreambooth_resample shape = {.batch = s[0],
                                       .in_height = s[1],
                                       .in_width = s[2],
                                       .out_height = s[3],
                                       .out_width = s[4],
                                       .channels = s[5]};

    *a = shape;
    a->x = input(bag, s[0] * s[1] * s[2] * s[5]);
    a->dy = input(bag, s[0] * s[3] * s[4] * s[5]);
    a->y = output(bag, s[0] * s[3] * s[4] * s[5]);
    a->dx = output(bag, s[0] * s[1] * s[2] * s[5]);
}

static int run_upsample(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_resample a;

    resample_arguments(bag, s, &a);
    if (db_run(d, upsample_nearest_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    return db_run(d, upsample_nearest_backward, &a);
}

static int run_pool(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_resample a;

    resample_arguments(bag, s, &a);
    if (db_run(d, average_pool_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    return db_run(d, average_pool_backward, &a);
}

/* rows, columns, entries */
static int run_embedding(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_embedding a = {.rows = s[0], .columns = s[1], .entries = s[2]};
    int64_t *ids = (int64_t *)(void *)take(bag, 2 * s[0]);
    int64_t i;

    for (i = 0; i < s[0]; i++)
        ids[i] = i * i % s[2];
    a.ids = ids;
    a.table = input(bag, s[2] * s[1]);
    a.dy = input(bag, s[0] * s[1]);
    a.y = output(bag, s[0] * s[1]);
    a.dtable = output(bag, s[2] * s[1]);
    if (db_run(d, embedding_forward, &a) != DREAMBOOTH_OK)
        return d->env->error_status;
    return db_run(d, embedding_backward, &a);
}

/* batch, count, weighted */
static int run_mse(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_mse a = {.batch = s[0], .count = s[1], .dloss = 1.5f};
    float *loss = output(bag, 1);
    double exact = 0.0;
    int status;

    a.prediction = input(bag, s[0] * s[1]);
    a.target = input(bag, s[0] * s[1]);
    a.weight = s[2] ? input(bag, s[0]) : NULL;
    a.loss = &exact;
    a.dprediction = output(bag, s[0] * s[1]);
    status = db_run(d, mse_forward, &a);
    if (status != DREAMBOOTH_OK)
        return status;
    *loss = (float)exact;
    return db_run(d, mse_backward, &a);
}

/* count, step, beta1 * 10 */
static int run_adamw(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_adamw a = {.count = s[0],
                          .step = s[1],
                          .learning_rate = 1e-3,
                          .beta1 = (double)s[2] / 10.0,
                          .beta2 = 0.999,
                          .epsilon = 1e-8,
                          .weight_decay = 1e-2,
                          .gradient_scale = 0.7f};
    int64_t i;

    a.gradient = input(bag, s[0]);
    a.parameter = output(bag, s[0]);
    a.m = output(bag, s[0]);
    a.v = output(bag, s[0]);
    for (i = 0; i < s[0]; i++)
        a.v[i] = fabsf(a.v[i]);
    return db_run(d, adamw, &a);
}

/* Bytes that a kernel wrote, as numbers to compare. */
static void keep_bytes(struct bag *bag, const void *bytes, int64_t count)
{
    float *values = output(bag, count);
    int64_t i;

    for (i = 0; i < count; i++)
        values[i] = ((const unsigned char *)bytes)[i];
}

/* COUNT numbers of [-2, 2) in bfloat16. */
static uint16_t *half_input(struct bag *bag, int64_t count)
{
    uint16_t *halves = (uint16_t *)take(bag, count);
    int64_t i;

    for (i = 0; i < count; i++) {
        float value = 2.0f * draw(bag);
        uint32_t bits;

        memcpy(&bits, &value, sizeof(bits));
        halves[i] = (uint16_t)(bits >> 16);
    }
    return halves;
}

/* Codes of any value, and a block whose scale is 0. */
static uint8_t *codes(struct bag *bag, int64_t count, float **scales)
{
    const int64_t blocks = count / DREAMBOOTH_NARROW_BLOCK + 1;
    uint8_t *bytes = (uint8_t *)take(bag, count);
    int64_t i;

    *scales = output(bag, blocks);
    for (i = 0; i < count; i++)
        bytes[i] = (uint8_t)(int)(127.5f + 127.5f * draw(bag));
    for (i = 0; i < blocks; i++)
        (*scales)[i] = i == 1 ? 0 : fabsf((*scales)[i]);
    return bytes;
}

/* count, step, what is narrow: gradient 1, parameter 2, m 4, v 8; gradients
 * of the second block are 0 */
static int run_narrow_adamw(struct db_device *d, struct bag *bag,
                            const int64_t *s)
{
    dreambooth_adamw_narrow a = {.count = s[0],
                                 .step = s[1],
                                 .learning_rate = 1e-3,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .epsilon = 1e-8,
                                 .weight_decay = 1e-2,
                                 .gradient_scale = 0.7f,
                                 .key = {7, 9},
                                 .counter = {1, 2, 3}};
    float *gradient = input(bag, s[0]);
    int status;
    int64_t i;

    for (i = 0; i < s[0]; i++)
        gradient[i] = i / DREAMBOOTH_NARROW_BLOCK == 1
                          ? 0
                          : powf(gradient[i], (float)(1 + i % 9 * 2));
    if (s[2] & 1)
        a.gradient_bf16 = half_input(bag, s[0]);
    else
        a.gradient = gradient;
    if (s[2] & 2)
        a.parameter_bf16 = half_input(bag, s[0]);
    else
        a.parameter = output(bag, s[0]);
    if (s[2] & 4)
        a.m_codes = codes(bag, s[0], &a.m_scales);
    else
        a.m = output(bag, s[0]);
    if (s[2] & 8)
        a.v_codes = codes(bag, s[0], &a.v_scales);
    else
        a.v = output(bag, s[0]);
    for (i = 0; a.v != NULL && i < s[0]; i++)
        a.v[i] = fabsf(a.v[i]);
    status = db_run(d, adamw_narrow, &a);
    if (s[2] & 2)
        keep_bytes(bag, a.parameter_bf16, 2 * s[0]);
    if (s[2] & 4)
        keep_bytes(bag, a.m_codes, s[0]);
    if (s[2] & 8)
        keep_bytes(bag, a.v_codes, s[0]);
    return status;
}

/* count, add */
static int run_narrow(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_narrow a = {.count = s[0], .add = (int)s[1]};
    float *x = input(bag, s[0]);
    float *out = output(bag, 1);
    double sum = 0.0;
    int status;

    x[0] = INFINITY;
    x[1] = NAN;
    x[2] = 1.00390625f; /* a tie */
    a.x = x;
    a.y = half_input(bag, s[0]);
    a.sum = &sum;
    status = db_run(d, narrow, &a);
    ck_assert(status != DREAMBOOTH_OK || isnan(sum));
    x[0] = x[1] = 3;
    a.y[0] = a.y[1] = 0;
    if (status == DREAMBOOTH_OK)
        status = db_run(d, narrow, &a);
    out[0] = (float)sum;
    keep_bytes(bag, a.y, 2 * s[0]);
    return status;
}

/* count */
static int run_squares(struct db_device *d, struct bag *bag, const int64_t *s)
{
    dreambooth_sum_squares a = {.count = s[0]};
    float *out = output(bag, 1);
    double sum = 0.0;
    int status;

    a.x = input(bag, s[0]);
    a.sum = &sum;
    status = db_run(d, sum_squares, &a);
    *out = (float)sum;
    return status;
}

static const struct test_case cases[] = {
    {"gemm", run_gemm, {1, 1, 1, 1, 0, 0, 0, 0, 0}, 1e-6},
    {"gemm odd", run_gemm, {3, 13, 17, 19, 0, 0, 1, 0, 0}, 1e-6},
    {"gemm a'", run_gemm, {2, 7, 31, 5, 1, 0, 0, 5, 3}, 1e-6},
    {"gemm b'", run_gemm, {3, 29, 11, 37, 0, 1, 1, 10, 1}, 1e-6},
    {"gemm a'b'", run_gemm, {1, 23, 3, 41, 1, 1, 1, 5, 2}, 1e-6},
    {"gemm tiles", run_gemm, {1, 521, 307, 431, 0, 1, 1, 0, 0}, 1e-5},
    {"gemm tiles a'", run_gemm, {2, 283, 619, 211, 1, 0, 0, 10, 5}, 1e-5},
    {"gemm long a'", run_gemm, {2, 45, 83, 1237, 1, 0, 0, 5, 3}, 5e-6},
    {"gemm 77 rows", run_gemm, {2, 77, 157, 331, 0, 1, 1, 0, 3}, 2e-6},
    {"gemm wide a'", run_gemm, {1, 401, 37, 53, 1, 0, 1, 0, 0}, 2e-6},
    {"gemm far a'", run_gemm, {1, 45, 83, 437, 1, 0, 0, 5, 300}, 2e-6},
    {"gemm wide b", run_gemm, {1, 19, 1103, 370, 0, 0, 1, 5, 2}, 2e-6},
    {"gemm wider b", run_gemm, {1, 45, 1103, 370, 0, 0, 1, 5, 2}, 1e-5},
    {"gemm long rows", run_gemm, {1, 17, 37, 2111, 0, 1, 1, 0, 0}, 5e-6},
    {"gemm 16 rows", run_gemm, {1, 16, 401, 64, 0, 1, 0, 0, 0}, 2e-6},
    {"gemm few rows", run_gemm, {2, 7, 67, 331, 0, 1, 0, 3, 1}, 2e-6},
    {"gemm a row", run_gemm, {1, 1, 67, 331, 0, 1, 1, 0, 0}, 2e-6},
    {"gemm 3 rows", run_gemm, {1, 3, 301, 1283, 0, 1, 0, 3, 1}, 2e-6},
    {"gemm no k", run_gemm, {1, 3, 5, 0, 0, 0, 1, 0, 0}, 1e-6},
    {"gemm nothing", run_gemm, {1, 0, 5, 3, 0, 0, 1, 0, 0}, 1e-6},

    {"conv 1 pixel", run_conv, {1, 1, 1, 3, 5, 3, 1, 1, 1, 1, 1, 1}, 1e-6},
    {"conv", run_conv, {3, 7, 5, 11, 13, 3, 1, 1, 1, 1, 1, 1}, 2e-6},
    {"conv s2", run_conv, {2, 9, 6, 7, 5, 3, 2, 0, 1, 0, 1, 1}, 2e-6},
    {"conv s2 sym", run_conv, {3, 11, 8, 5, 3, 3, 2, 1, 1, 1, 1, 0}, 2e-6},
    {"conv 1x1", run_conv, {3, 5, 7, 17, 19, 1, 1, 0, 0, 0, 0, 1}, 2e-6},
    {"conv 1x1 s2", run_conv, {1, 5, 7, 3, 2, 1, 2, 0, 0, 0, 0, 1}, 2e-6},
    {"conv 5 s3", run_conv, {1, 17, 14, 3, 2, 5, 3, 2, 1, 0, 4, 1}, 2e-6},
    {"conv few pixels", run_conv, {1, 4, 5, 35, 67, 3, 1, 1, 1, 1, 1, 1}, 2e-6},
    {"conv bands", run_conv, {1, 1401, 300, 1, 1, 3, 8, 1, 1, 1, 1, 1}, 3e-6},
    {"conv bands batch",
     run_conv,
     {2, 601, 301, 3, 1, 3, 4, 0, 1, 0, 1, 0},
     3e-6},
    {"conv squares", run_conv, {2, 37, 30, 48, 80, 3, 1, 1, 1, 1, 1, 1}, 1e-5},
    {"conv squares pads",
     run_conv,
     {1, 41, 33, 64, 32, 3, 1, 2, 0, 1, 2, 0},
     1e-5},
    {"conv squares tiles",
     run_conv,
     {1, 77, 63, 352, 48, 3, 1, 1, 1, 1, 1, 1},
     1e-5},
    {"conv many squares",
     run_conv,
     {2, 49, 46, 32, 48, 3, 1, 2, 0, 1, 2, 1},
     1e-5},
    {"conv 6 squares",
     run_conv,
     {1, 9, 7, 160, 176, 3, 1, 1, 1, 1, 1, 1},
     1e-5},
    {"conv few channels",
     run_conv,
     {2, 37, 29, 40, 4, 3, 1, 2, 0, 1, 2, 1},
     2e-6},
    {"conv few channels bands",
     run_conv,
     {1, 71, 601, 32, 3, 3, 1, 1, 1, 1, 1, 0},
     1e-5},
    {"conv tiles", run_conv, {1, 37, 29, 131, 67, 3, 1, 1, 1, 1, 1, 1}, 1e-5},

    {"data 1 pixel", run_conv_data, {1, 1, 1, 3, 5, 3, 1, 1, 1, 1, 1, 0}, 1e-6},
    {"data", run_conv_data, {3, 7, 5, 11, 13, 3, 1, 1, 1, 1, 1, 0}, 2e-6},
    {"data s2", run_conv_data, {2, 9, 6, 7, 5, 3, 2, 0, 1, 0, 1, 0}, 2e-6},
    {"data s2 sym", run_conv_data, {3, 11, 8, 5, 3, 3, 2, 1, 1, 1, 1, 0}, 2e-6},
    {"data 1x1", run_conv_data, {3, 5, 7, 17, 19, 1, 1, 0, 0, 0, 0, 0}, 2e-6},
    {"data 1x1 s2", run_conv_data, {1, 5, 7, 3, 2, 1, 2, 0, 0, 0, 0, 0}, 2e-6},
    {"data 5 s3", run_conv_data, {1, 17, 14, 3, 2, 5, 3, 2, 1, 0, 4, 0}, 2e-6},
    {"data squares",
     run_conv_data,
     {2, 37, 30, 48, 80, 3, 1, 1, 1, 1, 1, 0},
     1e-5},
    {"data squares pads",
     run_conv_data,
     {1, 41, 33, 64, 32, 3, 1, 2, 0, 1, 2, 0},
     1e-5},
    {"data a square",
     run_conv_data,
     {1, 3, 4, 384, 368, 3, 1, 1, 1, 1, 1, 0},
     1e-5},
    {"data many squares",
     run_conv_data,
     {2, 49, 46, 48, 32, 3, 1, 1, 1, 1, 1, 0},
     1e-5},
    {"data 6 squares",
     run_conv_data,
     {1, 9, 7, 176, 160, 3, 1, 1, 1, 1, 1, 0},
     1e-5},
    {"data tiles",
     run_conv_data,
     {1, 37, 29, 131, 67, 3, 1, 1, 1, 1, 1, 0},
     1e-5},
    {"data tiles wide",
     run_conv_data,
     {1, 5, 6, 969, 70, 3, 1, 1, 1, 1, 1, 0},
     1e-5},

    {"weight 1 pixel",
     run_conv_weight,
     {1, 1, 1, 3, 5, 3, 1, 1, 1, 1, 1, 1},
     1e-6},
    {"conv weight 1x1",
     run_conv_weight,
     {13, 9, 7, 21, 37, 1, 1, 0, 0, 0, 0, 1},
     5e-6},
    {"conv weight 1x1 new",
     run_conv_weight,
     {13, 9, 7, 21, 37, 1, 1, 0, 0, 0, 0, 1, 1},
     5e-6},
    {"weight", run_conv_weight, {3, 7, 5, 11, 13, 3, 1, 1, 1, 1, 1, 1}, 2e-6},
    {"weight s2", run_conv_weight, {2, 9, 6, 7, 5, 3, 2, 0, 1, 0, 1, 0}, 2e-6},
    {"weight 1x1",
     run_conv_weight,
     {3, 5, 7, 17, 19, 1, 1, 0, 0, 0, 0, 1},
     2e-6},
    {"weight 5 s3",
     run_conv_weight,
     {1, 17, 14, 3, 2, 5, 3, 2, 1, 0, 4, 1},
     2e-6},
    {"weight one strip",
     run_conv_weight,
     {2, 6, 9, 16, 16, 3, 1, 1, 1, 1, 1, 1},
     2e-6},
    {"weight batch",
     run_conv_weight,
     {13, 5, 4, 33, 18, 3, 1, 2, 0, 0, 1, 1},
     2e-6},
    {"weight 5", run_conv_weight, {5, 9, 8, 32, 35, 5, 1, 0, 2, 3, 1, 1}, 2e-6},
    {"weight batch 4 s2",
     run_conv_weight,
     {33, 9, 10, 6, 17, 4, 2, 1, 3, 2, 0, 1},
     2e-6},
    {"weight tall",
     run_conv_weight,
     {1, 65, 7, 20, 50, 3, 1, 1, 1, 1, 1, 1},
     2e-6},
    {"weight parts tiles",
     run_conv_weight,
     {7, 13, 33, 17, 160, 3, 1, 1, 1, 1, 1, 1},
     5e-6},
    {"weight images tiles",
     run_conv_weight,
     {25, 17, 15, 36, 48, 3, 1, 1, 0, 0, 1, 1, 1},
     5e-6},
    {"weight tiles",
     run_conv_weight,
     {1, 37, 29, 131, 67, 3, 1, 1, 1, 1, 1, 1},
     1e-5},

    {"weight squares",
     run_conv_weight,
     {2, 37, 30, 48, 80, 3, 1, 1, 1, 1, 1, 1},
     1e-5},
    {"weight squares pads",
     run_conv_weight,
     {1, 41, 33, 64, 160, 3, 1, 2, 0, 1, 2, 0},
     1e-5},

    {"first weight",
     run_conv_weight,
     {3, 7, 5, 11, 13, 3, 1, 1, 1, 1, 1, 1, 1},
     2e-6},
    {"first weight 1x1",
     run_conv_weight,
     {3, 5, 7, 17, 19, 1, 1, 0, 0, 0, 0, 1, 1},
     2e-6},
    {"first weight tiles",
     run_conv_weight,
     {1, 37, 29, 131, 67, 3, 1, 1, 1, 1, 1, 1, 1},
     1e-5},
    {"first weight squares",
     run_conv_weight,
     {2, 9, 7, 112, 144, 3, 1, 1, 1, 1, 1, 1, 1},
     1e-5},

    {"group norm", run_group_norm, {3, 35, 12, 4, 0, 7}, 2e-6},
    {"group norm silu", run_group_norm, {3, 35, 12, 4, 0, 15}, 2e-6},
    {"group norm silu wide", run_group_norm, {2, 301, 330, 3, 0, 15}, 3e-6},
    {"group norm silu in place", run_group_norm, {2, 133, 37, 37, 1, 31}, 4e-6},
    {"group norm 1 pixel", run_group_norm, {1, 1, 15, 3, 0, 7}, 2e-6},
    {"group norm only dx", run_group_norm, {2, 301, 70, 7, 0, 1}, 3e-6},
    {"group norm only dbias", run_group_norm, {2, 131, 6, 3, 0, 4}, 2e-6},
    {"group norm offset", run_group_norm, {2, 137, 66, 3, 500, 7}, 2e-4},
    {"layer norm", run_layer_norm, {37, 67, 0, 7}, 2e-6},
    {"layer norm in place", run_layer_norm, {37, 67, 0, 15}, 2e-6},
    {"layer norm 1", run_layer_norm, {1, 3, 0, 7}, 2e-6},
    {"layer norm no dx", run_layer_norm, {131, 13, 0, 2}, 2e-6},
    {"layer norm offset", run_layer_norm, {7, 129, 500, 7}, 2e-4},

    {"attention", run_attention, {3, 2, 13, 7, 5, 0, 1}, 3e-6},
    {"attention 1", run_attention, {1, 1, 1, 1, 1, 0, 1}, 3e-6},
    {"attention causal", run_attention, {2, 3, 17, 17, 8, 1, 1}, 3e-6},
    {"attention causal short", run_attention, {1, 2, 5, 19, 3, 1, 1}, 3e-6},
    {"attention causal long", run_attention, {1, 1, 19, 5, 3, 1, 1}, 3e-6},
    {"attention gain", run_attention, {1, 2, 31, 29, 16, 0, 20}, 1e-4},
    {"attention 40", run_attention, {1, 1, 33, 161, 40, 0, 1}, 3e-6},
    {"attention 48", run_attention, {1, 1, 9, 97, 48, 0, 1}, 3e-6},
    {"attention 64", run_attention, {1, 1, 9, 129, 64, 0, 1}, 3e-6},
    {"attention 80", run_attention, {1, 1, 9, 101, 80, 0, 1}, 3e-6},
    {"attention tiles", run_attention, {1, 2, 307, 601, 7, 0, 3}, 5e-6},
    {"attention heads", run_attention, {1, 9, 263, 521, 3, 0, 3}, 5e-6},
    {"attention tiles causal", run_attention, {1, 1, 547, 547, 9, 1, 2}, 5e-6},
    {"attention heads causal", run_attention, {4, 2, 300, 521, 5, 1, 2}, 5e-6},
    {"attention 40", run_attention, {2, 3, 45, 77, 40, 0, 1}, 3e-6},
    {"attention 53 causal", run_attention, {2, 2, 150, 170, 53, 1, 1}, 3e-6},
    {"attention 72", run_attention, {1, 4, 33, 24, 72, 0, 1}, 3e-6},
    {"attention 200", run_attention, {1, 1, 270, 29, 200, 0, 1}, 5e-6},
    {"attention tiles long", run_attention, {1, 4, 2061, 61, 17, 0, 1}, 5e-6},
    {"attention tiles wide", run_attention, {1, 2, 300, 1030, 65, 0, 1}, 2e-5},

    {"softmax", run_softmax, {17, 13}, 1e-6},
    {"softmax 1", run_softmax, {5, 1}, 1e-6},
    {"softmax wide", run_softmax, {37, 1009}, 1e-6},
    {"silu", run_unary, {DREAMBOOTH_SILU, 70001, 0}, 4e-7},
    {"silu in place", run_unary, {DREAMBOOTH_SILU, 1009, 1}, 4e-7},
    {"gelu", run_unary, {DREAMBOOTH_GELU, 3001, 0}, 4e-7},
    {"gelu in place", run_unary, {DREAMBOOTH_GELU, 7, 1}, 4e-7},
    {"gelu tanh", run_unary, {DREAMBOOTH_GELU_TANH, 3001, 0}, 4e-7},
    {"quick gelu", run_unary, {DREAMBOOTH_QUICK_GELU, 3001, 1}, 4e-7},
    {"geglu", run_geglu, {13, 7}, 4e-7},
    {"geglu wide", run_geglu, {31, 2003}, 4e-7},
    {"axpby", run_axpby, {70001, 1, 0}, 1e-7},
    {"axpby beta 0", run_axpby, {13, 0, 0}, 1e-7},
    {"axpby in place", run_axpby, {1009, 1, 1}, 1e-7},
    {"rows", run_rows, {3, 7, 13, 0}, 1e-6},
    {"rows in place", run_rows, {2, 131, 301, 1}, 1e-6},
    {"rows many", run_rows, {1, 5003, 70, 0}, 1e-6},
    {"copy", run_copy, {131, 301, 307, 311}, 0.0},
    {"upsample", run_upsample, {2, 3, 5, 6, 10, 7}, 1e-6},
    {"upsample odd", run_upsample, {3, 3, 4, 5, 7, 3}, 1e-6},
    {"pool", run_pool, {3, 5, 7, 2, 3, 4}, 1e-6},
    {"embedding", run_embedding, {23, 7, 5}, 1e-6},
    {"mse", run_mse, {3, 10007, 1}, 1e-6},
    {"mse unweighted", run_mse, {1, 70001, 0}, 1e-6},
    {"adamw", run_adamw, {70001, 1, 9}, 0.0},
    {"adamw beta", run_adamw, {1009, 7, 3}, 0.0},
    {"squares", run_squares, {140003}, 1e-7},
    {"narrow", run_narrow, {70001, 0}, 1e-7},
    {"narrow add", run_narrow, {1009, 1}, 1e-7},
    {"adamw narrow", run_narrow_adamw, {20001, 3, 15}, 0.0},
    {"adamw narrow v", run_narrow_adamw, {1009, 1, 8}, 0.0},
    {"adamw narrow m", run_narrow_adamw, {1009, 2, 4}, 0.0},
    {"adamw narrow weight", run_narrow_adamw, {1009, 900, 2}, 0.0},
    {"adamw narrow gradient", run_narrow_adamw, {255, 900, 1}, 0.0},
};

static void open_device(struct db_env *env, struct db_device *device,
                        int threads, const dreambooth_backend *table)
{
    struct db_pool *pool = NULL;

    ck_assert_int_eq(db_pool_new(env, threads, &pool), DREAMBOOTH_OK);
    db_device_init(device, env, pool, table);
}

static void run_case(const struct test_case *c, struct db_device *device,
                     struct bag *bag)
{
    int status;

    empty(bag);
    status = c->run(device, bag, c->shape);
    ck_assert_msg(status == DREAMBOOTH_OK, "%s: %s", c->name,
                  device->env->error_text);
}

/* Valgrind and emulators would take minutes for the large ones. */
static bool is_skipped(const struct test_case *c)
{
    static const char *const large[] = {"conv squares", "data squares",
                                        "conv many squares",
                                        "data many squares", "attention heads"};
    bool is_large = strstr(c->name, "tiles") != NULL;
    size_t i;

    for (i = 0; i < DB_COUNT(large); i++)
        is_large = is_large || strcmp(c->name, large[i]) == 0;
    return unit_is_quick() && is_large;
}

static void compare(const struct test_case *c, double tolerance,
                    const struct bag *want, const struct bag *got,
                    const char *backend)
{
    int s;
    int64_t i;

    for (s = 0; s < want->segments; s++) {
        /* Rounded factors leave something of differences that cancel. */
        double largest = tolerance > 1e-5 ? 0.1 : 1e-3;

        for (i = 0; i < want->counts[s]; i++)
            largest = fmax(largest, fabs((double)want->values[s][i]));
        for (i = 0; i < want->counts[s]; i++) {
            double apart =
                fabs((double)want->values[s][i] - (double)got->values[s][i]);

            unit_assert_msg(apart <= tolerance * largest,
                            "%s of %s, output %d [%lld]: %.9g, reference %.9g, "
                            "largest %.3g",
                            c->name, backend, s, (long long)i,
                            (double)got->values[s][i],
                            (double)want->values[s][i], largest);
        }
    }
}

/*
 * Tiles of bfloat16, which the simd backend takes by processor, precision and
 * size: here every isa that this processor has takes all cases, in every number
 * of parts.
 */
struct tiles {
    const struct db_bf16_isa *isa;
    int parts;
    double factor; /* on tolerances */
};

#define TILES_SLOT(name, arguments)                                            \
    static int tiles_##name(const dreambooth_kernel_host *host,                \
                            const arguments *a)                                \
    {                                                                          \
        const struct tiles *tiles = host->user;                                \
                                                                               \
        return db_bf16_##name(host, tiles->isa, tiles->parts, a);              \
    }
TILES_SLOT(gemm, dreambooth_gemm)
TILES_SLOT(conv2d_forward, dreambooth_conv2d)
TILES_SLOT(conv2d_backward_data, dreambooth_conv2d)
TILES_SLOT(conv2d_backward_weight, dreambooth_conv2d)
TILES_SLOT(attention_forward, dreambooth_attention)
TILES_SLOT(attention_backward, dreambooth_attention)

static dreambooth_backend with_tiles(const struct tiles *tiles)
{
    dreambooth_backend table = db_backend_reference;

    table.name = "tiles";
    table.user = (void *)tiles;
    table.gemm = tiles_gemm;
    table.conv2d_forward = tiles_conv2d_forward;
    table.conv2d_backward_data = tiles_conv2d_backward_data;
    table.conv2d_backward_weight = tiles_conv2d_backward_weight;
    table.attention_forward = tiles_attention_forward;
    table.attention_backward = tiles_attention_backward;
    return table;
}

#define SIMD 2 /* its place among the backends */

/* The backends that are tested, by number; where time is short, the same code
 * for other processors is not among them. */
static const dreambooth_backend *tested(size_t index)
{
    return unit_is_quick() && index > SIMD ? NULL : db_backend_at(index);
}

/* Where a test begins: where time is short, with the newest of the three. */
static size_t begin_with(size_t usual)
{
    return unit_is_quick() ? SIMD : usual;
}

START_TEST(all_agree_with_reference)
{
    struct db_env env;
    struct db_device reference;
    struct db_device other;
    struct bag want = {0};
    struct bag got = {0};
    const dreambooth_backend *table;
    size_t i, t;

    db_env_init(&env);
    open_device(&env, &reference, 1, &db_backend_reference);
    open_device(&env, &other, 2, &db_backend_reference);
    for (i = 0; i < DB_COUNT(cases); i++) {
        if (is_skipped(&cases[i]))
            continue;
        run_case(&cases[i], &reference, &want);
        for (t = 0; (table = tested(t)) != NULL; t++) {
            db_device_init(&other, &env, other.pool, table);
            run_case(&cases[i], &other, &got);
            compare(&cases[i], cases[i].tolerance, &want, &got, table->name);
        }
    }
    empty(&want);
    empty(&got);
    db_pool_free(other.pool);
    db_pool_free(reference.pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

static bool is_product(const struct test_case *c)
{
    return c->run == run_gemm || c->run == run_conv ||
           c->run == run_conv_data || c->run == run_conv_weight ||
           c->run == run_attention;
}

/* Padding as wide as the kernel is not for tiles. */
static bool is_for_tiles(const struct test_case *c)
{
    const bool is_conv =
        is_product(c) && c->run != run_gemm && c->run != run_attention;
    const int64_t *pads = c->shape + 7;

    return is_product(c) &&
           (!is_conv || (pads[0] < c->shape[5] && pads[1] < c->shape[5] &&
                         pads[2] < c->shape[5] && pads[3] < c->shape[5]));
}

/* All isas but the fastest take the large cases in one part only, and plain
 * tiles, which are for all machines and slow, none. */
static bool is_slow(const struct tiles *tiles, const struct test_case *c)
{
    const bool is_large = strstr(c->name, "tiles") != NULL ||
                          strstr(c->name, "squares") != NULL ||
                          strstr(c->name, "bands") != NULL ||
                          strstr(c->name, "heads") != NULL;

    return is_large && (tiles->isa == &db_bf16_plain ||
                        (tiles->isa != db_bf16_isa_at(0) && tiles->parts > 1));
}

/* What TILES make of a case is as near to WANT as its parts allow, and the same
 * bits on 3 threads. */
static void check_tiles(const struct test_case *c, const struct tiles *tiles,
                        const struct bag *want, struct db_device *one,
                        struct db_device *three)
{
    const dreambooth_backend table = with_tiles(tiles);
    struct bag got = {0}, again = {0};
    int s;

    db_device_init(one, one->env, one->pool, &table);
    db_device_init(three, three->env, three->pool, &table);
    run_case(c, one, &got);
    run_case(c, three, &again);
    compare(c, c->tolerance * tiles->factor, want, &got, "tiles");
    for (s = 0; s < got.segments; s++)
        ck_assert_msg(memcmp(got.values[s], again.values[s],
                             (size_t)got.counts[s] * sizeof(float)) == 0,
                      "%s differs on 3 threads, output %d", c->name, s);
    empty(&got);
    empty(&again);
}

START_TEST(tiles_agree_with_reference)
{
    static const double factors[] = {1e4, 30.0, 3.0};
    struct db_env env;
    struct db_device reference, one, three;
    struct bag want = {0};
    size_t i, n;

    db_env_init(&env);
    open_device(&env, &reference, 1, &db_backend_reference);
    open_device(&env, &one, 1, &db_backend_reference);
    open_device(&env, &three, 3, &db_backend_reference);
    for (i = 0; i < DB_COUNT(cases); i++) {
        if (!is_for_tiles(&cases[i]) || is_skipped(&cases[i]))
            continue;
        run_case(&cases[i], &reference, &want);
        for (n = 0; db_bf16_isa_at(n / 3) != NULL; n++) {
            const struct tiles tiles = {db_bf16_isa_at(n / 3), 1 + (int)n % 3,
                                        factors[n % 3]};

            if (!is_slow(&tiles, &cases[i]) &&
                (!unit_is_quick() || tiles.parts == 2))
                check_tiles(&cases[i], &tiles, &want, &one, &three);
        }
    }
    empty(&want);
    db_pool_free(three.pool);
    db_pool_free(one.pool);
    db_pool_free(reference.pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

#define FAR_QUERIES 33
#define FAR_KEYS 168
#define FAR_SIZE 16
#define FAR_KEY 70 /* in a later unit than the first */

/* What attention makes of FAR_KEY's value, 1 where others have 0, when its
 * score is SCORE and the others' are 0. */
static float share_of_far_key(struct db_device *device, float score)
{
    static float q[FAR_QUERIES * FAR_SIZE], k[FAR_KEYS * FAR_SIZE];
    static float v[FAR_KEYS * FAR_SIZE], y[FAR_QUERIES * FAR_SIZE];
    static float lse[FAR_QUERIES];
    const dreambooth_attention a = {.batch = 1,
                                    .heads = 1,
                                    .query_length = FAR_QUERIES,
                                    .key_length = FAR_KEYS,
                                    .head_size = FAR_SIZE,
                                    .scale = 1.0f,
                                    .q = q,
                                    .k = k,
                                    .v = v,
                                    .y = y,
                                    .lse = lse};
    int i;

    for (i = 0; i < FAR_QUERIES; i++)
        q[i * FAR_SIZE] = 1.0f;
    k[FAR_KEY * FAR_SIZE] = score;
    v[FAR_KEY * FAR_SIZE] = 1.0f;
    ck_assert_int_eq(db_run(device, attention_forward, &a), DREAMBOOTH_OK);
    return y[(FAR_QUERIES - 1) * FAR_SIZE];
}

/* Scores far from those of the first keys, and such that are no numbers. */
START_TEST(tiles_meet_far_scores)
{
    struct db_env env;
    struct db_device device;
    size_t n;

    db_env_init(&env);
    open_device(&env, &device, 1, &db_backend_reference);
    for (n = 0; db_bf16_isa_at(n / 3) != NULL; n++) {
        const struct tiles tiles = {db_bf16_isa_at(n / 3), 1 + (int)n % 3, 1.0};
        const dreambooth_backend table = with_tiles(&tiles);

        db_device_init(&device, &env, device.pool, &table);
        ck_assert_float_eq_tol(share_of_far_key(&device, 0.0f), 1.0f / FAR_KEYS,
                               1e-5f);
        ck_assert_float_eq_tol(share_of_far_key(&device, 40.0f), 1.0f, 1e-6f);
        ck_assert_float_eq_tol(share_of_far_key(&device, 128.0f), 1.0f, 1e-6f);
        ck_assert_float_eq_tol(share_of_far_key(&device, 1e9f), 1.0f, 1e-6f);
        ck_assert_float_eq_tol(share_of_far_key(&device, -60.0f), 0.0f, 1e-15f);
        ck_assert_float_eq_tol(share_of_far_key(&device, -1e9f), 0.0f, 1e-15f);
        ck_assert(isnan(share_of_far_key(&device, NAN)));
        ck_assert(isnan(share_of_far_key(&device, -NAN)));
        ck_assert(isnan(share_of_far_key(&device, INFINITY)));
    }
    db_pool_free(device.pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

#define ABSENT_QUERIES 40
#define ABSENT_KEYS 77 /* no whole number of tiles */
#define ABSENT_SIZE 40

static void fill(float *x, int64_t count, float value)
{
    int64_t i;

    for (i = 0; i < count; i++)
        x[i] = value;
}

/* The largest of dq where all scores are alike and far below 0: it is 0, for
 * the values are alike, too. */
static float slope_of_low_scores(struct db_device *device)
{
    static float q[3][ABSENT_QUERIES * ABSENT_SIZE], lse[ABSENT_QUERIES];
    static float k[2][ABSENT_KEYS * ABSENT_SIZE];
    static float slopes[3][ABSENT_KEYS * ABSENT_SIZE];
    const dreambooth_attention a = {.batch = 1,
                                    .heads = 1,
                                    .query_length = ABSENT_QUERIES,
                                    .key_length = ABSENT_KEYS,
                                    .head_size = ABSENT_SIZE,
                                    .scale = 0.16f,
                                    .q = q[0],
                                    .k = k[0],
                                    .v = k[1],
                                    .y = q[1],
                                    .lse = lse,
                                    .dy = q[2],
                                    .dq = slopes[0],
                                    .dk = slopes[1],
                                    .dv = slopes[2]};
    float most = 0.0f;
    int i;

    fill(q[0], ABSENT_QUERIES * ABSENT_SIZE, 10.0f);
    fill(q[2], ABSENT_QUERIES * ABSENT_SIZE, 1.0f);
    fill(k[0], ABSENT_KEYS * ABSENT_SIZE, -10.0f);
    fill(k[1], ABSENT_KEYS * ABSENT_SIZE, 1.0f);
    ck_assert_int_eq(db_run(device, attention_forward, &a), DREAMBOOTH_OK);
    ck_assert_int_eq(db_run(device, attention_backward, &a), DREAMBOOTH_OK);
    for (i = 0; i < ABSENT_QUERIES * ABSENT_SIZE; i++)
        most =
            fmaxf(most, isnan(slopes[0][i]) ? INFINITY : fabsf(slopes[0][i]));
    return most;
}

/* Keys that only fill up a tile have no weight, however low the others are. */
START_TEST(tiles_leave_absent_keys_out)
{
    struct db_env env;
    struct db_device device;
    size_t n;

    db_env_init(&env);
    open_device(&env, &device, 1, &db_backend_reference);
    for (n = 0; db_bf16_isa_at(n / 3) != NULL; n++) {
        const struct tiles tiles = {db_bf16_isa_at(n / 3), 1 + (int)n % 3, 1.0};
        const dreambooth_backend table = with_tiles(&tiles);

        db_device_init(&device, &env, device.pool, &table);
        ck_assert_float_le(slope_of_low_scores(&device), 1e-3f);
    }
    db_pool_free(device.pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

static void check_bits(const dreambooth_backend *table)
{
    const int most = unit_is_quick() ? 3 : 7;
    struct db_env env;
    struct db_device device;
    struct bag want[DB_COUNT(cases)];
    struct bag got = {0};
    int threads;
    size_t i;
    int s;

    memset(want, 0, sizeof(want));
    db_env_init(&env);
    for (threads = 1; threads <= most; threads += unit_is_quick() ? 2 : 1) {
        open_device(&env, &device, threads, table);
        for (i = 0; i < DB_COUNT(cases); i++) {
            if (is_skipped(&cases[i]))
                continue;
            run_case(&cases[i], &device, threads == 1 ? &want[i] : &got);
            for (s = 0; threads > 1 && s < got.segments; s++)
                ck_assert_msg(memcmp(want[i].values[s], got.values[s],
                                     (size_t)got.counts[s] * sizeof(float)) ==
                                  0,
                              "%s of %s differs on %d threads, output %d",
                              cases[i].name, table->name, threads, s);
        }
        db_pool_free(device.pool);
    }
    empty(&got);
    for (i = 0; i < DB_COUNT(cases); i++)
        empty(&want[i]);
}

START_TEST(threads_give_the_same_bits)
{
    const dreambooth_backend *table;
    size_t t;

    for (t = begin_with(1); (table = tested(t)) != NULL; t++)
        check_bits(table);
}
END_TEST

/* An allocator whose calls fail from a chosen one on. */
struct failing {
    int left;
    bool failed;
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
    if (failing->left-- <= 0) {
        failing->failed = true;
        return NULL;
    }
    return realloc(pointer, size);
}

static void check_failures(const struct test_case *c, struct db_device *device,
                           struct failing *failing)
{
    struct bag bag = {0};
    int status;
    int n;

    for (n = 0;; n++) {
        uint64_t before = atomic_load(&device->env->live_bytes);

        empty(&bag);
        failing->left = n;
        failing->failed = false;
        device->env->error_status = DREAMBOOTH_OK;
        status = c->run(device, &bag, c->shape);
        if (!failing->failed)
            break;
        ck_assert_uint_le(atomic_load(&device->env->live_bytes), before);
        ck_assert_msg(status == DREAMBOOTH_ENOMEM, "%s: status %d", c->name,
                      status);
        ck_assert_int_eq(device->env->error_status, DREAMBOOTH_ENOMEM);
    }
    ck_assert_int_eq(status, DREAMBOOTH_OK);
    empty(&bag);
}

START_TEST(no_memory_is_an_error)
{
    const dreambooth_backend *table;
    struct failing failing = {1000, false};
    struct db_env env;
    struct db_device device;
    size_t t;
    size_t i;

    for (t = begin_with(0); (table = tested(t)) != NULL; t++) {
        db_env_init(&env);
        env.resize = failing_resize;
        env.resize_user = &failing;
        failing.left = 1000;
        open_device(&env, &device, 2, table);
        for (i = 0; i < DB_COUNT(cases); i++)
            if (!is_skipped(&cases[i]))
                check_failures(&cases[i], &device, &failing);
        db_pool_free(device.pool);
    }
}
END_TEST

static float one_unary(struct db_device *device, int32_t activation, float x)
{
    float y = 0.0f;
    dreambooth_unary a = {
        .activation = activation, .count = 1, .x = &x, .y = &y};

    ck_assert_int_eq(db_run(device, unary_forward, &a), DREAMBOOTH_OK);
    return y;
}

START_TEST(activations_have_limits)
{
    const dreambooth_backend *table;
    struct db_env env;
    struct db_device device;
    int32_t f;
    size_t t;

    for (t = 0; (table = tested(t)) != NULL; t++) {
        db_env_init(&env);
        open_device(&env, &device, 1, table);
        for (f = DREAMBOOTH_SILU; f <= DREAMBOOTH_QUICK_GELU; f++) {
            ck_assert(one_unary(&device, f, -INFINITY) == 0.0f);
            ck_assert(one_unary(&device, f, INFINITY) == INFINITY);
            ck_assert(one_unary(&device, f, 0.0f) == 0.0f);
            ck_assert(isnan(one_unary(&device, f, NAN)));
            ck_assert(fabsf(one_unary(&device, f, -1e4f)) < 1e-6f);
            ck_assert(one_unary(&device, f, 1e4f) == 1e4f);
        }
        db_pool_free(device.pool);
    }
}
END_TEST

START_TEST(unknown_activation_is_refused)
{
    float x = 1.0f;
    float y = 7.0f;
    dreambooth_unary a = {.activation = 99, .count = 1, .x = &x, .y = &y};
    struct db_env env;
    struct db_device device;

    db_env_init(&env);
    open_device(&env, &device, 1, &db_backend_blas);
    ck_assert_int_eq(db_run(&device, unary_forward, &a), DREAMBOOTH_EINVAL);
    ck_assert_ptr_nonnull(strstr(env.error_text, "unary_forward"));
    ck_assert_ptr_nonnull(strstr(env.error_text, "blas"));
    ck_assert(y == 7.0f);
    db_pool_free(device.pool);
}
END_TEST

START_TEST(tables_are_complete)
{
    const dreambooth_backend *table;
    size_t t;
    size_t at;

    for (t = 0; (table = tested(t)) != NULL; t++)
        for (at = offsetof(dreambooth_backend, gemm);
             at < sizeof(dreambooth_backend); at += sizeof(void (*)(void))) {
            void (*slot)(void);

            memcpy(&slot, (const char *)table + at, sizeof(slot));
            ck_assert_msg(slot != NULL, "%s: slot at %zu", table->name, at);
        }
}
END_TEST

static int no_copy(const dreambooth_kernel_host *host, const dreambooth_copy *a)
{
    (void)host;
    (void)a;
    return 5;
}

static int user_is_seven(const dreambooth_kernel_host *host,
                         const dreambooth_softmax *a)
{
    (void)a;
    return host->user != NULL && *(const int *)host->user == 7
               ? DREAMBOOTH_OK
               : DREAMBOOTH_EINTERNAL;
}

static int user_is_null(const dreambooth_kernel_host *host,
                        const dreambooth_softmax *a)
{
    (void)a;
    return host->user == NULL ? DREAMBOOTH_OK : DREAMBOOTH_EINTERNAL;
}

START_TEST(merge_inherits)
{
    dreambooth_backend plugin = {.size = sizeof(plugin),
                                 .abi = DREAMBOOTH_BACKEND_ABI,
                                 .name = "mine",
                                 .copy = no_copy};
    struct db_kernels kernels = {.table = db_backend_blas};
    struct db_env env;

    db_env_init(&env);
    ck_assert_int_eq(db_backend_merge(&env, &plugin, &kernels), DREAMBOOTH_OK);
    ck_assert_str_eq(kernels.table.name, "mine");
    ck_assert(kernels.table.copy == no_copy);
    ck_assert(kernels.table.gemm == db_backend_blas.gemm);
    ck_assert(kernels.table.sum_squares == db_backend_blas.sum_squares);
    plugin.size = offsetof(dreambooth_backend, copy);
    kernels.table = db_backend_blas;
    ck_assert_int_eq(db_backend_merge(&env, &plugin, &kernels), DREAMBOOTH_OK);
    ck_assert(kernels.table.copy == db_backend_blas.copy);
    ck_assert_uint_eq(kernels.table.size, sizeof(kernels.table));
}
END_TEST

/* Each slot is given the user of the backend that it is from. */
START_TEST(merge_keeps_users)
{
    int seven = 7;
    const dreambooth_backend low = {.size = sizeof(low),
                                    .abi = DREAMBOOTH_BACKEND_ABI,
                                    .name = "low",
                                    .user = &seven,
                                    .softmax_forward = user_is_seven};
    const dreambooth_backend high = {.size = sizeof(high),
                                     .abi = DREAMBOOTH_BACKEND_ABI,
                                     .name = "high",
                                     .softmax_backward = user_is_null};
    const dreambooth_softmax a = {0};
    struct db_kernels kernels;
    struct db_env env;
    struct db_device device;

    db_env_init(&env);
    db_kernels_init(&kernels, &db_backend_blas);
    ck_assert_int_eq(db_backend_merge(&env, &low, &kernels), DREAMBOOTH_OK);
    ck_assert_int_eq(db_backend_merge(&env, &high, &kernels), DREAMBOOTH_OK);
    open_device(&env, &device, 1, &kernels.table);
    db_device_set_kernels(&device, &kernels);
    ck_assert_int_eq(db_run(&device, softmax_forward, &a), DREAMBOOTH_OK);
    ck_assert_int_eq(db_run(&device, softmax_backward, &a), DREAMBOOTH_OK);
    db_pool_free(device.pool);
}
END_TEST

/* What a kernel saw of a weight. */
struct seen {
    bool floats, bits;
};

static int see_gemm(const dreambooth_kernel_host *host,
                    const dreambooth_gemm *a)
{
    struct seen *seen = host->user;

    *seen = (struct seen){a->b != NULL, a->b_bf16 != NULL};
    return DREAMBOOTH_OK;
}

/* Features go with the slots that they were given with. */
START_TEST(merge_keeps_features)
{
    struct seen seen;
    const uint16_t one = 0x3f80;
    dreambooth_backend plugin = {.size = sizeof(plugin),
                                 .abi = DREAMBOOTH_BACKEND_ABI,
                                 .name = "mine",
                                 .user = &seen,
                                 .gemm = see_gemm};
    const dreambooth_backend over = {.size = sizeof(over),
                                     .abi = DREAMBOOTH_BACKEND_ABI,
                                     .name = "over",
                                     .copy = no_copy};
    const dreambooth_gemm a = {
        .batch = 1, .m = 1, .n = 1, .k = 1, .ldb = 1, .b_bf16 = &one};
    struct db_kernels kernels;
    struct db_device device;
    struct db_env env;
    uint32_t features;

    db_env_init(&env);
    for (features = 0; features <= DREAMBOOTH_READS_BFLOAT16; features++) {
        plugin.features = features;
        db_kernels_init(&kernels, &db_backend_blas);
        ck_assert_int_eq(db_backend_merge(&env, &plugin, &kernels),
                         DREAMBOOTH_OK);
        ck_assert_int_eq(db_backend_merge(&env, &over, &kernels),
                         DREAMBOOTH_OK);
        ck_assert_uint_eq(kernels.table.features, 0);
        open_device(&env, &device, 1, &db_backend_blas);
        db_device_set_kernels(&device, &kernels);
        ck_assert_int_eq(db_run(&device, gemm, &a), DREAMBOOTH_OK);
        ck_assert_int_eq(seen.bits, features == DREAMBOOTH_READS_BFLOAT16);
        ck_assert_int_eq(seen.floats, !seen.bits);
        db_pool_free(device.pool);
    }
}
END_TEST

START_TEST(merge_refuses)
{
    const dreambooth_backend good = {
        .size = sizeof(good), .abi = DREAMBOOTH_BACKEND_ABI, .name = "mine"};
    dreambooth_backend bad[4] = {good, good, good, good};
    struct db_kernels kernels = {.table = {.name = "untouched"}};
    struct db_env env;
    size_t i;

    db_env_init(&env);
    bad[0].size = 8;
    bad[1].abi = 77;
    bad[2].name = NULL;
    bad[3].name = "";
    for (i = 0; i < DB_COUNT(bad); i++) {
        ck_assert_int_eq(db_backend_merge(&env, &bad[i], &kernels),
                         DREAMBOOTH_EINVAL);
        ck_assert_int_eq(env.error_status, DREAMBOOTH_EINVAL);
        ck_assert_str_eq(kernels.table.name, "untouched");
    }
}
END_TEST

/* Rounds WEIGHT to bfloat16 in place; the upper halves are the result. */
static uint16_t *halves(struct bag *bag, const float *weight, int64_t count)
{
    uint16_t *bits = (uint16_t *)take(bag, count);
    int64_t i;

    for (i = 0; i < count; i++) {
        uint32_t whole;

        memcpy(&whole, &weight[i], sizeof(whole));
        bits[i] = (uint16_t)(whole >> 16);
        whole &= 0xffff0000u;
        memcpy((float *)(uintptr_t)&weight[i], &whole, sizeof(whole));
    }
    return bits;
}

static void same_bits(const float *x, const float *y, int64_t count,
                      const char *backend, const char *slot)
{
    ck_assert_msg(memcmp(x, y, (size_t)count * sizeof(*x)) == 0,
                  "%s of %s differs with a weight in bfloat16", slot, backend);
}

/* m, n, k, batch, transpose_b: y with floats and with halves of them. */
static void check_gemm_halves(struct db_device *d, const int64_t *s,
                              const char *backend)
{
    struct bag bag = {0};
    int64_t count = s[3] * s[0] * s[1];
    dreambooth_gemm a = {.m = s[0], .n = s[1], .k = s[2], .batch = s[3]};
    float *y;

    empty(&bag);
    a.alpha = 1.0f;
    a.transpose_b = (int)s[4];
    a.lda = a.k;
    a.ldb = (a.transpose_b ? a.k : a.n) + 3;
    a.ldc = a.n;
    a.a_step = a.m * a.k;
    a.b_step = (a.transpose_b ? a.n : a.k) * a.ldb + 5;
    a.c_step = a.m * a.n;
    a.a = input(&bag, a.batch * a.a_step);
    a.b = input(&bag, a.batch * a.b_step);
    a.b_bf16 = halves(&bag, a.b, a.batch * a.b_step);
    a.c = y = output(&bag, count);
    a.b = NULL;
    ck_assert_int_eq(db_run(d, gemm, &a), DREAMBOOTH_OK);
    a.b = bag.blocks[1];
    a.b_bf16 = NULL;
    a.c = output(&bag, count);
    ck_assert_int_eq(db_run(d, gemm, &a), DREAMBOOTH_OK);
    same_bits(y, a.c, count, backend, "gemm");
    empty(&bag);
}

/* Rows of a product have the same bits however many there are, and whether the
 * weight is floats or halves: with few rows the two sides change places. */
static void check_few_rows(const struct tiles *tiles, struct db_device *d,
                           float alpha)
{
    enum { M = 163, FEW = 77, N = 157, K = 331 };
    dreambooth_backend table = with_tiles(tiles);
    dreambooth_gemm a = {.batch = 1, .m = M, .n = N, .k = K};
    struct bag bag = {0};
    float *y;

    empty(&bag);
    table.features |= DREAMBOOTH_READS_BFLOAT16;
    db_device_init(d, d->env, d->pool, &table);
    a.alpha = alpha;
    a.transpose_b = 1;
    a.lda = a.ldb = K;
    a.ldc = N;
    a.a = input(&bag, M * K);
    a.b = input(&bag, N * K);
    a.b_bf16 = halves(&bag, a.b, N * K);
    a.bias = input(&bag, N);
    a.c = y = output(&bag, M * a.ldc);
    a.b = NULL;
    ck_assert_int_eq(db_run(d, gemm, &a), DREAMBOOTH_OK);
    a.m = FEW;
    a.c = output(&bag, FEW * a.ldc);
    ck_assert_int_eq(db_run(d, gemm, &a), DREAMBOOTH_OK);
    same_bits(y, a.c, FEW * a.ldc, "tiles", "few rows");
    a.b = bag.blocks[1];
    a.b_bf16 = NULL;
    a.c = output(&bag, FEW * a.ldc);
    ck_assert_int_eq(db_run(d, gemm, &a), DREAMBOOTH_OK);
    same_bits(y, a.c, FEW * a.ldc, "tiles", "few rows of floats");
    empty(&bag);
}

START_TEST(few_rows_keep_their_bits)
{
    struct db_device device;
    struct db_env env;
    size_t n;

    db_env_init(&env);
    open_device(&env, &device, 2, &db_backend_reference);
    for (n = 0; db_bf16_isa_at(n / 3) != NULL; n++) {
        const struct tiles tiles = {db_bf16_isa_at(n / 3), 1 + (int)n % 3, 1.0};

        check_few_rows(&tiles, &device, 1.0f);
        check_few_rows(&tiles, &device, 0.7f);
    }
    db_pool_free(device.pool);
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

static void check_conv_halves(struct db_device *d, const int64_t *s,
                              const char *backend)
{
    struct bag bag = {0};
    dreambooth_conv2d a, b;
    int64_t outputs, inputs = s[0] * s[1] * s[2] * s[3];

    empty(&bag);
    conv_arguments(&bag, s, &a);
    outputs = s[0] * a.out_height * a.out_width * s[4];
    b = a;
    b.weight = NULL;
    b.weight_bf16 = halves(&bag, a.weight, s[4] * s[5] * s[5] * s[3]);
    a.y = output(&bag, outputs);
    b.y = output(&bag, outputs);
    a.dx = output(&bag, inputs);
    b.dx = output(&bag, inputs);
    ck_assert_int_eq(db_run(d, conv2d_forward, &a), DREAMBOOTH_OK);
    ck_assert_int_eq(db_run(d, conv2d_forward, &b), DREAMBOOTH_OK);
    same_bits(a.y, b.y, outputs, backend, "conv2d_forward");
    ck_assert_int_eq(db_run(d, conv2d_backward_data, &a), DREAMBOOTH_OK);
    ck_assert_int_eq(db_run(d, conv2d_backward_data, &b), DREAMBOOTH_OK);
    same_bits(a.dx, b.dx, inputs, backend, "conv2d_backward_data");
    empty(&bag);
}

/* A weight in bfloat16 gives the same bits as floats of the same values,
 * whether the backend reads it or has it expanded. */
START_TEST(bfloat16_weights_are_read)
{
    static const int64_t products[][5] = {
        {1, 1, 1, 1, 0},    {5, 7, 3, 3, 0},       {5, 7, 3, 3, 1},
        {3, 65, 331, 1, 1}, {131, 401, 307, 1, 1}, {67, 33, 600, 2, 0}};
    static const int64_t convolutions[][12] = {
        {1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
        {2, 9, 11, 5, 7, 3, 1, 1, 1, 1, 1, 1},
        {1, 12, 9, 33, 65, 3, 2, 1, 1, 1, 1, 1},
        {1, 32, 32, 33, 34, 3, 1, 1, 1, 1, 1, 1},
        {1, 13, 9, 48, 80, 3, 1, 1, 1, 1, 1, 1},
        {1, 14, 10, 32, 48, 3, 2, 1, 1, 1, 1, 1}};
    const dreambooth_backend *table;
    struct db_device device;
    struct db_env env;
    size_t t, i;

    db_env_init(&env);
    for (t = 0; (table = tested(t)) != NULL; t++) {
        open_device(&env, &device, 3, table);
        for (i = 0; i < DB_COUNT(products); i++)
            check_gemm_halves(&device, products[i], table->name);
        for (i = 0; i < DB_COUNT(convolutions); i++)
            check_conv_halves(&device, convolutions[i], table->name);
        db_pool_free(device.pool);
    }
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

START_TEST(odd_status_is_a_defect)
{
    dreambooth_backend table = db_backend_blas;
    const dreambooth_copy a = {0};
    struct db_env env;
    struct db_device device;

    table.copy = no_copy;
    db_env_init(&env);
    open_device(&env, &device, 1, &table);
    ck_assert_int_eq(db_run(&device, copy, &a), DREAMBOOTH_EINTERNAL);
    db_pool_free(device.pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel");

    unit_add(suite, "all_agree_with_reference", all_agree_with_reference);
    unit_add(suite, "tiles_agree_with_reference", tiles_agree_with_reference);
    unit_add(suite, "tiles_meet_far_scores", tiles_meet_far_scores);
    unit_add(suite, "tiles_leave_absent_keys_out", tiles_leave_absent_keys_out);
    unit_add(suite, "threads_give_the_same_bits", threads_give_the_same_bits);
    unit_add(suite, "no_memory_is_an_error", no_memory_is_an_error);
    unit_add(suite, "activations_have_limits", activations_have_limits);
    unit_add(suite, "unknown_activation_is_refused",
             unknown_activation_is_refused);
    unit_add(suite, "tables_are_complete", tables_are_complete);
    unit_add(suite, "merge_inherits", merge_inherits);
    unit_add(suite, "merge_keeps_users", merge_keeps_users);
    unit_add(suite, "merge_keeps_features", merge_keeps_features);
    unit_add(suite, "merge_refuses", merge_refuses);
    unit_add(suite, "bfloat16_weights_are_read", bfloat16_weights_are_read);
    unit_add(suite, "few_rows_keep_their_bits", few_rows_keep_their_bits);
    unit_add(suite, "odd_status_is_a_defect", odd_status_is_a_defect);
    return unit_main(suite);
}

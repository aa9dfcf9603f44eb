/* SPDX-License-Identifier: MIT */
/* The kernels that memory bounds: how many bytes a second they go through, each
 * operand counted once. */
#include <string.h>

#include "slot.h"

BENCH_SLOT(group_norm_forward, dreambooth_group_norm)
BENCH_SLOT(group_norm_backward, dreambooth_group_norm)
BENCH_SLOT(layer_norm_forward, dreambooth_layer_norm)
BENCH_SLOT(layer_norm_backward, dreambooth_layer_norm)
BENCH_SLOT(unary_forward, dreambooth_unary)
BENCH_SLOT(unary_backward, dreambooth_unary)
BENCH_SLOT(geglu_forward, dreambooth_geglu)
BENCH_SLOT(geglu_backward, dreambooth_geglu)
BENCH_SLOT(axpby, dreambooth_axpby)
BENCH_SLOT(adamw, dreambooth_adamw)
BENCH_SLOT(sum_squares, dreambooth_sum_squares)

/* OPERANDS arrays of COUNT floats. */
static struct bench_cost cost_of(struct bench_time time, int operands,
                                 int64_t count)
{
    return (struct bench_cost){time, 0.0,
                               4.0 * (double)operands * (double)count};
}

static struct bench_cost group_norm(struct bench_bed *bed, const int64_t *s,
                                    int64_t variant, struct bench_effort effort)
{
    const int64_t count = s[0] * s[1];
    dreambooth_group_norm a = {.batch = 1,
                               .pixels = s[0],
                               .channels = s[1],
                               .groups = 32,
                               .epsilon = 1e-5f};

    a.x = bench_values(bed, count);
    a.weight = bench_values(bed, s[1]);
    a.bias = bench_values(bed, s[1]);
    a.y = bench_values(bed, count);
    a.mean = bench_values(bed, 32);
    a.rstd = bench_values(bed, 32);
    a.dy = bench_values(bed, count);
    a.dx = bench_values(bed, count);
    a.dweight = bench_values(bed, s[1]);
    a.dbias = bench_values(bed, s[1]);
    if (variant == 0)
        return cost_of(measure_group_norm_forward(bed, &a, effort), 2, count);
    return cost_of(measure_group_norm_backward(bed, &a, effort), 3, count);
}

const struct bench_kernel bench_group_norm = {group_norm, NULL, 0};

static struct bench_cost layer_norm(struct bench_bed *bed, const int64_t *s,
                                    int64_t variant, struct bench_effort effort)
{
    const int64_t count = s[0] * s[1];
    dreambooth_layer_norm a = {
        .rows = s[0], .channels = s[1], .epsilon = 1e-5f};

    a.x = bench_values(bed, count);
    a.weight = bench_values(bed, s[1]);
    a.bias = bench_values(bed, s[1]);
    a.y = bench_values(bed, count);
    a.mean = bench_values(bed, s[0]);
    a.rstd = bench_values(bed, s[0]);
    a.dy = bench_values(bed, count);
    a.dx = bench_values(bed, count);
    a.dweight = bench_values(bed, s[1]);
    a.dbias = bench_values(bed, s[1]);
    if (variant == 0)
        return cost_of(measure_layer_norm_forward(bed, &a, effort), 2, count);
    return cost_of(measure_layer_norm_backward(bed, &a, effort), 3, count);
}

const struct bench_kernel bench_layer_norm = {layer_norm, NULL, 0};

static struct bench_cost unary(struct bench_bed *bed, const int64_t *s,
                               int64_t variant, struct bench_effort effort)
{
    dreambooth_unary a = {.activation = (int32_t)s[2], .count = s[0] * s[1]};

    a.x = bench_values(bed, a.count);
    a.y = bench_values(bed, a.count);
    a.dy = bench_values(bed, a.count);
    a.dx = bench_values(bed, a.count);
    if (variant == 0)
        return cost_of(measure_unary_forward(bed, &a, effort), 2, a.count);
    return cost_of(measure_unary_backward(bed, &a, effort), 3, a.count);
}

const struct bench_kernel bench_unary = {unary, NULL, 0};

static struct bench_cost geglu(struct bench_bed *bed, const int64_t *s,
                               int64_t variant, struct bench_effort effort)
{
    const int64_t count = s[0] * s[1];
    dreambooth_geglu a = {.rows = s[0], .width = s[1]};

    a.x = bench_values(bed, 2 * count);
    a.y = bench_values(bed, count);
    a.dy = bench_values(bed, count);
    a.dx = bench_values(bed, 2 * count);
    if (variant == 0)
        return cost_of(measure_geglu_forward(bed, &a, effort), 3, count);
    return cost_of(measure_geglu_backward(bed, &a, effort), 5, count);
}

const struct bench_kernel bench_geglu = {geglu, NULL, 0};

static struct bench_cost axpby(struct bench_bed *bed, const int64_t *s,
                               int64_t variant, struct bench_effort effort)
{
    dreambooth_axpby a = {
        .count = s[0] * s[1], .alpha = 1.0f, .beta = (float)variant};

    a.x = bench_values(bed, a.count);
    a.y = bench_values(bed, a.count);
    return cost_of(measure_axpby(bed, &a, effort), variant ? 3 : 2, a.count);
}

const struct bench_kernel bench_axpby = {axpby, NULL, 0};

static struct bench_cost adamw(struct bench_bed *bed, const int64_t *s,
                               int64_t variant, struct bench_effort effort)
{
    dreambooth_adamw a = {.count = s[0],
                          .step = 3,
                          .learning_rate = 1e-9,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .epsilon = 1e-8,
                          .weight_decay = 1e-2,
                          .gradient_scale = 1.0f};

    (void)variant;
    a.gradient = bench_values(bed, a.count);
    a.parameter = bench_values(bed, a.count);
    a.m = bench_values(bed, a.count);
    a.v = bench_values(bed, a.count);
    memset(a.v, 0, (size_t)a.count * sizeof(float));
    return cost_of(measure_adamw(bed, &a, effort), 7, a.count);
}

const struct bench_kernel bench_adamw = {adamw, NULL, 0};

static struct bench_cost sum_squares(struct bench_bed *bed, const int64_t *s,
                                     int64_t variant,
                                     struct bench_effort effort)
{
    double sum;
    dreambooth_sum_squares a = {.count = s[0], .sum = &sum};

    (void)variant;
    a.x = bench_values(bed, a.count);
    return cost_of(measure_sum_squares(bed, &a, effort), 1, a.count);
}

const struct bench_kernel bench_sum_squares = {sum_squares, NULL, 0};

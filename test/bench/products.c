/* SPDX-License-Identifier: MIT */
/* The kernels that multiply matrices, whatever they are called. */
#include "slot.h"

BENCH_SLOT(gemm, dreambooth_gemm)
BENCH_SLOT(conv2d_forward, dreambooth_conv2d)
BENCH_SLOT(conv2d_backward_data, dreambooth_conv2d)
BENCH_SLOT(conv2d_backward_weight, dreambooth_conv2d)
BENCH_SLOT(attention_forward, dreambooth_attention)
BENCH_SLOT(attention_backward, dreambooth_attention)

static double gemm_work(const int64_t *s)
{
    return 2.0 * (double)(s[0] * s[1] * s[2]);
}

static struct bench_cost gemm(struct bench_bed *bed, const int64_t *s,
                              int64_t variant, struct bench_effort effort)
{
    dreambooth_gemm a = {.batch = 1,
                         .m = s[0],
                         .n = s[1],
                         .k = s[2],
                         .transpose_a = variant == 2,
                         .transpose_b = variant == 0,
                         .alpha = 1.0f,
                         .beta = variant == 2 ? 1.0f : 0.0f};

    a.lda = a.transpose_a ? a.m : a.k;
    a.ldb = a.transpose_b ? a.k : a.n;
    a.ldc = a.n;
    a.a = bench_values(bed, a.m * a.k);
    a.b = bench_values(bed, a.k * a.n);
    a.c = bench_values(bed, a.m * a.n);
    a.bias = variant == 0 ? bench_values(bed, a.n) : NULL;
    return (struct bench_cost){measure_gemm(bed, &a, effort), gemm_work(s),
                               0.0};
}

const struct bench_kernel bench_gemm = {gemm, gemm_work, 7};

static double conv2d_work(const int64_t *s)
{
    double side = (double)(s[1] / s[5]);

    return 2.0 * side * side * (double)(s[0] * s[2] * s[3] * s[4] * s[4]);
}

static struct bench_cost conv2d(struct bench_bed *bed, const int64_t *s,
                                int64_t variant, struct bench_effort effort)
{
    static struct bench_time (*const slots[])(struct bench_bed *, void *,
                                              struct bench_effort) = {
        measure_conv2d_forward, measure_conv2d_backward_data,
        measure_conv2d_backward_weight};
    dreambooth_conv2d a = {.batch = s[0],
                           .in_height = s[1],
                           .in_width = s[1],
                           .in_channels = s[2],
                           .out_height = s[1] / s[5],
                           .out_width = s[1] / s[5],
                           .out_channels = s[3],
                           .kernel_height = s[4],
                           .kernel_width = s[4],
                           .stride = s[5],
                           .pad_top = s[4] / 2,
                           .pad_bottom = s[4] / 2,
                           .pad_left = s[4] / 2,
                           .pad_right = s[4] / 2};
    int64_t pixels = a.batch * a.out_height * a.out_width;
    int64_t patch = s[4] * s[4] * s[2];

    a.x = bench_values(bed, s[0] * s[1] * s[1] * s[2]);
    a.dx = bench_values(bed, s[0] * s[1] * s[1] * s[2]);
    a.weight = bench_values(bed, s[3] * patch);
    a.dweight = bench_values(bed, s[3] * patch);
    a.bias = bench_values(bed, s[3]);
    a.dbias = bench_values(bed, s[3]);
    a.y = bench_values(bed, pixels * s[3]);
    a.dy = bench_values(bed, pixels * s[3]);
    return (struct bench_cost){slots[variant](bed, &a, effort), conv2d_work(s),
                               0.0};
}

const struct bench_kernel bench_conv2d = {conv2d, conv2d_work, 2 | 4 | 8};

static double attention_work(const int64_t *s)
{
    return 4.0 * (double)(s[0] * s[1] * s[2] * s[3] * s[4]);
}

static struct bench_cost attention(struct bench_bed *bed, const int64_t *s,
                                   int64_t variant, struct bench_effort effort)
{
    const int64_t queries = s[0] * s[1] * s[2] * s[4];
    const int64_t keys = s[0] * s[1] * s[3] * s[4];
    dreambooth_attention a = {.batch = s[0],
                              .heads = s[1],
                              .query_length = s[2],
                              .key_length = s[3],
                              .head_size = s[4],
                              .scale = 0.2f};
    struct bench_cost cost = {.flops = attention_work(s)};

    a.q = bench_values(bed, queries);
    a.k = bench_values(bed, keys);
    a.v = bench_values(bed, keys);
    a.y = bench_values(bed, queries);
    a.lse = bench_values(bed, s[0] * s[1] * s[2]);
    a.dy = bench_values(bed, queries);
    a.dq = bench_values(bed, queries);
    a.dk = bench_values(bed, keys);
    a.dv = bench_values(bed, keys);
    bench_check(bed->env, db_run(&bed->device, attention_forward, &a));
    if (variant == 0) {
        cost.time = measure_attention_forward(bed, &a, effort);
    } else {
        cost.time = measure_attention_backward(bed, &a, effort);
        cost.flops *= 2.5;
    }
    return cost;
}

const struct bench_kernel bench_attention = {attention, attention_work, 4 | 8};

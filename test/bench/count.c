/* SPDX-License-Identifier: MIT */
/* Each slot hands its call on with the inner backend's user. */
#include "count.h"

#include <string.h>

#include "common.h"

static double gemm_flops(const void *arguments)
{
    const dreambooth_gemm *a = arguments;

    return 2.0 * (double)a->batch * (double)a->m * (double)a->n * (double)a->k;
}

static double conv2d_flops(const void *arguments)
{
    const dreambooth_conv2d *a = arguments;

    return 2.0 * (double)a->batch * (double)(a->out_height * a->out_width) *
           (double)(a->out_channels * a->in_channels) *
           (double)(a->kernel_height * a->kernel_width);
}

/* Of the two products of the way there; causal ones need half of it. */
static double attention_flops(const void *arguments)
{
    const dreambooth_attention *a = arguments;
    double pairs = (double)a->query_length * (double)a->key_length;

    return (a->causal ? 2.0 : 4.0) * (double)(a->batch * a->heads) * pairs *
           (double)a->head_size;
}

/* The five products of the way back. */
static double attention_back_flops(const void *arguments)
{
    return 2.5 * attention_flops(arguments);
}

static double none(const void *arguments)
{
    (void)arguments;
    return 0.0;
}

/* One line for each slot: its name, its arguments, how many flops they are. */
/* clang-format off */
#define EACH_SLOT(DO) \
    DO(gemm, gemm, gemm_flops) \
    DO(conv2d_forward, conv2d, conv2d_flops) \
    DO(conv2d_backward_data, conv2d, conv2d_flops) \
    DO(conv2d_backward_weight, conv2d, conv2d_flops) \
    DO(group_norm_forward, group_norm, none) \
    DO(group_norm_backward, group_norm, none) \
    DO(layer_norm_forward, layer_norm, none) \
    DO(layer_norm_backward, layer_norm, none) \
    DO(attention_forward, attention, attention_flops) \
    DO(attention_backward, attention, attention_back_flops) \
    DO(softmax_forward, softmax, none) \
    DO(softmax_backward, softmax, none) \
    DO(unary_forward, unary, none) \
    DO(unary_backward, unary, none) \
    DO(geglu_forward, geglu, none) \
    DO(geglu_backward, geglu, none) \
    DO(axpby, axpby, none) \
    DO(add_rows, rows, none) \
    DO(sum_rows, rows, none) \
    DO(copy, copy, none) \
    DO(upsample_nearest_forward, resample, none) \
    DO(upsample_nearest_backward, resample, none) \
    DO(average_pool_forward, resample, none) \
    DO(average_pool_backward, resample, none) \
    DO(embedding_forward, embedding, none) \
    DO(embedding_backward, embedding, none) \
    DO(mse_forward, mse, none) \
    DO(mse_backward, mse, none) \
    DO(adamw, adamw, none) \
    DO(sum_squares, sum_squares, none) \
    DO(adamw_narrow, adamw_narrow, none) \
    DO(narrow, narrow, none)
/* clang-format on */

#define NUMBER(name, arguments, flops) SLOT_##name,
enum { EACH_SLOT(NUMBER) SLOTS };

_Static_assert(SLOTS == DB_SLOTS, "a line for each slot");

static void add(struct bench_slot *slot, double begin, double flops)
{
    slot->calls++;
    slot->seconds += bench_now() - begin;
    slot->flops += flops;
}

#define WATCHED(name, arguments, flops)                                        \
    static int watched_##name(const dreambooth_kernel_host *host,              \
                              const dreambooth_##arguments *a)                 \
    {                                                                          \
        struct bench_count *count = host->user;                                \
        dreambooth_kernel_host inner = *host;                                  \
        double begin = bench_now();                                            \
        int status;                                                            \
                                                                               \
        inner.user = count->inner.user;                                        \
        status = count->inner.name(&inner, a);                                 \
        add(&count->slots[SLOT_##name], begin, flops(a));                      \
        return status;                                                         \
    }
EACH_SLOT(WATCHED)

#define FILL(name, arguments, flops) .name = watched_##name,
#define NAME(name, arguments, flops) #name,

static const char *const names[] = {EACH_SLOT(NAME)};

void bench_count_reset(struct bench_count *count)
{
    size_t i;

    memset(count->slots, 0, sizeof(count->slots));
    for (i = 0; i < SLOTS; i++)
        count->slots[i].name = names[i];
}

double bench_count_flops(const struct bench_count *count)
{
    double flops = 0.0;
    size_t i;

    for (i = 0; i < SLOTS; i++)
        flops += count->slots[i].flops;
    return flops;
}

int bench_count_add(struct bench_count *count, dreambooth_context *context,
                    const char *name)
{
    dreambooth_backend table = {.size = sizeof(table),
                                .abi = DREAMBOOTH_BACKEND_ABI,
                                .name = BENCH_COUNTED,
                                .user = count,
                                EACH_SLOT(FILL)};
    int status = dreambooth_context_get_backend(context, name, &count->inner,
                                                sizeof(count->inner));

    bench_count_reset(count);
    table.features = count->inner.features;
    if (status == DREAMBOOTH_OK)
        status = dreambooth_context_add_backend(context, &table, name);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_context_set(context, "backend", BENCH_COUNTED);
    return status;
}

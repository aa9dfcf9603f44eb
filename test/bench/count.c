/* SPDX-License-Identifier: MIT */
/* The six kinds of products, each handed on with the inner backend's user. */
#include "count.h"

static double gemm_flops(const dreambooth_gemm *a)
{
    return 2.0 * (double)a->batch * (double)a->m * (double)a->n * (double)a->k;
}

static double conv2d_flops(const dreambooth_conv2d *a)
{
    return 2.0 * (double)a->batch * (double)(a->out_height * a->out_width) *
           (double)(a->out_channels * a->in_channels) *
           (double)(a->kernel_height * a->kernel_width);
}

/* Of the two products of the way there; causal ones need half of it. */
static double attention_flops(const dreambooth_attention *a)
{
    double pairs = (double)a->query_length * (double)a->key_length;

    return (a->causal ? 2.0 : 4.0) * (double)(a->batch * a->heads) * pairs *
           (double)a->head_size;
}

/* The five products of the way back. */
static double attention_back_flops(const dreambooth_attention *a)
{
    return 2.5 * attention_flops(a);
}

#define COUNTED(slot, arguments, flops_of)                                     \
    static int slot(const dreambooth_kernel_host *host,                        \
                    const dreambooth_##arguments *a)                           \
    {                                                                          \
        struct bench_count *count = host->user;                                \
        dreambooth_kernel_host inner = *host;                                  \
                                                                               \
        inner.user = count->inner.user;                                        \
        count->flops += flops_of(a);                                           \
        return count->inner.slot(&inner, a);                                   \
    }

COUNTED(gemm, gemm, gemm_flops)
COUNTED(conv2d_forward, conv2d, conv2d_flops)
COUNTED(conv2d_backward_data, conv2d, conv2d_flops)
COUNTED(conv2d_backward_weight, conv2d, conv2d_flops)
COUNTED(attention_forward, attention, attention_flops)
COUNTED(attention_backward, attention, attention_back_flops)

int bench_count_add(struct bench_count *count, dreambooth_context *context,
                    const char *name)
{
    dreambooth_backend table = {.size = sizeof(table),
                                .abi = DREAMBOOTH_BACKEND_ABI,
                                .name = BENCH_COUNTED,
                                .user = count,
                                .gemm = gemm,
                                .conv2d_forward = conv2d_forward,
                                .conv2d_backward_data = conv2d_backward_data,
                                .conv2d_backward_weight =
                                    conv2d_backward_weight,
                                .attention_forward = attention_forward,
                                .attention_backward = attention_backward};
    int status = dreambooth_context_get_backend(context, name, &count->inner,
                                                sizeof(count->inner));

    count->flops = 0.0;
    if (status == DREAMBOOTH_OK)
        status = dreambooth_context_add_backend(context, &table, name);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_context_set(context, "backend", BENCH_COUNTED);
    return status;
}

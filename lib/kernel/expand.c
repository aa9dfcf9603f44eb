/* SPDX-License-Identifier: MIT */
/*
 * Weights in bfloat16 to floats, which have the same upper half and a lower
 * half of zeros; see expand.h. Strides stay what they are, so that a kernel
 * computes the same bits as with a weight that was kept as floats.
 */
#include "kernel/expand.h"

#include <string.h>

#define BLOCK 65536 /* elements of one task */

struct expansion {
    const uint16_t *source;
    int64_t count;
    float *out;
};

static void expand_block(void *argument, int64_t index, int worker)
{
    const struct expansion *expansion = argument;
    const int64_t first = index * BLOCK;
    const int64_t left = expansion->count - first;
    const int64_t count = left < BLOCK ? left : BLOCK;
    const uint16_t *source = expansion->source + first;
    float *out = expansion->out + first;
    int64_t i;

    (void)worker;
    for (i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)source[i] << 16;

        memcpy(&out[i], &bits, sizeof(bits));
    }
}

/* COUNT elements of SOURCE as floats, to be given back with scratch_free();
 * NULL if there is no memory. */
static float *expand(const dreambooth_kernel_host *host, const uint16_t *source,
                     int64_t count)
{
    struct expansion expansion = {source, count, NULL};

    expansion.out = host->scratch_new(host, (size_t)count * sizeof(float));
    if (expansion.out != NULL && count > 0)
        host->parallel(host, (count + BLOCK - 1) / BLOCK, expand_block,
                       &expansion);
    return expansion.out;
}

/* From the first element of matrices to behind the last. */
static int64_t extent(int64_t batch, int64_t step, int64_t rows,
                      int64_t columns, int64_t row)
{
    if (batch < 1 || rows < 1 || columns < 1)
        return 0;
    return (batch - 1) * step + (rows - 1) * row + columns;
}

static int64_t extent_of_a(const dreambooth_gemm *a)
{
    return extent(a->batch, a->a_step, a->transpose_a ? a->k : a->m,
                  a->transpose_a ? a->m : a->k, a->lda);
}

static int64_t extent_of_b(const dreambooth_gemm *a)
{
    return extent(a->batch, a->b_step, a->transpose_b ? a->n : a->k,
                  a->transpose_b ? a->k : a->n, a->ldb);
}

static int run_without_b(const dreambooth_kernel_host *host,
                         const dreambooth_gemm *a, db_gemm_function *run)
{
    dreambooth_gemm floats = *a;
    float *b;
    int status;

    if (a->b_bf16 == NULL)
        return run(host, a);
    b = expand(host, a->b_bf16, extent_of_b(a));
    if (b == NULL)
        return DREAMBOOTH_ENOMEM;
    floats.b = b;
    floats.b_bf16 = NULL;
    status = run(host, &floats);
    host->scratch_free(host, b);
    return status;
}

int db_expand_gemm(const dreambooth_kernel_host *host, const dreambooth_gemm *a,
                   db_gemm_function *run)
{
    dreambooth_gemm floats = *a;
    float *left;
    int status;

    if (a->a_bf16 == NULL)
        return run_without_b(host, a, run);
    left = expand(host, a->a_bf16, extent_of_a(a));
    if (left == NULL)
        return DREAMBOOTH_ENOMEM;
    floats.a = left;
    floats.a_bf16 = NULL;
    status = run_without_b(host, &floats, run);
    host->scratch_free(host, left);
    return status;
}

int db_expand_conv2d(const dreambooth_kernel_host *host,
                     const dreambooth_conv2d *a, db_conv2d_function *run)
{
    dreambooth_conv2d floats = *a;
    float *weight;
    int status;

    if (a->weight_bf16 == NULL)
        return run(host, a);
    weight = expand(host, a->weight_bf16,
                    a->out_channels * a->kernel_height * a->kernel_width *
                        a->in_channels);
    if (weight == NULL)
        return DREAMBOOTH_ENOMEM;
    floats.weight = weight;
    floats.weight_bf16 = NULL;
    status = run(host, &floats);
    host->scratch_free(host, weight);
    return status;
}

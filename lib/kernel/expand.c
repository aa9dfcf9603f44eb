/* SPDX-License-Identifier: MIT */
/*
 * Weights in bfloat16 to floats, which have the same upper half and a lower
 * half of zeros; see expand.h. Strides stay what they are, so that a kernel
 * computes the same bits as with a weight that was kept as floats.
 */
#include "kernel/expand.h"

#include <string.h>

#define BLOCK 65536 /* elements of one task */

void db_expand_values(const uint16_t *source, int64_t count, float *to)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)source[i] << 16;

        memcpy(&to[i], &bits, sizeof(bits));
    }
}

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

    (void)worker;
    db_expand_values(expansion->source + first, count, expansion->out + first);
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

/* ln 2, by which exponents of base 2 become the logits that softmax is of. */
#define LN_2 0.693147180559945309f

int db_expand_attention(const dreambooth_kernel_host *host,
                        const dreambooth_attention *a,
                        db_attention_function *run)
{
    const int64_t row = a->batch * a->heads * a->head_size;
    const uint16_t *const from[] = {a->q_bf16, a->k_bf16, a->v_bf16};
    const int64_t lengths[] = {a->query_length, a->key_length, a->key_length};
    dreambooth_attention floats = *a;
    const float **const to[] = {&floats.q, &floats.k, &floats.v};
    float *made[3] = {NULL};
    int status = DREAMBOOTH_OK;
    int i;

    for (i = 0; i < 3 && status == DREAMBOOTH_OK; i++) {
        if (from[i] == NULL)
            continue;
        made[i] = expand(host, from[i], lengths[i] * row);
        *to[i] = made[i];
        if (made[i] == NULL)
            status = DREAMBOOTH_ENOMEM;
    }
    if (a->q_bf16 != NULL)
        floats.scale = LN_2;
    floats.q_bf16 = floats.k_bf16 = floats.v_bf16 = NULL;
    if (status == DREAMBOOTH_OK)
        status = run(host, &floats);
    while (i-- > 0)
        if (made[i] != NULL)
            host->scratch_free(host, made[i]);
    return status;
}

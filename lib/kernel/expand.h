/* SPDX-License-Identifier: MIT */
/*
 * Products with operands in bfloat16 for kernels that read floats only: these
 * become floats in scratch memory, and the kernel sees those. Kernels that copy
 * a weight anyway expand what they copy.
 */
#ifndef DB_KERNEL_EXPAND_H
#define DB_KERNEL_EXPAND_H

#include "dreambooth/backend.h"

typedef int db_gemm_function(const dreambooth_kernel_host *host,
                             const dreambooth_gemm *a);
typedef int db_attention_function(const dreambooth_kernel_host *host,
                                  const dreambooth_attention *a);
typedef int db_conv2d_function(const dreambooth_kernel_host *host,
                               const dreambooth_conv2d *a);

/* to[i] = source[i] */
void db_expand_values(const uint16_t *source, int64_t count, float *to);

/* Runs RUN with A, whose a_bf16, b_bf16 or weight_bf16, unless it is NULL, has
 * become floats in a, b or weight. ENOMEM. */
int db_expand_gemm(const dreambooth_kernel_host *host, const dreambooth_gemm *a,
                   db_gemm_function *run);
int db_expand_conv2d(const dreambooth_kernel_host *host,
                     const dreambooth_conv2d *a, db_conv2d_function *run);
/* The same of attention's q_bf16, k_bf16 and v_bf16. */
int db_expand_attention(const dreambooth_kernel_host *host,
                        const dreambooth_attention *a,
                        db_attention_function *run);

#endif

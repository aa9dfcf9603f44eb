/* SPDX-License-Identifier: MIT */
/* The reference kernels, one function a slot; see dreambooth/backend.h. */
#ifndef DB_KERNEL_REF_REF_INT_H
#define DB_KERNEL_REF_REF_INT_H

#include "dreambooth/backend.h"

/* Sums over rows are held for this many adjacent channels at a time. */
#define DB_REF_BLOCK 64

#define DB_REF_SLOT(name, arguments)                                           \
    int db_ref_##name(const dreambooth_kernel_host *host, const arguments *a)

DB_REF_SLOT(gemm, dreambooth_gemm);
DB_REF_SLOT(conv2d_forward, dreambooth_conv2d);
DB_REF_SLOT(conv2d_backward_data, dreambooth_conv2d);
DB_REF_SLOT(conv2d_backward_weight, dreambooth_conv2d);
DB_REF_SLOT(group_norm_forward, dreambooth_group_norm);
DB_REF_SLOT(group_norm_backward, dreambooth_group_norm);
DB_REF_SLOT(layer_norm_forward, dreambooth_layer_norm);
DB_REF_SLOT(layer_norm_backward, dreambooth_layer_norm);
DB_REF_SLOT(attention_forward, dreambooth_attention);
DB_REF_SLOT(attention_backward, dreambooth_attention);
DB_REF_SLOT(softmax_forward, dreambooth_softmax);
DB_REF_SLOT(softmax_backward, dreambooth_softmax);
DB_REF_SLOT(unary_forward, dreambooth_unary);
DB_REF_SLOT(unary_backward, dreambooth_unary);
DB_REF_SLOT(geglu_forward, dreambooth_geglu);
DB_REF_SLOT(geglu_backward, dreambooth_geglu);
DB_REF_SLOT(axpby, dreambooth_axpby);
DB_REF_SLOT(add_rows, dreambooth_rows);
DB_REF_SLOT(sum_rows, dreambooth_rows);
DB_REF_SLOT(copy, dreambooth_copy);
DB_REF_SLOT(upsample_nearest_forward, dreambooth_resample);
DB_REF_SLOT(upsample_nearest_backward, dreambooth_resample);
DB_REF_SLOT(average_pool_forward, dreambooth_resample);
DB_REF_SLOT(average_pool_backward, dreambooth_resample);
DB_REF_SLOT(embedding_forward, dreambooth_embedding);
DB_REF_SLOT(embedding_backward, dreambooth_embedding);
DB_REF_SLOT(mse_forward, dreambooth_mse);
DB_REF_SLOT(mse_backward, dreambooth_mse);
DB_REF_SLOT(adamw, dreambooth_adamw);
DB_REF_SLOT(sum_squares, dreambooth_sum_squares);
DB_REF_SLOT(adamw_narrow, dreambooth_adamw_narrow);
DB_REF_SLOT(narrow, dreambooth_narrow);

/* x sigmoid(x) and its slope */
double db_ref_silu(double x);
double db_ref_silu_slope(double x);

#endif

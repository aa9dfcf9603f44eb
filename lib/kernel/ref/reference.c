/* SPDX-License-Identifier: MIT */
/*
 * The reference backend: every kernel once, plain, on one thread, with sums in
 * double. It is the judge of all others and complete by definition.
 */
#include "kernel/device.h"
#include "kernel/ref/ref_int.h"

const dreambooth_backend db_backend_reference = {
    .size = sizeof(dreambooth_backend),
    .abi = DREAMBOOTH_BACKEND_ABI,
    .features = DREAMBOOTH_OVERWRITES,
    .name = "reference",
    .gemm = db_ref_gemm,
    .conv2d_forward = db_ref_conv2d_forward,
    .conv2d_backward_data = db_ref_conv2d_backward_data,
    .conv2d_backward_weight = db_ref_conv2d_backward_weight,
    .group_norm_forward = db_ref_group_norm_forward,
    .group_norm_backward = db_ref_group_norm_backward,
    .layer_norm_forward = db_ref_layer_norm_forward,
    .layer_norm_backward = db_ref_layer_norm_backward,
    .attention_forward = db_ref_attention_forward,
    .attention_backward = db_ref_attention_backward,
    .softmax_forward = db_ref_softmax_forward,
    .softmax_backward = db_ref_softmax_backward,
    .unary_forward = db_ref_unary_forward,
    .unary_backward = db_ref_unary_backward,
    .geglu_forward = db_ref_geglu_forward,
    .geglu_backward = db_ref_geglu_backward,
    .axpby = db_ref_axpby,
    .add_rows = db_ref_add_rows,
    .sum_rows = db_ref_sum_rows,
    .copy = db_ref_copy,
    .upsample_nearest_forward = db_ref_upsample_nearest_forward,
    .upsample_nearest_backward = db_ref_upsample_nearest_backward,
    .average_pool_forward = db_ref_average_pool_forward,
    .average_pool_backward = db_ref_average_pool_backward,
    .embedding_forward = db_ref_embedding_forward,
    .embedding_backward = db_ref_embedding_backward,
    .mse_forward = db_ref_mse_forward,
    .mse_backward = db_ref_mse_backward,
    .adamw = db_ref_adamw,
    .sum_squares = db_ref_sum_squares,
    .adamw_narrow = db_ref_adamw_narrow,
    .narrow = db_ref_narrow,
};

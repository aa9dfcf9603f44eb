/* SPDX-License-Identifier: MIT */
/*
 * The blas backend: the reference with everything overlaid that cblas, threads
 * or vector code do faster. What is not, is either rare or only copies.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/device.h"

/* A slot that is the reference's; a table of constants cannot name another. */
#define INHERIT(name, arguments)                                               \
    DB_BLAS_SLOT(name, arguments)                                              \
    {                                                                          \
        return db_backend_reference.name(host, a);                             \
    }

INHERIT(average_pool_forward, dreambooth_resample)
INHERIT(average_pool_backward, dreambooth_resample)
INHERIT(embedding_forward, dreambooth_embedding)
INHERIT(embedding_backward, dreambooth_embedding)

const dreambooth_backend db_backend_blas = {
    .size = sizeof(dreambooth_backend),
    .abi = DREAMBOOTH_BACKEND_ABI,
    .features = DREAMBOOTH_OVERWRITES,
    .name = "blas",
    .gemm = db_blas_gemm,
    .conv2d_forward = db_blas_conv2d_forward,
    .conv2d_backward_data = db_blas_conv2d_backward_data,
    .conv2d_backward_weight = db_blas_conv2d_backward_weight,
    .group_norm_forward = db_blas_group_norm_forward,
    .group_norm_backward = db_blas_group_norm_backward,
    .layer_norm_forward = db_blas_layer_norm_forward,
    .layer_norm_backward = db_blas_layer_norm_backward,
    .attention_forward = db_blas_attention_forward,
    .attention_backward = db_blas_attention_backward,
    .softmax_forward = db_blas_softmax_forward,
    .softmax_backward = db_blas_softmax_backward,
    .unary_forward = db_blas_unary_forward,
    .unary_backward = db_blas_unary_backward,
    .geglu_forward = db_blas_geglu_forward,
    .geglu_backward = db_blas_geglu_backward,
    .axpby = db_blas_axpby,
    .add_rows = db_blas_add_rows,
    .sum_rows = db_blas_sum_rows,
    .copy = db_blas_copy,
    .upsample_nearest_forward = db_blas_upsample_nearest_forward,
    .upsample_nearest_backward = db_blas_upsample_nearest_backward,
    .average_pool_forward = db_blas_average_pool_forward,
    .average_pool_backward = db_blas_average_pool_backward,
    .embedding_forward = db_blas_embedding_forward,
    .embedding_backward = db_blas_embedding_backward,
    .mse_forward = db_blas_mse_forward,
    .mse_backward = db_blas_mse_backward,
    .adamw = db_blas_adamw,
    .sum_squares = db_blas_sum_squares,
    .adamw_narrow = db_blas_adamw_narrow,
    .narrow = db_blas_narrow,
};

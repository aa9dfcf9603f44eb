/* SPDX-License-Identifier: MIT */
/*
 * What the blas kernels share: the one door to cblas, the rule that divides
 * work, and the slots themselves.
 *
 * Work is always divided by shape. The number of threads decides who runs a
 * piece and never what a piece is, so that results have the same bits on any
 * number of threads.
 */
#ifndef DB_KERNEL_BLAS_BLAS_INT_H
#define DB_KERNEL_BLAS_BLAS_INT_H

#include <stddef.h>

#include "dreambooth/backend.h"

/*
 * No kernel looks at floating-point exceptions or errno. GCC has to be told so
 * before it turns comparisons and square roots into vector code; this changes
 * no result.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math", "no-math-errno")
#endif

/* Elements of a pointwise operation that are one task, and those that are
 * computed at a time, in the first-level cache. */
#define DB_BLAS_TASK ((int64_t)1 << 15)
#define DB_BLAS_CHUNK 256

/* Lanes of a sum: enough to fill any vector register, added in order. */
#define DB_BLAS_LANES 8

/*
 * c = alpha op(a) op(b) + beta c on the calling thread. m, n and the leading
 * dimensions must fit cblas's int (db_blas_fits()); k may have any size.
 */
void db_blas_sgemm(int transpose_a, int transpose_b, int64_t m, int64_t n,
                   int64_t k, float alpha, const float *a, int64_t lda,
                   const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc);
int db_blas_fits(int64_t size);

/* A division of an [m, n] result into [tile_m, tile_n] tiles. */
struct db_blas_tiles {
    int64_t tile_m, tile_n;
    int64_t count_m, count_n;
};

/* By the shape of a product with inner size K: tiles of some 64 MFLOP or more,
 * none taller than MAX_M. */
struct db_blas_tiles db_blas_divide(int64_t m, int64_t n, int64_t k,
                                    int64_t max_m);

int64_t db_blas_pieces(int64_t count, int64_t piece);
int64_t db_blas_smaller(int64_t a, int64_t b);
int64_t db_blas_larger(int64_t a, int64_t b);

/* Values FIRST .. FIRST + WIDTH - 1 of the patches of ROWS output pixels, from
 * PIXEL on (counted over the batch), into OUT [rows, width]. */
void db_blas_lay_patches(const dreambooth_conv2d *c, int64_t pixel,
                         int64_t rows, int64_t first, int64_t width,
                         float *out);

#define DB_BLAS_SLOT(name, arguments)                                          \
    int db_blas_##name(const dreambooth_kernel_host *host, const arguments *a)

DB_BLAS_SLOT(gemm, dreambooth_gemm);
DB_BLAS_SLOT(conv2d_forward, dreambooth_conv2d);
DB_BLAS_SLOT(conv2d_backward_data, dreambooth_conv2d);
DB_BLAS_SLOT(conv2d_backward_weight, dreambooth_conv2d);
DB_BLAS_SLOT(group_norm_forward, dreambooth_group_norm);
DB_BLAS_SLOT(group_norm_backward, dreambooth_group_norm);
DB_BLAS_SLOT(layer_norm_forward, dreambooth_layer_norm);
DB_BLAS_SLOT(layer_norm_backward, dreambooth_layer_norm);
DB_BLAS_SLOT(attention_forward, dreambooth_attention);
DB_BLAS_SLOT(attention_backward, dreambooth_attention);
DB_BLAS_SLOT(softmax_forward, dreambooth_softmax);
DB_BLAS_SLOT(softmax_backward, dreambooth_softmax);
DB_BLAS_SLOT(unary_forward, dreambooth_unary);
DB_BLAS_SLOT(unary_backward, dreambooth_unary);
DB_BLAS_SLOT(geglu_forward, dreambooth_geglu);
DB_BLAS_SLOT(geglu_backward, dreambooth_geglu);
DB_BLAS_SLOT(axpby, dreambooth_axpby);
DB_BLAS_SLOT(add_rows, dreambooth_rows);
DB_BLAS_SLOT(sum_rows, dreambooth_rows);
DB_BLAS_SLOT(copy, dreambooth_copy);
DB_BLAS_SLOT(upsample_nearest_forward, dreambooth_resample);
DB_BLAS_SLOT(upsample_nearest_backward, dreambooth_resample);
DB_BLAS_SLOT(average_pool_forward, dreambooth_resample);
DB_BLAS_SLOT(average_pool_backward, dreambooth_resample);
DB_BLAS_SLOT(embedding_forward, dreambooth_embedding);
DB_BLAS_SLOT(embedding_backward, dreambooth_embedding);
DB_BLAS_SLOT(mse_forward, dreambooth_mse);
DB_BLAS_SLOT(mse_backward, dreambooth_mse);
DB_BLAS_SLOT(adamw, dreambooth_adamw);
DB_BLAS_SLOT(sum_squares, dreambooth_sum_squares);
DB_BLAS_SLOT(adamw_narrow, dreambooth_adamw_narrow);
DB_BLAS_SLOT(narrow, dreambooth_narrow);

#endif

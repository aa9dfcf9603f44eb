/* SPDX-License-Identifier: MIT */
/*
 * The layout of what crosses the border to plugins, frozen: a change of
 * dreambooth/backend.h that would break ABI 1 does not compile. Each row has a
 * field, its type, and where it lies in three models: 64-bit pointers; 32-bit
 * pointers with int64_t aligned to 8 bytes (Arm); the same with 4 (i386). Any
 * other model is the compiler's own affair.
 *
 * A slot at the end of the table, a field at the end of the host and a status
 * code are new rows here, and new sizes of these two structs. Nothing else here
 * ever changes while DREAMBOOTH_BACKEND_ABI is 1.
 */
#include "dreambooth/backend.h"

struct probe {
    char first;
    int64_t second;
};

#define ALIGNMENT offsetof(struct probe, second)

/* The one of three numbers that is this platform's; OTHER where none is. */
#define PICK(wide, narrow, packed, other)                                      \
    (sizeof(void *) == 8 && ALIGNMENT == 8   ? (size_t)(wide)                  \
     : sizeof(void *) == 4 && ALIGNMENT == 8 ? (size_t)(narrow)                \
     : sizeof(void *) == 4 && ALIGNMENT == 4 ? (size_t)(packed)                \
                                             : (other))

#define AT(name, field, type, wide, narrow, packed)                            \
    _Static_assert(                                                            \
        offsetof(dreambooth_##name, field) ==                                  \
                PICK(wide, narrow, packed,                                     \
                     offsetof(dreambooth_##name, field)) &&                    \
            _Generic(((dreambooth_##name *)0)->field, type : 1, default : 0),  \
        "ABI 1: " #name "." #field)

#define SIZE(name, wide, narrow, packed)                                       \
    _Static_assert(sizeof(dreambooth_##name) ==                                \
                       PICK(wide, narrow, packed, sizeof(dreambooth_##name)),  \
                   "ABI 1: size of " #name)

/* Slots follow the table's head, one pointer each. */
#define SLOT(number, field, arguments)                                         \
    AT(backend, field,                                                         \
       int (*)(const dreambooth_kernel_host *,                                 \
               const dreambooth_##arguments *),                                \
       32 + 8 * (number), 20 + 4 * (number), 20 + 4 * (number))

/* What slots return. */
#define STATUS(name, value)                                                    \
    _Static_assert(DREAMBOOTH_##name == (value), "ABI: DREAMBOOTH_" #name)

_Static_assert(DREAMBOOTH_BACKEND_ABI == 1, "a table like this for each ABI");

_Static_assert(DREAMBOOTH_EXACT == 0 && DREAMBOOTH_FLOAT32 == 1 &&
                   DREAMBOOTH_BFLOAT16 == 2,
               "ABI 1: enum dreambooth_precision");
_Static_assert(DREAMBOOTH_READS_BFLOAT16 == 1,
               "ABI 1: enum dreambooth_backend_feature");

/* clang-format off */
STATUS(DONE, 1);
STATUS(OK, 0);
STATUS(ENOMEM, -1);
STATUS(ELIMIT, -2);
STATUS(EINVAL, -3);
STATUS(EIO, -4);
STATUS(ENOTFOUND, -5);
STATUS(EFORMAT, -6);
STATUS(EUNSUPPORTED, -7);
STATUS(ECANCELLED, -8);
STATUS(ENONFINITE, -9);
STATUS(ENOSPACE, -10);
STATUS(ESTATE, -11);
STATUS(EINTERNAL, -12);

AT(kernel_host, size, size_t, 0, 0, 0);
AT(kernel_host, abi, uint32_t, 8, 4, 4);
AT(kernel_host, threads, int, 12, 8, 8);
AT(kernel_host, parallel,
   void (*)(const dreambooth_kernel_host *, int64_t,
   void (*)(void *, int64_t, int), void *),
   16, 12, 12);
AT(kernel_host, scratch_new,
   void *(*)(const dreambooth_kernel_host *, size_t),
   24, 16, 16);
AT(kernel_host, scratch_free,
   void (*)(const dreambooth_kernel_host *, void *),
   32, 20, 20);
AT(kernel_host, library, void *, 40, 24, 24);
AT(kernel_host, user, void *, 48, 28, 28);
AT(kernel_host, precision, int32_t, 56, 32, 32);
AT(kernel_host, overwrite, int32_t, 60, 36, 36);
AT(kernel_host, keep,
   void *(*)(const dreambooth_kernel_host *, const dreambooth_form *, size_t,
   int *),
   64, 40, 40);
SIZE(kernel_host, 72, 44, 44);

AT(form, weight, const void *, 0, 0, 0);
AT(form, maker, const void *, 8, 4, 4);
AT(form, numbers[0], int64_t, 16, 8, 8);
AT(form, numbers[7], int64_t, 72, 64, 64);
SIZE(form, 80, 72, 72);

AT(gemm, batch, int64_t, 0, 0, 0);
AT(gemm, m, int64_t, 8, 8, 8);
AT(gemm, n, int64_t, 16, 16, 16);
AT(gemm, k, int64_t, 24, 24, 24);
AT(gemm, transpose_a, int, 32, 32, 32);
AT(gemm, transpose_b, int, 36, 36, 36);
AT(gemm, alpha, float, 40, 40, 40);
AT(gemm, beta, float, 44, 44, 44);
AT(gemm, a, const float *, 48, 48, 48);
AT(gemm, b, const float *, 56, 52, 52);
AT(gemm, c, float *, 64, 56, 56);
AT(gemm, lda, int64_t, 72, 64, 60);
AT(gemm, ldb, int64_t, 80, 72, 68);
AT(gemm, ldc, int64_t, 88, 80, 76);
AT(gemm, a_step, int64_t, 96, 88, 84);
AT(gemm, b_step, int64_t, 104, 96, 92);
AT(gemm, c_step, int64_t, 112, 104, 100);
AT(gemm, bias, const float *, 120, 112, 108);
AT(gemm, b_bf16, const uint16_t *, 128, 116, 112);
AT(gemm, a_bf16, const uint16_t *, 136, 120, 116);
AT(gemm, c_bf16, uint16_t *, 144, 124, 120);
AT(gemm, geglu, int32_t, 152, 128, 124);
SIZE(gemm, 160, 136, 128);

AT(conv2d, batch, int64_t, 0, 0, 0);
AT(conv2d, in_height, int64_t, 8, 8, 8);
AT(conv2d, in_width, int64_t, 16, 16, 16);
AT(conv2d, in_channels, int64_t, 24, 24, 24);
AT(conv2d, out_height, int64_t, 32, 32, 32);
AT(conv2d, out_width, int64_t, 40, 40, 40);
AT(conv2d, out_channels, int64_t, 48, 48, 48);
AT(conv2d, kernel_height, int64_t, 56, 56, 56);
AT(conv2d, kernel_width, int64_t, 64, 64, 64);
AT(conv2d, stride, int64_t, 72, 72, 72);
AT(conv2d, pad_top, int64_t, 80, 80, 80);
AT(conv2d, pad_bottom, int64_t, 88, 88, 88);
AT(conv2d, pad_left, int64_t, 96, 96, 96);
AT(conv2d, pad_right, int64_t, 104, 104, 104);
AT(conv2d, x, const float *, 112, 112, 112);
AT(conv2d, weight, const float *, 120, 116, 116);
AT(conv2d, bias, const float *, 128, 120, 120);
AT(conv2d, y, float *, 136, 124, 124);
AT(conv2d, dy, const float *, 144, 128, 128);
AT(conv2d, dx, float *, 152, 132, 132);
AT(conv2d, dweight, float *, 160, 136, 136);
AT(conv2d, dbias, float *, 168, 140, 140);
AT(conv2d, weight_bf16, const uint16_t *, 176, 144, 144);
SIZE(conv2d, 184, 152, 148);

AT(group_norm, batch, int64_t, 0, 0, 0);
AT(group_norm, pixels, int64_t, 8, 8, 8);
AT(group_norm, channels, int64_t, 16, 16, 16);
AT(group_norm, groups, int64_t, 24, 24, 24);
AT(group_norm, epsilon, float, 32, 32, 32);
AT(group_norm, silu, int32_t, 36, 36, 36);
AT(group_norm, x, const float *, 40, 40, 40);
AT(group_norm, weight, const float *, 48, 44, 44);
AT(group_norm, bias, const float *, 56, 48, 48);
AT(group_norm, y, float *, 64, 52, 52);
AT(group_norm, mean, float *, 72, 56, 56);
AT(group_norm, rstd, float *, 80, 60, 60);
AT(group_norm, dy, const float *, 88, 64, 64);
AT(group_norm, dx, float *, 96, 68, 68);
AT(group_norm, dweight, float *, 104, 72, 72);
AT(group_norm, dbias, float *, 112, 76, 76);
SIZE(group_norm, 120, 80, 80);

AT(layer_norm, rows, int64_t, 0, 0, 0);
AT(layer_norm, channels, int64_t, 8, 8, 8);
AT(layer_norm, epsilon, float, 16, 16, 16);
AT(layer_norm, x, const float *, 24, 20, 20);
AT(layer_norm, weight, const float *, 32, 24, 24);
AT(layer_norm, bias, const float *, 40, 28, 28);
AT(layer_norm, y, float *, 48, 32, 32);
AT(layer_norm, mean, float *, 56, 36, 36);
AT(layer_norm, rstd, float *, 64, 40, 40);
AT(layer_norm, dy, const float *, 72, 44, 44);
AT(layer_norm, dx, float *, 80, 48, 48);
AT(layer_norm, dweight, float *, 88, 52, 52);
AT(layer_norm, dbias, float *, 96, 56, 56);
AT(layer_norm, y_bf16, uint16_t *, 104, 60, 60);
SIZE(layer_norm, 112, 64, 64);

AT(attention, batch, int64_t, 0, 0, 0);
AT(attention, heads, int64_t, 8, 8, 8);
AT(attention, query_length, int64_t, 16, 16, 16);
AT(attention, key_length, int64_t, 24, 24, 24);
AT(attention, head_size, int64_t, 32, 32, 32);
AT(attention, scale, float, 40, 40, 40);
AT(attention, causal, int, 44, 44, 44);
AT(attention, q, const float *, 48, 48, 48);
AT(attention, k, const float *, 56, 52, 52);
AT(attention, v, const float *, 64, 56, 56);
AT(attention, y, float *, 72, 60, 60);
AT(attention, lse, float *, 80, 64, 64);
AT(attention, dy, const float *, 88, 68, 68);
AT(attention, dq, float *, 96, 72, 72);
AT(attention, dk, float *, 104, 76, 76);
AT(attention, dv, float *, 112, 80, 80);
AT(attention, q_bf16, const uint16_t *, 120, 84, 84);
AT(attention, k_bf16, const uint16_t *, 128, 88, 88);
AT(attention, v_bf16, const uint16_t *, 136, 92, 92);
AT(attention, y_bf16, uint16_t *, 144, 96, 96);
SIZE(attention, 152, 104, 100);

AT(softmax, rows, int64_t, 0, 0, 0);
AT(softmax, columns, int64_t, 8, 8, 8);
AT(softmax, x, const float *, 16, 16, 16);
AT(softmax, y, float *, 24, 20, 20);
AT(softmax, dy, const float *, 32, 24, 24);
AT(softmax, dx, float *, 40, 28, 28);
SIZE(softmax, 48, 32, 32);

_Static_assert(DREAMBOOTH_SILU == 0 && DREAMBOOTH_GELU == 1 &&
               DREAMBOOTH_GELU_TANH == 2 && DREAMBOOTH_QUICK_GELU == 3,
               "ABI 1: enum dreambooth_activation");
AT(unary, activation, int32_t, 0, 0, 0);
AT(unary, count, int64_t, 8, 8, 4);
AT(unary, x, const float *, 16, 16, 12);
AT(unary, y, float *, 24, 20, 16);
AT(unary, dy, const float *, 32, 24, 20);
AT(unary, dx, float *, 40, 28, 24);
SIZE(unary, 48, 32, 28);

AT(geglu, rows, int64_t, 0, 0, 0);
AT(geglu, width, int64_t, 8, 8, 8);
AT(geglu, x, const float *, 16, 16, 16);
AT(geglu, y, float *, 24, 20, 20);
AT(geglu, dy, const float *, 32, 24, 24);
AT(geglu, dx, float *, 40, 28, 28);
SIZE(geglu, 48, 32, 32);

AT(axpby, count, int64_t, 0, 0, 0);
AT(axpby, alpha, float, 8, 8, 8);
AT(axpby, beta, float, 12, 12, 12);
AT(axpby, x, const float *, 16, 16, 16);
AT(axpby, y, float *, 24, 20, 20);
SIZE(axpby, 32, 24, 24);

AT(rows, batch, int64_t, 0, 0, 0);
AT(rows, rows, int64_t, 8, 8, 8);
AT(rows, columns, int64_t, 16, 16, 16);
AT(rows, x, const float *, 24, 24, 24);
AT(rows, v, const float *, 32, 28, 28);
AT(rows, y, float *, 40, 32, 32);
AT(rows, sum, float *, 48, 36, 36);
SIZE(rows, 56, 40, 40);

AT(copy, rows, int64_t, 0, 0, 0);
AT(copy, columns, int64_t, 8, 8, 8);
AT(copy, x, const float *, 16, 16, 16);
AT(copy, x_stride, int64_t, 24, 24, 20);
AT(copy, y, float *, 32, 32, 28);
AT(copy, y_stride, int64_t, 40, 40, 32);
SIZE(copy, 48, 48, 40);

AT(resample, batch, int64_t, 0, 0, 0);
AT(resample, in_height, int64_t, 8, 8, 8);
AT(resample, in_width, int64_t, 16, 16, 16);
AT(resample, out_height, int64_t, 24, 24, 24);
AT(resample, out_width, int64_t, 32, 32, 32);
AT(resample, channels, int64_t, 40, 40, 40);
AT(resample, x, const float *, 48, 48, 48);
AT(resample, y, float *, 56, 52, 52);
AT(resample, dy, const float *, 64, 56, 56);
AT(resample, dx, float *, 72, 60, 60);
SIZE(resample, 80, 64, 64);

AT(embedding, rows, int64_t, 0, 0, 0);
AT(embedding, columns, int64_t, 8, 8, 8);
AT(embedding, entries, int64_t, 16, 16, 16);
AT(embedding, ids, const int64_t *, 24, 24, 24);
AT(embedding, table, const float *, 32, 28, 28);
AT(embedding, y, float *, 40, 32, 32);
AT(embedding, dy, const float *, 48, 36, 36);
AT(embedding, dtable, float *, 56, 40, 40);
SIZE(embedding, 64, 48, 44);

AT(mse, batch, int64_t, 0, 0, 0);
AT(mse, count, int64_t, 8, 8, 8);
AT(mse, prediction, const float *, 16, 16, 16);
AT(mse, target, const float *, 24, 20, 20);
AT(mse, weight, const float *, 32, 24, 24);
AT(mse, loss, double *, 40, 28, 28);
AT(mse, dloss, float, 48, 32, 32);
AT(mse, dprediction, float *, 56, 36, 36);
SIZE(mse, 64, 40, 40);

AT(adamw, count, int64_t, 0, 0, 0);
AT(adamw, step, int64_t, 8, 8, 8);
AT(adamw, learning_rate, double, 16, 16, 16);
AT(adamw, beta1, double, 24, 24, 24);
AT(adamw, beta2, double, 32, 32, 32);
AT(adamw, epsilon, double, 40, 40, 40);
AT(adamw, weight_decay, double, 48, 48, 48);
AT(adamw, gradient_scale, float, 56, 56, 56);
AT(adamw, gradient, const float *, 64, 60, 60);
AT(adamw, parameter, float *, 72, 64, 64);
AT(adamw, m, float *, 80, 68, 68);
AT(adamw, v, float *, 88, 72, 72);
SIZE(adamw, 96, 80, 76);

AT(adamw_narrow, count, int64_t, 0, 0, 0);
AT(adamw_narrow, step, int64_t, 8, 8, 8);
AT(adamw_narrow, learning_rate, double, 16, 16, 16);
AT(adamw_narrow, beta1, double, 24, 24, 24);
AT(adamw_narrow, beta2, double, 32, 32, 32);
AT(adamw_narrow, epsilon, double, 40, 40, 40);
AT(adamw_narrow, weight_decay, double, 48, 48, 48);
AT(adamw_narrow, gradient_scale, float, 56, 56, 56);
AT(adamw_narrow, gradient, const float *, 64, 60, 60);
AT(adamw_narrow, gradient_bf16, const uint16_t *, 72, 64, 64);
AT(adamw_narrow, parameter, float *, 80, 68, 68);
AT(adamw_narrow, parameter_bf16, uint16_t *, 88, 72, 72);
AT(adamw_narrow, m, float *, 96, 76, 76);
AT(adamw_narrow, v, float *, 104, 80, 80);
AT(adamw_narrow, m_codes, uint8_t *, 112, 84, 84);
AT(adamw_narrow, v_codes, uint8_t *, 120, 88, 88);
AT(adamw_narrow, m_scales, float *, 128, 92, 92);
AT(adamw_narrow, v_scales, float *, 136, 96, 96);
SIZE(adamw_narrow, 168, 120, 120);

AT(narrow, count, int64_t, 0, 0, 0);
AT(narrow, add, int, 8, 8, 8);
AT(narrow, x, const float *, 16, 12, 12);
AT(narrow, y, uint16_t *, 24, 16, 16);
AT(narrow, sum, double *, 32, 20, 20);
SIZE(narrow, 40, 24, 24);

AT(sum_squares, count, int64_t, 0, 0, 0);
AT(sum_squares, x, const float *, 8, 8, 8);
AT(sum_squares, sum, double *, 16, 12, 12);
SIZE(sum_squares, 24, 16, 16);

AT(backend, size, size_t, 0, 0, 0);
AT(backend, abi, uint32_t, 8, 4, 4);
AT(backend, features, uint32_t, 12, 8, 8);
AT(backend, name, const char *, 16, 12, 12);
AT(backend, user, void *, 24, 16, 16);
SLOT(0, gemm, gemm);
SLOT(1, conv2d_forward, conv2d);
SLOT(2, conv2d_backward_data, conv2d);
SLOT(3, conv2d_backward_weight, conv2d);
SLOT(4, group_norm_forward, group_norm);
SLOT(5, group_norm_backward, group_norm);
SLOT(6, layer_norm_forward, layer_norm);
SLOT(7, layer_norm_backward, layer_norm);
SLOT(8, attention_forward, attention);
SLOT(9, attention_backward, attention);
SLOT(10, softmax_forward, softmax);
SLOT(11, softmax_backward, softmax);
SLOT(12, unary_forward, unary);
SLOT(13, unary_backward, unary);
SLOT(14, geglu_forward, geglu);
SLOT(15, geglu_backward, geglu);
SLOT(16, axpby, axpby);
SLOT(17, add_rows, rows);
SLOT(18, sum_rows, rows);
SLOT(19, copy, copy);
SLOT(20, upsample_nearest_forward, resample);
SLOT(21, upsample_nearest_backward, resample);
SLOT(22, average_pool_forward, resample);
SLOT(23, average_pool_backward, resample);
SLOT(24, embedding_forward, embedding);
SLOT(25, embedding_backward, embedding);
SLOT(26, mse_forward, mse);
SLOT(27, mse_backward, mse);
SLOT(28, adamw, adamw);
SLOT(29, sum_squares, sum_squares);
SLOT(30, adamw_narrow, adamw_narrow);
SLOT(31, narrow, narrow);
SIZE(backend, 288, 148, 148);

/* clang-format on */

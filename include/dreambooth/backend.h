/* SPDX-License-Identifier: MIT */
/*
 * The compute kernels as a table of functions, for those who bring their own.
 *
 * A backend is a table with one slot a kernel. A plugin fills the slots that it
 * does better, leaves the others NULL, and registers the table with
 * dreambooth_context_add_backend() over an existing backend, from which it
 * inherits every NULL slot.
 *
 * This is the one header whose structs cross the library boundary. Each table
 * carries its size and the ABI number; slots are only ever added at its end.
 * The argument structs below are fixed for one ABI number.
 *
 * All data is 32-bit float, dense and row-major; images are channels-last,
 * [batch, height, width, channels]; sequences are [batch, length, channels]. A
 * weight may be bfloat16 instead: the upper 16 bits of a float, in a uint16_t
 * of this machine's byte order. No slot keeps a pointer after it returns.
 * Outputs never overlap inputs unless the slot says so. A slot returns
 * DREAMBOOTH_OK or a negative status.
 *
 * Results must depend neither on the number of threads nor on timing: divide
 * work by shape, and add partial sums in a fixed order.
 */
#ifndef DREAMBOOTH_BACKEND_H
#define DREAMBOOTH_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "dreambooth/base.h"

#include "dreambooth/begin.h"

#define DREAMBOOTH_BACKEND_ABI 1

/*
 * How the operands of products (gemm, conv2d_*, attention_*) may be rounded.
 * EXACT: not at all; plain sums of products of floats, in any order. FLOAT32:
 * any algorithm whose error, relative to the largest result, stays below 1e-5,
 * such as Winograd's, or factors split into two bfloat16. BFLOAT16: to
 * bfloat16, to nearest, ties to even. Sums have 32 bits or more in any case,
 * and norms, softmax and all that works elementwise computes in floats. More
 * exact than asked for is always right.
 */
enum dreambooth_precision {
    DREAMBOOTH_EXACT = 0,   /* plain floats */
    DREAMBOOTH_FLOAT32 = 1, /* as good as floats */
    DREAMBOOTH_BFLOAT16 = 2 /* factors rounded to bfloat16 */
};

/* What the library offers to a kernel while it runs. */
typedef struct dreambooth_kernel_host dreambooth_kernel_host;
typedef struct dreambooth_form dreambooth_form;
struct dreambooth_kernel_host {
    size_t size;  /* of this struct */
    uint32_t abi; /* DREAMBOOTH_BACKEND_ABI */
    int threads;  /* workers that parallel() may use at once, >= 1 */
    /*
     * Runs task(argument, index, worker) once for each index in 0..count-1, on
     * several threads at once, and returns when all have ended. worker is in
     * 0..threads-1; no two tasks run at once with the same one. Not reentrant.
     */
    void (*parallel)(const dreambooth_kernel_host *host, int64_t count,
                     void (*task)(void *argument, int64_t index, int worker),
                     void *argument);
    /* Memory that counts against the context's limit, 64-byte aligned; NULL
     * when there is none: then return DREAMBOOTH_ENOMEM. Call it from the
     * slot's own thread only, before parallel(). */
    void *(*scratch_new)(const dreambooth_kernel_host *host, size_t size);
    void (*scratch_free)(const dreambooth_kernel_host *host, void *scratch);
    void *library;     /* the library's own */
    void *user;        /* of the backend that the slot is from */
    int32_t precision; /* enum dreambooth_precision, one for each model */
    int32_t overwrite; /* see DREAMBOOTH_OVERWRITES; else 0 */
    /*
     * Memory of SIZE bytes for FORM, 64-byte aligned, in which later calls
     * find what the first one has put there: *is_new is not 0 for that one,
     * which has to fill it, whatever it returns. NULL: the weight may change
     * before the next call, or there is no room; then scratch memory will do.
     * Call it from the slot's own thread only, before parallel().
     */
    void *(*keep)(const dreambooth_kernel_host *host,
                  const dreambooth_form *form, size_t size, int *is_new);
};

/*
 * What a slot has made of a weight for itself, such as its values in the order
 * in which they are read. Forms are the same where all of this is: maker is an
 * address in the slot's own code or data, and what the numbers mean is its
 * affair.
 */
struct dreambooth_form {
    const void *weight; /* where it begins, as in the arguments */
    const void *maker;
    int64_t numbers[8];
};

/*
 * c[i] = alpha * op(a[i]) op(b[i]) + beta * c[i] + bias, i in 0..batch-1.
 * op(a) is [m, k], op(b) [k, n], c [m, n]; a is stored [m, k] with row stride
 * lda, or [k, m] if transpose_a; b likewise. The *_step are the distances
 * between matrices of the batch, in elements. bias is [n] or NULL; with beta 0,
 * c is not read.
 *
 * b_bf16 is NULL, or has b's elements in bfloat16, and b is NULL then. Only
 * slots of a table with DREAMBOOTH_READS_BFLOAT16 see it, and they compute as
 * with a b of the same values.
 *
 * Of a table with DREAMBOOTH_NARROWS alone, a_bf16 is to a what b_bf16 is to b,
 * and c_bf16 may be there in place of c, which is then rounded to it, to
 * nearest, ties to even. Of one with DREAMBOOTH_FUSES alone geglu, where it is
 * not 0, makes an even n into c [m, n/2]: c[r, j] = x gelu(gate), where x and
 * gate are columns j and n/2 + j of the sum with its bias. With geglu or c_bf16
 * batch is 1, and beta 0.
 */
typedef struct dreambooth_gemm {
    int64_t batch, m, n, k;
    int transpose_a, transpose_b;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
    int64_t a_step, b_step, c_step;
    const float *bias;
    const uint16_t *b_bf16;
    const uint16_t *a_bf16;
    uint16_t *c_bf16;
    int32_t geglu;
} dreambooth_gemm;

/*
 * 2-d convolution with zero padding. x [batch, in_height, in_width,
 * in_channels], weight [out_channels, kernel_height, kernel_width,
 * in_channels], bias [out_channels] or NULL, y [batch, out_height, out_width,
 * out_channels] where out = (in + pads - kernel) / stride + 1, rounded down.
 * forward writes y from x, weight, bias; backward_data writes dx from dy and
 * weight; backward_weight adds to dweight, and to dbias unless that is NULL,
 * from x and dy.
 *
 * weight_bf16 is to weight what b_bf16 is to b in dreambooth_gemm; it is not
 * given to backward_weight.
 */
typedef struct dreambooth_conv2d {
    int64_t batch;
    int64_t in_height, in_width, in_channels;
    int64_t out_height, out_width, out_channels;
    int64_t kernel_height, kernel_width, stride;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    const float *x, *weight, *bias;
    float *y;
    const float *dy;
    float *dx, *dweight, *dbias;
    const uint16_t *weight_bf16;
} dreambooth_conv2d;

/*
 * Group normalisation: x, y [batch, pixels, channels], statistics over each
 * (image, group) of channels / groups adjacent channels, biased variance;
 * weight and bias [channels]. forward writes y, mean and rstd [batch, groups];
 * y may be x. backward writes dx (if not NULL), which may be dy, and adds to
 * dweight and dbias (if not NULL).
 */
typedef struct dreambooth_group_norm {
    int64_t batch, pixels, channels, groups;
    float epsilon;
    int32_t silu; /* not 0: y is the SiLU of that, and dy its gradient */
    const float *x, *weight, *bias;
    float *y, *mean, *rstd;
    const float *dy;
    float *dx, *dweight, *dbias;
} dreambooth_group_norm;

/* Layer normalisation over the last dimension: x, y [rows, channels], mean and
 * rstd [rows]; else as group normalisation. y_bf16 may be there in place of y,
 * in forward of a table with DREAMBOOTH_NARROWS alone. */
typedef struct dreambooth_layer_norm {
    int64_t rows, channels;
    float epsilon;
    const float *x, *weight, *bias;
    float *y, *mean, *rstd;
    const float *dy;
    float *dx, *dweight, *dbias;
    uint16_t *y_bf16;
} dreambooth_layer_norm;

/*
 * y = softmax(scale q k^T [+ causal mask]) v for each image and head.
 * q, y [batch, query_length, heads, head_size], k, v [batch, key_length, heads,
 * head_size]. lse [batch, heads, query_length] is the log of the sum of the
 * exponentials of each row of logits, which forward writes and backward reads.
 * causal: query i sees keys 0..i. backward writes dq, dk and dv from q, k, v,
 * y, lse and dy. No kernel may hold all query_length x key_length scores.
 *
 * The rest is for forward of a table with DREAMBOOTH_NARROWS alone: k_bf16,
 * v_bf16 and y_bf16 are to k, v and y what c_bf16 is to c in dreambooth_gemm.
 * q_bf16 has q times scale / ln 2: exponents of base 2.
 */
typedef struct dreambooth_attention {
    int64_t batch, heads, query_length, key_length, head_size;
    float scale;
    int causal;
    const float *q, *k, *v;
    float *y, *lse;
    const float *dy;
    float *dq, *dk, *dv;
    const uint16_t *q_bf16, *k_bf16, *v_bf16;
    uint16_t *y_bf16;
} dreambooth_attention;

/* Softmax of each row of x [rows, columns]. backward writes dx from y and dy.
 */
typedef struct dreambooth_softmax {
    int64_t rows, columns;
    const float *x;
    float *y;
    const float *dy;
    float *dx;
} dreambooth_softmax;

enum dreambooth_activation {
    DREAMBOOTH_SILU = 0,      /* x sigmoid(x) */
    DREAMBOOTH_GELU = 1,      /* x Phi(x), with erf */
    DREAMBOOTH_GELU_TANH = 2, /* the tanh approximation of it */
    DREAMBOOTH_QUICK_GELU = 3 /* x sigmoid(1.702 x) */
};

/* y = f(x), elementwise; y may be x. backward writes dx from x and dy; dx may
 * be dy. */
typedef struct dreambooth_unary {
    int32_t activation; /* enum dreambooth_activation */
    int64_t count;
    const float *x;
    float *y;
    const float *dy;
    float *dx;
} dreambooth_unary;

/* y[r, c] = x[r, c] gelu(x[r, width + c]) with x [rows, 2 width], y [rows,
 * width]. backward writes dx from x and dy. */
typedef struct dreambooth_geglu {
    int64_t rows, width;
    const float *x;
    float *y;
    const float *dy;
    float *dx;
} dreambooth_geglu;

/* y = alpha x + beta y, elementwise; with beta 0, y is not read. y may be x. */
typedef struct dreambooth_axpby {
    int64_t count;
    float alpha, beta;
    const float *x;
    float *y;
} dreambooth_axpby;

/*
 * add_rows: y[b, r, c] = x[b, r, c] + v[b, c]; y may be x.
 * sum_rows: sum[b, c] += the sum over r of x[b, r, c].
 */
typedef struct dreambooth_rows {
    int64_t batch, rows, columns;
    const float *x, *v;
    float *y;
    float *sum;
} dreambooth_rows;

/* Copies a matrix [rows, columns] between two row strides (in elements). */
typedef struct dreambooth_copy {
    int64_t rows, columns;
    const float *x;
    int64_t x_stride;
    float *y;
    int64_t y_stride;
} dreambooth_copy;

/*
 * Resampling of x [batch, in_height, in_width, channels] to y [batch,
 * out_height, out_width, channels]. upsample_nearest reads source index
 * floor(i in / out); average_pool is 2x2 with stride 2, an odd last row or
 * column dropped. backward writes dx from dy.
 */
typedef struct dreambooth_resample {
    int64_t batch, in_height, in_width, out_height, out_width, channels;
    const float *x;
    float *y;
    const float *dy;
    float *dx;
} dreambooth_resample;

/* y[r] = table[ids[r]] with table [entries, columns]; backward adds dy[r] to
 * dtable[ids[r]] in the order of r. The library has checked the ids. */
typedef struct dreambooth_embedding {
    int64_t rows, columns, entries;
    const int64_t *ids;
    const float *table;
    float *y;
    const float *dy;
    float *dtable;
} dreambooth_embedding;

/*
 * loss = (1/batch) sum_b weight[b] mean((prediction[b] - target[b])^2) over
 * count elements each; weight NULL means 1. backward writes dprediction, dloss
 * times the gradient.
 */
typedef struct dreambooth_mse {
    int64_t batch, count;
    const float *prediction, *target, *weight;
    double *loss;
    float dloss;
    float *dprediction;
} dreambooth_mse;

/*
 * One AdamW update, as torch.optim.AdamW: p *= 1 - learning_rate weight_decay;
 * m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g^2; p -= learning_rate /
 * (1-beta1^step) m / (sqrt(v) / sqrt(1-beta2^step) + epsilon), where g is
 * gradient times gradient_scale. step counts from 1.
 */
typedef struct dreambooth_adamw {
    int64_t count, step;
    double learning_rate, beta1, beta2, epsilon, weight_decay;
    float gradient_scale;
    const float *gradient;
    float *parameter, *m, *v;
} dreambooth_adamw;

/*
 * The same update of numbers that are kept in fewer bits. Of the pairs gradient
 * and gradient_bf16, parameter and parameter_bf16, m and m_codes, v and v_codes
 * one of each is NULL. Blocks of DREAMBOOTH_NARROW_BLOCK elements become
 * floats, are updated, and are rounded at random, so that what is lost is right
 * on average (a small step must not always round to none).
 *
 * A code is a float of 4 exponent bits, the lowest for numbers below 2^-14
 * (subnormal), bias 15: in m_codes a sign and 3 bits of fraction, in v_codes,
 * which have the square root of v, 4 bits of fraction and no sign. It counts in
 * units of its block's scale, by which the largest of a block has the largest
 * code. The root of a v that is not 0 never becomes 0.
 *
 * Element i draws word i % 4 of Philox4x32-10 with the given key and the
 * counter {i / 4, counter[0], counter[1], counter[2]}. Its low 16 bits are
 * added to a parameter's float before it is cut off to bfloat16, bits 16 to 23
 * decide over m, 24 to 31 over v: the code is the next one where the fraction f
 * of the way to it has 256 f + bits + 1/2 >= 256; of subnormal numbers f is
 * first cut off to 16 bits. Blocks all below 1e-30 are 0.
 */
#define DREAMBOOTH_NARROW_BLOCK 256
typedef struct dreambooth_adamw_narrow {
    int64_t count, step;
    double learning_rate, beta1, beta2, epsilon, weight_decay;
    float gradient_scale;
    const float *gradient;
    const uint16_t *gradient_bf16;
    float *parameter;
    uint16_t *parameter_bf16;
    float *m, *v;
    uint8_t *m_codes, *v_codes;
    float *m_scales, *v_scales; /* one a block */
    uint32_t key[2], counter[3];
} dreambooth_adamw_narrow;

/* y = x, or y + x where add is set, rounded to bfloat16, to nearest, ties to
 * even; sum = the sum of the squares of y, in double. */
typedef struct dreambooth_narrow {
    int64_t count;
    int add;
    const float *x;
    uint16_t *y;
    double *sum;
} dreambooth_narrow;

/* sum = the sum of the squares of x, in double. */
typedef struct dreambooth_sum_squares {
    int64_t count;
    const float *x;
    double *sum;
} dreambooth_sum_squares;

#define DREAMBOOTH_SLOT(name, arguments)                                       \
    int (*name)(const dreambooth_kernel_host *host, const arguments *a)

/*
 * What the slots of a table can do; to be added up. READS_BFLOAT16: gemm,
 * conv2d_forward and conv2d_backward_data read b_bf16 and weight_bf16. Without
 * it the library gives them floats, made in scratch memory for each call.
 * OVERWRITES: conv2d_backward_weight writes dweight, which then holds anything,
 * where the host's overwrite is not 0. Without it the library gives zeros.
 * FUSES: gemm computes geglu. NARROWS: gemm, layer_norm_forward and
 * attention_forward read and write bfloat16, which takes less time than floats
 * do. Without them the library asks for nothing of that.
 */
enum dreambooth_backend_feature {
    DREAMBOOTH_READS_BFLOAT16 = 1, /* weights in bfloat16 */
    DREAMBOOTH_OVERWRITES = 2,     /* first gradients are not added to zeros */
    DREAMBOOTH_FUSES = 4,          /* products with what follows them */
    DREAMBOOTH_NARROWS = 8         /* values in bfloat16 between products */
};

typedef struct dreambooth_backend {
    size_t size;       /* sizeof(dreambooth_backend) where it was compiled */
    uint32_t abi;      /* DREAMBOOTH_BACKEND_ABI */
    uint32_t features; /* of enum dreambooth_backend_feature */
    const char *name;  /* for the option "backend"; it is copied */
    void *user;        /* the plugin's own, given to its slots in the host */

    DREAMBOOTH_SLOT(gemm, dreambooth_gemm);
    DREAMBOOTH_SLOT(conv2d_forward, dreambooth_conv2d);
    DREAMBOOTH_SLOT(conv2d_backward_data, dreambooth_conv2d);
    DREAMBOOTH_SLOT(conv2d_backward_weight, dreambooth_conv2d);
    DREAMBOOTH_SLOT(group_norm_forward, dreambooth_group_norm);
    DREAMBOOTH_SLOT(group_norm_backward, dreambooth_group_norm);
    DREAMBOOTH_SLOT(layer_norm_forward, dreambooth_layer_norm);
    DREAMBOOTH_SLOT(layer_norm_backward, dreambooth_layer_norm);
    DREAMBOOTH_SLOT(attention_forward, dreambooth_attention);
    DREAMBOOTH_SLOT(attention_backward, dreambooth_attention);
    DREAMBOOTH_SLOT(softmax_forward, dreambooth_softmax);
    DREAMBOOTH_SLOT(softmax_backward, dreambooth_softmax);
    DREAMBOOTH_SLOT(unary_forward, dreambooth_unary);
    DREAMBOOTH_SLOT(unary_backward, dreambooth_unary);
    DREAMBOOTH_SLOT(geglu_forward, dreambooth_geglu);
    DREAMBOOTH_SLOT(geglu_backward, dreambooth_geglu);
    DREAMBOOTH_SLOT(axpby, dreambooth_axpby);
    DREAMBOOTH_SLOT(add_rows, dreambooth_rows);
    DREAMBOOTH_SLOT(sum_rows, dreambooth_rows);
    DREAMBOOTH_SLOT(copy, dreambooth_copy);
    DREAMBOOTH_SLOT(upsample_nearest_forward, dreambooth_resample);
    DREAMBOOTH_SLOT(upsample_nearest_backward, dreambooth_resample);
    DREAMBOOTH_SLOT(average_pool_forward, dreambooth_resample);
    DREAMBOOTH_SLOT(average_pool_backward, dreambooth_resample);
    DREAMBOOTH_SLOT(embedding_forward, dreambooth_embedding);
    DREAMBOOTH_SLOT(embedding_backward, dreambooth_embedding);
    DREAMBOOTH_SLOT(mse_forward, dreambooth_mse);
    DREAMBOOTH_SLOT(mse_backward, dreambooth_mse);
    DREAMBOOTH_SLOT(adamw, dreambooth_adamw);
    DREAMBOOTH_SLOT(sum_squares, dreambooth_sum_squares);
    DREAMBOOTH_SLOT(adamw_narrow, dreambooth_adamw_narrow);
    DREAMBOOTH_SLOT(narrow, dreambooth_narrow);
} dreambooth_backend;

#undef DREAMBOOTH_SLOT

struct dreambooth_context;

/*
 * Registers BACKEND with the context. It must carry its size and ABI and have a
 * name that is not taken (EINVAL). Slots that are NULL, or lie behind its size,
 * are taken from the backend called OVER ("reference", "blas" or one that was
 * added before; NULL: the context's present one); slots that this library does
 * not know are left out. The table is copied, the functions and what USER
 * points to must stay as long as the context. Select it with the option
 * "backend" before models are made.
 */
int dreambooth_context_add_backend(struct dreambooth_context *context,
                                   const dreambooth_backend *backend,
                                   const char *over);

/*
 * Copies the complete table of the backend called NAME to *TABLE, which has
 * SIZE bytes: for plugins that wrap another's kernels. Slots that this library
 * does not know become NULL. A slot of a table with a user must be called with
 * a copy of the host that carries that user, and without
 * DREAMBOOTH_READS_BFLOAT16 in its features with floats only. ENOTFOUND if
 * there is none of that name.
 */
int dreambooth_context_get_backend(struct dreambooth_context *context,
                                   const char *name, dreambooth_backend *table,
                                   size_t size);

#include "dreambooth/end.h"

#endif

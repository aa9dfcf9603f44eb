/* SPDX-License-Identifier: MIT */
/*
 * What the slots that are no products are made of: functions on rows, once for
 * each isa from one template (rows_int.h). The slots of blas divide the work; a
 * value comes out the same wherever it lies in a row.
 */
#ifndef DB_KERNEL_ELEMENTWISE_ELEMENTWISE_H
#define DB_KERNEL_ELEMENTWISE_ELEMENTWISE_H

#include <stdbool.h>

#include "kernel/blas/blas_int.h"

#define DB_ELEMENTWISE_ACTIVATIONS 4

/* What a row of group normalisation takes for each channel: forward
 * y = (x - mean) factor + bias, and the SiLU of it if asked for; backward
 * dx = dy factor - (x - mean) slope - shift. */
struct db_norm_row {
    const float *mean, *factor, *bias;
    const float *slope, *shift;
    bool silu;
};

/* Rows of x and of its gate, [rows, width] both and X_ROW floats apart, and of
 * y = x gelu(gate), which may be rounded to bfloat16. */
struct db_gated_rows {
    int64_t rows, width;
    const float *x, *gate;
    int64_t x_row;
    float *y; /* or NULL and */
    uint16_t *y_bf16;
    int64_t y_row;
    bool is_rough; /* gelu is good to 1e-6, for products that round to 4e-3 */
};

/* What AdamW's step has for all numbers. */
struct db_adamw_form {
    float gradient_scale;
    float decay, step_size, root2, weight1, weight2, beta2, epsilon;
};

/* Outputs may lie on inputs exactly; else they do not overlap. */
struct db_elementwise {
    /* y = f(x); dx = dy f'(x) */
    void (*value[DB_ELEMENTWISE_ACTIVATIONS])(const float *x, int64_t count,
                                              float *y);
    void (*slope[DB_ELEMENTWISE_ACTIVATIONS])(const float *x, const float *dy,
                                              int64_t count, float *dx);
    void (*geglu)(const struct db_gated_rows *rows);
    /* the gradients of both */
    void (*geglu_slope)(const float *x, const float *gate, const float *dy,
                        int64_t count, float *dx, float *dgate);
    /* y = alpha x + beta y; with beta 0, y is not read */
    void (*combine)(float alpha, const float *x, float beta, int64_t count,
                    float *y);
    void (*add)(const float *x, const float *v, int64_t count, float *y);
    /* sum[c] = the sum of x[r, c], rows ROW floats apart */
    void (*sum_rows)(const float *x, int64_t rows, int64_t row, int64_t width,
                     double *sum);
    /* the sums of x[r, c] - x[0, c] and of their squares */
    void (*moments)(const float *x, int64_t rows, int64_t row, int64_t width,
                    double *sum, double *square);
    /* the sums of dy[r, c] and of dy[r, c] (x[r, c] - mean[c]), where dy is
     * the gradient before the SiLU, if there is one; WITHIN, unless it is NULL,
     * gets that, and may be dy */
    void (*slopes)(const struct db_norm_row *norm, const float *x,
                   const float *dy, int64_t rows, int64_t row, int64_t width,
                   double *sum, double *product, float *within);
    void (*normalise)(const struct db_norm_row *norm, const float *x,
                      int64_t width, float *y);
    void (*unnormalise)(const struct db_norm_row *norm, const float *x,
                        const float *dy, int64_t width, float *dx);
    /* layer normalisation of one row: y = (x - mean) rstd weight + bias; y or
     * y_bf16 is NULL */
    void (*normalise_row)(const float *x, const float *weight,
                          const float *bias, double epsilon, int64_t width,
                          float *y, uint16_t *y_bf16, float *mean, float *rstd);
    /* dx unless NULL, and what the row adds to dweight and dbias */
    void (*unnormalise_row)(const float *x, const float *dy,
                            const float *weight, float mean, float rstd,
                            int64_t width, float *dx, float *dweight,
                            float *dbias);
    /* the sum of x w */
    float (*dot)(const float *x, const float *w, int64_t count);
    float (*dot_bf16)(const float *x, const uint16_t *w, int64_t count);
    double (*squares)(const float *x, int64_t count);
    void (*adamw)(const struct db_adamw_form *form, const float *gradient,
                  int64_t count, float *p, float *m, float *v);
    /* the update of block number INDEX of A */
    void (*adamw_narrow)(const struct db_adamw_form *form,
                         const dreambooth_adamw_narrow *a, int64_t index);
    /* y = x, or y + x, as bfloat16; the sum of the squares of y */
    double (*narrow)(const float *x, int64_t count, int add, uint16_t *y);
};

extern const struct db_elementwise db_elementwise_plain;
#if defined(__GNUC__) && defined(__x86_64__)
extern const struct db_elementwise db_elementwise_avx512, db_elementwise_avx2;
#endif

/* All rows, by several threads. */
int db_blas_gate(const dreambooth_kernel_host *host,
                 const struct db_gated_rows *all);

/* From what the slots of AdamW are given. */
struct db_adamw_form db_blas_adamw_form(const dreambooth_adamw *a);

/* For the isa of HOST's backend. */
const struct db_elementwise *db_elementwise_of(
    const dreambooth_kernel_host *host);

#endif

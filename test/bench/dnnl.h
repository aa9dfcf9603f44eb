/* SPDX-License-Identifier: MIT */
/*
 * The part of oneDNN 2's C interface that the yardstick needs, declared here
 * because the library is opened at run time, where it is installed: it is no
 * dependency. Descriptors are opaque, and larger than the library's own.
 */
#ifndef BENCH_DNNL_H
#define BENCH_DNNL_H

#include <stdbool.h>
#include <stdint.h>

#define DNNL_DIMS 12
#define DNNL_BF16 2
#define DNNL_F32 3

enum dnnl_product {
    DNNL_CONV_FORWARD,
    DNNL_CONV_BACKWARD_DATA,
    DNNL_CONV_BACKWARD_WEIGHTS,
    DNNL_MATMUL
};

struct dnnl;
struct dnnl_call;

/* With THREADS threads; NULL if there is no oneDNN 2. */
struct dnnl *dnnl_open(int threads);
const char *dnnl_version_text(const struct dnnl *dnnl);

/*
 * A product with memory of its own, in the layouts that oneDNN likes best: a
 * convolution of SHAPE batch, side, in, out, kernel, stride, or a matrix
 * product of m, n, k. NULL if it cannot do that in TYPE.
 */
struct dnnl_call *dnnl_prepare(struct dnnl *dnnl, enum dnnl_product product,
                               int type, const int64_t *shape);
void dnnl_run(void *call);
void dnnl_release(struct dnnl_call *call);

#endif

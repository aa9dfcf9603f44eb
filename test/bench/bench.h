/* SPDX-License-Identifier: MIT */
/*
 * `make bench`: sections of tables. The machine's own peaks come first, because
 * all that follows is told as shares of them.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "common.h"
#include "dreambooth/dreambooth.h"
#include "kernel/device.h"

struct bench_options {
    int threads;
    const char *backend;
    const char *only;      /* rows whose name has this in it; "" has all */
    const char *precision; /* NULL: the context's default */
    bool bfloat16;         /* that is "bfloat16" */
};

/* Of the threads of a run together. 0: not there. */
struct bench_peaks {
    double sgemm;    /* FLOP/s of the BLAS */
    double float32;  /* FLOP/s of fused multiply-adds in registers */
    double bfloat16; /* FLOP/s of the best products of bfloat16 in registers */
    double stream;   /* bytes/s of a sum of two arrays in memory */
};

struct bench_run {
    struct bench_options options;
    struct bench_peaks peaks;
};

/* The peak that products of the run's precision have. */
double bench_peak(const struct bench_run *run);
/* Has SECTION, a space and NAME one of the parts that were asked for? */
bool bench_wants(const struct bench_run *run, const char *section,
                 const char *name);

/* Sections; each prints nothing if no row of it is wanted. */
void bench_machine(struct bench_run *run); /* fills in the peaks */
void bench_kernels(const struct bench_run *run);
void bench_yardstick(const struct bench_run *run);
void bench_steps(const struct bench_run *run);
void bench_profile(const struct bench_run *run);
void bench_growth(const struct bench_run *run);

/* A device of its own for kernels, and buffers that belong to a row. */
#define BENCH_BUFFERS 12
struct bench_bed {
    dreambooth_context *context;
    struct db_env *env;
    struct db_device device;
    float *buffers[BENCH_BUFFERS];
    int used;
};

/* False if the library lacks the option "precision", and one is given. */
bool bench_bed_open(struct bench_bed *bed, const char *backend, int threads,
                    const char *precision);
void bench_bed_close(struct bench_bed *bed);
/* Floats in -1..1. */
float *bench_values(struct bench_bed *bed, int64_t count);
void bench_release(struct bench_bed *bed);

/* What something took, and how much it is: one of the two is 0. */
struct bench_cost {
    struct bench_time time;
    double flops;
    double bytes;
};

/* FLOP/s or bytes/s of the best run. */
double bench_rate(const struct bench_cost *cost);

/*
 * A kernel on arguments of SHAPE; what shape and variant mean stands beside
 * each function. work() tells the flops of the product, of which the bits
 * SHRINKS are dimensions that may be halved for the slow reference; NULL: it is
 * fast enough.
 */
struct bench_kernel {
    struct bench_cost (*run)(struct bench_bed *bed, const int64_t *shape,
                             int64_t variant, struct bench_effort effort);
    double (*work)(const int64_t *shape);
    unsigned shrinks;
};

/* m, n, k; variant: 0 forward (x w^T), 1 data (dy w), 2 weight (dy^T x) */
extern const struct bench_kernel bench_gemm;
/* batch, side, in, out, kernel, stride; variant: forward, data, weight */
extern const struct bench_kernel bench_conv2d;
/* batch, heads, queries, keys, head size; variant: forward, backward. The flops
 * are those of 2 and of 5 products. */
extern const struct bench_kernel bench_attention;
/* rows (pixels, tokens), channels; variant: forward, backward */
extern const struct bench_kernel bench_group_norm, bench_layer_norm,
    bench_geglu;
/* The same, and the activation. */
extern const struct bench_kernel bench_unary;
/* rows, channels; variant: beta */
extern const struct bench_kernel bench_axpby;
/* elements */
extern const struct bench_kernel bench_adamw, bench_sum_squares;

#endif

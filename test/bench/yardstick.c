/* SPDX-License-Identifier: MIT */
/*
 * Our products beside oneDNN's, on one thread, in floats and in bfloat16, where
 * oneDNN 2 is installed. Its operands lie as it likes best; ours lie as they do
 * in a model, and its bfloat16 is in memory, where ours is rounded on the way.
 */
#include <stdio.h>

#include "bench.h"
#include "dnnl.h"

#define SECTION "oneDNN"

static const struct bench_effort effort = {5, 0.35};

static const struct row {
    const char *name;
    const struct bench_kernel *kernel;
    int64_t variant;
    enum dnnl_product product;
    int64_t shape[6];
} rows[] = {
    {"conv 3x3 320 -> 320 at 64",
     &bench_conv2d,
     0,
     DNNL_CONV_FORWARD,
     {1, 64, 320, 320, 3, 1}},
    {"  dx",
     &bench_conv2d,
     1,
     DNNL_CONV_BACKWARD_DATA,
     {1, 64, 320, 320, 3, 1}},
    {"  dw",
     &bench_conv2d,
     2,
     DNNL_CONV_BACKWARD_WEIGHTS,
     {1, 64, 320, 320, 3, 1}},
    {"conv 3x3 640 -> 640 at 32",
     &bench_conv2d,
     0,
     DNNL_CONV_FORWARD,
     {1, 32, 640, 640, 3, 1}},
    {"  dx",
     &bench_conv2d,
     1,
     DNNL_CONV_BACKWARD_DATA,
     {1, 32, 640, 640, 3, 1}},
    {"  dw",
     &bench_conv2d,
     2,
     DNNL_CONV_BACKWARD_WEIGHTS,
     {1, 32, 640, 640, 3, 1}},
    {"conv 3x3 1280 -> 1280 at 16",
     &bench_conv2d,
     0,
     DNNL_CONV_FORWARD,
     {1, 16, 1280, 1280, 3, 1}},
    {"  dx",
     &bench_conv2d,
     1,
     DNNL_CONV_BACKWARD_DATA,
     {1, 16, 1280, 1280, 3, 1}},
    {"  dw",
     &bench_conv2d,
     2,
     DNNL_CONV_BACKWARD_WEIGHTS,
     {1, 16, 1280, 1280, 3, 1}},
    {"gemm 4096 x 320 x 1280", &bench_gemm, 0, DNNL_MATMUL, {4096, 320, 1280}},
    {"gemm 1024 x 5120 x 640", &bench_gemm, 0, DNNL_MATMUL, {1024, 5120, 640}},
};

/* The types that both compute in. */
static const struct {
    const char *precision;
    int type;
} types[] = {{"float32", DNNL_F32}, {"bfloat16", DNNL_BF16}};

#define TYPES DB_COUNT(types)

/* FLOP/s, or 0. */
static double their_rate(struct dnnl *dnnl, const struct row *row, int type)
{
    struct dnnl_call *call = dnnl_prepare(dnnl, row->product, type, row->shape);
    struct bench_time time;

    if (call == NULL)
        return 0.0;
    time = bench_measure(dnnl_run, call, effort);
    dnnl_release(call);
    return row->kernel->work(row->shape) / time.best;
}

static double our_rate(const struct bench_run *run, const struct row *row,
                       const char *precision)
{
    struct bench_cost cost;
    struct bench_bed bed;

    if (!bench_bed_open(&bed, run->options.backend, 1, precision))
        return 0.0;
    cost = row->kernel->run(&bed, row->shape, row->variant, effort);
    bench_bed_close(&bed);
    return bench_rate(&cost);
}

static void print_rate(double rate)
{
    if (rate > 0.0)
        bench_say("| %8.1f ", rate * 1e-9);
    else
        bench_say("|          ");
}

static void print_row(const struct bench_run *run, struct dnnl *dnnl,
                      const struct row *row)
{
    double ours, theirs;
    size_t i;

    bench_say("| %-28s ", row->name);
    for (i = 0; i < TYPES; i++) {
        theirs = their_rate(dnnl, row, types[i].type);
        ours = our_rate(run, row, types[i].precision);
        print_rate(ours);
        print_rate(theirs);
        if (ours > 0.0 && theirs > 0.0)
            bench_say("| %5.2f ", ours / theirs);
        else
            bench_say("|       ");
    }
    bench_say("|\n");
}

void bench_yardstick(const struct bench_run *run)
{
    struct dnnl *dnnl = NULL;
    size_t i;

    for (i = 0; i < DB_COUNT(rows); i++) {
        if (!bench_wants(run, SECTION, rows[i].name))
            continue;
        if (dnnl == NULL) {
            dnnl = dnnl_open(1);
            if (dnnl == NULL)
                return;
            bench_say("\nGFLOP/s on one thread, beside oneDNN %s:\n\n",
                      dnnl_version_text(dnnl));
            bench_say("| %-28s | ours f32 | oneDNN   | ratio | ours bf16 | "
                      "oneDNN | ratio |\n",
                      "kernel");
            bench_say("|%.30s|---------:|---------:|------:|----------:|"
                      "-------:|------:|\n",
                      "--------------------------------");
        }
        print_row(run, dnnl, &rows[i]);
    }
}

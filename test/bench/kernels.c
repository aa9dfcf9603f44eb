/* SPDX-License-Identifier: MIT */
/*
 * The kernels on the shapes of Stable Diffusion 1.5 at 512 x 512. Against the
 * reference rates are compared, not times: it is slow, and gets a smaller shape
 * of the same kind.
 */
#include <string.h>

#include "bench.h"

#define SECTION "kernels"
#define MOST_REFERENCE_FLOPS 3e7

static const struct bench_effort effort = {5, 0.35};
static const struct bench_effort reference_effort = {2, 0.05};

static const struct row {
    const char *name;
    const struct bench_kernel *kernel;
    int64_t variant;
    int64_t shape[6];
} rows[] = {
    {"gemm 4096 x 320 x 1280", &bench_gemm, 0, {4096, 320, 1280}},
    {"gemm 4096 x 2560 x 320", &bench_gemm, 0, {4096, 2560, 320}},
    {"gemm 4096 x 320 x 320", &bench_gemm, 0, {4096, 320, 320}},
    {"gemm 64 x 1280 x 1280", &bench_gemm, 0, {64, 1280, 1280}},
    {"gemm 77 x 320 x 768", &bench_gemm, 0, {77, 320, 768}},
    {"gemm 1 x 1280 x 1280", &bench_gemm, 0, {1, 1280, 1280}},
    {"gemm 4096 x 1280 x 320, dx", &bench_gemm, 1, {4096, 1280, 320}},
    {"gemm 320 x 1280 x 4096, dw", &bench_gemm, 2, {320, 1280, 4096}},
    {"conv 3x3 4 -> 320 at 64", &bench_conv2d, 0, {1, 64, 4, 320, 3, 1}},
    {"conv 3x3 320 -> 4 at 64", &bench_conv2d, 0, {1, 64, 320, 4, 3, 1}},
    {"conv 3x3 320 -> 320 at 64", &bench_conv2d, 0, {1, 64, 320, 320, 3, 1}},
    {"  dx", &bench_conv2d, 1, {1, 64, 320, 320, 3, 1}},
    {"  dw", &bench_conv2d, 2, {1, 64, 320, 320, 3, 1}},
    {"conv 3x3 640 -> 640 at 32", &bench_conv2d, 0, {1, 32, 640, 640, 3, 1}},
    {"  dx", &bench_conv2d, 1, {1, 32, 640, 640, 3, 1}},
    {"  dw", &bench_conv2d, 2, {1, 32, 640, 640, 3, 1}},
    {"conv 3x3 1280 -> 1280 at 16",
     &bench_conv2d,
     0,
     {1, 16, 1280, 1280, 3, 1}},
    {"  dx", &bench_conv2d, 1, {1, 16, 1280, 1280, 3, 1}},
    {"  dw", &bench_conv2d, 2, {1, 16, 1280, 1280, 3, 1}},
    {"conv 3x3 1280 -> 1280 at 8", &bench_conv2d, 0, {1, 8, 1280, 1280, 3, 1}},
    {"  dx", &bench_conv2d, 1, {1, 8, 1280, 1280, 3, 1}},
    {"  dw", &bench_conv2d, 2, {1, 8, 1280, 1280, 3, 1}},
    {"conv 3x3 / 2 320 -> 320 at 64",
     &bench_conv2d,
     0,
     {1, 64, 320, 320, 3, 2}},
    {"  dx", &bench_conv2d, 1, {1, 64, 320, 320, 3, 2}},
    {"  dw", &bench_conv2d, 2, {1, 64, 320, 320, 3, 2}},
    {"conv 3x3 128 -> 128 at 256", &bench_conv2d, 0, {1, 256, 128, 128, 3, 1}},
    {"attention 4096 x 4096 x 40, 8 heads",
     &bench_attention,
     0,
     {1, 8, 4096, 4096, 40}},
    {"  backward", &bench_attention, 1, {1, 8, 4096, 4096, 40}},
    {"attention 4096 x 77 x 40, 8 heads",
     &bench_attention,
     0,
     {1, 8, 4096, 77, 40}},
    {"  backward", &bench_attention, 1, {1, 8, 4096, 77, 40}},
    {"attention 1024 x 1024 x 80, 8 heads",
     &bench_attention,
     0,
     {1, 8, 1024, 1024, 80}},
    {"  backward", &bench_attention, 1, {1, 8, 1024, 1024, 80}},
    {"attention 4096 x 4096 x 512, 1 head",
     &bench_attention,
     0,
     {1, 1, 4096, 4096, 512}},
    {"group norm 4096 x 320", &bench_group_norm, 0, {4096, 320}},
    {"  backward", &bench_group_norm, 1, {4096, 320}},
    {"layer norm 4096 x 320", &bench_layer_norm, 0, {4096, 320}},
    {"  backward", &bench_layer_norm, 1, {4096, 320}},
    {"silu 4096 x 320", &bench_unary, 0, {4096, 320, DREAMBOOTH_SILU}},
    {"  backward", &bench_unary, 1, {4096, 320, DREAMBOOTH_SILU}},
    {"geglu 4096 x 1280", &bench_geglu, 0, {4096, 1280}},
    {"  backward", &bench_geglu, 1, {4096, 1280}},
    {"add 4096 x 320", &bench_axpby, 1, {4096, 320}},
    {"adamw, 8 M parameters", &bench_adamw, 0, {8000000}},
    {"sum of squares, 8 M", &bench_sum_squares, 0, {8000000}},
};

/* Halves the largest of the dimensions that may be, until it is little work. */
static void shrink(const struct bench_kernel *kernel, int64_t *shape)
{
    int i, largest;

    while (kernel->work != NULL && kernel->work(shape) > MOST_REFERENCE_FLOPS) {
        largest = -1;
        for (i = 0; i < 6; i++)
            if ((kernel->shrinks >> i & 1) != 0 &&
                (largest < 0 || shape[i] > shape[largest]))
                largest = i;
        shape[largest] /= 2;
    }
}

/* FLOP/s or bytes/s of the reference. */
static double reference_rate(struct bench_bed *bed, const struct row *row)
{
    struct bench_cost cost;
    int64_t shape[6];

    memcpy(shape, row->shape, sizeof(shape));
    shrink(row->kernel, shape);
    cost = row->kernel->run(bed, shape, row->variant, reference_effort);
    bench_release(bed);
    return bench_rate(&cost);
}

static void print_row(const struct bench_run *run, const char *name,
                      const struct bench_cost *cost, double reference)
{
    const struct bench_peaks *peaks = &run->peaks;
    double rate = bench_rate(cost);

    bench_say("| %-36s | %8.2f | %8.2f ", name, cost->time.median * 1e3,
              cost->time.best * 1e3);
    if (cost->flops > 0.0)
        bench_say("| %8.1f | %5.2f | %5.2f |       |       ", rate * 1e-9,
                  rate / peaks->sgemm, rate / bench_peak(run));
    else
        bench_say("|          |       |       | %5.1f | %5.2f ", rate * 1e-9,
                  rate / peaks->stream);
    bench_say("| %9.0f |\n", rate / reference);
}

static void print_head(void)
{
    bench_say("\n| %-36s | %8s | %8s | %8s | %5s | %5s | %5s | %5s | %9s |\n",
              "kernel", "ms", "best ms", "GFLOP/s", "sgemm", "peak", "GB/s",
              "sum", "reference");
    bench_say("|%.38s|---------:|---------:|---------:|------:|------:|------:|"
              "------:|----------:|\n",
              "------------------------------------------------");
}

void bench_kernels(const struct bench_run *run)
{
    const struct bench_options *options = &run->options;
    struct bench_bed bed, reference;
    struct bench_cost cost;
    bool begun = false;
    size_t i;

    if (!bench_bed_open(&bed, options->backend, options->threads,
                        options->precision))
        bench_die("the library has no option \"precision\"");
    bench_bed_open(&reference, "reference", 1, NULL);
    for (i = 0; i < DB_COUNT(rows); i++) {
        if (!bench_wants(run, SECTION, rows[i].name))
            continue;
        if (!begun)
            print_head();
        begun = true;
        cost =
            rows[i].kernel->run(&bed, rows[i].shape, rows[i].variant, effort);
        bench_release(&bed);
        print_row(run, rows[i].name, &cost,
                  reference_rate(&reference, &rows[i]));
    }
    bench_bed_close(&bed);
    bench_bed_close(&reference);
}

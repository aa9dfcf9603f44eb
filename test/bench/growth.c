/* SPDX-License-Identifier: MIT */
/*
 * How cost grows: with the image, the batch, the model, and how it falls with
 * threads. The exponent is that of the time in the value of its column, between
 * a row and the one before.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "step_rows.h"

#define SECTION "growth"
#define MOST_VALUES 16

static const struct bench_effort effort = {1, 0.35};

static const struct bench_request unet = {
    .kind = "unet", .model = "sd15", .side = 512, .batch = 1};
static const struct bench_request train = {.kind = "train",
                                           .model = "small64",
                                           .side = 64,
                                           .batch = 1,
                                           .text_encoder = true};

static void set_side(struct bench_request *request, int64_t value)
{
    request->side = value;
}

static void set_batch(struct bench_request *request, int64_t value)
{
    request->batch = value;
}

static void set_width(struct bench_request *request, int64_t value)
{
    request->width = value;
}

static void set_threads(struct bench_request *request, int64_t value)
{
    request->threads = value;
}

static const struct growth {
    const char *name;
    const char *column;
    const struct bench_request *request;
    void (*set)(struct bench_request *request, int64_t value);
    int64_t values[MOST_VALUES]; /* none: 1, 2, 4 ... as many as threads */
} tables[] = {
    {"growth with the image", "side", &unet, set_side, {256, 512, 768}},
    {"growth with the batch", "batch", &unet, set_batch, {1, 2, 4, 8}},
    {"growth with the model", "width", &unet, set_width, {32, 64, 160, 320}},
    {"growth with the batch, training the small model",
     "batch",
     &train,
     set_batch,
     {1, 2, 4, 8, 24}},
    {"growth with the threads", "threads", &unet, set_threads, {0}},
};

static int count_values(const struct growth *table, int threads,
                        int64_t *values)
{
    int count = 0;
    int64_t next = 1;

    while (table->values[count] > 0) {
        values[count] = table->values[count];
        count++;
    }
    if (count > 0)
        return count;
    for (; next < threads; next *= 2)
        values[count++] = next;
    values[count++] = threads;
    return count;
}

static struct bench_cost measure(const struct bench_run *run,
                                 const struct growth *table, int64_t value)
{
    struct bench_request request = bench_request_of(run, table->request);
    struct bench_cost cost = {.bytes = 0.0};
    struct bench_step step;

    table->set(&request, value);
    bench_step_need(&step, &request);
    cost.time = bench_measure(bench_step_run, &step, effort);
    cost.flops = bench_count_flops(&step.count);
    bench_step_close(&step);
    return cost;
}

static void print_table(const struct bench_run *run, const struct growth *table)
{
    struct bench_cost cost;
    int64_t values[MOST_VALUES + 1];
    int count = count_values(table, run->options.threads, values);
    double first = 0.0, before = 0.0, seconds;
    int i;

    bench_say("\n%s%s:\n\n", table->name,
              table->request == &unet ? ", a pass of the UNet" : "");
    bench_say("| %8s | %9s | %12s | %8s | %8s | %8s |\n", table->column, "ms",
              "to the first", "exponent", "GFLOP", "GFLOP/s");
    bench_say("|---------:|----------:|-------------:|---------:|---------:|"
              "---------:|\n");
    for (i = 0; i < count; i++) {
        cost = measure(run, table, values[i]);
        seconds = cost.time.best;
        if (i == 0)
            first = seconds;
        bench_say("| %8d | %9.1f | %12.2f ", (int)values[i], seconds * 1e3,
                  seconds / first);
        if (i == 0)
            bench_say("|          ");
        else
            bench_say("| %8.2f ",
                      log(seconds / before) /
                          log((double)values[i] / (double)values[i - 1]));
        bench_say("| %8.1f | %8.1f |\n", cost.flops * 1e-9,
                  bench_rate(&cost) * 1e-9);
        before = seconds;
    }
}

void bench_growth(const struct bench_run *run)
{
    size_t i;

    for (i = 0; i < DB_COUNT(tables); i++)
        if (bench_wants(run, SECTION, tables[i].name))
            print_table(run, &tables[i]);
}

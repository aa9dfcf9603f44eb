/* SPDX-License-Identifier: MIT */
/*
 * Whole steps. Of these the reference's rate is told by the small model, since
 * a pass of the large one takes it a quarter of an hour.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "step.h"

#define SECTION "steps"
#define GIB 1073741824.0

static const struct bench_effort effort = {3, 0.35};
static const struct bench_effort reference_effort = {1, 0.0};

static const struct row {
    const char *name;
    struct bench_request request;
    double memory; /* GiB that it needs */
} rows[] = {
    {"UNet of SD 1.5 at 512 x 512",
     {.kind = "unet", .model = "sd15", .side = 512, .batch = 1},
     5.0},
    {"UNet of SD 1.5 at 512 x 512, batch 2",
     {.kind = "unet", .model = "sd15", .side = 512, .batch = 2},
     6.0},
    {"VAE of SD 1.5, decoding to 512 x 512",
     {.kind = "vae", .model = "sd15", .side = 512, .batch = 1},
     3.0},
    {"text encoder of SD 1.5",
     {.kind = "text", .model = "sd15", .side = 512, .batch = 1},
     1.0},
    {"DreamBooth step of SD 1.5, 256 x 256",
     {.kind = "train", .model = "sd15", .side = 256, .batch = 1, .prior = true},
     16.0},
    {"DreamBooth step of SD 1.5, 512 x 512",
     {.kind = "train", .model = "sd15", .side = 512, .batch = 1, .prior = true},
     17.0},
    {"small model, training step, batch 8",
     {.kind = "train",
      .model = "small64",
      .side = 64,
      .batch = 8,
      .text_encoder = true},
     0.5},
    {"small model, 20 guided steps",
     {.kind = "sample",
      .model = "small64",
      .side = 64,
      .batch = 1,
      .steps = 20},
     0.5},
};

double bench_free_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    double result = 1e9;
    char line[128];
    double number;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "MemAvailable: %lf", &number) == 1)
            result = number * 1024.0 / GIB;
    if (file != NULL)
        fclose(file);
    return result;
}

static struct bench_cost measure(const struct bench_request *request,
                                 struct bench_effort how_often)
{
    struct bench_cost cost = {.bytes = 0.0};
    struct bench_step step;

    if (!bench_step_open(&step, request))
        bench_die("the library has no option \"precision\"");
    cost.time = bench_measure(bench_step_run, &step, how_often);
    cost.flops = bench_count_flops(&step.count);
    bench_step_close(&step);
    return cost;
}

static double reference_rate(const struct bench_request *request)
{
    struct bench_request small = *request;
    struct bench_cost cost;

    small.model = "small64";
    small.backend = "reference";
    small.side = 64;
    small.batch = 1;
    small.steps = 1;
    small.threads = 1;
    cost = measure(&small, reference_effort);
    return bench_rate(&cost);
}

static void print_row(const struct bench_run *run, const struct row *row,
                      const struct bench_cost *cost)
{
    double rate = bench_rate(cost);

    bench_say("| %-36s | %8.1f | %8.1f | %8.1f | %8.1f | %5.2f | %5.2f | "
              "%9.0f |\n",
              row->name, cost->time.median * 1e3, cost->time.best * 1e3,
              cost->flops * 1e-9, rate * 1e-9, rate / run->peaks.sgemm,
              rate / bench_peak(run), rate / reference_rate(&row->request));
}

static void print_head(void)
{
    bench_say("\n| %-36s | %8s | %8s | %8s | %8s | %5s | %5s | %9s |\n", "step",
              "ms", "best ms", "GFLOP", "GFLOP/s", "sgemm", "peak",
              "reference");
    bench_say("|%.38s|---------:|---------:|---------:|---------:|------:|"
              "------:|----------:|\n",
              "------------------------------------------------");
}

void bench_steps(const struct bench_run *run)
{
    struct bench_request request;
    struct bench_cost cost;
    bool begun = false;
    size_t i;

    for (i = 0; i < DB_COUNT(rows); i++) {
        if (!bench_wants(run, SECTION, rows[i].name))
            continue;
        if (!begun)
            print_head();
        begun = true;
        if (rows[i].memory > bench_free_memory()) {
            bench_say("| %-36s | left out: needs %.0f GiB of memory "
                      "| | | | | | |\n",
                      rows[i].name, rows[i].memory);
            continue;
        }
        request = rows[i].request;
        request.threads = run->options.threads;
        request.backend = run->options.backend;
        request.precision = run->options.precision;
        cost = measure(&request, effort);
        print_row(run, &rows[i], &cost);
    }
}

/* SPDX-License-Identifier: MIT */
/* The table of whole steps: what `make bench` times and takes apart. */
#include "step_rows.h"

#include <stdio.h>

#define GIB 1073741824.0

const struct bench_step_row bench_step_rows[] = {
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
    {"small model, sampling 64 x 64",
     {.kind = "sample",
      .model = "small64",
      .side = 64,
      .batch = 1,
      .steps = 20},
     0.5},
    {.name = NULL},
};

/* GiB that nobody uses; a lot where the system does not tell. */
static double free_memory(void)
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

bool bench_step_fits(const struct bench_step_row *row)
{
    return row->memory <= free_memory();
}

struct bench_request bench_request_of(const struct bench_run *run,
                                      const struct bench_request *request)
{
    struct bench_request result = *request;

    result.threads = run->options.threads;
    result.backend = run->options.backend;
    result.precision = run->options.precision;
    return result;
}

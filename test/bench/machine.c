/* SPDX-License-Identifier: MIT */
/*
 * What the machine can do at best, on as many threads as the run has: the bare
 * product of the BLAS, multiplications in registers, a sum in memory.
 */
#include <stdio.h>
#include <string.h>

#ifdef DREAMBOOTH_MKL
#include <mkl_cblas.h>
#else
#include <cblas.h>
#endif

#include "bench.h"
#include "peaks.h"

#define BARE 1024       /* side of the bare products */
#define STREAM 16000000 /* floats of an array: more than caches hold */
#define LEAST_FLOPS 5e8 /* of a loop in registers */

static const struct bench_effort effort = {5, 0.35};

/* What each thread does, and how many there are. */
struct work {
    struct db_pool *pool;
    db_task *task;
    const struct bench_instruction *instruction;
    int64_t rounds;
    const float *a, *b;
    float *c;
    int64_t part; /* of the arrays, for one task */
};

static void run_tasks(void *argument)
{
    struct work *work = argument;

    db_pool_run(work->pool, db_pool_threads(work->pool), work->task, work);
}

static void bare_task(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const int64_t at = index * BARE * BARE;

    (void)worker;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, BARE, BARE, BARE,
                1.0f, work->a + at, BARE, work->b + at, BARE, 0.0f,
                work->c + at, BARE);
}

static void instruction_task(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;

    (void)index;
    (void)worker;
    work->instruction->loop(work->rounds);
}

static void sum_task(void *argument, int64_t index, int worker)
{
    const struct work *work = argument;
    const float *a = work->a + index * work->part;
    const float *b = work->b + index * work->part;
    float *c = work->c + index * work->part;
    int64_t i;

    (void)worker;
    for (i = 0; i < work->part; i++)
        c[i] = a[i] + b[i];
}

static void print(const char *name, double rate, const char *unit)
{
    bench_say("| %-40s | %8.1f | %-8s |\n", name, rate * 1e-9, unit);
}

static void arrays(struct bench_bed *bed, struct work *work, int64_t count)
{
    work->a = bench_values(bed, count);
    work->b = bench_values(bed, count);
    work->c = bench_values(bed, count);
}

static double measure(struct work *work, double amount)
{
    return amount / bench_measure(run_tasks, work, effort).best;
}

static void measure_instructions(struct bench_run *run, struct work *work)
{
    int threads = db_pool_threads(work->pool);
    char name[64];
    double rate, *peak;
    int i;

    work->task = instruction_task;
    for (i = 0; i < bench_instruction_count; i++) {
        work->instruction = &bench_instructions[i];
        if (!work->instruction->is_there())
            continue;
        work->rounds = (int64_t)(LEAST_FLOPS / work->instruction->flops);
        rate = measure(work, (double)(threads * work->rounds) *
                                 work->instruction->flops);
        snprintf(name, sizeof(name), "in registers, %s",
                 work->instruction->name);
        print(name, rate, "GFLOP/s");
        peak = work->instruction->bfloat16 ? &run->peaks.bfloat16
                                           : &run->peaks.float32;
        if (rate > *peak)
            *peak = rate;
    }
}

static void print_head(const struct bench_run *run)
{
    char blas[256], line[256] = "";
    FILE *file = fopen("/proc/cpuinfo", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL &&
           strncmp(line, "model name", 10) != 0)
        line[0] = '\0';
    if (file != NULL)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    db_blas_describe(blas, sizeof(blas));
    bench_say("%s, %d threads. %s. Backend %s, precision %s.\n\n",
              strchr(line, ':') != NULL ? strchr(line, ':') + 2
                                        : "Unknown processor",
              run->options.threads, blas, run->options.backend,
              run->options.precision != NULL ? run->options.precision
                                             : "as it is by default");
    bench_say("| %-40s | %8s | %-8s |\n", "machine", "rate", "unit");
    bench_say("|%.42s|---------:|----------|\n",
              "------------------------------------------------");
}

void bench_machine(struct bench_run *run)
{
    struct bench_bed bed;
    struct work work = {0};
    double threads;

    print_head(run);
    bench_bed_open(&bed, "blas", run->options.threads, NULL);
    work.pool = bed.device.pool;
    threads = (double)db_pool_threads(work.pool);
    arrays(&bed, &work, db_pool_threads(work.pool) * BARE * BARE);
    work.task = bare_task;
    run->peaks.sgemm = measure(&work, 2.0 * BARE * BARE * BARE * threads);
    bench_release(&bed);
    print("sgemm of the BLAS, 1024 x 1024 x 1024", run->peaks.sgemm, "GFLOP/s");
    measure_instructions(run, &work);
    arrays(&bed, &work, STREAM);
    work.task = sum_task;
    work.part = STREAM / db_pool_threads(work.pool);
    run->peaks.stream = measure(&work, 12.0 * (double)work.part * threads);
    print("sum of two arrays in memory", run->peaks.stream, "GB/s");
    bench_bed_close(&bed);
}

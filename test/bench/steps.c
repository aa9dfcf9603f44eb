/* SPDX-License-Identifier: MIT */
/*
 * Whole steps. Of these the reference's rate is told by the small model, since
 * a pass of the large one takes it a quarter of an hour.
 */
#include "step_rows.h"

#define SECTION "steps"

static const struct bench_effort effort = {3, 0.35};
static const struct bench_effort reference_effort = {1, 0.0};

static struct bench_cost measure(const struct bench_request *request,
                                 struct bench_effort how_often)
{
    struct bench_cost cost = {.bytes = 0.0};
    struct bench_step step;

    bench_step_need(&step, request);
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

static void print_row(const struct bench_run *run,
                      const struct bench_step_row *row,
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

static void print_step(const struct bench_run *run,
                       const struct bench_step_row *row)
{
    const struct bench_request request = bench_request_of(run, &row->request);
    struct bench_cost cost;

    if (!bench_step_fits(row)) {
        bench_say("| %-36s | left out: needs %.0f GiB of memory "
                  "| | | | | | |\n",
                  row->name, row->memory);
        return;
    }
    cost = measure(&request, effort);
    print_row(run, row, &cost);
}

void bench_steps(const struct bench_run *run)
{
    const struct bench_step_row *row;
    bool begun = false;

    for (row = bench_step_rows; row->name != NULL; row++) {
        if (!bench_wants(run, SECTION, row->name))
            continue;
        if (!begun)
            print_head();
        begun = true;
        print_step(run, row);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Where the time of a whole step goes: kernel by kernel, and the rest, which is
 * what the library does between kernels. What bounds a step can be read here.
 */
#include <stdlib.h>

#include "step_rows.h"

#define SECTION "profile"
#define LEAST_SHARE 0.005

static int by_time(const void *a, const void *b)
{
    const struct bench_slot *x = a;
    const struct bench_slot *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void print_slot(const struct bench_run *run,
                       const struct bench_slot *slot, double total)
{
    double rate = slot->flops / slot->seconds;

    bench_say("| %-26s | %6d | %8.1f | %5.1f%% ", slot->name, (int)slot->calls,
              slot->seconds * 1e3, 100.0 * slot->seconds / total);
    if (slot->flops > 0.0)
        bench_say("| %8.1f | %5.2f |\n", rate * 1e-9, rate / bench_peak(run));
    else
        bench_say("|          |       |\n");
}

/* Of the last run, which took SECONDS. */
static void print(const struct bench_run *run, struct bench_count *count,
                  double seconds)
{
    struct bench_slot rest = {"small ones", 0, 0.0, 0.0};
    struct bench_slot between = {"between kernels", 0, seconds, 0.0};
    size_t i;

    qsort(count->slots, DB_SLOTS, sizeof(count->slots[0]), by_time);
    for (i = 0; i < DB_SLOTS; i++) {
        between.seconds -= count->slots[i].seconds;
        if (count->slots[i].seconds >= LEAST_SHARE * seconds) {
            print_slot(run, &count->slots[i], seconds);
            continue;
        }
        rest.calls += count->slots[i].calls;
        rest.seconds += count->slots[i].seconds;
    }
    print_slot(run, &rest, seconds);
    print_slot(run, &between, seconds);
}

static void profile(const struct bench_run *run,
                    const struct bench_step_row *row)
{
    const struct bench_request request = bench_request_of(run, &row->request);
    struct bench_step step;
    double begin;

    bench_say("\n%s, kernel by kernel:\n\n", row->name);
    bench_say("| %-26s | %6s | %8s | %6s | %8s | %5s |\n", "kernel", "calls",
              "ms", "share", "GFLOP/s", "peak");
    bench_say("|%.28s|-------:|---------:|-------:|---------:|------:|\n",
              "------------------------------------------------");
    bench_step_need(&step, &request);
    bench_step_run(&step);
    begin = bench_now();
    bench_step_run(&step);
    print(run, &step.count, bench_now() - begin);
    bench_step_close(&step);
}

void bench_profile(const struct bench_run *run)
{
    const struct bench_step_row *row;

    for (row = bench_step_rows; row->name != NULL; row++)
        if (bench_wants(run, SECTION, row->name) && bench_step_fits(row))
            profile(run, row);
}

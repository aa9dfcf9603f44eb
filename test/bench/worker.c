/* SPDX-License-Identifier: MIT */
/* Our side of a comparison; test/bench/peer/theirs.py is the other. */
#include "worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "step.h"

/* Bytes of memory that the process had at most. */
static double peak_memory(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

int bench_worker(int count, char **words)
{
    struct bench_request request = bench_request_default;
    struct bench_step step;
    double begin;
    char line[64];
    int i;

    for (i = 0; i < count; i++)
        bench_request_set(&request, words[i]);
    if (!bench_step_open(&step, &request)) {
        puts("absent");
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "run\n") != 0)
            bench_die("a worker is told \"run\", not %s", line);
        begin = bench_now();
        bench_step_run(&step);
        printf("seconds %.6f\n", bench_now() - begin);
    }
    printf("flops %.0f\npeak %.0f\n", bench_count_flops(&step.count),
           peak_memory());
    bench_step_close(&step);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The steps that tables and profiles tell of, and how a run asks for one. */
#ifndef BENCH_STEP_ROWS_H
#define BENCH_STEP_ROWS_H

#include "bench.h"
#include "step.h"

struct bench_step_row {
    const char *name;
    struct bench_request request;
    double memory; /* GiB that it needs */
};

/* The last one has no name. */
extern const struct bench_step_row bench_step_rows[];

/* Is there memory for it? */
bool bench_step_fits(const struct bench_step_row *row);

/* REQUEST with the threads, the backend and the precision of RUN. */
struct bench_request bench_request_of(const struct bench_run *run,
                                      const struct bench_request *request);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What all parts of the benchmark stand on: a clock, an end with a message, and
 * the median of some runs. A benchmark that cannot go on has nothing to clean
 * up for, so it ends.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include "base/env.h"

/* Ends the program with ENV's error text if STATUS is an error. */
void bench_check(const struct db_env *env, int status);
_Noreturn void bench_die(const char *format, ...) DB_PRINTF(1, 2);

double bench_now(void); /* seconds */

/* Seconds of the runs of one thing. */
struct bench_time {
    double median;
    double best;
};

/* How often: at least RUNS times, and until SECONDS have gone by. */
struct bench_effort {
    int runs;
    double seconds;
};

typedef void bench_work(void *argument);

/* After one run that does not count. With BENCH_QUICK in the environment there
 * is one more, whatever EFFORT says. */
struct bench_time bench_measure(bench_work *work, void *argument,
                                struct bench_effort effort);

/* The environment's variable NAME; the program ends without it. */
const char *bench_folder(const char *name);

/* Prints to stdout, and into the file that the environment's variable BENCH_OUT
 * names, if it does. */
void bench_say(const char *format, ...) DB_PRINTF(1, 2);

#endif

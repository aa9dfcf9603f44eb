/* SPDX-License-Identifier: MIT */
/* The clock, how often something is run, and where what it says goes. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST_RUNS 200

_Noreturn void bench_die(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

void bench_check(const struct db_env *env, int status)
{
    if (status < DREAMBOOTH_OK)
        bench_die("%s", env->error_text);
}

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

struct bench_time bench_measure(bench_work *work, void *argument,
                                struct bench_effort effort)
{
    struct bench_time result;
    double times[MOST_RUNS];
    double begin;
    double total = 0.0;
    int runs = 0;

    if (getenv("BENCH_QUICK") != NULL)
        effort = (struct bench_effort){1, 0.0};
    work(argument);
    while (runs < MOST_RUNS && (runs < effort.runs || total < effort.seconds)) {
        begin = bench_now();
        work(argument);
        times[runs] = bench_now() - begin;
        total += times[runs++];
    }
    qsort(times, (size_t)runs, sizeof(times[0]), by_size);
    result.best = times[0];
    result.median = times[runs / 2];
    return result;
}

void bench_say(const char *format, ...)
{
    static FILE *file = NULL;
    const char *path = getenv("BENCH_OUT");
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
    if (path == NULL || path[0] == '\0')
        return;
    if (file == NULL && (file = fopen(path, "w")) == NULL)
        bench_die("cannot write %s", path);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fflush(file);
}

const char *bench_folder(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL || value[0] == '\0')
        bench_die("%s is not set; make bench sets it", name);
    return value;
}

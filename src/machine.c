/* SPDX-License-Identifier: MIT */
/* The process and its machine: threads of the BLAS, processors, the clock. */
#define _GNU_SOURCE
#include "machine.h"

#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Looked up in the running process, so that it does not matter which BLAS the
 * library was built with. */
void settle_blas(void)
{
    static const char *const takes_int[] = {"openblas_set_num_threads",
                                            "MKL_Set_Num_Threads"};
    void (*set_int)(int), (*set_long)(long);
    void *symbol;
    size_t i;

    for (i = 0; i < sizeof(takes_int) / sizeof(takes_int[0]); i++) {
        symbol = dlsym(RTLD_DEFAULT, takes_int[i]);
        if (symbol == NULL)
            continue;
        memcpy(&set_int, &symbol, sizeof(symbol));
        set_int(1);
    }
    symbol = dlsym(RTLD_DEFAULT, "bli_thread_set_num_threads");
    if (symbol != NULL) {
        memcpy(&set_long, &symbol, sizeof(symbol));
        set_long(1);
    }
}

int usable_processors(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    return online < 1 ? 1 : (int)online;
}

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

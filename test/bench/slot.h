/* SPDX-License-Identifier: MIT */
/*
 * A kernel slot as something that can be measured: BENCH_SLOT(gemm,
 * dreambooth_gemm) makes the function measure_gemm().
 */
#ifndef BENCH_SLOT_H
#define BENCH_SLOT_H

#include "bench.h"

struct bench_call {
    struct bench_bed *bed;
    void *arguments;
};

#define BENCH_SLOT(name, type)                                                 \
    static void call_##name(void *argument)                                    \
    {                                                                          \
        struct bench_call *call = argument;                                    \
        const type *a = call->arguments;                                       \
                                                                               \
        bench_check(call->bed->env, db_run(&call->bed->device, name, a));      \
    }                                                                          \
    static struct bench_time measure_##name(struct bench_bed *bed, void *a,    \
                                            struct bench_effort effort)        \
    {                                                                          \
        struct bench_call call = {bed, a};                                     \
                                                                               \
        return bench_measure(call_##name, &call, effort);                      \
    }

#endif

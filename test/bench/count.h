/* SPDX-License-Identifier: MIT */
/*
 * A backend in front of another that counts how many floating-point operations
 * the products are: a whole step's work, without a formula for each model. A
 * product counts as its direct form does, whatever the kernel makes of it.
 */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include "dreambooth/backend.h"
#include "dreambooth/dreambooth.h"

#define BENCH_COUNTED "counted"

struct bench_count {
    dreambooth_backend inner;
    double flops;
};

/* Registers the backend BENCH_COUNTED over the one called NAME, and selects it.
 * COUNT must live as long as the context. */
int bench_count_add(struct bench_count *count, dreambooth_context *context,
                    const char *name);

#endif

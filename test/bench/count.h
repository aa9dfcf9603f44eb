/* SPDX-License-Identifier: MIT */
/*
 * A backend in front of another that watches every slot: how often it is
 * called, how long it takes, and how many floating-point operations the
 * products are. So the work of a whole step is known without a formula for each
 * model. A product counts as its direct form does, whatever the kernel makes of
 * it.
 */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include "dreambooth/backend.h"
#include "dreambooth/dreambooth.h"
#include "kernel/device.h"

#define BENCH_COUNTED "counted"

struct bench_slot {
    const char *name;
    int64_t calls;
    double seconds;
    double flops;
};

struct bench_count {
    dreambooth_backend inner;
    struct bench_slot slots[DB_SLOTS];
};

/* Registers the backend BENCH_COUNTED over the one called NAME, and selects it.
 * COUNT must live as long as the context. */
int bench_count_add(struct bench_count *count, dreambooth_context *context,
                    const char *name);
void bench_count_reset(struct bench_count *count);
double bench_count_flops(const struct bench_count *count);

#endif

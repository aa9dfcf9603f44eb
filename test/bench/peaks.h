/* SPDX-License-Identifier: MIT */
/*
 * The most that a processor can multiply: loops of its best instructions on
 * registers alone. What memory, packing and kernels lose is told against it.
 */
#ifndef BENCH_PEAKS_H
#define BENCH_PEAKS_H

#include <stdbool.h>
#include <stdint.h>

/* One kind of instruction. */
struct bench_instruction {
    const char *name;
    bool bfloat16;
    bool (*is_there)(void);
    void (*loop)(int64_t rounds);
    double flops; /* of a round */
};

extern const struct bench_instruction bench_instructions[];
extern const int bench_instruction_count; /* 0 where none is known */

#endif

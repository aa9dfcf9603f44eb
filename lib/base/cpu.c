/* SPDX-License-Identifier: MIT */
/* The processor's features, as the compiler's run-time library finds them. */
#include "base/cpu.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/env.h"

#if defined(__x86_64__)
#define ARCHITECTURE "x86-64"
#elif defined(__i386__)
#define ARCHITECTURE "i386"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#elif defined(__arm__)
#define ARCHITECTURE "arm"
#elif defined(__s390x__)
#define ARCHITECTURE "s390x"
#elif defined(__powerpc64__)
#define ARCHITECTURE "ppc64"
#elif defined(__riscv)
#define ARCHITECTURE "risc-v"
#else
#define ARCHITECTURE "unknown"
#endif

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define FEATURE(name)                                                          \
    {                                                                          \
        name, __builtin_cpu_supports(name) != 0                                \
    }
#endif

void db_cpu_describe(char *text, size_t size)
{
    size_t length = (size_t)snprintf(text, size, "%s", ARCHITECTURE);
#ifdef FEATURE
    const struct {
        const char *name;
        bool there;
    } features[] = {FEATURE("sse2"),     FEATURE("avx"),
                    FEATURE("avx2"),     FEATURE("fma"),
                    FEATURE("avx512f"),  FEATURE("avx512bw"),
                    FEATURE("avx512vl"), FEATURE("avx512bf16")};
    size_t i;

    for (i = 0; i < DB_COUNT(features); i++)
        if (features[i].there && length < size)
            length += (size_t)snprintf(text + length, size - length, " %s",
                                       features[i].name);
#else
    (void)length;
#endif
}

/* SPDX-License-Identifier: MIT */
/*
 * What the processor that the program runs on can do, for kernels that are
 * chosen at run time. The machine that the library was built on has no say.
 */
#ifndef DB_BASE_CPU_H
#define DB_BASE_CPU_H

#include <stddef.h>

/* The architecture and its features that kernels may use, with blanks between,
 * such as "x86-64 avx2 fma avx512f"; cut off at SIZE bytes. */
void db_cpu_describe(char *text, size_t size);

#endif

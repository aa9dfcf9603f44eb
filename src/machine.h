/* SPDX-License-Identifier: MIT */
/* The process and its machine: what the library leaves to its caller. */
#ifndef MACHINE_H
#define MACHINE_H

/* Keeps the BLAS to one thread: the library's own threads share out the work,
 * and two sets of them would be in each other's way. */
void settle_blas(void);
/* How many processors this process may use, at least 1. */
int usable_processors(void);
/* Seconds from some moment on. */
double seconds_now(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A process that waits to be told when to run its step: so that two programs
 * can take turns, whatever language they are written in.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

/*
 * WORDS are NAME=VALUE of the step. Prints "ready"; for each line "run" runs
 * the step once and prints "seconds S"; at the end of stdin prints "peak BYTES"
 * and "flops N". Prints "absent" instead of all that if the library lacks an
 * option that the step needs.
 */
int bench_worker(int count, char **words);

#endif

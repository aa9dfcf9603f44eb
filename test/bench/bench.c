/* SPDX-License-Identifier: MIT */
/*
 * How fast the library is, as Markdown tables: kernels, whole steps, and how
 * their cost grows. What counts is shares of what the machine could do,
 * measured in the same run on the same number of threads.
 *
 *     bench [THREADS [BACKEND [PART_OF_NAME [PRECISION]]]]
 *     bench machine          what it computes with
 *     bench worker WORD...   see worker.h
 *
 * PART_OF_NAME picks rows; "kernels", "oneDNN", "steps", "profile" and "growth"
 * pick a section, and may stand before a row's name ("profile VAE"). Several
 * have a + between them. Of several runs a column called ms is the median, all
 * others are of the best run, which other work on the machine moves least.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker.h"

/* OpenBLAS's own function: there when it is OpenBLAS that we have. */
#if defined(__GNUC__)
extern void openblas_set_num_threads(int threads) __attribute__((weak));
#endif

double bench_peak(const struct bench_run *run)
{
    return run->options.bfloat16 && run->peaks.bfloat16 > 0.0
               ? run->peaks.bfloat16
               : run->peaks.float32;
}

/* Has TEXT the LENGTH bytes at PART in it? */
static bool has(const char *text, const char *part, size_t length)
{
    for (; strlen(text) >= length; text++)
        if (memcmp(text, part, length) == 0)
            return true;
    return false;
}

bool bench_wants(const struct bench_run *run, const char *section,
                 const char *name)
{
    const char *part = run->options.only;
    char text[256];
    size_t length;

    snprintf(text, sizeof(text), "%s %s", section, name);
    for (;; part += length + 1) {
        length = strcspn(part, "+");
        if (has(text, part, length))
            return true;
        if (part[length] == '\0')
            return false;
    }
}

static int print_machine(void)
{
    char blas[256];

    db_blas_describe(blas, sizeof(blas));
    puts(blas);
    return EXIT_SUCCESS;
}

static struct bench_options read_options(int argc, char **argv)
{
    struct bench_options options = {.threads = argc > 1 ? atoi(argv[1]) : 0,
                                    .backend = argc > 2 ? argv[2] : "simd",
                                    .only = argc > 3 ? argv[3] : "",
                                    .precision = argc > 4 ? argv[4] : NULL};

    if (options.threads < 1)
        options.threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    options.bfloat16 =
        options.precision != NULL && strcmp(options.precision, "bfloat16") == 0;
    return options;
}

int main(int argc, char **argv)
{
    struct bench_run run = {0};

#if defined(__GNUC__)
    if (openblas_set_num_threads != NULL)
        openblas_set_num_threads(1);
#endif
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return bench_worker(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "machine") == 0)
        return print_machine();
    run.options = read_options(argc, argv);
    bench_machine(&run);
    bench_kernels(&run);
    bench_yardstick(&run);
    bench_steps(&run);
    bench_profile(&run);
    bench_growth(&run);
    return EXIT_SUCCESS;
}

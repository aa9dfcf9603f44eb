/* SPDX-License-Identifier: MIT */
/* `dreambooth version`: which library this is, and how it was built. */
#include "version.h"

#include <stdio.h>

#include <dreambooth/base.h>

#include "commands.h"
#include "exit.h"

static const char *const fields[] = {"backends", "blas", "cpu", "compiler",
                                     "libraries"};

int print_version(bool all)
{
    char text[512];
    size_t i;

    printf("dreambooth %s\n", dreambooth_version());
    for (i = 0; all && i < sizeof(fields) / sizeof(fields[0]); i++)
        if (dreambooth_build_info(fields[i], text, sizeof(text)) ==
            DREAMBOOTH_OK)
            printf("%-12s%s\n", fields[i], text);
    return EXIT_DONE;
}

static int run(const struct options *options)
{
    (void)options;
    return print_version(true);
}

static const char *const handles[] = {NULL};
static const struct positional positionals[] = {{NULL, NULL, NULL, false}};

const struct subcommand version_command = {
    .name = "version",
    .arguments = "",
    .summary = "Shows the version and how the library was built",
    .description =
        "Shows the version, the backends, the BLAS and the core it chose, the "
        "processor's features, the compiler and the other libraries: what a "
        "report of a fault should have. \"dreambooth --version\" says the "
        "version alone.",
    .example = "dreambooth version",
    .handles = handles,
    .positionals = positionals,
    .run = run,
};

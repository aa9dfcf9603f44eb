/* SPDX-License-Identifier: MIT */
/* `dreambooth version`: which library this is, and how it was built. */
#include "version.h"

#include <stdio.h>

#include <dreambooth/base.h>

#include "commands.h"
#include "exit.h"

int print_version(bool all)
{
    (void)all;
    printf("dreambooth %s\n", dreambooth_version());
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

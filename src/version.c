/* SPDX-License-Identifier: MIT */
/* `dreambooth version`: which library this is, and how it was built. */
#include "version.h"

#include <stdio.h>

#include <dreambooth/base.h>

#include "commands.h"
#include "exit.h"
#include "json.h"

static const char *const fields[] = {"backends", "blas", "cpu", "compiler",
                                     "libraries"};

static int print_json(void)
{
    json_t *object = json_object();
    char text[1024];
    size_t i;

    json_object_set_new(object, "version", json_text(dreambooth_version()));
    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (dreambooth_build_info(fields[i], text, sizeof(text)) ==
            DREAMBOOTH_OK)
            json_object_set_new(object, fields[i], json_text(text));
    return json_print(object);
}

int print_version(bool all)
{
    char text[1024];
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
    return options_yes(options, "json") ? print_json() : print_version(true);
}

static const char *const handles[] = {NULL};
static const struct own_flag own[] = {
    {"json", NULL, NULL, "print an object of JSON", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static const struct positional positionals[] = {{NULL, NULL, NULL, false}};

const struct subcommand version_command = {
    .name = "version",
    .arguments = "",
    .summary = "Shows the version and how the library was built",
    .description =
        "Shows the version, the backends, the BLAS and the core it chose, the "
        "processor's features, the compiler and the other libraries: what a "
        "report of a fault should have. \"dreambooth --version\" says the "
        "version alone.\n\n"
        "With --json: version, backends, blas, cpu, compiler and libraries, "
        "all of them texts.",
    .example = "dreambooth version",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

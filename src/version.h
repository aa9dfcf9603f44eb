/* SPDX-License-Identifier: MIT */
/* `dreambooth version` and --version. */
#ifndef VERSION_H
#define VERSION_H

#include <stdbool.h>

/* One line; ALL: and how the library was built. Gives an exit code. */
int print_version(bool all);

#endif

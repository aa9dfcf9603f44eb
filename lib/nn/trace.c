/* SPDX-License-Identifier: MIT */
/* Showing what a module gave under its name. */
#include "nn/trace.h"

#include <stdio.h>

#define NAME_BYTES 256

void db_trace_note(const struct db_trace *trace, const struct db_var *value,
                   const char *prefix, const char *name)
{
    char full[NAME_BYTES];

    if (trace == NULL || value == NULL)
        return;
    snprintf(full, sizeof(full), "%s%s%s", prefix,
             prefix[0] != '\0' && name[0] != '\0' ? "." : "", name);
    trace->note(trace->user, full, value);
}

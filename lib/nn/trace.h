/* SPDX-License-Identifier: MIT */
/*
 * A window into a running model: each module's output under the name that it
 * has in diffusers, for whoever compares the two. Costs nothing when unused.
 */
#ifndef DB_NN_TRACE_H
#define DB_NN_TRACE_H

#include "grad/tape.h"

struct db_trace {
    /* VALUE is lent for the call. */
    void (*note)(void *user, const char *name, const struct db_var *value);
    void *user;
};

/* Shows VALUE as PREFIX.NAME (or PREFIX where NAME is ""). TRACE and VALUE may
 * be NULL: then nothing happens. */
void db_trace_note(const struct db_trace *trace, const struct db_var *value,
                   const char *prefix, const char *name);

#endif

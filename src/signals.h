/* SPDX-License-Identifier: MIT */
/*
 * Ctrl-C and kill: the first one asks the library to stop at the next step, the
 * second one ends the process as if nobody had caught it.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <dreambooth/context.h>

/* From now on SIGINT and SIGTERM cancel CONTEXT; NULL: as before. */
void signals_cancel(dreambooth_context *context);
/* The signal that came, 0 if none did. */
int signal_caught(void);

#endif

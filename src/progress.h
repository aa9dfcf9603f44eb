/* SPDX-License-Identifier: MIT */
/*
 * One line on the terminal that is drawn over and over: stage, done of total,
 * rate, time left, memory. Nothing where stderr is not a terminal.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>
#include <stddef.h>

#include <dreambooth/context.h>

/* Off until it is told whose memory to show; NULL: off again. */
void progress_start(dreambooth_context *context);
/* DONE of TOTAL units of STAGE; MORE (may be NULL) stands behind them. */
void progress_show(const char *stage, int64_t done, int64_t total,
                   const char *more);
/* Takes the line away, so that another can be written. */
void progress_clear(void);

/* "1:02:03", "2:03" or "4.5 s"; TEXT has room for SIZE bytes. */
void format_duration(double seconds, char *text, size_t size);
/* "1.2 GB". */
void format_bytes(double bytes, char *text, size_t size);

#endif

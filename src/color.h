/* SPDX-License-Identifier: MIT */
/*
 * Colours on stderr, few of them: where an error begins, the word "warning",
 * the stage of a progress line.
 */
#ifndef COLOR_H
#define COLOR_H

#include <stdbool.h>

enum color { COLOR_ERROR, COLOR_WARNING, COLOR_STAGE, COLOR_END };

/* What --color says: auto (the default), always or never. */
void color_choose(const char *when);
/* The sequence that begins a colour, or ends it; "" where there are none. */
const char *color_code(enum color color);
/* Whether stderr is a terminal on which a line can be drawn over. */
bool is_screen(void);

#endif

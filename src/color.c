/* SPDX-License-Identifier: MIT */
/* When there are colours: https://no-color.org for the variable NO_COLOR. */
#include "color.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum { AUTO, ALWAYS, NEVER } chosen = AUTO;

void color_choose(const char *when)
{
    chosen = strcmp(when, "always") == 0  ? ALWAYS
             : strcmp(when, "never") == 0 ? NEVER
                                          : AUTO;
}

bool is_screen(void)
{
    const char *terminal = getenv("TERM");

    return isatty(STDERR_FILENO) && terminal != NULL && terminal[0] != '\0' &&
           strcmp(terminal, "dumb") != 0;
}

static bool is_wanted(void)
{
    const char *unwanted = getenv("NO_COLOR");

    if (chosen != AUTO)
        return chosen == ALWAYS;
    return is_screen() && (unwanted == NULL || unwanted[0] == '\0');
}

const char *color_code(enum color color)
{
    static const char *const codes[] = {"\033[1;31m", "\033[1;33m",
                                        "\033[1;36m", "\033[0m"};

    return is_wanted() ? codes[color] : "";
}

/* SPDX-License-Identifier: MIT */
/* Ctrl-C and kill: a handler that does nothing but cancel. */
#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static dreambooth_context *volatile cancelled_context;
static volatile sig_atomic_t caught;

static void cancel(int number)
{
    dreambooth_context *context = cancelled_context;

    caught = number;
    if (context != NULL)
        dreambooth_context_cancel(context);
}

void signals_cancel(dreambooth_context *context)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    struct sigaction action;
    size_t i;

    memset(&action, 0, sizeof(action));
    action.sa_handler = context == NULL ? SIG_DFL : cancel;
    action.sa_flags = (int)SA_RESETHAND;
    cancelled_context = context;
    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

int signal_caught(void)
{
    return caught;
}

/* SPDX-License-Identifier: MIT */
/* How the command ends: the one place that writes errors. */
#include "exit.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "color.h"
#include "progress.h"
#include "signals.h"

int complain(int code, const char *format, ...)
{
    va_list arguments;

    progress_clear();
    fprintf(stderr, "%sdreambooth:%s ", color_code(COLOR_ERROR),
            color_code(COLOR_END));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

int complain_code(int status)
{
    static const struct {
        int status, code;
    } codes[] = {
        {DREAMBOOTH_ENOMEM, EXIT_RESOURCES},
        {DREAMBOOTH_ELIMIT, EXIT_RESOURCES},
        {DREAMBOOTH_ENOSPACE, EXIT_RESOURCES},
        {DREAMBOOTH_EINVAL, EXIT_USAGE},
        {DREAMBOOTH_ENOTFOUND, EXIT_INPUT},
        {DREAMBOOTH_EFORMAT, EXIT_INPUT},
        {DREAMBOOTH_EUNSUPPORTED, EXIT_INPUT},
        {DREAMBOOTH_ENONFINITE, EXIT_NONFINITE},
    };
    size_t i;

    if (status == DREAMBOOTH_ECANCELLED && signal_caught() != 0)
        return EXIT_SIGNALLED + signal_caught();
    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].status == status)
            return codes[i].code;
    return EXIT_IO;
}

int complain_of(const dreambooth_context *context, int status)
{
    const char *text = context == NULL ? "" : dreambooth_context_error(context);

    if (text[0] == '\0')
        text = dreambooth_status_name(status);
    return complain(complain_code(status), "%s", text);
}

void remark(const char *kind, const char *text)
{
    bool warning = strcmp(kind, "warning") == 0;

    progress_clear();
    fprintf(stderr, "dreambooth: %s%s:%s %s\n",
            warning ? color_code(COLOR_WARNING) : "", kind,
            warning ? color_code(COLOR_END) : "", text);
}

const struct exit_meaning exit_meanings[] = {
    {EXIT_DONE, "done"},
    {EXIT_IO, "reading or writing failed"},
    {EXIT_USAGE, "wrong usage: an unknown option, a value out of range"},
    {EXIT_INPUT, "a model or picture is missing, damaged or unsupported"},
    {EXIT_RESOURCES,
     "memory or disk do not suffice, or the memory limit is in the way"},
    {EXIT_NONFINITE, "a NaN or infinity came up; checkpoints are whole"},
    {EXIT_SIGNALLED + SIGINT,
     "stopped by Ctrl-C (128 and the signal's number); checkpoints are whole"},
    {0, NULL},
};

/* SPDX-License-Identifier: MIT */
/* How the command ends: the one place that writes errors. */
#include "exit.h"

#include <stdarg.h>
#include <stdio.h>

#include "progress.h"
#include "signals.h"

int complain(int code, const char *format, ...)
{
    va_list arguments;

    progress_clear();
    fputs("dreambooth: ", stderr);
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
    progress_clear();
    fprintf(stderr, "dreambooth: %s: %s\n", kind, text);
}

void print_exit_codes(void)
{
    fputs("Exit codes:\n"
          "  0    done\n"
          "  1    reading or writing failed\n"
          "  2    wrong usage: an unknown option, a value out of range\n"
          "  3    a model or picture is missing, damaged or unsupported\n"
          "  4    memory or disk do not suffice, or the memory limit is in the "
          "way\n"
          "  5    a NaN or infinity came up; checkpoints are whole\n"
          "  130  stopped by Ctrl-C (128 and the signal's number); checkpoints "
          "are whole\n",
          stdout);
}

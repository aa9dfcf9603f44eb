/* SPDX-License-Identifier: MIT */
/* A context from the flags. */
#include "setup.h"

#include "exit.h"
#include "machine.h"
#include "progress.h"
#include "signals.h"

static void log_all(void *user, int level, const char *text)
{
    static const char *const kinds[] = {"detail", "note", "warning"};

    (void)user;
    remark(kinds[level < 0 || level > 2 ? 2 : level], text);
}

static void log_most(void *user, int level, const char *text)
{
    if (level >= DREAMBOOTH_LOG_INFO)
        log_all(user, level, text);
}

static void log_warnings(void *user, int level, const char *text)
{
    if (level >= DREAMBOOTH_LOG_WARNING)
        log_all(user, level, text);
}

static void show(void *user, const char *stage, int64_t done, int64_t total)
{
    (void)user;
    progress_show(stage, done, total, NULL);
}

static int set_context(void *context, const char *name, const char *value)
{
    return dreambooth_context_set(context, name, value);
}

static int configure(dreambooth_context *context, const struct options *options)
{
    int status =
        dreambooth_context_set_integer(context, "threads", usable_processors());

    if (status == DREAMBOOTH_OK)
        status = options_apply(options, "context", set_context, context);
    return setup_check(options, context, status) == EXIT_DONE ? EXIT_DONE
                                                              : EXIT_USAGE;
}

void setup_log(dreambooth_context *context, const struct options *options)
{
    dreambooth_log_function *log = log_most;

    if (options_yes(options, "quiet"))
        log = log_warnings;
    else if (options_yes(options, "verbose"))
        log = log_all;
    dreambooth_context_set_log(context, log, NULL);
}

int setup_begin(const struct options *options, dreambooth_context **out)
{
    dreambooth_context *context;
    bool quiet = options_yes(options, "quiet");
    int code;

    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return complain(EXIT_RESOURCES, "out of memory");
    setup_log(context, options);
    code = configure(context, options);
    if (code != EXIT_DONE) {
        dreambooth_context_free(context);
        return code;
    }
    settle_blas();
    signals_cancel(context);
    if (!quiet) {
        progress_start(context);
        dreambooth_context_set_progress(context, show, NULL);
    }
    *out = context;
    return EXIT_DONE;
}

int setup_end(dreambooth_context *context, int code)
{
    progress_clear();
    progress_start(NULL);
    signals_cancel(NULL);
    dreambooth_context_free(context);
    return code;
}

int setup_check(const struct options *options,
                const dreambooth_context *context, int status)
{
    const char *origin;

    if (status >= DREAMBOOTH_OK)
        return EXIT_DONE;
    origin = options_origin(options, dreambooth_context_error(context));
    if (origin == NULL)
        return complain_of(context, status);
    return complain(complain_code(status), "%s: %s", origin,
                    dreambooth_context_error(context));
}

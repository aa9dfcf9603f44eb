/* SPDX-License-Identifier: MIT */
/*
 * A context: memory, threads, kernels, log and errors of everything that is
 * made in it. Make one, make models and tokenizers in it, free them, free it.
 *
 * Different contexts are independent. One context, with all that was made in
 * it, is used by one thread at a time, and freeing is using: who has finalisers
 * on other threads must hand what is to be freed over.
 * dreambooth_context_cancel() alone may come from any thread or from a signal
 * handler. Handles are joined with others of the same context only. The child
 * of a fork() has no threads of the context's and must not use it.
 *
 * Callbacks come on the thread that called the library, never from its own.
 * They return as functions do (no longjmp(), no exception); they may cancel and
 * ask for facts, and must not step, set or free anything of the context.
 *
 * Options have names; '-' and '_' in them are the same. Setting a text to NULL
 * unsets it, and the text of one that is not set is "". Real numbers are
 * written with a point, in enough digits to be read back, whatever the locale.
 */
#ifndef DREAMBOOTH_CONTEXT_H
#define DREAMBOOTH_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "dreambooth/base.h"

#include "dreambooth/begin.h"

typedef struct dreambooth_context dreambooth_context;

/*
 * A caller's allocator: (user, NULL, 0, n) allocates n bytes, aligned as
 * malloc() does, or gives NULL; (user, p, n, 0) frees the n bytes at p and
 * gives NULL. It is only called in these two forms, from the thread that called
 * the library.
 */
typedef void *dreambooth_resize_function(void *user, void *pointer,
                                         size_t old_size, size_t new_size);

/* A line for people, without its end; level is one of enum
 * dreambooth_log_level. */
typedef void dreambooth_log_function(void *user, int level, const char *text);

/*
 * Progress of a long call: DONE of TOTAL (> 0) units of STAGE, such as "class
 * images", "training" or "sampling". Called between units, on the caller's
 * thread.
 */
typedef void dreambooth_progress_function(void *user, const char *stage,
                                          int64_t done, int64_t total);

enum dreambooth_log_level {
    DREAMBOOTH_LOG_DEBUG = 0,
    DREAMBOOTH_LOG_INFO = 1,
    DREAMBOOTH_LOG_WARNING = 2
};

/*
 * A context with the C library's allocator. ENOMEM. *OUT is untouched on
 * error; free it with dreambooth_context_free().
 */
int dreambooth_context_new(dreambooth_context **out);
/* The same with the caller's allocator, which must outlive the context. The
 * decoder of JPEG files and the reader of JSON use malloc() nonetheless. */
int dreambooth_context_new_with_allocator(dreambooth_context **out,
                                          dreambooth_resize_function *resize,
                                          void *user);
/*
 * Frees the context: at once, or with the last of the handles that were made in
 * it. Its log and progress callbacks are taken away at once, and nobody can ask
 * for its last error any more. Handles keep alive
 * what they were made of, so all may be freed in any order. NULL is fine, here
 * and for all others.
 */
void dreambooth_context_free(dreambooth_context *context);

/*
 * Options of a context ("context" in dreambooth_option_info()): "threads",
 * "backend", "precision", "weights" and "memory-limit". The first three are for
 * models made afterwards: ESTATE while there is one. "weights" is for models
 * opened afterwards. ENOTFOUND for an unknown name, EINVAL for a value out of
 * range.
 */
int dreambooth_context_set(dreambooth_context *context, const char *name,
                           const char *value);
int dreambooth_context_set_integer(dreambooth_context *context,
                                   const char *name, int64_t value);
/*
 * Options, and the facts "memory.live" and "memory.peak" (bytes). A text stays
 * the context's and is valid until the next call of this function.
 */
int dreambooth_context_get_text(dreambooth_context *context, const char *name,
                                const char **out);
int dreambooth_context_get_integer(dreambooth_context *context,
                                   const char *name, int64_t *out);

/* NULL takes the callback away. While there is no log callback, the context
 * keeps the latest 64 lines of level INFO and WARNING for
 * dreambooth_context_next_log(). */
void dreambooth_context_set_log(dreambooth_context *context,
                                dreambooth_log_function *log, void *user);
/*
 * Takes the oldest line that is kept: *LEVEL is one of enum
 * dreambooth_log_level, *TEXT stays the context's and is valid until the next
 * call of this function. DREAMBOOTH_DONE, and nothing written, when there is
 * none.
 */
int dreambooth_context_next_log(dreambooth_context *context, int *level,
                                const char **text);
/* NULL takes the callback away. */
void dreambooth_context_set_progress(dreambooth_context *context,
                                     dreambooth_progress_function *progress,
                                     void *user);

/*
 * Asks the call that is running in the context, and all later ones, to stop
 * with DREAMBOOTH_ECANCELLED at the next step. Async-signal-safe.
 */
void dreambooth_context_cancel(dreambooth_context *context);
/* Takes that back. */
void dreambooth_context_clear_cancel(dreambooth_context *context);

/*
 * The text of the context's last error: one line that names the file or option
 * and says what to do; "" if there was none. It stays the context's and is
 * valid until the next call that fails.
 */
const char *dreambooth_context_error(const dreambooth_context *context);

/*
 * The options of HANDLE ("context", "sampler", "trainer" or "identifier"), for
 * those who build a command line, a form or a manual from them. INDEX counts
 * from 0; FIELD is "name", "type" (boolean, integer, real, text or choice),
 * "range" (in words), "choices" (with blanks between), "default",
 * "placeholder", "unit", "help" or "advanced" (yes or no). The value is written
 * to TEXT, at most SIZE bytes with the NUL; "" for one that is not there, and
 * never longer than 1023 bytes. ENOTFOUND behind the last option and for
 * unknown names; needs no context.
 */
int dreambooth_option_info(const char *handle, size_t index, const char *field,
                           char *text, size_t size);
/*
 * The same for the facts of HANDLE ("context", "model", "sampler" or
 * "trainer"), which can be read with its getters and not be set: FIELD is
 * "name", "type", "unit" or "help". An N in a model's fact stands for a number
 * from 0, KEY for a name.
 */
int dreambooth_fact_info(const char *handle, size_t index, const char *field,
                         char *text, size_t size);

#include "dreambooth/end.h"

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The context handle: an environment with its threads and kernels. Threads
 * start with the first model, so that options can be set before.
 */
#include "api/handle_int.h"

#include <string.h>
#include <unistd.h>

#define FIELD(name) offsetof(struct db_context_settings, name)

/* By enum dreambooth_precision. */
static const char *const precision_names[] = {"exact", "float32", "bfloat16",
                                              NULL};

static const char *const weights_names[] = {"float32", "bfloat16", NULL};

static const struct db_option rows[] = {
    {.name = "threads",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(threads),
     .default_text = "1",
     .minimum = 0,
     .maximum = 1024,
     .placeholder = "N",
     .help = "threads of our own, beside the BLAS's; 0: one a processor"},
    {.name = "backend",
     .type = DB_OPTION_TEXT,
     .offset = FIELD(backend),
     .default_text = "simd",
     .placeholder = "NAME",
     .help = "compute kernels: simd, blas, reference, or one that was added",
     .flags = DB_OPTION_ADVANCED},
    {.name = "precision",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(precision),
     .default_text = "float32",
     .choices = precision_names,
     .placeholder = "KIND",
     .help = "how exact products of matrices are: exact: no other algorithm; "
             "float32: any as good; bfloat16: rounded factors",
     .flags = DB_OPTION_ADVANCED},
    {.name = "weights",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(weights),
     .default_text = "float32",
     .choices = weights_names,
     .placeholder = "KIND",
     .help = "how weights are kept in memory; bfloat16: half the memory, "
             "rounded to 8 bits",
     .flags = DB_OPTION_ADVANCED},
    {.name = "memory-limit",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(memory_limit),
     .default_text = "0",
     .minimum = 0,
     .maximum = 9e15,
     .placeholder = "BYTES",
     .unit = "bytes",
     .help = "the most memory to use; 0: no limit"},
};

const struct db_option_table db_context_options = {
    .handle = "a context", .rows = rows, .count = DB_COUNT(rows)};

struct memory_facts {
    uint64_t live, peak;
};

static const struct db_fact facts[] = {
    {"memory.live", DB_FACT_SIZE, offsetof(struct memory_facts, live), "bytes",
     "memory in use"},
    {"memory.peak", DB_FACT_SIZE, offsetof(struct memory_facts, peak), "bytes",
     "the most memory that was in use at once"},
};

const struct db_fact_table db_context_facts = {facts, DB_COUNT(facts)};

static void free_line(dreambooth_context *context, char *text)
{
    if (text != NULL)
        context->env.resize(context->env.resize_user, text, strlen(text) + 1,
                            0);
}

/* Keeps a line while nobody listens, in place of the oldest if need be. A line
 * for which there is no memory is lost: it must not become an error. */
static void keep_line(void *user, int level, const char *text)
{
    dreambooth_context *context = user;
    struct db_env *env = &context->env;
    size_t size = strlen(text) + 1;
    struct db_kept_line *line;
    char *copy;

    if (level < DREAMBOOTH_LOG_INFO)
        return;
    copy = env->resize(env->resize_user, NULL, 0, size);
    if (copy == NULL)
        return;
    memcpy(copy, text, size);
    line = &context->kept[(context->kept_first + context->kept_count) %
                          DB_KEPT_LINES];
    if (context->kept_count < DB_KEPT_LINES) {
        context->kept_count++;
    } else {
        free_line(context, line->text);
        context->kept_first = (context->kept_first + 1) % DB_KEPT_LINES;
    }
    *line = (struct db_kept_line){copy, level};
}

/* The oldest line's text, which is the caller's now; NULL if there is none. */
static char *take_line(dreambooth_context *context, int *level)
{
    struct db_kept_line *line = &context->kept[context->kept_first];

    if (context->kept_count == 0)
        return NULL;
    context->kept_first = (context->kept_first + 1) % DB_KEPT_LINES;
    context->kept_count--;
    *level = line->level;
    return line->text;
}

int dreambooth_context_new(dreambooth_context **out)
{
    return dreambooth_context_new_with_allocator(out, db_standard_resize, NULL);
}

int dreambooth_context_new_with_allocator(dreambooth_context **out,
                                          dreambooth_resize_function *resize,
                                          void *user)
{
    dreambooth_context *context;
    int status;

    if (out == NULL || resize == NULL)
        return DREAMBOOTH_EINVAL;
    context = resize(user, NULL, 0, sizeof(*context));
    if (context == NULL)
        return DREAMBOOTH_ENOMEM;
    memset(context, 0, sizeof(*context));
    db_env_init(&context->env);
    context->env.resize = resize;
    context->env.resize_user = user;
    context->references = 1;
    dreambooth_context_set_log(context, NULL, NULL);
    status =
        db_options_init(&context->env, &db_context_options, &context->settings);
    if (status != DREAMBOOTH_OK) {
        resize(user, context, sizeof(*context), 0);
        return status;
    }
    *out = context;
    return DREAMBOOTH_OK;
}

dreambooth_context *db_context_hold(dreambooth_context *context)
{
    context->references++;
    return context;
}

void dreambooth_context_free(dreambooth_context *context)
{
    if (context == NULL)
        return;
    dreambooth_context_set_log(context, NULL, NULL);
    dreambooth_context_set_progress(context, NULL, NULL);
    db_context_release(context);
}

void db_context_release(dreambooth_context *context)
{
    struct db_backend_entry *entry;
    char *line;
    int level;

    if (--context->references > 0)
        return;
    while ((line = take_line(context, &level)) != NULL)
        free_line(context, line);
    free_line(context, context->taken);
    db_pool_free(context->pool);
    while ((entry = context->backends) != NULL) {
        context->backends = entry->next;
        db_free(&context->env, entry->name);
        db_free(&context->env, entry);
    }
    db_options_release(&context->env, &db_context_options, &context->settings);
    db_free(&context->env, context->text);
    context->env.resize(context->env.resize_user, context, sizeof(*context), 0);
}

/* Options that models are bound to. */
static bool is_bound(const char *name)
{
    static const char *const names[] = {"threads", "backend", "precision"};
    size_t i;

    for (i = 0; i < DB_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* What must hold before an option can change, and what follows from it. */
static int check_change(dreambooth_context *context, const char *name)
{
    if (name != NULL && context->models > 0 && is_bound(name))
        return db_fail(&context->env, DREAMBOOTH_ESTATE,
                       "\"%s\" cannot change while the context has models",
                       name);
    return DREAMBOOTH_OK;
}

void db_context_rest(dreambooth_context *context)
{
    db_pool_free(context->pool);
    context->pool = NULL;
}

static void apply(dreambooth_context *context)
{
    context->env.limit_bytes = (uint64_t)context->settings.memory_limit;
    if (context->models == 0)
        db_context_rest(context);
}

int dreambooth_context_set(dreambooth_context *context, const char *name,
                           const char *value)
{
    int status = check_change(context, name);

    if (status == DREAMBOOTH_OK && name != NULL &&
        strcmp(name, "backend") == 0 &&
        (value == NULL || !db_context_kernels(context, value, NULL)))
        status = db_fail(&context->env, DREAMBOOTH_ENOTFOUND,
                         "there is no backend \"%s\"; there are blas, simd, "
                         "reference and those that the program has added",
                         value == NULL ? "" : value);
    if (status == DREAMBOOTH_OK)
        status = db_options_set(&context->env, &db_context_options,
                                &context->settings, name, value);
    if (status == DREAMBOOTH_OK)
        apply(context);
    return status;
}

int dreambooth_context_set_integer(dreambooth_context *context,
                                   const char *name, int64_t value)
{
    int status = check_change(context, name);

    if (status == DREAMBOOTH_OK)
        status = db_options_set_integer(&context->env, &db_context_options,
                                        &context->settings, name, value);
    if (status == DREAMBOOTH_OK)
        apply(context);
    return status;
}

static struct db_subject subject_of(dreambooth_context *context,
                                    struct memory_facts *memory)
{
    memory->live = atomic_load(&context->env.live_bytes);
    memory->peak = atomic_load(&context->env.peak_bytes);
    return (struct db_subject){.env = &context->env,
                               .facts = &db_context_facts,
                               .fact_base = memory,
                               .table = &db_context_options,
                               .settings = &context->settings};
}

int dreambooth_context_get_text(dreambooth_context *context, const char *name,
                                const char **out)
{
    struct memory_facts memory;
    struct db_subject subject = subject_of(context, &memory);

    return db_subject_text(&subject, name, &context->text, out);
}

int dreambooth_context_get_integer(dreambooth_context *context,
                                   const char *name, int64_t *out)
{
    struct memory_facts memory;
    struct db_subject subject = subject_of(context, &memory);

    return db_subject_integer(&subject, name, out);
}

void dreambooth_context_set_log(dreambooth_context *context,
                                dreambooth_log_function *log, void *user)
{
    context->env.log = log == NULL ? keep_line : log;
    context->env.log_user = log == NULL ? context : user;
}

int dreambooth_context_next_log(dreambooth_context *context, int *level,
                                const char **text)
{
    char *line;

    if (level == NULL || text == NULL)
        return db_check_given(&context->env, NULL,
                              level == NULL ? "level" : "text");
    line = take_line(context, level);
    if (line == NULL)
        return DREAMBOOTH_DONE;
    free_line(context, context->taken);
    context->taken = line;
    *text = line;
    return DREAMBOOTH_OK;
}

void dreambooth_context_set_progress(dreambooth_context *context,
                                     dreambooth_progress_function *progress,
                                     void *user)
{
    context->progress = progress;
    context->progress_user = user;
}

void dreambooth_context_cancel(dreambooth_context *context)
{
    atomic_store(&context->env.cancelled, 1);
}

void dreambooth_context_clear_cancel(dreambooth_context *context)
{
    atomic_store(&context->env.cancelled, 0);
}

const char *dreambooth_context_error(const dreambooth_context *context)
{
    return context->env.error_text;
}

void db_context_progress(struct dreambooth_context *context, const char *stage,
                         int64_t done, int64_t total)
{
    if (context->progress != NULL)
        context->progress(context->progress_user, stage, done, total);
}

enum db_dtype db_context_weights(const struct dreambooth_context *context)
{
    return context->settings.weights == 0 ? DB_F32 : DB_BF16;
}

int db_context_device(struct dreambooth_context *context,
                      struct db_device *device)
{
    int64_t threads = context->settings.threads;
    struct db_kernels kernels;
    int status;

    if (threads == 0)
        threads = sysconf(_SC_NPROCESSORS_ONLN);
    if (context->pool == NULL) {
        status = db_pool_new(&context->env, threads < 1 ? 1 : (int)threads,
                             &context->pool);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    db_context_kernels(context, context->settings.backend, &kernels);
    db_device_init(device, &context->env, context->pool, &kernels.table);
    db_device_set_kernels(device, &kernels);
    device->host.precision = context->settings.precision;
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* The backends that a context knows: ours, and those that programs add. */
#include "api/handle_int.h"

#include <string.h>

static bool give(const dreambooth_backend *table, struct db_kernels *out)
{
    if (out != NULL)
        db_kernels_init(out, table);
    return true;
}

bool db_context_kernels(const struct dreambooth_context *context,
                        const char *name, struct db_kernels *out)
{
    const dreambooth_backend *built_in = db_backend_find(name);
    const struct db_backend_entry *entry;

    if (built_in != NULL)
        return give(built_in, out);
    for (entry = context->backends; entry != NULL; entry = entry->next) {
        if (strcmp(entry->name, name) != 0)
            continue;
        if (out != NULL)
            *out = entry->kernels;
        return true;
    }
    return false;
}

static int fill_entry(dreambooth_context *context,
                      const dreambooth_backend *backend, const char *over,
                      struct db_backend_entry *entry)
{
    struct db_env *env = &context->env;
    int status;

    if (!db_context_kernels(context, over, &entry->kernels))
        return db_fail(env, DREAMBOOTH_ENOTFOUND,
                       "there is no backend \"%s\" to build on", over);
    status = db_backend_merge(env, backend, &entry->kernels);
    if (status != DREAMBOOTH_OK)
        return status;
    if (db_context_kernels(context, backend->name, NULL))
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "there is a backend \"%s\" already", backend->name);
    entry->name = db_copy_text(env, backend->name);
    if (entry->name == NULL)
        return env->error_status;
    entry->kernels.table.name = entry->name;
    return DREAMBOOTH_OK;
}

int dreambooth_context_add_backend(dreambooth_context *context,
                                   const dreambooth_backend *backend,
                                   const char *over)
{
    struct db_backend_entry *entry;
    int status = db_check_given(&context->env, backend, "backend");

    if (status != DREAMBOOTH_OK)
        return status;
    entry = db_alloc_zero(&context->env, sizeof(*entry));
    if (entry == NULL)
        return context->env.error_status;
    status = fill_entry(context, backend,
                        over != NULL ? over : context->settings.backend, entry);
    if (status != DREAMBOOTH_OK) {
        db_free(&context->env, entry);
        return status;
    }
    entry->next = context->backends;
    context->backends = entry;
    return DREAMBOOTH_OK;
}

int dreambooth_context_get_backend(dreambooth_context *context,
                                   const char *name, dreambooth_backend *table,
                                   size_t size)
{
    struct db_kernels kernels;
    int status = db_check_given(&context->env, name, "name");

    if (status == DREAMBOOTH_OK)
        status = db_check_given(&context->env, table, "table");
    if (status != DREAMBOOTH_OK)
        return status;
    if (!db_context_kernels(context, name, &kernels))
        return db_fail(&context->env, DREAMBOOTH_ENOTFOUND,
                       "there is no backend \"%s\"", name);
    if (size < sizeof(kernels.table))
        kernels.table.size = size;
    memset(table, 0, size);
    memcpy(table, &kernels.table, kernels.table.size);
    return DREAMBOOTH_OK;
}

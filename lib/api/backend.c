/* SPDX-License-Identifier: MIT */
/* The backends that a context knows: ours, and those that programs add. */
#include "api/handle_int.h"

#include <string.h>

const dreambooth_backend *db_context_backend(
    const struct dreambooth_context *context, const char *name)
{
    const struct db_backend_entry *entry;

    if (strcmp(name, db_backend_reference.name) == 0)
        return &db_backend_reference;
    if (strcmp(name, db_backend_blas.name) == 0)
        return &db_backend_blas;
    for (entry = context->backends; entry != NULL; entry = entry->next)
        if (strcmp(entry->name, name) == 0)
            return &entry->table;
    return NULL;
}

int dreambooth_context_add_backend(dreambooth_context *context,
                                   const dreambooth_backend *backend,
                                   const char *over)
{
    const dreambooth_backend *base = db_context_backend(
        context, over != NULL ? over : context->settings.backend);
    struct db_backend_entry *entry;
    int status = db_check_given(&context->env, backend, "backend");

    if (status != DREAMBOOTH_OK)
        return status;
    if (base == NULL)
        return db_fail(&context->env, DREAMBOOTH_ENOTFOUND,
                       "there is no backend \"%s\" to build on", over);
    entry = db_alloc_zero(&context->env, sizeof(*entry));
    if (entry == NULL)
        return context->env.error_status;
    status = db_backend_merge(&context->env, backend, base, &entry->table);
    if (status == DREAMBOOTH_OK &&
        db_context_backend(context, backend->name) != NULL)
        status = db_fail(&context->env, DREAMBOOTH_EINVAL,
                         "there is a backend \"%s\" already", backend->name);
    if (status == DREAMBOOTH_OK &&
        (entry->name = db_copy_text(&context->env, backend->name)) == NULL)
        status = context->env.error_status;
    if (status != DREAMBOOTH_OK) {
        db_free(&context->env, entry);
        return status;
    }
    entry->table.name = entry->name;
    entry->next = context->backends;
    context->backends = entry;
    return DREAMBOOTH_OK;
}

int dreambooth_context_get_backend(dreambooth_context *context,
                                   const char *name, dreambooth_backend *table,
                                   size_t size)
{
    const dreambooth_backend *found;
    int status = db_check_given(&context->env, name, "name");

    if (status == DREAMBOOTH_OK)
        status = db_check_given(&context->env, table, "table");
    if (status != DREAMBOOTH_OK)
        return status;
    found = db_context_backend(context, name);
    if (found == NULL)
        return db_fail(&context->env, DREAMBOOTH_ENOTFOUND,
                       "there is no backend \"%s\"", name);
    memcpy(table, found, size < sizeof(*found) ? size : sizeof(*found));
    if (size >= sizeof(table->size))
        table->size = size < sizeof(*found) ? size : sizeof(*found);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * Forms of weights, one behind the other in the order in which they were made.
 * As that is the order in which they are asked for in every step, the next one
 * is nearly always the one behind the last.
 */
#include "kernel/forms.h"

#include <string.h>

#define ALIGNMENT ((size_t)64)

struct db_form {
    dreambooth_form form;
    size_t size;
    struct db_form *next;
};

static size_t rounded(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t db_forms_size(size_t size)
{
    return rounded(sizeof(struct db_form)) + rounded(size);
}

static void forget(struct db_forms *forms)
{
    forms->first = forms->found = NULL;
    forms->used = 0;
}

int db_forms_count(struct db_forms *forms, size_t count)
{
    struct db_formed *weights;

    if (forms->count == count)
        return DREAMBOOTH_OK;
    weights = db_alloc_zero(forms->env, count * sizeof(*weights));
    if (weights == NULL)
        return forms->env->error_status;
    db_free(forms->env, forms->weights);
    forms->weights = weights;
    forms->count = count;
    forget(forms);
    return DREAMBOOTH_OK;
}

void db_forms_set(struct db_forms *forms, size_t index, const void *weight,
                  uint64_t version)
{
    struct db_formed *at = &forms->weights[index];

    if (at->weight == weight && at->version == version)
        return;
    *at = (struct db_formed){weight, version};
    forget(forms);
}

static bool knows(const struct db_forms *forms, const void *weight)
{
    size_t i;

    for (i = 0; i < forms->count; i++)
        if (forms->weights[i].weight == weight)
            return true;
    return false;
}

static bool is_same(const dreambooth_form *a, const dreambooth_form *b)
{
    return a->weight == b->weight && a->maker == b->maker &&
           memcmp(a->numbers, b->numbers, sizeof(a->numbers)) == 0;
}

/* From the one that was found last on, once around. */
static struct db_form *find(const struct db_forms *forms,
                            const dreambooth_form *form)
{
    struct db_form *at = forms->found;

    if (at == NULL)
        return NULL;
    do {
        if (is_same(&at->form, form))
            return at;
        at = at->next != NULL ? at->next : forms->first;
    } while (at != forms->found);
    return NULL;
}

/* The last one that was made lies before it. */
static struct db_form *add(struct db_forms *forms, const dreambooth_form *form,
                           size_t size)
{
    struct db_form *made, *last = forms->found;

    if (db_forms_size(size) > forms->most - forms->used)
        return NULL;
    if (forms->memory == NULL)
        forms->memory = db_alloc(forms->env, forms->most);
    if (forms->memory == NULL) {
        forms->most = 0;
        return NULL;
    }
    made = (struct db_form *)(void *)(forms->memory + forms->used);
    *made = (struct db_form){.form = *form, .size = size};
    forms->used += db_forms_size(size);
    if (last == NULL) {
        forms->first = made;
    } else {
        made->next = last->next;
        last->next = made;
    }
    return made;
}

void *db_forms_keep(struct db_forms *forms, const dreambooth_form *form,
                    size_t size, int *is_new)
{
    struct db_form *found;

    *is_new = 0;
    if (forms == NULL || size > forms->most || !knows(forms, form->weight))
        return NULL;
    found = find(forms, form);
    if (found == NULL) {
        found = add(forms, form, size);
        *is_new = found != NULL;
    }
    if (found == NULL || found->size != size)
        return NULL;
    forms->found = found;
    return (char *)found + rounded(sizeof(*found));
}

void db_forms_release(struct db_forms *forms)
{
    db_free(forms->env, forms->weights);
    db_free(forms->env, forms->memory);
    forms->weights = NULL;
    forms->memory = NULL;
    forms->count = 0;
    forget(forms);
}

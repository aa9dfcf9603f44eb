/* SPDX-License-Identifier: MIT */
/*
 * Questions to a handle: facts first, then options, so that both are asked for
 * by name in one way.
 */
#include "api/handle_int.h"

#include <string.h>

#include "base/text.h"
#include "text/prompt.h"

static const struct db_fact *find_fact(const struct db_subject *subject,
                                       const char *name)
{
    size_t i;

    for (i = 0; i < subject->fact_count; i++)
        if (strcmp(subject->facts[i].name, name) == 0)
            return &subject->facts[i];
    return NULL;
}

static int no_facts(const struct db_subject *subject, const char *name)
{
    return db_fail(subject->env, DREAMBOOTH_ESTATE,
                   "there is no \"%s\" yet: take a step first", name);
}

static double fact_value(const struct db_subject *subject,
                         const struct db_fact *fact)
{
    const char *place = (const char *)subject->fact_base + fact->offset;
    int64_t integer;
    uint64_t size;
    double real;

    switch (fact->type) {
    case DB_FACT_INTEGER:
        memcpy(&integer, place, sizeof(integer));
        return (double)integer;
    case DB_FACT_SIZE:
        memcpy(&size, place, sizeof(size));
        return (double)size;
    case DB_FACT_REAL:
        memcpy(&real, place, sizeof(real));
        return real;
    case DB_FACT_BOOL:
        break;
    }
    return *(const bool *)place ? 1.0 : 0.0;
}

int db_subject_real(const struct db_subject *subject, const char *name,
                    double *out)
{
    const struct db_fact *fact = find_fact(subject, name);

    if (fact == NULL)
        return db_options_get_real(subject->env, subject->table,
                                   subject->settings, name, out);
    if (subject->fact_base == NULL)
        return no_facts(subject, name);
    *out = fact_value(subject, fact);
    return DREAMBOOTH_OK;
}

int db_subject_integer(const struct db_subject *subject, const char *name,
                       int64_t *out)
{
    const struct db_fact *fact = find_fact(subject, name);

    if (fact == NULL)
        return db_options_get_integer(subject->env, subject->table,
                                      subject->settings, name, out);
    if (subject->fact_base == NULL)
        return no_facts(subject, name);
    if (fact->type == DB_FACT_REAL)
        return db_fail(subject->env, DREAMBOOTH_EINVAL,
                       "\"%s\" is a real number, not an integer", name);
    *out = (int64_t)fact_value(subject, fact);
    return DREAMBOOTH_OK;
}

int db_subject_text(const struct db_subject *subject, const char *name,
                    char **cache, const char **out)
{
    const struct db_fact *fact = find_fact(subject, name);
    char *text = NULL;
    int status;

    if (fact == NULL) {
        status = db_options_get_text(subject->env, subject->table,
                                     subject->settings, name, &text);
        if (status != DREAMBOOTH_OK)
            return status;
        if (text == NULL && (text = db_copy_text(subject->env, "")) == NULL)
            return subject->env->error_status;
    } else {
        if (subject->fact_base == NULL)
            return no_facts(subject, name);
        text = db_format(subject->env, "%.10g", fact_value(subject, fact));
        if (text == NULL)
            return subject->env->error_status;
    }
    db_free(subject->env, *cache);
    *cache = text;
    *out = text;
    return DREAMBOOTH_OK;
}

int db_fill_prompt(struct db_env *env, const char *text, const char *identifier,
                   char **out)
{
    if (text == NULL) {
        *out = NULL;
        return DREAMBOOTH_OK;
    }
    return db_prompt_fill(env, text, identifier, out);
}

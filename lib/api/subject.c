/* SPDX-License-Identifier: MIT */
/*
 * Questions to a handle: facts first, then options, so that both are asked for
 * by name in one way.
 */
#include "api/handle_int.h"

#include <string.h>

#include "base/text.h"
#include "text/prompt.h"

int db_check_given(struct db_env *env, const void *argument, const char *name)
{
    if (argument != NULL)
        return DREAMBOOTH_OK;
    return db_fail(env, DREAMBOOTH_EINVAL, "the argument \"%s\" is NULL", name);
}

static int check_question(const struct db_subject *subject, const char *name,
                          const void *out)
{
    int status = db_check_given(subject->env, name, "name");

    return status != DREAMBOOTH_OK ? status
                                   : db_check_given(subject->env, out, "out");
}

static const struct db_fact *find_fact(const struct db_subject *subject,
                                       const char *name)
{
    size_t i;

    for (i = 0; i < subject->facts->count; i++)
        if (strcmp(subject->facts->rows[i].name, name) == 0)
            return &subject->facts->rows[i];
    return NULL;
}

static double real_value(const struct db_subject *subject,
                         const struct db_fact *fact)
{
    double value;

    memcpy(&value, (const char *)subject->fact_base + fact->offset,
           sizeof(value));
    return value;
}

/* Of a fact that is no real number. */
static int64_t integer_value(const struct db_subject *subject,
                             const struct db_fact *fact)
{
    const char *place = (const char *)subject->fact_base + fact->offset;
    int64_t value;

    if (fact->type == DB_FACT_BOOL)
        return *(const bool *)place ? 1 : 0;
    memcpy(&value, place, sizeof(value));
    return value;
}

int db_subject_real(const struct db_subject *subject, const char *name,
                    double *out)
{
    const struct db_fact *fact;
    int status = check_question(subject, name, out);

    if (status != DREAMBOOTH_OK)
        return status;
    fact = find_fact(subject, name);
    if (fact == NULL)
        return db_options_get_real(subject->env, subject->table,
                                   subject->settings, name, out);
    *out = fact->type == DB_FACT_REAL ? real_value(subject, fact)
                                      : (double)integer_value(subject, fact);
    return DREAMBOOTH_OK;
}

int db_subject_integer(const struct db_subject *subject, const char *name,
                       int64_t *out)
{
    const struct db_fact *fact;
    int status = check_question(subject, name, out);

    if (status != DREAMBOOTH_OK)
        return status;
    fact = find_fact(subject, name);
    if (fact == NULL)
        return db_options_get_integer(subject->env, subject->table,
                                      subject->settings, name, out);
    if (fact->type == DB_FACT_REAL)
        return db_fail(subject->env, DREAMBOOTH_EINVAL,
                       "\"%s\" is a real number, not an integer", name);
    *out = integer_value(subject, fact);
    return DREAMBOOTH_OK;
}

/* The value of a fact or option in fresh memory. */
static int make_text(const struct db_subject *subject, const char *name,
                     char **out)
{
    const struct db_fact *fact = find_fact(subject, name);
    char digits[DB_REAL_TEXT], *text = NULL;
    int status;

    if (fact == NULL) {
        status = db_options_get_text(subject->env, subject->table,
                                     subject->settings, name, &text);
        if (status != DREAMBOOTH_OK)
            return status;
        if (text == NULL)
            text = db_copy_text(subject->env, "");
    } else if (fact->type == DB_FACT_REAL) {
        db_real_text(real_value(subject, fact), digits);
        text = db_copy_text(subject->env, digits);
    } else if (fact->type == DB_FACT_BOOL) {
        text = db_copy_text(subject->env,
                            integer_value(subject, fact) ? "true" : "false");
    } else {
        text = db_format(subject->env, "%lld",
                         (long long)integer_value(subject, fact));
    }
    if (text == NULL)
        return subject->env->error_status;
    *out = text;
    return DREAMBOOTH_OK;
}

int db_subject_text(const struct db_subject *subject, const char *name,
                    char **cache, const char **out)
{
    char *text = NULL;
    int status = check_question(subject, name, out);

    if (status == DREAMBOOTH_OK)
        status = make_text(subject, name, &text);
    if (status != DREAMBOOTH_OK)
        return status;
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

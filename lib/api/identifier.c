/* SPDX-License-Identifier: MIT */
/* The picker's handle: settings, and what was picked last. */
#include "api/handle_int.h"

#include <string.h>

#include "text/identifier.h"

struct identifier_settings {
    int64_t count, seed, tokens, first_id, max_characters, draws;
    int alphabet; /* enum db_identifier_alphabet */
    bool allow_blocked;
};

struct dreambooth_identifier {
    struct db_env *env;
    dreambooth_tokenizer *from_tokenizer; /* one of the two is kept alive */
    dreambooth_model *from_model;
    const struct db_tokenizer *tokenizer;
    struct db_tensor *embeddings; /* [vocabulary, dimension] or NULL */
    struct identifier_settings settings;
    struct db_identifier *picked;
    size_t picked_count;
    struct db_identifier_report report;
    char *text; /* what the last get_text() gave */
};

#define FIELD(name) offsetof(struct identifier_settings, name)

static const char *const alphabets[] = {"latin", "letters", "any", NULL};

static const struct db_option rows[] = {
    {.name = "count",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(count),
     .default_text = "5",
     .minimum = 1,
     .maximum = 10000,
     .placeholder = "N",
     .help = "how many identifiers to pick"},
    {.name = "seed",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(seed),
     .default_text = "0",
     .minimum = 0,
     .maximum = 9007199254740992.0,
     .placeholder = "N",
     .help = "seed of the draw"},
    {.name = "tokens",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(tokens),
     .default_text = "1",
     .minimum = 1,
     .maximum = 3,
     .placeholder = "N",
     .help = "tokens in an identifier"},
    {.name = "first-id",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(first_id),
     .default_text = "-1",
     .minimum = -1,
     .maximum = 2147483647,
     .placeholder = "ID",
     .help = "first id of the rare band; -1: 40000 of CLIP's 49408, the same "
             "share of others",
     .flags = DB_OPTION_ADVANCED},
    {.name = "max-characters",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(max_characters),
     .default_text = "3",
     .minimum = 1,
     .maximum = 64,
     .placeholder = "N",
     .help = "most characters of a token",
     .flags = DB_OPTION_ADVANCED},
    {.name = "alphabet",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(alphabet),
     .default_text = "latin",
     .choices = alphabets,
     .placeholder = "WHICH",
     .help = "characters of a token: a to z, letters of any script, any",
     .flags = DB_OPTION_ADVANCED},
    {.name = "allow-blocked",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(allow_blocked),
     .help = "also pick words that are known to mean something",
     .flags = DB_OPTION_ADVANCED},
    {.name = "draws",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(draws),
     .default_text = "0",
     .minimum = 0,
     .maximum = 1000000,
     .placeholder = "N",
     .help = "draw this many and keep those with the weakest prior",
     .flags = DB_OPTION_ADVANCED},
};

const struct db_option_table db_identifier_option_table = {
    .handle = "an identifier picker", .rows = rows, .count = DB_COUNT(rows)};

static int identifier_new(dreambooth_identifier **out, struct db_env *env,
                          const struct db_tokenizer *tokenizer,
                          struct db_tensor *embeddings)
{
    dreambooth_identifier *handle = db_alloc_zero(env, sizeof(*handle));
    int status;

    if (handle == NULL)
        return env->error_status;
    handle->env = env;
    handle->tokenizer = tokenizer;
    status =
        db_options_init(env, &db_identifier_option_table, &handle->settings);
    if (status != DREAMBOOTH_OK) {
        db_free(env, handle);
        return status;
    }
    if (embeddings != NULL)
        handle->embeddings = db_tensor_hold(embeddings);
    *out = handle;
    return DREAMBOOTH_OK;
}

int dreambooth_identifier_new(dreambooth_identifier **out,
                              dreambooth_tokenizer *tokenizer)
{
    int status = identifier_new(out, &tokenizer->context->env,
                                tokenizer->tokenizer, NULL);

    if (status == DREAMBOOTH_OK) {
        tokenizer->references++;
        (*out)->from_tokenizer = tokenizer;
    }
    return status;
}

int dreambooth_identifier_new_for_model(dreambooth_identifier **out,
                                        dreambooth_model *model)
{
    int status = db_model_check_whole(model);
    struct db_param *table;

    if (status != DREAMBOOTH_OK)
        return status;
    table = model->pipeline->text_encoder->token_embedding;
    status = db_param_need(table, model->device.pool);
    if (status == DREAMBOOTH_OK)
        status = identifier_new(out, &model->context->env,
                                model->pipeline->tokenizer, table->data);
    if (status == DREAMBOOTH_OK)
        (*out)->from_model = db_model_hold(model);
    return status;
}

void dreambooth_identifier_free(dreambooth_identifier *identifier)
{
    struct dreambooth_identifier copy;

    if (identifier == NULL)
        return;
    copy = *identifier;
    db_identifiers_free(copy.env, copy.picked, copy.picked_count);
    db_identifier_report_release(copy.env, &copy.report);
    db_tensor_release(copy.embeddings);
    db_options_release(copy.env, &db_identifier_option_table, &copy.settings);
    db_free(copy.env, copy.text);
    db_free(copy.env, identifier);
    dreambooth_tokenizer_free(copy.from_tokenizer);
    dreambooth_model_free(copy.from_model);
}

int dreambooth_identifier_set(dreambooth_identifier *identifier,
                              const char *name, const char *value)
{
    return db_options_set(identifier->env, &db_identifier_option_table,
                          &identifier->settings, name, value);
}

int dreambooth_identifier_set_integer(dreambooth_identifier *identifier,
                                      const char *name, int64_t value)
{
    return db_options_set_integer(identifier->env, &db_identifier_option_table,
                                  &identifier->settings, name, value);
}

static struct db_subject subject_of(const dreambooth_identifier *identifier)
{
    static const struct db_fact_table no_facts = {NULL, 0};

    return (struct db_subject){.env = identifier->env,
                               .facts = &no_facts,
                               .table = &db_identifier_option_table,
                               .settings = &identifier->settings};
}

int dreambooth_identifier_get_text(dreambooth_identifier *identifier,
                                   const char *name, const char **out)
{
    struct db_subject subject = subject_of(identifier);

    return db_subject_text(&subject, name, &identifier->text, out);
}

int dreambooth_identifier_get_integer(dreambooth_identifier *identifier,
                                      const char *name, int64_t *out)
{
    struct db_subject subject = subject_of(identifier);

    return db_subject_integer(&subject, name, out);
}

static void fill_options(const dreambooth_identifier *identifier,
                         struct db_identifier_options *options)
{
    const struct identifier_settings *settings = &identifier->settings;

    db_identifier_defaults(options);
    options->first_id = (int32_t)settings->first_id;
    options->max_characters = (int)settings->max_characters;
    options->tokens = (int)settings->tokens;
    options->alphabet = (enum db_identifier_alphabet)settings->alphabet;
    options->allow_blocked = settings->allow_blocked;
    options->seed = (uint64_t)settings->seed;
    options->draws = (size_t)settings->draws;
    if (identifier->embeddings != NULL) {
        options->embeddings = db_tensor_f32(identifier->embeddings);
        options->dimension = (size_t)identifier->embeddings->shape.size[1];
    }
}

int dreambooth_identifier_pick(dreambooth_identifier *identifier)
{
    size_t count = (size_t)identifier->settings.count;
    struct db_identifier_options options;
    struct db_identifier *picked;
    int status;

    fill_options(identifier, &options);
    status =
        db_identifier_pick(identifier->tokenizer, &options, count, &picked);
    if (status != DREAMBOOTH_OK)
        return status;
    db_identifiers_free(identifier->env, identifier->picked,
                        identifier->picked_count);
    identifier->picked = picked;
    identifier->picked_count = count;
    return DREAMBOOTH_OK;
}

size_t dreambooth_identifier_count(const dreambooth_identifier *identifier)
{
    return identifier->picked_count;
}

static const struct db_identifier *at(const dreambooth_identifier *identifier,
                                      size_t index)
{
    return index < identifier->picked_count ? &identifier->picked[index] : NULL;
}

const char *dreambooth_identifier_word(const dreambooth_identifier *identifier,
                                       size_t index)
{
    const struct db_identifier *picked = at(identifier, index);

    return picked == NULL ? NULL : picked->text;
}

const char *dreambooth_identifier_explanation(
    const dreambooth_identifier *identifier, size_t index)
{
    const struct db_identifier *picked = at(identifier, index);

    return picked == NULL ? NULL : picked->explanation;
}

const int32_t *dreambooth_identifier_ids(
    const dreambooth_identifier *identifier, size_t index, size_t *count)
{
    const struct db_identifier *picked = at(identifier, index);

    *count = picked == NULL ? 0 : picked->token_count;
    return picked == NULL ? NULL : picked->ids;
}

double dreambooth_identifier_prior(const dreambooth_identifier *identifier,
                                   size_t index)
{
    const struct db_identifier *picked = at(identifier, index);

    return picked == NULL ? -1.0 : picked->prior;
}

int dreambooth_identifier_check(dreambooth_identifier *identifier,
                                const char *word, const char **findings)
{
    struct db_identifier_options options;
    struct db_identifier_report report = {0};
    int status = db_check_given(identifier->env, word, "word");

    if (status != DREAMBOOTH_OK)
        return status;
    fill_options(identifier, &options);
    status = db_identifier_check(identifier->tokenizer, word, strlen(word),
                                 &options, &report);
    if (status != DREAMBOOTH_OK)
        return status;
    db_identifier_report_release(identifier->env, &identifier->report);
    identifier->report = report;
    *findings = report.text;
    return DREAMBOOTH_OK;
}

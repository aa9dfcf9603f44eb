/* SPDX-License-Identifier: MIT */
/* `dreambooth identifier`: picks rare words, or judges one. */
#include <stdio.h>
#include <string.h>

#include <dreambooth/identifier.h>

#include "commands.h"
#include "exit.h"
#include "json.h"
#include "setup.h"

/* What a picker is made of: a model, or its tokenizer alone. */
struct source {
    dreambooth_context *context;
    dreambooth_model *model;
    dreambooth_tokenizer *tokenizer;
    dreambooth_identifier *picker;
};

static int open_source(struct source *source, const char *path, bool prior)
{
    int status;

    if (!prior) {
        status = dreambooth_tokenizer_open(&source->tokenizer, source->context,
                                           path);
        if (status != DREAMBOOTH_OK)
            return status;
        return dreambooth_identifier_new(&source->picker, source->tokenizer);
    }
    status = dreambooth_model_open(&source->model, source->context, path);
    if (status != DREAMBOOTH_OK)
        return status;
    return dreambooth_identifier_new_for_model(&source->picker, source->model);
}

static void close_source(struct source *source)
{
    dreambooth_identifier_free(source->picker);
    dreambooth_tokenizer_free(source->tokenizer);
    dreambooth_model_free(source->model);
}

static void print_picked(const dreambooth_identifier *picker, size_t index)
{
    double prior = dreambooth_identifier_prior(picker, index);
    char list[64] = "", number[16] = "-";
    const int32_t *ids;
    size_t i, count, length = 0;

    ids = dreambooth_identifier_ids(picker, index, &count);
    for (i = 0; i < count && length < sizeof(list); i++)
        length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%d",
                                   i == 0 ? "" : " ", (int)ids[i]);
    if (prior >= 0)
        snprintf(number, sizeof(number), "%.4f", prior);
    printf("%-12s %-18s %-7s %s\n", dreambooth_identifier_word(picker, index),
           list, number, dreambooth_identifier_explanation(picker, index));
}

static json_t *picked_json(const dreambooth_identifier *picker, size_t index)
{
    double prior = dreambooth_identifier_prior(picker, index);
    json_t *object = json_object();
    const int32_t *ids;
    size_t count;

    ids = dreambooth_identifier_ids(picker, index, &count);
    json_object_set_new(object, "word",
                        json_text(dreambooth_identifier_word(picker, index)));
    json_object_set_new(object, "ids", json_ids(ids, count));
    json_object_set_new(object, "prior",
                        prior >= 0 ? json_real(prior) : json_null());
    json_object_set_new(
        object, "explanation",
        json_text(dreambooth_identifier_explanation(picker, index)));
    return object;
}

static int print_picked_json(const dreambooth_identifier *picker)
{
    size_t i, count = dreambooth_identifier_count(picker);
    json_t *list = json_array();

    for (i = 0; i < count; i++)
        json_array_append_new(list, picked_json(picker, i));
    return json_print(json_pack("{so}", "identifiers", list));
}

/* FINDINGS has a line for each. */
static int print_findings_json(const char *word, const char *findings)
{
    json_t *object = json_object(), *list = json_array();
    char line[512];
    size_t length;

    json_object_set_new(object, "word", json_text(word));
    json_object_set_new(object, "good", json_boolean(findings[0] == '\0'));
    while (*findings != '\0') {
        length = strcspn(findings, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)length, findings);
        json_array_append_new(list, json_text(line));
        findings += length;
        findings += *findings == '\n';
    }
    json_object_set_new(object, "findings", list);
    return json_print(object);
}

static int pick(const struct options *options, const struct source *source)
{
    const dreambooth_identifier *picker = source->picker;
    int code = setup_check(options, source->context,
                           dreambooth_identifier_pick(source->picker));
    size_t i;

    if (code != EXIT_DONE)
        return code;
    if (options_yes(options, "json"))
        return print_picked_json(picker);
    printf("%-12s %-18s %-7s %s\n", "identifier", "ids", "prior", "why");
    for (i = 0; i < dreambooth_identifier_count(picker); i++)
        print_picked(picker, i);
    return EXIT_DONE;
}

static void print_findings(const char *word, const char *findings)
{
    size_t length;

    if (findings[0] == '\0') {
        printf("\"%s\" is a good identifier\n", word);
        return;
    }
    printf("\"%s\" is not a good identifier:\n", word);
    while (*findings != '\0') {
        length = strcspn(findings, "\n");
        printf("  %.*s\n", (int)length, findings);
        findings += length;
        findings += *findings == '\n';
    }
}

static int check(const struct options *options, const struct source *source)
{
    const char *word = options_text(options, "check"), *findings;
    int status = dreambooth_identifier_check(source->picker, word, &findings);

    if (status != DREAMBOOTH_OK)
        return setup_check(options, source->context, status);
    if (options_yes(options, "json"))
        return print_findings_json(word, findings);
    print_findings(word, findings);
    return EXIT_DONE;
}

static int set_identifier(void *picker, const char *name, const char *value)
{
    return dreambooth_identifier_set(picker, name, value);
}

static int run(const struct options *options)
{
    const char *word = options_text(options, "check");
    struct source source = {0};
    int code = setup_begin(options, &source.context);
    int status;

    if (code != EXIT_DONE)
        return code;
    status = open_source(&source, options->positionals[0],
                         word == NULL && options_yes(options, "prior"));
    if (status == DREAMBOOTH_OK)
        status =
            options_apply(options, "identifier", set_identifier, source.picker);
    code = setup_check(options, source.context, status);
    if (code == EXIT_DONE)
        code = word == NULL ? pick(options, &source) : check(options, &source);
    close_source(&source);
    return setup_end(source.context, code);
}

static const char *const handles[] = {"context", "identifier", NULL};
static const struct positional positionals[] = {
    {"MODEL",
     "folder of a pipeline in the form of diffusers; with --no-prior or "
     "--check, its tokenizer's folder will do",
     NULL, false},
    {NULL, NULL, NULL, false},
};
static const struct own_flag own[] = {
    {"check", "WORD", NULL, "judge this word instead of picking some", NULL},
    {"prior", NULL, "true",
     "do without the model's prior: needs its tokenizer alone, and is faster",
     NULL},
    {"json", NULL, NULL, "print an object of JSON", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct subcommand identifier_command = {
    .name = "identifier",
    .arguments = "MODEL [--count N] [--check WORD]",
    .summary = "Picks rare words to bind a subject to",
    .description =
        "Draws rare tokens from the end of the tokenizer's vocabulary and "
        "ranks them by how weak the model's prior for them is: 0 is the "
        "weakest, and the best to bind a subject to. With --check, judges a "
        "word of your own: whether it is common, splits badly or means "
        "something already.\n\n"
        "With --json: identifiers, a list of objects with word, ids, prior "
        "(null without the model) and explanation; with --check word, good "
        "(true or false) and findings, a list of texts.",
    .example = "dreambooth identifier MODEL --count 5 --seed 3",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

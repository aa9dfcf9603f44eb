/* SPDX-License-Identifier: MIT */
/* `dreambooth identifier`: picks rare words, or judges one. */
#include <stdio.h>
#include <string.h>

#include <dreambooth/identifier.h>

#include "commands.h"
#include "exit.h"
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

static int pick(dreambooth_identifier *picker)
{
    int status = dreambooth_identifier_pick(picker);
    size_t i;

    if (status != DREAMBOOTH_OK)
        return status;
    printf("%-12s %-18s %-7s %s\n", "identifier", "ids", "prior", "why");
    for (i = 0; i < dreambooth_identifier_count(picker); i++)
        print_picked(picker, i);
    return DREAMBOOTH_OK;
}

static int check(dreambooth_identifier *picker, const char *word)
{
    const char *findings;
    int status = dreambooth_identifier_check(picker, word, &findings);
    size_t length;

    if (status != DREAMBOOTH_OK)
        return status;
    if (findings[0] == '\0') {
        printf("\"%s\" is a good identifier\n", word);
        return DREAMBOOTH_OK;
    }
    printf("\"%s\" is not a good identifier:\n", word);
    while (*findings != '\0') {
        length = strcspn(findings, "\n");
        printf("  %.*s\n", (int)length, findings);
        findings += length;
        findings += *findings == '\n';
    }
    return DREAMBOOTH_OK;
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
    if (status == DREAMBOOTH_OK)
        status =
            word == NULL ? pick(source.picker) : check(source.picker, word);
    code = setup_check(source.context, status);
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
        "something already.",
    .example = "dreambooth identifier MODEL --count 5 --seed 3",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/*
 * Picks rare words for a subject, and judges those given as arguments. The
 * tokenizer alone is enough for it: vocab.json and merges.txt.
 */
#include <stdio.h>

#include <dreambooth/dreambooth.h>

static int print_picked(dreambooth_identifier *picker)
{
    int status = dreambooth_identifier_pick(picker);
    size_t i;

    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < dreambooth_identifier_count(picker); i++)
        printf("%s: %s\n", dreambooth_identifier_text(picker, i),
               dreambooth_identifier_explanation(picker, i));
    return DREAMBOOTH_OK;
}

static int print_judgement(dreambooth_identifier *picker, const char *word)
{
    const char *findings;
    int status = dreambooth_identifier_check(picker, word, &findings);

    if (status == DREAMBOOTH_OK)
        printf("%s:\n%s", word,
               findings[0] == '\0' ? "nothing speaks against it\n" : findings);
    return status;
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_tokenizer *tokenizer = NULL;
    dreambooth_identifier *picker = NULL;
    int i, status;

    if (argc < 2) {
        puts("usage: identify MODEL [WORD...]");
        return 0;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    status = dreambooth_tokenizer_open(&tokenizer, context, argv[1]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_identifier_new(&picker, tokenizer);
    if (status == DREAMBOOTH_OK)
        status = print_picked(picker);
    for (i = 2; i < argc && status == DREAMBOOTH_OK; i++)
        status = print_judgement(picker, argv[i]);
    if (status != DREAMBOOTH_OK)
        fprintf(stderr, "%s\n", dreambooth_context_error(context));
    dreambooth_identifier_free(picker);
    dreambooth_tokenizer_free(tokenizer);
    dreambooth_context_free(context);
    return status != DREAMBOOTH_OK;
}

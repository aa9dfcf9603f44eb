/* SPDX-License-Identifier: MIT */
/*
 * Picks rare words for a subject, and judges those given as arguments.
 * The tokenizer alone is enough for it: vocab.json and merges.txt. With
 * the whole model (dreambooth_identifier_new_for_model()) words are
 * ranked by how little the model knows of them, too.
 *
 *     ./identify stable-diffusion-v1-5 sks
 */
#include <stdio.h>

#include <dreambooth/dreambooth.h>

static void print_picked(const dreambooth_identifier *picker)
{
    size_t i;

    for (i = 0; i < dreambooth_identifier_count(picker); i++)
        printf("%s: %s\n", dreambooth_identifier_word(picker, i),
               dreambooth_identifier_explanation(picker, i));
}

static int judge(dreambooth_identifier *picker, const char *word)
{
    const char *findings;
    int status = dreambooth_identifier_check(picker, word, &findings);

    if (status == DREAMBOOTH_OK)
        printf("%s:\n%s", word,
               findings[0] == '\0' ? "nothing speaks against it\n"
                                   : findings);
    return status;
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_tokenizer *tokenizer = NULL;
    dreambooth_identifier *picker = NULL;
    int i, failed;

    if (argc < 2) {
        fputs("usage: identify MODEL [WORD]...\n", stderr);
        return 2;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    failed = dreambooth_tokenizer_open(&tokenizer, context, argv[1]) ||
             dreambooth_identifier_new(&picker, tokenizer) ||
             dreambooth_identifier_set_integer(picker, "count", 3) ||
             dreambooth_identifier_pick(picker);
    if (!failed)
        print_picked(picker);
    for (i = 2; i < argc && !failed; i++)
        failed = judge(picker, argv[i]);
    if (failed)
        fprintf(stderr, "identify: %s\n",
                dreambooth_context_error(context));
    dreambooth_identifier_free(picker);
    dreambooth_tokenizer_free(tokenizer);
    dreambooth_context_free(context);
    return failed;
}

/* SPDX-License-Identifier: MIT */
/* `dreambooth tokenize`: what the model's tokenizer makes of a text. */
#include <stdio.h>
#include <stdlib.h>

#include <dreambooth/tokenizer.h>

#include "commands.h"
#include "exit.h"
#include "setup.h"

static void print_ids(const int32_t *ids, size_t count)
{
    size_t i;

    fputs("ids    ", stdout);
    for (i = 0; i < count; i++)
        printf(" %d", (int)ids[i]);
    putchar('\n');
}

static void print_tokens(const dreambooth_tokenizer *tokenizer,
                         const int32_t *ids, size_t count)
{
    size_t i;

    fputs("tokens ", stdout);
    for (i = 0; i < count; i++)
        printf(" %s", dreambooth_tokenizer_token(tokenizer, ids[i]));
    putchar('\n');
}

/* Start and end token take two places of a prompt. */
static void print_count(const dreambooth_tokenizer *tokenizer, size_t count)
{
    size_t length = dreambooth_tokenizer_prompt_length(tokenizer);
    size_t room = length < 2 ? 0 : length - 2;
    char text[120];

    printf("count   %zu of %zu\n", count, room);
    if (count <= room)
        return;
    snprintf(text, sizeof(text),
             "the text is longer than a prompt may be: its last %zu tokens "
             "would be dropped",
             count - room);
    remark("warning", text);
}

static int print(dreambooth_context *context,
                 const dreambooth_tokenizer *tokenizer, const char *text)
{
    size_t count;
    int32_t *ids;
    int status = dreambooth_tokenizer_encode(
        tokenizer, text, DREAMBOOTH_NUL_ENDED, NULL, 0, &count);

    if (status != DREAMBOOTH_OK)
        return complain_of(context, status);
    ids = calloc(count + 1, sizeof(*ids));
    if (ids == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    status = dreambooth_tokenizer_encode(tokenizer, text, DREAMBOOTH_NUL_ENDED,
                                         ids, count, &count);
    if (status == DREAMBOOTH_OK) {
        print_ids(ids, count);
        print_tokens(tokenizer, ids, count);
        print_count(tokenizer, count);
    }
    free(ids);
    return setup_check(context, status);
}

static int run(const struct options *options)
{
    dreambooth_tokenizer *tokenizer;
    dreambooth_context *context;
    int code = setup_begin(options, &context);
    int status;

    if (code != EXIT_DONE)
        return code;
    status =
        dreambooth_tokenizer_open(&tokenizer, context, options->positionals[0]);
    if (status != DREAMBOOTH_OK)
        return setup_end(context, complain_of(context, status));
    code = print(context, tokenizer, options->positionals[1]);
    dreambooth_tokenizer_free(tokenizer);
    return setup_end(context, code);
}

static const char *const handles[] = {"context", NULL};
static const struct positional positionals[] = {
    {"MODEL", "folder of a pipeline, or of its tokenizer", NULL, false},
    {"TEXT", "the prompt; in quotes, where it has blanks", NULL, false},
    {NULL, NULL, NULL, false},
};

const struct subcommand tokenize_command = {
    .name = "tokenize",
    .arguments = "MODEL TEXT",
    .summary = "Shows the tokens of a prompt",
    .description =
        "Shows what the text encoder gets to see of a prompt: the ids, "
        "their tokens as the vocabulary spells them (</w> ends a word), and "
        "how much of the room for a prompt they take. Warns of a prompt "
        "that would be cut.",
    .example = "dreambooth tokenize MODEL \"a photo of a sks dog\"",
    .handles = handles,
    .positionals = positionals,
    .run = run,
};

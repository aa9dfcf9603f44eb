/* SPDX-License-Identifier: MIT */
/* `dreambooth tokenize`: what the model's tokenizer makes of a text. */
#include <stdio.h>
#include <stdlib.h>

#include <dreambooth/tokenizer.h>

#include "commands.h"
#include "exit.h"
#include "json.h"
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
static size_t prompt_room(const dreambooth_tokenizer *tokenizer)
{
    size_t length = dreambooth_tokenizer_prompt_length(tokenizer);

    return length < 2 ? 0 : length - 2;
}

static void warn_of_length(size_t count, size_t room)
{
    char text[120];

    if (count <= room)
        return;
    snprintf(text, sizeof(text),
             "the text is longer than a prompt may be: its last %zu tokens "
             "would be dropped",
             count - room);
    remark("warning", text);
}

static int print_json(const dreambooth_tokenizer *tokenizer, const char *text,
                      const int32_t *ids, size_t count)
{
    size_t i, room = prompt_room(tokenizer);
    json_t *object = json_object(), *tokens = json_array();

    json_object_set_new(object, "text", json_text(text));
    json_object_set_new(object, "ids", json_ids(ids, count));
    for (i = 0; i < count; i++)
        json_array_append_new(
            tokens, json_text(dreambooth_tokenizer_token(tokenizer, ids[i])));
    json_object_set_new(object, "tokens", tokens);
    json_object_set_new(object, "count", json_integer((json_int_t)count));
    json_object_set_new(object, "room", json_integer((json_int_t)room));
    json_object_set_new(
        object, "dropped",
        json_integer((json_int_t)(count > room ? count - room : 0)));
    return json_print(object);
}

static int print_all(const struct options *options,
                     const dreambooth_tokenizer *tokenizer, const int32_t *ids,
                     size_t count)
{
    size_t room = prompt_room(tokenizer);
    int code = EXIT_DONE;

    if (options_yes(options, "json")) {
        code = print_json(tokenizer, options->positionals[1], ids, count);
    } else {
        print_ids(ids, count);
        print_tokens(tokenizer, ids, count);
        printf("count   %zu of %zu\n", count, room);
    }
    warn_of_length(count, room);
    return code;
}

static int print(const struct options *options, dreambooth_context *context,
                 const dreambooth_tokenizer *tokenizer)
{
    const char *text = options->positionals[1];
    size_t count;
    int32_t *ids;
    int code, status = dreambooth_tokenizer_encode(
                  tokenizer, text, DREAMBOOTH_NUL_ENDED, NULL, 0, &count);

    if (status != DREAMBOOTH_OK)
        return setup_check(options, context, status);
    ids = calloc(count + 1, sizeof(*ids));
    if (ids == NULL)
        return complain(EXIT_RESOURCES, "out of memory");
    status = dreambooth_tokenizer_encode(tokenizer, text, DREAMBOOTH_NUL_ENDED,
                                         ids, count, &count);
    code = setup_check(options, context, status);
    if (code == EXIT_DONE)
        code = print_all(options, tokenizer, ids, count);
    free(ids);
    return code;
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
        return setup_end(context, setup_check(options, context, status));
    code = print(options, context, tokenizer);
    dreambooth_tokenizer_free(tokenizer);
    return setup_end(context, code);
}

static const char *const handles[] = {"context", NULL};
static const struct own_flag own[] = {
    {"json", NULL, NULL, "print an object of JSON", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
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
        "that would be cut.\n\n"
        "With --json: text, ids and tokens (lists), count, room (for how many "
        "there is place in a prompt) and dropped (how many are too many).",
    .example = "dreambooth tokenize MODEL \"a photo of a sks dog\"",
    .handles = handles,
    .own = own,
    .positionals = positionals,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.json, the form of Hugging Face's tokenizers library, holds what
 * vocab.json and merges.txt hold, and rules of cleaning that we do not follow:
 * openai/CLIP's own stand. So it is turned into those two files, and there is
 * one way to read a vocabulary.
 */
#include "text/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "text/bpe.h"

static int fail_memory(struct db_env *env)
{
    return db_fail(env, DREAMBOOTH_ENOMEM,
                   "out of memory while reading tokenizer.json");
}

static int parse(struct db_env *env, const struct db_text_file *fast,
                 json_t **out)
{
    json_error_t error;
    json_t *root =
        json_loadb(fast->bytes, fast->length, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL && json_error_code(&error) == json_error_out_of_memory)
        return fail_memory(env);
    if (root == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s, line %d: %s", fast->name,
                       error.line, error.text);
    *out = root;
    return DREAMBOOTH_OK;
}

static bool has_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL && strcmp(value, text) == 0;
}

static int check_model(struct db_env *env, const json_t *model)
{
    if (!json_is_object(json_object_get(model, "vocab")) ||
        !json_is_array(json_object_get(model, "merges")))
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "tokenizer.json has no model.vocab and model.merges");
    if (!has_text(model, "type", "BPE") ||
        !has_text(model, "end_of_word_suffix", DB_END_OF_WORD))
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "tokenizer.json: model.type is not BPE with the "
                       "end_of_word_suffix %s, as CLIP's is",
                       DB_END_OF_WORD);
    return DREAMBOOTH_OK;
}

/* Tokens that were added to the vocabulary count as part of it. */
static int join_added(struct db_env *env, const json_t *added, json_t *vocab)
{
    const json_t *token, *content;
    json_t *id;
    size_t i;

    json_array_foreach(added, i, token)
    {
        content = json_object_get(token, "content");
        id = json_object_get(token, "id");
        if (!json_is_string(content) || !json_is_integer(id))
            return db_fail(env, DREAMBOOTH_EFORMAT,
                           "tokenizer.json: added_tokens[%zu] lacks its "
                           "content or id",
                           i);
        if (json_object_get(vocab, json_string_value(content)) != NULL)
            continue;
        db_log(env, DB_LOG_WARNING,
               "tokenizer.json: the added token \"%s\" is kept, but prompts "
               "cannot use it",
               json_string_value(content));
        if (json_object_set(vocab, json_string_value(content), id) < 0)
            return fail_memory(env);
    }
    return DREAMBOOTH_OK;
}

static int write_vocab(struct db_env *env, const json_t *vocab,
                       struct db_text_file *file)
{
    char *text = json_dumps(vocab, JSON_COMPACT);

    if (text == NULL)
        return fail_memory(env);
    file->length = strlen(text);
    file->bytes = db_copy_bytes(env, text, file->length);
    free(text);
    return file->bytes == NULL ? env->error_status : DREAMBOOTH_OK;
}

/* A merge is "th e</w>", or ["th", "e</w>"]. */
static int append_merge(struct db_env *env, struct db_text *text,
                        const json_t *merge, size_t index)
{
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));

    if (json_is_string(merge))
        return db_text_appendf(env, text, "%s\n", json_string_value(merge));
    if (json_array_size(merge) == 2 && left != NULL && right != NULL)
        return db_text_appendf(env, text, "%s %s\n", left, right);
    return db_fail(env, DREAMBOOTH_EFORMAT,
                   "tokenizer.json: model.merges[%zu] is not two tokens",
                   index);
}

static int write_merges(struct db_env *env, const json_t *merges,
                        struct db_text_file *file)
{
    struct db_text text = {0};
    const json_t *merge;
    size_t i;
    int status = db_text_append(env, &text, "#version: 0.2\n");

    json_array_foreach(merges, i, merge)
    {
        if (status == DREAMBOOTH_OK)
            status = append_merge(env, &text, merge, i);
    }
    file->length = text.length;
    if (status == DREAMBOOTH_OK)
        status = db_text_take(env, &text, &file->bytes);
    db_text_free(env, &text);
    return status;
}

int db_tokenizer_convert(struct db_env *env, const struct db_text_file *fast,
                         struct db_text_file *vocab,
                         struct db_text_file *merges)
{
    struct db_text_file files[2] = {*vocab, *merges};
    json_t *root = NULL, *model;
    int status = parse(env, fast, &root);

    if (status < 0)
        return status;
    files[0].bytes = files[1].bytes = NULL;
    model = json_object_get(root, "model");
    status = check_model(env, model);
    if (status == DREAMBOOTH_OK)
        status = join_added(env, json_object_get(root, "added_tokens"),
                            json_object_get(model, "vocab"));
    if (status == DREAMBOOTH_OK)
        status = write_vocab(env, json_object_get(model, "vocab"), &files[0]);
    if (status == DREAMBOOTH_OK)
        status = write_merges(env, json_object_get(model, "merges"), &files[1]);
    json_decref(root);
    if (status < 0) {
        db_free(env, files[0].bytes);
        db_free(env, files[1].bytes);
        return status;
    }
    *vocab = files[0];
    *merges = files[1];
    return DREAMBOOTH_OK;
}

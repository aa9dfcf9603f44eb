/* SPDX-License-Identifier: MIT */
/* The tokenizer handle: it copies ids and text into the caller's memory. */
#include "api/handle_int.h"

#include <string.h>

#include "file/folder.h"
#include "text/tokenizer.h"

int dreambooth_tokenizer_open(dreambooth_tokenizer **out,
                              dreambooth_context *context, const char *folder)
{
    struct db_env *env = &context->env;
    dreambooth_tokenizer *handle;
    char *inner;
    int status = db_check_given(env, folder, "folder");

    if (status != DREAMBOOTH_OK)
        return status;
    inner = db_path_join(env, folder, "tokenizer");
    if (inner == NULL)
        return env->error_status;
    handle = db_alloc_zero(env, sizeof(*handle));
    status =
        handle == NULL
            ? env->error_status
            : db_tokenizer_open(env, db_path_is_folder(inner) ? inner : folder,
                                &handle->tokenizer);
    db_free(env, inner);
    if (status != DREAMBOOTH_OK) {
        db_free(env, handle);
        return status;
    }
    handle->context = db_context_hold(context);
    handle->references = 1;
    *out = handle;
    return DREAMBOOTH_OK;
}

void dreambooth_tokenizer_free(dreambooth_tokenizer *tokenizer)
{
    dreambooth_context *context;

    if (tokenizer == NULL || --tokenizer->references > 0)
        return;
    context = tokenizer->context;
    db_tokenizer_free(tokenizer->tokenizer);
    db_free(&context->env, tokenizer);
    db_context_release(context);
}

static size_t length_of(const char *text, size_t length)
{
    return length == DREAMBOOTH_NUL_ENDED ? strlen(text) : length;
}

int dreambooth_tokenizer_encode(const dreambooth_tokenizer *tokenizer,
                                const char *text, size_t length, int32_t *ids,
                                size_t capacity, size_t *count)
{
    int32_t *all;
    size_t found;
    int status = db_check_given(&tokenizer->context->env, text, "text");

    if (status == DREAMBOOTH_OK)
        status = db_tokenizer_encode(tokenizer->tokenizer, text,
                                     length_of(text, length), &all, &found);

    if (status != DREAMBOOTH_OK)
        return status;
    if (capacity > 0)
        memcpy(ids, all, (found < capacity ? found : capacity) * sizeof(*ids));
    *count = found;
    db_free(&tokenizer->context->env, all);
    return DREAMBOOTH_OK;
}

int dreambooth_tokenizer_encode_padded(const dreambooth_tokenizer *tokenizer,
                                       const char *text, size_t length,
                                       int32_t *ids, size_t length_out,
                                       size_t *dropped)
{
    struct db_truncation lost = {0};
    int status = db_check_given(&tokenizer->context->env, text, "text");

    if (status != DREAMBOOTH_OK)
        return status;
    if (length_out < 2)
        return db_fail(&tokenizer->context->env, DREAMBOOTH_EINVAL,
                       "a padded prompt has at least 2 ids, not %zu",
                       length_out);
    status = db_tokenizer_encode_padded(tokenizer->tokenizer, text,
                                        length_of(text, length), length_out,
                                        ids, &lost);
    if (status == DREAMBOOTH_OK && dropped != NULL)
        *dropped = lost.dropped;
    db_free(&tokenizer->context->env, lost.text);
    return status;
}

int dreambooth_tokenizer_decode(const dreambooth_tokenizer *tokenizer,
                                const int32_t *ids, size_t count, char *text,
                                size_t size, size_t *length)
{
    char *whole;
    size_t found, copied;
    int status =
        db_tokenizer_decode(tokenizer->tokenizer, ids, count, &whole, &found);

    if (status != DREAMBOOTH_OK)
        return status;
    if (size > 0) {
        copied = found < size ? found : size - 1;
        memcpy(text, whole, copied);
        text[copied] = '\0';
    }
    *length = found;
    db_free(&tokenizer->context->env, whole);
    return DREAMBOOTH_OK;
}

const char *dreambooth_tokenizer_token(const dreambooth_tokenizer *tokenizer,
                                       int32_t id)
{
    return db_tokenizer_token(tokenizer->tokenizer, id);
}

size_t dreambooth_tokenizer_vocabulary_size(
    const dreambooth_tokenizer *tokenizer)
{
    return db_tokenizer_vocabulary_size(tokenizer->tokenizer);
}

size_t dreambooth_tokenizer_prompt_length(const dreambooth_tokenizer *tokenizer)
{
    return db_tokenizer_model_length(tokenizer->tokenizer);
}

/* SPDX-License-Identifier: MIT */
/* A prompt's way through the tokenizer and the text tower. */
#include "model/prompt.h"

#include <string.h>

int64_t db_prompt_length(const struct db_pipeline *pipeline)
{
    int64_t length = (int64_t)db_tokenizer_model_length(pipeline->tokenizer);
    int64_t positions = pipeline->text_encoder->config.max_position_embeddings;

    return length < positions ? length : positions;
}

int db_prompt_ids(struct db_env *env, const struct db_pipeline *pipeline,
                  const char *text, int64_t **out)
{
    size_t length = (size_t)db_prompt_length(pipeline);
    struct db_truncation truncation = {0};
    int32_t *narrow = db_alloc_array(env, length, sizeof(*narrow));
    int64_t *ids = NULL;
    int status = env->error_status;
    size_t i;

    if (narrow == NULL)
        return status;
    ids = db_alloc_array(env, length, sizeof(*ids));
    if (ids == NULL) {
        status = env->error_status;
        goto done;
    }
    if (text == NULL)
        text = "";
    status = db_tokenizer_encode_padded(pipeline->tokenizer, text, strlen(text),
                                        length, narrow, &truncation);
    if (status != DREAMBOOTH_OK)
        goto done;
    if (truncation.dropped > 0)
        db_log(env, DB_LOG_WARNING,
               "a prompt is longer than %zu tokens; dropped: \"%s\"", length,
               truncation.text);
    for (i = 0; i < length; i++)
        ids[i] = narrow[i];
    *out = ids;
    ids = NULL;
done:
    db_free(env, truncation.text);
    db_free(env, ids);
    db_free(env, narrow);
    return status;
}

int db_prompt_encode(struct db_device *device,
                     const struct db_pipeline *pipeline, const char *text,
                     struct db_tensor **out)
{
    struct db_tape tape;
    struct db_var *states;
    int64_t *ids;
    int status = db_prompt_ids(device->env, pipeline, text, &ids);

    if (status != DREAMBOOTH_OK)
        return status;
    db_tape_init(&tape, device, false);
    states = db_text_encoder_forward(&tape, pipeline->text_encoder, ids, 1,
                                     db_prompt_length(pipeline), NULL);
    status = tape.status;
    if (status == DREAMBOOTH_OK)
        *out = db_tensor_hold(states->data);
    db_drop(states);
    db_tape_clear(&tape);
    db_free(device->env, ids);
    return status;
}

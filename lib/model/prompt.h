/* SPDX-License-Identifier: MIT */
/*
 * Prompts as a pipeline's text encoder takes and gives them: samplers and
 * trainers ask here, so that both see the same.
 */
#ifndef DB_MODEL_PROMPT_H
#define DB_MODEL_PROMPT_H

#include "model/pipeline.h"

/* The ids of a prompt: the tokenizer's length, or what the text encoder has
 * positions for, whichever is less. */
int64_t db_prompt_length(const struct db_pipeline *pipeline);

/*
 * The padded ids of TEXT (NULL: ""), db_prompt_length() of them, in fresh
 * memory. What is too long is cut, with a warning that shows what was dropped.
 */
int db_prompt_ids(struct db_env *env, const struct db_pipeline *pipeline,
                  const char *text, int64_t **out);

/* TEXT through the text encoder, once, without gradients: [1, length, width].
 */
int db_prompt_encode(struct db_device *device,
                     const struct db_pipeline *pipeline, const char *text,
                     struct db_tensor **out);

#endif

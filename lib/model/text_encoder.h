/* SPDX-License-Identifier: MIT */
/*
 * CLIP's text transformer, as transformers' CLIPTextModel: token and position
 * embeddings, causal transformer layers, a final layer norm. Padding is
 * attended to.
 *
 * The tensors' names come in two spellings, with and without "text_model." in
 * front; the one that was found is kept for saving.
 */
#ifndef DB_MODEL_TEXT_ENCODER_H
#define DB_MODEL_TEXT_ENCODER_H

#include <jansson.h>

#include "nn/layer.h"
#include "nn/clip_layer.h"

struct db_text_encoder_config {
    int64_t vocab_size;
    int64_t hidden_size;
    int64_t intermediate_size;
    int64_t num_hidden_layers;
    int64_t num_attention_heads;
    int64_t max_position_embeddings;
    int64_t hidden_act; /* enum dreambooth_activation */
    double layer_norm_eps;
    double initializer_factor;
};

struct db_text_encoder {
    struct db_env *env;
    struct db_text_encoder_config config;
    struct db_params params;
    struct db_param *token_embedding, *position_embedding;
    struct db_clip_layer *layers;
    struct db_norm final_layer_norm;
};

/*
 * Builds the model that the object CONFIG, called FILE in errors, describes; no
 * data yet. PREFIX is "text_model." or "". EFORMAT for a field that is missing,
 * mistyped or out of range, EUNSUPPORTED for one that this version does not
 * know or cannot do; the error names file and field.
 */
int db_text_encoder_new(struct db_env *env, const char *file,
                        const json_t *config, const char *prefix,
                        struct db_text_encoder **out);
void db_text_encoder_free(struct db_text_encoder *encoder); /* NULL is fine */

/*
 * IDS [batch, length], length <= max_position_embeddings, to the final-normed
 * hidden states [batch, length, hidden_size]. The trace shows, beside them as
 * "last_hidden_state", transformers' hidden states "hidden_states.0" (the
 * embeddings) to "hidden_states.N", and "pooled" [batch, hidden_size], the
 * final state at the first largest id.
 */
struct db_var *db_text_encoder_forward(struct db_tape *tape,
                                       const struct db_text_encoder *encoder,
                                       const int64_t *ids, int64_t batch,
                                       int64_t length,
                                       const struct db_trace *trace);

#endif

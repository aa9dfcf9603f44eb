/* SPDX-License-Identifier: MIT */
/* CLIPTextModel: its configuration, its parameters and its forward pass. */
#include "model/text_encoder.h"

#include <stdio.h>
#include <string.h>

#include "model/config.h"

#define LIMIT 65536

/* The indices are enum dreambooth_activation's where there is one. */
static const char *const activations[] = {"silu", "gelu", "gelu_new",
                                          "quick_gelu", NULL};

#define PLACE(name) offsetof(struct db_text_encoder_config, name)
#define INTEGER(name, low, high)                                               \
    DB_ROW_NUMBER(#name, DB_CONFIG_INTEGER, PLACE(name), low, high)
#define REAL(name, low, high)                                                  \
    DB_ROW_NUMBER(#name, DB_CONFIG_REAL, PLACE(name), low, high)

/*
 * The last rows are what transformers puts into every model's configuration:
 * they tell of generating text, of training, of the file; nothing that
 * CLIPTextModel computes.
 */
static const struct db_config_field fields[] = {
    INTEGER(vocab_size, 1, 1 << 24),
    INTEGER(hidden_size, 1, LIMIT),
    INTEGER(intermediate_size, 1, 4 * LIMIT),
    INTEGER(num_hidden_layers, 1, 256),
    INTEGER(num_attention_heads, 1, 1024),
    INTEGER(max_position_embeddings, 2, 1 << 20),
    REAL(layer_norm_eps, 0, 1),
    REAL(initializer_factor, 0, 1000),
    DB_ROW_CHOICE("hidden_act", DB_CONFIG_CHOICE, PLACE(hidden_act),
                  activations),
    DB_ROW_ONLY("model_type", "[\"clip_text_model\", null]"),
    DB_ROW_ONLY("attention_dropout", "[0, null]"),
    DB_ROW_ONLY("dropout", "[0, null]"),
    DB_ROW_IGNORED("add_cross_attention"),
    DB_ROW_IGNORED("architectures"),
    DB_ROW_IGNORED("bad_words_ids"),
    DB_ROW_IGNORED("begin_suppress_tokens"),
    DB_ROW_IGNORED("bos_token_id"),
    DB_ROW_IGNORED("chunk_size_feed_forward"),
    DB_ROW_IGNORED("cross_attention_hidden_size"),
    DB_ROW_IGNORED("decoder_start_token_id"),
    DB_ROW_IGNORED("diversity_penalty"),
    DB_ROW_IGNORED("do_sample"),
    DB_ROW_IGNORED("dtype"),
    DB_ROW_IGNORED("early_stopping"),
    DB_ROW_IGNORED("encoder_no_repeat_ngram_size"),
    DB_ROW_IGNORED("eos_token_id"),
    DB_ROW_IGNORED("exponential_decay_length_penalty"),
    DB_ROW_IGNORED("finetuning_task"),
    DB_ROW_IGNORED("forced_bos_token_id"),
    DB_ROW_IGNORED("forced_eos_token_id"),
    DB_ROW_IGNORED("id2label"),
    DB_ROW_IGNORED("initializer_range"),
    DB_ROW_IGNORED("is_decoder"),
    DB_ROW_IGNORED("is_encoder_decoder"),
    DB_ROW_IGNORED("label2id"),
    DB_ROW_IGNORED("length_penalty"),
    DB_ROW_IGNORED("max_length"),
    DB_ROW_IGNORED("min_length"),
    DB_ROW_IGNORED("no_repeat_ngram_size"),
    DB_ROW_IGNORED("num_beam_groups"),
    DB_ROW_IGNORED("num_beams"),
    DB_ROW_IGNORED("num_return_sequences"),
    DB_ROW_IGNORED("output_attentions"),
    DB_ROW_IGNORED("output_hidden_states"),
    DB_ROW_IGNORED("output_scores"),
    DB_ROW_IGNORED("pad_token_id"),
    DB_ROW_IGNORED("prefix"),
    DB_ROW_IGNORED("problem_type"),
    DB_ROW_IGNORED("projection_dim"),
    DB_ROW_IGNORED("pruned_heads"),
    DB_ROW_IGNORED("remove_invalid_values"),
    DB_ROW_IGNORED("repetition_penalty"),
    DB_ROW_IGNORED("return_dict"),
    DB_ROW_IGNORED("return_dict_in_generate"),
    DB_ROW_IGNORED("sep_token_id"),
    DB_ROW_IGNORED("suppress_tokens"),
    DB_ROW_IGNORED("task_specific_params"),
    DB_ROW_IGNORED("temperature"),
    DB_ROW_IGNORED("tf_legacy_loss"),
    DB_ROW_IGNORED("tie_encoder_decoder"),
    DB_ROW_IGNORED("tie_word_embeddings"),
    DB_ROW_IGNORED("tokenizer_class"),
    DB_ROW_IGNORED("top_k"),
    DB_ROW_IGNORED("top_p"),
    DB_ROW_IGNORED("torch_dtype"),
    DB_ROW_IGNORED("torchscript"),
    DB_ROW_IGNORED("transformers_version"),
    DB_ROW_IGNORED("typical_p"),
    DB_ROW_IGNORED("use_bfloat16"),
    DB_ROW_IGNORED("use_cache"),
};

/* transformers' CLIPTextConfig(). */
static const struct db_text_encoder_config defaults = {
    .vocab_size = 49408,
    .hidden_size = 512,
    .intermediate_size = 2048,
    .num_hidden_layers = 12,
    .num_attention_heads = 8,
    .max_position_embeddings = 77,
    .hidden_act = DREAMBOOTH_QUICK_GELU,
    .layer_norm_eps = 1e-5,
    .initializer_factor = 1,
};

static void build_layers(struct db_text_encoder *encoder, const char *prefix)
{
    const struct db_text_encoder_config *config = &encoder->config;
    struct db_params *params = &encoder->params;
    struct db_clip_sizes sizes = {
        .channels = config->hidden_size,
        .inner_channels = config->intermediate_size,
        .heads = config->num_attention_heads,
        .layers = config->num_hidden_layers,
        .epsilon = config->layer_norm_eps,
        .initializer_factor = config->initializer_factor,
        .activation = (enum dreambooth_activation)config->hidden_act,
    };
    int64_t i;

    encoder->layers =
        db_params_keep(params, (size_t)sizes.layers, sizeof(*encoder->layers));
    if (encoder->layers == NULL)
        return;
    for (i = 0; i < sizes.layers; i++)
        db_clip_layer_build(
            &encoder->layers[i], params,
            db_params_text(params, "%sencoder.layers.%d", prefix, (int)i),
            &sizes);
}

static void build(struct db_text_encoder *encoder, const char *prefix)
{
    const struct db_text_encoder_config *config = &encoder->config;
    struct db_params *params = &encoder->params;
    struct db_shape tokens = db_shape2(config->vocab_size, config->hidden_size);
    struct db_shape positions =
        db_shape2(config->max_position_embeddings, config->hidden_size);
    struct db_init init = {DB_INIT_NORMAL,
                           (float)(0.02 * config->initializer_factor)};
    const char *module = db_params_text(params, "%sembeddings", prefix);

    encoder->token_embedding =
        db_params_add(params, module, "token_embedding.weight", &tokens,
                      DB_LAYOUT_TABLE, init);
    encoder->position_embedding =
        db_params_add(params, module, "position_embedding.weight", &positions,
                      DB_LAYOUT_PLAIN, init);
    build_layers(encoder, prefix);
    db_layer_norm_build(&encoder->final_layer_norm, params, "",
                        db_params_text(params, "%sfinal_layer_norm", prefix),
                        config->hidden_size, config->layer_norm_eps);
}

int db_text_encoder_new(struct db_env *env, const char *file,
                        const json_t *config, const char *prefix,
                        struct db_text_encoder **out)
{
    struct db_text_encoder *encoder = db_alloc_zero(env, sizeof(*encoder));
    int status;

    if (encoder == NULL)
        return env->error_status;
    encoder->env = env;
    encoder->config = defaults;
    db_params_init(&encoder->params, env);
    status = db_config_read(env, file, config, fields, DB_COUNT(fields),
                            &encoder->config);
    if (status != DREAMBOOTH_OK)
        goto fail;
    status = db_config_divides(
        env, file, "hidden_size", encoder->config.hidden_size,
        "num_attention_heads", encoder->config.num_attention_heads);
    if (status != DREAMBOOTH_OK)
        goto fail;
    build(encoder, prefix);
    status = encoder->params.status;
    if (status != DREAMBOOTH_OK)
        goto fail;
    *out = encoder;
    return DREAMBOOTH_OK;
fail:
    db_text_encoder_free(encoder);
    return status;
}

void db_text_encoder_free(struct db_text_encoder *encoder)
{
    if (encoder == NULL)
        return;
    db_params_free(&encoder->params);
    db_free(encoder->env, encoder);
}

/* The trace's "pooled": the row of Y at the first largest id of each line. */
static void note_pooled(struct db_tape *tape, const struct db_var *y,
                        const int64_t *ids, const struct db_trace *trace)
{
    struct db_shape shape;
    struct db_var *pooled;
    size_t width;
    int64_t b, i;

    if (trace == NULL || y == NULL)
        return;
    shape = db_shape2(y->data->shape.size[0], y->data->shape.size[2]);
    width = (size_t)shape.size[1];
    pooled = db_var_empty(tape, &shape);
    if (pooled == NULL)
        return;
    for (b = 0; b < shape.size[0]; b++) {
        int64_t length = y->data->shape.size[1];
        const int64_t *line = ids + b * length;
        int64_t best = 0;

        for (i = 1; i < length; i++)
            if (line[i] > line[best])
                best = i;
        memcpy(db_tensor_f32(pooled->data) + (size_t)b * width,
               db_tensor_f32(y->data) + (size_t)(b * length + best) * width,
               width * sizeof(float));
    }
    db_trace_note(trace, pooled, "pooled", "");
    db_drop(pooled);
}

struct db_var *db_text_encoder_forward(struct db_tape *tape,
                                       const struct db_text_encoder *encoder,
                                       const int64_t *ids, int64_t batch,
                                       int64_t length,
                                       const struct db_trace *trace)
{
    struct db_var *x;
    char name[32];
    int64_t i;

    x = db_embedding(tape, encoder->token_embedding, ids, batch, length);
    x = db_add_positions(tape, x, encoder->position_embedding);
    db_trace_note(trace, x, "hidden_states.0", "");
    for (i = 0; i < encoder->config.num_hidden_layers; i++) {
        x = db_clip_layer_forward(tape, &encoder->layers[i], x);
        snprintf(name, sizeof(name), "hidden_states.%d", (int)i + 1);
        db_trace_note(trace, x, name, "");
    }
    x = db_norm_forward(tape, &encoder->final_layer_norm, x);
    db_trace_note(trace, x, "last_hidden_state", "");
    note_pooled(tape, x, ids, trace);
    return x;
}

/* SPDX-License-Identifier: MIT */
/* The text transformer's layer, as one segment that may be recomputed. */
#include "nn/clip_layer.h"

#include <math.h>

static void build_attention(struct db_attention_layer *layer,
                            struct db_params *params, const char *name,
                            const struct db_clip_sizes *sizes)
{
    int64_t channels = sizes->channels;
    double out = sizes->initializer_factor / sqrt((double)channels);
    double in = out / sqrt(2.0 * (double)sizes->layers);

    db_linear_build_normal(&layer->to_k, params, name, "k_proj", channels,
                           channels, in);
    db_linear_build_normal(&layer->to_v, params, name, "v_proj", channels,
                           channels, in);
    db_linear_build_normal(&layer->to_q, params, name, "q_proj", channels,
                           channels, in);
    db_linear_build_normal(&layer->to_out, params, name, "out_proj", channels,
                           channels, out);
    layer->heads = sizes->heads;
    layer->causal = true;
}

void db_clip_layer_build(struct db_clip_layer *layer, struct db_params *params,
                         const char *name, const struct db_clip_sizes *sizes)
{
    double channels = (double)sizes->channels;
    double factor = sizes->initializer_factor;

    layer->name = name;
    layer->activation = sizes->activation;
    build_attention(&layer->self_attn, params,
                    db_params_text(params, "%s.self_attn", name), sizes);
    db_layer_norm_build(&layer->layer_norm1, params, name, "layer_norm1",
                        sizes->channels, sizes->epsilon);
    db_linear_build_normal(&layer->fc1, params, name, "mlp.fc1",
                           sizes->channels, sizes->inner_channels,
                           factor / sqrt(2 * channels));
    db_linear_build_normal(&layer->fc2, params, name, "mlp.fc2",
                           sizes->inner_channels, sizes->channels,
                           factor / sqrt(2 * channels * (double)sizes->layers));
    db_layer_norm_build(&layer->layer_norm2, params, name, "layer_norm2",
                        sizes->channels, sizes->epsilon);
}

static struct db_var *body(struct db_tape *tape, const void *context,
                           struct db_var **inputs)
{
    const struct db_clip_layer *layer = context;
    struct db_var *x = inputs[0];
    struct db_var *h;

    h = db_norm_forward(tape, &layer->layer_norm1, db_hold(x));
    h = db_attention_forward(tape, &layer->self_attn, h, NULL, true);
    x = db_add(tape, h, x);

    h = db_norm_forward(tape, &layer->layer_norm2, db_hold(x));
    h = db_linear_forward(tape, &layer->fc1, h);
    h = db_activation(tape, h, layer->activation);
    h = db_linear_forward(tape, &layer->fc2, h);
    return db_add(tape, h, x);
}

struct db_var *db_clip_layer_forward(struct db_tape *tape,
                                     const struct db_clip_layer *layer,
                                     struct db_var *x)
{
    return db_checkpoint(tape, body, layer, &x, 1);
}

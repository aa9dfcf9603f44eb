/* SPDX-License-Identifier: MIT */
/* Attention layers: diffusers' Attention and the VAE's. */
#include "nn/attention.h"

void db_attention_build(struct db_attention_layer *layer,
                        struct db_params *params, const char *name,
                        int64_t channels, int64_t context_channels,
                        int64_t heads)
{
    db_linear_build_plain(&layer->to_q, params, name, "to_q", channels,
                          channels);
    db_linear_build_plain(&layer->to_k, params, name, "to_k", context_channels,
                          channels);
    db_linear_build_plain(&layer->to_v, params, name, "to_v", context_channels,
                          channels);
    db_linear_build(&layer->to_out, params, name, "to_out.0", channels,
                    channels);
    layer->heads = heads;
    layer->causal = false;
}

static int64_t head_size_of(const struct db_attention_layer *layer)
{
    return layer->to_q.weight->shape.size[0] / layer->heads;
}

/* Whether q may be bfloat16 between its product and attention. */
static bool is_narrow(const struct db_tape *tape,
                      const struct db_attention_layer *layer,
                      const struct db_var *x, const struct db_var *context)
{
    return layer->to_q.bias == NULL && db_tape_narrows(tape, x) &&
           db_tape_narrows(tape, context);
}

struct db_var *db_attention_heads(struct db_tape *tape,
                                  const struct db_attention_layer *layer,
                                  struct db_var *x, struct db_var *context,
                                  bool self)
{
    const bool narrow = is_narrow(tape, layer, x, self ? x : context);
    struct db_var *q, *k, *v;

    if (self)
        context = db_hold(x);
    if (narrow)
        q = db_linear_narrow(tape, x, layer->to_q.weight,
                             db_attention_factor(head_size_of(layer)));
    else
        q = db_linear_forward(tape, &layer->to_q, x);
    if (narrow && self) {
        k = db_linear_narrow(tape, db_hold(context), layer->to_k.weight, 1.0f);
        v = db_linear_narrow(tape, context, layer->to_v.weight, 1.0f);
    } else {
        struct db_var *(*project)(
            struct db_tape *, const struct db_linear_layer *, struct db_var *) =
            self ? db_linear_forward : db_linear_forward_known;

        k = project(tape, &layer->to_k, db_hold(context));
        v = project(tape, &layer->to_v, context);
    }
    return db_attention(tape, q, k, v, layer->heads, layer->causal);
}

struct db_var *db_attention_forward(struct db_tape *tape,
                                    const struct db_attention_layer *layer,
                                    struct db_var *x, struct db_var *context,
                                    bool self)
{
    return db_linear_forward(tape, &layer->to_out,
                             db_attention_heads(tape, layer, x, context, self));
}

void db_image_attention_build(struct db_image_attention *layer,
                              struct db_params *params, const char *name,
                              int64_t channels, int64_t groups, double epsilon)
{
    struct db_attention_layer *attention = &layer->attention;

    layer->name = name;
    db_group_norm_build(&layer->group_norm, params, name, "group_norm",
                        channels, groups, epsilon);
    db_linear_build_renamed(&attention->to_q, params, name, "to_q", "query",
                            channels, channels);
    db_linear_build_renamed(&attention->to_k, params, name, "to_k", "key",
                            channels, channels);
    db_linear_build_renamed(&attention->to_v, params, name, "to_v", "value",
                            channels, channels);
    db_linear_build_renamed(&attention->to_out, params, name, "to_out.0",
                            "proj_attn", channels, channels);
    attention->heads = 1;
    attention->causal = false;
}

struct db_var *db_image_to_sequence(struct db_tape *tape, struct db_var *x)
{
    struct db_shape shape;

    if (x == NULL)
        return NULL;
    shape = x->data->shape;
    shape =
        db_shape3(shape.size[0], shape.size[1] * shape.size[2], shape.size[3]);
    return db_reshape(tape, x, &shape);
}

static struct db_var *attend(struct db_tape *tape, const void *context,
                             struct db_var **inputs)
{
    const struct db_image_attention *layer = context;
    struct db_var *x = inputs[0];
    struct db_shape shape;
    struct db_var *h;

    if (x == NULL)
        return NULL;
    shape = x->data->shape;
    h = db_norm_forward(tape, &layer->group_norm, db_hold(x));
    h = db_image_to_sequence(tape, h);
    h = db_attention_forward(tape, &layer->attention, h, NULL, true);
    return db_add(tape, db_reshape(tape, h, &shape), x);
}

struct db_var *db_image_attention_forward(
    struct db_tape *tape, const struct db_image_attention *layer,
    struct db_var *x, const struct db_trace *trace)
{
    struct db_var *y = db_checkpoint(tape, attend, layer, &x, 1);

    db_trace_note(trace, y, layer->name, "");
    return y;
}

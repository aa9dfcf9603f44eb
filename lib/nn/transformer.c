/* SPDX-License-Identifier: MIT */
/*
 * The image transformer, as one segment that may be recomputed. A traced run is
 * never cut into segments: then each module inside shows what it gives.
 */
#include "nn/transformer.h"

#define IMAGE_NORM_EPSILON 1e-6
#define TOKEN_NORM_EPSILON 1e-5

static void build_block(struct db_transformer_block *block,
                        struct db_params *params, const char *name,
                        const struct db_transformer_sizes *sizes)
{
    int64_t channels = sizes->channels;

    block->name = name;
    db_layer_norm_build(&block->norm1, params, name, "norm1", channels,
                        TOKEN_NORM_EPSILON);
    db_attention_build(&block->attn1, params,
                       db_params_text(params, "%s.attn1", name), channels,
                       channels, sizes->heads);
    db_layer_norm_build(&block->norm2, params, name, "norm2", channels,
                        TOKEN_NORM_EPSILON);
    db_attention_build(&block->attn2, params,
                       db_params_text(params, "%s.attn2", name), channels,
                       sizes->context_channels, sizes->heads);
    db_layer_norm_build(&block->norm3, params, name, "norm3", channels,
                        TOKEN_NORM_EPSILON);
    db_linear_build(&block->ff_in, params, name, "ff.net.0.proj", channels,
                    8 * channels);
    db_linear_build(&block->ff_out, params, name, "ff.net.2", 4 * channels,
                    channels);
}

static void build_blocks(struct db_transformer *transformer,
                         struct db_params *params,
                         const struct db_transformer_sizes *sizes)
{
    int64_t i;

    transformer->count = sizes->layers;
    transformer->blocks = db_params_keep(params, (size_t)sizes->layers,
                                         sizeof(*transformer->blocks));
    if (transformer->blocks == NULL)
        return;
    for (i = 0; i < sizes->layers; i++)
        build_block(&transformer->blocks[i], params,
                    db_params_text(params, "%s.transformer_blocks.%d",
                                   transformer->name, (int)i),
                    sizes);
}

void db_transformer_build(struct db_transformer *transformer,
                          struct db_params *params, const char *name,
                          const struct db_transformer_sizes *sizes)
{
    int64_t channels = sizes->channels;

    transformer->name = name;
    transformer->linear = sizes->linear;
    db_group_norm_build(&transformer->norm, params, name, "norm", channels,
                        sizes->groups, IMAGE_NORM_EPSILON);
    if (sizes->linear)
        db_linear_build(&transformer->linear_in, params, name, "proj_in",
                        channels, channels);
    else
        db_conv_build(&transformer->conv_in, params, name, "proj_in", channels,
                      channels, 1);
    build_blocks(transformer, params, sizes);
    if (sizes->linear)
        db_linear_build(&transformer->linear_out, params, name, "proj_out",
                        channels, channels);
    else
        db_conv_build(&transformer->conv_out, params, name, "proj_out",
                      channels, channels, 1);
}

static struct db_var *feed_forward(struct db_tape *tape,
                                   const struct db_transformer_block *block,
                                   struct db_var *x)
{
    return db_linear_geglu(tape, x, block->ff_in.weight, block->ff_in.bias);
}

/* A traced run shows each module's result by itself, in floats. */
static struct db_var *run_traced(struct db_tape *tape,
                                 const struct db_transformer_block *block,
                                 struct db_var *x, struct db_var *context,
                                 const struct db_trace *trace)
{
    struct db_var *h;

    h = db_norm_forward(tape, &block->norm1, db_hold(x));
    db_trace_note(trace, h, block->name, "norm1");
    h = db_attention_forward(tape, &block->attn1, h, NULL, true);
    db_trace_note(trace, h, block->name, "attn1");
    x = db_add(tape, h, x);

    h = db_norm_forward(tape, &block->norm2, db_hold(x));
    h = db_attention_forward(tape, &block->attn2, h, context, false);
    db_trace_note(trace, h, block->name, "attn2");
    x = db_add(tape, h, x);

    h = db_norm_forward(tape, &block->norm3, db_hold(x));
    h = db_linear_forward(tape, &block->ff_out, feed_forward(tape, block, h));
    db_trace_note(trace, h, block->name, "ff");
    x = db_add(tape, h, x);
    db_trace_note(trace, x, block->name, "");
    return x;
}

static struct db_var *run_block(struct db_tape *tape,
                                const struct db_transformer_block *block,
                                struct db_var *x, struct db_var *context)
{
    struct db_var *h;

    h = db_norm_forward_narrow(tape, &block->norm1, db_hold(x));
    h = db_attention_heads(tape, &block->attn1, h, NULL, true);
    x = db_linear_forward_add(tape, &block->attn1.to_out, h, x);

    h = db_norm_forward_narrow(tape, &block->norm2, db_hold(x));
    h = db_attention_heads(tape, &block->attn2, h, context, false);
    x = db_linear_forward_add(tape, &block->attn2.to_out, h, x);

    h = db_norm_forward_narrow(tape, &block->norm3, db_hold(x));
    h = feed_forward(tape, block, h);
    return db_linear_forward_add(tape, &block->ff_out, h, x);
}

/* H [N, h, w, C] to tokens [N, h w, C]. */
static struct db_var *project_in(struct db_tape *tape,
                                 const struct db_transformer *transformer,
                                 struct db_var *h)
{
    if (!transformer->linear)
        h = db_conv_forward(tape, &transformer->conv_in, h);
    h = db_image_to_sequence(tape, h);
    if (transformer->linear)
        h = db_linear_forward(tape, &transformer->linear_in, h);
    return h;
}

/* And X, the transformer's input. */
static struct db_var *project_out(struct db_tape *tape,
                                  const struct db_transformer *transformer,
                                  struct db_var *h, struct db_var *x)
{
    const struct db_shape image = x->data->shape;
    const struct db_linear_layer *linear = &transformer->linear_out;
    const struct db_conv_layer *conv = &transformer->conv_out;

    /* A place of a convolution of one place is a row of a linear layer. */
    if (db_tape_narrows(tape, h)) {
        x = db_image_to_sequence(tape, x);
        h = transformer->linear
                ? db_linear_forward_add(tape, linear, h, x)
                : db_linear_add(tape, h, conv->weight, conv->bias, x);
        return db_reshape(tape, h, &image);
    }
    if (transformer->linear)
        h = db_linear_forward(tape, linear, h);
    h = db_reshape(tape, h, &image);
    if (!transformer->linear)
        h = db_conv_forward(tape, conv, h);
    return db_add(tape, h, x);
}

static struct db_var *run(struct db_tape *tape,
                          const struct db_transformer *transformer,
                          struct db_var *x, struct db_var *context,
                          const struct db_trace *trace)
{
    struct db_var *h;
    int64_t i;

    if (x == NULL || context == NULL) {
        db_drop(x);
        db_drop(context);
        return NULL;
    }
    h = db_norm_forward(tape, &transformer->norm, db_hold(x));
    h = project_in(tape, transformer, h);
    db_trace_note(trace, h, transformer->name, "proj_in");
    for (i = 0; i < transformer->count; i++)
        h = trace == NULL
                ? run_block(tape, &transformer->blocks[i], h, db_hold(context))
                : run_traced(tape, &transformer->blocks[i], h, db_hold(context),
                             trace);
    db_drop(context);
    return project_out(tape, transformer, h, x);
}

static struct db_var *body(struct db_tape *tape, const void *context,
                           struct db_var **inputs)
{
    return run(tape, context, inputs[0], inputs[1], NULL);
}

struct db_var *db_transformer_forward(struct db_tape *tape,
                                      const struct db_transformer *transformer,
                                      struct db_var *x, struct db_var *context,
                                      const struct db_trace *trace)
{
    struct db_var *inputs[2] = {x, context};
    struct db_var *y;

    if (trace == NULL)
        return db_checkpoint(tape, body, transformer, inputs, 2);
    y = run(tape, transformer, x, context, trace);
    db_trace_note(trace, y, transformer->name, "");
    return y;
}

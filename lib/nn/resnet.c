/* SPDX-License-Identifier: MIT */
/* The residual block, as one segment that may be recomputed. */
#include "nn/resnet.h"

#include "grad/memo.h"

void db_resnet_build(struct db_resnet *resnet, struct db_params *params,
                     const char *name, const struct db_resnet_sizes *sizes)
{
    int64_t outputs = sizes->outputs;

    resnet->name = name;
    resnet->has_time = sizes->time_channels > 0;
    resnet->has_shortcut = sizes->inputs != outputs;
    db_group_norm_build(&resnet->norm1, params, name, "norm1", sizes->inputs,
                        sizes->groups, sizes->epsilon);
    db_conv_build(&resnet->conv1, params, name, "conv1", sizes->inputs, outputs,
                  3);
    if (resnet->has_time)
        db_linear_build(&resnet->time_emb_proj, params, name, "time_emb_proj",
                        sizes->time_channels, outputs);
    db_group_norm_build(&resnet->norm2, params, name, "norm2", outputs,
                        sizes->groups, sizes->epsilon);
    db_conv_build(&resnet->conv2, params, name, "conv2", outputs, outputs, 3);
    if (resnet->has_shortcut)
        db_conv_build(&resnet->conv_shortcut, params, name, "conv_shortcut",
                      sizes->inputs, outputs, 1);
}

static struct db_var *norm_silu_conv(struct db_tape *tape,
                                     const struct db_norm *norm,
                                     const struct db_conv_layer *conv,
                                     struct db_var *x)
{
    return db_conv_forward(tape, conv, db_norm_silu_forward(tape, norm, x));
}

static struct db_var *body(struct db_tape *tape, const void *context,
                           struct db_var **inputs)
{
    const struct db_resnet *resnet = context;
    struct db_var *x = inputs[0];
    struct db_var *shortcut, *h;

    /* First, so that x dies early. */
    if (resnet->has_shortcut)
        shortcut = db_conv_forward(tape, &resnet->conv_shortcut, db_hold(x));
    else
        shortcut = db_hold(x);
    h = norm_silu_conv(tape, &resnet->norm1, &resnet->conv1, x);
    if (resnet->has_time) {
        struct db_var *shift =
            db_linear_forward_known(tape, &resnet->time_emb_proj, inputs[1]);

        h = db_add_rows(tape, h, db_known_row(tape, shift));
    }
    h = norm_silu_conv(tape, &resnet->norm2, &resnet->conv2, h);
    return db_add(tape, h, shortcut);
}

struct db_var *db_resnet_forward(struct db_tape *tape,
                                 const struct db_resnet *resnet,
                                 struct db_var *x, struct db_var *time,
                                 const struct db_trace *trace)
{
    struct db_var *inputs[2] = {x, time};
    struct db_var *y =
        db_checkpoint(tape, body, resnet, inputs, resnet->has_time ? 2 : 1);

    db_trace_note(trace, y, resnet->name, "");
    return y;
}

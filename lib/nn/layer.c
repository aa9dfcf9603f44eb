/* SPDX-License-Identifier: MIT */
/* Building and running the leaves. */
#include "nn/layer.h"

#include <math.h>

#include "grad/memo.h"

static const struct db_init zero = {DB_INIT_ZERO, 0};
static const struct db_init one = {DB_INIT_ONE, 0};

static struct db_init uniform(int64_t inputs)
{
    struct db_init init = {DB_INIT_UNIFORM, (float)(1 / sqrt((double)inputs))};

    return init;
}

static struct db_param *add_vector(struct db_params *params, const char *module,
                                   const char *name, int64_t size,
                                   struct db_init init)
{
    struct db_shape shape = db_shape1(size);

    return db_params_add(params, module, name, &shape, DB_LAYOUT_PLAIN, init);
}

static const char *module_name(struct db_params *params, const char *prefix,
                               const char *name)
{
    return db_params_text(params, "%s%s%s", prefix,
                          prefix[0] != '\0' ? "." : "", name);
}

static void build_linear(struct db_linear_layer *layer,
                         struct db_params *params, const char *module,
                         int64_t inputs, int64_t outputs, struct db_init weight,
                         const struct db_init *bias)
{
    struct db_shape shape = db_shape2(outputs, inputs);

    layer->weight = db_params_add(params, module, "weight", &shape,
                                  DB_LAYOUT_MATRIX, weight);
    layer->bias = NULL;
    if (bias != NULL)
        layer->bias = add_vector(params, module, "bias", outputs, *bias);
}

void db_linear_build(struct db_linear_layer *layer, struct db_params *params,
                     const char *prefix, const char *name, int64_t inputs,
                     int64_t outputs)
{
    struct db_init init = uniform(inputs);

    build_linear(layer, params, module_name(params, prefix, name), inputs,
                 outputs, init, &init);
}

void db_linear_build_plain(struct db_linear_layer *layer,
                           struct db_params *params, const char *prefix,
                           const char *name, int64_t inputs, int64_t outputs)
{
    build_linear(layer, params, module_name(params, prefix, name), inputs,
                 outputs, uniform(inputs), NULL);
}

void db_linear_build_normal(struct db_linear_layer *layer,
                            struct db_params *params, const char *prefix,
                            const char *name, int64_t inputs, int64_t outputs,
                            double deviation)
{
    struct db_init init = {DB_INIT_NORMAL, (float)deviation};

    build_linear(layer, params, module_name(params, prefix, name), inputs,
                 outputs, init, &zero);
}

void db_linear_build_renamed(struct db_linear_layer *layer,
                             struct db_params *params, const char *prefix,
                             const char *name, const char *old_name,
                             int64_t inputs, int64_t outputs)
{
    const char *module = module_name(params, prefix, name);
    const char *old_module = module_name(params, prefix, old_name);
    struct db_init init = uniform(inputs);

    build_linear(layer, params, module, inputs, outputs, init, NULL);
    db_params_alias(params, old_module, "weight");
    layer->bias = add_vector(params, module, "bias", outputs, init);
    db_params_alias(params, old_module, "bias");
}

struct db_var *db_linear_forward(struct db_tape *tape,
                                 const struct db_linear_layer *layer,
                                 struct db_var *x)
{
    return db_linear(tape, x, layer->weight, layer->bias);
}

struct db_var *db_linear_forward_known(struct db_tape *tape,
                                       const struct db_linear_layer *layer,
                                       struct db_var *x)
{
    return db_linear_known(tape, x, layer->weight, layer->bias);
}

struct db_var *db_linear_forward_add(struct db_tape *tape,
                                     const struct db_linear_layer *layer,
                                     struct db_var *x, struct db_var *residual)
{
    return db_linear_add(tape, x, layer->weight, layer->bias, residual);
}

void db_conv_build(struct db_conv_layer *layer, struct db_params *params,
                   const char *prefix, const char *name, int64_t inputs,
                   int64_t outputs, int64_t kernel)
{
    const char *module = module_name(params, prefix, name);
    struct db_shape shape = db_shape4(outputs, inputs, kernel, kernel);
    struct db_init init = uniform(inputs * kernel * kernel);
    int64_t pad = kernel / 2;

    layer->weight =
        db_params_add(params, module, "weight", &shape, DB_LAYOUT_CONV, init);
    layer->bias = add_vector(params, module, "bias", outputs, init);
    layer->form = (struct db_conv2d_form){1, pad, pad, pad, pad};
}

struct db_var *db_conv_forward(struct db_tape *tape,
                               const struct db_conv_layer *layer,
                               struct db_var *x)
{
    return db_conv2d(tape, x, layer->weight, layer->bias, &layer->form);
}

void db_group_norm_build(struct db_norm *norm, struct db_params *params,
                         const char *prefix, const char *name, int64_t channels,
                         int64_t groups, double epsilon)
{
    const char *module = module_name(params, prefix, name);

    norm->weight = add_vector(params, module, "weight", channels, one);
    norm->bias = add_vector(params, module, "bias", channels, zero);
    norm->groups = groups;
    norm->epsilon = (float)epsilon;
}

void db_layer_norm_build(struct db_norm *norm, struct db_params *params,
                         const char *prefix, const char *name, int64_t channels,
                         double epsilon)
{
    db_group_norm_build(norm, params, prefix, name, channels, 0, epsilon);
}

struct db_var *db_norm_forward(struct db_tape *tape, const struct db_norm *norm,
                               struct db_var *x)
{
    if (norm->groups == 0)
        return db_layer_norm(tape, x, norm->weight, norm->bias, norm->epsilon);
    return db_group_norm(tape, x, norm->weight, norm->bias, norm->groups,
                         norm->epsilon, false);
}

struct db_var *db_norm_forward_narrow(struct db_tape *tape,
                                      const struct db_norm *norm,
                                      struct db_var *x)
{
    return norm->groups == 0 && db_tape_narrows(tape, x)
               ? db_layer_norm_narrow(tape, x, norm->weight, norm->bias,
                                      norm->epsilon)
               : db_norm_forward(tape, norm, x);
}

struct db_var *db_norm_silu_forward(struct db_tape *tape,
                                    const struct db_norm *norm,
                                    struct db_var *x)
{
    return db_group_norm(tape, x, norm->weight, norm->bias, norm->groups,
                         norm->epsilon, true);
}

void db_upsampler_build(struct db_conv_layer *layer, struct db_params *params,
                        const char *prefix, int64_t channels)
{
    db_conv_build(layer, params, prefix, "upsamplers.0.conv", channels,
                  channels, 3);
}

struct db_var *db_upsampler_forward(struct db_tape *tape,
                                    const struct db_conv_layer *layer,
                                    struct db_var *x, int64_t height,
                                    int64_t width)
{
    return db_conv_forward(tape, layer,
                           db_upsample_nearest(tape, x, height, width));
}

void db_downsampler_build(struct db_conv_layer *layer, struct db_params *params,
                          const char *prefix, int64_t channels,
                          bool pad_all_around)
{
    int64_t pad = pad_all_around ? 1 : 0;

    db_conv_build(layer, params, prefix, "downsamplers.0.conv", channels,
                  channels, 3);
    layer->form = (struct db_conv2d_form){2, pad, 1, pad, 1};
}

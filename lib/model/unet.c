/* SPDX-License-Identifier: MIT */
/* The UNet: building its levels, and running down and up through them. */
#include "model/unet_int.h"

/* 1 + levels * (layers + 1) at the limits of the configuration. */
#define SKIPS_MAX 160

static int64_t time_channels(const struct db_unet_config *config)
{
    return 4 * config->block_out_channels[0];
}

static void build_resnet(struct db_unet *unet, struct db_resnet *resnet,
                         const char *name, int64_t inputs, int64_t outputs)
{
    struct db_resnet_sizes sizes = {
        .inputs = inputs,
        .outputs = outputs,
        .time_channels = time_channels(&unet->config),
        .groups = unet->config.norm_num_groups,
        .epsilon = unet->config.norm_eps,
    };

    db_resnet_build(resnet, &unet->params, name, &sizes);
}

static void build_transformer(struct db_unet *unet,
                              struct db_transformer *transformer,
                              const char *name, int64_t level)
{
    const struct db_unet_config *config = &unet->config;
    struct db_transformer_sizes sizes = {
        .channels = config->block_out_channels[level],
        .context_channels = config->cross_attention_dim[level],
        .heads = config->heads[level],
        .layers = config->transformer_layers[level],
        .groups = config->norm_num_groups,
        .linear = config->use_linear_projection,
    };

    db_transformer_build(transformer, &unet->params, name, &sizes);
}

/* Room for COUNT resnets and, with ATTENTION, as many transformers. */
static bool allocate_block(struct db_params *params,
                           struct db_unet_block *block, int64_t count,
                           bool attention)
{
    block->count = count;
    block->resnets =
        db_params_keep(params, (size_t)count, sizeof(*block->resnets));
    if (attention)
        block->attentions =
            db_params_keep(params, (size_t)count, sizeof(*block->attentions));
    return params->status == DREAMBOOTH_OK;
}

/* Resnet and transformer NUMBER of a block; the order of diffusers' modules
 * does not matter, that of the channels does. */
static void build_pair(struct db_unet *unet, struct db_unet_block *block,
                       int64_t level, int64_t number, int64_t inputs)
{
    struct db_params *params = &unet->params;

    build_resnet(
        unet, &block->resnets[number],
        db_params_text(params, "%s.resnets.%d", block->name, (int)number),
        inputs, unet->config.block_out_channels[level]);
    if (block->attentions != NULL)
        build_transformer(unet, &block->attentions[number],
                          db_params_text(params, "%s.attentions.%d",
                                         block->name, (int)number),
                          level);
}

static void build_down(struct db_unet *unet, int64_t level)
{
    const struct db_unet_config *config = &unet->config;
    struct db_params *params = &unet->params;
    struct db_unet_block *block = &unet->down[level];
    int64_t channels = config->block_out_channels[level];
    int64_t previous = config->block_out_channels[level > 0 ? level - 1 : 0];
    int64_t i;

    block->name = db_params_text(params, "down_blocks.%d", (int)level);
    if (!allocate_block(params, block, config->layers_per_block[level],
                        config->down_attention[level]))
        return;
    for (i = 0; i < block->count; i++)
        build_pair(unet, block, level, i, i == 0 ? previous : channels);
    block->has_sampler = level < config->levels - 1;
    if (block->has_sampler)
        db_downsampler_build(&block->sampler, params, block->name, channels,
                             true);
}

/* STEP counts from the coarsest level. */
static void build_up(struct db_unet *unet, int64_t step)
{
    const struct db_unet_config *config = &unet->config;
    struct db_params *params = &unet->params;
    struct db_unet_block *block = &unet->up[step];
    int64_t level = config->levels - 1 - step;
    int64_t channels = config->block_out_channels[level];
    int64_t below = config->block_out_channels[step > 0 ? level + 1 : level];
    int64_t above = config->block_out_channels[level > 0 ? level - 1 : 0];
    int64_t i;

    block->name = db_params_text(params, "up_blocks.%d", (int)step);
    if (!allocate_block(params, block, config->layers_per_block[level] + 1,
                        config->up_attention[step]))
        return;
    for (i = 0; i < block->count; i++) {
        int64_t skip = i == block->count - 1 ? above : channels;

        build_pair(unet, block, level, i, (i == 0 ? below : channels) + skip);
    }
    block->has_sampler = level > 0;
    if (block->has_sampler)
        db_upsampler_build(&block->sampler, params, block->name, channels);
}

static void build_middle(struct db_unet *unet)
{
    const struct db_unet_config *config = &unet->config;
    int64_t level = config->levels - 1;
    int64_t channels = config->block_out_channels[level];

    build_resnet(unet, &unet->mid_resnets[0], "mid_block.resnets.0", channels,
                 channels);
    build_transformer(unet, &unet->mid_attention, "mid_block.attentions.0",
                      level);
    build_resnet(unet, &unet->mid_resnets[1], "mid_block.resnets.1", channels,
                 channels);
}

static void build(struct db_unet *unet)
{
    const struct db_unet_config *config = &unet->config;
    struct db_params *params = &unet->params;
    int64_t first = config->block_out_channels[0];
    int64_t width = time_channels(config);
    int64_t i;

    db_conv_build(&unet->conv_in, params, "", "conv_in", config->in_channels,
                  first, 3);
    db_linear_build(&unet->time_linear_1, params, "time_embedding", "linear_1",
                    first, width);
    db_linear_build(&unet->time_linear_2, params, "time_embedding", "linear_2",
                    width, width);
    unet->down =
        db_params_keep(params, (size_t)config->levels, sizeof(*unet->down));
    unet->up =
        db_params_keep(params, (size_t)config->levels, sizeof(*unet->up));
    if (params->status != DREAMBOOTH_OK)
        return;
    for (i = 0; i < config->levels; i++)
        build_down(unet, i);
    build_middle(unet);
    for (i = 0; i < config->levels; i++)
        build_up(unet, i);
    db_group_norm_build(&unet->conv_norm_out, params, "", "conv_norm_out",
                        first, config->norm_num_groups, config->norm_eps);
    db_conv_build(&unet->conv_out, params, "", "conv_out", first,
                  config->out_channels, 3);
}

int db_unet_new(struct db_env *env, const char *file, const json_t *config,
                struct db_unet **out)
{
    struct db_unet *unet = db_alloc_zero(env, sizeof(*unet));
    int status;

    if (unet == NULL)
        return env->error_status;
    unet->env = env;
    db_params_init(&unet->params, env);
    status = db_unet_config_read(env, file, config, &unet->config);
    if (status == DREAMBOOTH_OK) {
        build(unet);
        status = unet->params.status;
    }
    if (status == DREAMBOOTH_OK)
        *out = unet;
    else
        db_unet_free(unet);
    return status;
}

void db_unet_free(struct db_unet *unet)
{
    if (unet == NULL)
        return;
    db_params_free(&unet->params);
    db_free(unet->env, unet);
}

/* A pass through the model. */
struct pass {
    struct db_tape *tape;
    const struct db_unet *unet;
    const struct db_trace *trace;
    struct db_var *time, *context; /* held by the pass */
    struct db_var *skips[SKIPS_MAX];
    int64_t skip_count;
};

/* Keeps X for the way up as well. */
static void push(struct pass *pass, struct db_var *x)
{
    pass->skips[pass->skip_count++] = db_hold(x);
}

struct db_var *db_unet_embed(struct db_tape *tape, const struct db_unet *unet,
                             const float *timesteps, int64_t count,
                             const struct db_trace *trace)
{
    const struct db_unet_config *config = &unet->config;
    int64_t width = config->block_out_channels[0];
    struct db_shape shape = db_shape2(count, width);
    struct db_var *x = db_var_empty(tape, &shape);

    if (x == NULL)
        return NULL;
    db_timestep_embedding(timesteps, count, width, config->flip_sin_to_cos,
                          (float)config->freq_shift, db_tensor_f32(x->data));
    db_trace_note(trace, x, "time_proj", "");
    x = db_linear_forward(tape, &unet->time_linear_1, x);
    x = db_activation(tape, x, DREAMBOOTH_SILU);
    x = db_linear_forward(tape, &unet->time_linear_2, x);
    db_trace_note(trace, x, "time_embedding", "");
    return db_activation(tape, x, DREAMBOOTH_SILU);
}

static struct db_var *run_resnet(struct pass *pass,
                                 const struct db_resnet *resnet,
                                 struct db_var *x)
{
    return db_resnet_forward(pass->tape, resnet, x, db_hold(pass->time),
                             pass->trace);
}

static struct db_var *run_transformer(struct pass *pass,
                                      const struct db_transformer *transformer,
                                      struct db_var *x)
{
    return db_transformer_forward(pass->tape, transformer, x,
                                  db_hold(pass->context), pass->trace);
}

static struct db_var *run_pair(struct pass *pass,
                               const struct db_unet_block *block,
                               int64_t number, struct db_var *x)
{
    x = run_resnet(pass, &block->resnets[number], x);
    if (block->attentions != NULL)
        x = run_transformer(pass, &block->attentions[number], x);
    return x;
}

static struct db_var *run_down(struct pass *pass,
                               const struct db_unet_block *block,
                               struct db_var *x)
{
    int64_t i;

    for (i = 0; i < block->count; i++) {
        x = run_pair(pass, block, i, x);
        push(pass, x);
    }
    if (block->has_sampler) {
        x = db_conv_forward(pass->tape, &block->sampler, x);
        db_trace_note(pass->trace, x, block->name, "downsamplers.0");
        push(pass, x);
    }
    db_trace_note(pass->trace, x, block->name, "");
    return x;
}

/* To the size of the skip that comes next: the sides need not be even. */
static struct db_var *upsample(struct pass *pass,
                               const struct db_unet_block *block,
                               struct db_var *x)
{
    const struct db_var *next = pass->skips[pass->skip_count - 1];

    if (next == NULL) {
        db_drop(x);
        return NULL;
    }
    x = db_upsampler_forward(pass->tape, &block->sampler, x,
                             next->data->shape.size[1],
                             next->data->shape.size[2]);
    db_trace_note(pass->trace, x, block->name, "upsamplers.0");
    return x;
}

static struct db_var *run_up(struct pass *pass,
                             const struct db_unet_block *block,
                             struct db_var *x)
{
    int64_t i;

    for (i = 0; i < block->count; i++) {
        x = db_concat(pass->tape, x, pass->skips[--pass->skip_count]);
        x = run_pair(pass, block, i, x);
    }
    if (block->has_sampler)
        x = upsample(pass, block, x);
    db_trace_note(pass->trace, x, block->name, "");
    return x;
}

static struct db_var *run_middle(struct pass *pass, struct db_var *x)
{
    x = run_resnet(pass, &pass->unet->mid_resnets[0], x);
    x = run_transformer(pass, &pass->unet->mid_attention, x);
    x = run_resnet(pass, &pass->unet->mid_resnets[1], x);
    db_trace_note(pass->trace, x, "mid_block", "");
    return x;
}

/* A traced run shows what the last norm gives before the SiLU. */
static struct db_var *end(struct pass *pass, struct db_var *x)
{
    const struct db_norm *norm = &pass->unet->conv_norm_out;

    if (pass->trace == NULL)
        return db_norm_silu_forward(pass->tape, norm, x);
    x = db_norm_forward(pass->tape, norm, x);
    db_trace_note(pass->trace, x, "conv_norm_out", "");
    return db_activation(pass->tape, x, DREAMBOOTH_SILU);
}

static struct db_var *run(struct pass *pass, struct db_var *x)
{
    const struct db_unet *unet = pass->unet;
    int64_t i;

    x = db_conv_forward(pass->tape, &unet->conv_in, x);
    db_trace_note(pass->trace, x, "conv_in", "");
    push(pass, x);
    for (i = 0; i < unet->config.levels; i++)
        x = run_down(pass, &unet->down[i], x);
    x = run_middle(pass, x);
    for (i = 0; i < unet->config.levels; i++)
        x = run_up(pass, &unet->up[i], x);
    x = end(pass, x);
    x = db_conv_forward(pass->tape, &unet->conv_out, x);
    db_trace_note(pass->trace, x, "conv_out", "");
    return x;
}

struct db_var *db_unet_run(struct db_tape *tape, const struct db_unet *unet,
                           struct db_var *sample, struct db_var *time,
                           struct db_var *context, const struct db_trace *trace)
{
    struct pass pass = {.tape = tape,
                        .unet = unet,
                        .trace = trace,
                        .time = time,
                        .context = context};
    struct db_var *y = NULL;

    if (sample == NULL || context == NULL)
        db_drop(sample);
    else
        y = run(&pass, sample);
    db_drop(time);
    db_drop(context);
    db_trace_note(trace, y, "output", "");
    return y;
}

struct db_var *db_unet_forward(struct db_tape *tape, const struct db_unet *unet,
                               struct db_var *sample, const float *timesteps,
                               struct db_var *context,
                               const struct db_trace *trace)
{
    struct db_var *time = NULL;

    if (sample != NULL && context != NULL)
        time = db_unet_embed(tape, unet, timesteps, sample->data->shape.size[0],
                             trace);
    return db_unet_run(tape, unet, sample, time, context, trace);
}

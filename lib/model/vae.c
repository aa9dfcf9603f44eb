/* SPDX-License-Identifier: MIT */
/*
 * The VAE. Encoder and decoder are the same walk, with the middle at its end or
 * at its beginning.
 */
#include "model/vae_int.h"

#define EPSILON 1e-6
#define LOGVAR_MIN (-30.0f)
#define LOGVAR_MAX 20.0f

static void build_resnet(struct db_vae *vae, struct db_resnet *resnet,
                         const char *name, int64_t inputs, int64_t outputs)
{
    struct db_resnet_sizes sizes = {
        .inputs = inputs,
        .outputs = outputs,
        .groups = vae->config.norm_num_groups,
        .epsilon = EPSILON,
    };

    db_resnet_build(resnet, &vae->params, name, &sizes);
}

static void build_middle(struct db_vae *vae, struct db_vae_half *half)
{
    const struct db_vae_config *config = &vae->config;
    struct db_params *params = &vae->params;
    int64_t channels = config->block_out_channels[config->levels - 1];
    int i;

    for (i = 0; i < 2; i++)
        build_resnet(
            vae, &half->mid_resnets[i],
            db_params_text(params, "%s.mid_block.resnets.%d", half->name, i),
            channels, channels);
    if (config->mid_block_add_attention)
        db_image_attention_build(
            &half->mid_attention, params,
            db_params_text(params, "%s.mid_block.attentions.0", half->name),
            channels, config->norm_num_groups, EPSILON);
}

/* COUNT resnets from INPUTS to OUTPUTS channels. */
static void build_resnets(struct db_vae *vae, struct db_vae_block *block,
                          int64_t count, int64_t inputs, int64_t outputs)
{
    struct db_params *params = &vae->params;
    int64_t i;

    block->count = count;
    block->resnets =
        db_params_keep(params, (size_t)count, sizeof(*block->resnets));
    if (block->resnets == NULL)
        return;
    for (i = 0; i < count; i++)
        build_resnet(
            vae, &block->resnets[i],
            db_params_text(params, "%s.resnets.%d", block->name, (int)i),
            i == 0 ? inputs : outputs, outputs);
}

static bool begin_half(struct db_vae *vae, struct db_vae_half *half,
                       const char *name)
{
    half->name = name;
    half->blocks = db_params_keep(&vae->params, (size_t)vae->config.levels,
                                  sizeof(*half->blocks));
    return half->blocks != NULL;
}

static void end_half(struct db_vae *vae, struct db_vae_half *half,
                     int64_t inputs, int64_t outputs)
{
    db_group_norm_build(&half->conv_norm_out, &vae->params, half->name,
                        "conv_norm_out", inputs, vae->config.norm_num_groups,
                        EPSILON);
    db_conv_build(&half->conv_out, &vae->params, half->name, "conv_out", inputs,
                  outputs, 3);
}

static void build_encoder(struct db_vae *vae)
{
    const struct db_vae_config *config = &vae->config;
    const int64_t *channels = config->block_out_channels;
    struct db_params *params = &vae->params;
    struct db_vae_half *half = &vae->encoder;
    int64_t i;

    if (!begin_half(vae, half, "encoder"))
        return;
    db_conv_build(&half->conv_in, params, half->name, "conv_in",
                  config->in_channels, channels[0], 3);
    for (i = 0; i < config->levels; i++) {
        struct db_vae_block *block = &half->blocks[i];

        block->name = db_params_text(params, "encoder.down_blocks.%d", (int)i);
        build_resnets(vae, block, config->layers_per_block,
                      channels[i > 0 ? i - 1 : 0], channels[i]);
        block->has_sampler = i < config->levels - 1;
        if (block->has_sampler)
            db_downsampler_build(&block->sampler, params, block->name,
                                 channels[i], false);
    }
    build_middle(vae, half);
    end_half(vae, half, channels[config->levels - 1],
             2 * config->latent_channels);
}

static void build_decoder(struct db_vae *vae)
{
    const struct db_vae_config *config = &vae->config;
    const int64_t *channels = config->block_out_channels;
    int64_t last = config->levels - 1;
    struct db_params *params = &vae->params;
    struct db_vae_half *half = &vae->decoder;
    int64_t i;

    if (!begin_half(vae, half, "decoder"))
        return;
    db_conv_build(&half->conv_in, params, half->name, "conv_in",
                  config->latent_channels, channels[last], 3);
    build_middle(vae, half);
    for (i = 0; i <= last; i++) {
        struct db_vae_block *block = &half->blocks[i];
        int64_t outputs = channels[last - i];

        block->name = db_params_text(params, "decoder.up_blocks.%d", (int)i);
        build_resnets(vae, block, config->layers_per_block + 1,
                      channels[i > 0 ? last - i + 1 : last], outputs);
        block->has_sampler = i < last;
        if (block->has_sampler)
            db_upsampler_build(&block->sampler, params, block->name, outputs);
    }
    end_half(vae, half, channels[0], config->out_channels);
}

static void build(struct db_vae *vae)
{
    int64_t latent = vae->config.latent_channels;

    vae->factor = (int64_t)1 << (vae->config.levels - 1);
    build_encoder(vae);
    if (vae->config.use_quant_conv)
        db_conv_build(&vae->quant_conv, &vae->params, "", "quant_conv",
                      2 * latent, 2 * latent, 1);
    if (vae->config.use_post_quant_conv)
        db_conv_build(&vae->post_quant_conv, &vae->params, "",
                      "post_quant_conv", latent, latent, 1);
    build_decoder(vae);
}

int db_vae_new(struct db_env *env, const char *file, const json_t *config,
               struct db_vae **out)
{
    struct db_vae *vae = db_alloc_zero(env, sizeof(*vae));
    int status;

    if (vae == NULL)
        return env->error_status;
    vae->env = env;
    db_params_init(&vae->params, env);
    status = db_vae_config_read(env, file, config, &vae->config);
    if (status == DREAMBOOTH_OK) {
        build(vae);
        status = vae->params.status;
    }
    if (status == DREAMBOOTH_OK)
        *out = vae;
    else
        db_vae_free(vae);
    return status;
}

void db_vae_free(struct db_vae *vae)
{
    if (vae == NULL)
        return;
    db_params_free(&vae->params);
    db_free(vae->env, vae);
}

static struct db_var *run_middle(struct db_tape *tape, const struct db_vae *vae,
                                 const struct db_vae_half *half,
                                 struct db_var *x, const struct db_trace *trace)
{
    x = db_resnet_forward(tape, &half->mid_resnets[0], x, NULL, trace);
    if (vae->config.mid_block_add_attention)
        x = db_image_attention_forward(tape, &half->mid_attention, x, trace);
    x = db_resnet_forward(tape, &half->mid_resnets[1], x, NULL, trace);
    db_trace_note(trace, x, half->name, "mid_block");
    return x;
}

static struct db_var *run_resnets(struct db_tape *tape,
                                  const struct db_vae_block *block,
                                  struct db_var *x,
                                  const struct db_trace *trace)
{
    int64_t i;

    for (i = 0; i < block->count; i++)
        x = db_resnet_forward(tape, &block->resnets[i], x, NULL, trace);
    return x;
}

static struct db_var *begin_run(struct db_tape *tape,
                                const struct db_vae_half *half,
                                struct db_var *x, const struct db_trace *trace)
{
    x = db_conv_forward(tape, &half->conv_in, x);
    db_trace_note(trace, x, half->name, "conv_in");
    return x;
}

static struct db_var *end_run(struct db_tape *tape,
                              const struct db_vae_half *half, struct db_var *x,
                              const struct db_trace *trace)
{
    x = db_norm_silu_forward(tape, &half->conv_norm_out, x);
    x = db_conv_forward(tape, &half->conv_out, x);
    db_trace_note(trace, x, half->name, "conv_out");
    return x;
}

static struct db_var *run_encoder(struct db_tape *tape,
                                  const struct db_vae *vae, struct db_var *x,
                                  const struct db_trace *trace)
{
    const struct db_vae_half *half = &vae->encoder;
    int64_t i;

    x = begin_run(tape, half, x, trace);
    for (i = 0; i < vae->config.levels; i++) {
        const struct db_vae_block *block = &half->blocks[i];

        x = run_resnets(tape, block, x, trace);
        if (block->has_sampler) {
            x = db_conv_forward(tape, &block->sampler, x);
            db_trace_note(trace, x, block->name, "downsamplers.0");
        }
        db_trace_note(trace, x, block->name, "");
    }
    x = run_middle(tape, vae, half, x, trace);
    return end_run(tape, half, x, trace);
}

static void clamp(struct db_var *x)
{
    float *values = db_tensor_f32(x->data);
    int64_t count = db_tensor_count(x->data);
    int64_t i;

    for (i = 0; i < count; i++) {
        if (values[i] < LOGVAR_MIN)
            values[i] = LOGVAR_MIN;
        else if (values[i] > LOGVAR_MAX)
            values[i] = LOGVAR_MAX;
    }
}

int db_vae_encode(struct db_tape *tape, const struct db_vae *vae,
                  struct db_var *image, struct db_var **mean,
                  struct db_var **logvar, const struct db_trace *trace)
{
    int64_t latent = vae->config.latent_channels;
    struct db_var *x = run_encoder(tape, vae, image, trace);

    if (vae->config.use_quant_conv)
        x = db_conv_forward(tape, &vae->quant_conv, x);
    *mean = db_channels(tape, db_hold(x), 0, latent);
    *logvar = db_channels(tape, x, latent, latent);
    if (*mean == NULL || *logvar == NULL) {
        db_drop(*mean);
        db_drop(*logvar);
        *mean = *logvar = NULL;
        return tape->status;
    }
    clamp(*logvar);
    db_trace_note(trace, *mean, "mean", "");
    db_trace_note(trace, *logvar, "logvar", "");
    return tape->status;
}

/* Twice the size, where the block has an upsampler. */
static struct db_var *upsample(struct db_tape *tape,
                               const struct db_vae_block *block,
                               struct db_var *x)
{
    if (!block->has_sampler || x == NULL)
        return x;
    return db_upsampler_forward(tape, &block->sampler, x,
                                2 * x->data->shape.size[1],
                                2 * x->data->shape.size[2]);
}

struct db_var *db_vae_decode(struct db_tape *tape, const struct db_vae *vae,
                             struct db_var *z, const struct db_trace *trace)
{
    const struct db_vae_half *half = &vae->decoder;
    struct db_var *x = z;
    int64_t i;

    if (vae->config.use_post_quant_conv)
        x = db_conv_forward(tape, &vae->post_quant_conv, x);
    x = begin_run(tape, half, x, trace);
    x = run_middle(tape, vae, half, x, trace);
    for (i = 0; i < vae->config.levels; i++) {
        x = run_resnets(tape, &half->blocks[i], x, trace);
        x = upsample(tape, &half->blocks[i], x);
        db_trace_note(trace, x, half->blocks[i].name, "");
    }
    x = end_run(tape, half, x, trace);
    db_trace_note(trace, x, "decoded", "");
    return x;
}

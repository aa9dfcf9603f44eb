/* SPDX-License-Identifier: MIT */
/*
 * diffusers' UNet2DConditionModel in the forms of Stable Diffusion 1.x and 2.x:
 * residual blocks that are told the timestep, transformers that are told the
 * prompt, and skip connections between the way down and the way up.
 */
#ifndef DB_MODEL_UNET_H
#define DB_MODEL_UNET_H

#include <jansson.h>

#include "grad/memo.h"
#include "nn/layer.h"
#include "nn/resnet.h"
#include "nn/transformer.h"

#define DB_UNET_MAX_LEVELS 8

struct db_unet_config {
    int64_t in_channels, out_channels;
    int64_t sample_size; /* of the latents that it was made for; 0: not told */
    int64_t levels;
    int64_t block_out_channels[DB_UNET_MAX_LEVELS];
    /* Of each level, counted from the finest: */
    int64_t layers_per_block[DB_UNET_MAX_LEVELS];
    int64_t heads[DB_UNET_MAX_LEVELS];
    int64_t transformer_layers[DB_UNET_MAX_LEVELS];
    int64_t cross_attention_dim[DB_UNET_MAX_LEVELS];
    bool down_attention[DB_UNET_MAX_LEVELS];
    bool up_attention[DB_UNET_MAX_LEVELS]; /* counted from the coarsest */
    bool use_linear_projection;
    bool flip_sin_to_cos;
    double freq_shift;
    int64_t norm_num_groups;
    double norm_eps;
};

struct db_unet_block; /* one level down or up */

struct db_unet {
    struct db_env *env;
    struct db_unet_config config;
    struct db_params params;
    struct db_linear_layer time_linear_1, time_linear_2;
    struct db_conv_layer conv_in, conv_out;
    struct db_norm conv_norm_out;
    struct db_unet_block *down, *up; /* config.levels each */
    struct db_resnet mid_resnets[2];
    struct db_transformer mid_attention;
};

/* As db_text_encoder_new(). */
int db_unet_new(struct db_env *env, const char *file, const json_t *config,
                struct db_unet **out);
void db_unet_free(struct db_unet *unet); /* NULL is fine */

/*
 * The prediction for noisy latents: SAMPLE [N, h, w, in_channels] of any sides
 * >= 1, TIMESTEPS [N], CONTEXT [N, L, cross_attention_dim] to [N, h, w,
 * out_channels]. Takes over the references of SAMPLE and CONTEXT. The UNet must
 * live until the backward pass.
 */
struct db_var *db_unet_forward(struct db_tape *tape, const struct db_unet *unet,
                               struct db_var *sample, const float *timesteps,
                               struct db_var *context,
                               const struct db_trace *trace);

/*
 * The steps of a sampler: a schedule of timesteps that is known beforehand, and
 * what follows from it and from the prompt, which is computed once.
 */
struct db_unet_steps {
    struct db_memo memo;
    float *timesteps; /* [count]; the caller fills it */
    int64_t count;
    struct db_tensor *times; /* embeddings of a part of them, FIRST and on */
    int64_t first;
    uint64_t version;      /* that the parameters had */
    struct db_forms forms; /* of the weights; forms.most is the caller's */
};

int db_unet_steps_new(struct db_env *env, int64_t count,
                      struct db_unet_steps *steps);
void db_unet_steps_release(struct db_unet_steps *steps);

/* Bytes of the forms that DEVICE's kernels may keep of the weights; 0 if that
 * is more than it is worth. */
size_t db_unet_forms_size(const struct db_unet *unet,
                          const struct db_device *device);

/* Floats that stay from step to step, of COUNT timesteps and a context of ROWS
 * prompts of LENGTH tokens. */
uint64_t db_unet_steps_floats(const struct db_unet *unet, int64_t count,
                              int64_t rows, int64_t length);

/* db_unet_forward() with timestep INDEX of STEPS for all images, and a CONTEXT
 * over the same tensor each time. Nothing is recorded. */
struct db_var *db_unet_step(struct db_tape *tape, const struct db_unet *unet,
                            struct db_unet_steps *steps, int64_t index,
                            struct db_var *sample, struct db_var *context);

#endif

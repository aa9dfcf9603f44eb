/* SPDX-License-Identifier: MIT */
/*
 * diffusers' AutoencoderKL: images to the mean and log variance of latents, and
 * latents to images.
 */
#ifndef DB_MODEL_VAE_H
#define DB_MODEL_VAE_H

#include <jansson.h>

#include "nn/layer.h"
#include "nn/resnet.h"
#include "nn/attention.h"

#define DB_VAE_MAX_LEVELS 8

struct db_vae_config {
    int64_t in_channels, out_channels, latent_channels;
    int64_t sample_size; /* of the images that it was made for */
    int64_t levels;
    int64_t block_out_channels[DB_VAE_MAX_LEVELS];
    int64_t layers_per_block;
    int64_t norm_num_groups;
    bool mid_block_add_attention;
    bool use_quant_conv, use_post_quant_conv;
    double scaling_factor;
};

struct db_vae_block; /* one level of the encoder or decoder */

/* The encoder or the decoder. */
struct db_vae_half {
    const char *name;
    struct db_conv_layer conv_in, conv_out;
    struct db_norm conv_norm_out;
    struct db_vae_block *blocks; /* config.levels */
    struct db_resnet mid_resnets[2];
    struct db_image_attention mid_attention;
};

struct db_vae {
    struct db_env *env;
    struct db_vae_config config;
    int64_t factor; /* of an image's side to its latents' */
    struct db_params params;
    struct db_vae_half encoder, decoder;
    struct db_conv_layer quant_conv, post_quant_conv;
};

/* As db_text_encoder_new(). */
int db_vae_new(struct db_env *env, const char *file, const json_t *config,
               struct db_vae **out);
void db_vae_free(struct db_vae *vae); /* NULL is fine */

/*
 * IMAGE [N, H, W, in_channels] in [-1, 1], sides divisible by vae->factor, to
 * the posterior: MEAN and LOGVAR [N, H/f, W/f, latent_channels], logvar
 * clamped to [-30, 20] (no gradient flows through logvar). Not multiplied by
 * scaling_factor: latents are (mean + exp(logvar / 2) noise) scaling_factor.
 * On failure both are NULL; returns tape->status.
 */
int db_vae_encode(struct db_tape *tape, const struct db_vae *vae,
                  struct db_var *image, struct db_var **mean,
                  struct db_var **logvar, const struct db_trace *trace);

/* Z [N, h, w, latent_channels], that is, latents / scaling_factor, to images
 * [N, h f, w f, out_channels] around [-1, 1], not clamped. */
struct db_var *db_vae_decode(struct db_tape *tape, const struct db_vae *vae,
                             struct db_var *z, const struct db_trace *trace);

#endif

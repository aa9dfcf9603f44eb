/* SPDX-License-Identifier: MIT */
/*
 * What sampling needs at its peak: either the UNet at its finest level with all
 * skip connections waiting, or the VAE's last blocks at the image's full size;
 * and beside either what the UNet keeps from step to step.
 */
#include "sample/sampler_int.h"

/* The skip connections, and a transformer with its feed-forward layer. */
static uint64_t unet_floats(const struct db_unet_config *config,
                            uint64_t pixels)
{
    uint64_t skips = (uint64_t)config->block_out_channels[0];
    uint64_t scale = 1;
    int64_t level;

    for (level = 0; level < config->levels; level++) {
        uint64_t channels = (uint64_t)config->block_out_channels[level];

        skips += channels * (uint64_t)config->layers_per_block[level] / scale;
        scale *= 4;
        if (level < config->levels - 1)
            skips += channels / scale;
    }
    return pixels * (skips + 15 * (uint64_t)config->block_out_channels[0]);
}

/* A resnet that halves the channels, between two levels. */
static uint64_t vae_floats(const struct db_vae_config *config, uint64_t pixels)
{
    uint64_t first = (uint64_t)config->block_out_channels[0];
    uint64_t second =
        (uint64_t)config->block_out_channels[config->levels > 1 ? 1 : 0];

    return pixels * 2 * (first + second);
}

uint64_t db_sampler_memory(const struct db_sampler *sampler)
{
    const struct db_pipeline *pipeline = sampler->pipeline;
    const struct db_sampler_settings *settings = &sampler->settings;
    int64_t rows = settings->batch * (sampler->guided ? 2 : 1);
    uint64_t latents = (uint64_t)(sampler->width * sampler->height);
    uint64_t pixels = (uint64_t)(settings->width * settings->height);
    uint64_t unet =
        unet_floats(&pipeline->unet->config, (uint64_t)rows * latents);
    uint64_t vae = vae_floats(&pipeline->vae->config, pixels);
    uint64_t steps = db_unet_steps_floats(pipeline->unet, sampler->calls, rows,
                                          sampler->prompt->shape.size[1]);

    return (steps + (unet > vae ? unet : vae)) * sizeof(float);
}

/* SPDX-License-Identifier: MIT */
/*
 * Drawing: Stable Diffusion's denoising loop with classifier-free guidance (Ho
 * and Salimans, 2022), step by step or whole. The samplers are DDPM's ancestral
 * one (Ho et al., 2020; the paper's), DDIM, PNDM and Euler ancestral, with the
 * arithmetic of diffusers; with "rng" torch a seed gives diffusers' image.
 */
#ifndef DREAMBOOTH_SAMPLER_H
#define DREAMBOOTH_SAMPLER_H

#include "dreambooth/image.h"
#include "dreambooth/model.h"

#include "dreambooth/begin.h"

typedef struct dreambooth_sampler dreambooth_sampler;

/* A sampler of MODEL, which must not be trained meanwhile. */
int dreambooth_sampler_new(dreambooth_sampler **out, dreambooth_model *model);
void dreambooth_sampler_free(dreambooth_sampler *sampler);

/*
 * Options ("sampler" in dreambooth_option_info()), until the first step, then
 * ESTATE: "prompt", "negative-prompt", "steps", "guidance-scale", "sampler",
 * "seed", "size" and so on. [V] in a prompt stands for the identifier that the
 * model was trained with.
 */
int dreambooth_sampler_set(dreambooth_sampler *sampler, const char *name,
                           const char *value);
int dreambooth_sampler_set_integer(dreambooth_sampler *sampler,
                                   const char *name, int64_t value);
int dreambooth_sampler_set_double(dreambooth_sampler *sampler, const char *name,
                                  double value);
/*
 * Options, and facts ("sampler" in dreambooth_fact_info()) such as "step" and
 * "total-steps" (calls of the UNet, over all images), both 0 before the first
 * step. After the first step "width", "height" and "sampler" are what is really
 * used. A text is valid until the next call of this function.
 */
int dreambooth_sampler_get_text(dreambooth_sampler *sampler, const char *name,
                                const char **out);
int dreambooth_sampler_get_integer(dreambooth_sampler *sampler,
                                   const char *name, int64_t *out);
int dreambooth_sampler_get_double(dreambooth_sampler *sampler, const char *name,
                                  double *out);

/*
 * One call of the UNet. DREAMBOOTH_OK while there is more to do,
 * DREAMBOOTH_DONE when all images are finished. ECANCELLED, ENONFINITE, ELIMIT,
 * ENOMEM; EINVAL for a size that the model cannot draw.
 */
int dreambooth_sampler_step(dreambooth_sampler *sampler);
/* All the steps that are left; DREAMBOOTH_OK when the images are finished. */
int dreambooth_sampler_run(dreambooth_sampler *sampler);

/* A copy of finished image INDEX, 0 to "count" - 1. ESTATE if it is not. */
int dreambooth_sampler_image(dreambooth_image **out,
                             dreambooth_sampler *sampler, size_t index);
/* What image INDEX of the present batch looks like now, noise and all: for
 * watching; it costs a decoding by the VAE. ESTATE before the first step. */
int dreambooth_sampler_preview(dreambooth_image **out,
                               dreambooth_sampler *sampler, size_t index);
/* Writes finished image INDEX as a PNG file whose text chunks have prompt,
 * seed, settings and model. */
int dreambooth_sampler_write(dreambooth_sampler *sampler, size_t index,
                             const char *path);
/*
 * The latents of the present batch, [images, channels, height, width] (the
 * order of PyTorch). SHAPE gets the four sizes; the first CAPACITY floats are
 * written to VALUES, which may be NULL if CAPACITY is 0.
 */
int dreambooth_sampler_latents(dreambooth_sampler *sampler, int64_t shape[4],
                               float *values, size_t capacity);

#include "dreambooth/end.h"

#endif

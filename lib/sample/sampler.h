/* SPDX-License-Identifier: MIT */
/*
 * From a prompt to images: Stable Diffusion's denoising loop with
 * classifier-free guidance (Ho and Salimans, 2022), one call of the UNet a
 * step, as diffusers' StableDiffusionPipeline does it.
 *
 * An image's noise depends on its own number and the seed, never on the batch
 * that it is made in: with the counter streams its number names its stream,
 * with the torch stream image i has a generator of its own, seeded with seed +
 * i, as a list of generators does in diffusers.
 */
#ifndef DB_SAMPLE_SAMPLER_H
#define DB_SAMPLE_SAMPLER_H

#include "file/image.h"
#include "model/pipeline.h"
#include "sample/options.h"

struct db_sampler;

/*
 * A sampler of PIPELINE, which must live as long, on DEVICE. The settings are
 * copied; both prompts are encoded here, once. Width and height are "width" and
 * "height", else "size", else the size that the model was made for.
 *
 * EINVAL for sides that are no multiples of the VAE's factor or not within 1
 * to DB_IMAGE_MAX_SIDE, naming the nearest ones that fit; EUNSUPPORTED for a
 * scheduler configuration or model that this version cannot sample from;
 * EFORMAT for a damaged scheduler configuration. A prompt that is too long is
 * cut with a warning that shows what was dropped.
 */
int db_sampler_new(struct db_device *device, const struct db_pipeline *pipeline,
                   const struct db_sampler_settings *settings,
                   struct db_sampler **out);
void db_sampler_free(struct db_sampler *sampler); /* NULL is fine */

/*
 * One call of the UNet and one update of the latents of the current batch; the
 * batch's last step also decodes its images. DREAMBOOTH_DONE once there is
 * nothing left. ECANCELLED; ENONFINITE, naming the step. After an error the
 * step can be tried again.
 */
int db_sampler_step(struct db_sampler *sampler);
/* Steps until it is done. */
int db_sampler_run(struct db_sampler *sampler);

/* Steps taken and steps in all, over all batches. */
int64_t db_sampler_step_number(const struct db_sampler *sampler);
int64_t db_sampler_step_count(const struct db_sampler *sampler);

/* The images that are finished, in order; the sampler owns them. NULL for one
 * that is not. */
int64_t db_sampler_image_count(const struct db_sampler *sampler);
const struct db_image *db_sampler_image(const struct db_sampler *sampler,
                                        int64_t index);
/* The finished image as a PNG file with prompt, seed, settings and model in its
 * text chunks. ESTATE for an image that is not finished. */
int db_sampler_save_image(const struct db_sampler *sampler, int64_t index,
                          const char *path);

/*
 * The latents of the current batch, [images, height, width, channels], and the
 * number of its first image. They stay the sampler's and change with each step.
 * Between batches they are those of the one that was finished last.
 */
const struct db_tensor *db_sampler_latents(const struct db_sampler *sampler,
                                           int64_t *first);
/* What image INDEX of the current batch looks like now: decodes the latents,
 * noise and all. */
int db_sampler_preview(struct db_sampler *sampler, int64_t index,
                       struct db_image **out);
/* The settings with everything filled in that was left to the model. */
const struct db_sampler_settings *db_sampler_settings_of(
    const struct db_sampler *sampler);

/* What its run needs at its peak beside the model, in bytes; an estimate. */
uint64_t db_sampler_memory(const struct db_sampler *sampler);

#endif

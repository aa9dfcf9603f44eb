/* SPDX-License-Identifier: MIT */
/*
 * All of libdreambooth's public headers but backend.h, which is for those who
 * bring compute kernels of their own.
 *
 *     dreambooth_context *context;
 *     dreambooth_model *model;
 *     dreambooth_trainer *trainer;
 *
 *     dreambooth_context_new(&context);
 *     dreambooth_model_open(&model, context, "stable-diffusion-v1-5");
 *     dreambooth_trainer_new(&trainer, model);
 *     dreambooth_trainer_set(trainer, "instance-prompt", "a [V] dog");
 *     dreambooth_trainer_set(trainer, "class-prompt", "a dog");
 *     dreambooth_trainer_set(trainer, "out", "my-dog");
 *     dreambooth_trainer_add_folder(trainer, "photos");
 *     while (dreambooth_trainer_step(trainer) == DREAMBOOTH_OK)
 *         continue;
 */
#ifndef DREAMBOOTH_DREAMBOOTH_H
#define DREAMBOOTH_DREAMBOOTH_H

#include "dreambooth/base.h"
#include "dreambooth/context.h"
#include "dreambooth/identifier.h"
#include "dreambooth/image.h"
#include "dreambooth/model.h"
#include "dreambooth/sampler.h"
#include "dreambooth/tokenizer.h"
#include "dreambooth/trainer.h"

#endif

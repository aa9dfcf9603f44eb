/* SPDX-License-Identifier: MIT */
/*
 * What stands around a block of the guide that is statements and no program:
 * BLOCK is its file. It finds a context, a model, and a trainer and a sampler
 * of it, ready to run, and must leave no error behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/dreambooth.h>

int main(void)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_trainer *trainer = NULL;
    dreambooth_sampler *sampler = NULL;
    int failed =
        dreambooth_context_new(&context) ||
        dreambooth_model_open(&model, context, "stable-diffusion-v1-5") ||
        dreambooth_trainer_new(&trainer, model) ||
        dreambooth_trainer_set(trainer, "instance-dir", "photos") ||
        dreambooth_trainer_set(trainer, "instance-prompt", "a [V] dog") ||
        dreambooth_sampler_new(&sampler, model) ||
        dreambooth_sampler_set(sampler, "prompt", "a dog");

    if (!failed) {
#include BLOCK
    }
    failed = failed || dreambooth_context_error(context)[0] != '\0';
    if (failed)
        fprintf(stderr, "%s\n", dreambooth_context_error(context));
    dreambooth_sampler_free(sampler);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return failed;
}

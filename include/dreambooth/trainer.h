/* SPDX-License-Identifier: MIT */
/*
 * Teaching a model a subject: DreamBooth (Ruiz et al., 2022). The whole UNet,
 * and on request the text encoder, is fine-tuned on a few photos of the subject
 * under "a [V] dog", while a prior-preservation loss on the frozen model's own
 * samples of "a dog" keeps the class alive:
 *
 *     L = ||eps - eps_hat(z_t, "a [V] dog")||^2
 *         + prior_loss_weight ||eps' - eps_hat(z'_t', "a dog")||^2
 *
 * with defaults and arithmetic of diffusers' train_dreambooth.py.
 */
#ifndef DREAMBOOTH_TRAINER_H
#define DREAMBOOTH_TRAINER_H

#include "dreambooth/image.h"
#include "dreambooth/model.h"

#include "dreambooth/begin.h"

typedef struct dreambooth_trainer dreambooth_trainer;

/* A trainer of MODEL, which it changes. */
int dreambooth_trainer_new(dreambooth_trainer **out, dreambooth_model *model);
void dreambooth_trainer_free(dreambooth_trainer *trainer);

/*
 * Options ("trainer" in dreambooth_option_info()), until the trainer has
 * started, then ESTATE: "instance-prompt", "class-prompt", "steps",
 * "learning-rate", "size", "out" and so on. [V] in the prompts stands for the
 * option "identifier", or, if that is not set, for a rare token that is picked
 * with "seed".
 */
int dreambooth_trainer_set(dreambooth_trainer *trainer, const char *name,
                           const char *value);
int dreambooth_trainer_set_integer(dreambooth_trainer *trainer,
                                   const char *name, int64_t value);
int dreambooth_trainer_set_double(dreambooth_trainer *trainer, const char *name,
                                  double value);
/*
 * Options, and facts ("trainer" in dreambooth_fact_info()): of the last step
 * such as "step", "loss", "loss.instance", "loss.prior" and "gradient-norm";
 * after dreambooth_trainer_plan() those that begin with "plan."; while class
 * images are made "class-images.done" and "class-images.missing". A text is
 * valid until the next call of this function.
 */
int dreambooth_trainer_get_text(dreambooth_trainer *trainer, const char *name,
                                const char **out);
int dreambooth_trainer_get_integer(dreambooth_trainer *trainer,
                                   const char *name, int64_t *out);
int dreambooth_trainer_get_double(dreambooth_trainer *trainer, const char *name,
                                  double *out);

/* The photos of FOLDER, in the order of their names, in place of
 * "instance-dir". */
int dreambooth_trainer_add_folder(dreambooth_trainer *trainer,
                                  const char *folder);
/* One more photo; it is copied. */
int dreambooth_trainer_add_image(dreambooth_trainer *trainer,
                                 const dreambooth_image *image);

/* Estimates memory and disk of the run without starting it; a described model
 * is enough. The facts "plan..." tell what came out. */
int dreambooth_trainer_plan(dreambooth_trainer *trainer);

/*
 * One unit of what comes before step 1: settling the identifier, checking
 * photos, memory and disk, making a part of a missing class image with the
 * frozen model and the ancestral sampler, resuming. DREAMBOOTH_OK while there
 * is more to do, DREAMBOOTH_DONE when training can begin.
 */
int dreambooth_trainer_prepare(dreambooth_trainer *trainer);
/*
 * One optimiser step, after all that is left to prepare. DREAMBOOTH_OK when it
 * was taken, DREAMBOOTH_DONE when there is none left: the result is saved by
 * then if "out" is set. Errors leave parameters as they were before the step
 * and checkpoints whole: ECANCELLED (go on when you like), ENONFINITE (names
 * step and tensor), ENOSPACE, ELIMIT, EIO. What could not be written or drawn
 * after a step (see the fact "step") is made up for by the next call.
 */
int dreambooth_trainer_step(dreambooth_trainer *trainer);
/* All the steps that are left; DREAMBOOTH_OK when training is over. */
int dreambooth_trainer_run(dreambooth_trainer *trainer);
/* Writes a checkpoint of the present state into "out" now. */
int dreambooth_trainer_checkpoint(dreambooth_trainer *trainer);

#include "dreambooth/end.h"

#endif

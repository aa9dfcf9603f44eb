/* SPDX-License-Identifier: MIT */
/*
 * A text-to-image model: a Stable Diffusion 1.x or 2.x pipeline in the folder
 * form of diffusers (text encoder, UNet, VAE, tokenizer, scheduler).
 */
#ifndef DREAMBOOTH_MODEL_H
#define DREAMBOOTH_MODEL_H

#include "dreambooth/context.h"

#include "dreambooth/begin.h"

typedef struct dreambooth_model dreambooth_model;

/*
 * Opens the pipeline in FOLDER and checks all its files. Weights are read when
 * they are first needed, as 32-bit floats or what the context's option
 * "weights" says, from the files that are open now: these may be replaced by
 * others, but a file that is written to or shortened meanwhile makes what needs
 * it fail with EIO. ENOTFOUND, EIO; EFORMAT and EUNSUPPORTED name the file and
 * what is wrong; ELIMIT, ENOMEM.
 */
int dreambooth_model_open(dreambooth_model **out, dreambooth_context *context,
                          const char *folder);
/*
 * Reads everything but the weights' values: enough for facts and for a
 * trainer's plan, and nothing else (ESTATE). PATH is a pipeline's folder. It
 * may also be one of a pipeline that this library cannot use, of a single
 * component, or a .safetensors file: then only the facts of the parts are
 * there, and a warning in the log says what is wrong with the pipeline.
 */
int dreambooth_model_describe(dreambooth_model **out,
                              dreambooth_context *context, const char *path);
/*
 * A new model with random weights, as PyTorch initialises them: CONFIG_FOLDER
 * is a pipeline's folder of which only the JSON files are read,
 * TOKENIZER_FOLDER has vocab.json and merges.txt (NULL: CONFIG_FOLDER's
 * tokenizer/). The same seed gives the same model.
 */
int dreambooth_model_init(dreambooth_model **out, dreambooth_context *context,
                          const char *config_folder,
                          const char *tokenizer_folder, uint64_t seed);
/* Frees the model: at once, or with the last handle that was made of it. */
void dreambooth_model_free(dreambooth_model *model);

/*
 * Writes the model into FOLDER, which diffusers can load. PRECISION is "f32"
 * (also for NULL), "f16" or "bf16". Each file is whole or not there;
 * model_index.json comes last. EIO, ENOSPACE.
 */
int dreambooth_model_save(const dreambooth_model *model, const char *folder,
                          const char *precision);

/*
 * Facts ("model" in dreambooth_fact_info()): what the parts are and how large,
 * what the model was made for, and what dreambooth.json says of its training,
 * such as "record.identifier". ENOTFOUND for a fact that the model does not
 * have. A text stays the model's and is valid until the next call of this
 * function, which gives integers as texts as well.
 */
int dreambooth_model_get_integer(dreambooth_model *model, const char *name,
                                 int64_t *out);
int dreambooth_model_get_text(dreambooth_model *model, const char *name,
                              const char **out);

#include "dreambooth/end.h"

#endif

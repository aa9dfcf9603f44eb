/* SPDX-License-Identifier: MIT */
/*
 * A Stable Diffusion pipeline: its parts, and its files in the folder form of
 * diffusers. What a folder says about itself (config.json, the scheduler, the
 * tokenizer) is kept as it was read and saved again beside the weights.
 *
 * The scheduler's configuration is passed on unread: the floors above know
 * schedules.
 */
#ifndef DB_MODEL_PIPELINE_H
#define DB_MODEL_PIPELINE_H

#include "model/text_encoder.h"
#include "model/unet.h"
#include "model/vae.h"
#include "text/tokenizer.h"

enum db_part { DB_TEXT_ENCODER, DB_UNET, DB_VAE, DB_PARTS };
/* The folders of the parts: "text_encoder", "unet", "vae". */
extern const char *const db_part_names[DB_PARTS];

/* What the files of a part hold. */
struct db_part_facts {
    int64_t parameters; /* elements */
    size_t tensors;
    enum db_dtype dtype; /* of the file: of its largest tensor */
    uint64_t bytes;      /* of the tensors in the file */
};

/* A line of dreambooth.json: how the model came about. */
struct db_pipeline_fact {
    char *key, *value;
};

struct db_pipeline {
    struct db_env *env;
    char *path; /* as it was opened; "" for a new model */
    struct db_text_encoder *text_encoder;
    struct db_unet *unet;
    struct db_vae *vae;
    struct db_tokenizer *tokenizer;
    char *scheduler_class;  /* "PNDMScheduler" */
    char *scheduler_config; /* the JSON text of scheduler_config.json */
    char *model_index;      /* JSON texts, as they will be saved */
    char *configs[DB_PARTS];
    struct db_part_facts facts[DB_PARTS];
    enum db_dtype weights;           /* that weights of products are kept as */
    struct db_pipeline_fact *record; /* of dreambooth.json, sorted by key */
    size_t record_count;
};

/*
 * Opens the pipeline in FOLDER: model_index.json, the parts with their weights
 * (safetensors; those of variant "fp16" where there are no others), the
 * tokenizer, the scheduler's configuration and, where it exists,
 * dreambooth.json. Weights of products are read when they are needed.
 * ENOTFOUND, EIO; EFORMAT and EUNSUPPORTED naming the file and what is wrong
 * with it.
 */
int db_pipeline_open(struct db_env *env, const char *folder,
                     struct db_pipeline **out);
/* The same, with the weights of products kept as WEIGHTS, F32 or BF16. */
int db_pipeline_open_as(struct db_env *env, const char *folder,
                        enum db_dtype weights, struct db_pipeline **out);
/* The same for a folder whose tokenizer lacks vocab.json and merges.txt: they
 * are taken from VOCABULARY_FOLDER. */
int db_pipeline_open_vocabulary(struct db_env *env, const char *folder,
                                const char *vocabulary_folder,
                                struct db_pipeline **out);
/* As db_pipeline_open(), with every check but without the weights' data: for
 * sizes. */
int db_pipeline_describe(struct db_env *env, const char *folder,
                         struct db_pipeline **out);
/*
 * A new model with random weights: CONFIG_FOLDER has model_index.json and the
 * configurations; vocab.json and merges.txt are taken from TOKENIZER_FOLDER
 * (NULL: CONFIG_FOLDER/tokenizer). Where neither has a tokenizer_config.json,
 * CLIP's is written, for the text encoder's length.
 */
int db_pipeline_init(struct db_env *env, const char *config_folder,
                     const char *tokenizer_folder, uint64_t seed,
                     struct db_pipeline **out);
void db_pipeline_free(struct db_pipeline *pipeline); /* NULL is fine */

/* Weights of products are to be kept as DTYPE, F32 or BF16. Before any has
 * data. */
void db_pipeline_set_weights(struct db_pipeline *pipeline, enum db_dtype dtype);

/* The parameters of a part. */
struct db_params *db_pipeline_params(const struct db_pipeline *pipeline,
                                     enum db_part part);

/*
 * Writes the pipeline into FOLDER, which is made where it does not exist, as
 * diffusers does, with weights of DTYPE (F32, F16 or BF16), and the record as
 * dreambooth.json. Each file is replaced atomically, model_index.json last.
 * Wrap it in a db_atomic_folder to replace a whole model at once.
 */
int db_pipeline_save(const struct db_pipeline *pipeline, const char *folder,
                     enum db_dtype dtype);
/* The bytes that db_pipeline_save() will write, roughly. */
uint64_t db_pipeline_save_size(const struct db_pipeline *pipeline,
                               enum db_dtype dtype);

/* The record: NULL for a key that is not there; a NULL value removes one. */
const char *db_pipeline_get(const struct db_pipeline *pipeline,
                            const char *key);
int db_pipeline_set(struct db_pipeline *pipeline, const char *key,
                    const char *value);

#endif

/* SPDX-License-Identifier: MIT */
/* What the files of the pipeline share. */
#ifndef DB_MODEL_PIPELINE_INT_H
#define DB_MODEL_PIPELINE_INT_H

#include "file/weights.h"
#include "model/pipeline.h"

#define DB_RECORD_FILE "dreambooth.json"

/* A new pipeline without anything in it. */
int db_pipeline_new(struct db_env *env, const char *path,
                    struct db_pipeline **out);
/* Reads and checks FOLDER's model_index.json and the scheduler's
 * configuration. */
int db_pipeline_read_index(struct db_pipeline *pipeline, const char *folder);
/* EFORMAT unless the parts fit each other and the tokenizer. */
int db_pipeline_check(const struct db_pipeline *pipeline);

/* The tokenizer of the model in FOLDER with the vocabulary of VOCABULARY_FOLDER
 * (NULL: its own). Small files that FOLDER's tokenizer lacks are looked for
 * there too, or made up. */
int db_pipeline_open_tokenizer(struct db_pipeline *pipeline, const char *folder,
                               const char *vocabulary_folder);

/* The record of FOLDER, where it has one. */
int db_pipeline_read_record(struct db_pipeline *pipeline, const char *folder);
int db_pipeline_write_record(const struct db_pipeline *pipeline,
                             const char *folder);
void db_pipeline_free_record(struct db_pipeline *pipeline);

/* "diffusion_pytorch_model" or "model". */
const char *db_part_weights_name(enum db_part part);
/* Makes the part that CONFIG, called FILE in errors, describes, and keeps the
 * text of CONFIG. */
int db_pipeline_build_part(struct db_pipeline *pipeline, enum db_part part,
                           const char *file, const json_t *config,
                           const char *prefix);

#endif

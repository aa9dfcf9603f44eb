/* SPDX-License-Identifier: MIT */
/*
 * The weights of one component of a pipeline folder: one file, or shards with
 * an index, seen as one set of named tensors. Each tensor that a model takes is
 * marked, so that one that nothing uses can be found and complained about.
 */
#ifndef DB_FILE_WEIGHTS_H
#define DB_FILE_WEIGHTS_H

#include "file/safetensors.h"

struct db_weights;

/*
 * Opens, in FOLDER, the first of
 *     BASE.safetensors            BASE.VARIANT.safetensors
 *     BASE.safetensors.index.json BASE.safetensors.index.VARIANT.json
 *                                 BASE.VARIANT.safetensors.index.json
 * (left without, right with a VARIANT; NULL or "" is none). BASE is
 * "diffusion_pytorch_model" for a UNet or VAE, "model" for a text encoder.
 * ENOTFOUND, saying what there is instead, when there is none of them;
 * EUNSUPPORTED when there are pickled weights (.bin) only; EFORMAT when a
 * file is damaged or index and shards disagree.
 */
int db_weights_open(struct db_env *env, const char *folder, const char *base,
                    const char *variant, struct db_weights **out);
void db_weights_free(struct db_weights *weights); /* NULL is fine */

size_t db_weights_count(const struct db_weights *weights);
/* In the order of the names. */
const struct db_safetensors_entry *db_weights_at(
    const struct db_weights *weights, size_t index);
/* NULL for an unknown name. */
const struct db_safetensors_entry *db_weights_find(
    const struct db_weights *weights, const char *name);
/* As find, and marks it as used. */
const struct db_safetensors_entry *db_weights_take(struct db_weights *weights,
                                                   const char *name);
/* The first that was not taken, or NULL. Buffers of ids ("position_ids",
 * int64), which old checkpoints carry, need not be. */
const struct db_safetensors_entry *db_weights_unused(
    const struct db_weights *weights);
/* The file that was opened (the index, where there are shards). */
const char *db_weights_path(const struct db_weights *weights);

#endif

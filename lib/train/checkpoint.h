/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: folders called step-000010, each with all that the rest of a run
 * depends on. A checkpoint appears whole or not at all, and is only believed
 * when its checksums fit.
 *
 *     unet.safetensors, text_encoder.safetensors   what is trained, as it is
 *                                                  kept in memory
 *     optimizer.safetensors                        AdamW's moments, likewise
 *     state.json                                   step, settings, random
 *                                                  stream, checksums
 */
#ifndef DB_TRAIN_CHECKPOINT_H
#define DB_TRAIN_CHECKPOINT_H

#include "base/noise.h"
#include "train/optimizer.h"

/* What a checkpoint holds beside the tensors. */
struct db_checkpoint_state {
    const struct db_trainer_settings *settings;
    int64_t step;
    struct db_noise *noise;
    uint64_t instance_hash, class_hash; /* of the data sets */
    uint64_t frozen_hash;               /* of the parameters not trained */
    enum db_dtype weights; /* that weights of products are kept as */
};

/*
 * Writes the checkpoint of STATE into FOLDER, which is made where it does not
 * exist, and removes older ones but for the newest KEEP in all. On an error
 * those that there were are still there.
 */
int db_checkpoint_write(const struct db_pipeline *pipeline,
                        const struct db_optimizer *optimizer,
                        const struct db_checkpoint_state *state,
                        const char *folder, int64_t keep);

/*
 * Goes back to the newest good checkpoint in FOLDER: parameters, moments,
 * STATE's step and noise. Damaged ones are passed over with a warning. *FOUND
 * is false, and nothing is changed, where there is none. EINVAL where one
 * was made with other settings, photos or another model than STATE has; the
 * error names what differs. When a good one cannot be read to its end (ENOMEM),
 * parameters and moments are of no use any more.
 */
int db_checkpoint_resume(struct db_pipeline *pipeline,
                         struct db_optimizer *optimizer,
                         struct db_checkpoint_state *state, const char *folder,
                         bool *found);

/* The step of the newest checkpoint in FOLDER, good or not; 0: none. */
int db_checkpoint_newest(struct db_env *env, const char *folder, int64_t *step);

/* A checksum of the parameters of all parts that are not trained, which are
 * read for it if need be, and not kept then. */
int db_checkpoint_frozen_hash(const struct db_pipeline *pipeline,
                              bool text_encoder_trained, uint64_t *out);

#endif

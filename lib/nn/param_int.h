/* SPDX-License-Identifier: MIT */
/* What the files that handle parameters share. */
#ifndef DB_NN_PARAM_INT_H
#define DB_NN_PARAM_INT_H

#include "nn/param.h"

/* Gives PARAM its data, undefined, unless it has some. */
int db_param_allocate(struct db_param *param);
/* Reads ENTRY, which fits, into the data. POOL may be NULL. */
int db_param_read(struct db_param *param,
                  const struct db_safetensors_entry *entry,
                  struct db_pool *pool);

/* The tensor of parameter INDEX in WEIGHTS, under either of its names, or NULL.
 */
const struct db_safetensors_entry *db_params_entry(
    const struct db_params *params, size_t index, struct db_weights *weights);

/* One output channel of a convolution: INPUTS x PIXELS in the file. */
struct db_filter {
    int64_t inputs, pixels;
};
struct db_filter db_filter_of(const struct db_param *param);
/* [inputs, pixels] of the file to our [pixels, inputs]. */
void db_filter_turn(const float *source, struct db_filter filter, float *out);
/* Are the elements in the same order here and in the file? */
bool db_param_same_order(const struct db_param *param);

#endif

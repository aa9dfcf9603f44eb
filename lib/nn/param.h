/* SPDX-License-Identifier: MIT */
/*
 * The parameters of one model: an ordered set into which its layers register
 * when they are built, under the names that diffusers' files use. A layer is
 * then nothing but pointers into this set; loading, saving, first values and
 * training walk over the set and need not know the model.
 *
 * Building allocates no data. A model has its data after db_params_load() or
 * db_params_randomize(), and can be measured before. After db_params_open() the
 * weights of its layers are read when they are needed.
 */
#ifndef DB_NN_PARAM_H
#define DB_NN_PARAM_H

#include "file/weights.h"
#include "grad/tape.h"

/* The distribution of a parameter's first values: U(-scale, scale) or
 * N(0, scale^2). */
enum db_init_kind {
    DB_INIT_ZERO,
    DB_INIT_ONE,
    DB_INIT_UNIFORM,
    DB_INIT_NORMAL
};
struct db_init {
    enum db_init_kind kind;
    float scale;
};

/* Where a parameter's values come from, beside its name. */
struct db_param_origin {
    struct db_init init;
    const char *alias; /* its name in older files, or NULL */
};

/*
 * Errors stick while a model is built, as on a tape: after the first, adding
 * does nothing and gives NULL. Check the status at the end.
 */
struct db_params {
    struct db_env *env;
    int status;
    struct db_param **items;         /* in the order of registration */
    struct db_param_origin *origins; /* of the same index */
    size_t count, capacity;
    struct db_weights
        *weights;  /* that parameters are still read from, or NULL */
    void **blocks; /* memory that lives as long as the parameters */
    size_t block_count, block_capacity;
};

void db_params_init(struct db_params *params, struct db_env *env);
/* Frees the parameters, their data and the kept memory. */
void db_params_free(struct db_params *params);

/* Zeroed memory that is freed with PARAMS: the layers of a model. */
void *db_params_keep(struct db_params *params, size_t count, size_t size);
/* The same for a text: a module's name. "" after an error. */
const char *db_params_text(struct db_params *params, const char *format, ...)
    DB_PRINTF(2, 3);

/* Registers MODULE.NAME (NAME where MODULE is "") of SHAPE, as in the file; the
 * parameter stays the set's. */
struct db_param *db_params_add(struct db_params *params, const char *module,
                               const char *name, const struct db_shape *shape,
                               enum db_layout layout, struct db_init init);
/* Files may have the last parameter that was added as MODULE.NAME instead. */
void db_params_alias(struct db_params *params, const char *module,
                     const char *name);

struct db_param *db_params_find(const struct db_params *params,
                                const char *name);
/* Elements of all parameters. */
int64_t db_params_elements(const struct db_params *params);
/* Bytes of the data and gradients that exist. */
uint64_t db_params_bytes(const struct db_params *params);

/* Weights of products are to be kept as DTYPE, F32 (which they are) or BF16.
 * Before they have data. */
void db_params_set_weights(struct db_params *params, enum db_dtype dtype);

void db_params_set_trainable(struct db_params *params, bool trainable);
/* Sets existing gradients to zero, or frees them. */
void db_params_zero_gradients(struct db_params *params);
void db_params_free_gradients(struct db_params *params);

/*
 * First values, as PyTorch and transformers draw them in distribution. PART
 * ("unet"), the parameter's name and SEED alone determine each, whatever the
 * others are.
 */
int db_params_randomize(struct db_params *params, const char *part,
                        uint64_t seed);

/*
 * Checks that WEIGHTS hold exactly these tensors in these shapes, all of them
 * floats. EFORMAT naming file, tensor and shapes.
 */
int db_params_check(const struct db_params *params, struct db_weights *weights);
/* The same, and reads them (any float type). */
int db_params_load(struct db_params *params, struct db_weights *weights);
/*
 * The same, but weights of products are read when they are first needed, from
 * the files as they are open now. WEIGHTS become the set's if all is well. A
 * file that has changed by then is EIO.
 */
int db_params_open(struct db_params *params, struct db_weights *weights);
/* Reads what is not there yet. POOL may be NULL. */
int db_params_need(struct db_params *params, struct db_pool *pool);
/* Frees the data of one. */
void db_param_forget(struct db_param *param);
/* Frees what can be read again and does not train. */
void db_params_forget(struct db_params *params);

/* Fills one item for each parameter, which writes it in the layout of the file
 * and as DTYPE (F32, F16 or BF16). ITEMS have room for params->count. */
void db_params_items(const struct db_params *params, enum db_dtype dtype,
                     struct db_safetensors_item *items);
/* Writes all as they are kept, each with its own type, for going on later. */
int db_params_save_kept(const struct db_params *params, const char *path);
/* Writes a safetensors file, atomically. */
int db_params_save(const struct db_params *params, const char *path,
                   enum db_dtype dtype);

#endif

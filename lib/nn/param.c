/* SPDX-License-Identifier: MIT */
/*
 * The set of a model's parameters: registering, first values, gradients. How
 * they are read and written is in param_file.c.
 */
#include "nn/param_int.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tensor/convert.h"

void db_params_init(struct db_params *params, struct db_env *env)
{
    memset(params, 0, sizeof(*params));
    params->env = env;
}

static void free_param(struct db_env *env, struct db_param *param)
{
    db_tensor_release(param->data);
    db_param_free_gradient(param);
    db_free(env, param->name);
    db_free(env, param);
}

void db_params_free(struct db_params *params)
{
    struct db_env *env = params->env;
    size_t i;

    for (i = 0; i < params->count; i++)
        free_param(env, params->items[i]);
    for (i = 0; i < params->block_count; i++)
        db_free(env, params->blocks[i]);
    db_free(env, params->items);
    db_free(env, params->origins);
    db_free(env, params->blocks);
    db_weights_free(params->weights);
    db_params_init(params, env);
}

/* Makes *ARRAY hold at least one element more than COUNT; the error sticks. */
static bool grow(struct db_params *params, void **array, size_t count,
                 size_t capacity, size_t element_size)
{
    void *larger;

    if (count < capacity)
        return true;
    larger = db_resize(params->env, *array,
                       (capacity < 16 ? 16 : 2 * capacity) * element_size);
    if (larger == NULL) {
        params->status = params->env->error_status;
        return false;
    }
    *array = larger;
    return true;
}

static size_t grown(size_t count, size_t capacity)
{
    if (count < capacity)
        return capacity;
    return capacity < 16 ? 16 : 2 * capacity;
}

/* BLOCK becomes the set's, or is freed. */
static void *keep_block(struct db_params *params, void *block)
{
    void *array = params->blocks;

    if (block == NULL) {
        params->status = params->env->error_status;
        return NULL;
    }
    if (!grow(params, &array, params->block_count, params->block_capacity,
              sizeof(*params->blocks))) {
        db_free(params->env, block);
        return NULL;
    }
    params->blocks = array;
    params->block_capacity = grown(params->block_count, params->block_capacity);
    params->blocks[params->block_count++] = block;
    return block;
}

void *db_params_keep(struct db_params *params, size_t count, size_t size)
{
    void *block;

    if (params->status != DREAMBOOTH_OK)
        return NULL;
    block = db_alloc_array(params->env, count, size);
    if (block != NULL)
        memset(block, 0, count * size);
    return keep_block(params, block);
}

const char *db_params_text(struct db_params *params, const char *format, ...)
{
    char text[256];
    va_list arguments;
    char *kept;

    if (params->status != DREAMBOOTH_OK)
        return "";
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    kept = keep_block(params, db_copy_text(params->env, text));
    return kept != NULL ? kept : "";
}

static struct db_param *new_param(struct db_env *env, const char *module,
                                  const char *name)
{
    struct db_param *param = db_alloc_zero(env, sizeof(*param));

    if (param == NULL)
        return NULL;
    param->name =
        db_format(env, "%s%s%s", module, module[0] != '\0' ? "." : "", name);
    if (param->name == NULL) {
        db_free(env, param);
        return NULL;
    }
    return param;
}

/* Room for one parameter more in both arrays. */
static bool grow_items(struct db_params *params)
{
    void *items = params->items;
    void *origins = params->origins;
    bool done = grow(params, &items, params->count, params->capacity,
                     sizeof(*params->items));

    params->items = items;
    if (!done)
        return false;
    done = grow(params, &origins, params->count, params->capacity,
                sizeof(*params->origins));
    params->origins = origins;
    if (done)
        params->capacity = grown(params->count, params->capacity);
    return done;
}

struct db_param *db_params_add(struct db_params *params, const char *module,
                               const char *name, const struct db_shape *shape,
                               enum db_layout layout, struct db_init init)
{
    struct db_param *param;

    if (params->status != DREAMBOOTH_OK || !grow_items(params))
        return NULL;
    param = new_param(params->env, module, name);
    if (param == NULL) {
        params->status = params->env->error_status;
        return NULL;
    }
    param->env = params->env;
    param->shape = *shape;
    param->layout = layout;
    params->items[params->count] = param;
    params->origins[params->count].init = init;
    params->origins[params->count].alias = NULL;
    params->count++;
    return param;
}

void db_params_alias(struct db_params *params, const char *module,
                     const char *name)
{
    const char *alias = db_params_text(params, "%s.%s", module, name);

    if (params->status == DREAMBOOTH_OK)
        params->origins[params->count - 1].alias = alias;
}

struct db_param *db_params_find(const struct db_params *params,
                                const char *name)
{
    size_t i;

    for (i = 0; i < params->count; i++)
        if (strcmp(params->items[i]->name, name) == 0)
            return params->items[i];
    return NULL;
}

int64_t db_params_elements(const struct db_params *params)
{
    int64_t total = 0;
    size_t i;

    for (i = 0; i < params->count; i++)
        total += db_shape_count(&params->items[i]->shape);
    return total;
}

static uint64_t tensor_bytes(const struct db_tensor *tensor)
{
    if (tensor == NULL)
        return 0;
    return (uint64_t)db_tensor_count(tensor) * db_dtype_size(tensor->dtype);
}

uint64_t db_params_bytes(const struct db_params *params)
{
    uint64_t total = 0;
    size_t i;

    for (i = 0; i < params->count; i++)
        total += tensor_bytes(params->items[i]->data) +
                 tensor_bytes(params->items[i]->gradient);
    return total;
}

void db_params_set_weights(struct db_params *params, enum db_dtype dtype)
{
    size_t i;

    for (i = 0; i < params->count; i++)
        if (db_param_is_weight(params->items[i]))
            params->items[i]->dtype = dtype;
}

void db_params_set_trainable(struct db_params *params, bool trainable)
{
    size_t i;

    for (i = 0; i < params->count; i++)
        params->items[i]->trainable = trainable;
}

void db_params_zero_gradients(struct db_params *params)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        struct db_tensor *gradient = params->items[i]->gradient;

        if (gradient != NULL)
            memset(gradient->data, 0, (size_t)tensor_bytes(gradient));
    }
}

void db_params_free_gradients(struct db_params *params)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        db_param_free_gradient(params->items[i]);
    }
}

int db_param_allocate(struct db_param *param)
{
    struct db_shape shape = param->shape;

    if (param->data != NULL)
        return DREAMBOOTH_OK;
    if (param->layout == DB_LAYOUT_CONV)
        shape = db_shape4(param->shape.size[0], param->shape.size[2],
                          param->shape.size[3], param->shape.size[1]);
    return db_tensor_new(param->env, param->dtype, &shape, &param->data);
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits, over PART, '/' and NAME. */
static uint64_t name_hash(const char *part, const char *name)
{
    const char *texts[3] = {part, "/", name};
    uint64_t hash = 0xcbf29ce484222325u;
    size_t i;

    for (i = 0; i < DB_COUNT(texts); i++) {
        const char *letter;

        for (letter = texts[i]; *letter != '\0'; letter++)
            hash = (hash ^ (unsigned char)*letter) * 0x100000001b3u;
    }
    return hash;
}

static void fill(float *values, int64_t count, struct db_init init,
                 struct db_random *random)
{
    int64_t i;

    if (init.kind == DB_INIT_NORMAL)
        db_random_normals(random, 0, values, (size_t)count);
    for (i = 0; i < count; i++)
        switch (init.kind) {
        case DB_INIT_ZERO:
            values[i] = 0;
            break;
        case DB_INIT_ONE:
            values[i] = 1;
            break;
        case DB_INIT_UNIFORM:
            values[i] = init.scale * (2 * db_random_float(random) - 1);
            break;
        case DB_INIT_NORMAL:
            values[i] *= init.scale;
            break;
        }
}

/* First values of PARAM, drawn as floats whatever it keeps. */
static int randomize(struct db_param *param, struct db_init init,
                     struct db_random *random)
{
    int64_t count = db_shape_count(&param->shape);
    float *floats;
    int status = db_param_allocate(param);

    if (status != DREAMBOOTH_OK)
        return status;
    if (param->dtype == DB_F32) {
        fill(db_tensor_f32(param->data), count, init, random);
        return DREAMBOOTH_OK;
    }
    floats = db_alloc_array(param->env, (size_t)count, sizeof(*floats));
    if (floats == NULL)
        return param->env->error_status;
    fill(floats, count, init, random);
    db_bf16_from_floats(floats, count, param->data->data);
    db_free(param->env, floats);
    return DREAMBOOTH_OK;
}

int db_params_randomize(struct db_params *params, const char *part,
                        uint64_t seed)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        struct db_param *param = params->items[i];
        uint64_t hash = name_hash(part, param->name);
        struct db_random random;
        int status;

        db_random_init(&random, seed, DB_RANDOM_INIT, hash >> 32,
                       (uint32_t)hash);
        status = randomize(param, params->origins[i].init, &random);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

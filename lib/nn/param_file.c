/* SPDX-License-Identifier: MIT */
/*
 * Parameters from and to files. The files have convolution weights as [out, in,
 * height, width], we as [out, height, width, in]: both ways go one output
 * channel at a time, so that no second copy of a model ever exists.
 */
#include "nn/param_int.h"

#include "tensor/convert.h"

/* One output channel of a convolution: INPUTS x PIXELS in the file. */
struct filter {
    int64_t inputs, pixels;
};

static struct filter filter_of(const struct db_param *param)
{
    struct filter filter = {param->shape.size[1],
                            param->shape.size[2] * param->shape.size[3]};

    return filter;
}

/* Are the bytes in the same order here and in the file? */
static bool same_order(const struct db_param *param)
{
    return param->layout == DB_LAYOUT_PLAIN || filter_of(param).pixels == 1 ||
           filter_of(param).inputs == 1;
}

static bool shape_fits(const struct db_param *param,
                       const struct db_safetensors_entry *entry)
{
    int i;

    if (entry->rank != param->shape.rank)
        return false;
    for (i = 0; i < entry->rank; i++)
        if (entry->shape[i] != param->shape.size[i])
            return false;
    return true;
}

static int check_entry(struct db_env *env, const struct db_param *param,
                       const struct db_safetensors_entry *entry)
{
    char have[128], want[128];

    if (!shape_fits(param, entry)) {
        db_safetensors_shape_text(entry, have, sizeof(have));
        db_shape_text(&param->shape, want, sizeof(want));
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: tensor %s has shape %s, config.json asks for %s",
                       entry->file, entry->name, have, want);
    }
    if (!db_dtype_is_float(entry->dtype))
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: tensor %s has type %s, which is no kind of float",
                       entry->file, entry->name, db_dtype_name(entry->dtype));
    return DREAMBOOTH_OK;
}

static const struct db_safetensors_entry *find_entry(
    const struct db_params *params, size_t index, struct db_weights *weights)
{
    const char *alias = params->origins[index].alias;
    const struct db_safetensors_entry *entry =
        db_weights_take(weights, params->items[index]->name);

    if (entry == NULL && alias != NULL)
        entry = db_weights_take(weights, alias);
    return entry;
}

int db_params_check(const struct db_params *params, struct db_weights *weights)
{
    const struct db_safetensors_entry *entry;
    size_t i;

    for (i = 0; i < params->count; i++) {
        int status;

        entry = find_entry(params, i, weights);
        if (entry == NULL)
            return db_fail(params->env, DREAMBOOTH_EFORMAT,
                           "%s: tensor %s is missing", db_weights_path(weights),
                           params->items[i]->name);
        status = check_entry(params->env, params->items[i], entry);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    entry = db_weights_unused(weights);
    if (entry != NULL)
        return db_fail(params->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor %s is not part of the model that "
                       "config.json describes",
                       entry->file, entry->name);
    return DREAMBOOTH_OK;
}

/* [inputs, pixels] of the file to our [pixels, inputs]. */
static void turn_in(const float *source, struct filter filter, float *out)
{
    int64_t i, p;

    for (p = 0; p < filter.pixels; p++)
        for (i = 0; i < filter.inputs; i++)
            out[p * filter.inputs + i] = source[i * filter.pixels + p];
}

static void turn_out(const float *source, struct filter filter, float *out)
{
    struct filter turned = {filter.pixels, filter.inputs};

    turn_in(source, turned, out);
}

static int read_filters(struct db_env *env, struct db_param *param,
                        const struct db_safetensors_entry *entry)
{
    struct filter filter = filter_of(param);
    int64_t size = filter.inputs * filter.pixels;
    const unsigned char *source = entry->data;
    float *scratch = db_alloc_array(env, (size_t)size, sizeof(*scratch));
    int64_t o;

    if (scratch == NULL)
        return env->error_status;
    for (o = 0; o < param->shape.size[0]; o++) {
        db_convert_to_f32(entry->dtype, source, size, scratch);
        turn_in(scratch, filter, db_tensor_f32(param->data) + o * size);
        source += (size_t)size * db_dtype_size(entry->dtype);
    }
    db_free(env, scratch);
    return DREAMBOOTH_OK;
}

static int read_param(struct db_env *env, struct db_param *param,
                      const struct db_safetensors_entry *entry)
{
    int status = db_param_allocate(env, param);

    if (status != DREAMBOOTH_OK)
        return status;
    if (same_order(param))
        return db_safetensors_read_f32(env, entry, db_tensor_f32(param->data));
    return read_filters(env, param, entry);
}

int db_params_load(struct db_params *params, struct db_weights *weights)
{
    int status = db_params_check(params, weights);
    size_t i;

    for (i = 0; i < params->count && status == DREAMBOOTH_OK; i++)
        status = read_param(params->env, params->items[i],
                            find_entry(params, i, weights));
    return status;
}

/* The source of an item: its user is the parameter. */
static int put_param(const struct db_safetensors_item *item,
                     struct db_safetensors_sink *sink)
{
    const struct db_param *param = item->user;
    struct db_env *env = param->data->env;
    const float *data = db_tensor_f32(param->data);
    struct filter filter;
    int status = DREAMBOOTH_OK;
    float *scratch;
    int64_t size, o;

    if (same_order(param))
        return db_safetensors_put_f32(sink, data, db_tensor_count(param->data));
    filter = filter_of(param);
    size = filter.inputs * filter.pixels;
    scratch = db_alloc_array(env, (size_t)size, sizeof(*scratch));
    if (scratch == NULL)
        return env->error_status;
    for (o = 0; o < param->shape.size[0] && status == DREAMBOOTH_OK; o++) {
        turn_out(data + o * size, filter, scratch);
        status = db_safetensors_put_f32(sink, scratch, size);
    }
    db_free(env, scratch);
    return status;
}

void db_params_items(const struct db_params *params, enum db_dtype dtype,
                     struct db_safetensors_item *items)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        const struct db_param *param = params->items[i];
        struct db_safetensors_item item = {.name = param->name,
                                           .dtype = dtype,
                                           .rank = param->shape.rank,
                                           .source = put_param,
                                           .user = param};
        int d;

        for (d = 0; d < item.rank; d++)
            item.shape[d] = param->shape.size[d];
        items[i] = item;
    }
}

int db_params_save(const struct db_params *params, const char *path,
                   enum db_dtype dtype)
{
    struct db_safetensors_item *items =
        db_alloc_array(params->env, params->count, sizeof(*items));
    int status;

    if (items == NULL)
        return params->env->error_status;
    db_params_items(params, dtype, items);
    status =
        db_safetensors_write(params->env, path, items, params->count, NULL, 0);
    db_free(params->env, items);
    return status;
}

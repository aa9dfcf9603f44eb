/* SPDX-License-Identifier: MIT */
/*
 * Parameters from and to files. The files have convolution weights as [out, in,
 * height, width], we as [out, height, width, in]: both ways go one output
 * channel at a time, so that no second copy of a model ever exists. Reading is
 * in param_load.c.
 */
#include "nn/param_int.h"

#include "tensor/convert.h"

#define ROW 16384 /* elements that are put at once */

struct db_filter db_filter_of(const struct db_param *param)
{
    struct db_filter filter = {param->shape.size[1],
                               param->shape.size[2] * param->shape.size[3]};

    return filter;
}

bool db_param_same_order(const struct db_param *param)
{
    return param->layout != DB_LAYOUT_CONV || db_filter_of(param).pixels == 1 ||
           db_filter_of(param).inputs == 1;
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

const struct db_safetensors_entry *db_params_entry(
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

        entry = db_params_entry(params, i, weights);
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

void db_filter_turn(const float *source, struct db_filter filter, float *out)
{
    int64_t i, p;

    for (p = 0; p < filter.pixels; p++)
        for (i = 0; i < filter.inputs; i++)
            out[p * filter.inputs + i] = source[i * filter.pixels + p];
}

/* Elements FIRST..FIRST+COUNT-1 of the data as floats: where they are, or in
 * SCRATCH. */
static const float *floats_of(const struct db_param *param, int64_t first,
                              int64_t count, float *scratch)
{
    if (param->data->dtype == DB_F32)
        return db_tensor_f32(param->data) + first;
    db_bf16_to_floats((const uint16_t *)param->data->data + first, count,
                      scratch);
    return scratch;
}

/* Puts the data in rows of ROW elements, each turned by TURN if it has pixels.
 * SCRATCH has room for two rows. */
static int put_rows(const struct db_param *param, int64_t row,
                    struct db_filter turn, float *scratch,
                    struct db_safetensors_sink *sink)
{
    int64_t total = db_tensor_count(param->data), first, count;
    int status = DREAMBOOTH_OK;

    for (first = 0; first < total && status == DREAMBOOTH_OK; first += count) {
        const float *floats;

        count = total - first < row ? total - first : row;
        floats = floats_of(param, first, count, scratch);
        if (turn.pixels > 0) {
            db_filter_turn(floats, turn, scratch + row);
            floats = scratch + row;
        }
        status = db_safetensors_put_f32(sink, floats, count);
    }
    return status;
}

static int put_data(const struct db_param *param,
                    struct db_safetensors_sink *sink)
{
    struct db_filter turn = {0, 0};
    int64_t row = ROW;
    float *scratch;
    int status;

    if (!db_param_same_order(param)) {
        struct db_filter filter = db_filter_of(param);

        turn = (struct db_filter){filter.pixels, filter.inputs};
        row = filter.inputs * filter.pixels;
    }
    scratch = db_alloc_array(param->env, 2 * (size_t)row, sizeof(*scratch));
    if (scratch == NULL)
        return param->env->error_status;
    status = put_rows(param, row, turn, scratch, sink);
    db_free(param->env, scratch);
    return status;
}

/* The source of an item: its user is the parameter. One that is not there is
 * read for as long as it takes. */
static int put_param(const struct db_safetensors_item *item,
                     struct db_safetensors_sink *sink)
{
    struct db_param *param = (struct db_param *)(uintptr_t)item->user;
    bool was_there = param->data != NULL;
    int status = db_param_need(param, NULL);

    if (status == DREAMBOOTH_OK)
        status = put_data(param, sink);
    if (!was_there)
        db_param_forget(param);
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

/* Each parameter as its own type where KEPT is set, else as DTYPE. */
static int save(const struct db_params *params, const char *path,
                enum db_dtype dtype, bool kept)
{
    struct db_safetensors_item *items =
        db_alloc_array(params->env, params->count, sizeof(*items));
    size_t i;
    int status;

    if (items == NULL)
        return params->env->error_status;
    db_params_items(params, dtype, items);
    for (i = 0; kept && i < params->count; i++)
        items[i].dtype = params->items[i]->dtype;
    status =
        db_safetensors_write(params->env, path, items, params->count, NULL, 0);
    db_free(params->env, items);
    return status;
}

int db_params_save_kept(const struct db_params *params, const char *path)
{
    return save(params, path, DB_F32, true);
}

int db_params_save(const struct db_params *params, const char *path,
                   enum db_dtype dtype)
{
    return save(params, path, dtype, false);
}

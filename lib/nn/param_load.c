/* SPDX-License-Identifier: MIT */
/*
 * Reading parameters, each when it is first needed: opening a model checks its
 * files and leaves the weights of layers where they are. A parameter is read by
 * all threads of the pool, in rows; no second copy of it ever exists, whatever
 * its types there and here.
 */
#include <stdatomic.h>

#include "base/byte_order.h"
#include "nn/param_int.h"
#include "tensor/convert.h"

#define PIECE 32768 /* elements of one task, if a row is not longer */

/* What one worker needs for a piece. */
struct bench {
    unsigned char *bytes; /* as in the file */
    float *floats, *turned;
};

struct reading {
    const struct db_safetensors_entry *entry;
    const struct db_param *param;
    struct db_filter filter;     /* of a row, if it is to be turned */
    int64_t rows, row, per_task; /* rows, elements of one, rows of a task */
    struct bench *benches;
    atomic_int error;
};

/* Are the bytes of the file those that we keep? */
static bool is_direct(const struct reading *reading)
{
    return db_param_same_order(reading->param) &&
           reading->entry->dtype == reading->param->dtype &&
           db_is_little_endian();
}

static void put_row(const struct reading *reading, const float *row,
                    int64_t number)
{
    const struct db_param *param = reading->param;
    int64_t first = number * reading->row, i;

    if (param->dtype == DB_BF16)
        db_bf16_from_floats(row, reading->row,
                            (uint16_t *)param->data->data + first);
    else
        for (i = 0; i < reading->row; i++)
            db_tensor_f32(param->data)[first + i] = row[i];
}

static int convert_rows(const struct reading *reading,
                        const struct bench *bench, int64_t first, int64_t count)
{
    size_t width = db_dtype_size(reading->entry->dtype);
    size_t size = (size_t)(count * reading->row) * width;
    int error = db_safetensors_get(reading->entry,
                                   (uint64_t)(first * reading->row) * width,
                                   size, bench->bytes);
    int64_t r;

    if (error != 0)
        return error;
    db_convert_to_f32(reading->entry->dtype, bench->bytes, count * reading->row,
                      bench->floats);
    for (r = 0; r < count; r++) {
        const float *row = bench->floats + r * reading->row;

        if (!db_param_same_order(reading->param)) {
            db_filter_turn(row, reading->filter, bench->turned);
            row = bench->turned;
        }
        put_row(reading, row, first + r);
    }
    return 0;
}

static int copy_rows(const struct reading *reading, int64_t first,
                     int64_t count)
{
    size_t width = db_dtype_size(reading->entry->dtype);
    size_t from = (size_t)(first * reading->row) * width;

    return db_safetensors_get(reading->entry, from,
                              (size_t)(count * reading->row) * width,
                              (char *)reading->param->data->data + from);
}

static void read_task(void *argument, int64_t index, int worker)
{
    struct reading *reading = argument;
    int64_t first = index * reading->per_task;
    int64_t left = reading->rows - first;
    int64_t count = left < reading->per_task ? left : reading->per_task;
    int error;

    if (atomic_load(&reading->error) != 0)
        return;
    error =
        is_direct(reading)
            ? copy_rows(reading, first, count)
            : convert_rows(reading, &reading->benches[worker], first, count);
    if (error != 0)
        atomic_store(&reading->error, error);
}

/* Benches for THREADS workers in one block. */
static int make_benches(struct db_env *env, struct reading *reading,
                        int threads)
{
    size_t piece = (size_t)(reading->per_task * reading->row);
    size_t width = db_dtype_size(reading->entry->dtype);
    size_t floats = (piece + (size_t)reading->row) * sizeof(float);
    /* Elements of 8 bytes first, so that all are aligned. */
    size_t size = (piece * width + floats + 63) / 64 * 64;
    size_t head = ((size_t)threads * sizeof(struct bench) + 63) / 64 * 64;
    char *block = db_alloc(env, head + (size_t)threads * size);
    int i;

    if (block == NULL)
        return env->error_status;
    reading->benches = (struct bench *)(void *)block;
    for (i = 0; i < threads; i++) {
        char *start = block + head + (size_t)i * size;

        reading->benches[i].floats = (float *)(void *)start;
        reading->benches[i].turned = (float *)(void *)start + piece;
        reading->benches[i].bytes = (unsigned char *)start + floats;
    }
    return DREAMBOOTH_OK;
}

/* Rows are those of a matrix, or the filters of a convolution. */
static void measure(struct reading *reading)
{
    const struct db_shape *shape = &reading->param->shape;
    int64_t count = db_shape_count(shape);

    reading->rows = shape->rank > 1 ? shape->size[0] : 1;
    reading->row = reading->rows > 0 ? count / reading->rows : 0;
    reading->per_task = reading->row > 0 ? PIECE / reading->row : 1;
    if (reading->per_task < 1)
        reading->per_task = 1;
    if (reading->per_task > reading->rows && reading->rows > 0)
        reading->per_task = reading->rows;
    if (!db_param_same_order(reading->param))
        reading->filter = db_filter_of(reading->param);
}

/* Reads ENTRY into the data of PARAM, which are there. */
static int read_data(struct db_param *param,
                     const struct db_safetensors_entry *entry,
                     struct db_pool *pool)
{
    struct db_env *env = param->env;
    int threads = pool == NULL ? 1 : db_pool_threads(pool);
    struct reading reading = {.entry = entry, .param = param};
    int64_t tasks, i;
    int error, status = DREAMBOOTH_OK;

    measure(&reading);
    if (!is_direct(&reading))
        status = make_benches(env, &reading, threads);
    if (status != DREAMBOOTH_OK)
        return status;
    tasks = (reading.rows + reading.per_task - 1) / reading.per_task;
    if (pool != NULL)
        db_pool_run(pool, tasks, read_task, &reading);
    for (i = 0; pool == NULL && i < tasks; i++)
        read_task(&reading, i, 0);
    db_free(env, reading.benches);
    error = atomic_load(&reading.error);
    return error == 0 ? DREAMBOOTH_OK : db_safetensors_fail(env, entry, error);
}

int db_param_read(struct db_param *param,
                  const struct db_safetensors_entry *entry,
                  struct db_pool *pool)
{
    bool fresh = param->data == NULL;
    int status = db_param_allocate(param);

    if (status == DREAMBOOTH_OK)
        status = read_data(param, entry, pool);
    if (status != DREAMBOOTH_OK && fresh)
        db_param_forget(param);
    return status;
}

/* The load() of a parameter whose origin is an entry. */
static int load_origin(struct db_param *param, struct db_pool *pool)
{
    return db_param_read(param, param->origin, pool);
}

void db_param_forget(struct db_param *param)
{
    db_tensor_release(param->data);
    param->data = NULL;
}

int db_params_open(struct db_params *params, struct db_weights *weights)
{
    int status = db_params_check(params, weights);
    size_t i;

    for (i = 0; i < params->count && status == DREAMBOOTH_OK; i++) {
        struct db_param *param = params->items[i];

        param->origin = db_params_entry(params, i, weights);
        param->load = load_origin;
        if (param->layout == DB_LAYOUT_PLAIN)
            status = db_param_need(param, NULL);
    }
    if (status == DREAMBOOTH_OK)
        params->weights = weights;
    return status;
}

int db_params_load(struct db_params *params, struct db_weights *weights)
{
    int status = db_params_check(params, weights);
    size_t i;

    for (i = 0; i < params->count && status == DREAMBOOTH_OK; i++) {
        params->items[i]->version++;
        params->items[i]->load = NULL;
        status = db_param_read(params->items[i],
                               db_params_entry(params, i, weights), NULL);
    }
    return status;
}

int db_params_need(struct db_params *params, struct db_pool *pool)
{
    int status = DREAMBOOTH_OK;
    size_t i;

    for (i = 0; i < params->count && status == DREAMBOOTH_OK; i++)
        status = db_param_need(params->items[i], pool);
    return status;
}

void db_params_forget(struct db_params *params)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        struct db_param *param = params->items[i];

        if (param->load != NULL && !param->trainable &&
            param->layout != DB_LAYOUT_PLAIN)
            db_param_forget(param);
    }
}

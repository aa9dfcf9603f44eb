/* SPDX-License-Identifier: MIT */
/*
 * Writing safetensors files; see safetensors.h. The header is known before the
 * first byte of data, so tensors stream through a sink that only counts: a file
 * of gigabytes needs no memory beside what its sources hold anyway.
 */
#include "file/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/byte_order.h"
#include "file/atomic.h"
#include "tensor/convert.h"

#define HEADER_ALIGNMENT 8
#define CHUNK 4096 /* floats that are converted at a time */

struct db_safetensors_sink {
    struct db_env *env;
    struct db_atomic *file;
    const char *path;
    const struct db_safetensors_item *item;
    uint64_t left; /* bytes of the tensor still to come */
};

/* The file as it is to be: the items in the order of their data. */
struct plan {
    struct db_env *env;
    const char *path;
    const struct db_safetensors_item *items;
    size_t count;
    size_t *order;
    uint64_t *sizes; /* of items[i], in bytes */
    json_t *header;
};

int db_safetensors_put(struct db_safetensors_sink *sink, const void *bytes,
                       size_t size)
{
    if (size > sink->left)
        return db_fail(sink->env, DREAMBOOTH_EINTERNAL,
                       "%s: tensor \"%s\": more data than its shape has",
                       sink->path, sink->item->name);
    sink->left -= size;
    return db_atomic_write(sink->file, bytes, size);
}

int db_safetensors_put_f32(struct db_safetensors_sink *sink,
                           const float *values, int64_t count)
{
    unsigned char chunk[CHUNK * sizeof(double)];
    enum db_dtype dtype = sink->item->dtype;
    size_t size = db_dtype_size(dtype);
    int status = DREAMBOOTH_OK;

    if (dtype == DB_F32 && db_is_little_endian())
        return db_safetensors_put(sink, values, (size_t)count * size);
    while (count > 0 && status == DREAMBOOTH_OK) {
        int64_t some = count < CHUNK ? count : CHUNK;

        if (!db_convert_from_f32(dtype, values, some, chunk))
            return db_fail(sink->env, DREAMBOOTH_EINTERNAL,
                           "%s: tensor \"%s\": floats for dtype %s", sink->path,
                           sink->item->name, db_dtype_name(dtype));
        status = db_safetensors_put(sink, chunk, (size_t)some * size);
        values += some;
        count -= some;
    }
    return status;
}

static int measure_item(const struct plan *plan, size_t index)
{
    const struct db_safetensors_item *item = &plan->items[index];
    uint64_t count = 1;

    if (item->rank < 0 || item->rank > DB_SAFETENSORS_MAX_RANK)
        return db_fail(plan->env, DREAMBOOTH_EINVAL,
                       "%s: tensor \"%s\" has %d dimensions", plan->path,
                       item->name, item->rank);
    for (int i = 0; i < item->rank; i++) {
        uint64_t size = (uint64_t)item->shape[i];

        if (item->shape[i] < 0 || (size > 0 && count > UINT64_MAX / 64 / size))
            return db_fail(plan->env, DREAMBOOTH_EINVAL,
                           "%s: tensor \"%s\" has an impossible shape",
                           plan->path, item->name);
        count *= size;
    }
    plan->sizes[index] = count * db_dtype_size(item->dtype);
    return DREAMBOOTH_OK;
}

/* Larger elements first, else as given, which keeps every tensor aligned. */
static void order_items(struct plan *plan)
{
    size_t next = 0;

    for (size_t width = 8; width > 0; width /= 2)
        for (size_t i = 0; i < plan->count; i++)
            if (db_dtype_size(plan->items[i].dtype) == width)
                plan->order[next++] = i;
}

/* The header's entry for ITEM; NULL where jansson has no memory. */
static json_t *describe(const struct db_safetensors_item *item, uint64_t begin,
                        uint64_t end)
{
    json_t *shape = json_array();

    if (shape == NULL)
        return NULL;
    for (int i = 0; i < item->rank; i++) {
        if (json_array_append_new(shape, json_integer(item->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                     db_dtype_name(item->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

static int add_tensor(const struct plan *plan, size_t index, uint64_t *position)
{
    const struct db_safetensors_item *item = &plan->items[index];
    uint64_t end = *position + plan->sizes[index];
    json_t *entry;

    if (json_object_get(plan->header, item->name) != NULL)
        return db_fail(plan->env, DREAMBOOTH_EINVAL,
                       "%s: the name \"%s\" is given twice or not allowed",
                       plan->path, item->name);
    if (end < *position || end > INT64_MAX)
        return db_fail(plan->env, DREAMBOOTH_EINVAL, "%s: too large",
                       plan->path);
    entry = describe(item, *position, end);
    if (entry == NULL)
        return db_fail(plan->env, DREAMBOOTH_ENOMEM,
                       "%s: no memory for the header", plan->path);
    if (json_object_set_new(plan->header, item->name, entry) != 0)
        return db_fail(plan->env, DREAMBOOTH_EINVAL,
                       "%s: the name \"%s\" is no UTF-8, or there is no memory",
                       plan->path, item->name);
    *position = end;
    return DREAMBOOTH_OK;
}

static int add_metadata(const struct plan *plan,
                        const struct db_safetensors_pair *pairs, size_t count)
{
    json_t *metadata = json_pack("{s:s}", "format", "pt");

    if (metadata == NULL ||
        json_object_set_new(plan->header, "__metadata__", metadata) != 0)
        return db_fail(plan->env, DREAMBOOTH_ENOMEM,
                       "%s: no memory for the header", plan->path);
    for (size_t i = 0; i < count; i++)
        if (json_object_set_new(metadata, pairs[i].key,
                                json_string(pairs[i].value)) != 0)
            return db_fail(plan->env, DREAMBOOTH_EINVAL,
                           "%s: the metadata \"%s\" are no UTF-8, or there is "
                           "no memory",
                           plan->path, pairs[i].key);
    return DREAMBOOTH_OK;
}

static int make_plan(struct plan *plan, const struct db_safetensors_pair *pairs,
                     size_t pair_count)
{
    uint64_t position = 0;
    int status;

    plan->order = db_alloc_array(plan->env, plan->count, sizeof(*plan->order));
    if (plan->order == NULL)
        return plan->env->error_status;
    plan->sizes = db_alloc_array(plan->env, plan->count, sizeof(*plan->sizes));
    if (plan->sizes == NULL)
        return plan->env->error_status;
    plan->header = json_object();
    if (plan->header == NULL)
        return db_fail(plan->env, DREAMBOOTH_ENOMEM,
                       "%s: no memory for the header", plan->path);
    status = add_metadata(plan, pairs, pair_count);
    for (size_t i = 0; i < plan->count && status == DREAMBOOTH_OK; i++)
        status = measure_item(plan, i);
    order_items(plan);
    for (size_t i = 0; i < plan->count && status == DREAMBOOTH_OK; i++)
        status = add_tensor(plan, plan->order[i], &position);
    return status;
}

static void free_plan(struct plan *plan)
{
    json_decref(plan->header);
    db_free(plan->env, plan->sizes);
    db_free(plan->env, plan->order);
}

/* The length, the header and the spaces that align the data. */
static int write_header(const struct plan *plan, struct db_atomic *file)
{
    static const char spaces[HEADER_ALIGNMENT + 1] = "        ";
    char *text = json_dumps(plan->header, JSON_COMPACT);
    size_t length, padding;
    uint64_t total;
    json_free_t release;
    int status;

    if (text == NULL)
        return db_fail(plan->env, DREAMBOOTH_ENOMEM,
                       "%s: no memory for the header", plan->path);
    length = strlen(text);
    padding = (HEADER_ALIGNMENT - length % HEADER_ALIGNMENT) % HEADER_ALIGNMENT;
    total = length + padding;
    db_swap_little(&total, sizeof(total), 1);
    status = db_atomic_write(file, &total, sizeof(total));
    if (status == DREAMBOOTH_OK)
        status = db_atomic_write(file, text, length);
    if (status == DREAMBOOTH_OK)
        status = db_atomic_write(file, spaces, padding);
    json_get_alloc_funcs(NULL, &release);
    release(text);
    return status;
}

/* All elements of the item, where they lie in memory. */
static int put_data(struct db_safetensors_sink *sink)
{
    size_t width = db_dtype_size(sink->item->dtype);
    const unsigned char *data = sink->item->data;
    unsigned char chunk[CHUNK * sizeof(double)];
    int status = DREAMBOOTH_OK;

    if (db_is_little_endian() || width == 1)
        return db_safetensors_put(sink, data, (size_t)sink->left);
    while (sink->left > 0 && status == DREAMBOOTH_OK) {
        size_t size =
            sink->left < sizeof(chunk) ? (size_t)sink->left : sizeof(chunk);

        memcpy(chunk, data, size);
        db_swap_little(chunk, width, size / width);
        status = db_safetensors_put(sink, chunk, size);
        data += size;
    }
    return status;
}

static int write_item(const struct plan *plan, size_t index,
                      struct db_atomic *file)
{
    const struct db_safetensors_item *item = &plan->items[index];
    struct db_safetensors_sink sink = {plan->env, file, plan->path, item,
                                       plan->sizes[index]};
    int status;

    if (item->data != NULL || sink.left == 0)
        return put_data(&sink);
    status = item->source(item, &sink);
    if (status == DREAMBOOTH_OK && sink.left != 0)
        status = db_fail(plan->env, DREAMBOOTH_EINTERNAL,
                         "%s: tensor \"%s\": %" PRIu64 " bytes are missing",
                         plan->path, item->name, sink.left);
    return status;
}

int db_safetensors_write(struct db_env *env, const char *path,
                         const struct db_safetensors_item *items, size_t count,
                         const struct db_safetensors_pair *metadata,
                         size_t metadata_count)
{
    struct plan plan = {env, path, items, count, NULL, NULL, NULL};
    struct db_atomic *file = NULL;
    int status = make_plan(&plan, metadata, metadata_count);

    if (status == DREAMBOOTH_OK)
        status = db_atomic_begin(env, path, &file);
    if (status == DREAMBOOTH_OK)
        status = write_header(&plan, file);
    for (size_t i = 0; i < count && status == DREAMBOOTH_OK; i++)
        status = write_item(&plan, plan.order[i], file);
    free_plan(&plan);
    if (status == DREAMBOOTH_OK)
        return db_atomic_commit(file);
    db_atomic_abort(file);
    return status;
}

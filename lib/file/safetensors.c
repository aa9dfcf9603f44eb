/* SPDX-License-Identifier: MIT */
/*
 * Reading safetensors files; see safetensors.h. Everything that the header
 * claims is checked once, here, before anybody sees an entry.
 */
#include "file/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/byte_order.h"
#include "file/json.h"
#include "file/reader.h"
#include "tensor/convert.h"

#define LENGTH_SIZE 8
#define PIECE_SIZE 16384
#define MAX_HEADER 100000000 /* the reference implementation's limit */

struct db_safetensors {
    struct db_env *env;
    char *path;
    struct db_reader reader;
    json_t *header; /* owns the names and the metadata */
    size_t count;
    struct db_safetensors_entry *entries;        /* by offset */
    const struct db_safetensors_entry **by_name; /* bytewise */
};

/* The format's dtypes that the library has. */
static const struct {
    const char *name;
    enum db_dtype dtype;
} dtypes[] = {
    {"F32", DB_F32}, {"F16", DB_F16},   {"BF16", DB_BF16}, {"F64", DB_F64},
    {"I64", DB_I64}, {"I32", DB_I32},   {"I16", DB_I16},   {"I8", DB_I8},
    {"U8", DB_U8},   {"BOOL", DB_BOOL},
};

/* The format's dtypes that it has not. */
static const char *const other_dtypes[] = {
    "U16",     "U32",     "U64",     "C64", "F8_E5M2",     "F8_E4M3",
    "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4",  "F8_E4M3FNUZ", "F8_E5M2FNUZ",
};

/* What is being read, for error texts. */
struct place {
    struct db_env *env;
    const char *file;
    const char *tensor;
};

static int read_dtype(const struct place *place, const json_t *value,
                      enum db_dtype *dtype)
{
    const char *name = json_string_value(value);

    if (name == NULL)
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\": \"dtype\" is missing or no string",
                       place->file, place->tensor);
    for (size_t i = 0; i < DB_COUNT(dtypes); i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *dtype = dtypes[i].dtype;
            return DREAMBOOTH_OK;
        }
    }
    for (size_t i = 0; i < DB_COUNT(other_dtypes); i++)
        if (strcmp(other_dtypes[i], name) == 0)
            return db_fail(place->env, DREAMBOOTH_EUNSUPPORTED,
                           "%s: tensor \"%s\": dtype %s is not supported; "
                           "convert it to F32 or F16",
                           place->file, place->tensor, name);
    return db_fail(place->env, DREAMBOOTH_EFORMAT,
                   "%s: tensor \"%s\": unknown dtype \"%.32s\"", place->file,
                   place->tensor, name);
}

/* Shape, element count and size in bytes, both of which fit. */
static int read_shape(const struct place *place, const json_t *value,
                      struct db_safetensors_entry *entry)
{
    int64_t most = INT64_MAX / (int64_t)db_dtype_size(entry->dtype);
    size_t rank = json_array_size(value);
    int64_t size, count = 1;
    bool empty = false;

    if (!json_is_array(value))
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\": \"shape\" is missing or no array",
                       place->file, place->tensor);
    if (rank > DB_SAFETENSORS_MAX_RANK)
        return db_fail(place->env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: tensor \"%s\" has %zu dimensions; at most %d are "
                       "supported",
                       place->file, place->tensor, rank,
                       DB_SAFETENSORS_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        const json_t *item = json_array_get(value, i);

        size = (int64_t)json_integer_value(item);
        if (!json_is_integer(item) || size < 0)
            return db_fail(place->env, DREAMBOOTH_EFORMAT,
                           "%s: tensor \"%s\": dimension %zu of the shape is "
                           "no size",
                           place->file, place->tensor, i);
        if (size > 0 && count > most / size)
            return db_fail(place->env, DREAMBOOTH_EFORMAT,
                           "%s: tensor \"%s\": the shape overflows",
                           place->file, place->tensor);
        count *= size > 0 ? size : 1;
        empty = empty || size == 0;
        entry->shape[i] = size;
    }
    entry->rank = (int)rank;
    entry->count = empty ? 0 : count;
    entry->size = (uint64_t)entry->count * db_dtype_size(entry->dtype);
    return DREAMBOOTH_OK;
}

/* The range of bytes, which must lie in the file and be as long as the shape
 * says. DATA_SIZE bytes of data follow the header, which ends at DATA_START.
 */
static int read_range(const struct place *place, const json_t *value,
                      uint64_t data_size, uint64_t data_start,
                      struct db_safetensors_entry *entry)
{
    const json_t *first = json_array_get(value, 0);
    const json_t *last = json_array_get(value, 1);
    int64_t begin = (int64_t)json_integer_value(first);
    int64_t end = (int64_t)json_integer_value(last);

    if (json_array_size(value) != 2 || !json_is_integer(first) ||
        !json_is_integer(last))
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\": \"data_offsets\" is missing or no "
                       "pair of integers",
                       place->file, place->tensor);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\": bytes %" PRId64 " to %" PRId64
                       " lie outside the file's %" PRIu64 " bytes of data; is "
                       "the file complete?",
                       place->file, place->tensor, begin, end, data_size);
    if ((uint64_t)(end - begin) != entry->size)
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\": %" PRId64 " bytes at offset %" PRId64
                       ", but its shape and dtype need %" PRIu64,
                       place->file, place->tensor, end - begin, begin,
                       entry->size);
    entry->offset = data_start + (uint64_t)begin;
    return DREAMBOOTH_OK;
}

static int read_entry(const struct place *place, const json_t *value,
                      uint64_t data_size, uint64_t data_start,
                      struct db_safetensors_entry *entry)
{
    const json_t *dtype = json_object_get(value, "dtype");
    const json_t *shape = json_object_get(value, "shape");
    const json_t *range = json_object_get(value, "data_offsets");
    int status;

    if (!json_is_object(value))
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\": an object is expected", place->file,
                       place->tensor);
    entry->name = place->tensor;
    entry->file = place->file;
    status = read_dtype(place, dtype, &entry->dtype);
    if (status == DREAMBOOTH_OK)
        status = read_shape(place, shape, entry);
    if (status == DREAMBOOTH_OK)
        status = read_range(place, range, data_size, data_start, entry);
    if (status == DREAMBOOTH_OK && json_object_size(value) != 3)
        status = db_fail(place->env, DREAMBOOTH_EFORMAT,
                         "%s: tensor \"%s\": there is something besides dtype, "
                         "shape and data_offsets",
                         place->file, place->tensor);
    return status;
}

static int check_metadata(const struct place *place, const json_t *value)
{
    const char *key;
    json_t *item;

    if (!json_is_object(value))
        return db_fail(place->env, DREAMBOOTH_EFORMAT,
                       "%s: \"__metadata__\" is no object", place->file);
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (!json_is_string(item))
            return db_fail(place->env, DREAMBOOTH_EFORMAT,
                           "%s: \"%s\" in \"__metadata__\" is no string",
                           place->file, key);
    }
    return DREAMBOOTH_OK;
}

/* The header's length, which must fit the file. */
static int read_length(struct db_safetensors *file, uint64_t *length)
{
    struct db_env *env = file->env;
    uint64_t size = file->reader.size;
    int error;

    if (size < LENGTH_SIZE)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: %" PRIu64
                       " bytes are too few for a safetensors file",
                       file->path, size);
    error = db_reader_get(&file->reader, 0, LENGTH_SIZE, length);
    if (error != 0)
        return db_reader_fail(env, error, file->path);
    db_swap_little(length, sizeof(*length), 1);
    if (*length > MAX_HEADER || *length > size - LENGTH_SIZE)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64
                       ": no safetensors file, or an incomplete one",
                       file->path, *length, size);
    return DREAMBOOTH_OK;
}

/* Parses the LENGTH bytes of the header that are in TEXT. */
static int parse_header(struct db_safetensors *file, const char *text,
                        size_t length)
{
    struct db_env *env = file->env;
    int status;

    if (length == 0 || text[0] != '{')
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: no safetensors file: the header at offset 8 does "
                       "not begin with {",
                       file->path);
    status = db_json_parse(env, file->path, text, length, &file->header);
    return status == DREAMBOOTH_EFORMAT
               ? db_fail_prefix(env, status, "safetensors header")
               : status;
}

/* Opens the file and parses the header, whose end goes to *DATA_START. */
static int read_header(struct db_safetensors *file, uint64_t *data_start)
{
    struct db_env *env = file->env;
    uint64_t length = 0;
    char *text;
    int error, status = db_reader_open(env, file->path, &file->reader);

    if (status == DREAMBOOTH_OK)
        status = read_length(file, &length);
    if (status != DREAMBOOTH_OK)
        return status;
    text = db_alloc(env, (size_t)length);
    if (text == NULL)
        return env->error_status;
    error = db_reader_get(&file->reader, LENGTH_SIZE, (size_t)length, text);
    status = error != 0 ? db_reader_fail(env, error, file->path)
                        : parse_header(file, text, (size_t)length);
    db_free(env, text);
    *data_start = LENGTH_SIZE + length;
    return status;
}

static int read_entries(struct db_safetensors *file, uint64_t data_start)
{
    struct place place = {file->env, file->path, NULL};
    size_t most = json_object_size(file->header);
    json_t *value;
    const char *name;
    int status;

    file->entries = db_alloc_array(file->env, most, sizeof(*file->entries));
    if (file->entries == NULL)
        return file->env->error_status;
    json_object_foreach(file->header, name, value)
    {
        place.tensor = name;
        if (strcmp(name, "__metadata__") == 0) {
            status = check_metadata(&place, value);
        } else {
            memset(&file->entries[file->count], 0, sizeof(*file->entries));
            file->entries[file->count].owner = file;
            status = read_entry(&place, value, file->reader.size - data_start,
                                data_start, &file->entries[file->count]);
            file->count++;
        }
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

/* By offset; of two at the same one, the empty one first. */
static int compare_offsets(const void *a, const void *b)
{
    const struct db_safetensors_entry *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The entries, by offset, must cover the data without a hole or overlap. */
static int check_cover(const struct db_safetensors *file, uint64_t data_start)
{
    uint64_t position = data_start;

    for (size_t i = 0; i < file->count; i++) {
        const struct db_safetensors_entry *entry = &file->entries[i];

        if (entry->offset != position)
            return db_fail(
                file->env, DREAMBOOTH_EFORMAT,
                "%s: tensor \"%s\" at offset %" PRIu64 ": %s the one before "
                "it, which ends at %" PRIu64,
                file->path, entry->name, entry->offset,
                entry->offset < position ? "overlaps" : "leaves a hole behind",
                position);
        position += entry->size;
    }
    if (position != file->reader.size)
        return db_fail(file->env, DREAMBOOTH_EFORMAT,
                       "%s: %" PRIu64 " bytes from offset %" PRIu64
                       " on belong to no tensor",
                       file->path, file->reader.size - position, position);
    return DREAMBOOTH_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct db_safetensors_entry *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static int index_names(struct db_safetensors *file)
{
    file->by_name =
        db_alloc_array(file->env, file->count, sizeof(*file->by_name));
    if (file->by_name == NULL)
        return file->env->error_status;
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->entries[i];
    if (file->count > 0)
        qsort(file->by_name, file->count, sizeof(*file->by_name),
              compare_names);
    return DREAMBOOTH_OK;
}

int db_safetensors_open(struct db_env *env, const char *path,
                        struct db_safetensors **out)
{
    struct db_safetensors *file = db_alloc_zero(env, sizeof(*file));
    uint64_t data_start = 0;
    int status;

    if (file == NULL)
        return env->error_status;
    file->env = env;
    file->reader.descriptor = -1;
    file->path = db_copy_text(env, path);
    if (file->path == NULL) {
        status = env->error_status;
        goto fail;
    }
    status = read_header(file, &data_start);
    if (status == DREAMBOOTH_OK)
        status = read_entries(file, data_start);
    if (status != DREAMBOOTH_OK)
        goto fail;
    if (file->count > 0)
        qsort(file->entries, file->count, sizeof(*file->entries),
              compare_offsets);
    status = check_cover(file, data_start);
    if (status == DREAMBOOTH_OK)
        status = index_names(file);
    if (status != DREAMBOOTH_OK)
        goto fail;
    *out = file;
    return DREAMBOOTH_OK;
fail:
    db_safetensors_free(file);
    return status;
}

void db_safetensors_free(struct db_safetensors *file)
{
    if (file == NULL)
        return;
    db_free(file->env, file->by_name);
    db_free(file->env, file->entries);
    json_decref(file->header);
    db_reader_close(&file->reader);
    db_free(file->env, file->path);
    db_free(file->env, file);
}

size_t db_safetensors_count(const struct db_safetensors *file)
{
    return file->count;
}

const struct db_safetensors_entry *db_safetensors_at(
    const struct db_safetensors *file, size_t index)
{
    return &file->entries[index];
}

const struct db_safetensors_entry *db_safetensors_find(
    const struct db_safetensors *file, const char *name)
{
    size_t low = 0, high = file->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);

        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *db_safetensors_metadata(const struct db_safetensors *file,
                                    const char *key)
{
    const json_t *metadata = json_object_get(file->header, "__metadata__");

    return json_string_value(json_object_get(metadata, key));
}

int db_safetensors_get(const struct db_safetensors_entry *entry,
                       uint64_t offset, size_t size, void *out)
{
    return db_reader_get(&entry->owner->reader, entry->offset + offset, size,
                         out);
}

int db_safetensors_fail(struct db_env *env,
                        const struct db_safetensors_entry *entry,
                        int error_number)
{
    char what[512];

    snprintf(what, sizeof(what), "%s: tensor \"%s\"", entry->file, entry->name);
    return db_reader_fail(env, error_number, what);
}

int db_safetensors_read(struct db_env *env,
                        const struct db_safetensors_entry *entry,
                        uint64_t offset, size_t size, void *out)
{
    int error = db_safetensors_get(entry, offset, size, out);

    return error == 0 ? DREAMBOOTH_OK : db_safetensors_fail(env, entry, error);
}

/* Elements of 16 or 64 bits, piece by piece. */
static int read_converted(struct db_env *env,
                          const struct db_safetensors_entry *entry, float *out)
{
    unsigned char piece[PIECE_SIZE];
    const size_t width = db_dtype_size(entry->dtype);
    const int64_t most = (int64_t)(sizeof(piece) / width);
    int64_t done, count;
    int status = DREAMBOOTH_OK;

    for (done = 0; done < entry->count && status == DREAMBOOTH_OK;
         done += count) {
        count = entry->count - done < most ? entry->count - done : most;
        status = db_safetensors_read(env, entry, (uint64_t)done * width,
                                     (size_t)count * width, piece);
        if (status == DREAMBOOTH_OK)
            db_convert_to_f32(entry->dtype, piece, count, out + done);
    }
    return status;
}

int db_safetensors_read_f32(struct db_env *env,
                            const struct db_safetensors_entry *entry,
                            float *out)
{
    int status;

    if (!db_dtype_is_float(entry->dtype))
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: tensor \"%s\" at offset %" PRIu64
                       " is %s; floats are expected",
                       entry->file, entry->name, entry->offset,
                       db_dtype_name(entry->dtype));
    if (entry->dtype != DB_F32)
        return read_converted(env, entry, out);
    status = db_safetensors_read(env, entry, 0, (size_t)entry->size, out);
    if (status == DREAMBOOTH_OK)
        db_swap_little(out, sizeof(*out), (size_t)entry->count);
    return status;
}

void db_safetensors_shape_text(const struct db_safetensors_entry *entry,
                               char *text, size_t size)
{
    size_t length = 0;
    int written;

    if (size == 0)
        return;
    text[0] = '\0';
    for (int i = 0; i < entry->rank; i++) {
        written = snprintf(text + length, size - length, "%s%" PRId64,
                           i == 0 ? "[" : ", ", entry->shape[i]);
        if (written < 0 || (size_t)written >= size - length)
            return;
        length += (size_t)written;
    }
    snprintf(text + length, size - length, entry->rank == 0 ? "[]" : "]");
}

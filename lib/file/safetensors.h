/* SPDX-License-Identifier: MIT */
/*
 * The safetensors format: an 8-byte little-endian header length, a JSON header
 * that names each tensor's dtype, shape and bytes, and the bytes.
 *
 * The header is wholly checked when a file is opened, by the rules of the
 * reference implementation (the tensors cover the data without a hole or an
 * overlap, sizes agree with shapes, no name twice). Data are read when they are
 * asked for, which fails where the file has changed since. They are
 * little-endian.
 */
#ifndef DB_FILE_SAFETENSORS_H
#define DB_FILE_SAFETENSORS_H

#include "base/env.h"
#include "tensor/tensor.h"

#define DB_SAFETENSORS_MAX_RANK 8

struct db_safetensors;

struct db_safetensors_entry {
    const char *name;
    const char *file; /* the path that it was read from */
    enum db_dtype dtype;
    int rank; /* 0 for a single number */
    int64_t shape[DB_SAFETENSORS_MAX_RANK];
    int64_t count;   /* elements */
    uint64_t size;   /* bytes */
    uint64_t offset; /* from the start of the file */
    const struct db_safetensors *owner;
};

/*
 * EFORMAT, naming file, tensor and offset, when anything is wrong with the
 * file; EUNSUPPORTED for a dtype or rank that the library has not.
 */
int db_safetensors_open(struct db_env *env, const char *path,
                        struct db_safetensors **out);
void db_safetensors_free(struct db_safetensors *file); /* NULL is fine */

/* Entries live as long as the file. find() gives NULL for an unknown name; at()
 * has them in the order in which their data lie in the file. */
size_t db_safetensors_count(const struct db_safetensors *file);
const struct db_safetensors_entry *db_safetensors_at(
    const struct db_safetensors *file, size_t index);
const struct db_safetensors_entry *db_safetensors_find(
    const struct db_safetensors *file, const char *name);
/* The text of KEY in the header's __metadata__, or NULL. */
const char *db_safetensors_metadata(const struct db_safetensors *file,
                                    const char *key);

/* SIZE of the entry's bytes, from its byte OFFSET on, to OUT. EIO, naming file
 * and tensor, when they cannot be read or the file has changed. */
int db_safetensors_read(struct db_env *env,
                        const struct db_safetensors_entry *entry,
                        uint64_t offset, size_t size, void *out);
/* The same for any thread: 0, or a number for db_safetensors_fail(), which sets
 * the error. */
int db_safetensors_get(const struct db_safetensors_entry *entry,
                       uint64_t offset, size_t size, void *out);
int db_safetensors_fail(struct db_env *env,
                        const struct db_safetensors_entry *entry,
                        int error_number);
/* Writes the entry's COUNT elements to OUT as 32-bit floats. EFORMAT, naming
 * the tensor, when it holds integers. */
int db_safetensors_read_f32(struct db_env *env,
                            const struct db_safetensors_entry *entry,
                            float *out);
/* "[2, 3]" of the entry's shape. */
void db_safetensors_shape_text(const struct db_safetensors_entry *entry,
                               char *text, size_t size);

/* Where the data of the tensor that is being written go. */
struct db_safetensors_sink;

/* Appends SIZE bytes, little-endian, of the tensor's dtype. */
int db_safetensors_put(struct db_safetensors_sink *sink, const void *bytes,
                       size_t size);
/* Appends COUNT floats, rounded to the tensor's (float) dtype. */
int db_safetensors_put_f32(struct db_safetensors_sink *sink,
                           const float *values, int64_t count);

struct db_safetensors_item;

/* Puts all data of ITEM, in as many pieces as it likes. */
typedef int db_safetensors_source(const struct db_safetensors_item *item,
                                  struct db_safetensors_sink *sink);

/* A tensor to write: either DATA has all its elements, in this machine's order,
 * or SOURCE puts them. */
struct db_safetensors_item {
    const char *name;
    enum db_dtype dtype;
    int rank;
    int64_t shape[DB_SAFETENSORS_MAX_RANK];
    const void *data;
    db_safetensors_source *source;
    const void *user; /* for source */
};

struct db_safetensors_pair {
    const char *key, *value;
};

/*
 * Writes COUNT items to the file PATH atomically, without ever holding more
 * than one piece. The data lie in the order of the items, but those of larger
 * elements first, so that each is aligned (as the reference implementation
 * does). METADATA is put into the header beside format = pt, which diffusers
 * and transformers ask for. EINVAL for a name that is there twice or is no
 * UTF-8; ENOSPACE for a full disk: nothing is left behind then.
 */
int db_safetensors_write(struct db_env *env, const char *path,
                         const struct db_safetensors_item *items, size_t count,
                         const struct db_safetensors_pair *metadata,
                         size_t metadata_count);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Writing, finding and reading checkpoints. The checksums are taken from the
 * files as they were written, before the folder gets its name.
 */
#include "train/checkpoint_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/text.h"
#include "file/atomic.h"
#include "file/folder.h"
#include "file/safetensors.h"
#include "tensor/convert.h"

#define PIECE_SIZE 65536

static int sum_entry(struct db_env *env,
                     const struct db_safetensors_entry *entry, void *piece,
                     uLong *sum)
{
    uint64_t done;
    size_t size;
    int status = DREAMBOOTH_OK;

    for (done = 0; done < entry->size && status == DREAMBOOTH_OK;
         done += size) {
        size = entry->size - done < PIECE_SIZE ? (size_t)(entry->size - done)
                                               : PIECE_SIZE;
        status = db_safetensors_read(env, entry, done, size, piece);
        if (status == DREAMBOOTH_OK)
            *sum = crc32_z(*sum, piece, (z_size_t)size);
    }
    return status;
}

/* The checksum of all data in a safetensors file. */
static int sum_file(struct db_env *env, const char *path, uint64_t *out)
{
    struct db_safetensors *file = NULL;
    void *piece = db_alloc(env, PIECE_SIZE);
    uLong sum = 0;
    size_t i;
    int status = piece == NULL ? env->error_status
                               : db_safetensors_open(env, path, &file);

    for (i = 0; status == DREAMBOOTH_OK && i < db_safetensors_count(file); i++)
        status = sum_entry(env, db_safetensors_at(file, i), piece, &sum);
    db_safetensors_free(file);
    db_free(env, piece);
    *out = sum;
    return status;
}

static char *file_path(struct db_env *env, const char *folder, const char *base)
{
    return db_format(env, "%s/%s.safetensors", folder, base);
}

/* The tensors of a trained parameter, and what they are called: such as
 * "m.unet.conv_in.weight". */
static const struct {
    const char *name;
    size_t offset;
} moments[] = {{"m", offsetof(struct db_trained, m)},
               {"v", offsetof(struct db_trained, v)},
               {"m_scales", offsetof(struct db_trained, m_scales)},
               {"v_scales", offsetof(struct db_trained, v_scales)}};

/* Number INDEX of all tensors, and its name in fresh memory; NULL where there
 * is no such tensor, or no memory. */
static struct db_tensor *moment_at(const struct db_optimizer *optimizer,
                                   size_t index, char **name)
{
    const struct db_trained *trained =
        &optimizer->items[index / DB_COUNT(moments)];
    size_t kind = index % DB_COUNT(moments);
    struct db_tensor *tensor;

    memcpy(&tensor, (const char *)trained + moments[kind].offset,
           sizeof(tensor));
    *name = tensor == NULL
                ? NULL
                : db_format(optimizer->env, "%s.%s.%s", moments[kind].name,
                            db_part_names[trained->part], trained->param->name);
    return tensor;
}

/* The moments, item by item. NAMES are the caller's to free, also on failure;
 * both have room for all. */
static int list_moments(const struct db_optimizer *optimizer,
                        struct db_safetensors_item *items, char **names,
                        size_t *count)
{
    size_t i;
    int dimension;

    for (i = 0; i < DB_COUNT(moments) * optimizer->count; i++) {
        struct db_safetensors_item *item = &items[*count];
        const struct db_tensor *tensor =
            moment_at(optimizer, i, &names[*count]);

        if (tensor == NULL)
            continue;
        if (names[*count] == NULL)
            return optimizer->env->error_status;
        item->name = names[(*count)++];
        item->dtype = tensor->dtype;
        item->rank = tensor->shape.rank;
        for (dimension = 0; dimension < item->rank; dimension++)
            item->shape[dimension] = tensor->shape.size[dimension];
        item->data = tensor->data;
    }
    return DREAMBOOTH_OK;
}

static int write_moments(const struct db_optimizer *optimizer, const char *path)
{
    struct db_env *env = optimizer->env;
    size_t most = DB_COUNT(moments) * optimizer->count, count = 0, i;
    struct db_safetensors_item *items =
        db_alloc_zero(env, most * sizeof(*items));
    char **names = db_alloc_zero(env, most * sizeof(*names));
    int status = DREAMBOOTH_OK;

    if (items == NULL || names == NULL)
        status = env->error_status;
    if (status == DREAMBOOTH_OK)
        status = list_moments(optimizer, items, names, &count);
    if (status == DREAMBOOTH_OK)
        status = db_safetensors_write(env, path, items, count, NULL, 0);
    for (i = 0; names != NULL && i < count; i++)
        db_free(env, names[i]);
    db_free(env, names);
    db_free(env, items);
    return status;
}

static int read_moment(struct db_env *env, const struct db_safetensors *file,
                       const char *path, const char *name,
                       struct db_tensor *tensor)
{
    const struct db_safetensors_entry *entry = db_safetensors_find(file, name);

    if (entry == NULL || entry->count != db_tensor_count(tensor) ||
        entry->dtype != tensor->dtype)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: tensor %s is missing, or of another size or type",
                       path, name);
    if (tensor->dtype == DB_F32)
        return db_safetensors_read_f32(env, entry, db_tensor_f32(tensor));
    return db_safetensors_read(env, entry, 0, (size_t)entry->size,
                               tensor->data);
}

static int read_moments(struct db_optimizer *optimizer, const char *path)
{
    struct db_env *env = optimizer->env;
    struct db_safetensors *file = NULL;
    size_t i;
    int status = db_safetensors_open(env, path, &file);

    for (i = 0;
         i < DB_COUNT(moments) * optimizer->count && status == DREAMBOOTH_OK;
         i++) {
        char *name;
        struct db_tensor *tensor = moment_at(optimizer, i, &name);

        if (tensor == NULL)
            continue;
        status = name == NULL ? env->error_status
                              : read_moment(env, file, path, name, tensor);
        db_free(env, name);
    }
    db_safetensors_free(file);
    return status;
}

static bool is_trained(const struct db_checkpoint_state *state, int file)
{
    return file != 1 || state->settings->train_text_encoder;
}

/* The part whose parameters file number FILE holds. */
static enum db_part part_of(int file)
{
    return file == 0 ? DB_UNET : DB_TEXT_ENCODER;
}

static int write_files(const struct db_pipeline *pipeline,
                       const struct db_optimizer *optimizer,
                       const struct db_checkpoint_state *state,
                       const char *folder)
{
    struct db_env *env = optimizer->env;
    struct db_checkpoint_sums sums = {0};
    int i, status = DREAMBOOTH_OK;

    for (i = 0; i < DB_CHECKPOINT_FILES && status == DREAMBOOTH_OK; i++) {
        char *path;

        if (!is_trained(state, i))
            continue;
        path = file_path(env, folder, db_checkpoint_bases[i]);
        if (path == NULL)
            return env->error_status;
        if (i == 2)
            status = write_moments(optimizer, path);
        else
            status = db_params_save_kept(
                db_pipeline_params(pipeline, part_of(i)), path);
        sums.there[i] = true;
        if (status == DREAMBOOTH_OK)
            status = sum_file(env, path, &sums.sum[i]);
        db_free(env, path);
    }
    if (status == DREAMBOOTH_OK)
        status = db_checkpoint_state_save(env, folder, state, &sums);
    return status;
}

/* The step in the name of a checkpoint's folder; 0 for other names. */
static int64_t step_of(const char *name)
{
    static const char prefix[] = "step-";
    int64_t step;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
        !db_read_integer(name + sizeof(prefix) - 1, &step) || step < 0)
        return 0;
    return step;
}

/* The newest checkpoint older than BEFORE in LIST, or NULL. */
static const char *newest_before(const struct db_folder_list *list,
                                 int64_t before)
{
    const char *best = NULL;
    size_t i;

    for (i = 0; i < list->count; i++) {
        int64_t step = step_of(list->names[i]);

        if (step > 0 && step < before && (best == NULL || step > step_of(best)))
            best = list->names[i];
    }
    return best;
}

static int remove_checkpoint(struct db_env *env, const char *folder,
                             const char *name)
{
    char *path = db_path_join(env, folder, name);
    int status = path == NULL ? env->error_status : db_remove_tree(env, path);

    db_free(env, path);
    return status;
}

/* Removes the checkpoints behind the newest KEEP. */
static int prune(struct db_env *env, const char *folder, int64_t keep)
{
    struct db_folder_list list = {0};
    int64_t before = INT64_MAX;
    const char *name;
    int status = db_folder_folders(env, folder, &list);

    while (status == DREAMBOOTH_OK &&
           (name = newest_before(&list, before)) != NULL) {
        before = step_of(name);
        if (keep > 0)
            keep--;
        else
            status = remove_checkpoint(env, folder, name);
    }
    db_folder_list_free(env, &list);
    return status;
}

int db_checkpoint_write(const struct db_pipeline *pipeline,
                        const struct db_optimizer *optimizer,
                        const struct db_checkpoint_state *state,
                        const char *folder, int64_t keep)
{
    struct db_env *env = optimizer->env;
    struct db_atomic_folder *fresh = NULL;
    char *path = NULL;
    int status = db_make_folders(env, folder);

    if (status != DREAMBOOTH_OK)
        return status;
    path = db_format(env, "%s/step-%06" PRId64, folder, state->step);
    if (path == NULL)
        return env->error_status;
    status = db_atomic_folder_begin(env, path, &fresh);
    if (status == DREAMBOOTH_OK) {
        status = write_files(pipeline, optimizer, state,
                             db_atomic_folder_path(fresh));
        if (status == DREAMBOOTH_OK)
            status = db_atomic_folder_commit(fresh);
        else
            db_atomic_folder_abort(fresh);
    }
    if (status == DREAMBOOTH_OK)
        status = prune(env, folder, keep);
    else
        status = db_fail_prefix(env, status, "checkpoint of step %lld",
                                (long long)state->step);
    db_free(env, path);
    return status;
}

/* Do the files of the checkpoint have the checksums that they were given? */
static int verify(struct db_env *env, const char *folder,
                  const struct db_checkpoint_state *state,
                  const struct db_checkpoint_sums *sums)
{
    int i;

    for (i = 0; i < DB_CHECKPOINT_FILES; i++) {
        uint64_t sum = 0;
        char *path;
        int status;

        if (!sums->there[i] && !is_trained(state, i))
            continue;
        path = file_path(env, folder, db_checkpoint_bases[i]);
        if (path == NULL)
            return env->error_status;
        status = sum_file(env, path, &sum);
        if (status == DREAMBOOTH_OK && (!sums->there[i] || sum != sums->sum[i]))
            status = db_fail(env, DREAMBOOTH_EFORMAT,
                             "%s: its checksum does not fit", path);
        db_free(env, path);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

static int load_params(struct db_pipeline *pipeline, const char *folder,
                       int file)
{
    struct db_weights *weights = NULL;
    int status = db_weights_open(pipeline->env, folder,
                                 db_checkpoint_bases[file], NULL, &weights);

    if (status == DREAMBOOTH_OK)
        status = db_params_load(db_pipeline_params(pipeline, part_of(file)),
                                weights);
    db_weights_free(weights);
    return status;
}

/* Takes everything over from a checkpoint that was found good. */
static int restore(struct db_pipeline *pipeline, struct db_optimizer *optimizer,
                   struct db_checkpoint_state *state, const char *folder,
                   const struct db_checkpoint_read *read)
{
    char *path = file_path(optimizer->env, folder, db_checkpoint_bases[2]);
    int status = path == NULL ? optimizer->env->error_status : DREAMBOOTH_OK;

    if (status == DREAMBOOTH_OK)
        status = read_moments(optimizer, path);
    if (status == DREAMBOOTH_OK)
        status = load_params(pipeline, folder, 0);
    if (status == DREAMBOOTH_OK && is_trained(state, 1))
        status = load_params(pipeline, folder, 1);
    if (status == DREAMBOOTH_OK) {
        state->step = read->step;
        optimizer->step = read->step;
        *state->noise = read->noise;
    }
    db_free(optimizer->env, path);
    return status;
}

/* Is it the checkpoint that is at fault? Then an older one may do. */
static bool is_damage(int status)
{
    return status == DREAMBOOTH_EFORMAT || status == DREAMBOOTH_ENOTFOUND ||
           status == DREAMBOOTH_EIO;
}

/* Good, and made with these settings? Damage is looked for first. */
static int examine(struct db_env *env, const char *folder,
                   const struct db_checkpoint_state *state,
                   struct db_checkpoint_read *read)
{
    int status = db_checkpoint_state_load(env, folder, state, false, read);

    if (status == DREAMBOOTH_OK)
        status = db_checkpoint_state_load(env, folder, state, true, read);
    if (status == DREAMBOOTH_OK)
        status = verify(env, folder, state, &read->sums);
    return status;
}

int db_checkpoint_resume(struct db_pipeline *pipeline,
                         struct db_optimizer *optimizer,
                         struct db_checkpoint_state *state, const char *folder,
                         bool *found)
{
    struct db_env *env = optimizer->env;
    struct db_folder_list list = {0};
    int64_t before = INT64_MAX;
    bool restored = false;
    const char *name;
    int status = DREAMBOOTH_OK;

    if (db_path_is_folder(folder))
        status = db_folder_folders(env, folder, &list);
    while (status == DREAMBOOTH_OK && !restored &&
           (name = newest_before(&list, before)) != NULL) {
        struct db_checkpoint_read read;
        char *path = db_path_join(env, folder, name);

        before = step_of(name);
        status =
            path == NULL ? env->error_status : examine(env, path, state, &read);
        if (status == DREAMBOOTH_OK) {
            status = restore(pipeline, optimizer, state, path, &read);
            restored = status == DREAMBOOTH_OK;
        } else if (is_damage(status)) {
            db_log(env, DB_LOG_WARNING, "checkpoint %s is damaged: %s", path,
                   env->error_text);
            status = DREAMBOOTH_OK;
        }
        db_free(env, path);
    }
    db_folder_list_free(env, &list);
    if (status == DREAMBOOTH_OK)
        *found = restored;
    return status;
}

int db_checkpoint_newest(struct db_env *env, const char *folder, int64_t *step)
{
    struct db_folder_list list = {0};
    const char *name;
    int status;

    if (!db_path_is_folder(folder)) {
        *step = 0;
        return DREAMBOOTH_OK;
    }
    status = db_folder_folders(env, folder, &list);
    if (status != DREAMBOOTH_OK)
        return status;
    name = newest_before(&list, INT64_MAX);
    *step = name == NULL ? 0 : step_of(name);
    db_folder_list_free(env, &list);
    return DREAMBOOTH_OK;
}

/* Of the bytes that a file of floats would have, so that it is the same
 * everywhere. */
static uLong sum_tensor(uLong sum, const struct db_tensor *tensor)
{
    int64_t left = db_tensor_count(tensor), some;
    size_t width = db_dtype_size(tensor->dtype);
    const char *data = tensor->data;
    unsigned char chunk[4096 * sizeof(float)];
    float floats[4096];

    for (; left > 0; left -= some, data += (size_t)some * width) {
        some = left < 4096 ? left : 4096;
        if (tensor->dtype == DB_BF16)
            db_bf16_to_floats((const uint16_t *)(const void *)data, some,
                              floats);
        else
            memcpy(floats, data, (size_t)some * width);
        db_convert_from_f32(DB_F32, floats, some, chunk);
        sum = crc32_z(sum, chunk, (z_size_t)some * sizeof(float));
    }
    return sum;
}

static int sum_params(struct db_params *params, uLong *sum)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        struct db_param *param = params->items[i];
        bool was_there = param->data != NULL;
        int status = db_param_need(param, NULL);

        if (status != DREAMBOOTH_OK)
            return status;
        *sum = sum_tensor(*sum, param->data);
        if (!was_there)
            db_param_forget(param);
    }
    return DREAMBOOTH_OK;
}

int db_checkpoint_frozen_hash(const struct db_pipeline *pipeline,
                              bool text_encoder_trained, uint64_t *out)
{
    uLong sum = 0;
    int part, status = DREAMBOOTH_OK;

    for (part = 0; part < DB_PARTS && status == DREAMBOOTH_OK; part++) {
        if (part == DB_UNET ||
            (part == DB_TEXT_ENCODER && text_encoder_trained))
            continue;
        status =
            sum_params(db_pipeline_params(pipeline, (enum db_part)part), &sum);
    }
    *out = sum;
    return status;
}

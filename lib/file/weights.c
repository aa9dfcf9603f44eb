/* SPDX-License-Identifier: MIT */
/*
 * Finding and opening a component's weights; see weights.h. One file is a set
 * of shards with one member and no index, so that everything behind the opening
 * knows one case only.
 */
#include "file/weights.h"

#include <stdlib.h>
#include <string.h>

#include "file/folder.h"
#include "file/json.h"

struct slot {
    const struct db_safetensors_entry *entry;
    bool used;
};

struct db_weights {
    struct db_env *env;
    char *path;
    size_t shard_count;
    struct db_safetensors **shards;
    size_t count;
    struct slot *slots; /* by name */
};

/* The names to look for: BASE, before, VARIANT where there is one, behind. */
struct form {
    const char *before, *behind;
    bool has_variant, is_index;
};

static const struct form forms[] = {
    {".safetensors", "", false, false},
    {".safetensors.index.json", "", false, true},
    {".", ".safetensors", true, false},
    {".safetensors.index.", ".json", true, true},
    {".", ".safetensors.index.json", true, true},
};

static char *form_path(struct db_env *env, const struct form *form,
                       const char *folder, const char *base,
                       const char *variant)
{
    char *name = db_format(env, "%s%s%s%s", base, form->before,
                           form->has_variant ? variant : "", form->behind);
    char *path;

    if (name == NULL)
        return NULL;
    path = db_path_join(env, folder, name);
    db_free(env, name);
    return path;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);

    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

/* The first name in LIST that ends in SUFFIX, or NULL. */
static const char *first_with_suffix(const struct db_folder_list *list,
                                     const char *suffix)
{
    for (size_t i = 0; i < list->count; i++)
        if (has_suffix(list->names[i], suffix))
            return list->names[i];
    return NULL;
}

/* Nothing fits: says what there is instead. */
static int complain(struct db_env *env, const char *folder, const char *base,
                    const char *variant)
{
    struct db_folder_list list = {NULL, 0};
    const char *found;
    int status = db_folder_files(env, folder, &list);

    if (status != DREAMBOOTH_OK)
        return status;
    if ((found = first_with_suffix(&list, ".safetensors")) != NULL)
        status = db_fail(env, DREAMBOOTH_ENOTFOUND,
                         "%s: no %s%s%s.safetensors here, only %s; ask for its "
                         "variant, or rename it",
                         folder, base, variant[0] != '\0' ? "." : "", variant,
                         found);
    else if ((found = first_with_suffix(&list, ".bin")) != NULL ||
             (found = first_with_suffix(&list, ".ckpt")) != NULL ||
             (found = first_with_suffix(&list, ".pt")) != NULL)
        status = db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                         "%s: only pickled weights (%s) found; convert them to "
                         "safetensors",
                         folder, found);
    else
        status = db_fail(env, DREAMBOOTH_ENOTFOUND,
                         "%s: no weights here; %s%s%s.safetensors is expected",
                         folder, base, variant[0] != '\0' ? "." : "", variant);
    db_folder_list_free(env, &list);
    return status;
}

/* Opens one more shard; ROOM for it is there. */
static int open_shard(struct db_weights *weights, const char *path)
{
    int status = db_safetensors_open(weights->env, path,
                                     &weights->shards[weights->shard_count]);

    if (status == DREAMBOOTH_OK)
        weights->shard_count++;
    return status;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A shard lies beside its index: its name has no folder. */
static int check_shard_name(const struct db_weights *weights,
                            const char *tensor, const char *name)
{
    if (name == NULL)
        return db_fail(weights->env, DREAMBOOTH_EFORMAT,
                       "%s: the file of tensor \"%s\" in \"weight_map\" is no "
                       "string",
                       weights->path, tensor);
    if (strchr(name, '/') != NULL || name[0] == '.' ||
        !has_suffix(name, ".safetensors"))
        return db_fail(weights->env, DREAMBOOTH_EFORMAT,
                       "%s: \"%s\" in \"weight_map\" is no name of a "
                       "safetensors file in the same folder",
                       weights->path, name);
    return DREAMBOOTH_OK;
}

/* The distinct file names in MAP, sorted, into NAMES, which has room for all.
 */
static int shard_names(const struct db_weights *weights, const json_t *map,
                       const char **names, size_t *count)
{
    size_t total = 0, kept = 0;
    const char *tensor;
    json_t *value;
    int status;

    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        names[total] = json_string_value(value);
        status = check_shard_name(weights, tensor, names[total]);
        if (status != DREAMBOOTH_OK)
            return status;
        total++;
    }
    if (total > 0)
        qsort(names, total, sizeof(*names), compare_texts);
    for (size_t i = 0; i < total; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    *count = kept;
    return DREAMBOOTH_OK;
}

static int open_shards(struct db_weights *weights, const char *folder,
                       const char **names, size_t count)
{
    int status = DREAMBOOTH_OK;
    char *path;

    weights->shards =
        db_alloc_array(weights->env, count, sizeof(*weights->shards));
    if (weights->shards == NULL)
        return weights->env->error_status;
    for (size_t i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        path = db_path_join(weights->env, folder, names[i]);
        if (path == NULL)
            return weights->env->error_status;
        status = open_shard(weights, path);
        if (status == DREAMBOOTH_ENOTFOUND)
            status = db_fail(weights->env, DREAMBOOTH_ENOTFOUND,
                             "%s: %s, which \"weight_map\" names, is missing",
                             weights->path, names[i]);
        db_free(weights->env, path);
    }
    return status;
}

static int compare_slots(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;

    return strcmp(x->entry->name, y->entry->name);
}

/* Gathers the tensors of all shards; no name may be in two. */
static int gather(struct db_weights *weights)
{
    size_t total = 0;

    for (size_t i = 0; i < weights->shard_count; i++)
        total += db_safetensors_count(weights->shards[i]);
    weights->slots =
        db_alloc_array(weights->env, total, sizeof(*weights->slots));
    if (weights->slots == NULL)
        return weights->env->error_status;
    for (size_t i = 0; i < weights->shard_count; i++) {
        const struct db_safetensors *shard = weights->shards[i];

        for (size_t k = 0; k < db_safetensors_count(shard); k++)
            weights->slots[weights->count++] =
                (struct slot){db_safetensors_at(shard, k), false};
    }
    if (total > 0)
        qsort(weights->slots, total, sizeof(*weights->slots), compare_slots);
    for (size_t i = 1; i < total; i++) {
        const struct slot *slot = &weights->slots[i];

        if (compare_slots(slot - 1, slot) == 0)
            return db_fail(weights->env, DREAMBOOTH_EFORMAT,
                           "%s: tensor \"%s\" is in %s and in %s",
                           weights->path, slot->entry->name,
                           slot[-1].entry->file, slot->entry->file);
    }
    return DREAMBOOTH_OK;
}

/* Index and shards must name the same tensors in the same files. */
static int check_map(const struct db_weights *weights, const json_t *map)
{
    const struct db_safetensors_entry *entry;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        entry = db_weights_find(weights, name);
        if (entry == NULL ||
            strcmp(db_path_name(entry->file), json_string_value(value)) != 0)
            return db_fail(weights->env, DREAMBOOTH_EFORMAT,
                           "%s: tensor \"%s\" is not in %s, where "
                           "\"weight_map\" has it",
                           weights->path, name, json_string_value(value));
    }
    for (size_t i = 0; i < weights->count; i++) {
        entry = weights->slots[i].entry;
        if (json_object_get(map, entry->name) == NULL)
            return db_fail(weights->env, DREAMBOOTH_EFORMAT,
                           "%s: tensor \"%s\" of %s is not in \"weight_map\"",
                           weights->path, entry->name, entry->file);
    }
    return DREAMBOOTH_OK;
}

static int open_index(struct db_weights *weights, const char *folder)
{
    struct db_env *env = weights->env;
    struct db_json_reader reader = {env, weights->path, NULL};
    const json_t *map;
    const char **names = NULL;
    size_t count = 0;
    json_t *index;
    int status = db_json_load(env, weights->path, &index);

    if (status != DREAMBOOTH_OK)
        return status;
    reader.object = index;
    status = db_json_get_object(&reader, "weight_map", DB_JSON_REQUIRED, &map);
    if (status != DREAMBOOTH_OK)
        goto end;
    names = db_alloc_array(env, json_object_size(map), sizeof(*names));
    if (names == NULL) {
        status = env->error_status;
        goto end;
    }
    status = shard_names(weights, map, names, &count);
    if (status == DREAMBOOTH_OK)
        status = open_shards(weights, folder, names, count);
    if (status == DREAMBOOTH_OK)
        status = gather(weights);
    if (status == DREAMBOOTH_OK)
        status = check_map(weights, map);
end:
    db_free(env, names);
    json_decref(index);
    return status;
}

static int open_single(struct db_weights *weights)
{
    int status;

    weights->shards = db_alloc_array(weights->env, 1, sizeof(*weights->shards));
    if (weights->shards == NULL)
        return weights->env->error_status;
    status = open_shard(weights, weights->path);
    return status == DREAMBOOTH_OK ? gather(weights) : status;
}

/* The first form that exists; its path, in fresh memory, into *PATH. */
static int choose(struct db_env *env, const char *folder, const char *base,
                  const char *variant, const struct form **form, char **path)
{
    for (size_t i = 0; i < DB_COUNT(forms); i++) {
        if (forms[i].has_variant != (variant[0] != '\0'))
            continue;
        *path = form_path(env, &forms[i], folder, base, variant);
        if (*path == NULL)
            return env->error_status;
        if (db_path_exists(*path)) {
            *form = &forms[i];
            return DREAMBOOTH_OK;
        }
        db_free(env, *path);
        *path = NULL;
    }
    return complain(env, folder, base, variant);
}

int db_weights_open(struct db_env *env, const char *folder, const char *base,
                    const char *variant, struct db_weights **out)
{
    struct db_weights *weights = db_alloc_zero(env, sizeof(*weights));
    const struct form *form = NULL;
    int status;

    if (weights == NULL)
        return env->error_status;
    weights->env = env;
    status = choose(env, folder, base, variant == NULL ? "" : variant, &form,
                    &weights->path);
    if (status == DREAMBOOTH_OK)
        status =
            form->is_index ? open_index(weights, folder) : open_single(weights);
    if (status != DREAMBOOTH_OK) {
        db_weights_free(weights);
        return status;
    }
    *out = weights;
    return DREAMBOOTH_OK;
}

void db_weights_free(struct db_weights *weights)
{
    if (weights == NULL)
        return;
    for (size_t i = 0; i < weights->shard_count; i++)
        db_safetensors_free(weights->shards[i]);
    db_free(weights->env, weights->shards);
    db_free(weights->env, weights->slots);
    db_free(weights->env, weights->path);
    db_free(weights->env, weights);
}

size_t db_weights_count(const struct db_weights *weights)
{
    return weights->count;
}

const struct db_safetensors_entry *db_weights_at(
    const struct db_weights *weights, size_t index)
{
    return weights->slots[index].entry;
}

static struct slot *find_slot(const struct db_weights *weights,
                              const char *name)
{
    size_t low = 0, high = weights->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, weights->slots[middle].entry->name);

        if (order == 0)
            return &weights->slots[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct db_safetensors_entry *db_weights_find(
    const struct db_weights *weights, const char *name)
{
    const struct slot *slot = find_slot(weights, name);

    return slot == NULL ? NULL : slot->entry;
}

const struct db_safetensors_entry *db_weights_take(struct db_weights *weights,
                                                   const char *name)
{
    struct slot *slot = find_slot(weights, name);

    if (slot == NULL)
        return NULL;
    slot->used = true;
    return slot->entry;
}

static bool is_id_buffer(const struct db_safetensors_entry *entry)
{
    const char *name = strrchr(entry->name, '.');

    name = name == NULL ? entry->name : name + 1;
    return entry->dtype == DB_I64 && strcmp(name, "position_ids") == 0;
}

const struct db_safetensors_entry *db_weights_unused(
    const struct db_weights *weights)
{
    for (size_t i = 0; i < weights->count; i++)
        if (!weights->slots[i].used && !is_id_buffer(weights->slots[i].entry))
            return weights->slots[i].entry;
    return NULL;
}

const char *db_weights_path(const struct db_weights *weights)
{
    return weights->path;
}

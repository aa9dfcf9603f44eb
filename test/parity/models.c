/* SPDX-License-Identifier: MIT */
/*
 * The forms in which weights lie on disk: the same model is there in float32,
 * in a 16-bit variant and in shards, and must come out the same. The forms are
 * held against the float32 file, rounded here, bit by bit.
 */
#include "parity.h"

#include <stdio.h>
#include <string.h>

#include "file/folder.h"
#include "file/weights.h"
#include "tensor/convert.h"

#define NAME_BYTES 160

static const char *const bases[] = {"diffusion_pytorch_model", "model"};

/* The bytes of WANT in the dtype that GOT has, into BYTES. */
static void round_to(struct parity *p, const struct db_safetensors_entry *want,
                     enum db_dtype dtype, float *values, void *bytes)
{
    if (dtype == want->dtype) {
        memcpy(bytes, parity_data(p, want), (size_t)want->size);
        return;
    }
    db_convert_to_f32(want->dtype, parity_data(p, want), want->count, values);
    db_convert_from_f32(dtype, values, want->count, bytes);
}

/* The same shape, and dtypes that can be compared? */
static bool are_alike(const struct db_safetensors_entry *a,
                      const struct db_safetensors_entry *b)
{
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, sizeof(a->shape)) == 0 &&
           (a->dtype == b->dtype ||
            (db_dtype_is_float(a->dtype) && db_dtype_is_float(b->dtype)));
}

static void compare_entry(struct parity *p,
                          const struct db_safetensors_entry *got,
                          const struct db_safetensors_entry *want)
{
    float *values;
    void *bytes;

    if (want == NULL || !are_alike(got, want)) {
        parity_fail(p, "%s is not in the float32 file, or another", got->name);
        return;
    }
    values = db_alloc_array(p->env, (size_t)want->count, sizeof(*values));
    bytes = db_alloc(p->env, (size_t)got->size);
    if (values == NULL || bytes == NULL) {
        parity_fail(p, "%s", p->env->error_text);
    } else {
        round_to(p, want, got->dtype, values, bytes);
        parity_compare_bytes(p, got->name, parity_data(p, got), bytes,
                             (size_t)got->size);
    }
    db_free(p->env, bytes);
    db_free(p->env, values);
}

/* Buffers of integers are no weights: a variant may do without. */
static void compare_weights(struct parity *p, const struct db_weights *got,
                            const struct db_weights *want)
{
    const struct db_safetensors_entry *entry;

    for (size_t i = 0; i < db_weights_count(got); i++) {
        entry = db_weights_at(got, i);
        compare_entry(p, entry, db_weights_find(want, entry->name));
    }
    for (size_t i = 0; i < db_weights_count(want); i++) {
        entry = db_weights_at(want, i);
        if (db_dtype_is_float(entry->dtype) &&
            db_weights_find(got, entry->name) == NULL)
            parity_fail(p, "%s is missing", entry->name);
    }
}

/* The VARIANT of BASE in FOLDER against the plain one in PLAIN_FOLDER. */
static void run_form(struct parity *p, const char *title, const char *folder,
                     const char *plain_folder, const char *base,
                     const char *variant)
{
    struct db_weights *got = NULL, *want = NULL;

    parity_begin(p, "models/%s", title);
    if (db_weights_open(p->env, folder, base, variant, &got) != 0 ||
        db_weights_open(p->env, plain_folder, base, NULL, &want) != 0)
        parity_fail(p, "%s", p->env->error_text);
    else
        compare_weights(p, got, want);
    parity_end(p);
    db_weights_free(got);
    db_weights_free(want);
}

/* Is there FOLDER/BASE followed by BEHIND? */
static bool has_file(struct parity *p, const char *folder, const char *base,
                     const char *behind)
{
    char *path = db_format(p->env, "%s/%s%s", folder, base, behind);
    bool found = path != NULL && db_path_is_file(path);

    db_free(p->env, path);
    return found;
}

/* COMPONENT of PIPELINE; its plain form may be in the pipeline PLAIN. */
static void run_component(struct parity *p, const char *pipeline,
                          const char *plain, const char *component)
{
    char *folder =
        db_format(p->env, "%s/models/%s/%s", p->directory, pipeline, component);
    char *plain_folder =
        db_format(p->env, "%s/models/%s/%s", p->directory, plain, component);
    char title[NAME_BYTES];

    for (size_t i = 0;
         folder != NULL && plain_folder != NULL && i < DB_COUNT(bases); i++) {
        if (!has_file(p, plain_folder, bases[i], ".safetensors"))
            continue;
        snprintf(title, sizeof(title), "%s/%s fp16", pipeline, component);
        if (has_file(p, folder, bases[i], ".fp16.safetensors"))
            run_form(p, title, folder, plain_folder, bases[i], "fp16");
        snprintf(title, sizeof(title), "%s/%s shards", pipeline, component);
        if (has_file(p, folder, bases[i], ".safetensors.index.json"))
            run_form(p, title, folder, plain_folder, bases[i], NULL);
    }
    db_free(p->env, folder);
    db_free(p->env, plain_folder);
}

/* Pipelines called X-sharded hold what X holds, in another form. */
static void run_pipeline(struct parity *p, const char *pipeline)
{
    char *path = db_format(p->env, "%s/models/%s", p->directory, pipeline);
    char plain[NAME_BYTES];
    const char *end = strstr(pipeline, "-sharded");
    struct db_folder_list components = {NULL, 0};

    snprintf(plain, sizeof(plain), "%.*s",
             (int)(end == NULL ? strlen(pipeline) : (size_t)(end - pipeline)),
             pipeline);
    if (path != NULL && db_folder_folders(p->env, path, &components) == 0)
        for (size_t i = 0; i < components.count; i++)
            run_component(p, pipeline, plain, components.names[i]);
    db_folder_list_free(p->env, &components);
    db_free(p->env, path);
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);

    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

static void skip_form(struct parity *p, const char *name, const char *reason)
{
    char title[NAME_BYTES];

    snprintf(title, sizeof(title), "models/%s", name);
    parity_skip(p, title, reason);
}

void parity_models(struct parity *p)
{
    struct db_folder_list folders = {NULL, 0}, files = {NULL, 0};
    char *path = db_path_join(p->env, p->directory, "models");

    if (path == NULL || db_folder_folders(p->env, path, &folders) != 0 ||
        db_folder_files(p->env, path, &files) != 0) {
        parity_skip(p, "models", p->env->error_text);
        goto end;
    }
    for (size_t i = 0; i < folders.count; i++) {
        const char *name = folders.names[i];

        if (ends_in(name, "-bin") || strcmp(name, "pickle-zoo") == 0)
            skip_form(p, name, "pickled weights: a later issue");
        else
            run_pipeline(p, name);
    }
    for (size_t i = 0; i < files.count; i++)
        if (ends_in(files.names[i], ".safetensors") ||
            ends_in(files.names[i], ".ckpt"))
            skip_form(p, files.names[i], "single-file models: a later issue");
end:
    db_folder_list_free(p->env, &files);
    db_folder_list_free(p->env, &folders);
    db_free(p->env, path);
}

/* SPDX-License-Identifier: MIT */
/*
 * The models' modules against diffusers and transformers: the outputs, and
 * whatever the reference recorded on the way, met in the trace under the same
 * names. A case is a file MODEL.KIND[...].safetensors with inputs in.*; every
 * other tensor in it must come up.
 */
#include "parity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file/folder.h"
#include "file/json.h"
#include "model/pipeline.h"

#define NAME_BYTES 256

static const struct parity_tolerance tolerance = {.of_max = 3e-5};

/* A case that is running. */
struct modules_case {
    struct parity *p;
    const struct db_safetensors *file;
    const struct db_pipeline *pipeline;
    struct db_tape tape;
    bool *met; /* of each entry of the file */
};

/* How the trace calls what a file calls NAME. */
static void trace_name(const struct modules_case *now, const char *name,
                       char out[NAME_BYTES])
{
    int layers = (int)now->pipeline->text_encoder->config.num_hidden_layers;
    int number;

    if (strcmp(name, "last_before_final_norm") == 0)
        snprintf(out, NAME_BYTES, "hidden_states.%d", layers);
    else if (strcmp(name, "penultimate") == 0)
        snprintf(out, NAME_BYTES, "hidden_states.%d", layers - 1);
    else if (sscanf(name, "hidden_states_%d", &number) == 1)
        snprintf(out, NAME_BYTES, "hidden_states.%d", number);
    else
        snprintf(out, NAME_BYTES, "%s", name);
}

/* The entry as floats in our order, in fresh memory; NULL on failure. */
static float *read_values(struct parity *p,
                          const struct db_safetensors_entry *entry)
{
    size_t count = (size_t)entry->count;
    float *values = db_alloc_array(p->env, count, sizeof(*values));
    float *turned = NULL;

    if (values == NULL)
        goto fail;
    if (db_safetensors_read_f32(p->env, entry, values) != DREAMBOOTH_OK)
        goto fail;
    if (entry->rank != 4)
        return values;
    turned = db_alloc_array(p->env, count, sizeof(*turned));
    if (turned == NULL)
        goto fail;
    db_nchw_to_nhwc(values, entry->shape[0], entry->shape[1], entry->shape[2],
                    entry->shape[3], turned);
    db_free(p->env, values);
    return turned;
fail:
    parity_fail(p, "%s", p->env->error_text);
    db_free(p->env, values);
    return NULL;
}

static void compare(struct modules_case *now, size_t index, const float *got,
                    int64_t count)
{
    const struct db_safetensors_entry *entry =
        db_safetensors_at(now->file, index);
    float *want;

    now->met[index] = true;
    if (count != entry->count) {
        parity_fail(now->p, "%s has %lld elements, wanted %lld", entry->name,
                    (long long)count, (long long)entry->count);
        return;
    }
    want = read_values(now->p, entry);
    if (want != NULL)
        parity_compare(now->p, entry->name, got, want, count, tolerance);
    db_free(now->p->env, want);
}

/* Compares with each entry that the trace calls NAME. */
static void compare_name(struct modules_case *now, const char *name,
                         const float *got, int64_t count)
{
    size_t i;

    for (i = 0; i < db_safetensors_count(now->file); i++) {
        char wanted[NAME_BYTES];

        trace_name(now, db_safetensors_at(now->file, i)->name, wanted);
        if (strcmp(wanted, name) == 0)
            compare(now, i, got, count);
    }
}

static void note(void *user, const char *name, const struct db_var *value)
{
    compare_name(user, name, db_tensor_f32(value->data),
                 db_tensor_count(value->data));
}

static const struct db_safetensors_entry *input(struct modules_case *now,
                                                const char *name, int rank)
{
    const struct db_safetensors_entry *entry =
        db_safetensors_find(now->file, name);

    if (entry == NULL || entry->rank != rank) {
        parity_fail(now->p, "%s with %d dimensions is missing", name, rank);
        return NULL;
    }
    return entry;
}

/* An image or a sequence of the file, times FACTOR, as a variable. */
static struct db_var *input_var(struct modules_case *now, const char *name,
                                int rank, float factor)
{
    const struct db_safetensors_entry *entry = input(now, name, rank);
    struct db_shape shape;
    struct db_var *var;
    float *values;
    int64_t i;

    if (entry == NULL)
        return NULL;
    if (rank == 4)
        shape = db_shape4(entry->shape[0], entry->shape[2], entry->shape[3],
                          entry->shape[1]);
    else
        shape = db_shape3(entry->shape[0], entry->shape[1], entry->shape[2]);
    values = read_values(now->p, entry);
    if (values == NULL)
        return NULL;
    var = db_var_empty(&now->tape, &shape);
    for (i = 0; i < entry->count && var != NULL; i++)
        db_tensor_f32(var->data)[i] = values[i] * factor;
    db_free(now->p->env, values);
    return var;
}

static void run_text_encoder(struct modules_case *now,
                             const struct db_trace *trace)
{
    const struct db_safetensors_entry *entry = input(now, "in.input_ids", 2);
    int64_t *ids;

    if (entry == NULL)
        return;
    if (entry->dtype != DB_I64) {
        parity_fail(now->p, "in.input_ids are not int64");
        return;
    }
    ids = db_alloc(now->p->env, (size_t)entry->size);
    if (ids == NULL)
        return;
    memcpy(ids, parity_data(now->p, entry), (size_t)entry->size);
    db_drop(db_text_encoder_forward(&now->tape, now->pipeline->text_encoder,
                                    ids, entry->shape[0], entry->shape[1],
                                    trace));
    db_free(now->p->env, ids);
}

/* latents = (mean + exp(logvar / 2) noise) scaling_factor */
static void draw_latents(struct modules_case *now, const struct db_var *mean,
                         const struct db_var *logvar)
{
    double factor = now->pipeline->vae->config.scaling_factor;
    struct db_var *noise = input_var(now, "in.noise", 4, 1);
    float *values;
    int64_t i;

    if (noise == NULL)
        return;
    values = db_tensor_f32(noise->data);
    for (i = 0; i < db_tensor_count(noise->data); i++)
        values[i] = (float)factor *
                    (db_tensor_f32(mean->data)[i] +
                     expf(0.5f * db_tensor_f32(logvar->data)[i]) * values[i]);
    compare_name(now, "latents", values, db_tensor_count(noise->data));
    db_drop(noise);
}

static void run_vae_encode(struct modules_case *now,
                           const struct db_trace *trace)
{
    struct db_var *image = input_var(now, "in.image", 4, 1);
    struct db_var *mean, *logvar;

    if (image == NULL || db_vae_encode(&now->tape, now->pipeline->vae, image,
                                       &mean, &logvar, trace) != DREAMBOOTH_OK)
        return;
    draw_latents(now, mean, logvar);
    db_drop(mean);
    db_drop(logvar);
}

static void run_vae_decode(struct modules_case *now,
                           const struct db_trace *trace)
{
    double factor = now->pipeline->vae->config.scaling_factor;
    struct db_var *z = input_var(now, "in.z", 4, (float)(1 / factor));

    db_drop(db_vae_decode(&now->tape, now->pipeline->vae, z, trace));
}

/* The timesteps, integers or floats, of a batch. */
static bool read_timesteps(struct modules_case *now, float *out, size_t room)
{
    const struct db_safetensors_entry *entry = input(now, "in.timestep", 1);
    const char *timesteps;
    int64_t i;

    if (entry == NULL)
        return false;
    if ((size_t)entry->count > room) {
        parity_fail(now->p, "more timesteps than there is room for");
        return false;
    }
    if (entry->dtype != DB_I64)
        return db_safetensors_read_f32(now->p->env, entry, out) ==
               DREAMBOOTH_OK;
    timesteps = parity_data(now->p, entry);
    for (i = 0; i < entry->count; i++) {
        int64_t timestep;

        memcpy(&timestep, timesteps + 8 * i, sizeof(timestep));
        out[i] = (float)timestep;
    }
    return true;
}

static void run_unet(struct modules_case *now, const struct db_trace *trace)
{
    float timesteps[64];
    struct db_var *sample, *context;

    if (!read_timesteps(now, timesteps, DB_COUNT(timesteps)))
        return;
    sample = input_var(now, "in.sample", 4, 1);
    context = input_var(now, "in.context", 3, 1);
    db_drop(db_unet_forward(&now->tape, now->pipeline->unet, sample, timesteps,
                            context, trace));
}

static const struct {
    const char *kind; /* what follows the model in the file's name */
    void (*run)(struct modules_case *now, const struct db_trace *trace);
} kinds[] = {
    {"text_encoder", run_text_encoder},
    {"vae_encode", run_vae_encode},
    {"vae_decode", run_vae_decode},
    {"unet", run_unet},
};

static void check_all_met(const struct modules_case *now)
{
    size_t i;

    for (i = 0; i < db_safetensors_count(now->file); i++) {
        const char *name = db_safetensors_at(now->file, i)->name;

        if (!now->met[i] && strncmp(name, "in.", 3) != 0)
            parity_fail(now->p, "%s was not computed", name);
    }
}

static void run_case(struct parity *p, const struct db_pipeline *pipeline,
                     const char *kind, const char *path)
{
    struct modules_case now = {.p = p, .pipeline = pipeline};
    struct db_trace trace = {note, &now};
    struct db_safetensors *file = NULL;
    size_t i;

    db_tape_init(&now.tape, p->device, false);
    if (db_safetensors_open(p->env, path, &file) != DREAMBOOTH_OK)
        goto fail;
    now.file = file;
    now.met = db_alloc_zero(p->env, db_safetensors_count(file) + 1);
    if (now.met == NULL)
        goto fail;
    for (i = 0; i < DB_COUNT(kinds); i++)
        if (strncmp(kind, kinds[i].kind, strlen(kinds[i].kind)) == 0)
            kinds[i].run(&now, &trace);
    if (now.tape.status != DREAMBOOTH_OK)
        parity_fail(p, "%s", p->env->error_text);
    check_all_met(&now);
    goto done;
fail:
    parity_fail(p, "%s", p->env->error_text);
done:
    db_tape_clear(&now.tape);
    db_free(p->env, now.met);
    db_safetensors_free(file);
}

/* Is it a pipeline of the class that we have? */
static bool is_covered(struct parity *p, const char *folder)
{
    char path[4096 + 32];
    json_t *index;
    const char *class;
    bool covered;

    snprintf(path, sizeof(path), "%s/model_index.json", folder);
    if (db_json_load(p->env, path, &index) != DREAMBOOTH_OK)
        return true; /* opening it will say what is wrong */
    class = json_string_value(json_object_get(index, "_class_name"));
    covered = class == NULL || strcmp(class, "StableDiffusionPipeline") == 0;
    json_decref(index);
    return covered;
}

/* Most of the models leave out the vocabulary, which is that of another. */
static int open_model(struct parity *p, const char *folder,
                      struct db_pipeline **out)
{
    char own[4096 + 32];
    char *common;
    int status;

    snprintf(own, sizeof(own), "%s/tokenizer/vocab.json", folder);
    common = db_path_is_file(own) ? NULL : parity_find_vocabulary(p);
    status = common == NULL
                 ? db_pipeline_open(p->env, folder, out)
                 : db_pipeline_open_vocabulary(p->env, folder, common, out);
    db_free(p->env, common);
    return status;
}

/* The case FILE_NAME; *PIPELINE is the last case's model, called MODEL. */
static void walk_case(struct parity *p, const char *file_name,
                      struct db_pipeline **pipeline, char model[NAME_BYTES])
{
    char folder[4096], path[4096];
    const char *dot = strchr(file_name, '.');
    int length = dot != NULL ? (int)(dot - file_name) : 0;

    snprintf(folder, sizeof(folder), "%s/models/%.*s", p->directory, length,
             file_name);
    snprintf(path, sizeof(path), "%s/modules/%s", p->directory, file_name);
    if (dot == NULL || !is_covered(p, folder)) {
        parity_skip(p, file_name, "a kind of model for a later release");
        return;
    }
    parity_begin(p, "modules/%s", file_name);
    if (strlen(model) != (size_t)length ||
        strncmp(model, file_name, (size_t)length) != 0) {
        db_pipeline_free(*pipeline);
        *pipeline = NULL;
        model[0] = '\0';
        if (open_model(p, folder, pipeline) == DREAMBOOTH_OK)
            snprintf(model, NAME_BYTES, "%.*s", length, file_name);
    }
    if (*pipeline == NULL)
        parity_fail(p, "%s", p->env->error_text);
    else
        run_case(p, *pipeline, dot + 1, path);
    parity_end(p);
}

void parity_modules(struct parity *p)
{
    struct db_pipeline *pipeline = NULL;
    struct db_folder_list list = {0};
    char folder[4096], model[NAME_BYTES] = "";
    size_t i;

    snprintf(folder, sizeof(folder), "%s/modules", p->directory);
    if (db_folder_files(p->env, folder, &list) != DREAMBOOTH_OK) {
        parity_begin(p, "modules");
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
        return;
    }
    for (i = 0; i < list.count; i++)
        if (strstr(list.names[i], ".safetensors") != NULL)
            walk_case(p, list.names[i], &pipeline, model);
    db_pipeline_free(pipeline);
    db_folder_list_free(p->env, &list);
}

/* SPDX-License-Identifier: MIT */
/*
 * model_index.json, which says of what classes a pipeline is, and the
 * scheduler's configuration, of which only the class is read here.
 */
#include "model/pipeline_int.h"

#include <string.h>

#include "file/folder.h"
#include "file/json.h"

#define PIPELINE_CLASS "StableDiffusionPipeline"

/* A component: the classes that we can do. Without classes it is left out: the
 * folder that we save has none. */
struct component {
    const char *name;
    const char *classes[3];
};

static const struct component components[] = {
    {"text_encoder", {"CLIPTextModel", NULL}},
    {"tokenizer", {"CLIPTokenizer", "CLIPTokenizerFast", NULL}},
    {"unet", {"UNet2DConditionModel", NULL}},
    {"vae", {"AutoencoderKL", NULL}},
    {"feature_extractor", {NULL}},
    {"image_encoder", {NULL}},
    {"safety_checker", {NULL}},
};

/* The class in ["library", "Class"], or NULL. */
static const char *class_of(const json_t *value)
{
    return json_string_value(json_array_get(value, 1));
}

static int check_class(struct db_env *env, const char *file,
                       const struct component *component, const char *class)
{
    size_t i;

    if (class == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "%s: the component \"%s\" is missing", file,
                       component->name);
    for (i = 0; component->classes[i] != NULL; i++)
        if (strcmp(component->classes[i], class) == 0)
            return DREAMBOOTH_OK;
    return db_fail(
        env, DREAMBOOTH_EUNSUPPORTED,
        "%s: the component \"%s\" has the class \"%.100s\", which is "
        "not supported (only %s)",
        file, component->name, class, component->classes[0]);
}

static int check_components(struct db_env *env, const char *file,
                            const json_t *index)
{
    size_t i;

    for (i = 0; i < DB_COUNT(components); i++) {
        const json_t *value = json_object_get(index, components[i].name);
        int status;

        if (components[i].classes[0] == NULL)
            continue;
        status = check_class(env, file, &components[i], class_of(value));
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

static const struct component *find_component(const char *name)
{
    size_t i;

    for (i = 0; i < DB_COUNT(components); i++)
        if (strcmp(components[i].name, name) == 0)
            return &components[i];
    return NULL;
}

/* A component that we do not know changes what the pipeline does. */
static int check_unknown(struct db_env *env, const char *file, json_t *index)
{
    const char *name;
    json_t *value;

    json_object_foreach(index, name, value)
    {
        if (name[0] == '_' || class_of(value) == NULL ||
            strcmp(name, "scheduler") == 0 || find_component(name) != NULL)
            continue;
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: the component \"%.100s\" is not known to this "
                       "version",
                       file, name);
    }
    return DREAMBOOTH_OK;
}

static int check_index(struct db_env *env, const char *file, json_t *index)
{
    const json_t *value = json_object_get(index, "_class_name");
    const char *class = json_string_value(value);
    int status;

    if (class == NULL || strcmp(class, PIPELINE_CLASS) != 0)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: the pipeline has the class \"%.100s\", which is "
                       "not supported (only %s)",
                       file, class != NULL ? class : "", PIPELINE_CLASS);
    status = check_components(env, file, index);
    if (status == DREAMBOOTH_OK)
        status = check_unknown(env, file, index);
    return status;
}

/* The index as we will save it: without the components that we leave out. */
static int strip_index(struct db_env *env, json_t *index)
{
    size_t i;

    for (i = 0; i < DB_COUNT(components); i++) {
        if (components[i].classes[0] != NULL)
            continue;
        if (json_object_set_new(index, components[i].name, json_pack("[nn]")) !=
            0)
            goto fail;
    }
    if (json_object_set_new(index, "requires_safety_checker", json_false()) ==
        0)
        return DREAMBOOTH_OK;
fail:
    return db_fail(env, DREAMBOOTH_ENOMEM,
                   "out of memory reading model_index.json");
}

static int read_scheduler(struct db_pipeline *pipeline, const char *folder,
                          const char *index_class)
{
    struct db_env *env = pipeline->env;
    char *path = db_format(env, "%s/scheduler/scheduler_config.json", folder);
    const char *class = index_class;
    struct db_json_reader reader = {.env = env, .file = path};
    json_t *config = NULL;
    int status;

    if (path == NULL)
        return env->error_status;
    status = db_json_load(env, path, &config);
    if (status == DREAMBOOTH_OK) {
        reader.object = config;
        status = db_json_get_text(
            &reader, "_class_name",
            index_class != NULL ? DB_JSON_OPTIONAL : DB_JSON_REQUIRED, &class);
    }
    if (status == DREAMBOOTH_OK)
        status = db_json_text(env, config, &pipeline->scheduler_config);
    if (status == DREAMBOOTH_OK) {
        pipeline->scheduler_class = db_copy_text(env, class);
        if (pipeline->scheduler_class == NULL)
            status = env->error_status;
    }
    json_decref(config);
    db_free(env, path);
    return status;
}

int db_pipeline_read_index(struct db_pipeline *pipeline, const char *folder)
{
    struct db_env *env = pipeline->env;
    char *path = db_path_join(env, folder, "model_index.json");
    json_t *index = NULL;
    int status;

    if (path == NULL)
        return env->error_status;
    status = db_json_load(env, path, &index);
    if (status == DREAMBOOTH_OK)
        status = check_index(env, path, index);
    if (status == DREAMBOOTH_OK)
        status = read_scheduler(pipeline, folder,
                                class_of(json_object_get(index, "scheduler")));
    if (status == DREAMBOOTH_OK)
        status = strip_index(env, index);
    if (status == DREAMBOOTH_OK)
        status = db_json_text(env, index, &pipeline->model_index);
    json_decref(index);
    db_free(env, path);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * A pipeline's tokenizer, whose vocabulary may lie elsewhere: configurations
 * are shared without it, and one vocabulary serves every model of CLIP's.
 */
#include "model/pipeline_int.h"

#include <string.h>

#include "file/folder.h"
#include "file/json.h"
#include "file/reader.h"

/* Where the small files may be, in this order. */
struct places {
    const char *own;        /* the model's tokenizer folder */
    const char *vocabulary; /* where the vocabulary is */
};

/* The JSON text of PLACES' file NAME, or NULL where neither has it. */
static int read_small(struct db_env *env, const struct places *places,
                      const char *name, char **out)
{
    const char *folders[2] = {places->own, places->vocabulary};
    json_t *object;
    size_t i;

    for (i = 0; i < DB_COUNT(folders); i++) {
        char *path = db_path_join(env, folders[i], name);
        int status;

        if (path == NULL)
            return env->error_status;
        if (!db_path_is_file(path)) {
            db_free(env, path);
            continue;
        }
        status = db_json_load(env, path, &object);
        db_free(env, path);
        if (status != DREAMBOOTH_OK)
            return status;
        status = db_json_text(env, object, out);
        json_decref(object);
        return status;
    }
    return DREAMBOOTH_OK;
}

/* CLIP's tokenizer_config.json, for the text encoder's length. */
static int make_config(const struct db_pipeline *pipeline, char **out)
{
    const struct db_text_encoder *encoder = pipeline->text_encoder;

    *out = db_format(pipeline->env,
                     "{\n  \"bos_token\": \"<|startoftext|>\",\n"
                     "  \"do_lower_case\": true,\n"
                     "  \"eos_token\": \"<|endoftext|>\",\n"
                     "  \"model_max_length\": %lld,\n"
                     "  \"pad_token\": \"<|endoftext|>\",\n"
                     "  \"tokenizer_class\": \"CLIPTokenizer\",\n"
                     "  \"unk_token\": \"<|endoftext|>\"\n}\n",
                     (long long)encoder->config.max_position_embeddings);
    return *out != NULL ? DREAMBOOTH_OK : pipeline->env->error_status;
}

struct text {
    char *bytes;
    size_t size;
};

static int load_file(struct db_env *env, const char *folder, const char *name,
                     struct text *text)
{
    char *path = db_path_join(env, folder, name);
    int status = path != NULL
                     ? db_file_load(env, path, &text->bytes, &text->size)
                     : env->error_status;

    db_free(env, path);
    return status;
}

static int open_at(struct db_pipeline *pipeline, const struct places *places)
{
    struct db_env *env = pipeline->env;
    struct text vocab = {NULL, 0}, merges = {NULL, 0};
    char *config = NULL, *special = NULL;
    int status = read_small(env, places, "tokenizer_config.json", &config);

    if (status == DREAMBOOTH_OK && config == NULL)
        status = make_config(pipeline, &config);
    if (status == DREAMBOOTH_OK)
        status = read_small(env, places, "special_tokens_map.json", &special);
    if (status == DREAMBOOTH_OK)
        status = load_file(env, places->vocabulary, "vocab.json", &vocab);
    if (status == DREAMBOOTH_OK)
        status = load_file(env, places->vocabulary, "merges.txt", &merges);
    if (status == DREAMBOOTH_OK)
        status = db_tokenizer_open_memory(env, vocab.bytes, vocab.size,
                                          merges.bytes, merges.size, config,
                                          special, &pipeline->tokenizer);
    db_free(env, merges.bytes);
    db_free(env, vocab.bytes);
    db_free(env, special);
    db_free(env, config);
    return status;
}

int db_pipeline_open_tokenizer(struct db_pipeline *pipeline, const char *folder,
                               const char *vocabulary_folder)
{
    struct db_env *env = pipeline->env;
    char *own = db_path_join(env, folder, "tokenizer");
    struct places places = {own, vocabulary_folder};
    int status;

    if (own == NULL)
        return env->error_status;
    if (vocabulary_folder == NULL)
        places.vocabulary = own;
    status = open_at(pipeline, &places);
    db_free(env, own);
    return status;
}

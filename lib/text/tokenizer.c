/* SPDX-License-Identifier: MIT */
/*
 * The tokenizer as its users see it: the vocabulary with the special tokens of
 * its settings files around it. Cleaning, splitting and pairing are elsewhere.
 */
#include "text/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "text/bpe.h"
#include "text/clean.h"
#include "text/split.h"
#include "text/tokenizer_int.h"

#define DEFAULT_MODEL_LENGTH 77
#define LONGEST_MODEL_LENGTH 1000000
#define LARGEST_FILE ((size_t)1 << 28)

enum file { VOCAB, MERGES, CONFIG, SPECIAL, FILE_COUNT };

static const char *const file_names[FILE_COUNT] = {"vocab.json", "merges.txt",
                                                   "tokenizer_config.json",
                                                   "special_tokens_map.json"};

enum role { START, END, PADDING, UNKNOWN, ROLE_COUNT };

static const struct {
    const char *key;
    const char *token;
} roles[ROLE_COUNT] = {
    [START] = {"bos_token", "<|startoftext|>"},
    [END] = {"eos_token", "<|endoftext|>"},
    [PADDING] = {"pad_token", "<|endoftext|>"},
    [UNKNOWN] = {"unk_token", "<|endoftext|>"},
};

struct db_tokenizer {
    struct db_env *env;
    struct db_text_file files[FILE_COUNT];
    struct db_bpe *bpe;
    char *tokens[ROLE_COUNT];
    int32_t ids[ROLE_COUNT];
    size_t model_length;
};

static int parse_settings(struct db_env *env, const struct db_text_file *file,
                          json_t **out)
{
    json_error_t error;
    json_t *settings =
        json_loadb(file->bytes, file->length, JSON_DECODE_INT_AS_REAL, &error);

    if (settings == NULL && json_error_code(&error) == json_error_out_of_memory)
        return db_fail(env, DREAMBOOTH_ENOMEM, "out of memory while reading %s",
                       file->name);
    if (settings == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s, line %d: %s", file->name,
                       error.line, error.text);
    if (!json_is_object(settings)) {
        json_decref(settings);
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s is not a JSON object",
                       file->name);
    }
    *out = settings;
    return DREAMBOOTH_OK;
}

/* A special token is a string, or an object with its string as "content". */
static int read_role(struct db_tokenizer *tokenizer, enum role role,
                     const json_t *settings, const char *file_name)
{
    const json_t *value = json_object_get(settings, roles[role].key);
    char *copy;

    if (json_is_object(value))
        value = json_object_get(value, "content");
    if (value == NULL || json_is_null(value))
        return DREAMBOOTH_OK;
    if (!json_is_string(value))
        return db_fail(tokenizer->env, DREAMBOOTH_EFORMAT,
                       "%s: %s is neither a string nor a token object",
                       file_name, roles[role].key);
    copy = db_copy_text(tokenizer->env, json_string_value(value));
    if (copy == NULL)
        return tokenizer->env->error_status;
    db_free(tokenizer->env, tokenizer->tokens[role]);
    tokenizer->tokens[role] = copy;
    return DREAMBOOTH_OK;
}

/* transformers writes 1e30 for "no limit": that leaves CLIP's length. */
static int read_model_length(struct db_tokenizer *tokenizer,
                             const json_t *settings, const char *file_name)
{
    const json_t *value = json_object_get(settings, "model_max_length");
    double length = json_number_value(value);

    if (value == NULL || json_is_null(value) || length > LONGEST_MODEL_LENGTH)
        return DREAMBOOTH_OK;
    if (!json_is_number(value) || !(length >= 2))
        return db_fail(tokenizer->env, DREAMBOOTH_EFORMAT,
                       "%s: model_max_length is not a number from 2 on",
                       file_name);
    tokenizer->model_length = (size_t)length;
    return DREAMBOOTH_OK;
}

static int read_settings(struct db_tokenizer *tokenizer, enum file which)
{
    const struct db_text_file *file = &tokenizer->files[which];
    json_t *settings = NULL;
    int role, status;

    if (file->bytes == NULL)
        return DREAMBOOTH_OK;
    status = parse_settings(tokenizer->env, file, &settings);
    if (status < 0)
        return status;
    for (role = 0; role < ROLE_COUNT && status == DREAMBOOTH_OK; role++)
        status = read_role(tokenizer, (enum role)role, settings, file->name);
    if (status == DREAMBOOTH_OK)
        status = read_model_length(tokenizer, settings, file->name);
    json_decref(settings);
    return status;
}

static const char *role_token(const struct db_tokenizer *tokenizer, int role)
{
    return tokenizer->tokens[role] != NULL ? tokenizer->tokens[role]
                                           : roles[role].token;
}

static int find_roles(struct db_tokenizer *tokenizer)
{
    const char *token;
    int role;

    for (role = 0; role < ROLE_COUNT; role++) {
        token = role_token(tokenizer, role);
        tokenizer->ids[role] =
            db_bpe_find(tokenizer->bpe, token, strlen(token));
        if (tokenizer->ids[role] == DB_NO_TOKEN)
            return db_fail(tokenizer->env, DREAMBOOTH_EFORMAT,
                           "vocab.json lacks the %s \"%.80s\"", roles[role].key,
                           token);
    }
    return DREAMBOOTH_OK;
}

/* A string as JSON, quotes included; free() it. */
static char *quoted(const char *text)
{
    json_t *value = json_string(text);
    char *result = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY);

    json_decref(value);
    return result;
}

/* The settings file that a folder without one means. */
static int write_settings(struct db_tokenizer *tokenizer, enum file which)
{
    struct db_text_file *file = &tokenizer->files[which];
    struct db_env *env = tokenizer->env;
    char *quotes[ROLE_COUNT] = {NULL};
    char head[160] = "";
    int role;

    if (file->bytes != NULL)
        return DREAMBOOTH_OK;
    for (role = 0; role < ROLE_COUNT; role++)
        quotes[role] = quoted(role_token(tokenizer, role));
    if (which == CONFIG)
        snprintf(head, sizeof(head),
                 "  \"tokenizer_class\": \"CLIPTokenizer\",\n"
                 "  \"do_lower_case\": true,\n  \"model_max_length\": %zu,\n",
                 tokenizer->model_length);
    if (quotes[START] != NULL && quotes[END] != NULL &&
        quotes[PADDING] != NULL && quotes[UNKNOWN] != NULL)
        file->bytes = db_format(
            env,
            "{\n%s  \"bos_token\": %s,\n  \"eos_token\": %s,\n"
            "  \"pad_token\": %s,\n  \"unk_token\": %s\n}\n",
            head, quotes[START], quotes[END], quotes[PADDING], quotes[UNKNOWN]);
    else
        db_fail(env, DREAMBOOTH_ENOMEM, "out of memory while writing %s",
                file->name);
    for (role = 0; role < ROLE_COUNT; role++)
        free(quotes[role]);
    if (file->bytes == NULL)
        return env->error_status;
    file->length = strlen(file->bytes);
    return DREAMBOOTH_OK;
}

/* From the files' bytes to everything else. */
static int make_sense(struct db_tokenizer *tokenizer)
{
    const struct db_text_file *files = tokenizer->files;
    int status;

    tokenizer->model_length = DEFAULT_MODEL_LENGTH;
    status =
        db_bpe_open(tokenizer->env, files[VOCAB].bytes, files[VOCAB].length,
                    files[MERGES].bytes, files[MERGES].length, &tokenizer->bpe);
    if (status == DREAMBOOTH_OK)
        status = read_settings(tokenizer, SPECIAL);
    if (status == DREAMBOOTH_OK)
        status = read_settings(tokenizer, CONFIG);
    if (status == DREAMBOOTH_OK)
        status = find_roles(tokenizer);
    if (status == DREAMBOOTH_OK)
        status = write_settings(tokenizer, CONFIG);
    if (status == DREAMBOOTH_OK)
        status = write_settings(tokenizer, SPECIAL);
    return status;
}

static struct db_tokenizer *make_empty(struct db_env *env)
{
    struct db_tokenizer *tokenizer = db_alloc_zero(env, sizeof(*tokenizer));
    int i;

    if (tokenizer == NULL)
        return NULL;
    tokenizer->env = env;
    for (i = 0; i < FILE_COUNT; i++)
        tokenizer->files[i].name = file_names[i];
    return tokenizer;
}

static int copy_file(struct db_tokenizer *tokenizer, enum file which,
                     const char *bytes, size_t length)
{
    struct db_text_file *file = &tokenizer->files[which];

    if (bytes == NULL)
        return DREAMBOOTH_OK;
    file->bytes = db_copy_bytes(tokenizer->env, bytes, length);
    if (file->bytes == NULL)
        return tokenizer->env->error_status;
    file->length = length;
    return DREAMBOOTH_OK;
}

int db_tokenizer_open_memory(struct db_env *env, const char *vocab,
                             size_t vocab_length, const char *merges,
                             size_t merges_length, const char *config,
                             const char *special, struct db_tokenizer **out)
{
    struct db_tokenizer *tokenizer = make_empty(env);
    int status;

    if (tokenizer == NULL)
        return env->error_status;
    status = copy_file(tokenizer, VOCAB, vocab, vocab_length);
    if (status == DREAMBOOTH_OK)
        status = copy_file(tokenizer, MERGES, merges, merges_length);
    if (status == DREAMBOOTH_OK)
        status = copy_file(tokenizer, CONFIG, config,
                           config == NULL ? 0 : strlen(config));
    if (status == DREAMBOOTH_OK)
        status = copy_file(tokenizer, SPECIAL, special,
                           special == NULL ? 0 : strlen(special));
    if (status == DREAMBOOTH_OK)
        status = make_sense(tokenizer);
    if (status < 0) {
        db_tokenizer_free(tokenizer);
        return status;
    }
    *out = tokenizer;
    return DREAMBOOTH_OK;
}

/* All that is left in STREAM into FILE. */
static int read_stream(struct db_env *env, FILE *stream, const char *path,
                       struct db_text_file *file)
{
    size_t capacity = (size_t)1 << 16, length = 0;
    char *bytes = NULL, *fresh;

    do {
        fresh =
            length == LARGEST_FILE ? NULL : db_resize(env, bytes, capacity + 1);
        if (fresh == NULL) {
            db_free(env, bytes);
            return length < LARGEST_FILE
                       ? env->error_status
                       : db_fail(env, DREAMBOOTH_EFORMAT,
                                 "%s is too large for a tokenizer's file",
                                 path);
        }
        bytes = fresh;
        length += fread(bytes + length, 1, capacity - length, stream);
        capacity *= 2;
    } while (length == capacity / 2);
    if (ferror(stream)) {
        db_free(env, bytes);
        return db_fail_errno(env, errno, "cannot read %s", path);
    }
    bytes[length] = '\0';
    file->bytes = bytes;
    file->length = length;
    return DREAMBOOTH_OK;
}

/* A missing file is no error: its bytes stay NULL. */
static int read_file(struct db_env *env, const char *folder,
                     struct db_text_file *file)
{
    char *path = db_format(env, "%s/%s", folder, file->name);
    FILE *stream;
    int status;

    if (path == NULL)
        return env->error_status;
    stream = fopen(path, "rb");
    if (stream == NULL && errno == ENOENT)
        status = DREAMBOOTH_OK;
    else if (stream == NULL)
        status = db_fail_errno(env, errno, "cannot open %s", path);
    else
        status = read_stream(env, stream, path, file);
    if (stream != NULL)
        fclose(stream);
    db_free(env, path);
    return status;
}

/* Where vocab.json or merges.txt is missing, tokenizer.json stands in for both
 * of them. */
static int read_fast_file(struct db_tokenizer *tokenizer, const char *folder)
{
    struct db_text_file fast = {"tokenizer.json", NULL, 0};
    struct db_text_file *files = tokenizer->files;
    struct db_env *env = tokenizer->env;
    int status;

    if (files[VOCAB].bytes != NULL && files[MERGES].bytes != NULL)
        return DREAMBOOTH_OK;
    status = read_file(env, folder, &fast);
    if (status < 0)
        return status;
    if (fast.bytes == NULL)
        return db_fail(env, DREAMBOOTH_ENOTFOUND,
                       "%s has neither vocab.json and merges.txt nor "
                       "tokenizer.json",
                       folder);
    db_free(env, files[VOCAB].bytes);
    db_free(env, files[MERGES].bytes);
    files[VOCAB].bytes = files[MERGES].bytes = NULL;
    status = db_tokenizer_convert(env, &fast, &files[VOCAB], &files[MERGES]);
    db_free(env, fast.bytes);
    return status < 0 ? db_fail_prefix(env, status, "%s", folder) : status;
}

/* Tokens that a textual inversion left behind are not read; that is said. */
static int note_added_tokens(struct db_env *env, const char *folder)
{
    struct db_text_file added = {"added_tokens.json", NULL, 0};
    int status = read_file(env, folder, &added);

    if (added.bytes != NULL)
        db_log(env, DB_LOG_WARNING,
               "%s/%s is not used: its tokens mean nothing in prompts here",
               folder, added.name);
    db_free(env, added.bytes);
    return status;
}

int db_tokenizer_open(struct db_env *env, const char *folder,
                      struct db_tokenizer **out)
{
    struct db_tokenizer *tokenizer = make_empty(env);
    int i, status = DREAMBOOTH_OK;

    if (tokenizer == NULL)
        return env->error_status;
    for (i = 0; i < FILE_COUNT && status == DREAMBOOTH_OK; i++)
        status = read_file(env, folder, &tokenizer->files[i]);
    if (status == DREAMBOOTH_OK)
        status = read_fast_file(tokenizer, folder);
    if (status == DREAMBOOTH_OK)
        status = note_added_tokens(env, folder);
    if (status < 0)
        goto fail;
    status = make_sense(tokenizer);
    if (status < 0) {
        db_fail_prefix(env, status, "%s", folder);
        goto fail;
    }
    *out = tokenizer;
    return DREAMBOOTH_OK;

fail:
    db_tokenizer_free(tokenizer);
    return status;
}

void db_tokenizer_free(struct db_tokenizer *tokenizer)
{
    int i;

    if (tokenizer == NULL)
        return;
    db_bpe_free(tokenizer->bpe);
    for (i = 0; i < ROLE_COUNT; i++)
        db_free(tokenizer->env, tokenizer->tokens[i]);
    for (i = 0; i < FILE_COUNT; i++)
        db_free(tokenizer->env, tokenizer->files[i].bytes);
    db_free(tokenizer->env, tokenizer);
}

bool db_tokenizer_file(const struct db_tokenizer *tokenizer, size_t index,
                       struct db_text_file *file)
{
    if (index >= FILE_COUNT)
        return false;
    *file = tokenizer->files[index];
    return true;
}

static int write_file(struct db_env *env, const char *path,
                      const struct db_text_file *file)
{
    FILE *stream = fopen(path, "wb");
    int error = 0;

    if (stream == NULL)
        return db_fail_errno(env, errno, "cannot write %s", path);
    if (fwrite(file->bytes, 1, file->length, stream) != file->length)
        error = errno;
    if (fclose(stream) != 0 && error == 0)
        error = errno;
    if (error == 0)
        return DREAMBOOTH_OK;
    remove(path);
    return db_fail_errno(env, error, "cannot write %s", path);
}

static int save_file(struct db_env *env, const char *folder,
                     const struct db_text_file *file)
{
    char *path = db_format(env, "%s/%s", folder, file->name);
    char *temporary = db_format(env, "%s/.%s.new", folder, file->name);
    int status = env->error_status;

    if (path == NULL || temporary == NULL)
        goto done;
    status = write_file(env, temporary, file);
    if (status == DREAMBOOTH_OK && rename(temporary, path) != 0) {
        status = db_fail_errno(env, errno, "cannot write %s", path);
        remove(temporary);
    }

done:
    db_free(env, temporary);
    db_free(env, path);
    return status;
}

int db_tokenizer_save(const struct db_tokenizer *tokenizer, const char *folder)
{
    int i, status = DREAMBOOTH_OK;

    for (i = 0; i < FILE_COUNT && status == DREAMBOOTH_OK; i++)
        status = save_file(tokenizer->env, folder, &tokenizer->files[i]);
    return status;
}

struct db_env *db_tokenizer_env(const struct db_tokenizer *tokenizer)
{
    return tokenizer->env;
}

size_t db_tokenizer_vocabulary_size(const struct db_tokenizer *tokenizer)
{
    return db_bpe_count(tokenizer->bpe);
}

size_t db_tokenizer_model_length(const struct db_tokenizer *tokenizer)
{
    return tokenizer->model_length;
}

int32_t db_tokenizer_start_id(const struct db_tokenizer *tokenizer)
{
    return tokenizer->ids[START];
}

int32_t db_tokenizer_end_id(const struct db_tokenizer *tokenizer)
{
    return tokenizer->ids[END];
}

int32_t db_tokenizer_padding_id(const struct db_tokenizer *tokenizer)
{
    return tokenizer->ids[PADDING];
}

/* The start and end tokens, written out, stand for themselves. */
static int encode_piece(const struct db_tokenizer *tokenizer, const char *bytes,
                        size_t length, struct db_ids *ids)
{
    const char *token;
    int role;

    for (role = START; role <= END; role++) {
        token = role_token(tokenizer, role);
        if (length == strlen(token) && memcmp(bytes, token, length) == 0)
            return db_ids_append(ids, tokenizer->ids[role]);
    }
    return db_bpe_encode_word(tokenizer->bpe, bytes, length,
                              tokenizer->ids[UNKNOWN], ids);
}

static int encode(const struct db_tokenizer *tokenizer, const char *text,
                  size_t length, struct db_ids *ids)
{
    struct db_codepoints clean;
    size_t at, size, bytes_length;
    char *bytes;
    int status;

    db_codepoints_init(&clean, tokenizer->env);
    status = db_clean(tokenizer->env, text, length, &clean);
    for (at = 0; status == DREAMBOOTH_OK; at += size) {
        size = db_split_next(&clean, &at);
        if (size == 0)
            break;
        bytes = db_codepoints_to_utf8(tokenizer->env, clean.at + at, size,
                                      &bytes_length);
        status = bytes == NULL
                     ? tokenizer->env->error_status
                     : encode_piece(tokenizer, bytes, bytes_length, ids);
        db_free(tokenizer->env, bytes);
    }
    db_codepoints_release(&clean);
    return status;
}

int db_tokenizer_encode(const struct db_tokenizer *tokenizer, const char *text,
                        size_t length, int32_t **ids, size_t *count)
{
    struct db_ids list;
    int status;

    db_ids_init(&list, tokenizer->env);
    status = encode(tokenizer, text, length, &list);
    if (status == DREAMBOOTH_OK && list.at == NULL) {
        list.at = db_alloc(tokenizer->env, 0);
        if (list.at == NULL)
            status = tokenizer->env->error_status;
    }
    if (status < 0) {
        db_ids_release(&list);
        return status;
    }
    *ids = list.at;
    *count = list.count;
    return DREAMBOOTH_OK;
}

int db_tokenizer_count(const struct db_tokenizer *tokenizer, const char *text,
                       size_t length, size_t *count)
{
    int32_t *ids;
    int status = db_tokenizer_encode(tokenizer, text, length, &ids, count);

    if (status == DREAMBOOTH_OK)
        db_free(tokenizer->env, ids);
    return status;
}

int db_tokenizer_encode_padded(const struct db_tokenizer *tokenizer,
                               const char *text, size_t length,
                               size_t max_length, int32_t *ids,
                               struct db_truncation *truncation)
{
    size_t wanted = max_length == 0 ? tokenizer->model_length : max_length;
    struct db_truncation lost = {0, NULL};
    size_t count, kept, i;
    int32_t *list;
    int status;

    if (wanted < 2)
        return db_fail(tokenizer->env, DREAMBOOTH_EINVAL,
                       "a length of %zu tokens has no room for a prompt",
                       wanted);
    status = db_tokenizer_encode(tokenizer, text, length, &list, &count);
    if (status < 0)
        return status;
    kept = count < wanted - 2 ? count : wanted - 2;
    lost.dropped = count - kept;
    if (truncation != NULL && lost.dropped > 0)
        status = db_tokenizer_decode(tokenizer, list + kept, lost.dropped,
                                     &lost.text, NULL);
    if (status == DREAMBOOTH_OK) {
        ids[0] = tokenizer->ids[START];
        memcpy(ids + 1, list, kept * sizeof(*ids));
        ids[kept + 1] = tokenizer->ids[END];
        for (i = kept + 2; i < wanted; i++)
            ids[i] = tokenizer->ids[PADDING];
        if (truncation != NULL)
            *truncation = lost;
    }
    db_free(tokenizer->env, list);
    return status;
}

/* A token's bytes; a character that stands for none is kept as it is. */
static void append_bytes(struct db_codepoints *bytes, const char *token,
                         size_t length)
{
    struct db_codepoints symbols;
    char utf8[4];
    size_t i, j, size;
    int byte;

    db_codepoints_init(&symbols, bytes->env);
    db_codepoints_append_utf8(&symbols, token, length);
    for (i = 0; i < symbols.count; i++) {
        byte = db_symbol_byte(symbols.at[i]);
        if (byte >= 0) {
            db_codepoints_append(bytes, (uint32_t)byte);
            continue;
        }
        size = db_utf8_put(utf8, symbols.at[i]);
        for (j = 0; j < size; j++)
            db_codepoints_append(bytes, (unsigned char)utf8[j]);
    }
    if (symbols.status < 0)
        bytes->status = symbols.status;
    db_codepoints_release(&symbols);
}

/* Each "</w>" in COUNT bytes becomes a space; returns the new count. */
static size_t end_words(char *bytes, size_t count)
{
    const size_t size = strlen(DB_END_OF_WORD);
    size_t from = 0, to = 0;

    while (from < count) {
        if (count - from >= size &&
            memcmp(bytes + from, DB_END_OF_WORD, size) == 0) {
            bytes[to++] = ' ';
            from += size;
        } else {
            bytes[to++] = bytes[from++];
        }
    }
    return to;
}

int db_tokenizer_decode(const struct db_tokenizer *tokenizer,
                        const int32_t *ids, size_t count, char **text,
                        size_t *length)
{
    struct db_env *env = tokenizer->env;
    struct db_codepoints bytes, codes;
    const char *token;
    size_t i, size;
    char *result = NULL, *raw;

    for (i = 0; i < count; i++)
        if (db_bpe_token(tokenizer->bpe, ids[i], NULL) == NULL)
            return db_fail(env, DREAMBOOTH_EINVAL,
                           "%d is not a token id: there are %zu tokens",
                           (int)ids[i], db_bpe_count(tokenizer->bpe));
    db_codepoints_init(&bytes, env);
    db_codepoints_init(&codes, env);
    for (i = 0; i < count; i++) {
        token = db_bpe_token(tokenizer->bpe, ids[i], &size);
        append_bytes(&bytes, token, size);
    }
    raw = bytes.status < 0 ? NULL : db_alloc(env, bytes.count);
    if (raw == NULL)
        goto done;
    for (i = 0; i < bytes.count; i++)
        raw[i] = (char)bytes.at[i];
    db_codepoints_append_utf8(&codes, raw, end_words(raw, bytes.count));
    if (codes.status == DREAMBOOTH_OK)
        result = db_codepoints_to_utf8(env, codes.at, codes.count, &size);

done:
    db_free(env, raw);
    db_codepoints_release(&codes);
    db_codepoints_release(&bytes);
    if (result == NULL)
        return env->error_status;
    *text = result;
    if (length != NULL)
        *length = size;
    return DREAMBOOTH_OK;
}

const char *db_tokenizer_token(const struct db_tokenizer *tokenizer, int32_t id)
{
    return db_bpe_token(tokenizer->bpe, id, NULL);
}

int32_t db_tokenizer_merge_rank(const struct db_tokenizer *tokenizer,
                                int32_t id)
{
    return db_bpe_merge_rank(tokenizer->bpe, id);
}

size_t db_tokenizer_merge_count(const struct db_tokenizer *tokenizer)
{
    return db_bpe_merge_count(tokenizer->bpe);
}

int db_tokenizer_find(const struct db_tokenizer *tokenizer, const char *token,
                      int32_t *id)
{
    int32_t found = db_bpe_find(tokenizer->bpe, token, strlen(token));

    if (found == DB_NO_TOKEN)
        return db_fail(tokenizer->env, DREAMBOOTH_ENOTFOUND,
                       "the vocabulary has no token \"%.80s\"", token);
    *id = found;
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * CLIP's tokenizer: texts to ids for each category of strings.jsonl, padded and
 * cut forms, token strings, and the short whole words among which identifiers
 * are looked for. All exact.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "file/folder.h"
#include "parity.h"
#include "text/identifier.h"

#define MOST_CATEGORIES 64
#define CATEGORY_SIZE 32

struct category {
    char name[CATEGORY_SIZE];
    size_t strings;
};

/* Calls ONE with each line of a file of JSON lines until it returns false. */
typedef bool line_function(void *user, const json_t *line, int number);

static bool each_line(struct parity *p, const char *name, line_function *one,
                      void *user)
{
    char path[4096], *line = NULL;
    size_t size = 0;
    ssize_t length;
    bool ok = true;
    FILE *file;
    json_t *json;
    int number = 0;

    snprintf(path, sizeof(path), "%s/tokenizer/%s", p->directory, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        parity_fail(p, "%s: %s", path, strerror(errno));
        return false;
    }
    while (ok && (length = getline(&line, &size, file)) > 0) {
        number++;
        json = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, NULL);
        if (json == NULL)
            parity_fail(p, "%s, line %d is not JSON", path, number);
        ok = json != NULL && one(user, json, number);
        json_decref(json);
    }
    free(line);
    fclose(file);
    return ok;
}

static const char *text_of(const json_t *line, const char *key, size_t *length)
{
    const json_t *text = json_object_get(line, key);

    *length = json_string_length(text);
    return json_string_value(text);
}

/* What differs, as JSON, so that any character can be seen. */
static void tell_difference(struct parity *p, const json_t *line, int number)
{
    char *text = json_dumps(json_object_get(line, "text"),
                            JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

    parity_fail(p, "line %d: other ids for %.200s", number,
                text == NULL ? "?" : text);
    free(text);
}

/* The ids under KEY against those that came out; a difference is told by its
 * line and text. */
static void compare_ids(struct parity *p, const json_t *line, const char *key,
                        int number, const int32_t *ids, size_t count)
{
    const json_t *list = json_object_get(line, key);
    size_t wanted = json_array_size(list), i;
    int32_t *want = calloc(wanted + 1, sizeof(*want));

    if (want == NULL) {
        parity_fail(p, "line %d: no memory", number);
        return;
    }
    for (i = 0; i < wanted; i++)
        want[i] = (int32_t)json_integer_value(json_array_get(list, i));
    if (wanted != count || memcmp(want, ids, count * sizeof(*ids)) != 0)
        tell_difference(p, line, number);
    else
        parity_compare_bytes(p, key, ids, want, count * sizeof(*ids));
    free(want);
}

struct strings {
    struct parity *p;
    const struct db_tokenizer *tokenizer;
    struct category categories[MOST_CATEGORIES];
    size_t category_count;
    const char *wanted; /* category */
};

static bool list_category(void *user, const json_t *line, int number)
{
    struct strings *strings = user;
    const char *name = json_string_value(json_object_get(line, "cat"));
    size_t i;

    (void)number;
    if (name == NULL)
        name = "none";
    for (i = 0; i < strings->category_count; i++)
        if (strncmp(strings->categories[i].name, name, CATEGORY_SIZE - 1) == 0)
            break;
    if (i == MOST_CATEGORIES) {
        parity_fail(strings->p, "more than %d categories", MOST_CATEGORIES);
        return false;
    }
    if (i == strings->category_count)
        snprintf(strings->categories[strings->category_count++].name,
                 CATEGORY_SIZE, "%s", name);
    strings->categories[i].strings++;
    return true;
}

static bool compare_string(void *user, const json_t *line, int number)
{
    struct strings *strings = user;
    const char *name = json_string_value(json_object_get(line, "cat"));
    size_t length, count;
    const char *text = text_of(line, "text", &length);
    int32_t *ids;

    if (name == NULL || strncmp(name, strings->wanted, CATEGORY_SIZE - 1) != 0)
        return true;
    if (text == NULL || db_tokenizer_encode(strings->tokenizer, text, length,
                                            &ids, &count) < 0) {
        parity_fail(strings->p, "line %d: %s", number,
                    text == NULL ? "no text" : strings->p->env->error_text);
        return true;
    }
    compare_ids(strings->p, line, "ids_openai", number, ids, count);
    db_free(strings->p->env, ids);
    return true;
}

static void run_strings(struct parity *p, const struct db_tokenizer *tokenizer)
{
    struct strings strings = {.p = p, .tokenizer = tokenizer};
    size_t i;

    parity_begin(p, "tokenizer/strings");
    if (!each_line(p, "strings.jsonl", list_category, &strings)) {
        parity_end(p);
        return;
    }
    for (i = 0; i < strings.category_count; i++) {
        strings.wanted = strings.categories[i].name;
        parity_begin(p, "tokenizer/strings %s (%zu strings)", strings.wanted,
                     strings.categories[i].strings);
        each_line(p, "strings.jsonl", compare_string, &strings);
        parity_end(p);
    }
}

struct padded {
    struct parity *p;
    const struct db_tokenizer *tokenizer; /* pads as the vocabulary says */
    const char *key;                      /* of the ids that are wanted */
    bool as_openai; /* leave out lines in which KEY has not openai's ids */
};

static bool has_openai_ids(const json_t *line, const char *key)
{
    const json_t *ids = json_object_get(line, key);
    const json_t *all = json_object_get(line, "untruncated_openai");
    size_t count = json_array_size(ids), most = json_array_size(all), i;

    for (i = 0; i + 1 < count && i < most; i++)
        if (!json_equal(json_array_get(ids, i), json_array_get(all, i)))
            return false;
    return true;
}

/* The number of tokens that did not fit, by the line itself. */
static size_t overflow(const json_t *line, size_t room)
{
    size_t all = json_array_size(json_object_get(line, "untruncated_openai"));

    return all > room ? all - room : 0;
}

static bool compare_padded(void *user, const json_t *line, int number)
{
    struct padded *padded = user;
    struct db_truncation truncation = {0, NULL};
    size_t length, room = json_array_size(json_object_get(line, padded->key));
    const char *text = text_of(line, "text", &length);
    int32_t *ids = calloc(room + 1, sizeof(*ids));

    if (!padded->as_openai || has_openai_ids(line, padded->key)) {
        if (ids == NULL || text == NULL ||
            db_tokenizer_encode_padded(padded->tokenizer, text, length, room,
                                       ids, &truncation) < 0)
            parity_fail(padded->p, "line %d: %s", number,
                        padded->p->env->error_text);
        else if (truncation.dropped != overflow(line, room))
            parity_fail(padded->p, "line %d: %zu tokens dropped", number,
                        truncation.dropped);
        else
            compare_ids(padded->p, line, padded->key, number, ids, room);
    }
    db_free(padded->p->env, truncation.text);
    free(ids);
    return true;
}

static void run_padded(struct parity *p, const struct db_tokenizer *tokenizer,
                       const char *key, bool as_openai)
{
    struct padded padded = {p, tokenizer, key, as_openai};

    parity_begin(p, "tokenizer/padded77 %s", key);
    each_line(p, "padded77.jsonl", compare_padded, &padded);
    parity_end(p);
}

static void run_tokens(struct parity *p, const struct db_tokenizer *tokenizer)
{
    char path[4096], *line = NULL;
    const char *token;
    size_t size = 0;
    ssize_t length;
    int32_t id = 0, found;
    FILE *file;

    parity_begin(p, "tokenizer/id_to_token");
    snprintf(path, sizeof(path), "%s/tokenizer/id_to_token.txt", p->directory);
    file = fopen(path, "rb");
    if (file == NULL) {
        parity_fail(p, "%s: %s", path, strerror(errno));
        parity_end(p);
        return;
    }
    while ((length = getline(&line, &size, file)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        token = db_tokenizer_token(tokenizer, id);
        if (token == NULL || strcmp(token, line) != 0)
            parity_fail(p, "id %d is %s, not %s", (int)id,
                        token == NULL ? "no token" : token, line);
        else if (db_tokenizer_find(tokenizer, line, &found) < 0 || found != id)
            parity_fail(p, "%s is not found as id %d", line, (int)id);
        else
            parity_compare_bytes(p, "token", token, line, strlen(line));
        id++;
    }
    if ((size_t)id != db_tokenizer_vocabulary_size(tokenizer))
        parity_fail(p, "%d tokens wanted, the vocabulary has %zu", (int)id,
                    db_tokenizer_vocabulary_size(tokenizer));
    free(line);
    fclose(file);
    parity_end(p);
}

struct words {
    struct parity *p;
    const int32_t *ids; /* all that stay whole inside a prompt */
    size_t count, at;
};

static bool compare_word(void *user, const json_t *line, int number)
{
    struct words *words = user;
    int32_t id = (int32_t)json_integer_value(json_object_get(line, "id"));
    bool whole = words->at < words->count && words->ids[words->at] == id;

    if (whole)
        words->at++;
    if (whole != json_is_true(json_object_get(line, "in_prompt"))) {
        parity_fail(words->p, "line %d: id %d is %s", number, (int)id,
                    whole ? "a candidate" : "no candidate");
        return false;
    }
    if (whole)
        parity_compare_bytes(words->p, "id", &words->ids[words->at - 1], &id,
                             sizeof(id));
    return true;
}

static void run_words(struct parity *p, const struct db_tokenizer *tokenizer)
{
    struct db_identifier_options options;
    struct words words = {p, NULL, 0, 0};
    int32_t *ids = NULL;

    db_identifier_defaults(&options);
    options.first_id = 0;
    options.alphabet = DB_ALPHABET_ANY;
    options.allow_blocked = true;
    parity_begin(p, "tokenizer/short_words");
    if (db_identifier_candidates(tokenizer, &options, &ids, &words.count) < 0) {
        parity_fail(p, "%s", p->env->error_text);
    } else {
        words.ids = ids;
        if (each_line(p, "short_words.jsonl", compare_word, &words) &&
            words.at != words.count)
            parity_fail(p, "id %d should be no candidate",
                        (int)words.ids[words.at]);
    }
    db_free(p->env, ids);
    parity_end(p);
}

/* The same vocabulary with "!", id 0, for padding, as openai/CLIP pads. */
static int pad_with_bang(struct parity *p, const struct db_tokenizer *tokenizer,
                         struct db_tokenizer **out)
{
    struct db_text_file vocab, merges;

    db_tokenizer_file(tokenizer, 0, &vocab);
    db_tokenizer_file(tokenizer, 1, &merges);
    return db_tokenizer_open_memory(
        p->env, vocab.bytes, vocab.length, merges.bytes, merges.length, NULL,
        "{\"pad_token\": {\"content\": \"!\"}}", out);
}

/* A list that hangs on the vocabulary alone; not every folder repeats it. */
static void run_listed(struct parity *p, const char *name, const char *suffix,
                       const struct db_tokenizer *tokenizer,
                       void (*check)(struct parity *p,
                                     const struct db_tokenizer *tokenizer))
{
    char path[4096], title[64];

    snprintf(path, sizeof(path), "%s/tokenizer/%s%s", p->directory, name,
             suffix);
    snprintf(title, sizeof(title), "tokenizer/%s", name);
    if (db_path_is_file(path))
        check(p, tokenizer);
    else
        parity_skip(p, title, "the folder has no such list");
}

static void run_all(struct parity *p, const struct db_tokenizer *tokenizer)
{
    struct db_tokenizer *bang;

    run_strings(p, tokenizer);
    run_padded(p, tokenizer, "hf_77", true);
    if (pad_with_bang(p, tokenizer, &bang) == DREAMBOOTH_OK) {
        run_padded(p, bang, "openai_77", false);
        run_padded(p, bang, "hf_77_pad_bang", true);
        db_tokenizer_free(bang);
    } else {
        parity_begin(p, "tokenizer/padded77 openai_77");
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
    }
    run_listed(p, "id_to_token", ".txt", tokenizer, run_tokens);
    run_listed(p, "short_words", ".jsonl", tokenizer, run_words);
}

void parity_tokenizer(struct parity *p)
{
    struct db_tokenizer *tokenizer = NULL;
    char *folder = parity_find_vocabulary(p);

    if (folder == NULL) {
        parity_skip(p, "tokenizer", "no model has a vocabulary");
        return;
    }
    if (db_tokenizer_open(p->env, folder, &tokenizer) < 0) {
        parity_begin(p, "tokenizer");
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
    } else {
        run_all(p, tokenizer);
    }
    db_tokenizer_free(tokenizer);
    db_free(p->env, folder);
}

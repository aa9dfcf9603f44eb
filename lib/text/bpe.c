/* SPDX-License-Identifier: MIT */
/*
 * Byte-pair encoding. Loading resolves every merge to three ids, so that
 * encoding never touches a string: a word is a linked list of ids, and a heap
 * holds the merges that its neighbours allow, best rank first, leftmost first
 * among equals.
 */
#include "text/bpe.h"

#include <string.h>

#include <jansson.h>

#include "text/codepoints.h"

#define LONGEST_TOKEN 4096
#define MOST_TOKENS (1 << 24)

struct token {
    const char *text; /* in db_bpe.letters */
    size_t length;
    int32_t merge_rank; /* -1: no merge makes it */
};

struct merge {
    int32_t left, right;
    int32_t rank; /* -1: a free slot */
    int32_t merged;
};

struct db_bpe {
    struct db_env *env;
    char *letters;
    struct token *tokens;
    size_t count;
    int32_t *slots; /* hash table of ids, DB_NO_TOKEN where free */
    size_t slot_mask;
    struct merge *merges; /* hash table */
    size_t merge_mask;
    size_t merge_count;
    int32_t inner[256]; /* the token of a byte within a word */
    int32_t last[256];  /* and at its end */
};

void db_ids_init(struct db_ids *ids, struct db_env *env)
{
    memset(ids, 0, sizeof(*ids));
    ids->env = env;
}

void db_ids_release(struct db_ids *ids)
{
    db_free(ids->env, ids->at);
    db_ids_init(ids, ids->env);
}

int db_ids_append(struct db_ids *ids, int32_t id)
{
    size_t capacity = ids->capacity == 0 ? 32 : ids->capacity * 2;
    int32_t *fresh;

    if (ids->count == ids->capacity) {
        fresh = db_resize(ids->env, ids->at, capacity * sizeof(*fresh));
        if (fresh == NULL)
            return ids->env->error_status;
        ids->at = fresh;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
    return DREAMBOOTH_OK;
}

/* GPT-2's alphabet: printable Latin-1 bytes are themselves, the other 68 are
 * the characters from U+0100 on, in order. */
static bool is_own_symbol(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

uint32_t db_byte_symbol(unsigned char byte)
{
    if (is_own_symbol(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte <= 0xa0)
        return 0x121u + byte - 0x7fu;
    return 0x143;
}

int db_symbol_byte(uint32_t symbol)
{
    if (symbol < 0x100)
        return is_own_symbol(symbol) ? (int)symbol : -1;
    if (symbol <= 0x120)
        return (int)(symbol - 0x100);
    if (symbol <= 0x142)
        return (int)(symbol - 0x121 + 0x7f);
    return symbol == 0x143 ? 0xad : -1;
}

static size_t hash_text(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    size_t i;

    for (i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t hash = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    hash = (hash ^ hash >> 31) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash ^ hash >> 29);
}

/* The smallest 2^k - 1 that leaves a table for COUNT entries half empty. */
static size_t table_mask(size_t count)
{
    size_t size = 16;

    while (size < count * 2)
        size *= 2;
    return size - 1;
}

/* The slot that holds TOKEN, or the free one where it would go. */
static size_t find_slot(const struct db_bpe *bpe, const char *token,
                        size_t length)
{
    size_t slot = hash_text(token, length) & bpe->slot_mask;
    const struct token *other;

    for (; bpe->slots[slot] != DB_NO_TOKEN;
         slot = (slot + 1) & bpe->slot_mask) {
        other = &bpe->tokens[bpe->slots[slot]];
        if (other->length == length && memcmp(other->text, token, length) == 0)
            break;
    }
    return slot;
}

int32_t db_bpe_find(const struct db_bpe *bpe, const char *token, size_t length)
{
    return bpe->slots[find_slot(bpe, token, length)];
}

size_t db_bpe_count(const struct db_bpe *bpe)
{
    return bpe->count;
}

const char *db_bpe_token(const struct db_bpe *bpe, int32_t id, size_t *length)
{
    if (id < 0 || (size_t)id >= bpe->count)
        return NULL;
    if (length != NULL)
        *length = bpe->tokens[id].length;
    return bpe->tokens[id].text;
}

int32_t db_bpe_merge_rank(const struct db_bpe *bpe, int32_t id)
{
    return id < 0 || (size_t)id >= bpe->count ? -1 : bpe->tokens[id].merge_rank;
}

size_t db_bpe_merge_count(const struct db_bpe *bpe)
{
    return bpe->merge_count;
}

/* The slot of the pair, or the free one where it would go. */
static struct merge *find_merge(const struct db_bpe *bpe, int32_t left,
                                int32_t right)
{
    size_t slot = hash_pair(left, right) & bpe->merge_mask;
    struct merge *merge = &bpe->merges[slot];

    while (merge->rank >= 0 && (merge->left != left || merge->right != right)) {
        slot = (slot + 1) & bpe->merge_mask;
        merge = &bpe->merges[slot];
    }
    return merge;
}

static int parse_vocab(struct db_env *env, const char *text, size_t length,
                       json_t **out)
{
    json_error_t error;
    json_t *vocab = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);

    if (vocab == NULL && json_error_code(&error) == json_error_out_of_memory)
        return db_fail(env, DREAMBOOTH_ENOMEM,
                       "out of memory while reading vocab.json");
    if (vocab == NULL)
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "vocab.json, line %d: %s; fetch the file again",
                       error.line, error.text);
    if (!json_is_object(vocab) || json_object_size(vocab) == 0 ||
        json_object_size(vocab) > MOST_TOKENS) {
        json_decref(vocab);
        return db_fail(env, DREAMBOOTH_EFORMAT,
                       "vocab.json is not an object of token strings to ids");
    }
    *out = vocab;
    return DREAMBOOTH_OK;
}

/* One entry of vocab.json into its place; LETTERS is where its string goes. */
static int add_token(struct db_bpe *bpe, const char *key, const json_t *value,
                     char *letters)
{
    json_int_t id = json_integer_value(value);
    size_t length = strlen(key);

    if (!json_is_integer(value) || id < 0 || (uint64_t)id >= bpe->count)
        return db_fail(bpe->env, DREAMBOOTH_EFORMAT,
                       "vocab.json: the id of \"%.80s\" is not a number from 0 "
                       "to %zu, as there are %zu tokens",
                       key, bpe->count - 1, bpe->count);
    if (bpe->tokens[id].text != NULL)
        return db_fail(bpe->env, DREAMBOOTH_EFORMAT,
                       "vocab.json: \"%.80s\" and \"%.80s\" have the same id "
                       "%d",
                       bpe->tokens[id].text, key, (int)id);
    if (length == 0 || length > LONGEST_TOKEN)
        return db_fail(bpe->env, DREAMBOOTH_EFORMAT,
                       "vocab.json: token %d is %zu bytes long", (int)id,
                       length);
    memcpy(letters, key, length + 1);
    bpe->tokens[id].text = letters;
    bpe->tokens[id].length = length;
    bpe->tokens[id].merge_rank = -1;
    bpe->slots[find_slot(bpe, key, length)] = (int32_t)id;
    return DREAMBOOTH_OK;
}

static int fill_tokens(struct db_bpe *bpe, json_t *vocab)
{
    size_t total = 0, i;
    const char *key;
    json_t *value;
    char *letters;
    int status;

    bpe->count = json_object_size(vocab);
    json_object_foreach(vocab, key, value) total += strlen(key) + 1;
    bpe->letters = db_alloc(bpe->env, total);
    bpe->tokens = db_alloc_zero(bpe->env, bpe->count * sizeof(*bpe->tokens));
    bpe->slot_mask = table_mask(bpe->count);
    bpe->slots =
        db_alloc_array(bpe->env, bpe->slot_mask + 1, sizeof(*bpe->slots));
    if (bpe->letters == NULL || bpe->tokens == NULL || bpe->slots == NULL)
        return bpe->env->error_status;
    for (i = 0; i <= bpe->slot_mask; i++)
        bpe->slots[i] = DB_NO_TOKEN;
    letters = bpe->letters;
    json_object_foreach(vocab, key, value)
    {
        status = add_token(bpe, key, value, letters);
        if (status < 0)
            return status;
        letters += strlen(key) + 1;
    }
    return DREAMBOOTH_OK;
}

static void fill_bytes(struct db_bpe *bpe)
{
    char text[8];
    size_t length;
    unsigned byte;

    for (byte = 0; byte < 256; byte++) {
        length = db_utf8_put(text, db_byte_symbol((unsigned char)byte));
        bpe->inner[byte] = db_bpe_find(bpe, text, length);
        memcpy(text + length, DB_END_OF_WORD, 4);
        bpe->last[byte] = db_bpe_find(bpe, text, length + 4);
    }
}

/* The next line from *at, without its end; false behind the last one. */
static bool next_line(const char **at, const char *end, const char **line,
                      size_t *length)
{
    const char *stop;

    if (*at == end)
        return false;
    stop = memchr(*at, '\n', (size_t)(end - *at));
    *line = *at;
    *at = stop == NULL ? end : stop + 1;
    *length = (size_t)((stop == NULL ? end : stop) - *line);
    if (*length > 0 && (*line)[*length - 1] == '\r')
        *length -= 1;
    return true;
}

static int32_t find_joined(const struct db_bpe *bpe, const char *left,
                           size_t left_length, const char *right,
                           size_t right_length)
{
    char joined[2 * LONGEST_TOKEN];

    memcpy(joined, left, left_length);
    memcpy(joined + left_length, right, right_length);
    return db_bpe_find(bpe, joined, left_length + right_length);
}

/* "th e</w>" of merges.txt into the table. */
static int add_merge(struct db_bpe *bpe, const char *line, size_t length,
                     size_t number, int32_t rank)
{
    const char *gap = memchr(line, ' ', length);
    size_t left_length = gap == NULL ? 0 : (size_t)(gap - line);
    size_t right_length = gap == NULL ? 0 : length - left_length - 1;
    struct merge merge, *slot;

    if (left_length == 0 || right_length == 0 || left_length > LONGEST_TOKEN ||
        right_length > LONGEST_TOKEN ||
        memchr(gap + 1, ' ', right_length) != NULL)
        return db_fail(bpe->env, DREAMBOOTH_EFORMAT,
                       "merges.txt, line %zu: not two tokens with a space "
                       "between them; fetch the file again",
                       number);
    merge.left = db_bpe_find(bpe, line, left_length);
    merge.right = db_bpe_find(bpe, gap + 1, right_length);
    merge.merged = find_joined(bpe, line, left_length, gap + 1, right_length);
    merge.rank = rank;
    if (merge.left == DB_NO_TOKEN || merge.right == DB_NO_TOKEN ||
        merge.merged == DB_NO_TOKEN)
        return db_fail(bpe->env, DREAMBOOTH_EFORMAT,
                       "merges.txt, line %zu: \"%.*s\" is not of tokens that "
                       "vocab.json knows; take both files from one model",
                       number, (int)(length < 80 ? length : 80), line);
    slot = find_merge(bpe, merge.left, merge.right);
    *slot = merge;
    bpe->tokens[merge.merged].merge_rank = rank;
    return DREAMBOOTH_OK;
}

static size_t count_lines(const char *text, size_t length)
{
    size_t i, count = 1;

    for (i = 0; i < length; i++)
        count += text[i] == '\n';
    return count;
}

static int fill_merges(struct db_bpe *bpe, const char *text, size_t length)
{
    size_t i, line_length, number = 0;
    const char *at = text, *line;
    int32_t rank = 0;
    int status;

    bpe->merge_mask = table_mask(count_lines(text, length));
    if (bpe->merge_mask > INT32_MAX)
        return db_fail(bpe->env, DREAMBOOTH_EFORMAT,
                       "merges.txt has too many lines");
    bpe->merges =
        db_alloc_array(bpe->env, bpe->merge_mask + 1, sizeof(*bpe->merges));
    if (bpe->merges == NULL)
        return bpe->env->error_status;
    for (i = 0; i <= bpe->merge_mask; i++)
        bpe->merges[i].rank = -1;
    while (next_line(&at, text + length, &line, &line_length)) {
        number++;
        if (line_length == 0 || (number == 1 && line_length >= 8 &&
                                 memcmp(line, "#version", 8) == 0))
            continue;
        status = add_merge(bpe, line, line_length, number, rank++);
        if (status < 0)
            return status;
    }
    bpe->merge_count = (size_t)rank;
    return DREAMBOOTH_OK;
}

int db_bpe_open(struct db_env *env, const char *vocab, size_t vocab_length,
                const char *merges, size_t merges_length, struct db_bpe **out)
{
    struct db_bpe *bpe = db_alloc_zero(env, sizeof(*bpe));
    json_t *json = NULL;
    int status;

    if (bpe == NULL)
        return env->error_status;
    bpe->env = env;
    status = parse_vocab(env, vocab, vocab_length, &json);
    if (status < 0)
        goto fail;
    status = fill_tokens(bpe, json);
    json_decref(json);
    if (status < 0)
        goto fail;
    fill_bytes(bpe);
    status = fill_merges(bpe, merges, merges_length);
    if (status < 0)
        goto fail;
    *out = bpe;
    return DREAMBOOTH_OK;

fail:
    db_bpe_free(bpe);
    return status;
}

void db_bpe_free(struct db_bpe *bpe)
{
    if (bpe == NULL)
        return;
    db_free(bpe->env, bpe->merges);
    db_free(bpe->env, bpe->slots);
    db_free(bpe->env, bpe->tokens);
    db_free(bpe->env, bpe->letters);
    db_free(bpe->env, bpe);
}

/* A place in the word: links are indices, NONE at the ends. */
struct node {
    int32_t id;
    uint32_t before, behind;
};

#define NONE UINT32_MAX

/* A merge that was possible when it was put into the heap. */
struct candidate {
    int32_t rank;
    int32_t left, right;
    uint32_t at;
};

struct word {
    const struct db_bpe *bpe;
    struct node *nodes;
    struct candidate *heap;
    size_t heap_count;
    struct candidate *waiting; /* found while the present rank is merged */
    size_t waiting_count;
};

static bool comes_first(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct word *word, struct candidate candidate)
{
    size_t i = word->heap_count++;

    while (i > 0 && comes_first(&candidate, &word->heap[(i - 1) / 2])) {
        word->heap[i] = word->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    word->heap[i] = candidate;
}

static struct candidate heap_pop(struct word *word)
{
    struct candidate top = word->heap[0];
    struct candidate moved = word->heap[--word->heap_count];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < word->heap_count) {
        if (child + 1 < word->heap_count &&
            comes_first(&word->heap[child + 1], &word->heap[child]))
            child++;
        if (!comes_first(&word->heap[child], &moved))
            break;
        word->heap[i] = word->heap[child];
        i = child;
    }
    word->heap[i] = moved;
    return top;
}

/* Note the merge of AT with the node behind it, if there is one. */
static void find_candidate(struct word *word, uint32_t at)
{
    const struct node *node;
    const struct merge *merge;
    struct candidate *candidate;

    if (at == NONE || word->nodes[at].behind == NONE)
        return;
    node = &word->nodes[at];
    merge = find_merge(word->bpe, node->id, word->nodes[node->behind].id);
    if (merge->rank < 0)
        return;
    candidate = &word->waiting[word->waiting_count++];
    candidate->rank = merge->rank;
    candidate->left = merge->left;
    candidate->right = merge->right;
    candidate->at = at;
}

static void merge_candidate(struct word *word, const struct candidate *wanted)
{
    struct node *node = &word->nodes[wanted->at];
    struct node *behind;

    if (node->id != wanted->left || node->behind == NONE ||
        word->nodes[node->behind].id != wanted->right)
        return;
    behind = &word->nodes[node->behind];
    node->id = find_merge(word->bpe, wanted->left, wanted->right)->merged;
    behind->id = DB_NO_TOKEN - 1;
    node->behind = behind->behind;
    if (node->behind != NONE)
        word->nodes[node->behind].before = wanted->at;
    find_candidate(word, node->before);
    find_candidate(word, wanted->at);
}

/* All merges of one rank are done before any that they make possible. */
static void merge_all(struct word *word)
{
    struct candidate candidate;
    int32_t rank;

    for (;;) {
        while (word->waiting_count > 0)
            heap_push(word, word->waiting[--word->waiting_count]);
        if (word->heap_count == 0)
            return;
        rank = word->heap[0].rank;
        while (word->heap_count > 0 && word->heap[0].rank == rank) {
            candidate = heap_pop(word);
            merge_candidate(word, &candidate);
        }
    }
}

static void split_bytes(struct word *word, const char *bytes, size_t length)
{
    const struct db_bpe *bpe = word->bpe;
    struct node *node;
    size_t i;

    for (i = 0; i < length; i++) {
        node = &word->nodes[i];
        node->id =
            (i + 1 < length ? bpe->inner : bpe->last)[(unsigned char)bytes[i]];
        node->before = i == 0 ? NONE : (uint32_t)i - 1;
        node->behind = i + 1 == length ? NONE : (uint32_t)i + 1;
    }
    for (i = 0; i + 1 < length; i++)
        find_candidate(word, (uint32_t)i);
}

/* Each byte starts one candidate, and each of the fewer than LENGTH merges two
 * more, so 3 LENGTH of them is room enough in heap and waiting list. */
static int word_init(struct word *word, const struct db_bpe *bpe, size_t length)
{
    struct db_env *env = bpe->env;

    memset(word, 0, sizeof(*word));
    word->bpe = bpe;
    if (length >= NONE / 4)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a word of %zu bytes is too long", length);
    word->nodes = db_alloc_array(env, length, sizeof(*word->nodes));
    word->heap = db_alloc_array(env, 3 * length, sizeof(*word->heap));
    word->waiting = db_alloc_array(env, 3 * length, sizeof(*word->waiting));
    if (word->nodes == NULL || word->heap == NULL || word->waiting == NULL)
        return env->error_status;
    return DREAMBOOTH_OK;
}

static void word_release(struct word *word)
{
    db_free(word->bpe->env, word->nodes);
    db_free(word->bpe->env, word->heap);
    db_free(word->bpe->env, word->waiting);
}

int db_bpe_encode_word(const struct db_bpe *bpe, const char *bytes,
                       size_t length, int32_t unknown, struct db_ids *ids)
{
    struct word word;
    uint32_t at;
    int32_t id;
    int status = word_init(&word, bpe, length);

    if (status < 0)
        goto done;
    split_bytes(&word, bytes, length);
    merge_all(&word);
    for (at = 0; at != NONE && status == DREAMBOOTH_OK;
         at = word.nodes[at].behind) {
        id = word.nodes[at].id;
        status = db_ids_append(ids, id == DB_NO_TOKEN ? unknown : id);
    }

done:
    word_release(&word);
    return status;
}

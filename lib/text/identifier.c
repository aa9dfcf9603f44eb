/* SPDX-License-Identifier: MIT */
/*
 * The identifier picker. Whether a token is a candidate is asked of the
 * tokenizer itself: its word is encoded inside a prompt, and must come out as
 * that token.
 */
#include "text/identifier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/codepoints.h"

#define CLIP_VOCABULARY 49408
#define CLIP_FIRST_RARE_ID 40000
#define RAREST_SHARE                                                           \
    96 /* the last 1/96 of the ids estimates the first norm                    \
        */

static const char before[] = "a photo of ";
static const char behind[] = " dog";

void db_identifier_defaults(struct db_identifier_options *options)
{
    memset(options, 0, sizeof(*options));
    options->first_id = -1;
    options->max_characters = 3;
    options->tokens = 1;
    options->alphabet = DB_ALPHABET_LATIN;
}

int32_t db_identifier_first_id(const struct db_tokenizer *tokenizer,
                               const struct db_identifier_options *options)
{
    uint64_t size = db_tokenizer_vocabulary_size(tokenizer);

    if (options->first_id >= 0)
        return options->first_id;
    return (int32_t)(size * CLIP_FIRST_RARE_ID / CLIP_VOCABULARY);
}

static int check_options(const struct db_tokenizer *tokenizer,
                         const struct db_identifier_options *options)
{
    struct db_env *env = db_tokenizer_env(tokenizer);

    if (options->tokens < 1 || options->tokens > DB_IDENTIFIER_MOST_TOKENS)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "an identifier has 1 to %d tokens, not %d",
                       DB_IDENTIFIER_MOST_TOKENS, options->tokens);
    if (options->max_characters < 1)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "a token of at most %d characters is none",
                       options->max_characters);
    if (options->first_id >= 0 &&
        (size_t)options->first_id >= db_tokenizer_vocabulary_size(tokenizer))
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "no token has an id from %d on: there are %zu tokens",
                       (int)options->first_id,
                       db_tokenizer_vocabulary_size(tokenizer));
    return DREAMBOOTH_OK;
}

/* The word that a whole-word token stands for, in fresh memory; *word is NULL
 * where the token is none. */
static int spell(const struct db_tokenizer *tokenizer, int32_t id, char **word,
                 size_t *length)
{
    const char *token = db_tokenizer_token(tokenizer, id);
    size_t size = strlen(token), mark = strlen(DB_END_OF_WORD);
    int status;

    *word = NULL;
    if (size <= mark || strcmp(token + size - mark, DB_END_OF_WORD) != 0)
        return DREAMBOOTH_OK;
    status = db_tokenizer_decode(tokenizer, &id, 1, word, length);
    if (status == DREAMBOOTH_OK && *length > 0)
        (*word)[--*length] = '\0';
    return status;
}

static bool fits_alphabet(const char *word, size_t length,
                          enum db_identifier_alphabet alphabet)
{
    size_t i, used;
    uint32_t code;

    for (i = 0; i < length; i += used) {
        code = (uint32_t)db_utf8_get(word + i, length - i, &used);
        if (alphabet == DB_ALPHABET_LATIN
                ? code < 'a' || code > 'z'
                : alphabet == DB_ALPHABET_LETTERS && !db_is_letter(code))
            return false;
    }
    return true;
}

static bool may_be_picked(const char *word, size_t length,
                          const struct db_identifier_options *options)
{
    long characters = db_utf8_count(word, length);

    return characters >= 1 && characters <= options->max_characters &&
           fits_alphabet(word, length, options->alphabet) &&
           (options->allow_blocked || db_identifier_blocked(word) == NULL);
}

/* A prompt without a word, encoded: the word's own ids go in between. */
struct frame {
    int32_t *ids[2];
    size_t counts[2];
};

static int frame_init(struct frame *frame, const struct db_tokenizer *tokenizer)
{
    int status;

    memset(frame, 0, sizeof(*frame));
    status = db_tokenizer_encode(tokenizer, before, strlen(before),
                                 &frame->ids[0], &frame->counts[0]);
    if (status == DREAMBOOTH_OK)
        status = db_tokenizer_encode(tokenizer, behind, strlen(behind),
                                     &frame->ids[1], &frame->counts[1]);
    return status;
}

static void frame_release(struct frame *frame, struct db_env *env)
{
    db_free(env, frame->ids[0]);
    db_free(env, frame->ids[1]);
}

static bool is_framed(const struct frame *frame, const int32_t *ids,
                      size_t count, int32_t id)
{
    return count == frame->counts[0] + 1 + frame->counts[1] &&
           memcmp(ids, frame->ids[0], frame->counts[0] * sizeof(*ids)) == 0 &&
           ids[frame->counts[0]] == id &&
           memcmp(ids + frame->counts[0] + 1, frame->ids[1],
                  frame->counts[1] * sizeof(*ids)) == 0;
}

/* Does WORD in a prompt come out as token ID, and the rest as without it? */
static int stays_whole(const struct db_tokenizer *tokenizer,
                       const struct frame *frame, const char *word,
                       size_t length, int32_t id, bool *whole)
{
    struct db_env *env = db_tokenizer_env(tokenizer);
    struct db_text prompt = {0};
    int32_t *ids = NULL;
    size_t count;
    int status = db_text_append(env, &prompt, before);

    if (status == DREAMBOOTH_OK)
        status = db_text_append_bytes(env, &prompt, word, length);
    if (status == DREAMBOOTH_OK)
        status = db_text_append(env, &prompt, behind);
    if (status == DREAMBOOTH_OK)
        status = db_tokenizer_encode(tokenizer, prompt.bytes, prompt.length,
                                     &ids, &count);
    if (status == DREAMBOOTH_OK)
        *whole = is_framed(frame, ids, count, id);
    db_free(env, ids);
    db_text_free(env, &prompt);
    return status;
}

/* Append ID to LIST if it is a candidate. */
static int consider(const struct db_tokenizer *tokenizer,
                    const struct db_identifier_options *options,
                    const struct frame *frame, int32_t id, struct db_ids *list)
{
    bool whole = false;
    size_t length;
    char *word;
    int status = spell(tokenizer, id, &word, &length);

    if (status < 0 || word == NULL)
        return status;
    if (may_be_picked(word, length, options))
        status = stays_whole(tokenizer, frame, word, length, id, &whole);
    if (status == DREAMBOOTH_OK && whole)
        status = db_ids_append(list, id);
    db_free(db_tokenizer_env(tokenizer), word);
    return status;
}

int db_identifier_candidates(const struct db_tokenizer *tokenizer,
                             const struct db_identifier_options *options,
                             int32_t **ids, size_t *count)
{
    struct db_env *env = db_tokenizer_env(tokenizer);
    struct db_ids list;
    struct frame frame;
    int32_t id, end = (int32_t)db_tokenizer_vocabulary_size(tokenizer);
    int status = check_options(tokenizer, options);

    if (status < 0)
        return status;
    db_ids_init(&list, env);
    status = frame_init(&frame, tokenizer);
    for (id = db_identifier_first_id(tokenizer, options);
         id < end && status == DREAMBOOTH_OK; id++)
        status = consider(tokenizer, options, &frame, id, &list);
    if (status == DREAMBOOTH_OK && list.at == NULL) {
        list.at = db_alloc(env, 0);
        if (list.at == NULL)
            status = env->error_status;
    }
    frame_release(&frame, env);
    if (status < 0) {
        db_ids_release(&list);
        return status;
    }
    *ids = list.at;
    *count = list.count;
    return DREAMBOOTH_OK;
}

static float norm_of(const struct db_identifier_options *options, int32_t id)
{
    const float *row = options->embeddings + (size_t)id * options->dimension;
    double sum = 0;
    size_t i;

    for (i = 0; i < options->dimension; i++)
        sum += (double)row[i] * (double)row[i];
    return (float)sqrt(sum);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static int estimate_first_norm(const struct db_tokenizer *tokenizer,
                               const struct db_identifier_options *options,
                               double *norm)
{
    struct db_env *env = db_tokenizer_env(tokenizer);
    size_t size = db_tokenizer_vocabulary_size(tokenizer);
    size_t wanted = size / RAREST_SHARE + 1, count = 0;
    float *norms = db_alloc_array(env, wanted, sizeof(*norms));
    int32_t id;

    if (norms == NULL)
        return env->error_status;
    for (id = (int32_t)size - 1; id >= 0 && count < wanted; id--)
        if (id != db_tokenizer_start_id(tokenizer) &&
            id != db_tokenizer_end_id(tokenizer) &&
            id != db_tokenizer_padding_id(tokenizer))
            norms[count++] = norm_of(options, id);
    qsort(norms, count, sizeof(*norms), compare_floats);
    *norm = count == 0 ? 0 : (double)norms[count / 2];
    db_free(env, norms);
    return DREAMBOOTH_OK;
}

static void measure(struct db_identifier *identifier,
                    const struct db_identifier_options *options,
                    double first_norm)
{
    double prior, scale = first_norm > 0 ? first_norm : 1;
    size_t i;

    identifier->prior = 0;
    for (i = 0; i < identifier->token_count; i++) {
        identifier->norms[i] = norm_of(options, identifier->ids[i]);
        prior = fabs((double)identifier->norms[i] - first_norm) / scale;
        if (!(prior <= identifier->prior))
            identifier->prior = prior;
    }
}

static int write_text(const struct db_tokenizer *tokenizer,
                      struct db_identifier *identifier)
{
    size_t length;
    int status =
        db_tokenizer_decode(tokenizer, identifier->ids, identifier->token_count,
                            &identifier->text, &length);

    if (status == DREAMBOOTH_OK && length > 0)
        identifier->text[length - 1] = '\0';
    return status;
}

static int explain(const struct db_tokenizer *tokenizer,
                   struct db_identifier *identifier, double first_norm)
{
    struct db_env *env = db_tokenizer_env(tokenizer);
    struct db_text text = {0};
    size_t i;
    int status =
        db_text_appendf(env, &text, "\"%s\" encodes to ", identifier->text);

    for (i = 0; i < identifier->token_count && status == DREAMBOOTH_OK; i++)
        status = db_text_appendf(
            env, &text, "%s%s (id %d, merge %d of %zu)", i == 0 ? "" : " + ",
            db_tokenizer_token(tokenizer, identifier->ids[i]),
            (int)identifier->ids[i], (int)identifier->merge_ranks[i] + 1,
            db_tokenizer_merge_count(tokenizer));
    for (i = 0; i < identifier->token_count && identifier->prior >= 0 &&
                status == DREAMBOOTH_OK;
         i++)
        status = db_text_appendf(env, &text, "%s%.4f",
                                 i == 0 ? "; embedding norm " : " and ",
                                 (double)identifier->norms[i]);
    if (status == DREAMBOOTH_OK && identifier->prior >= 0)
        status =
            db_text_appendf(env, &text, ", %.1f %% from the untrained %.4f",
                            identifier->prior * 100, first_norm);
    if (status == DREAMBOOTH_OK)
        status = db_text_take(env, &text, &identifier->explanation);
    db_text_free(env, &text);
    return status;
}

static int describe(const struct db_tokenizer *tokenizer,
                    const struct db_identifier_options *options,
                    const int32_t *ids, double first_norm,
                    struct db_identifier *identifier)
{
    int i, status;

    identifier->token_count = (size_t)options->tokens;
    identifier->prior = -1;
    for (i = 0; i < options->tokens; i++) {
        identifier->ids[i] = ids[i];
        identifier->merge_ranks[i] = db_tokenizer_merge_rank(tokenizer, ids[i]);
        identifier->norms[i] = -1;
    }
    if (options->embeddings != NULL)
        measure(identifier, options, first_norm);
    status = write_text(tokenizer, identifier);
    return status < 0 ? status : explain(tokenizer, identifier, first_norm);
}

/* The first COUNT of IDS become a sample without replacement. */
static void draw(int32_t *ids, size_t size, size_t count, uint64_t seed)
{
    struct db_random random;
    size_t i, other;
    int32_t kept;

    db_random_init(&random, seed, DB_RANDOM_IDENTIFIER, 0, 0);
    for (i = 0; i < count; i++) {
        other = i + (size_t)db_random_below(&random, size - i);
        kept = ids[i];
        ids[i] = ids[other];
        ids[other] = kept;
    }
}

/* Ties go to the lower id, so that the order does not hang on qsort(). */
static int compare_priors(const void *a, const void *b)
{
    const struct db_identifier *x = a, *y = b;

    if (x->prior < y->prior || x->prior > y->prior)
        return x->prior < y->prior ? -1 : 1;
    return (x->ids[0] > y->ids[0]) - (x->ids[0] < y->ids[0]);
}

void db_identifiers_free(struct db_env *env, struct db_identifier *identifiers,
                         size_t count)
{
    size_t i;

    if (identifiers == NULL)
        return;
    for (i = 0; i < count; i++) {
        db_free(env, identifiers[i].text);
        db_free(env, identifiers[i].explanation);
    }
    db_free(env, identifiers);
}

/* How many identifiers to draw from SIZE candidates; 0, with the error set,
 * where COUNT of them cannot be had. */
static size_t plan_draws(struct db_env *env,
                         const struct db_identifier_options *options,
                         size_t size, size_t count)
{
    size_t most = size / (size_t)options->tokens;
    size_t draws = options->draws > count && options->embeddings != NULL
                       ? options->draws
                       : count;

    if (count < 1 || count > most) {
        db_fail(env, DREAMBOOTH_EINVAL,
                "%zu identifiers of %d tokens wanted, but the vocabulary has "
                "%zu candidate tokens; lower the first id, or allow more "
                "characters",
                count, options->tokens, size);
        return 0;
    }
    return draws < most ? draws : most;
}

/* From SIZE candidates, the first of which are drawn, to identifiers. */
static int pick(const struct db_tokenizer *tokenizer,
                const struct db_identifier_options *options, const int32_t *ids,
                size_t draws, size_t count, struct db_identifier **out)
{
    struct db_env *env = db_tokenizer_env(tokenizer);
    struct db_identifier *list = NULL;
    double first_norm = 0;
    int status = DREAMBOOTH_OK;
    size_t i;

    if (options->embeddings != NULL)
        status = estimate_first_norm(tokenizer, options, &first_norm);
    if (status < 0)
        return status;
    list = db_alloc_zero(env, draws * sizeof(*list));
    if (list == NULL)
        return env->error_status;
    for (i = 0; i < draws && status == DREAMBOOTH_OK; i++)
        status = describe(tokenizer, options, ids + i * (size_t)options->tokens,
                          first_norm, &list[i]);
    if (status < 0) {
        db_identifiers_free(env, list, draws);
        return status;
    }
    if (options->embeddings != NULL)
        qsort(list, draws, sizeof(*list), compare_priors);
    for (i = count; i < draws; i++) {
        db_free(env, list[i].text);
        db_free(env, list[i].explanation);
    }
    *out = list;
    return DREAMBOOTH_OK;
}

int db_identifier_pick(const struct db_tokenizer *tokenizer,
                       const struct db_identifier_options *options,
                       size_t count, struct db_identifier **out)
{
    struct db_env *env = db_tokenizer_env(tokenizer);
    int32_t *ids;
    size_t size, draws;
    int status = db_identifier_candidates(tokenizer, options, &ids, &size);

    if (status < 0)
        return status;
    draws = plan_draws(env, options, size, count);
    if (draws == 0) {
        status = env->error_status;
    } else {
        draw(ids, size, draws * (size_t)options->tokens, options->seed);
        status = pick(tokenizer, options, ids, draws, count, out);
    }
    db_free(env, ids);
    return status;
}

/* What a check works with and fills. */
struct check {
    const struct db_tokenizer *tokenizer;
    struct db_env *env;
    struct db_identifier_report *report;
    struct db_text text;
    const char *word;
    int32_t first_id;
};

static int check_blocked(struct check *check, const char *read_as)
{
    const char *reason = db_identifier_blocked(read_as);

    if (reason == NULL)
        return DREAMBOOTH_OK;
    check->report->findings |= DB_IDENTIFIER_BLOCKED;
    return db_text_appendf(check->env, &check->text,
                           "\"%s\" means something: %s\n", read_as, reason);
}

/* How the tokenizer reads the word: cleaned, as decoding shows it. */
static int check_spelling(struct check *check)
{
    char *read_as;
    size_t length;
    int status = db_tokenizer_decode(check->tokenizer, check->report->ids,
                                     check->report->count, &read_as, &length);

    if (status < 0)
        return status;
    while (length > 0 && read_as[length - 1] == ' ')
        read_as[--length] = '\0';
    if (check->report->count == 1 && strcmp(read_as, check->word) != 0) {
        check->report->findings |= DB_IDENTIFIER_FOLDED;
        status = db_text_appendf(check->env, &check->text,
                                 "\"%s\" is read as \"%s\": write it so\n",
                                 check->word, read_as);
    }
    if (status == DREAMBOOTH_OK)
        status = check_blocked(check, read_as);
    db_free(check->env, read_as);
    return status;
}

static int check_split(struct check *check)
{
    const struct db_identifier_report *report = check->report;
    size_t i;
    int status;

    if (report->count < 2)
        return DREAMBOOTH_OK;
    check->report->findings |= DB_IDENTIFIER_SPLIT;
    if (report->count > DB_IDENTIFIER_MOST_TOKENS)
        check->report->findings |= DB_IDENTIFIER_LONG;
    status = db_text_appendf(check->env, &check->text,
                             "\"%s\" splits into %zu tokens:", check->word,
                             report->count);
    for (i = 0; i < report->count && status == DREAMBOOTH_OK; i++)
        status = db_text_appendf(
            check->env, &check->text, " %s",
            db_tokenizer_token(check->tokenizer, report->ids[i]));
    if (status == DREAMBOOTH_OK)
        status = db_text_append(check->env, &check->text,
                                report->count > DB_IDENTIFIER_MOST_TOKENS
                                    ? "; more than three dilute it\n"
                                    : "\n");
    return status;
}

static int check_common(struct check *check)
{
    const struct db_identifier_report *report = check->report;
    size_t i;
    int status = DREAMBOOTH_OK;

    for (i = 0; i < report->count && status == DREAMBOOTH_OK; i++) {
        if (report->ids[i] >= check->first_id)
            continue;
        check->report->findings |= DB_IDENTIFIER_COMMON;
        status = db_text_appendf(
            check->env, &check->text,
            "%s is a common token (id %d, rare ones start at %d): the model "
            "has its own idea of it\n",
            db_tokenizer_token(check->tokenizer, report->ids[i]),
            (int)report->ids[i], (int)check->first_id);
    }
    return status;
}

static int check_empty(struct check *check)
{
    if (check->report->count > 0)
        return DREAMBOOTH_OK;
    check->report->findings |= DB_IDENTIFIER_EMPTY;
    return db_text_append(check->env, &check->text,
                          "the word is empty to the tokenizer\n");
}

int db_identifier_check(const struct db_tokenizer *tokenizer, const char *word,
                        size_t length,
                        const struct db_identifier_options *options,
                        struct db_identifier_report *report)
{
    static int (*const checks[])(struct check *) = {check_empty, check_spelling,
                                                    check_split, check_common};
    struct db_env *env = db_tokenizer_env(tokenizer);
    struct db_identifier_report fresh = {0, NULL, NULL, 0};
    struct check check = {tokenizer, env, &fresh, {0}, NULL, 0};
    char *copy = db_copy_bytes(env, word, length);
    int status;
    size_t i;

    if (copy == NULL)
        return env->error_status;
    check.word = copy;
    check.first_id = db_identifier_first_id(tokenizer, options);
    status =
        db_tokenizer_encode(tokenizer, word, length, &fresh.ids, &fresh.count);
    for (i = 0; i < DB_COUNT(checks) && status == DREAMBOOTH_OK; i++)
        status = checks[i](&check);
    if (status == DREAMBOOTH_OK)
        status = db_text_take(env, &check.text, &fresh.text);
    db_text_free(env, &check.text);
    db_free(env, copy);
    if (status < 0)
        db_identifier_report_release(env, &fresh);
    else
        *report = fresh;
    return status;
}

void db_identifier_report_release(struct db_env *env,
                                  struct db_identifier_report *report)
{
    db_free(env, report->text);
    db_free(env, report->ids);
    memset(report, 0, sizeof(*report));
}

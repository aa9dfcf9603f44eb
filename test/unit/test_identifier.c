/* SPDX-License-Identifier: MIT */
/*
 * The identifier picker on a vocabulary made here, in which some words are
 * common, some rare, some on the block list.
 */
#include "text/identifier.h"
#include "vocabulary.h"

#define DIMENSION 4

static const char *const words[] = {
    "a",   "photo", "of",  "dog", "the",   "cat", "sun", "sks", "fez",
    "xjq", "zok",   "wub", "qip", "vlonk", "yd",  "ujj", "oqo", NULL,
};

static struct db_env env;
static struct vocabulary *vocabulary;
static struct db_tokenizer *tokenizer;
static struct db_identifier_options options;

static int32_t id_of(const char *word)
{
    char token[64];
    int32_t id;

    snprintf(token, sizeof(token), "%s</w>", word);
    ck_assert_int_eq(db_tokenizer_find(tokenizer, token, &id), 0);
    return id;
}

static void set_up(void)
{
    db_env_init(&env);
    vocabulary = vocabulary_new(words);
    ck_assert_int_eq(db_tokenizer_open_memory(&env, vocabulary->vocab_json,
                                              strlen(vocabulary->vocab_json),
                                              vocabulary->merges_txt,
                                              strlen(vocabulary->merges_txt),
                                              NULL, NULL, &tokenizer),
                     0);
    db_identifier_defaults(&options);
    options.first_id = id_of("sks");
}

static void tear_down(void)
{
    db_tokenizer_free(tokenizer);
    vocabulary_free(vocabulary);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static void expect_candidates(const char *const *wanted, size_t wanted_count)
{
    int32_t *ids;
    size_t count;

    ck_assert_int_eq(
        db_identifier_candidates(tokenizer, &options, &ids, &count), 0);
    ck_assert_uint_eq(count, wanted_count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(ids[i], id_of(wanted[i]));
    db_free(&env, ids);
}

START_TEST(candidates)
{
    static const char *const wanted[] = {"xjq", "zok", "wub", "qip",
                                         "yd",  "ujj", "oqo"};
    static const char *const all[] = {"sks", "fez", "xjq", "zok", "wub",
                                      "qip", "yd",  "ujj", "oqo"};
    static const char *const short_ones[] = {"yd"};

    expect_candidates(wanted, DB_COUNT(wanted));
    options.allow_blocked = true;
    expect_candidates(all, DB_COUNT(all));
    options.max_characters = 2;
    expect_candidates(short_ones, 1);
    options.first_id = id_of("oqo");
    expect_candidates(NULL, 0);
}
END_TEST

START_TEST(alphabets)
{
    int32_t *ids;
    size_t latin, letters, any;

    options.first_id = 0;
    ck_assert_int_eq(
        db_identifier_candidates(tokenizer, &options, &ids, &latin), 0);
    db_free(&env, ids);
    options.alphabet = DB_ALPHABET_LETTERS;
    ck_assert_int_eq(
        db_identifier_candidates(tokenizer, &options, &ids, &letters), 0);
    db_free(&env, ids);
    options.alphabet = DB_ALPHABET_ANY;
    ck_assert_int_eq(db_identifier_candidates(tokenizer, &options, &ids, &any),
                     0);
    db_free(&env, ids);
    /* No letter beyond ASCII is one byte; digits and signs are. */
    ck_assert_uint_eq(latin, letters);
    ck_assert_uint_gt(any, letters + 30);
}
END_TEST

START_TEST(default_first_id)
{
    options.first_id = -1;
    ck_assert_int_eq(db_identifier_first_id(tokenizer, &options),
                     vocabulary->count * 40000L / 49408);
}
END_TEST

START_TEST(picking)
{
    struct db_identifier *first, *second, *other;
    bool differs = false;

    options.seed = 3;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 7, &first), 0);
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 7, &second), 0);
    options.seed = 4;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 7, &other), 0);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_str_eq(first[i].text, second[i].text);
        ck_assert_int_eq(first[i].ids[0], id_of(first[i].text));
        ck_assert_ptr_nonnull(strstr(first[i].explanation, first[i].text));
        ck_assert_int_eq(first[i].merge_ranks[0],
                         db_tokenizer_merge_rank(tokenizer, first[i].ids[0]));
        ck_assert(first[i].prior < 0 && first[i].norms[0] < 0);
        differs |= strcmp(first[i].text, other[i].text) != 0;
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(first[i].text, first[j].text);
    }
    ck_assert(differs);
    db_identifiers_free(&env, first, 7);
    db_identifiers_free(&env, second, 7);
    db_identifiers_free(&env, other, 7);
    db_identifiers_free(&env, NULL, 7);
}
END_TEST

START_TEST(picking_is_uniform)
{
    int times[7] = {0}, rounds = unit_is_quick() ? 70 : 7000;
    struct db_identifier *list;
    int32_t *ids;
    size_t count;

    ck_assert_int_eq(
        db_identifier_candidates(tokenizer, &options, &ids, &count), 0);
    ck_assert_uint_eq(count, 7);
    for (int i = 0; i < rounds; i++) {
        options.seed = (uint64_t)i;
        ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 1, &list), 0);
        for (size_t j = 0; j < 7; j++)
            times[j] += list[0].ids[0] == ids[j];
        db_identifiers_free(&env, list, 1);
    }
    db_free(&env, ids);
    for (size_t j = 0; j < 7; j++)
        ck_assert_int_lt(abs(times[j] * 7 - rounds) * 5, rounds * 4);
    if (rounds == 7000)
        for (size_t j = 0; j < 7; j++)
            ck_assert_int_lt(abs(times[j] - 1000), 150);
}
END_TEST

START_TEST(several_tokens)
{
    struct db_identifier *list = NULL;
    size_t count;
    int32_t *ids;

    options.tokens = 3;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 2, &list), 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(list[i].token_count, 3);
        ck_assert_int_eq(db_tokenizer_encode(tokenizer, list[i].text,
                                             strlen(list[i].text), &ids,
                                             &count),
                         0);
        ck_assert_uint_eq(count, 3);
        ck_assert_mem_eq(ids, list[i].ids, 3 * sizeof(*ids));
        db_free(&env, ids);
    }
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++)
            ck_assert_int_ne(list[0].ids[i], list[1].ids[j]);
    db_identifiers_free(&env, list, 2);
}
END_TEST

START_TEST(wrong_options)
{
    struct db_identifier *list = NULL;
    struct db_identifier_options good = options;

    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 8, &list),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 0, &list),
                     DREAMBOOTH_EINVAL);
    options.tokens = 4;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 1, &list),
                     DREAMBOOTH_EINVAL);
    options.tokens = 3;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 3, &list),
                     DREAMBOOTH_EINVAL);
    options = good;
    options.max_characters = 0;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 1, &list),
                     DREAMBOOTH_EINVAL);
    options = good;
    options.first_id = vocabulary->count;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 1, &list),
                     DREAMBOOTH_EINVAL);
    ck_assert_ptr_null(list);
}
END_TEST

/* Row by row of one length, but for two words. */
static float *make_embeddings(void)
{
    float *table = calloc((size_t)vocabulary->count * DIMENSION, sizeof(float));

    ck_assert_ptr_nonnull(table);
    for (int i = 0; i < vocabulary->count; i++)
        table[i * DIMENSION + i % DIMENSION] = 0.5f;
    for (int i = 0; i < DIMENSION; i++) {
        table[id_of("zok") * DIMENSION + i] = 1;
        table[id_of("wub") * DIMENSION + i] = -0.3f;
    }
    return table;
}

START_TEST(weakest_prior_first)
{
    struct db_identifier *list;
    float *table = make_embeddings();

    options.embeddings = table;
    options.dimension = DIMENSION;
    ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 7, &list), 0);
    for (size_t i = 0; i < 5; i++)
        ck_assert(list[i].prior == 0 && list[i].norms[0] == 0.5f);
    ck_assert_str_eq(list[5].text, "wub");
    ck_assert_double_eq_tol(list[5].prior, 0.2, 1e-6);
    ck_assert_str_eq(list[6].text, "zok");
    ck_assert_double_eq_tol(list[6].prior, 3, 1e-6);
    db_identifiers_free(&env, list, 7);
    options.draws = 100;
    for (options.seed = 0; options.seed < 20; options.seed++) {
        ck_assert_int_eq(db_identifier_pick(tokenizer, &options, 2, &list), 0);
        ck_assert(list[0].prior == 0 && list[1].prior == 0);
        db_identifiers_free(&env, list, 2);
    }
    free(table);
}
END_TEST

START_TEST(checking_a_word)
{
    static const struct {
        const char *word;
        unsigned findings;
    } cases[] = {
        {"xjq", 0},
        {"dog", DB_IDENTIFIER_COMMON},
        {"XJQ", DB_IDENTIFIER_FOLDED},
        {"sks", DB_IDENTIFIER_BLOCKED},
        {"SkS", DB_IDENTIFIER_BLOCKED | DB_IDENTIFIER_FOLDED},
        {"xjq zok", DB_IDENTIFIER_SPLIT},
        {"dog xjq", DB_IDENTIFIER_SPLIT | DB_IDENTIFIER_COMMON},
        {"sunhat",
         DB_IDENTIFIER_SPLIT | DB_IDENTIFIER_COMMON | DB_IDENTIFIER_LONG},
        {"", DB_IDENTIFIER_EMPTY},
        {" \t", DB_IDENTIFIER_EMPTY},
    };
    struct db_identifier_report report;

    for (size_t i = 0; i < DB_COUNT(cases); i++) {
        ck_assert_int_eq(db_identifier_check(tokenizer, cases[i].word,
                                             strlen(cases[i].word), &options,
                                             &report),
                         0);
        ck_assert_msg(report.findings == cases[i].findings,
                      "\"%s\": findings %x, not %x: %s", cases[i].word,
                      report.findings, cases[i].findings, report.text);
        ck_assert_int_eq(report.text[0] == '\0', report.findings == 0);
        db_identifier_report_release(&env, &report);
    }
    ck_assert_ptr_nonnull(db_identifier_blocked("sks"));
    ck_assert_ptr_null(db_identifier_blocked("xjq"));
}
END_TEST

struct scarce {
    long left; /* allocations until one fails */
};

static void *scarce_resize(void *user, void *pointer, size_t old_size,
                           size_t size)
{
    struct scarce *scarce = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return scarce->left-- == 0 ? NULL : realloc(pointer, size);
}

START_TEST(failing_memory)
{
    struct db_identifier_report report;
    struct db_identifier *list;
    struct scarce scarce = {0};
    db_resize_function *usual = env.resize;
    uint64_t live = env.live_bytes;
    float *table = make_embeddings();
    int status = DREAMBOOTH_ENOMEM;

    options.embeddings = table;
    options.dimension = DIMENSION;
    options.first_id = id_of("ujj");
    for (long n = 0; status != 0; n++) {
        scarce.left = n;
        env.resize = scarce_resize;
        env.resize_user = &scarce;
        status = db_identifier_pick(tokenizer, &options, 1, &list);
        if (status == 0) {
            db_identifiers_free(&env, list, 1);
            status =
                db_identifier_check(tokenizer, "Sks x", 5, &options, &report);
        }
        if (status == 0)
            db_identifier_report_release(&env, &report);
        env.resize = usual;
        ck_assert(status == 0 || status == DREAMBOOTH_ENOMEM);
        ck_assert_uint_eq(env.live_bytes, live);
    }
    free(table);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test)
{
    TCase *test_case = tcase_create(name);

    tcase_set_timeout(test_case, 0);
    tcase_add_checked_fixture(test_case, set_up, tear_down);
    tcase_add_test(test_case, test);
    suite_add_tcase(suite, test_case);
}

static Suite *identifier_suite(void)
{
    Suite *suite = suite_create("identifier");

    add(suite, "candidates", candidates);
    add(suite, "alphabets", alphabets);
    add(suite, "default first id", default_first_id);
    add(suite, "picking", picking);
    add(suite, "picking is uniform", picking_is_uniform);
    add(suite, "several tokens", several_tokens);
    add(suite, "wrong options", wrong_options);
    add(suite, "weakest prior first", weakest_prior_first);
    add(suite, "checking a word", checking_a_word);
    add(suite, "failing memory", failing_memory);
    return suite;
}

int main(void)
{
    return unit_main(identifier_suite());
}

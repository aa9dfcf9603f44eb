/* SPDX-License-Identifier: MIT */
/*
 * The tokenizer on a vocabulary made here: cleaning, splitting, merging against
 * a naive merger, special tokens, damaged files and failing memory.
 */
#include "text/clean.h"
#include "text/html.h"
#include "text/prompt.h"
#include "text/split.h"
#include "text/tokenizer_int.h"
#include "vocabulary.h"

static const char *const words[] = {
    "a",    "photo", "of",  "dog", "the", "cat", "in",   "is",    "abab",
    "abba", "aaaa",  "bab", "ab",  "ba",  "red", "bell", "zzzzy", NULL,
};

static struct db_env env;
static struct vocabulary *vocabulary;
static struct db_tokenizer *tokenizer;

static int open_texts(const char *config, const char *special,
                      struct db_tokenizer **out)
{
    return db_tokenizer_open_memory(
        &env, vocabulary->vocab_json, strlen(vocabulary->vocab_json),
        vocabulary->merges_txt, strlen(vocabulary->merges_txt), config, special,
        out);
}

static void set_up(void)
{
    db_env_init(&env);
    vocabulary = vocabulary_new(words);
    ck_assert_int_eq(open_texts(NULL, NULL, &tokenizer), 0);
}

static void tear_down(void)
{
    db_tokenizer_free(tokenizer);
    vocabulary_free(vocabulary);
    ck_assert_uint_eq(env.live_bytes, 0);
}

/* The tokens of TEXT with a space between them, to be freed. */
static char *tokens_of(const char *text, size_t length)
{
    int32_t *ids;
    size_t count, size;
    char *result;
    FILE *stream = open_memstream(&result, &size);

    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(db_tokenizer_encode(tokenizer, text, length, &ids, &count),
                     0);
    for (size_t i = 0; i < count; i++)
        fprintf(stream, "%s%s", i == 0 ? "" : " ",
                db_tokenizer_token(tokenizer, ids[i]));
    fclose(stream);
    db_free(&env, ids);
    return result;
}

static void expect_tokens(const char *text, const char *tokens)
{
    char *got = tokens_of(text, strlen(text));

    ck_assert_str_eq(got, tokens);
    free(got);
}

START_TEST(byte_alphabet)
{
    for (int byte = 0; byte < 256; byte++) {
        uint32_t symbol = db_byte_symbol((unsigned char)byte);

        ck_assert_int_eq(db_symbol_byte(symbol), byte);
        ck_assert(symbol > 0x20 && symbol != 0x7f && symbol != 0xa0);
    }
    ck_assert_uint_eq(db_byte_symbol('a'), 'a');
    ck_assert_uint_eq(db_byte_symbol(' '), 0x120);
    ck_assert_uint_eq(db_byte_symbol(0xad), 0x143);
    ck_assert_int_eq(db_symbol_byte(0x144), -1);
}
END_TEST

START_TEST(words_to_tokens)
{
    expect_tokens("A photo of a Dog", "a</w> photo</w> of</w> a</w> dog</w>");
    expect_tokens("dogs", "do g s</w>");
    expect_tokens("the cat's 42!!",
                  "the</w> cat</w> ' s</w> 4</w> 2</w> ! !</w>");
    expect_tokens("<|StartOfText|>dog<|endoftext|>",
                  "<|startoftext|> dog</w> <|endoftext|>");
    expect_tokens("", "");
    expect_tokens(" \t\n", "");
}
END_TEST

START_TEST(decoding)
{
    const char text[] = "A  photo\nof é\xf0\x9f\x90\xb6!";
    int32_t *ids, wrong[] = {0, 1 << 20};
    size_t count, length;
    char *back = NULL;

    ck_assert_int_eq(
        db_tokenizer_encode(tokenizer, text, strlen(text), &ids, &count), 0);
    ck_assert_int_eq(db_tokenizer_decode(tokenizer, ids, count, &back, &length),
                     0);
    ck_assert_str_eq(back, "a photo of é \xf0\x9f\x90\xb6! ");
    ck_assert_uint_eq(length, strlen(back));
    db_free(&env, back);
    /* Half a character is U+FFFD. */
    ck_assert_int_eq(db_tokenizer_find(tokenizer, "Ã", ids), 0);
    ck_assert_int_eq(db_tokenizer_decode(tokenizer, ids, 1, &back, NULL), 0);
    ck_assert_str_eq(back, "\xef\xbf\xbd");
    db_free(&env, back);
    db_free(&env, ids);
    ck_assert_int_eq(db_tokenizer_decode(tokenizer, wrong, 2, &back, NULL),
                     DREAMBOOTH_EINVAL);
    wrong[1] = -1;
    ck_assert_int_eq(db_tokenizer_decode(tokenizer, wrong, 2, &back, NULL),
                     DREAMBOOTH_EINVAL);
}
END_TEST

START_TEST(facts)
{
    int32_t id;

    ck_assert_uint_eq(db_tokenizer_vocabulary_size(tokenizer),
                      (size_t)vocabulary->count);
    ck_assert_uint_eq(db_tokenizer_model_length(tokenizer), 77);
    for (int i = 0; i < vocabulary->count; i++) {
        ck_assert_str_eq(db_tokenizer_token(tokenizer, i),
                         vocabulary->tokens[i]);
        ck_assert_int_eq(
            db_tokenizer_find(tokenizer, vocabulary->tokens[i], &id), 0);
        ck_assert_int_eq(id, i);
    }
    ck_assert_ptr_null(db_tokenizer_token(tokenizer, -1));
    ck_assert_ptr_null(db_tokenizer_token(tokenizer, vocabulary->count));
    ck_assert_int_eq(db_tokenizer_find(tokenizer, "none such", &id),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(db_tokenizer_find(tokenizer, "do", &id), 0);
    ck_assert_int_ge(db_tokenizer_merge_rank(tokenizer, id), 0);
    ck_assert_int_eq(db_tokenizer_merge_rank(tokenizer, 5), -1);
    ck_assert_uint_eq(db_tokenizer_merge_count(tokenizer),
                      (size_t)vocabulary->merge_count);
}
END_TEST

START_TEST(padding_and_truncation)
{
    struct db_truncation truncation = {7, NULL};
    int32_t ids[77], start = db_tokenizer_start_id(tokenizer);
    int32_t end = db_tokenizer_end_id(tokenizer);
    size_t count;

    ck_assert_int_eq(
        db_tokenizer_encode_padded(tokenizer, "a dog", 5, 0, ids, &truncation),
        0);
    ck_assert_int_eq(ids[0], start);
    ck_assert_int_eq(ids[3], end);
    for (int i = 4; i < 77; i++)
        ck_assert_int_eq(ids[i], db_tokenizer_padding_id(tokenizer));
    ck_assert_uint_eq(truncation.dropped, 0);
    ck_assert_ptr_null(truncation.text);
    ck_assert_int_eq(db_tokenizer_encode_padded(tokenizer,
                                                "a dog in the photo of a cat",
                                                27, 5, ids, &truncation),
                     0);
    ck_assert_int_eq(ids[4], end);
    ck_assert_uint_eq(truncation.dropped, 5);
    ck_assert_str_eq(truncation.text, "the photo of a cat ");
    db_free(&env, truncation.text);
    ck_assert_int_eq(
        db_tokenizer_encode_padded(tokenizer, "a dog", 5, 1, ids, NULL),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_tokenizer_count(tokenizer, "a dog", 5, &count), 0);
    ck_assert_uint_eq(count, 2);
}
END_TEST

/* Merges by the definition: the best pair, everywhere, until none is left. */
static int naive_rank(const char *left, const char *right)
{
    for (int i = 0; i < vocabulary->merge_count; i++)
        if (strcmp(vocabulary->merges[i][0], left) == 0 &&
            strcmp(vocabulary->merges[i][1], right) == 0)
            return i;
    return INT32_MAX;
}

static int naive_pass(char parts[][128], int count)
{
    char left[128], right[128];
    int best = INT32_MAX, at = 0, to = 0;

    for (int i = 0; i + 1 < count; i++)
        if (naive_rank(parts[i], parts[i + 1]) < best) {
            best = naive_rank(parts[i], parts[i + 1]);
            at = i;
        }
    if (best == INT32_MAX)
        return count;
    strcpy(left, parts[at]);
    strcpy(right, parts[at + 1]);
    for (int i = 0; i < count; i++, to++) {
        bool here = i + 1 < count && strcmp(parts[i], left) == 0 &&
                    strcmp(parts[i + 1], right) == 0;

        if (to != i)
            memcpy(parts[to], parts[i], sizeof(parts[0]));
        if (here)
            strcat(parts[to], parts[++i]);
    }
    return to;
}

static void expect_naive(const char *word)
{
    char parts[64][128], joined[64 * 8] = "";
    int count = (int)strlen(word), before = count + 1;

    for (int i = 0; i < count; i++)
        snprintf(parts[i], sizeof(parts[i]), "%c%s", word[i],
                 i + 1 == count ? DB_END_OF_WORD : "");
    while (count < before) {
        before = count;
        count = naive_pass(parts, count);
    }
    for (int i = 0; i < count; i++) {
        strcat(joined, i == 0 ? "" : " ");
        strcat(joined, parts[i]);
    }
    expect_tokens(word, joined);
}

START_TEST(merging_is_by_the_definition)
{
    static const char letters[] = "aabbabzydog";
    uint32_t state = 1;
    char word[33];

    for (int i = 0; i < (unit_is_quick() ? 100 : 3000); i++) {
        int length = 1 + i % 32;

        for (int j = 0; j < length; j++) {
            state = state * 1664525u + 1013904223u;
            word[j] = letters[(state >> 16) % (sizeof(letters) - 1)];
        }
        word[length] = '\0';
        expect_naive(word);
    }
}
END_TEST

START_TEST(long_words)
{
    size_t length = unit_is_quick() ? 10000 : 2000000, count;
    char *word = malloc(length);

    ck_assert_ptr_nonnull(word);
    memset(word, 'a', length);
    ck_assert_int_eq(db_tokenizer_count(tokenizer, word, length, &count), 0);
    /* aa, aa, ..., aaaa</w> */
    ck_assert_uint_eq(count, length / 2 - 1);
    free(word);
}
END_TEST

START_TEST(any_bytes)
{
    char *tokens = tokens_of("dog\0cat", 7);

    ck_assert_str_eq(tokens, "do g cat</w>"); /* controls go */
    free(tokens);
    tokens = tokens_of("a \xff\xc3 dog", 8);
    ck_assert_str_eq(tokens, "a</w> ï ¿ ½ ï ¿ ½</w> dog</w>");
    free(tokens);
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b += unit_is_quick() ? 17 : 1) {
            char text[4] = {(char)a, (char)b, (char)0xb0, 'x'};

            free(tokens_of(text, 4));
        }
    }
}
END_TEST

static const struct {
    const char *text, *clean;
} cleanings[] = {
    {"  Hello \t\r\n World  ", "hello world"},
    {"\u201cDog\u2019s\u201d", "\"dog's\""},
    {"\uff24\uff2f\uff27\u3000\uff76\uff9e", "dog \u30ac"},
    {"\ufb01n \u0132 \u01c4", "fin ij d\u017e"},
    {"caf\u00c3\u00a9", "caf\u00e9"},
    {"\u00e2\u20ac\u0153dog\u00e2\u20ac\ufffd", "\"dog\ufffd"},
    {"\u0432\u0402\u201c \u0420\u0457\u0421\u0402\u0420\u0451\u0420\u0406"
     "\u0420\u00b5\u0421\u201a",
     "\u2013 \u043f\u0440\u0438\u0432\u0435\u0442"},
    {"voil\u00c3 le travail", "voil\u00e0 le travail"},
    {"na\u00efve r\u00e9sum\u00e9", "na\u00efve r\u00e9sum\u00e9"},
    {"e\u0301", "\u00e9"},
    {"&amp;lt;b&amp;gt; &copy 2 &eacute;", "<b> \u00a9 2 \u00e9"},
    {"&EACUTE;", "\u00e9"},
    {"<p>&amp;amp;amp;</p>", "<p>&amp;</p>"},
    {"&#x41;&#66;&#128;&#xD800;&#1114112;|", "ab\u20ac\ufffd\ufffd|"},
    {"&notit; &unknown;", "\u00acit; &unknown;"},
    {"&CounterClockwiseContourIntegral;", "\u2233"},
    {"\x1b[31;1mred\x1b[0m", "red"},
    {"a\x01\x7f\xef\xbb\xbf"
     "b",
     "ab"},
    {"\u039f\u0394\u039f\u03a3 \u03a3 \u03a3\u0391", "\u03bf\u03b4\u03bf\u03c2 "
                                                     "\u03c3 \u03c3\u03b1"},
    {"\u0130", "i\u0307"},
    {"\xed\xa0\xbd\xed\xb0\xb6 \xed\xa0\xbd", "\U0001f436 \ufffd"},
    {"a\u2028b\xc2\x85"
     "c",
     "a b\u2026c"},
    {"q\u0323\u0307 q\u0307\u0323", "q\u0323\u0307 q\u0323\u0307"},
};

START_TEST(cleaning)
{
    for (size_t i = 0; i < DB_COUNT(cleanings); i++) {
        struct db_codepoints clean;
        char *text;

        db_codepoints_init(&clean, &env);
        ck_assert_int_eq(db_clean(&env, cleanings[i].text,
                                  strlen(cleanings[i].text), &clean),
                         0);
        text = db_codepoints_to_utf8(&env, clean.at, clean.count, NULL);
        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, cleanings[i].clean);
        db_free(&env, text);
        db_codepoints_release(&clean);
    }
}
END_TEST

START_TEST(splitting)
{
    const char text[] = "i'll've 12a!'s'x";
    static const size_t lengths[] = {1, 3, 3, 1, 1, 1, 2, 1, 1, 1};
    struct db_codepoints codes;
    size_t at = 0, length, i = 0;

    db_codepoints_init(&codes, &env);
    db_codepoints_append_utf8(&codes, text, strlen(text));
    while ((length = db_split_next(&codes, &at)) > 0) {
        ck_assert_uint_lt(i, DB_COUNT(lengths));
        ck_assert_uint_eq(length, lengths[i++]);
        at += length;
    }
    ck_assert_uint_eq(i, DB_COUNT(lengths));
    db_codepoints_release(&codes);
}
END_TEST

START_TEST(settings)
{
    struct db_tokenizer *other;

    ck_assert_int_eq(open_texts("{\"pad_token\": \"!\", \"model_max_length\": "
                                "1000000000000000019884624838656}",
                                NULL, &other),
                     0);
    ck_assert_int_eq(db_tokenizer_padding_id(other),
                     vocabulary_find(vocabulary, "!"));
    ck_assert_uint_eq(db_tokenizer_model_length(other), 77);
    db_tokenizer_free(other);
    ck_assert_int_eq(open_texts("{\"model_max_length\": 16}",
                                "{\"pad_token\": {\"content\": \"dog</w>\"}, "
                                "\"bos_token\": null}",
                                &other),
                     0);
    ck_assert_int_eq(db_tokenizer_padding_id(other),
                     vocabulary_find(vocabulary, "dog</w>"));
    ck_assert_uint_eq(db_tokenizer_model_length(other), 16);
    db_tokenizer_free(other);
}
END_TEST

START_TEST(wrong_settings)
{
    static const char *const configs[] = {
        "",
        "[]",
        "{\"pad_token\": 3}",
        "{\"pad_token\": {\"content\": 3}}",
        "{\"pad_token\": \"no such token\"}",
        "{\"model_max_length\": \"77\"}",
        "{\"model_max_length\": 1}",
        "{\"model_max_length\": -5}",
    };
    struct db_tokenizer *other = NULL;

    for (size_t i = 0; i < DB_COUNT(configs); i++) {
        ck_assert_int_eq(open_texts(configs[i], NULL, &other),
                         DREAMBOOTH_EFORMAT);
        ck_assert_int_eq(open_texts(NULL, configs[i], &other),
                         DREAMBOOTH_EFORMAT);
        ck_assert_ptr_null(other);
    }
}
END_TEST

static int open_pair(const char *vocab, size_t vocab_length, const char *merges,
                     size_t merges_length)
{
    struct db_tokenizer *other = NULL;
    int status = db_tokenizer_open_memory(&env, vocab, vocab_length, merges,
                                          merges_length, NULL, NULL, &other);

    ck_assert(status == 0 ? other != NULL : other == NULL);
    db_tokenizer_free(other);
    return status;
}

START_TEST(wrong_vocabularies)
{
    static const char *const vocabs[] = {
        "",
        "{}",
        "[1]",
        "{\"a\": \"0\"}",
        "{\"a\": 1}",
        "{\"a\": -1}",
        "{\"a\": 0.0}",
        "{\"\": 0}",
        "{\"a\": 0, \"b\": 0}",
        "{\"a\": 0, \"a\": 1}",
        "{\"a\": 0}",
        "{\"a\\u0000\": 0}",
    };
    static const char *const merges[] = {
        "d\n", "d \n", " d\n", "d o g\n", "d nosuch\n", "x y\n", "\xff \xfe\n",
    };

    for (size_t i = 0; i < DB_COUNT(vocabs); i++)
        ck_assert_int_eq(open_pair(vocabs[i], strlen(vocabs[i]), "", 0),
                         DREAMBOOTH_EFORMAT);
    for (size_t i = 0; i < DB_COUNT(merges); i++)
        ck_assert_int_eq(open_pair(vocabulary->vocab_json,
                                   strlen(vocabulary->vocab_json), merges[i],
                                   strlen(merges[i])),
                         DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(open_pair(vocabulary->vocab_json,
                               strlen(vocabulary->vocab_json), "d o\r\n\r\n",
                               7),
                     0);
}
END_TEST

START_TEST(cut_files)
{
    size_t vocab = strlen(vocabulary->vocab_json);
    size_t merges = strlen(vocabulary->merges_txt);
    size_t step = unit_is_quick() ? 97 : 1;

    for (size_t i = 0; i < vocab; i += step)
        ck_assert_int_eq(open_pair(vocabulary->vocab_json, i,
                                   vocabulary->merges_txt, merges),
                         DREAMBOOTH_EFORMAT);
    for (size_t i = 0; i < merges; i += step)
        open_pair(vocabulary->vocab_json, vocab, vocabulary->merges_txt, i);
}
END_TEST

START_TEST(flipped_bits)
{
    char *texts[] = {vocabulary->vocab_json, vocabulary->merges_txt};
    size_t vocab = strlen(texts[0]), merges = strlen(texts[1]);
    size_t step = unit_is_quick() ? 131 : 3;

    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < (which == 0 ? vocab : merges) * 8; i += step) {
            texts[which][i / 8] ^= (char)(1 << i % 8);
            open_pair(texts[0], vocab, texts[1], merges);
            texts[which][i / 8] ^= (char)(1 << i % 8);
        }
    }
}
END_TEST

START_TEST(folders)
{
    static const char *const names[] = {"vocab.json", "merges.txt",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json"};
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX], *first, *second;
    struct db_tokenizer *other = NULL;
    size_t size, again;

    unit_directory_new(folder);
    ck_assert_int_eq(db_tokenizer_open(&env, folder, &other),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(db_tokenizer_save(tokenizer, folder), 0);
    ck_assert_int_eq(db_tokenizer_open(&env, folder, &other), 0);
    ck_assert_uint_eq(db_tokenizer_vocabulary_size(other),
                      db_tokenizer_vocabulary_size(tokenizer));
    ck_assert_int_eq(db_tokenizer_padding_id(other),
                     db_tokenizer_padding_id(tokenizer));
    for (size_t i = 0; i < DB_COUNT(names); i++) {
        first = unit_read_file(unit_path(path, folder, names[i]), &size);
        ck_assert_int_eq(remove(path), 0);
        ck_assert_int_eq(db_tokenizer_save(other, folder), 0);
        second = unit_read_file(path, &again);
        ck_assert_uint_eq(size, again);
        ck_assert_mem_eq(first, second, size);
        free(first);
        free(second);
    }
    db_tokenizer_free(other);
    unit_directory_free(folder);
    ck_assert_int_eq(db_tokenizer_save(tokenizer, folder),
                     DREAMBOOTH_ENOTFOUND);
}
END_TEST

/* The one-file form; MERGE is how a merge is written. To be freed. */
static char *one_file(const char *head, const char *merge)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(stream);
    fprintf(stream, "{%s\"vocab\": %s, \"merges\": [", head,
            vocabulary->vocab_json);
    for (int i = 0; i < vocabulary->merge_count; i++) {
        fputs(i == 0 ? "" : ", ", stream);
        fprintf(stream, merge, vocabulary->merges[i][0],
                vocabulary->merges[i][1]);
    }
    fputs("]}}", stream);
    fclose(stream);
    return text;
}

#define ADDED                                                                  \
    "\"added_tokens\": [{\"id\": 3, \"content\": \"$\"}, {\"id\": %d, "        \
    "\"content\": \"<new>\"}],"
#define MODEL                                                                  \
    "\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", "

static int open_one_file(const char *text, size_t length)
{
    struct db_text_file fast = {"tokenizer.json", NULL, length};
    struct db_text_file vocab = {"vocab.json", NULL, 0};
    struct db_text_file merges = {"merges.txt", NULL, 0};
    int status;

    fast.bytes = malloc(length + 1); /* so that reading beyond it shows */
    ck_assert_ptr_nonnull(fast.bytes);
    memcpy(fast.bytes, text, length);
    status = db_tokenizer_convert(&env, &fast, &vocab, &merges);
    free(fast.bytes);
    if (status == 0)
        status =
            open_pair(vocab.bytes, vocab.length, merges.bytes, merges.length);
    db_free(&env, vocab.bytes);
    db_free(&env, merges.bytes);
    return status;
}

START_TEST(one_file_form)
{
    static const char *const merges[] = {"\"%s %s\"", "[\"%s\", \"%s\"]"};
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX], head[256], *text, *saved;
    struct db_tokenizer *other;
    size_t size;

    snprintf(head, sizeof(head), ADDED MODEL, vocabulary->count);
    for (size_t i = 0; i < DB_COUNT(merges); i++) {
        text = one_file(head, merges[i]);
        unit_directory_new(folder);
        unit_path(path, folder, "tokenizer.json");
        unit_write_file(path, text, strlen(text));
        ck_assert_int_eq(db_tokenizer_open(&env, folder, &other), 0);
        ck_assert_uint_eq(db_tokenizer_vocabulary_size(other),
                          (size_t)vocabulary->count + 1);
        ck_assert_int_eq(db_tokenizer_save(other, folder), 0);
        saved = unit_read_file(unit_path(path, folder, "merges.txt"), &size);
        ck_assert_str_eq(saved, vocabulary->merges_txt);
        db_tokenizer_free(other);
        unit_directory_free(folder);
        free(saved);
        free(text);
    }
}
END_TEST

START_TEST(damaged_one_file_form)
{
    static const char *const heads[] = {
        "\"model\": {\"type\": \"BPE\", ",
        "\"model\": {\"type\": \"Unigram\", \"end_of_word_suffix\": "
        "\"</w>\", ",
    };
    char *text = one_file(MODEL, "[\"%s\", \"%s\"]"), *other;
    size_t length = strlen(text), step = unit_is_quick() ? 211 : 5;

    ck_assert_int_eq(open_one_file(text, length), 0);
    for (size_t i = 0; i < length; i += step)
        ck_assert_int_eq(open_one_file(text, i), DREAMBOOTH_EFORMAT);
    for (size_t i = 0; i < length * 8; i += step) {
        text[i / 8] ^= (char)(1 << i % 8);
        open_one_file(text, length);
        text[i / 8] ^= (char)(1 << i % 8);
    }
    free(text);
    for (size_t i = 0; i < DB_COUNT(heads); i++) {
        other = one_file(heads[i], "\"%s %s\"");
        ck_assert_int_eq(open_one_file(other, strlen(other)),
                         DREAMBOOTH_EUNSUPPORTED);
        free(other);
    }
    other = one_file(MODEL, "[\"%s\", 3, \"%s\"]");
    ck_assert_int_eq(open_one_file(other, strlen(other)), DREAMBOOTH_EFORMAT);
    free(other);
    ck_assert_int_eq(open_one_file("{}", 2), DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(open_one_file("[]", 2), DREAMBOOTH_EFORMAT);
}
END_TEST

static void count_warnings(void *user, int level, const char *text)
{
    if (level == DB_LOG_WARNING && strstr(text, "added_tokens.json") != NULL)
        *(int *)user += 1;
}

START_TEST(added_tokens)
{
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    struct db_tokenizer *other;
    int warnings = 0;

    unit_directory_new(folder);
    ck_assert_int_eq(db_tokenizer_save(tokenizer, folder), 0);
    unit_write_file(unit_path(path, folder, "added_tokens.json"), "{}", 2);
    env.log = count_warnings;
    env.log_user = &warnings;
    ck_assert_int_eq(db_tokenizer_open(&env, folder, &other), 0);
    ck_assert_int_eq(warnings, 1);
    db_tokenizer_free(other);
    unit_directory_free(folder);
}
END_TEST

START_TEST(place_holder)
{
    char *prompt;

    ck_assert(db_prompt_has_place_holder("a [V] dog"));
    ck_assert(!db_prompt_has_place_holder("a V dog"));
    ck_assert_int_eq(db_prompt_fill(&env, "[V] a [V]dog[V", "[V]x", &prompt),
                     0);
    ck_assert_str_eq(prompt, "[V]x a [V]xdog[V");
    db_free(&env, prompt);
    ck_assert_int_eq(db_prompt_fill(&env, "a [V] dog", NULL, &prompt), 0);
    ck_assert_str_eq(prompt, "a [V] dog");
    db_free(&env, prompt);
    ck_assert_int_eq(db_prompt_fill(&env, "", "x", &prompt), 0);
    ck_assert_str_eq(prompt, "");
    db_free(&env, prompt);
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

/* Everything once; the status of the first that failed. */
static int use_everything(const char *folder)
{
    static const char text[] =
        "A \u201cphoto\u201d &amp; caf\u00c3\u00a9 \u0142\u00c3\u00b3 of the "
        "\u0130 q\u0307\u0323 \xff";
    struct db_truncation truncation = {0, NULL};
    struct db_tokenizer *other = NULL;
    int32_t *ids = NULL, padded[8];
    size_t count = 0, length;
    char *back = NULL, *prompt = NULL;
    int status = db_tokenizer_open(&env, folder, &other);

    if (status == 0)
        status = db_tokenizer_encode(other, text, strlen(text), &ids, &count);
    if (status == 0)
        status = db_tokenizer_decode(other, ids, count, &back, &length);
    if (status == 0)
        status = db_tokenizer_encode_padded(other, text, strlen(text), 8,
                                            padded, &truncation);
    if (status == 0)
        status = db_prompt_fill(&env, "a [V] dog", "xyz", &prompt);
    if (status == 0)
        status = db_tokenizer_save(other, folder);
    db_free(&env, ids);
    db_free(&env, back);
    db_free(&env, prompt);
    db_free(&env, truncation.text);
    db_tokenizer_free(other);
    return status;
}

START_TEST(failing_memory)
{
    struct scarce scarce = {0};
    uint64_t live = env.live_bytes;
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    int status = DREAMBOOTH_ENOMEM;
    long n;

    unit_directory_new(folder);
    ck_assert_int_eq(db_tokenizer_save(tokenizer, folder), 0);
    ck_assert_int_eq(remove(unit_path(path, folder, "tokenizer_config.json")),
                     0);
    for (n = 0; status != 0; n++) {
        db_resize_function *usual = env.resize;

        scarce.left = n;
        env.resize = scarce_resize;
        env.resize_user = &scarce;
        status = use_everything(folder);
        ck_assert(status == 0 || status == DREAMBOOTH_ENOMEM);
        ck_assert_uint_eq(env.live_bytes, live);
        env.resize = usual;
        remove(path);
    }
    ck_assert_int_gt(n, 100);
    unit_directory_free(folder);
}
END_TEST

START_TEST(failing_memory_in_one_file)
{
    struct scarce scarce = {0};
    db_resize_function *usual = env.resize;
    uint64_t live = env.live_bytes;
    char *text = one_file(MODEL, "[\"%s\", \"%s\"]");
    int status = DREAMBOOTH_ENOMEM;

    for (long n = 0; status != 0; n++) {
        scarce.left = n;
        env.resize = scarce_resize;
        env.resize_user = &scarce;
        status = open_one_file(text, strlen(text));
        env.resize = usual;
        ck_assert(status == 0 || status == DREAMBOOTH_ENOMEM);
        ck_assert_uint_eq(env.live_bytes, live);
    }
    free(text);
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

static Suite *tokenizer_suite(void)
{
    Suite *suite = suite_create("tokenizer");

    add(suite, "byte alphabet", byte_alphabet);
    add(suite, "words to tokens", words_to_tokens);
    add(suite, "decoding", decoding);
    add(suite, "facts", facts);
    add(suite, "padding and truncation", padding_and_truncation);
    add(suite, "merging", merging_is_by_the_definition);
    add(suite, "long words", long_words);
    add(suite, "any bytes", any_bytes);
    add(suite, "cleaning", cleaning);
    add(suite, "splitting", splitting);
    add(suite, "settings", settings);
    add(suite, "wrong settings", wrong_settings);
    add(suite, "wrong vocabularies", wrong_vocabularies);
    add(suite, "cut files", cut_files);
    add(suite, "flipped bits", flipped_bits);
    add(suite, "folders", folders);
    add(suite, "one-file form", one_file_form);
    add(suite, "damaged one-file form", damaged_one_file_form);
    add(suite, "added tokens", added_tokens);
    add(suite, "place holder", place_holder);
    add(suite, "failing memory", failing_memory);
    add(suite, "failing memory, one file", failing_memory_in_one_file);
    return suite;
}

int main(void)
{
    return unit_main(tokenizer_suite());
}

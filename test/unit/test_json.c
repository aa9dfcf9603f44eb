/* SPDX-License-Identifier: MIT */
/*
 * JSON files: what is wrong with one is told with file, line and key, and what
 * is written reads back the same in every locale.
 */
#include "unit.h"

#include <locale.h>

#include "file/folder.h"
#include "file/json.h"

static const char sample[] =
    "{\"name\": \"caf\\u00e9\\n\", \"size\": 8, \"factor\": 0.18215, \"flag\": "
    "true,\n \"list\": [16, 32, 32], \"inner\": {\"b\": null, \"a\": []}, "
    "\"tiny\": 1e-08, \"whole\": 2.0, \"big\": 1e300, \"none\": null}";

static json_t *parse(struct db_env *env, const char *text)
{
    json_t *value = NULL;

    ck_assert_msg(db_json_parse(env, "x.json", text, strlen(text), &value) == 0,
                  "%s", env->error_text);
    return value;
}

START_TEST(test_getters)
{
    struct db_env env;
    struct db_json_reader reader = {&env, "x.json", NULL};
    json_t *value;
    int64_t integer = -1, list[3];
    double real = -1;
    bool flag = false;
    const char *text = NULL;
    const json_t *inner = NULL;
    size_t count = 0;

    db_env_init(&env);
    value = parse(&env, sample);
    reader.object = value;
    ck_assert_int_eq(
        db_json_get_integer(&reader, "size", DB_JSON_REQUIRED, &integer), 0);
    ck_assert_int_eq(integer, 8);
    ck_assert_int_eq(
        db_json_get_real(&reader, "factor", DB_JSON_REQUIRED, &real), 0);
    ck_assert(real == 0.18215);
    ck_assert_int_eq(db_json_get_real(&reader, "size", DB_JSON_REQUIRED, &real),
                     0);
    ck_assert(real == 8);
    ck_assert_int_eq(
        db_json_get_boolean(&reader, "flag", DB_JSON_REQUIRED, &flag), 0);
    ck_assert(flag);
    ck_assert_int_eq(db_json_get_text(&reader, "name", DB_JSON_REQUIRED, &text),
                     0);
    ck_assert_str_eq(text, "caf\xc3\xa9\n");
    ck_assert_int_eq(
        db_json_get_object(&reader, "inner", DB_JSON_REQUIRED, &inner), 0);
    ck_assert_uint_eq(json_object_size(inner), 2);
    ck_assert_int_eq(
        db_json_get_array(&reader, "list", DB_JSON_REQUIRED, &inner), 0);
    ck_assert_int_eq(db_json_get_integers(&reader, "list", DB_JSON_REQUIRED,
                                          list, 3, &count),
                     0);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(list[2], 32);
    ck_assert(db_json_has(&reader, "size"));
    ck_assert(!db_json_has(&reader, "none"));
    ck_assert(!db_json_has(&reader, "absent"));
    json_decref(value);
}
END_TEST

START_TEST(test_getter_errors)
{
    struct db_env env;
    struct db_json_reader reader = {&env, "x.json", NULL};
    json_t *value;
    int64_t integer = 77, list[2];
    double real;
    bool flag;
    const char *text;
    const json_t *inner;
    size_t count;

    db_env_init(&env);
    value = parse(&env, sample);
    reader.object = value;
    ck_assert_int_eq(
        db_json_get_integer(&reader, "none", DB_JSON_OPTIONAL, &integer), 0);
    ck_assert_int_eq(
        db_json_get_integer(&reader, "absent", DB_JSON_OPTIONAL, &integer), 0);
    ck_assert_int_eq(
        db_json_get_integer(&reader, "absent", DB_JSON_REQUIRED, &integer),
        DREAMBOOTH_EFORMAT);
    ck_assert_ptr_nonnull(strstr(env.error_text, "x.json: \"absent\""));
    ck_assert_int_eq(
        db_json_get_integer(&reader, "factor", DB_JSON_OPTIONAL, &integer),
        DREAMBOOTH_EFORMAT);
    ck_assert_ptr_nonnull(strstr(env.error_text, "x.json: \"factor\""));
    ck_assert_int_eq(db_json_get_real(&reader, "flag", DB_JSON_OPTIONAL, &real),
                     DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(
        db_json_get_boolean(&reader, "size", DB_JSON_OPTIONAL, &flag),
        DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(db_json_get_text(&reader, "size", DB_JSON_OPTIONAL, &text),
                     DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(
        db_json_get_array(&reader, "size", DB_JSON_OPTIONAL, &inner),
        DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(
        db_json_get_object(&reader, "list", DB_JSON_OPTIONAL, &inner),
        DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(db_json_get_integers(&reader, "list", DB_JSON_OPTIONAL,
                                          list, 2, &count),
                     DREAMBOOTH_EUNSUPPORTED);
    ck_assert_int_eq(db_json_get_integers(&reader, "name", DB_JSON_OPTIONAL,
                                          list, 2, &count),
                     DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(integer, 77);
    json_decref(value);
}
END_TEST

static const struct {
    const char *text;
    const char *error;
} broken[] = {
    {"[1]", "object"},
    {"{\"a\": 1, \"a\": 2}", "duplicate"},
    {"{\"a\": {\"b\": 1,\n\"b\": 2}}", "line 2"},
    {"{\"a\": 1", "line 1"},
    {"{\n\n\"a\": tru}", "line 3"},
    {"{\"a\": 99999999999999999999}", "integer"},
    {"{\"a\": 1e999}", "real"},
    {"{\"a\": NaN}", "line 1"},
    {"{\"a\": \"\xff\"}", "0xff"},
    {"{} {}", "end of file"},
};

START_TEST(test_broken)
{
    struct db_env env;
    json_t *value = NULL;
    char deep[8192] = "{\"a\": ";

    db_env_init(&env);
    for (size_t i = 0; i < DB_COUNT(broken); i++) {
        ck_assert_int_eq(db_json_parse(&env, "x.json", broken[i].text,
                                       strlen(broken[i].text), &value),
                         DREAMBOOTH_EFORMAT);
        ck_assert_msg(strstr(env.error_text, broken[i].error) != NULL, "%s: %s",
                      broken[i].text, env.error_text);
        ck_assert_ptr_nonnull(strstr(env.error_text, "x.json"));
    }
    memset(deep + 6, '[', sizeof(deep) - 7);
    ck_assert_int_eq(db_json_parse(&env, "x.json", deep, strlen(deep), &value),
                     DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(db_json_load(&env, "/nowhere/x.json", &value),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_ptr_null(value);
}
END_TEST

START_TEST(test_text)
{
    static const char want[] = "{\n"
                               "  \"big\": 1e+300,\n"
                               "  \"factor\": 0.18215,\n"
                               "  \"flag\": true,\n"
                               "  \"inner\": {\n"
                               "    \"a\": [],\n"
                               "    \"b\": null\n"
                               "  },\n"
                               "  \"list\": [\n"
                               "    16,\n"
                               "    32,\n"
                               "    32\n"
                               "  ],\n"
                               "  \"name\": \"caf\xc3\xa9\\n\",\n"
                               "  \"none\": null,\n"
                               "  \"size\": 8,\n"
                               "  \"tiny\": 1e-08,\n"
                               "  \"whole\": 2.0\n"
                               "}\n";
    struct db_env env;
    json_t *value;
    char *text;

    db_env_init(&env);
    value = parse(&env, sample);
    ck_assert_int_eq(db_json_text(&env, value, &text), 0);
    ck_assert_str_eq(text, want);
    db_free(&env, text);
    json_decref(value);
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

/* Odd strings and numbers through a file and back. */
START_TEST(test_save)
{
    static const double reals[] = {0.1,  1.0 / 3,  -0.0, 5e-324, 1.7e308,
                                   1e15, 123456.0, 1e21, -2.5e-7};
    struct db_env env;
    json_t *value = json_object(), *list = json_array(), *read;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a.json");
    for (size_t i = 0; i < DB_COUNT(reals); i++)
        json_array_append_new(list, json_real(reals[i]));
    json_array_append_new(list, json_integer(INT64_MIN));
    json_array_append_new(
        list, json_stringn("\"\\/\b\f\n\r\t\x01\x1f\x7f \xf0\x9f\x90\x95", 16));
    json_object_set_new(value, "li\"st", list);
    json_object_set_new(value, "", json_object());
    ck_assert_int_eq(db_json_save(&env, path, value), 0);
    ck_assert_int_eq(db_json_load(&env, path, &read), 0);
    ck_assert(json_equal(value, read));
    json_decref(read);
    ck_assert_int_eq(db_json_save(&env, "/nowhere/x.json", value),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(db_json_save(&env, path, NULL), DREAMBOOTH_ENOMEM);
    ck_assert_ptr_nonnull(strstr(env.error_text, path));
    json_decref(value);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* Where a locale with a decimal comma is installed. */
START_TEST(test_locale)
{
    static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8",
                                         "de_DE.utf8", "ru_RU.UTF-8"};
    char *old = strdup(setlocale(LC_NUMERIC, NULL));
    struct db_env env;
    json_t *value;
    char *text;

    db_env_init(&env);
    for (size_t i = 0; i < DB_COUNT(commas); i++)
        if (setlocale(LC_NUMERIC, commas[i]) != NULL)
            break;
    value = parse(&env, "{\"a\": 0.5}");
    ck_assert(json_real_value(json_object_get(value, "a")) == 0.5);
    ck_assert_int_eq(db_json_text(&env, value, &text), 0);
    ck_assert_str_eq(text, "{\n  \"a\": 0.5\n}\n");
    setlocale(LC_NUMERIC, old);
    db_free(&env, text);
    json_decref(value);
    free(old);
}
END_TEST

START_TEST(test_folders)
{
    struct db_env env;
    struct db_folder_list list;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    char *text;

    db_env_init(&env);
    unit_directory_new(directory);
    unit_write_file(unit_path(path, directory, "b"), "", 0);
    unit_write_file(unit_path(path, directory, "B10"), "", 0);
    unit_write_file(unit_path(path, directory, "\xc3\xa4"), "", 0);
    unit_write_file(unit_path(path, directory, ".hidden"), "", 0);
    ck_assert_int_eq(mkdir(unit_path(path, directory, "sub"), 0777), 0);
    ck_assert_int_eq(symlink("nowhere", unit_path(path, directory, "dangling")),
                     0);
    ck_assert_int_eq(symlink("b", unit_path(path, directory, "link")), 0);
    ck_assert_int_eq(db_folder_files(&env, directory, &list), 0);
    ck_assert_uint_eq(list.count, 4);
    ck_assert_str_eq(list.names[0], "B10");
    ck_assert_str_eq(list.names[1], "b");
    ck_assert_str_eq(list.names[2], "link");
    ck_assert_str_eq(list.names[3], "\xc3\xa4");
    db_folder_list_free(&env, &list);
    ck_assert_int_eq(db_folder_folders(&env, directory, &list), 0);
    ck_assert_uint_eq(list.count, 1);
    db_folder_list_free(&env, &list);
    ck_assert_int_eq(db_folder_files(&env, path, &list), DREAMBOOTH_ENOTFOUND);
    ck_assert(db_path_is_folder(directory) && !db_path_is_file(directory));
    ck_assert(db_path_is_file(path) && !db_path_is_folder(path));
    ck_assert_str_eq(db_path_name("a/b"), "b");
    ck_assert_str_eq(db_path_name("b"), "b");
    ck_assert_str_eq(db_path_name("a/b/"), "b/");
    text = db_path_parent(&env, "/a");
    ck_assert_str_eq(text, "/");
    db_free(&env, text);
    text = db_path_parent(&env, "a//b/");
    ck_assert_str_eq(text, "a");
    db_free(&env, text);
    text = db_path_parent(&env, "a");
    ck_assert_str_eq(text, ".");
    db_free(&env, text);
    text = db_path_join(&env, "a/", "b");
    ck_assert_str_eq(text, "a/b");
    db_free(&env, text);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

static Suite *json_suite(void)
{
    Suite *suite = suite_create("json");

    unit_add(suite, "getters", test_getters);
    unit_add(suite, "getter errors", test_getter_errors);
    unit_add(suite, "broken", test_broken);
    unit_add(suite, "text", test_text);
    unit_add(suite, "save", test_save);
    unit_add(suite, "locale", test_locale);
    unit_add(suite, "folders", test_folders);
    return suite;
}

int main(void)
{
    return unit_main(json_suite());
}

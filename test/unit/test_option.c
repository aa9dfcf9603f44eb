/* SPDX-License-Identifier: MIT */
/* Option tables, numbers as text, text buffers. */
#include "unit.h"

#include <locale.h>
#include <math.h>

#include "base/option.h"
#include "base/text.h"

struct settings {
    bool flip;
    int64_t steps;
    double learning_rate;
    double guidance;
    char *prompt;
    char *out;
    int crop;
    uint32_t untouched; /* no row names it */
};

static const char *const crops[] = {"center", "random", NULL};

#define FIELD(field) offsetof(struct settings, field)

static const struct db_option rows[] = {
    {.name = "flip",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(flip),
     .default_text = "true"},
    {.name = "steps",
     .type = DB_OPTION_INTEGER,
     .offset = FIELD(steps),
     .default_text = "50",
     .minimum = 1,
     .maximum = 1000},
    {.name = "learning-rate",
     .type = DB_OPTION_REAL,
     .offset = FIELD(learning_rate),
     .default_text = "5e-6",
     .maximum = 1,
     .minimum_open = true},
    {.name = "guidance-scale",
     .type = DB_OPTION_REAL,
     .offset = FIELD(guidance),
     .maximum = INFINITY},
    {.name = "prompt",
     .type = DB_OPTION_TEXT,
     .offset = FIELD(prompt),
     .default_text = "a dog"},
    {.name = "out", .type = DB_OPTION_TEXT, .offset = FIELD(out)},
    {.name = "crop",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(crop),
     .choices = crops,
     .default_text = "random"},
};

static const struct db_option_table table = {"a trainer", rows, DB_COUNT(rows)};

static struct db_env env;
static struct settings settings;

static void begin(void)
{
    db_env_init(&env);
    memset(&settings, 0xee, sizeof(settings));
    ck_assert_int_eq(db_options_init(&env, &table, &settings), DREAMBOOTH_OK);
}

static void end(void)
{
    db_options_release(&env, &table, &settings);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static void expect_error(const char *name, const char *text, int status,
                         const char *message)
{
    ck_assert_int_eq(db_options_set(&env, &table, &settings, name, text),
                     status);
    ck_assert_str_eq(env.error_text, message);
}

START_TEST(defaults_are_set)
{
    begin();
    ck_assert(settings.flip);
    ck_assert_int_eq(settings.steps, 50);
    ck_assert_double_eq(settings.learning_rate, 5e-6);
    ck_assert_double_eq(settings.guidance, 0);
    ck_assert_str_eq(settings.prompt, "a dog");
    ck_assert_ptr_null(settings.out);
    ck_assert_int_eq(settings.crop, 1);
    ck_assert_uint_eq(settings.untouched, 0xeeeeeeee);
    end();
}
END_TEST

START_TEST(every_type_is_read)
{
    static const char *const words[][2] = {
        {"true", "false"}, {"yes", "no"}, {"on", "off"}, {"1", "0"}};
    size_t i;

    begin();
    for (i = 0; i < DB_COUNT(words); i++) {
        ck_assert_int_eq(
            db_options_set(&env, &table, &settings, "flip", words[i][1]), 0);
        ck_assert(!settings.flip);
        ck_assert_int_eq(
            db_options_set(&env, &table, &settings, "flip", words[i][0]), 0);
        ck_assert(settings.flip);
    }
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "steps", "+7"), 0);
    ck_assert_int_eq(settings.steps, 7);
    ck_assert_int_eq(
        db_options_set(&env, &table, &settings, "learning_rate", ".5E-1"), 0);
    ck_assert_double_eq(settings.learning_rate, 0.05);
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "prompt", ""), 0);
    ck_assert_str_eq(settings.prompt, "");
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "prompt", NULL),
                     0);
    ck_assert_ptr_null(settings.prompt);
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "crop", "center"),
                     0);
    ck_assert_int_eq(settings.crop, 0);
    end();
}
END_TEST

START_TEST(errors_say_what_is_right)
{
    begin();
    expect_error("learning-rate", "fast", DREAMBOOTH_EINVAL,
                 "option \"learning-rate\": \"fast\" is not a number; give a "
                 "number > 0 and <= 1, such as 5e-6");
    expect_error("learning-rate", "0", DREAMBOOTH_EINVAL,
                 "option \"learning-rate\": \"0\" is out of range; give a "
                 "number > 0 and <= 1, such as 5e-6");
    expect_error("steps", "1001", DREAMBOOTH_EINVAL,
                 "option \"steps\": \"1001\" is out of range; give a whole "
                 "number from 1 to 1000, such as 50");
    expect_error("steps", "5.5", DREAMBOOTH_EINVAL,
                 "option \"steps\": \"5.5\" is not a whole number; give a "
                 "whole number from 1 to 1000, such as 50");
    expect_error("guidance-scale", "-1", DREAMBOOTH_EINVAL,
                 "option \"guidance-scale\": \"-1\" is out of range; give a "
                 "number >= 0");
    expect_error("flip", "maybe", DREAMBOOTH_EINVAL,
                 "option \"flip\": \"maybe\" is neither yes nor no; give true "
                 "or false");
    expect_error("crop", "left", DREAMBOOTH_EINVAL,
                 "option \"crop\": \"left\" is not known; give one of center, "
                 "random");
    expect_error("steps", NULL, DREAMBOOTH_EINVAL,
                 "option \"steps\": \"(null)\" is no value; give a whole "
                 "number from 1 to 1000, such as 50");
    ck_assert_double_eq(settings.learning_rate, 5e-6);
    ck_assert_int_eq(settings.steps, 50);
    end();
}
END_TEST

START_TEST(a_typo_is_answered_with_the_name)
{
    begin();
    expect_error("learning-rat", "1", DREAMBOOTH_ENOTFOUND,
                 "unknown option \"learning-rat\" for a trainer; did you mean "
                 "\"learning-rate\"?");
    expect_error("setps", "1", DREAMBOOTH_ENOTFOUND,
                 "unknown option \"setps\" for a trainer; did you mean "
                 "\"steps\"?");
    expect_error("xyzzy", "1", DREAMBOOTH_ENOTFOUND,
                 "unknown option \"xyzzy\" for a trainer");
    expect_error("", "1", DREAMBOOTH_ENOTFOUND,
                 "unknown option \"\" for a trainer");
    end();
}
END_TEST

START_TEST(typed_setters_check_as_well)
{
    begin();
    ck_assert_int_eq(
        db_options_set_integer(&env, &table, &settings, "steps", 20), 0);
    ck_assert_int_eq(settings.steps, 20);
    ck_assert_int_eq(db_options_set_real(&env, &table, &settings, "steps", 30),
                     0);
    ck_assert_int_eq(settings.steps, 30);
    ck_assert_int_eq(
        db_options_set_real(&env, &table, &settings, "steps", 30.5),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_options_set_integer(&env, &table, &settings, "steps", 0),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_options_set_integer(&env, &table, &settings, "flip", 0),
                     0);
    ck_assert(!settings.flip);
    ck_assert_int_eq(db_options_set_integer(&env, &table, &settings, "flip", 2),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_options_set_integer(&env, &table, &settings, "learning-rate", 1), 0);
    ck_assert_double_eq(settings.learning_rate, 1);
    ck_assert_int_eq(db_options_set_real(&env, &table, &settings,
                                         "learning-rate", (double)NAN),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_options_set_integer(&env, &table, &settings, "prompt", 1),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(db_options_set_integer(&env, &table, &settings, "crop", 1),
                     DREAMBOOTH_EINVAL);
    end();
}
END_TEST

static void expect_text(const char *name, const char *want)
{
    char *text = NULL;

    ck_assert_int_eq(db_options_get_text(&env, &table, &settings, name, &text),
                     0);
    if (want == NULL)
        ck_assert_ptr_null(text);
    else
        ck_assert_str_eq(text, want);
    db_free(&env, text);
}

START_TEST(getters_give_what_setters_take)
{
    int64_t integer = 0;
    double real = 0;

    begin();
    expect_text("flip", "true");
    expect_text("steps", "50");
    expect_text("learning-rate", "5e-06");
    expect_text("prompt", "a dog");
    expect_text("out", NULL);
    expect_text("crop", "random");
    ck_assert_int_eq(
        db_options_get_integer(&env, &table, &settings, "crop", &integer),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(integer, 0);
    ck_assert_int_eq(
        db_options_get_real(&env, &table, &settings, "steps", &real), 0);
    ck_assert_double_eq(real, 50);
    ck_assert_int_eq(
        db_options_get_real(&env, &table, &settings, "learning-rate", &real),
        0);
    ck_assert_double_eq(real, 5e-6);
    ck_assert_int_eq(db_options_get_integer(&env, &table, &settings,
                                            "learning-rate", &integer),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_options_get_real(&env, &table, &settings, "prompt", &real),
        DREAMBOOTH_EINVAL);
    ck_assert_int_eq(integer, 0);
    end();
}
END_TEST

START_TEST(a_copy_is_deep)
{
    struct settings copy;

    begin();
    ck_assert_int_eq(db_options_init(&env, &table, &copy), 0);
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "out", "x.png"),
                     0);
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "prompt", NULL),
                     0);
    ck_assert_int_eq(db_options_set(&env, &table, &settings, "crop", "center"),
                     0);
    ck_assert_int_eq(db_options_copy(&env, &table, &copy, &settings), 0);
    ck_assert_ptr_ne(copy.out, settings.out);
    ck_assert_str_eq(copy.out, "x.png");
    ck_assert_ptr_null(copy.prompt);
    ck_assert_int_eq(copy.crop, 0);
    db_options_release(&env, &table, &copy);
    end();
}
END_TEST

/* An allocator that fails at its n-th call. */
static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    int *left = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if ((*left)-- <= 0)
        return NULL;
    return realloc(pointer, size);
}

/* Everything that allocates, once; the first failure is handed up. */
static int use_options(void)
{
    struct settings one, two;
    char *text;
    int status = db_options_init(&env, &table, &one);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_options_init(&env, &table, &two);
    if (status != DREAMBOOTH_OK)
        goto release_one;
    status = db_options_set(&env, &table, &one, "out", "x");
    if (status == DREAMBOOTH_OK)
        status = db_options_copy(&env, &table, &two, &one);
    if (status == DREAMBOOTH_OK)
        status = db_options_get_text(&env, &table, &two, "out", &text);
    if (status == DREAMBOOTH_OK)
        db_free(&env, text);
    db_options_release(&env, &table, &two);
release_one:
    db_options_release(&env, &table, &one);
    return status;
}

START_TEST(every_allocation_may_fail)
{
    int calls, left, status = DREAMBOOTH_ENOMEM;

    for (calls = 0; status != DREAMBOOTH_OK; calls++) {
        ck_assert_int_lt(calls, 100);
        left = calls;
        db_env_init(&env);
        env.resize = failing_resize;
        env.resize_user = &left;
        status = use_options();
        ck_assert(status == DREAMBOOTH_OK || status == DREAMBOOTH_ENOMEM);
        ck_assert_uint_eq(env.live_bytes, 0);
    }
    ck_assert_int_gt(calls, 6);
}
END_TEST

START_TEST(numbers_are_read_strictly)
{
    static const char *const wrong[] = {"",    " 1",    "1 ",  "0x10", "1e",
                                        "e5",  ".",     "+",   "inf",  "nan",
                                        "1,5", "1.5.2", "1e+", "--1",  "1e999"};
    double real = 7;
    int64_t integer = 7;
    size_t i;

    for (i = 0; i < DB_COUNT(wrong); i++) {
        ck_assert_msg(!db_read_real(wrong[i], &real), "%s", wrong[i]);
        ck_assert_msg(!db_read_integer(wrong[i], &integer), "%s", wrong[i]);
    }
    ck_assert_double_eq(real, 7);
    ck_assert(db_read_integer("-9223372036854775808", &integer));
    ck_assert(integer == INT64_MIN);
    ck_assert(!db_read_integer("9223372036854775808", &integer));
    ck_assert(db_read_real("-1.", &real));
    ck_assert_double_eq(real, -1);
}
END_TEST

START_TEST(numbers_are_written_to_be_read)
{
    static const double values[] = {0.1,    1.0 / 3,   5e-6, 1e22,  -2.5,     0,
                                    1e-310, 0.1 + 0.2, 7.5,  1e300, 123456789};
    char text[DB_REAL_TEXT];
    double back;
    size_t i;

    for (i = 0; i < DB_COUNT(values); i++) {
        db_real_text(values[i], text);
        ck_assert(db_read_real(text, &back));
        ck_assert(back == values[i]);
    }
    db_real_text(0.1, text);
    ck_assert_str_eq(text, "0.1");
    db_real_text(-INFINITY, text);
    ck_assert_str_eq(text, "-inf");
}
END_TEST

START_TEST(a_decimal_comma_changes_nothing)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8",
                                        "fr_FR.UTF-8", "de_DE"};
    char text[DB_REAL_TEXT];
    double back;
    size_t i;

    for (i = 0; i < DB_COUNT(names); i++)
        if (setlocale(LC_NUMERIC, names[i]) != NULL)
            break;
    db_real_text(0.125, text);
    ck_assert(db_read_real("1234.5e-1", &back));
    setlocale(LC_NUMERIC, "C");
    ck_assert_str_eq(text, "0.125");
    ck_assert_double_eq(back, 123.45);
}
END_TEST

START_TEST(text_grows)
{
    struct db_text text = {0};
    char *taken;
    int i;

    db_env_init(&env);
    for (i = 0; i < 100; i++)
        ck_assert_int_eq(db_text_appendf(&env, &text, "%d,", i), 0);
    ck_assert_int_eq(db_text_append(&env, &text, "end"), 0);
    ck_assert_uint_eq(text.length, 293);
    ck_assert_int_eq(db_text_take(&env, &text, &taken), 0);
    ck_assert_uint_eq(strlen(taken), 293);
    db_free(&env, taken);
    ck_assert_int_eq(db_text_take(&env, &text, &taken), 0);
    ck_assert_str_eq(taken, "");
    db_free(&env, taken);
    db_text_free(&env, &text);
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

START_TEST(edit_distances)
{
    ck_assert_uint_eq(db_edit_distance("", "abc"), 3);
    ck_assert_uint_eq(db_edit_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(db_edit_distance("steps", "setps"), 1);
    ck_assert_uint_eq(db_edit_distance("a-b", "a_b"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("option");

    unit_add(suite, "defaults", defaults_are_set);
    unit_add(suite, "types", every_type_is_read);
    unit_add(suite, "errors", errors_say_what_is_right);
    unit_add(suite, "typos", a_typo_is_answered_with_the_name);
    unit_add(suite, "typed setters", typed_setters_check_as_well);
    unit_add(suite, "getters", getters_give_what_setters_take);
    unit_add(suite, "copy", a_copy_is_deep);
    unit_add(suite, "allocation failure", every_allocation_may_fail);
    unit_add(suite, "reading numbers", numbers_are_read_strictly);
    unit_add(suite, "writing numbers", numbers_are_written_to_be_read);
    unit_add(suite, "decimal comma", a_decimal_comma_changes_nothing);
    unit_add(suite, "text", text_grows);
    unit_add(suite, "edit distance", edit_distances);
    return unit_main(suite);
}

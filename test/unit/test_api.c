/* SPDX-License-Identifier: MIT */
/*
 * The public handles as a program uses them: settings and facts, pictures,
 * tokens, identifiers, models; and what happens when they are used wrongly.
 */
#include "api.h"

#include <pthread.h>

START_TEST(test_context_options)
{
    const char *text = NULL;
    int64_t number = -1;

    api_ok(dreambooth_context_set(api_context, "threads", "3"));
    api_ok(dreambooth_context_get_integer(api_context, "threads", &number));
    ck_assert_int_eq(number, 3);
    api_ok(dreambooth_context_get_text(api_context, "threads", &text));
    ck_assert_str_eq(text, "3");
    api_ok(dreambooth_context_set_integer(api_context, "memory_limit",
                                          123456789012));
    api_ok(dreambooth_context_get_text(api_context, "memory-limit", &text));
    ck_assert_str_eq(text, "123456789012");

    api_fails(dreambooth_context_set(api_context, "thread", "3"),
              DREAMBOOTH_ENOTFOUND, "did you mean \"threads\"");
    api_fails(dreambooth_context_set(api_context, "threads", "-1"),
              DREAMBOOTH_EINVAL, "out of range");
    api_fails(dreambooth_context_set(api_context, "threads", "many"),
              DREAMBOOTH_EINVAL, "not a whole number");
    api_fails(dreambooth_context_set_integer(api_context, "threads", 5000),
              DREAMBOOTH_EINVAL, "0 to 1024");
    api_fails(dreambooth_context_set(api_context, "backend", "abacus"),
              DREAMBOOTH_ENOTFOUND, "abacus");
    api_fails(dreambooth_context_set(api_context, "backend", NULL),
              DREAMBOOTH_ENOTFOUND, "backend");
    api_fails(dreambooth_context_set_integer(api_context, "backend", 1),
              DREAMBOOTH_EINVAL, "backend");
    number = 77;
    api_fails(dreambooth_context_get_integer(api_context, "backend", &number),
              DREAMBOOTH_EINVAL, "get it as text");
    ck_assert_int_eq(number, 77);
}
END_TEST

START_TEST(test_context_with_model)
{
    dreambooth_model *model = api_model(api_context);
    int64_t live = 0, peak = 0;

    api_fails(dreambooth_context_set(api_context, "threads", "2"),
              DREAMBOOTH_ESTATE, "has models");
    api_fails(dreambooth_context_set(api_context, "backend", "reference"),
              DREAMBOOTH_ESTATE, "has models");
    api_ok(dreambooth_context_get_integer(api_context, "memory.live", &live));
    api_ok(dreambooth_context_get_integer(api_context, "memory.peak", &peak));
    ck_assert_int_gt(live, 50000);
    ck_assert_int_ge(peak, live);
    dreambooth_model_free(model);
    api_ok(dreambooth_context_set(api_context, "threads", "2"));
    api_ok(dreambooth_context_set(api_context, "backend", "reference"));
}
END_TEST

/* Every option of every handle is told completely. */
START_TEST(test_option_info)
{
    static const char *const handles[] = {"context", "identifier", "sampler",
                                          "trainer"};
    static const char *const fields[] = {"name",        "type",    "range",
                                         "default",     "unit",    "help",
                                         "placeholder", "advanced"};
    size_t h, f, i;
    char text[512];

    for (h = 0; h < DB_COUNT(handles); h++) {
        for (i = 0;; i++) {
            if (dreambooth_option_info(handles[h], i, "name", text,
                                       sizeof(text)) != DREAMBOOTH_OK)
                break;
            ck_assert_uint_gt(strlen(text), 1);
            for (f = 0; f < DB_COUNT(fields); f++)
                ck_assert_int_eq(dreambooth_option_info(handles[h], i,
                                                        fields[f], text,
                                                        sizeof(text)),
                                 DREAMBOOTH_OK);
            dreambooth_option_info(handles[h], i, "help", text, sizeof(text));
            ck_assert_uint_gt(strlen(text), 5);
            dreambooth_option_info(handles[h], i, "range", text, sizeof(text));
            ck_assert_uint_gt(strlen(text), 5);
        }
        ck_assert_uint_ge(i, 3);
    }
    ck_assert_int_eq(dreambooth_option_info("sampler", 0, "name", text, 4),
                     DREAMBOOTH_OK);
    ck_assert_str_eq(text, "pro");
    ck_assert_int_eq(dreambooth_option_info("sampler", 0, "colour", text, 4),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(dreambooth_option_info("kettle", 0, "name", text, 4),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(dreambooth_option_info(NULL, 0, "name", text, 4),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(dreambooth_option_info("sampler", 0, NULL, text, 4),
                     DREAMBOOTH_EINVAL);
}
END_TEST

START_TEST(test_choices)
{
    char text[512];
    size_t i = 0;

    while (dreambooth_option_info("sampler", i, "name", text, sizeof(text)) ==
               DREAMBOOTH_OK &&
           strcmp(text, "sampler") != 0)
        i++;
    ck_assert_int_eq(
        dreambooth_option_info("sampler", i, "choices", text, sizeof(text)),
        DREAMBOOTH_OK);
    ck_assert_ptr_nonnull(strstr(text, "ddpm ddim"));
    ck_assert_int_eq(
        dreambooth_option_info("sampler", 0, "choices", text, sizeof(text)),
        DREAMBOOTH_OK);
    ck_assert_str_eq(text, "");
}
END_TEST

/* Every fact of every handle is told, and can be asked for. */
START_TEST(test_fact_info)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, NULL);
    dreambooth_trainer *trainer = NULL;
    char name[80], text[256];
    const char *value;
    size_t i;

    api_ok(dreambooth_trainer_new(&trainer, model));
    for (i = 0; dreambooth_fact_info("trainer", i, "name", name,
                                     sizeof(name)) == DREAMBOOTH_OK;
         i++) {
        api_ok(dreambooth_trainer_get_text(trainer, name, &value));
        api_ok(dreambooth_fact_info("trainer", i, "help", text, sizeof(text)));
        ck_assert_uint_gt(strlen(text), 5);
        api_ok(dreambooth_fact_info("trainer", i, "type", text, sizeof(text)));
        api_ok(dreambooth_fact_info("trainer", i, "unit", text, sizeof(text)));
    }
    ck_assert_uint_ge(i, 19);
    for (i = 0; dreambooth_fact_info("sampler", i, "name", name,
                                     sizeof(name)) == DREAMBOOTH_OK;
         i++)
        api_ok(dreambooth_sampler_get_text(sampler, name, &value));
    ck_assert_uint_eq(i, 2);
    for (i = 0; dreambooth_fact_info("model", i, "name", name, sizeof(name)) ==
                DREAMBOOTH_OK;
         i++) {
        if (strncmp(name, "part.N", 6) == 0)
            name[5] = '1';
        if (strcmp(name, "record.KEY") != 0)
            api_ok(dreambooth_model_get_text(model, name, &value));
    }
    ck_assert_uint_ge(i, 11);
    api_ok(dreambooth_model_get_text(model, "size", &value));
    ck_assert_str_eq(value, "16");
    ck_assert_int_eq(dreambooth_fact_info("context", 2, "name", text, 9),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(dreambooth_fact_info("identifier", 0, "name", text, 9),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(dreambooth_fact_info("model", 0, "default", text, 9),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(dreambooth_fact_info(NULL, 0, "name", text, 9),
                     DREAMBOOTH_EINVAL);
    dreambooth_trainer_free(trainer);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_build_info)
{
    static const char *const fields[] = {"version", "backends", "blas",
                                         "cpu",     "compiler", "libraries"};
    char text[1024];
    size_t i;

    for (i = 0; i < DB_COUNT(fields); i++) {
        ck_assert_int_eq(dreambooth_build_info(fields[i], text, sizeof(text)),
                         DREAMBOOTH_OK);
        ck_assert_uint_gt(strlen(text), 2);
        ck_assert_ptr_null(strchr(text, '\n'));
    }
    ck_assert_int_eq(dreambooth_build_info("backends", text, 10),
                     DREAMBOOTH_OK);
    ck_assert_str_eq(text, "reference");
    ck_assert_int_eq(dreambooth_build_info("colour", text, sizeof(text)),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_int_eq(dreambooth_build_info(NULL, text, sizeof(text)),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(dreambooth_build_info("cpu", NULL, 3), DREAMBOOTH_EINVAL);
}
END_TEST

/* The declarations hold all handles, and nothing of a preprocessor. */
START_TEST(test_declarations)
{
    const char *text = dreambooth_declarations();

    ck_assert_ptr_nonnull(strstr(text, "dreambooth_trainer_step("));
    ck_assert_ptr_nonnull(strstr(text, "dreambooth_identifier_word("));
    ck_assert_ptr_nonnull(strstr(text, "DREAMBOOTH_EINTERNAL = -12"));
    ck_assert_ptr_null(strchr(text, '#'));
    ck_assert_ptr_null(strstr(text, "dreambooth_backend"));
    ck_assert_ptr_null(strstr(text, "extern"));
}
END_TEST

/* Handles keep alive what they were made of. */
START_TEST(test_any_order_of_freeing)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model;
    dreambooth_sampler *sampler = NULL;
    dreambooth_trainer *trainer = NULL;
    dreambooth_tokenizer *tokenizer = NULL;
    dreambooth_identifier *of_tokenizer = NULL, *of_model = NULL;
    dreambooth_image *image, *copy = NULL;
    const char *findings;

    ck_assert_int_eq(dreambooth_context_new(&context), DREAMBOOTH_OK);
    model = api_model(context);
    image = api_picture(context, 1, 9, 7);
    ck_assert_int_eq(dreambooth_sampler_new(&sampler, model), 0);
    ck_assert_int_eq(dreambooth_trainer_new(&trainer, model), 0);
    ck_assert_int_eq(dreambooth_identifier_new_for_model(&of_model, model), 0);
    ck_assert_int_eq(dreambooth_tokenizer_open(&tokenizer, context, api_config),
                     0);
    ck_assert_int_eq(dreambooth_identifier_new(&of_tokenizer, tokenizer), 0);
    dreambooth_context_free(context);
    dreambooth_model_free(model);
    dreambooth_tokenizer_free(tokenizer);
    ck_assert_int_eq(dreambooth_image_square(&copy, image, 5), DREAMBOOTH_OK);
    dreambooth_image_free(image);
    ck_assert_int_eq(
        dreambooth_identifier_check(of_tokenizer, "dog", &findings), 0);
    ck_assert_int_eq(dreambooth_identifier_check(of_model, "dog", &findings),
                     0);
    dreambooth_identifier_free(of_model);
    dreambooth_trainer_free(trainer);
    ck_assert_int_eq(dreambooth_sampler_set(sampler, "prompt", "a dog"), 0);
    ck_assert_int_eq(dreambooth_sampler_set(sampler, "steps", "1"), 0);
    ck_assert_int_eq(dreambooth_sampler_run(sampler), DREAMBOOTH_OK);
    dreambooth_sampler_free(sampler);
    dreambooth_identifier_free(of_tokenizer);
    dreambooth_image_free(copy);
}
END_TEST

static void count_lines(void *user, int level, const char *text)
{
    int *count = user;

    (void)level;
    (void)text;
    ++*count;
}

/* Lines are kept while nobody listens: the oldest first, the latest 64. */
START_TEST(test_kept_lines)
{
    static api_settings settings = {"prompt", "a [V] dog", "steps", "1", NULL};
    dreambooth_model *model = api_model(api_context);
    const char *text = "untouched";
    int level = -1, count = 0, i;

    ck_assert_int_eq(dreambooth_context_next_log(api_context, &level, &text),
                     DREAMBOOTH_DONE);
    ck_assert_str_eq(text, "untouched");
    for (i = 0; i < 70; i++)
        dreambooth_image_free(api_draw(model, settings));
    while (dreambooth_context_next_log(api_context, &level, &text) ==
           DREAMBOOTH_OK) {
        ck_assert_int_eq(level, DREAMBOOTH_LOG_INFO);
        ck_assert_ptr_nonnull(strstr(text, "[V]"));
        count++;
    }
    ck_assert_int_eq(count, 64);
    count = 0;
    dreambooth_context_set_log(api_context, count_lines, &count);
    dreambooth_image_free(api_draw(model, settings));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(dreambooth_context_next_log(api_context, &level, &text),
                     DREAMBOOTH_DONE);
    api_fails(dreambooth_context_next_log(api_context, NULL, &text),
              DREAMBOOTH_EINVAL, "level");
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_statuses)
{
    int status;

    ck_assert_str_eq(dreambooth_status_name(DREAMBOOTH_DONE),
                     "DREAMBOOTH_DONE");
    ck_assert_str_eq(dreambooth_status_name(DREAMBOOTH_OK), "DREAMBOOTH_OK");
    for (status = DREAMBOOTH_EINTERNAL; status <= DREAMBOOTH_DONE; status++)
        ck_assert_int_eq(
            strncmp(dreambooth_status_name(status), "DREAMBOOTH_", 11), 0);
    ck_assert_str_eq(dreambooth_status_name(-13), "unknown status");
    ck_assert_str_eq(dreambooth_status_name(2), "unknown status");
    ck_assert_uint_gt(strlen(dreambooth_version()), 4);
    ck_assert_int_eq(dreambooth_context_new(NULL), DREAMBOOTH_EINVAL);
}
END_TEST

START_TEST(test_null_names)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, NULL);
    dreambooth_trainer *trainer = NULL;
    const char *text = "untouched";
    int64_t number = 7;

    api_ok(dreambooth_trainer_new(&trainer, model));
    api_fails(dreambooth_context_set(api_context, NULL, "1"), DREAMBOOTH_EINVAL,
              "NULL");
    api_fails(dreambooth_context_set_integer(api_context, NULL, 1),
              DREAMBOOTH_EINVAL, "NULL");
    api_fails(dreambooth_context_get_text(api_context, NULL, &text),
              DREAMBOOTH_EINVAL, "\"name\" is NULL");
    api_fails(dreambooth_context_get_text(api_context, "threads", NULL),
              DREAMBOOTH_EINVAL, "\"out\" is NULL");
    api_fails(dreambooth_sampler_set(sampler, NULL, "1"), DREAMBOOTH_EINVAL,
              "NULL");
    api_fails(dreambooth_sampler_set(sampler, "steps", NULL), DREAMBOOTH_EINVAL,
              "steps");
    api_fails(dreambooth_sampler_get_integer(sampler, NULL, &number),
              DREAMBOOTH_EINVAL, "NULL");
    api_fails(dreambooth_trainer_set(trainer, NULL, NULL), DREAMBOOTH_EINVAL,
              "NULL");
    api_fails(dreambooth_trainer_add_folder(trainer, NULL), DREAMBOOTH_EINVAL,
              "\"folder\" is NULL");
    api_fails(dreambooth_trainer_add_image(trainer, NULL), DREAMBOOTH_EINVAL,
              "\"image\" is NULL");
    api_fails(dreambooth_model_get_text(model, NULL, &text), DREAMBOOTH_EINVAL,
              "\"name\" is NULL");
    ck_assert_str_eq(text, "untouched");
    ck_assert_int_eq(number, 7);
    dreambooth_trainer_free(trainer);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_null_paths)
{
    dreambooth_model *model = api_model(api_context), *other = NULL;
    dreambooth_image *image = NULL;
    dreambooth_tokenizer *tokenizer = NULL;

    api_fails(dreambooth_model_open(&other, api_context, NULL),
              DREAMBOOTH_EINVAL, "\"folder\" is NULL");
    api_fails(dreambooth_model_describe(&other, api_context, NULL),
              DREAMBOOTH_EINVAL, "\"folder\" is NULL");
    api_fails(dreambooth_model_init(&other, api_context, NULL, NULL, 1),
              DREAMBOOTH_EINVAL, "\"folder\" is NULL");
    api_fails(dreambooth_model_save(model, NULL, NULL), DREAMBOOTH_EINVAL,
              "\"folder\" is NULL");
    api_fails(dreambooth_image_read(&image, api_context, NULL),
              DREAMBOOTH_EINVAL, "\"path\" is NULL");
    api_fails(dreambooth_image_decode(&image, api_context, NULL, NULL, 5),
              DREAMBOOTH_EINVAL, "\"bytes\" is NULL");
    api_fails(dreambooth_tokenizer_open(&tokenizer, api_context, NULL),
              DREAMBOOTH_EINVAL, "\"folder\" is NULL");
    ck_assert_ptr_null(other);
    ck_assert_ptr_null(image);
    ck_assert_ptr_null(tokenizer);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_null_is_freed)
{
    dreambooth_context_free(NULL);
    dreambooth_model_free(NULL);
    dreambooth_image_free(NULL);
    dreambooth_sampler_free(NULL);
    dreambooth_trainer_free(NULL);
    dreambooth_tokenizer_free(NULL);
    dreambooth_identifier_free(NULL);
}
END_TEST

START_TEST(test_option_types)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_sampler *sampler = api_sampler(model, NULL);
    dreambooth_trainer *trainer = NULL;
    const char *text = NULL;
    double real = 0;
    int64_t number = 0;

    api_ok(dreambooth_sampler_set_double(sampler, "guidance-scale", 2.5));
    api_ok(dreambooth_sampler_get_text(sampler, "guidance-scale", &text));
    ck_assert_str_eq(text, "2.5");
    api_ok(dreambooth_sampler_get_double(sampler, "guidance-scale", &real));
    ck_assert_double_eq(real, 2.5);
    api_ok(dreambooth_sampler_set_integer(sampler, "guidance-scale", 3));
    api_ok(dreambooth_sampler_set_double(sampler, "steps", 20));
    api_ok(dreambooth_sampler_get_integer(sampler, "steps", &number));
    ck_assert_int_eq(number, 20);
    api_ok(dreambooth_sampler_get_double(sampler, "steps", &real));
    ck_assert_double_eq(real, 20);
    api_fails(dreambooth_sampler_set_double(sampler, "steps", 20.5),
              DREAMBOOTH_EINVAL, "whole number");
    api_fails(dreambooth_sampler_set(sampler, "sampler", "brush"),
              DREAMBOOTH_EINVAL, "one of auto, ddpm");
    api_fails(dreambooth_sampler_set(sampler, "promt", "x"),
              DREAMBOOTH_ENOTFOUND, "did you mean \"prompt\"");
    api_ok(dreambooth_sampler_set(sampler, "prompt", NULL));
    api_ok(dreambooth_sampler_get_text(sampler, "prompt", &text));
    ck_assert_str_eq(text, "");

    api_ok(dreambooth_trainer_new(&trainer, model));
    api_ok(dreambooth_trainer_set(trainer, "flip", "yes"));
    api_ok(dreambooth_trainer_get_integer(trainer, "flip", &number));
    ck_assert_int_eq(number, 1);
    api_ok(dreambooth_trainer_get_double(trainer, "learning-rate", &real));
    ck_assert_double_eq(real, 5e-6);
    api_fails(dreambooth_trainer_set_double(trainer, "learning-rate", 0),
              DREAMBOOTH_EINVAL, "> 0");
    api_fails(dreambooth_trainer_set(trainer, "learning-rate", "nan"),
              DREAMBOOTH_EINVAL, "learning-rate");
    api_fails(dreambooth_trainer_get_double(trainer, "out", &real),
              DREAMBOOTH_EINVAL, "out");
    dreambooth_trainer_free(trainer);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
}
END_TEST

START_TEST(test_images)
{
    dreambooth_image *image = api_picture(api_context, 1, 30, 20);
    dreambooth_image *other = NULL, *square = NULL, *sheet = NULL;
    dreambooth_image *both[2];
    const char *key = "prompt", *value = "a d\xc3\xb6g";
    char path[UNIT_PATH_MAX], *bytes, *read = NULL;
    struct db_env env;
    size_t size;

    db_env_init(&env);
    api_path(path, "image.png");
    api_ok(dreambooth_image_write(image, path, &key, &value, 1));
    api_ok(dreambooth_image_read(&other, api_context, path));
    ck_assert(api_same_picture(image, other));
    dreambooth_image_free(other);
    bytes = unit_read_file(path, &size);
    api_ok(dreambooth_image_decode(&other, api_context, NULL, bytes, size));
    ck_assert(api_same_picture(image, other));
    ck_assert_int_eq(db_png_read_text(&env, path, "prompt", &read), 0);
    ck_assert_str_eq(read, value);
    db_free(&env, read);
    api_ok(dreambooth_image_square(&square, image, 16));
    ck_assert_int_eq(dreambooth_image_width(square), 16);
    ck_assert_int_eq(dreambooth_image_height(square), 16);
    both[0] = image;
    both[1] = square;
    api_ok(dreambooth_image_sheet(&sheet, api_context, both, 2, 0, 3));
    ck_assert_int_eq(dreambooth_image_width(sheet), 3 + 30 + 3 + 30 + 3);
    ck_assert_int_eq(dreambooth_image_height(sheet), 3 + 20 + 3);
    ck_assert_int_eq(dreambooth_image_pixels(sheet)[0], 255);
    dreambooth_image_free(sheet);
    sheet = NULL;
    api_ok(dreambooth_image_sheet(&sheet, api_context, both, 2, 1, 0));
    ck_assert_int_eq(dreambooth_image_height(sheet), 40);
    dreambooth_image_free(sheet);
    dreambooth_image_free(square);
    dreambooth_image_free(other);
    dreambooth_image_free(image);
    free(bytes);
}
END_TEST

START_TEST(test_image_errors)
{
    dreambooth_image *image = api_picture(api_context, 1, 30, 20);
    dreambooth_image *out = NULL;
    const char *key = "", *value = "x";
    char path[UNIT_PATH_MAX], inner[UNIT_PATH_MAX];

    api_fails(dreambooth_image_read(&out, api_context, api_path(path, "no")),
              DREAMBOOTH_ENOTFOUND, path);
    api_fails(
        dreambooth_image_decode(&out, api_context, "letter", "dear reader", 11),
        DREAMBOOTH_EFORMAT, "letter");
    api_fails(dreambooth_image_new(&out, api_context, 0, 4, NULL),
              DREAMBOOTH_EINVAL, "0 x 4");
    api_fails(dreambooth_image_new(&out, api_context, 40000, 4, NULL),
              DREAMBOOTH_EUNSUPPORTED, "40000");
    api_fails(dreambooth_image_square(&out, image, 0), DREAMBOOTH_EINVAL,
              "0 pixels");
    api_fails(dreambooth_image_square(&out, image, 2000000000),
              DREAMBOOTH_EINVAL, "2000000000");
    api_fails(dreambooth_image_sheet(&out, api_context, &image, 0, 0, 0),
              DREAMBOOTH_EINVAL, "1 to 1000000");
    api_fails(
        dreambooth_image_sheet(&out, api_context, &image, 1, 0, 2000000000),
        DREAMBOOTH_EINVAL, "impossible");
    api_fails(dreambooth_image_write(image, path, &key, &value, 1),
              DREAMBOOTH_EINVAL, "1 to 79");
    key = NULL;
    api_fails(dreambooth_image_write(image, path, &key, &value, 1),
              DREAMBOOTH_EINVAL, "NULL");
    api_fails(dreambooth_image_write(image, path, NULL, &value, 1),
              DREAMBOOTH_EINVAL, "NULL");
    ck_assert_int_ne(access(path, F_OK), 0);
    unit_path(inner, path, "deep.png");
    ck_assert_int_lt(dreambooth_image_write(image, inner, NULL, NULL, 0), 0);
    ck_assert_ptr_null(out);
    dreambooth_image_free(image);
}
END_TEST

START_TEST(test_tokenizer)
{
    static const char text[] = "A photo of a qzx dog!";
    dreambooth_tokenizer *tokenizer = NULL;
    int32_t ids[64], few[2] = {-1, -1}, padded[8], bad = 1 << 30;
    char word[64], tiny_buffer[4] = "###";
    size_t count = 0, some = 0, length = 0, dropped = 99;

    api_ok(dreambooth_tokenizer_open(&tokenizer, api_context, api_config));
    api_ok(dreambooth_tokenizer_encode(tokenizer, text, DREAMBOOTH_NUL_ENDED,
                                       NULL, 0, &count));
    ck_assert_uint_eq(count, 7);
    api_ok(dreambooth_tokenizer_encode(tokenizer, text, sizeof(text) - 1, ids,
                                       64, &count));
    api_ok(dreambooth_tokenizer_encode(tokenizer, text, sizeof(text) - 1, few,
                                       2, &some));
    ck_assert_uint_eq(some, 7);
    ck_assert_mem_eq(few, ids, sizeof(few));
    api_ok(
        dreambooth_tokenizer_encode(tokenizer, "a dog", 1, ids + 20, 9, &some));
    ck_assert_uint_eq(some, 1);
    api_ok(dreambooth_tokenizer_decode(tokenizer, ids, count, word,
                                       sizeof(word), &length));
    ck_assert_uint_eq(length, strlen(word));
    ck_assert_ptr_nonnull(strstr(word, "photo of a qzx dog"));
    api_ok(dreambooth_tokenizer_decode(tokenizer, ids, count, tiny_buffer,
                                       sizeof(tiny_buffer), &some));
    ck_assert_uint_eq(some, length);
    ck_assert_str_eq(tiny_buffer, "a p");
    api_ok(dreambooth_tokenizer_decode(tokenizer, ids, count, NULL, 0, &some));
    api_ok(dreambooth_tokenizer_encode_padded(
        tokenizer, text, DREAMBOOTH_NUL_ENDED, padded, 8, &dropped));
    ck_assert_uint_eq(dropped, 1);
    ck_assert_mem_eq(padded + 1, ids, 6 * sizeof(*ids));
    ck_assert_str_eq(dreambooth_tokenizer_token(tokenizer, padded[7]),
                     "<|endoftext|>");
    api_ok(
        dreambooth_tokenizer_encode_padded(tokenizer, "", 0, padded, 2, NULL));
    api_fails(
        dreambooth_tokenizer_encode_padded(tokenizer, text, 3, padded, 1, NULL),
        DREAMBOOTH_EINVAL, "at least 2");
    api_fails(dreambooth_tokenizer_decode(tokenizer, &bad, 1, word, 9, &length),
              DREAMBOOTH_EINVAL, "1073741824");
    ck_assert_ptr_null(dreambooth_tokenizer_token(tokenizer, -1));
    ck_assert_ptr_null(dreambooth_tokenizer_token(tokenizer, bad));
    ck_assert_uint_gt(dreambooth_tokenizer_vocabulary_size(tokenizer), 512);
    ck_assert_uint_eq(dreambooth_tokenizer_prompt_length(tokenizer), 77);
    dreambooth_tokenizer_free(tokenizer);
    tokenizer = NULL;
    api_fails(dreambooth_tokenizer_open(&tokenizer, api_context, api_folder),
              DREAMBOOTH_ENOTFOUND, api_folder);
    ck_assert_ptr_null(tokenizer);
}
END_TEST

START_TEST(test_identifier)
{
    dreambooth_tokenizer *tokenizer = NULL;
    dreambooth_identifier *picker = NULL;
    const char *findings = NULL;
    char first[64];
    size_t count = 0;

    api_ok(dreambooth_tokenizer_open(&tokenizer, api_context, api_config));
    api_ok(dreambooth_identifier_new(&picker, tokenizer));
    ck_assert_uint_eq(dreambooth_identifier_count(picker), 0);
    ck_assert_ptr_null(dreambooth_identifier_word(picker, 0));
    api_ok(dreambooth_identifier_set_integer(picker, "count", 2));
    api_ok(dreambooth_identifier_set(picker, "allow-blocked", "yes"));
    api_ok(dreambooth_identifier_pick(picker));
    ck_assert_uint_eq(dreambooth_identifier_count(picker), 2);
    snprintf(first, sizeof(first), "%s", dreambooth_identifier_word(picker, 0));
    ck_assert_uint_gt(strlen(dreambooth_identifier_explanation(picker, 1)), 5);
    ck_assert_ptr_nonnull(dreambooth_identifier_ids(picker, 0, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_double_eq(dreambooth_identifier_prior(picker, 0), -1);
    api_ok(dreambooth_identifier_pick(picker));
    ck_assert_str_eq(dreambooth_identifier_word(picker, 0), first);
    ck_assert_ptr_null(dreambooth_identifier_ids(picker, 2, &count));
    ck_assert_uint_eq(count, 0);
    api_ok(dreambooth_identifier_set(picker, "count", "1000"));
    api_fails(dreambooth_identifier_pick(picker), DREAMBOOTH_EINVAL, "1000");
    ck_assert_uint_eq(dreambooth_identifier_count(picker), 2);
    api_ok(dreambooth_identifier_check(picker, first, &findings));
    ck_assert_str_eq(findings, "");
    api_ok(dreambooth_identifier_check(picker, "sks", &findings));
    ck_assert_ptr_nonnull(strstr(findings, "splits"));
    api_fails(dreambooth_identifier_check(picker, NULL, &findings),
              DREAMBOOTH_EINVAL, "word");
    api_fails(dreambooth_identifier_set(picker, "token", "2"),
              DREAMBOOTH_ENOTFOUND, "tokens");
    dreambooth_identifier_free(picker);
    dreambooth_tokenizer_free(tokenizer);
}
END_TEST

START_TEST(test_identifier_of_model)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_identifier *picker = NULL;

    api_ok(dreambooth_identifier_new_for_model(&picker, model));
    api_ok(dreambooth_identifier_set_integer(picker, "count", 2));
    api_ok(dreambooth_identifier_set_integer(picker, "draws", 16));
    api_ok(dreambooth_identifier_set(picker, "allow-blocked", "yes"));
    api_ok(dreambooth_identifier_pick(picker));
    ck_assert_double_ge(dreambooth_identifier_prior(picker, 0), 0);
    ck_assert_double_le(dreambooth_identifier_prior(picker, 0),
                        dreambooth_identifier_prior(picker, 1));
    dreambooth_identifier_free(picker);
    dreambooth_model_free(model);
}
END_TEST

static int64_t fact(dreambooth_model *model, const char *name)
{
    int64_t value = -1;

    api_ok(dreambooth_model_get_integer(model, name, &value));
    return value;
}

static const char *text_fact(dreambooth_model *model, const char *name)
{
    const char *text = NULL;

    api_ok(dreambooth_model_get_text(model, name, &text));
    return text;
}

START_TEST(test_model_facts)
{
    dreambooth_model *model = api_model(api_context);
    const char *text = NULL;
    int64_t number = 4;

    ck_assert_int_eq(fact(model, "parts"), 3);
    ck_assert_int_gt(fact(model, "part.0.parameters"), 100);
    ck_assert_int_gt(fact(model, "part.2.tensors"), 10);
    ck_assert_int_eq(fact(model, "size"), 16);
    ck_assert_int_eq(fact(model, "prompt-length"), 8);
    ck_assert_str_eq(text_fact(model, "path"), api_config);
    ck_assert_str_eq(text_fact(model, "scheduler"), "PNDMScheduler");
    ck_assert_uint_gt(strlen(text_fact(model, "part.1.name")), 2);
    ck_assert_str_eq(text_fact(model, "part.1.precision"), "F32");
    api_fails(dreambooth_model_get_integer(model, "part.3.bytes", &number),
              DREAMBOOTH_ENOTFOUND, "part.3.bytes");
    api_fails(dreambooth_model_get_integer(model, "part.-1.bytes", &number),
              DREAMBOOTH_ENOTFOUND, "part.-1");
    api_fails(dreambooth_model_get_integer(
                  model, "part.99999999999999999999.bytes", &number),
              DREAMBOOTH_ENOTFOUND, "part.99");
    api_fails(dreambooth_model_get_text(model, "record.identifier", &text),
              DREAMBOOTH_ENOTFOUND, "record.identifier");
    ck_assert_ptr_null(text);
    ck_assert_int_eq(number, 4);
    dreambooth_model_free(model);
}
END_TEST

/* Half the bytes, the same shapes; what is read back is what was rounded. */
static void check_precision(dreambooth_model *model, const char *precision,
                            const char *name)
{
    char path[UNIT_PATH_MAX], again[UNIT_PATH_MAX];
    dreambooth_model *other = NULL;

    api_path(path, precision);
    api_ok(dreambooth_model_save(model, path, precision));
    api_ok(dreambooth_model_open(&other, api_context, path));
    ck_assert_str_eq(text_fact(other, "part.0.precision"), name);
    ck_assert_int_eq(fact(other, "part.1.parameters"),
                     fact(model, "part.1.parameters"));
    unit_path(again, api_folder, "again");
    api_ok(dreambooth_model_save(other, again, precision));
    ck_assert(api_same_unet(precision, "again"));
    dreambooth_model_free(other);
    unit_directory_free(again);
}

START_TEST(test_model_precisions)
{
    dreambooth_model *model = api_model(api_context), *other = NULL;
    char path[UNIT_PATH_MAX];

    check_precision(model, "f32", "F32");
    check_precision(model, "f16", "F16");
    check_precision(model, "bf16", "BF16");
    api_fails(dreambooth_model_save(model, api_path(path, "f8"), "f8"),
              DREAMBOOTH_EINVAL, "f32, f16, bf16");
    ck_assert_int_ne(access(path, F_OK), 0);
    dreambooth_model_free(model);
    api_fails(dreambooth_model_open(&other, api_context, path),
              DREAMBOOTH_ENOTFOUND, path);
    ck_assert_ptr_null(other);
}
END_TEST

/* A described model is for questions and plans. */
START_TEST(test_model_describe)
{
    dreambooth_model *model = api_model(api_context), *described = NULL;
    dreambooth_sampler *sampler = NULL;
    dreambooth_identifier *picker = NULL;
    char path[UNIT_PATH_MAX], file[UNIT_PATH_MAX];

    api_save(model, "saved");
    dreambooth_model_free(model);
    api_path(path, "saved");
    api_ok(dreambooth_model_describe(&described, api_context, path));
    ck_assert_int_eq(fact(described, "parts"), 3);
    api_fails(dreambooth_sampler_new(&sampler, described), DREAMBOOTH_ESTATE,
              "described");
    api_fails(dreambooth_identifier_new_for_model(&picker, described),
              DREAMBOOTH_ESTATE, "described");
    api_fails(dreambooth_model_save(described, path, NULL), DREAMBOOTH_ESTATE,
              "described");
    dreambooth_model_free(described);
    unit_path(file, path, "unet/diffusion_pytorch_model.safetensors");
    api_ok(dreambooth_model_describe(&described, api_context, file));
    ck_assert_int_eq(fact(described, "parts"), 1);
    ck_assert_int_gt(fact(described, "part.0.tensors"), 20);
    dreambooth_model_free(described);
}
END_TEST

/* What callbacks were given. */
struct heard {
    int logs, progresses;
    int64_t last;
    char text[200];
};

static void hear_log(void *user, int level, const char *text)
{
    struct heard *heard = user;

    ck_assert_int_ge(level, DREAMBOOTH_LOG_DEBUG);
    ck_assert_int_le(level, DREAMBOOTH_LOG_WARNING);
    snprintf(heard->text, sizeof(heard->text), "%s", text);
    heard->logs++;
}

static void hear_progress(void *user, const char *stage, int64_t done,
                          int64_t total)
{
    struct heard *heard = user;

    ck_assert_str_eq(stage, "sampling");
    ck_assert_int_eq(done, heard->last + 1);
    ck_assert_int_ge(total, done);
    heard->last = done;
    heard->progresses++;
}

START_TEST(test_callbacks)
{
    static api_settings settings = {"prompt", "a [V] dog", NULL};
    dreambooth_model *model = api_model(api_context);
    struct heard heard = {0};

    dreambooth_context_set_log(api_context, hear_log, &heard);
    dreambooth_context_set_progress(api_context, hear_progress, &heard);
    dreambooth_image_free(api_draw(model, settings));
    ck_assert_int_gt(heard.progresses, 2);
    ck_assert_int_eq(heard.logs, 1);
    ck_assert_ptr_nonnull(strstr(heard.text, "[V]"));
    dreambooth_context_set_log(api_context, NULL, NULL);
    dreambooth_context_set_progress(api_context, NULL, NULL);
    dreambooth_image_free(api_draw(model, settings));
    ck_assert_int_eq(heard.logs, 1);
    dreambooth_model_free(model);
}
END_TEST

/* Draws in a context of its own, on a thread of its own. */
static void *draw_alone(void *argument)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model;
    dreambooth_sampler *sampler = NULL;
    dreambooth_image *image = NULL;
    unsigned char *sum = argument;
    int i;

    if (dreambooth_context_new(&context) != DREAMBOOTH_OK ||
        dreambooth_context_set(context, "threads", "2") != DREAMBOOTH_OK ||
        dreambooth_model_init(&model, context, api_config, NULL, 5) !=
            DREAMBOOTH_OK ||
        dreambooth_sampler_new(&sampler, model) != DREAMBOOTH_OK ||
        dreambooth_sampler_set(sampler, "prompt", "a photo of a dog") != 0 ||
        dreambooth_sampler_set(sampler, "steps", "3") != DREAMBOOTH_OK ||
        dreambooth_sampler_set(sampler, "seed", "9") != DREAMBOOTH_OK ||
        dreambooth_sampler_run(sampler) != DREAMBOOTH_OK ||
        dreambooth_sampler_image(&image, sampler, 0) != DREAMBOOTH_OK)
        return NULL;
    for (i = 0; i < 16 * 16 * 3; i++)
        sum[i] = dreambooth_image_pixels(image)[i];
    dreambooth_image_free(image);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return argument;
}

START_TEST(test_two_contexts)
{
    dreambooth_model *model = api_model(api_context);
    dreambooth_image *image = api_draw(model, NULL);
    unsigned char pixels[2][16 * 16 * 3];
    pthread_t threads[2];
    void *result;
    int i;

    for (i = 0; i < 2; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, draw_alone, pixels[i]), 0);
    for (i = 0; i < 2; i++) {
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, pixels[i]);
        ck_assert_mem_eq(pixels[i], dreambooth_image_pixels(image),
                         sizeof(pixels[i]));
    }
    dreambooth_image_free(image);
    dreambooth_model_free(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api");

    api_add(suite, "options of a context", test_context_options);
    api_add(suite, "context with a model", test_context_with_model);
    api_add(suite, "option tables", test_option_info);
    api_add(suite, "choices", test_choices);
    api_add(suite, "facts", test_fact_info);
    api_add(suite, "build", test_build_info);
    api_add(suite, "declarations", test_declarations);
    api_add(suite, "any order of freeing", test_any_order_of_freeing);
    api_add(suite, "kept lines", test_kept_lines);
    api_add(suite, "statuses", test_statuses);
    api_add(suite, "NULL for a name", test_null_names);
    api_add(suite, "NULL for a path", test_null_paths);
    api_add(suite, "NULL is freed", test_null_is_freed);
    api_add(suite, "types of options", test_option_types);
    api_add(suite, "images", test_images);
    api_add(suite, "image errors", test_image_errors);
    api_add(suite, "tokenizer", test_tokenizer);
    api_add(suite, "identifier", test_identifier);
    api_add(suite, "identifier of a model", test_identifier_of_model);
    api_add(suite, "model facts", test_model_facts);
    api_add(suite, "precisions", test_model_precisions);
    api_add(suite, "described models", test_model_describe);
    api_add(suite, "callbacks", test_callbacks);
    api_add(suite, "two contexts", test_two_contexts);
    return unit_main(suite);
}

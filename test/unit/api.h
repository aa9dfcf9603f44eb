/* SPDX-License-Identifier: MIT */
/*
 * For tests that use the library as programs do, through its public headers: a
 * context, a tiny model in it, photos, and short ways to set and to compare.
 */
#ifndef API_H
#define API_H

#include "dreambooth/backend.h"
#include "dreambooth/dreambooth.h"
#include "tiny.h"

static char api_folder[UNIT_PATH_MAX]; /* a test's own */
static char api_config[UNIT_PATH_MAX]; /* the tiny model's configuration */
static dreambooth_context *api_context;

/* PATH of NAME in the test's folder. */
static inline char *api_path(char path[UNIT_PATH_MAX], const char *name)
{
    return unit_path(path, api_folder, name);
}

static inline void api_ok(int status)
{
    ck_assert_msg(status == DREAMBOOTH_OK, "%s: %s",
                  dreambooth_status_name(status),
                  dreambooth_context_error(api_context));
}

/* The call failed with EXPECTED and a text that holds PART. */
static inline void api_fails(int status, int expected, const char *part)
{
    const char *text = dreambooth_context_error(api_context);

    ck_assert_msg(status == expected, "%s, not %s: %s",
                  dreambooth_status_name(status),
                  dreambooth_status_name(expected), text);
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in: %s", part,
                  text);
}

static inline void api_setup(void)
{
    unit_directory_new(api_folder);
    api_path(api_config, "config");
    ck_assert_int_eq(mkdir(api_config, 0777), 0);
    tiny_write_model(api_config);
    ck_assert_int_eq(dreambooth_context_new(&api_context), DREAMBOOTH_OK);
}

/* What was made in the context must have been freed: nothing else is live. */
static inline void api_teardown(void)
{
    int64_t live = -1;

    api_ok(dreambooth_context_get_integer(api_context, "memory.live", &live));
    dreambooth_context_free(api_context);
    unit_directory_free(api_folder);
    ck_assert_int_lt(live, 8192);
}

static inline dreambooth_model *api_model(dreambooth_context *context)
{
    dreambooth_model *model = NULL;
    int status = dreambooth_model_init(&model, context, api_config, NULL, 5);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s",
                  dreambooth_context_error(context));
    return model;
}

static inline void api_save(const dreambooth_model *model, const char *name)
{
    char path[UNIT_PATH_MAX];

    api_ok(dreambooth_model_save(model, api_path(path, name), NULL));
}

/* A picture with a pattern that NUMBER chooses. */
static inline dreambooth_image *api_picture(dreambooth_context *context,
                                            int number, int width, int height)
{
    dreambooth_image *image = NULL;
    unsigned char *pixels;
    int x, y, c;

    ck_assert_int_eq(dreambooth_image_new(&image, context, width, height, NULL),
                     DREAMBOOTH_OK);
    pixels = dreambooth_image_pixels(image);
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++)
            for (c = 0; c < 3; c++)
                *pixels++ =
                    (unsigned char)(x * (5 + number) + y * (11 - c) + 70 * c);
    return image;
}

/* COUNT photos, of sides that need cropping, in the test's folder "photos". */
static inline void api_write_photos(int count)
{
    char folder[UNIT_PATH_MAX], path[UNIT_PATH_MAX], name[32];
    int i;

    ck_assert_int_eq(mkdir(api_path(folder, "photos"), 0777), 0);
    for (i = 0; i < count; i++) {
        dreambooth_image *image = api_picture(api_context, i, 24 + i, 20);

        snprintf(name, sizeof(name), "%d.png", i);
        api_ok(dreambooth_image_write(image, unit_path(path, folder, name),
                                      NULL, NULL, 0));
        dreambooth_image_free(image);
    }
}

static inline bool api_same_file(const char *first, const char *second)
{
    char path[UNIT_PATH_MAX];
    size_t size[2];
    char *bytes[2];
    bool same;

    bytes[0] = unit_read_file(api_path(path, first), &size[0]);
    bytes[1] = unit_read_file(api_path(path, second), &size[1]);
    same = size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0;
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

/* Adds the test FUNCTION to SUITE, with a folder and a context of its own. */
static inline void api_add(Suite *suite, const char *name,
                           const TTest *function)
{
    TCase *test_case = tcase_create(name);

    tcase_set_timeout(test_case, 0);
    tcase_add_checked_fixture(test_case, api_setup, api_teardown);
    tcase_add_test(test_case, function);
    suite_add_tcase(suite, test_case);
}

/* Do the two saved models have the same UNet? */
static inline bool api_same_unet(const char *first, const char *second)
{
    const char *file = "unet/diffusion_pytorch_model.safetensors";
    char a[UNIT_PATH_MAX], b[UNIT_PATH_MAX];

    return api_same_file(unit_path(a, first, file), unit_path(b, second, file));
}

/* A list of names and values, ended by NULL. */
typedef const char *const api_settings[];

/* Enough to train: two photos in "photos" must be there. */
static api_settings api_training = {"instance-prompt",
                                    "a qzx dog",
                                    "size",
                                    "16",
                                    "steps",
                                    "4",
                                    "learning-rate",
                                    "1e-3",
                                    "checkpoint-every",
                                    "0",
                                    NULL};

static inline void api_set_trainer(dreambooth_trainer *trainer,
                                   const char *const *settings)
{
    for (; *settings != NULL; settings += 2)
        api_ok(dreambooth_trainer_set(trainer, settings[0], settings[1]));
}

/* A trainer with the settings above, more in MORE (or NULL), and photos. */
static inline dreambooth_trainer *api_trainer(dreambooth_model *model,
                                              const char *const *more)
{
    dreambooth_trainer *trainer = NULL;
    char path[UNIT_PATH_MAX];

    api_ok(dreambooth_trainer_new(&trainer, model));
    api_set_trainer(trainer, api_training);
    api_ok(dreambooth_trainer_add_folder(trainer, api_path(path, "photos")));
    if (more != NULL)
        api_set_trainer(trainer, more);
    return trainer;
}

static inline void api_set_out(dreambooth_trainer *trainer, const char *name)
{
    char path[UNIT_PATH_MAX];

    api_ok(dreambooth_trainer_set(trainer, "out", api_path(path, name)));
}

/* A sampler with few steps, and more settings in MORE (or NULL). */
static inline dreambooth_sampler *api_sampler(dreambooth_model *model,
                                              const char *const *more)
{
    static api_settings basic = {
        "prompt", "a photo of a dog", "steps", "3", "seed", "9", NULL};
    const char *const *lists[] = {basic, more};
    dreambooth_sampler *sampler = NULL;
    const char *const *at;
    int i;

    api_ok(dreambooth_sampler_new(&sampler, model));
    for (i = 0; i < 2; i++)
        for (at = lists[i]; at != NULL && *at != NULL; at += 2)
            api_ok(dreambooth_sampler_set(sampler, at[0], at[1]));
    return sampler;
}

static inline bool api_same_picture(const dreambooth_image *a,
                                    const dreambooth_image *b)
{
    int width = dreambooth_image_width(a), height = dreambooth_image_height(a);
    const unsigned char *x = dreambooth_image_pixels((dreambooth_image *)a);
    const unsigned char *y = dreambooth_image_pixels((dreambooth_image *)b);

    return width == dreambooth_image_width(b) &&
           height == dreambooth_image_height(b) &&
           memcmp(x, y, (size_t)width * (size_t)height * 3) == 0;
}

/* The first image that a sampler with these settings draws. */
static inline dreambooth_image *api_draw(dreambooth_model *model,
                                         const char *const *more)
{
    dreambooth_sampler *sampler = api_sampler(model, more);
    dreambooth_image *image = NULL;

    api_ok(dreambooth_sampler_run(sampler));
    api_ok(dreambooth_sampler_image(&image, sampler, 0));
    dreambooth_sampler_free(sampler);
    return image;
}

#endif

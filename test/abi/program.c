/* SPDX-License-Identifier: MIT */
/*
 * A program of the release that this file is from: it calls every public
 * function once at least, brings an allocator and two backends of its own, and
 * so shows that what was linked against that release still runs. It must only
 * ask for what doc/abi.md promises.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dreambooth/backend.h"
#include "dreambooth/dreambooth.h"

static int passed, failed;

static void check(int holds, const char *what, int line)
{
    if (holds) {
        passed++;
        return;
    }
    printf("program.c:%d: %s\n", line, what);
    failed++;
}

#define CHECK(condition) check((condition), #condition, __LINE__)
#define OK(call) CHECK((call) == DREAMBOOTH_OK)

/* What the callbacks count. */
struct counts {
    size_t live; /* bytes of our allocator */
    int lines, progress, products, convolutions;
};

static void *resize(void *user, void *pointer, size_t old_size, size_t new_size)
{
    struct counts *counts = user;

    counts->live += new_size;
    counts->live -= old_size;
    if (new_size != 0)
        return malloc(new_size);
    free(pointer);
    return NULL;
}

static void count_line(void *user, int level, const char *text)
{
    struct counts *counts = user;

    CHECK(level >= DREAMBOOTH_LOG_DEBUG && level <= DREAMBOOTH_LOG_WARNING);
    CHECK(text[0] != '\0');
    counts->lines++;
}

static void count_progress(void *user, const char *stage, int64_t done,
                           int64_t total)
{
    struct counts *counts = user;

    CHECK(stage[0] != '\0' && done >= 0 && done <= total);
    counts->progress++;
}

/* Backends ---------------------------------------------------------------- */

static dreambooth_backend inherited;

static void mark(void *argument, int64_t index, int worker)
{
    int *marks = argument;

    marks[index] = worker + 1;
}

static int count_gemm(const dreambooth_kernel_host *host,
                      const dreambooth_gemm *a)
{
    struct counts *counts = host->user;
    int *marks = host->scratch_new(host, 3 * sizeof(*marks));
    int i;

    if (marks == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, 3, mark, marks);
    for (i = 0; i < 3; i++)
        if (marks[i] >= 1 && marks[i] <= host->threads)
            counts->products++;
    host->scratch_free(host, marks);
    return inherited.gemm(host, a);
}

static int count_convolution(const dreambooth_kernel_host *host,
                             const dreambooth_conv2d *a)
{
    struct counts *counts = host->user;

    if (host->size >= sizeof(*host) && host->abi == DREAMBOOTH_BACKEND_ABI)
        counts->convolutions++;
    return inherited.conv2d_forward(host, a);
}

/* The second is shorter, as one of an older release is. */
static void add_backends(dreambooth_context *context, struct counts *counts)
{
    dreambooth_backend counting = {0}, shorter = {0};

    OK(dreambooth_context_get_backend(context, "reference", &inherited,
                                      sizeof(inherited)));
    counting.size = sizeof(counting);
    counting.abi = DREAMBOOTH_BACKEND_ABI;
    counting.name = "counting";
    counting.user = counts;
    counting.gemm = count_gemm;
    OK(dreambooth_context_add_backend(context, &counting, "reference"));
    shorter = counting;
    shorter.size = offsetof(dreambooth_backend, conv2d_backward_data);
    shorter.name = "shorter";
    shorter.gemm = NULL;
    shorter.conv2d_forward = count_convolution;
    OK(dreambooth_context_add_backend(context, &shorter, "counting"));
    OK(dreambooth_context_set(context, "backend", "shorter"));
}

/* Handles ----------------------------------------------------------------- */

static void use_base(void)
{
    char text[1024];

    CHECK(strcmp(dreambooth_status_name(DREAMBOOTH_ENOTFOUND),
                 "DREAMBOOTH_ENOTFOUND") == 0);
    OK(dreambooth_build_info("version", text, sizeof(text)));
    CHECK(strcmp(text, dreambooth_version()) == 0);
    CHECK(strstr(dreambooth_declarations(), "dreambooth_version(") != NULL);
    OK(dreambooth_option_info("sampler", 0, "name", text, sizeof(text)));
    CHECK(strcmp(text, "prompt") == 0);
    OK(dreambooth_fact_info("trainer", 0, "name", text, sizeof(text)));
    CHECK(dreambooth_option_info("sampler", 1000, "name", text, sizeof(text)) ==
          DREAMBOOTH_ENOTFOUND);
}

static void use_context(dreambooth_context *context, struct counts *counts)
{
    const char *text;
    int64_t number;
    int level;

    OK(dreambooth_context_set(context, "threads", "2"));
    OK(dreambooth_context_set_integer(context, "memory-limit", 1000000000));
    OK(dreambooth_context_get_integer(context, "memory-limit", &number));
    CHECK(number == 1000000000);
    OK(dreambooth_context_get_text(context, "threads", &text));
    CHECK(strcmp(text, "2") == 0);
    CHECK(dreambooth_context_set(context, "no-such-option", "") ==
          DREAMBOOTH_ENOTFOUND);
    CHECK(strstr(dreambooth_context_error(context), "no-such-option") != NULL);
    CHECK(dreambooth_context_next_log(context, &level, &text) ==
          DREAMBOOTH_DONE);
    dreambooth_context_set_log(context, count_line, counts);
    dreambooth_context_set_progress(context, count_progress, counts);
}

static void use_tokenizer(dreambooth_context *context, const char *folder)
{
    dreambooth_tokenizer *tokenizer;
    int32_t ids[16], padded[16];
    size_t count, dropped, length;
    char text[64];

    OK(dreambooth_tokenizer_open(&tokenizer, context, folder));
    OK(dreambooth_tokenizer_encode(tokenizer, "a robot", DREAMBOOTH_NUL_ENDED,
                                   ids, 16, &count));
    CHECK(count == 2);
    OK(dreambooth_tokenizer_encode_padded(tokenizer, "a robot", 7, padded, 16,
                                          &dropped));
    CHECK(dropped == 0 && padded[1] == ids[0]);
    OK(dreambooth_tokenizer_decode(tokenizer, ids, count, text, sizeof(text),
                                   &length));
    CHECK(strstr(text, "robot") != NULL && length == strlen(text));
    CHECK(strcmp(dreambooth_tokenizer_token(tokenizer, ids[1]), "robot</w>") ==
          0);
    CHECK(dreambooth_tokenizer_vocabulary_size(tokenizer) > (size_t)ids[1]);
    CHECK(dreambooth_tokenizer_prompt_length(tokenizer) > 2);
    dreambooth_tokenizer_free(tokenizer);
}

static void use_identifier(dreambooth_identifier *identifier)
{
    const char *text;
    const int32_t *ids;
    int64_t number;
    size_t count;

    OK(dreambooth_identifier_set(identifier, "count", "2"));
    OK(dreambooth_identifier_set_integer(identifier, "seed", 3));
    OK(dreambooth_identifier_get_integer(identifier, "seed", &number));
    OK(dreambooth_identifier_get_text(identifier, "count", &text));
    CHECK(number == 3 && strcmp(text, "2") == 0);
    OK(dreambooth_identifier_pick(identifier));
    CHECK(dreambooth_identifier_count(identifier) == 2);
    CHECK(dreambooth_identifier_word(identifier, 0) != NULL);
    CHECK(dreambooth_identifier_explanation(identifier, 1) != NULL);
    ids = dreambooth_identifier_ids(identifier, 0, &count);
    CHECK(ids != NULL && count == 1);
    CHECK(dreambooth_identifier_prior(identifier, 0) >= -1);
    OK(dreambooth_identifier_check(identifier, "robot", &text));
    CHECK(text[0] != '\0');
    dreambooth_identifier_free(identifier);
}

static void use_identifiers(dreambooth_context *context,
                            dreambooth_model *model, const char *folder)
{
    dreambooth_tokenizer *tokenizer;
    dreambooth_identifier *identifier;

    OK(dreambooth_identifier_new_for_model(&identifier, model));
    use_identifier(identifier);
    OK(dreambooth_tokenizer_open(&tokenizer, context, folder));
    OK(dreambooth_identifier_new(&identifier, tokenizer));
    dreambooth_tokenizer_free(tokenizer);
    use_identifier(identifier);
}

static void *read_file(const char *path, size_t *size)
{
    static char bytes[100000];
    FILE *file = fopen(path, "rb");

    *size = 0;
    if (file == NULL)
        return bytes;
    *size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    return bytes;
}

static void use_image(dreambooth_context *context)
{
    const char *const keys[] = {"title"}, *const values[] = {"black"};
    dreambooth_image *images[2], *sheet, *square;
    size_t size;
    void *bytes;

    OK(dreambooth_image_new(&images[0], context, 24, 16, NULL));
    dreambooth_image_pixels(images[0])[0] = 200;
    OK(dreambooth_image_write(images[0], "image.png", keys, values, 1));
    OK(dreambooth_image_read(&images[1], context, "image.png"));
    CHECK(dreambooth_image_width(images[1]) == 24);
    CHECK(dreambooth_image_height(images[1]) == 16);
    CHECK(dreambooth_image_pixels(images[1])[0] == 200);
    OK(dreambooth_image_sheet(&sheet, context, images, 2, 1, 1));
    CHECK(dreambooth_image_height(sheet) == 35);
    OK(dreambooth_image_square(&square, sheet, 8));
    CHECK(dreambooth_image_width(square) == 8);
    dreambooth_image_free(square);
    dreambooth_image_free(sheet);
    bytes = read_file("image.png", &size);
    OK(dreambooth_image_decode(&sheet, context, "bytes", bytes, size));
    dreambooth_image_free(sheet);
    dreambooth_image_free(images[0]);
    dreambooth_image_free(images[1]);
}

static void use_model(dreambooth_context *context, const char *config,
                      const char *vocabulary)
{
    dreambooth_model *model;
    const char *text;
    int64_t number;

    OK(dreambooth_model_init(&model, context, config, vocabulary, 1));
    OK(dreambooth_model_get_integer(model, "part.0.parameters", &number));
    CHECK(number > 0);
    OK(dreambooth_model_save(model, "model", "f32"));
    dreambooth_model_free(model);
    OK(dreambooth_model_describe(&model, context, "model"));
    OK(dreambooth_model_get_text(model, "part.0.parameters", &text));
    CHECK(strtoll(text, NULL, 10) == (long long)number);
    dreambooth_model_free(model);
}

/* The run ----------------------------------------------------------------- */

static void add_photos(dreambooth_context *context, dreambooth_trainer *trainer)
{
    dreambooth_image *photo;

    OK(dreambooth_image_new(&photo, context, 32, 32, NULL));
    OK(dreambooth_trainer_add_image(trainer, photo));
    dreambooth_image_free(photo);
}

static void set_trainer(dreambooth_trainer *trainer)
{
    double number;
    const char *text;

    OK(dreambooth_trainer_set(trainer, "instance-prompt", "a [V] robot"));
    OK(dreambooth_trainer_set_integer(trainer, "steps", 2));
    OK(dreambooth_trainer_set_integer(trainer, "size", 32));
    OK(dreambooth_trainer_set_double(trainer, "learning-rate", 1e-4));
    OK(dreambooth_trainer_get_double(trainer, "learning-rate", &number));
    OK(dreambooth_trainer_get_text(trainer, "instance-prompt", &text));
    CHECK(number == 1e-4 && strcmp(text, "a [V] robot") == 0);
}

static void train(dreambooth_context *context, dreambooth_model *model)
{
    dreambooth_trainer *trainer;
    double loss = 0;
    int64_t number;
    int status;

    OK(dreambooth_trainer_new(&trainer, model));
    set_trainer(trainer);
    OK(dreambooth_trainer_add_folder(trainer, "photos"));
    OK(dreambooth_trainer_set(trainer, "instance-dir", NULL));
    add_photos(context, trainer);
    OK(dreambooth_trainer_set(trainer, "out", "trained"));
    OK(dreambooth_trainer_plan(trainer));
    OK(dreambooth_trainer_get_integer(trainer, "plan.memory", &number));
    CHECK(number > 0);
    do {
        status = dreambooth_trainer_prepare(trainer);
    } while (status == DREAMBOOTH_OK);
    CHECK(status == DREAMBOOTH_DONE);
    OK(dreambooth_trainer_step(trainer));
    OK(dreambooth_trainer_get_double(trainer, "loss", &loss));
    CHECK(loss > 0);
    OK(dreambooth_trainer_checkpoint(trainer));
    dreambooth_context_cancel(context);
    CHECK(dreambooth_trainer_step(trainer) == DREAMBOOTH_ECANCELLED);
    dreambooth_context_clear_cancel(context);
    OK(dreambooth_trainer_run(trainer));
    CHECK(dreambooth_trainer_step(trainer) == DREAMBOOTH_DONE);
    if (failed > 0)
        printf("%s\n", dreambooth_context_error(context));
    dreambooth_trainer_free(trainer);
}

static void set_sampler(dreambooth_sampler *sampler)
{
    double number;
    const char *text;

    OK(dreambooth_sampler_set(sampler, "prompt", "a [V] robot"));
    OK(dreambooth_sampler_set_integer(sampler, "steps", 2));
    OK(dreambooth_sampler_set_integer(sampler, "size", 32));
    OK(dreambooth_sampler_set_double(sampler, "guidance-scale", 2));
    OK(dreambooth_sampler_get_double(sampler, "guidance-scale", &number));
    OK(dreambooth_sampler_get_text(sampler, "sampler", &text));
    CHECK(number == 2 && strcmp(text, "auto") == 0);
}

static void draw(dreambooth_model *model)
{
    dreambooth_sampler *sampler;
    dreambooth_image *image;
    int64_t shape[4] = {0}, number = 0;
    float first;

    OK(dreambooth_sampler_new(&sampler, model));
    set_sampler(sampler);
    OK(dreambooth_sampler_step(sampler));
    OK(dreambooth_sampler_get_integer(sampler, "step", &number));
    CHECK(number == 1);
    OK(dreambooth_sampler_latents(sampler, shape, &first, 1));
    CHECK(shape[0] == 1 && shape[1] == 4);
    OK(dreambooth_sampler_preview(&image, sampler, 0));
    dreambooth_image_free(image);
    OK(dreambooth_sampler_run(sampler));
    OK(dreambooth_sampler_image(&image, sampler, 0));
    CHECK(dreambooth_image_width(image) == 32);
    dreambooth_image_free(image);
    OK(dreambooth_sampler_write(sampler, 0, "drawn.png"));
    dreambooth_sampler_free(sampler);
}

int main(int argc, char **argv)
{
    struct counts counts = {0};
    dreambooth_context *context;
    dreambooth_model *model;

    if (argc != 3)
        return 2;
    use_base();
    OK(dreambooth_context_new(&context));
    dreambooth_context_free(context);
    OK(dreambooth_context_new_with_allocator(&context, resize, &counts));
    use_context(context, &counts);
    add_backends(context, &counts);
    use_tokenizer(context, argv[2]);
    use_image(context);
    use_model(context, argv[1], argv[2]);
    OK(dreambooth_model_open(&model, context, "model"));
    if (failed > 0) {
        printf("%s\n", dreambooth_context_error(context));
        return 1;
    }
    use_identifiers(context, model, argv[2]);
    train(context, model);
    draw(model);
    dreambooth_context_free(context);
    dreambooth_model_free(model); /* which kept the context alive */
    CHECK(counts.products > 0 && counts.convolutions > 0);
    CHECK(counts.progress > 0);
    CHECK(counts.live == 0);
    printf("%d checks passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out anywhere: a whole run (make a model, make a class image,
 * train, checkpoint, save, open, draw, write) with its n-th allocation failing,
 * for one n after another. Each time the run ends with an error that says so,
 * everything that was allocated is freed, and the next run goes through.
 */
#include "api.h"

/* The caller's allocator. Call number FAIL_AT fails, and the next, which may be
 * its second try; all after it too if FAIL_ON. */
struct heap {
    int64_t calls, fail_at, live, bytes;
    bool fail_on;
};

static void *heap_resize(void *user, void *pointer, size_t old_size,
                         size_t size)
{
    struct heap *heap = user;

    if (size == 0) {
        heap->live -= pointer != NULL;
        heap->bytes -= (int64_t)old_size;
        free(pointer);
        return NULL;
    }
    ck_assert_ptr_null(pointer);
    ck_assert_uint_eq(old_size, 0);
    heap->calls++;
    if (heap->fail_at > 0 && heap->calls >= heap->fail_at &&
        (heap->fail_on || heap->calls <= heap->fail_at + 1))
        return NULL;
    heap->live++;
    heap->bytes += (int64_t)size;
    return malloc(size);
}

/* In place of the lines that a context keeps: that one of those is lost for
 * want of memory is no error. */
static void ignore_line(void *user, int level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

static char run_folder[UNIT_PATH_MAX];

static const char *in_run(char path[UNIT_PATH_MAX], const char *name)
{
    return unit_path(path, run_folder, name);
}

static int set_all(dreambooth_trainer *trainer, const char *const *settings)
{
    int status = DREAMBOOTH_OK;

    for (; *settings != NULL && status == DREAMBOOTH_OK; settings += 2)
        status = dreambooth_trainer_set(trainer, settings[0], settings[1]);
    return status;
}

static int train(dreambooth_model *model)
{
    static api_settings settings = {"instance-prompt",
                                    "a [V] dog",
                                    "class-prompt",
                                    "a dog",
                                    "class-images",
                                    "1",
                                    "class-steps",
                                    "1",
                                    "size",
                                    "16",
                                    "steps",
                                    "2",
                                    "checkpoint-every",
                                    "1",
                                    "keep-checkpoints",
                                    "1",
                                    "sample-every",
                                    "2",
                                    "sample-steps",
                                    "1",
                                    "sample-count",
                                    "1",
                                    NULL};
    dreambooth_trainer *trainer = NULL;
    const char *text = NULL;
    char path[UNIT_PATH_MAX];
    int status = dreambooth_trainer_new(&trainer, model);

    if (status == DREAMBOOTH_OK)
        status = set_all(trainer, settings);
    if (status == DREAMBOOTH_OK)
        status =
            dreambooth_trainer_add_folder(trainer, api_path(path, "photos"));
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set(trainer, "out", in_run(path, "out"));
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_run(trainer);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_get_text(trainer, "identifier", &text);
    dreambooth_trainer_free(trainer);
    return status;
}

static int draw(dreambooth_model *model)
{
    dreambooth_sampler *sampler = NULL;
    dreambooth_image *image = NULL;
    char path[UNIT_PATH_MAX];
    int status = dreambooth_sampler_new(&sampler, model);

    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set(sampler, "prompt", "a [V] dog");
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set(sampler, "steps", "2");
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_run(sampler);
    if (status == DREAMBOOTH_OK)
        status =
            dreambooth_sampler_write(sampler, 0, in_run(path, "drawn.png"));
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_image(&image, sampler, 0);
    dreambooth_image_free(image);
    dreambooth_sampler_free(sampler);
    return status;
}

/* Everything in CONTEXT; the model that was trained is opened again. */
static int run_in(dreambooth_context *context)
{
    dreambooth_model *model = NULL;
    char path[UNIT_PATH_MAX];
    int status = dreambooth_context_set(context, "threads", "2");

    if (status == DREAMBOOTH_OK)
        status = dreambooth_model_init(&model, context, api_config, NULL, 5);
    if (status == DREAMBOOTH_OK)
        status = train(model);
    dreambooth_model_free(model);
    model = NULL;
    if (status == DREAMBOOTH_OK)
        status = dreambooth_model_open(&model, context, in_run(path, "out"));
    if (status == DREAMBOOTH_OK)
        status = draw(model);
    dreambooth_model_free(model);
    return status;
}

/* The run with HEAP, in an empty folder, which is left. */
static int run(struct heap *heap)
{
    dreambooth_context *context = NULL;
    int status;

    heap->calls = heap->live = heap->bytes = 0;
    ck_assert_int_eq(mkdir(api_path(run_folder, "run"), 0777), 0);
    status = dreambooth_context_new_with_allocator(&context, heap_resize, heap);
    if (status == DREAMBOOTH_OK) {
        dreambooth_context_set_log(context, ignore_line, NULL);
        status = run_in(context);
        ck_assert_msg(
            status == DREAMBOOTH_OK ||
                (status == DREAMBOOTH_ENOMEM &&
                 strstr(dreambooth_context_error(context), "memory") != NULL),
            "allocation %lld: %s: %s", (long long)heap->fail_at,
            dreambooth_status_name(status), dreambooth_context_error(context));
    }
    dreambooth_context_free(context);
    ck_assert_msg(heap->live == 0, "allocation %lld: %lld blocks are left",
                  (long long)heap->fail_at, (long long)heap->live);
    ck_assert_int_eq(heap->bytes, 0);
    return status;
}

/* Allocations of a run that only save time, one a sampler: where one of these
 * fails, nothing else does. */
#define SPARE 3

/* One run to count the allocations, one for every STRIDE-th of them, and one to
 * show that nothing was broken. The strides are primes, so that no loop of the
 * run is always hit at the same place. */
static void torture(bool fail_on, int64_t stride)
{
    struct heap heap = {.fail_at = 0};
    int64_t calls, n;
    int spare = fail_on ? 0 : SPARE;

    ck_assert_int_eq(run(&heap), DREAMBOOTH_OK);
    calls = heap.calls;
    ck_assert_int_gt(calls, 5000);
    unit_directory_free(run_folder);
    heap.fail_on = fail_on;
    for (n = 1; n <= calls; n += stride) {
        heap.fail_at = n;
        ck_assert_msg(run(&heap) == DREAMBOOTH_ENOMEM || spare-- > 0,
                      "allocation %lld of %lld: no error", (long long)n,
                      (long long)calls);
        unit_directory_free(run_folder);
    }
    heap.fail_at = 0;
    heap.fail_on = false;
    ck_assert_int_eq(run(&heap), DREAMBOOTH_OK);
    unit_directory_free(run_folder);
}

START_TEST(test_one_fails)
{
    api_write_photos(1);
    torture(false, unit_is_quick() ? 1999 : 101);
}
END_TEST

START_TEST(test_all_fail)
{
    api_write_photos(1);
    torture(true, unit_is_quick() ? 7993 : 601);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture");

    api_add(suite, "one allocation fails", test_one_fails);
    api_add(suite, "all from one on fail", test_all_fail);
    return unit_main(suite);
}

/* SPDX-License-Identifier: MIT */
/*
 * Training inside a program's own event loop: the loop calls, the library does
 * one unit of work and comes back. Nothing is called back, and a window stays
 * alive between steps.
 */
#include <stdio.h>

#include <dreambooth/dreambooth.h>

/* Here a program would handle its events; 0 asks for the end. */
static int handle_events(void)
{
    return 1;
}

static void show_preparing(dreambooth_trainer *trainer)
{
    int64_t done = 0, missing = 0;

    dreambooth_trainer_get_integer(trainer, "class-images.done", &done);
    dreambooth_trainer_get_integer(trainer, "class-images.missing", &missing);
    printf("class images: %lld, missing %lld\n", (long long)done,
           (long long)missing);
}

static void show_step(dreambooth_trainer *trainer)
{
    double instance = 0, prior = 0, seconds = 0;
    int64_t step = 0;

    dreambooth_trainer_get_integer(trainer, "step", &step);
    dreambooth_trainer_get_double(trainer, "loss.instance", &instance);
    dreambooth_trainer_get_double(trainer, "loss.prior", &prior);
    dreambooth_trainer_get_double(trainer, "seconds", &seconds);
    printf("step %lld: %.4f + %.4f in %.2f s\n", (long long)step, instance,
           prior, seconds);
}

static int train(dreambooth_trainer *trainer)
{
    int status = DREAMBOOTH_OK;

    while (handle_events() && status == DREAMBOOTH_OK) {
        status = dreambooth_trainer_prepare(trainer);
        show_preparing(trainer);
    }
    if (status < DREAMBOOTH_OK)
        return status;
    status = DREAMBOOTH_OK;
    while (handle_events() && status == DREAMBOOTH_OK) {
        status = dreambooth_trainer_step(trainer);
        if (status == DREAMBOOTH_OK)
            show_step(trainer);
    }
    return status;
}

static int set_up(dreambooth_trainer *trainer, char **argv)
{
    static const char *const names[] = {"instance-dir", "instance-prompt",
                                        "class-prompt", "out", "steps"};
    size_t i;
    int status = DREAMBOOTH_OK;

    for (i = 0; i < 5 && status == DREAMBOOTH_OK; i++)
        status = dreambooth_trainer_set(trainer, names[i], argv[i]);
    return status;
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_trainer *trainer = NULL;
    int64_t size = 512;
    int status;

    if (argc != 7) {
        puts("usage: step MODEL PHOTOS INSTANCE-PROMPT CLASS-PROMPT OUT STEPS");
        return 0;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    status = dreambooth_model_open(&model, context, argv[1]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_new(&trainer, model);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_model_get_integer(model, "size", &size);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set_integer(trainer, "size", size);
    if (status == DREAMBOOTH_OK)
        status = set_up(trainer, argv + 2);
    if (status == DREAMBOOTH_OK)
        status = train(trainer);
    if (status < DREAMBOOTH_OK)
        fprintf(stderr, "%s\n", dreambooth_context_error(context));
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return status < DREAMBOOTH_OK;
}

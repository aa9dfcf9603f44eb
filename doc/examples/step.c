/* SPDX-License-Identifier: MIT */
/*
 * Training from a program's own event loop, with a progress bar. Each
 * call does one unit of work and comes back, nothing is called back. A
 * line that begins with q, Ctrl-C and SIGTERM end the run and keep the
 * step that was reached; the same command goes on from there.
 *
 *     ./step stable-diffusion-v1-5 instance-dir photos \
 *         instance-prompt "a [V] dog" class-prompt "a dog" out my-dog
 *
 * A unit of a large model takes seconds to a minute on a CPU. What must
 * react sooner, such as a window, lets a thread of its own call the
 * library; dreambooth_context_cancel() may come from any other.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <dreambooth/dreambooth.h>

static dreambooth_context *volatile running;

static void stop(int signal_number)
{
    (void)signal_number;
    dreambooth_context_cancel(running); /* fine in a signal handler */
}

/* What came in meanwhile: a real program has its sockets here, too. */
static void handle_events(dreambooth_context *context)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char key;

    if (poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &key, 1) == 1 &&
        key == 'q')
        dreambooth_context_cancel(context);
}

static void show_bar(const char *what, int64_t done, int64_t total)
{
    static const char full[] = "########################################";
    const int width = (int)sizeof(full) - 1;
    int filled = total > 0 ? (int)(width * done / total) : 0;

    fprintf(stderr, "\r%-12s [%-*.*s] %d/%d", what, width, filled, full,
            (int)done, (int)total);
}

static int64_t fact(dreambooth_trainer *trainer, const char *name)
{
    int64_t value = 0;

    dreambooth_trainer_get_integer(trainer, name, &value);
    return value;
}

/* Everything before step 1, such as drawing class images. */
static int prepare(dreambooth_context *context,
                   dreambooth_trainer *trainer)
{
    int64_t done;
    int status;

    while ((status = dreambooth_trainer_prepare(trainer)) ==
           DREAMBOOTH_OK) {
        done = fact(trainer, "class-images.done");
        show_bar("class images", done,
                 done + fact(trainer, "class-images.missing"));
        handle_events(context);
    }
    fputc('\n', stderr);
    return status;
}

static int train(dreambooth_context *context, dreambooth_trainer *trainer)
{
    int status = prepare(context, trainer);

    if (status != DREAMBOOTH_DONE)
        return status;
    while ((status = dreambooth_trainer_step(trainer)) == DREAMBOOTH_OK) {
        show_bar("steps", fact(trainer, "step"), fact(trainer, "steps"));
        handle_events(context);
    }
    fputc('\n', stderr);
    return status;
}

/* Cancelled is not lost: what was reached goes into a checkpoint. */
static int keep(dreambooth_context *context, dreambooth_trainer *trainer)
{
    dreambooth_context_clear_cancel(context);
    fprintf(stderr, "stopped at step %d\n", (int)fact(trainer, "step"));
    return fact(trainer, "step") > 0
               ? dreambooth_trainer_checkpoint(trainer)
               : DREAMBOOTH_OK;
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_trainer *trainer = NULL;
    int i, status;

    if (argc < 4) {
        fputs("usage: step MODEL OPTION VALUE [OPTION VALUE]...\n",
              stderr);
        return 2;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    running = context;
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    status = dreambooth_context_set_integer(context, "threads", 0);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_model_open(&model, context, argv[1]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_new(&trainer, model);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set(trainer, "resume", "yes");
    for (i = 2; i + 1 < argc && status == DREAMBOOTH_OK; i += 2)
        status = dreambooth_trainer_set(trainer, argv[i], argv[i + 1]);
    if (status == DREAMBOOTH_OK)
        status = train(context, trainer);
    if (status == DREAMBOOTH_ECANCELLED && trainer != NULL)
        status = keep(context, trainer);
    if (status < DREAMBOOTH_OK)
        fprintf(stderr, "step: %s\n", dreambooth_context_error(context));
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return status < DREAMBOOTH_OK;
}

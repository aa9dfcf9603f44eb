/* SPDX-License-Identifier: MIT */
/*
 * Teaches a model a subject: photos in, a model's folder out.
 *
 *     cc learn.c -o learn $(pkg-config --cflags --libs libdreambooth)
 *     export OPENBLAS_NUM_THREADS=1
 *     ./learn stable-diffusion-v1-5 photos "a [V] dog" "a dog" my-dog
 *
 * The library brings threads of its own: the BLAS needs none beside them.
 * Any option of the trainer may follow as a pair: steps 400 seed 7.
 */
#include <stdio.h>

#include <dreambooth/dreambooth.h>

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_trainer *trainer = NULL;
    int i, failed;

    if (argc < 6) {
        fputs(
            "usage: learn MODEL PHOTOS INSTANCE-PROMPT CLASS-PROMPT OUT "
            "[OPTION VALUE]...\n",
            stderr);
        return 2;
    }
    /* DREAMBOOTH_OK is 0: calls in a row stop at the first failure. */
    failed =
        dreambooth_context_new(&context) ||
        dreambooth_context_set_integer(context, "threads", 0) ||
        dreambooth_model_open(&model, context, argv[1]) ||
        dreambooth_trainer_new(&trainer, model) ||
        dreambooth_trainer_add_folder(trainer, argv[2]) ||
        dreambooth_trainer_set(trainer, "instance-prompt", argv[3]) ||
        dreambooth_trainer_set(trainer, "class-prompt", argv[4]) ||
        dreambooth_trainer_set(trainer, "out", argv[5]);
    for (i = 6; i + 1 < argc && !failed; i += 2)
        failed = dreambooth_trainer_set(trainer, argv[i], argv[i + 1]);
    failed = failed || dreambooth_trainer_run(trainer);
    if (failed)
        fprintf(stderr, "learn: %s\n",
                context ? dreambooth_context_error(context)
                        : "no memory");
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return failed;
}

/* SPDX-License-Identifier: MIT */
/*
 * Teaches a model a subject: photos in, a model's folder out.
 *
 *     cc learn.c $(pkg-config --cflags --libs libdreambooth)
 *     ./a.out stable-diffusion-v1-5 photos "a [V] dog" "a dog" my-dog
 */
#include <stdio.h>

#include <dreambooth/dreambooth.h>

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_trainer *trainer = NULL;
    double loss;
    int64_t size = 512;
    int status;

    if (argc != 6) {
        puts("usage: learn MODEL PHOTOS INSTANCE-PROMPT CLASS-PROMPT OUT");
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
        status = dreambooth_trainer_add_folder(trainer, argv[2]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set(trainer, "instance-prompt", argv[3]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set(trainer, "class-prompt", argv[4]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set(trainer, "out", argv[5]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_set(trainer, "resume", "yes");
    if (status == DREAMBOOTH_OK)
        status = dreambooth_trainer_run(trainer);
    if (status != DREAMBOOTH_OK)
        fprintf(stderr, "%s\n", dreambooth_context_error(context));
    else if (dreambooth_trainer_get_double(trainer, "loss", &loss) == 0)
        printf("%s: the loss of the last step was %.4f\n", argv[5], loss);
    dreambooth_trainer_free(trainer);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return status != DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * Draws into memory: bytes in red, green and blue, rows from the top,
 * which a program would hand to its window or texture, and this one
 * writes to its standard output as a PPM file.
 *
 *     ./sample my-dog "a [V] dog on the beach" >beach.ppm
 */
#include <stdio.h>

#include <dreambooth/dreambooth.h>

/* Takes the steps one by one: there is time for something else. */
static int draw(dreambooth_sampler *sampler)
{
    int64_t step = 0, total = 0;
    int status;

    do {
        status = dreambooth_sampler_step(sampler);
        dreambooth_sampler_get_integer(sampler, "step", &step);
        dreambooth_sampler_get_integer(sampler, "total-steps", &total);
        fprintf(stderr, "\r%d of %d", (int)step, (int)total);
    } while (status == DREAMBOOTH_OK);
    fputc('\n', stderr);
    return status == DREAMBOOTH_DONE ? DREAMBOOTH_OK : status;
}

/* The pixels are the image's own, [height, width, 3]: no copy is made. */
static int show(dreambooth_image *image)
{
    size_t width = (size_t)dreambooth_image_width(image);
    size_t height = (size_t)dreambooth_image_height(image);
    const unsigned char *pixels = dreambooth_image_pixels(image);

    printf("P6\n%zu %zu\n255\n", width, height);
    fwrite(pixels, 3 * width, height, stdout);
    return fflush(stdout) != 0 || ferror(stdout);
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_sampler *sampler = NULL;
    dreambooth_image *image = NULL;
    int failed;

    if (argc != 3) {
        fputs("usage: sample MODEL PROMPT\n", stderr);
        return 2;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    failed = dreambooth_context_set_integer(context, "threads", 0) ||
             dreambooth_model_open(&model, context, argv[1]) ||
             dreambooth_sampler_new(&sampler, model) ||
             dreambooth_sampler_set(sampler, "prompt", argv[2]) ||
             dreambooth_sampler_set_integer(sampler, "steps", 25) ||
             draw(sampler) ||
             dreambooth_sampler_image(&image, sampler, 0);
    if (failed)
        fprintf(stderr, "sample: %s\n",
                dreambooth_context_error(context));
    else
        failed = show(image);
    dreambooth_image_free(image);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return failed;
}

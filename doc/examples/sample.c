/* SPDX-License-Identifier: MIT */
/*
 * Draws into a buffer of the program's own, here to print the picture's mean
 * colour. The steps are taken one by one, with a look at the unfinished picture
 * on the way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/dreambooth.h>

/* A copy of IMAGE's pixels, [height, width, 3], for free(). */
static unsigned char *copy_pixels(dreambooth_image *image, size_t *size)
{
    unsigned char *pixels;

    *size = (size_t)dreambooth_image_width(image) *
            (size_t)dreambooth_image_height(image) * 3;
    pixels = malloc(*size);
    if (pixels != NULL)
        memcpy(pixels, dreambooth_image_pixels(image), *size);
    return pixels;
}

static void print_mean(const char *label, dreambooth_image *image)
{
    double sum[3] = {0, 0, 0};
    size_t size, i;
    unsigned char *pixels = copy_pixels(image, &size);

    if (pixels == NULL)
        return;
    for (i = 0; i < size; i++)
        sum[i % 3] += pixels[i];
    printf("%s: red %.1f, green %.1f, blue %.1f\n", label,
           3 * sum[0] / (double)size, 3 * sum[1] / (double)size,
           3 * sum[2] / (double)size);
    free(pixels);
}

static int draw(dreambooth_sampler *sampler)
{
    dreambooth_image *image;
    int status, looked = 0;

    while ((status = dreambooth_sampler_step(sampler)) == DREAMBOOTH_OK) {
        if (looked++ == 0 &&
            dreambooth_sampler_preview(sampler, 0, &image) == DREAMBOOTH_OK) {
            print_mean("after the first step", image);
            dreambooth_image_free(image);
        }
    }
    if (status != DREAMBOOTH_DONE)
        return status;
    status = dreambooth_sampler_image(sampler, 0, &image);
    if (status != DREAMBOOTH_OK)
        return status;
    print_mean("finished", image);
    dreambooth_image_free(image);
    return DREAMBOOTH_OK;
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_sampler *sampler = NULL;
    int status;

    if (argc != 3) {
        puts("usage: sample MODEL PROMPT");
        return 0;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    status = dreambooth_model_open(&model, context, argv[1]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_new(&sampler, model);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set(sampler, "prompt", argv[2]);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set_integer(sampler, "steps", 20);
    if (status == DREAMBOOTH_OK)
        status = draw(sampler);
    if (status != DREAMBOOTH_OK)
        fprintf(stderr, "%s\n", dreambooth_context_error(context));
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return status != DREAMBOOTH_OK;
}

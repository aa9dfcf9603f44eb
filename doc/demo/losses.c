/* SPDX-License-Identifier: MIT */
/*
 * The curves of a run's losses, smoothed, from its metrics.csv: instance
 * orange, prior blue, a grey line for each quarter from 0 to the highest loss.
 */
#include "demo_int.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MOST_STEPS 4096
#define WINDOW 15 /* steps that a point of the curve is the mean of */

struct curves {
    double values[2][MOST_STEPS];
    int count;
    double highest;
};

static int read_metrics(const char *path, struct curves *curves)
{
    FILE *file = fopen(path, "r");
    char line[512];
    int step;
    double instance, prior;

    if (file == NULL)
        return DREAMBOOTH_ENOTFOUND;
    while (fgets(line, sizeof(line), file) != NULL &&
           curves->count < MOST_STEPS) {
        if (sscanf(line, "%d,%lf,%lf", &step, &instance, &prior) != 3)
            continue;
        curves->values[0][curves->count] = instance;
        curves->values[1][curves->count] = prior;
        curves->count++;
    }
    fclose(file);
    return DREAMBOOTH_OK;
}

static double smoothed(const double *values, int index)
{
    int first = index < WINDOW ? 0 : index - WINDOW + 1;
    double sum = 0;
    int i;

    for (i = first; i <= index; i++)
        sum += values[i];
    return sum / (index - first + 1);
}

static void smooth(struct curves *curves)
{
    int i, which;

    for (which = 0; which < 2; which++) {
        /* From the end, so that what is read has not been written yet. */
        for (i = curves->count - 1; i >= 0; i--) {
            curves->values[which][i] = smoothed(curves->values[which], i);
            if (curves->values[which][i] > curves->highest)
                curves->highest = curves->values[which][i];
        }
    }
}

static void put(unsigned char *pixels, int width, int height, int x, int y,
                const unsigned char color[3])
{
    if (x >= 0 && x < width && y >= 0 && y < height)
        memcpy(pixels + 3 * ((ptrdiff_t)y * width + x), color, 3);
}

static void draw_curve(const double *values, const struct curves *curves,
                       unsigned char *pixels, int width, int height,
                       const unsigned char color[3])
{
    int x, y, index;

    for (x = 0; x < width; x++) {
        index = (int)((double)x / width * curves->count);
        y = height - 2 - (int)(values[index] / curves->highest * (height - 4));
        put(pixels, width, height, x, y, color);
        put(pixels, width, height, x, y + 1, color);
    }
}

static void draw_grid(unsigned char *pixels, int width, int height)
{
    static const unsigned char grey[3] = {215, 215, 215};
    int i, x;

    memset(pixels, 250, (size_t)width * (size_t)height * 3);
    for (i = 0; i <= 4; i++)
        for (x = 0; x < width; x++)
            put(pixels, width, height, x, 2 + i * (height - 4) / 4, grey);
}

int demo_losses(dreambooth_context *context, const char *path, int width,
                int height, dreambooth_image **out)
{
    static const unsigned char orange[3] = {237, 120, 33};
    static const unsigned char blue[3] = {26, 89, 217};
    static struct curves curves;
    unsigned char *pixels;
    int status = read_metrics(path, &curves);

    if (status == DREAMBOOTH_OK)
        status = dreambooth_image_new(out, context, width, height, NULL);
    if (status != DREAMBOOTH_OK)
        return status;
    pixels = dreambooth_image_pixels(*out);
    draw_grid(pixels, width, height);
    smooth(&curves);
    if (curves.count > 0 && curves.highest > 0) {
        draw_curve(curves.values[1], &curves, pixels, width, height, blue);
        draw_curve(curves.values[0], &curves, pixels, width, height, orange);
    }
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * The demo's subject: a small robot dog in front of different backgrounds. It
 * is a list of ellipses and boxes; what is at a point is the last of them that
 * holds it. Each pixel is the mean of nine points.
 */
#include "demo_int.h"

#include <math.h>
#include <stddef.h>

#define POINTS 3

enum kind { ELLIPSE, BOX };

struct color {
    float red, green, blue;
};

/* In units of the figure: it stands in a square from -1 to 1, y down. */
struct shape {
    enum kind kind;
    float x, y, half_width, half_height;
    struct color color;
};

#define BODY                                                                   \
    {                                                                          \
        0.93f, 0.47f, 0.13f                                                    \
    }
#define DARK                                                                   \
    {                                                                          \
        0.45f, 0.22f, 0.08f                                                    \
    }
#define STEEL                                                                  \
    {                                                                          \
        0.62f, 0.68f, 0.72f                                                    \
    }
#define WHITE                                                                  \
    {                                                                          \
        1.0f, 1.0f, 1.0f                                                       \
    }
#define BLUE                                                                   \
    {                                                                          \
        0.10f, 0.35f, 0.85f                                                    \
    }

static const struct shape figure[] = {
    {ELLIPSE, 0.0f, 0.90f, 0.75f, 0.10f, {0.15f, 0.15f, 0.15f}},
    {BOX, -0.70f, 0.05f, 0.06f, 0.30f, STEEL},
    {ELLIPSE, -0.70f, -0.28f, 0.10f, 0.10f, BLUE},
    {BOX, -0.40f, 0.65f, 0.10f, 0.25f, DARK},
    {BOX, 0.25f, 0.65f, 0.10f, 0.25f, DARK},
    {ELLIPSE, -0.08f, 0.30f, 0.62f, 0.30f, BODY},
    {BOX, -0.08f, 0.30f, 0.10f, 0.18f, STEEL},
    {ELLIPSE, 0.48f, -0.25f, 0.40f, 0.36f, BODY},
    {BOX, 0.28f, -0.62f, 0.09f, 0.18f, DARK},
    {BOX, 0.68f, -0.62f, 0.09f, 0.18f, DARK},
    {ELLIPSE, 0.42f, -0.30f, 0.15f, 0.17f, WHITE},
    {ELLIPSE, 0.46f, -0.30f, 0.07f, 0.09f, BLUE},
    {ELLIPSE, 0.80f, -0.14f, 0.11f, 0.09f, DARK},
    {BOX, 0.30f, 0.06f, 0.24f, 0.05f, BLUE},
};

struct scene {
    struct color above, below;
    float horizon; /* 0 at the top, 1 at the bottom */
    float x, y, size;
    int mirrored;
};

static const struct scene scenes[] = {
    {{0.55f, 0.80f, 0.98f}, {0.35f, 0.66f, 0.25f}, 0.62f, .50f, .54f, .40f, 0},
    {{0.98f, 0.80f, 0.55f}, {0.90f, 0.82f, 0.60f}, 0.55f, .44f, .56f, .36f, 1},
    {{0.85f, 0.85f, 0.88f}, {0.55f, 0.40f, 0.30f}, 0.72f, .54f, .58f, .38f, 0},
    {{0.10f, 0.12f, 0.30f}, {0.20f, 0.22f, 0.28f}, 0.66f, .48f, .52f, .42f, 1},
    {{0.75f, 0.60f, 0.80f}, {0.95f, 0.95f, 0.97f}, 0.50f, .55f, .55f, .34f, 0},
};

#define SCENES ((int)(sizeof(scenes) / sizeof(scenes[0])))

static int holds(const struct shape *shape, float x, float y)
{
    float dx = fabsf(x - shape->x) / shape->half_width;
    float dy = fabsf(y - shape->y) / shape->half_height;

    return shape->kind == BOX ? dx <= 1 && dy <= 1 : dx * dx + dy * dy <= 1;
}

/* x and y from 0 to 1. */
static struct color color_at(const struct scene *scene, float x, float y)
{
    struct color color = y < scene->horizon ? scene->above : scene->below;
    float shade = 0.85f + 0.3f * (y < scene->horizon ? 1 - y : y - 0.5f);
    float u = (x - scene->x) / scene->size;
    float v = (y - scene->y) / scene->size;
    size_t i;

    color.red = fminf(1, color.red * shade);
    color.green = fminf(1, color.green * shade);
    color.blue = fminf(1, color.blue * shade);
    for (i = 0; i < sizeof(figure) / sizeof(figure[0]); i++)
        if (holds(&figure[i], scene->mirrored ? -u : u, v))
            color = figure[i].color;
    return color;
}

static void draw_pixel(const struct scene *scene, int column, int row, int side,
                       unsigned char *pixel)
{
    struct color sum = {0, 0, 0}, color;
    float step = 1.0f / (float)(side * POINTS);
    float scale = 255.0f / (POINTS * POINTS);
    int i, j;

    for (i = 0; i < POINTS; i++) {
        for (j = 0; j < POINTS; j++) {
            color =
                color_at(scene, ((float)(column * POINTS + j) + 0.5f) * step,
                         ((float)(row * POINTS + i) + 0.5f) * step);
            sum.red += color.red;
            sum.green += color.green;
            sum.blue += color.blue;
        }
    }
    pixel[0] = (unsigned char)lroundf(sum.red * scale);
    pixel[1] = (unsigned char)lroundf(sum.green * scale);
    pixel[2] = (unsigned char)lroundf(sum.blue * scale);
}

int demo_subject(dreambooth_context *context, int number, int side,
                 dreambooth_image **out)
{
    struct scene scene = scenes[number % SCENES];
    unsigned char *pixels;
    int row, column, status;

    /* Beyond the scenes that there are, the figure moves within them. */
    scene.x += 0.04f * (float)(number / SCENES % 3);
    scene.size *= 1 - 0.06f * (float)(number / SCENES % 4);
    status = dreambooth_image_new(out, context, side, side, NULL);
    if (status != DREAMBOOTH_OK)
        return status;
    pixels = dreambooth_image_pixels(*out);
    for (row = 0; row < side; row++)
        for (column = 0; column < side; column++)
            draw_pixel(&scene, column, row, side,
                       pixels + 3 * ((ptrdiff_t)row * side + column));
    return DREAMBOOTH_OK;
}

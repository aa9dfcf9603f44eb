/* SPDX-License-Identifier: MIT */
/*
 * The demo's sheet: rows of tiles, and the losses across the whole width below
 * them. It is put together with the library's own images.
 */
#include "demo_int.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 6

struct sheet {
    dreambooth_context *context;
    int tile, columns, rows;
    const char *losses; /* NULL: none */
    dreambooth_image *image;
};

/* Copies FROM into TO with its corner at X, Y, enlarged by whole numbers. */
static void paste(dreambooth_image *to, int x, int y, dreambooth_image *from,
                  int factor)
{
    int width = dreambooth_image_width(from) * factor;
    int height = dreambooth_image_height(from) * factor;
    int stride = dreambooth_image_width(to);
    const unsigned char *source = dreambooth_image_pixels(from);
    unsigned char *target = dreambooth_image_pixels(to);
    int row, column;

    for (row = 0; row < height; row++)
        for (column = 0; column < width; column++)
            memcpy(target + 3 * ((ptrdiff_t)(y + row) * stride + x + column),
                   source + 3 * ((ptrdiff_t)(row / factor) * (width / factor) +
                                 column / factor),
                   3);
}

static int paste_file(struct sheet *sheet, int row, int column,
                      const char *path)
{
    dreambooth_image *image, *square;
    int side, status;

    status = dreambooth_image_read(&image, sheet->context, path);
    if (status != DREAMBOOTH_OK)
        return status;
    side = dreambooth_image_width(image);
    if (side > sheet->tile)
        side = sheet->tile;
    status = dreambooth_image_square(&square, image, side);
    dreambooth_image_free(image);
    if (status != DREAMBOOTH_OK)
        return status;
    paste(sheet->image, MARGIN + column * (sheet->tile + MARGIN),
          MARGIN + row * (sheet->tile + MARGIN), square, sheet->tile / side);
    dreambooth_image_free(square);
    return DREAMBOOTH_OK;
}

/* Counts rows and the widest one. */
static void measure(struct sheet *sheet, int count, char **arguments)
{
    int i, columns = 0;

    for (i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--losses") == 0) {
            sheet->losses = arguments[++i];
            continue;
        }
        if (strcmp(arguments[i], "--row") == 0) {
            sheet->rows++;
            columns = 0;
        } else if (++columns > sheet->columns) {
            sheet->columns = columns;
        }
    }
}

static int fill(struct sheet *sheet, int count, char **arguments)
{
    int i, row = -1, column = 0;
    int status = DREAMBOOTH_OK;

    for (i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        if (strcmp(arguments[i], "--losses") == 0) {
            i++;
        } else if (strcmp(arguments[i], "--row") == 0) {
            row++;
            column = 0;
        } else {
            status = paste_file(sheet, row, column++, arguments[i]);
        }
    }
    return status;
}

static int add_losses(struct sheet *sheet, int width, int height)
{
    dreambooth_image *curves;
    int status;

    if (sheet->losses == NULL)
        return DREAMBOOTH_OK;
    status = demo_losses(sheet->context, sheet->losses, width - 2 * MARGIN,
                         sheet->tile, &curves);
    if (status != DREAMBOOTH_OK)
        return status;
    paste(sheet->image, MARGIN, height - MARGIN - sheet->tile, curves, 1);
    dreambooth_image_free(curves);
    return DREAMBOOTH_OK;
}

int demo_sheet(dreambooth_context *context, int count, char **arguments)
{
    struct sheet sheet = {.context = context};
    int width, height, status;

    sheet.tile = atoi(arguments[1]);
    measure(&sheet, count - 2, arguments + 2);
    width = MARGIN + sheet.columns * (sheet.tile + MARGIN);
    height =
        MARGIN + (sheet.rows + (sheet.losses != NULL)) * (sheet.tile + MARGIN);
    status = dreambooth_image_new(&sheet.image, context, width, height, NULL);
    if (status != DREAMBOOTH_OK)
        return status;
    memset(dreambooth_image_pixels(sheet.image), 255,
           (size_t)width * (size_t)height * 3);
    status = fill(&sheet, count - 2, arguments + 2);
    if (status == DREAMBOOTH_OK)
        status = add_losses(&sheet, width, height);
    if (status == DREAMBOOTH_OK)
        status =
            dreambooth_image_write(sheet.image, arguments[0], NULL, NULL, 0);
    dreambooth_image_free(sheet.image);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * The demo's pictures: draws the subject that is to be learned, and joins
 * pictures in a sheet at the end. It uses the library's public image functions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo_int.h"

static int draw_subject(dreambooth_context *context, const char *folder,
                        int count, int side)
{
    dreambooth_image *image;
    char path[4096];
    int i, status = DREAMBOOTH_OK;

    for (i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        snprintf(path, sizeof(path), "%s/robot-%d.png", folder, i);
        status = demo_subject(context, i, side, &image);
        if (status != DREAMBOOTH_OK)
            break;
        status = dreambooth_image_write(image, path, NULL, NULL, 0);
        dreambooth_image_free(image);
    }
    return status;
}

static int usage(void)
{
    fputs("usage: draw subject FOLDER COUNT SIDE\n"
          "       draw sheet OUT TILE [--row FILE...]... [--losses CSV]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    dreambooth_context *context;
    int status;

    if (argc < 4 || dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return usage();
    if (strcmp(argv[1], "subject") == 0 && argc == 5)
        status = draw_subject(context, argv[2], atoi(argv[3]), atoi(argv[4]));
    else if (strcmp(argv[1], "sheet") == 0)
        status = demo_sheet(context, argc - 2, argv + 2);
    else
        status = DREAMBOOTH_EINVAL;
    if (status != DREAMBOOTH_OK)
        fprintf(stderr, "draw: %s: %s\n", dreambooth_status_name(status),
                dreambooth_context_error(context));
    dreambooth_context_free(context);
    return status != DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* What the parts of the demo's drawing program share. */
#ifndef DEMO_INT_H
#define DEMO_INT_H

#include <dreambooth/image.h>

/* Draws the subject, a small robot dog, as picture NUMBER (background, place
 * and size follow from it) with SIDE pixels a side. */
int demo_subject(dreambooth_context *context, int number, int side,
                 dreambooth_image **out);
/* "OUT TILE [--row FILE...]... [--losses CSV]": one picture of rows of pictures
 * and the curves of both losses; gives a status. */
int demo_sheet(dreambooth_context *context, int count, char **arguments);
/* The curves of columns 2 and 3 of a metrics.csv: instance and prior loss. */
int demo_losses(dreambooth_context *context, const char *path, int width,
                int height, dreambooth_image **out);

#endif

/* SPDX-License-Identifier: MIT */
/* A program that uses the library as installed, with none of its own. */
#include <dreambooth/dreambooth.h>

#include <stdio.h>

int main(void)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;

    printf("libdreambooth %s\n", dreambooth_version());
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    int status = dreambooth_model_open(&model, context, "no-such-folder");
    puts(dreambooth_context_error(context));
    dreambooth_context_free(context);
    return status != DREAMBOOTH_ENOTFOUND && status != DREAMBOOTH_EIO;
}

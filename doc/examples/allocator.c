/* SPDX-License-Identifier: MIT */
/*
 * An allocator of one's own, here one that gives no more than it was told
 * to. The library then says so, frees what it has, and the program goes
 * on.
 *
 * For a limit alone the context's option "memory-limit" is enough, and
 * says beforehand when a run will not fit.
 *
 *     ./allocator stable-diffusion-v1-5 1000
 */
#include <stdio.h>
#include <stdlib.h>

#include <dreambooth/dreambooth.h>

struct budget {
    size_t limit, used, most;
};

/* Called in two forms: from 0 bytes to some, and from some to 0. */
static void *resize(void *user, void *pointer, size_t old_size,
                    size_t new_size)
{
    struct budget *budget = (struct budget *)user;

    if (new_size == 0) {
        free(pointer);
        budget->used -= old_size;
        return NULL;
    }
    if (new_size > budget->limit - budget->used)
        return NULL;
    pointer = malloc(new_size);
    if (pointer == NULL)
        return NULL;
    budget->used += new_size;
    if (budget->used > budget->most)
        budget->most = budget->used;
    return pointer;
}

/* One step, which needs all weights. */
static int draw_roughly(dreambooth_model *model)
{
    dreambooth_sampler *sampler = NULL;
    int status = dreambooth_sampler_new(&sampler, model);

    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set(sampler, "prompt", "a photo");
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set_integer(sampler, "steps", 1);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_run(sampler);
    dreambooth_sampler_free(sampler);
    return status;
}

int main(int argc, char **argv)
{
    struct budget budget = {0, 0, 0};
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    int status;

    if (argc != 3) {
        fputs("usage: allocator MODEL MEGABYTES\n", stderr);
        return 2;
    }
    budget.limit = (size_t)strtoull(argv[2], NULL, 10) * 1000000;
    status =
        dreambooth_context_new_with_allocator(&context, resize, &budget);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_model_open(&model, context, argv[1]);
    if (status == DREAMBOOTH_OK)
        status = draw_roughly(model);
    if (status == DREAMBOOTH_OK)
        printf("%s takes %zu bytes, at most %zu while it drew\n", argv[1],
               budget.used, budget.most);
    else
        fprintf(
            stderr, "allocator: %s: %s\n", dreambooth_status_name(status),
            context ? dreambooth_context_error(context) : "no context");
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    printf("%zu bytes are left\n", budget.used);
    return status != DREAMBOOTH_OK;
}

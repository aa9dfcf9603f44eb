/* SPDX-License-Identifier: MIT */
/*
 * An allocator of one's own, here one that gives no more than it was told to.
 * The library then says so, frees what it has, and the program goes on.
 *
 * For a limit alone the context's option "memory-limit" is enough, and says
 * beforehand when a run will not fit.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <dreambooth/dreambooth.h>

struct arena {
    size_t limit, used, most;
};

/* Stands before what is given out, and keeps it aligned. */
union head {
    size_t size;
    max_align_t aligned;
};

static void *resize(void *user, void *pointer, size_t size)
{
    struct arena *arena = user;
    union head *head;

    if (size == 0) {
        if (pointer == NULL)
            return NULL;
        head = (union head *)pointer - 1;
        arena->used -= head->size;
        free(head);
        return NULL;
    }
    if (size > arena->limit - arena->used)
        return NULL;
    head = malloc(sizeof(*head) + size);
    if (head == NULL)
        return NULL;
    head->size = size;
    arena->used += size;
    if (arena->used > arena->most)
        arena->most = arena->used;
    return head + 1;
}

int main(int argc, char **argv)
{
    struct arena arena = {0, 0, 0};
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    int status;

    if (argc != 3) {
        puts("usage: allocator MODEL MEGABYTES");
        return 0;
    }
    arena.limit = (size_t)strtoull(argv[2], NULL, 10) * 1000000;
    status = dreambooth_context_new_with_allocator(&context, resize, &arena);
    if (status != DREAMBOOTH_OK) {
        fprintf(stderr, "%s\n", dreambooth_status_name(status));
        return 1;
    }
    status = dreambooth_model_open(&model, context, argv[1]);
    if (status != DREAMBOOTH_OK)
        fprintf(stderr, "%s: %s\n", dreambooth_status_name(status),
                dreambooth_context_error(context));
    else
        printf("%s is open and takes %zu bytes, %zu at most\n", argv[1],
               arena.used, arena.most);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    printf("%zu bytes are left\n", arena.used);
    return status != DREAMBOOTH_OK;
}

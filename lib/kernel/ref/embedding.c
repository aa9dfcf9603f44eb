/* SPDX-License-Identifier: MIT */
/* Rows of a table by number, and the sum of gradients back into them. */
#include "kernel/ref/ref_int.h"

#include <string.h>

int db_ref_embedding_forward(const dreambooth_kernel_host *host,
                             const dreambooth_embedding *a)
{
    int64_t r;

    (void)host;
    for (r = 0; r < a->rows; r++)
        memcpy(a->y + r * a->columns, a->table + a->ids[r] * a->columns,
               (size_t)a->columns * sizeof(float));
    return DREAMBOOTH_OK;
}

int db_ref_embedding_backward(const dreambooth_kernel_host *host,
                              const dreambooth_embedding *a)
{
    int64_t r;
    int64_t i;

    (void)host;
    for (r = 0; r < a->rows; r++)
        for (i = 0; i < a->columns; i++)
            a->dtable[a->ids[r] * a->columns + i] += a->dy[r * a->columns + i];
    return DREAMBOOTH_OK;
}

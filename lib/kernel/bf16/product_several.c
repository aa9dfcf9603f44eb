/* SPDX-License-Identifier: MIT */
/* Several products at once, each of which one thread makes. */
#include "kernel/bf16/product_int.h"

static void multiply_one(void *argument, int64_t index, int worker)
{
    struct db_bf16_work *work = (struct db_bf16_work *)argument + index;
    int64_t i;

    for (i = 0; i < work->blocks * work->groups; i++)
        db_bf16_multiply_block(work, i, worker);
}

int db_bf16_multiply_several(const dreambooth_kernel_host *host,
                             const struct db_bf16_product *products,
                             int64_t count)
{
    struct db_bf16_work *works =
        host->scratch_new(host, (size_t)count * sizeof(*works));
    void *own;
    int64_t i;

    if (works == NULL)
        return DREAMBOOTH_ENOMEM;
    for (i = 0; i < count; i++) {
        works[i] = (struct db_bf16_work){
            .p = &products[i], .a = products[i].a, .b = products[i].b};
        db_bf16_divide(&works[i], 1);
        db_bf16_measure_own(&works[i]);
    }
    own = db_bf16_new_own(host, &works[0]);
    for (i = 1; i < count; i++) {
        works[i].own = works[0].own;
        works[i].own_size = works[0].own_size;
        works[i].a_at = works[0].a_at;
    }
    if (own != NULL)
        host->parallel(host, count, multiply_one, works);
    host->scratch_free(host, own);
    host->scratch_free(host, works);
    return own == NULL ? DREAMBOOTH_ENOMEM : DREAMBOOTH_OK;
}

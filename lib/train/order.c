/* SPDX-License-Identifier: MIT */
/* Passes and places, without any state between them. */
#include "train/order.h"

int db_order_photo(struct db_env *env, uint64_t seed,
                   enum db_random_purpose purpose, int64_t position,
                   int64_t count, int64_t *out)
{
    struct db_random random;
    int64_t *order = db_alloc_array(env, (size_t)count, sizeof(*order));

    if (order == NULL)
        return env->error_status;
    db_random_init(&random, seed, purpose, (uint64_t)(position / count), 0);
    db_random_permutation(&random, order, count);
    *out = order[position % count];
    db_free(env, order);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* Several products at once, with as many parts in their operands, each of which
 * one thread makes; and shares of one. */
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
    struct db_bf16_work most = {.part = 0};
    int64_t i;

    if (works == NULL)
        return DREAMBOOTH_ENOMEM;
    for (i = 0; i < count; i++) {
        works[i] = (struct db_bf16_work){
            .p = &products[i], .a = products[i].a, .b = products[i].b};
        db_bf16_divide(&works[i], 1, 1);
        db_bf16_measure_own(&works[i]);
        most.own_size = db_blas_larger(most.own_size, works[i].own_size);
        most.part = db_blas_larger(most.part, works[i].part);
    }
    most.a = works[0].a;
    if (db_bf16_new_own(host, &most) == NULL) {
        host->scratch_free(host, works);
        return DREAMBOOTH_ENOMEM;
    }
    for (i = 0; i < count; i++) {
        works[i].own = most.own;
        works[i].own_size = most.own_size;
        works[i].a_at = most.a_at;
    }
    host->parallel(host, count, multiply_one, works);
    host->scratch_free(host, most.own);
    host->scratch_free(host, works);
    return DREAMBOOTH_OK;
}

/* The product's columns from those of strip FIRST of the right side on. */
static struct db_bf16_product share_of(const struct db_bf16_work *work,
                                       int64_t first, int64_t strips)
{
    const int64_t column = first * DB_BF16_SIDE;
    struct db_bf16_product share = *work->p;

    share.b = work->b;
    share.b.strips = db_blas_smaller(strips, work->b.strips - first);
    share.b.strip_at += first;
    share.n = db_blas_smaller(strips * DB_BF16_SIDE, share.n - column);
    share.result.y += column;
    if (share.result.bias != NULL)
        share.result.bias += column;
    return share;
}

bool db_bf16_has_shares(const struct db_bf16_work *work)
{
    return work->b.pack == NULL && work->blocks == 1 && work->groups > 1 &&
           work->panels % work->groups != 0 && work->p->column_of == NULL &&
           work->p->result.gating == NULL && !work->p->is_turned;
}

int db_bf16_multiply_shares(const dreambooth_kernel_host *host,
                            const struct db_bf16_work *work)
{
    const int64_t strips = db_blas_pieces(work->b.strips, work->groups);
    const int64_t count = db_blas_pieces(work->b.strips, strips);
    struct db_bf16_product *shares =
        host->scratch_new(host, (size_t)count * sizeof(*shares));
    int64_t i;
    int status;

    if (shares == NULL)
        return DREAMBOOTH_ENOMEM;
    for (i = 0; i < count; i++)
        shares[i] = share_of(work, i * strips, strips);
    status = db_bf16_multiply_several(host, shares, count);
    host->scratch_free(host, shares);
    return status;
}

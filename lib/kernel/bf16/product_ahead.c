/* SPDX-License-Identifier: MIT */
/* Sides of a product that are packed before all tasks: for this product, or,
 * of a weight, for as long as a sampler draws. */
#include "kernel/bf16/product_int.h"

#define PACK_STEPS 64 /* of a task that packs */

/* An operand that is packed before all tasks. */
struct ahead {
    const struct db_bf16_product *p;
    db_bf16_pack *pack;
    int64_t pieces; /* tasks a strip */
    uint8_t *to;
    int64_t *strip_at, *step_at;
};

static void pack_ahead(void *argument, int64_t index, int worker)
{
    const struct ahead *ahead = argument;
    const int64_t strip = index / ahead->pieces;
    const int64_t step = index % ahead->pieces * PACK_STEPS;

    (void)worker;
    ahead->pack(ahead->p, strip, step,
                db_blas_smaller(PACK_STEPS, ahead->p->steps - step),
                ahead->to + ahead->strip_at[strip] + ahead->step_at[step]);
}

/* Bytes of all of O, and where its strips and steps are. */
static size_t size_ahead(const struct db_bf16_product *p,
                         const struct db_bf16_operand *o)
{
    return (size_t)(o->strips * p->steps * db_bf16_tile_size(o)) +
           (size_t)(o->strips + p->steps) * sizeof(int64_t);
}

/* Packs all of O into MEMORY, unless it is there; it then lies in place. */
static void lay_ahead(const dreambooth_kernel_host *host,
                      const struct db_bf16_product *p,
                      struct db_bf16_operand *o, void *memory, bool is_there)
{
    const int64_t strip = p->steps * db_bf16_tile_size(o);
    struct ahead ahead = {.p = p,
                          .pack = o->pack,
                          .pieces = db_blas_pieces(p->steps, PACK_STEPS),
                          .to = memory};
    int64_t i;

    ahead.strip_at = (int64_t *)(void *)(ahead.to + o->strips * strip);
    ahead.step_at = ahead.strip_at + o->strips;
    for (i = 0; i < o->strips && !is_there; i++)
        ahead.strip_at[i] = i * strip;
    for (i = 0; i < p->steps && !is_there; i++)
        ahead.step_at[i] = i * db_bf16_tile_size(o);
    if (!is_there)
        host->parallel(host, o->strips * ahead.pieces, pack_ahead, &ahead);
    *o = (struct db_bf16_operand){.strips = o->strips,
                                  .parts = o->parts,
                                  .base = ahead.to,
                                  .strip_at = ahead.strip_at,
                                  .step_at = ahead.step_at,
                                  .line = DB_BF16_LINE,
                                  .apart = DB_BF16_TILE};
}

bool db_bf16_lay_once(const dreambooth_kernel_host *host,
                      const struct db_bf16_product *p,
                      struct db_bf16_operand *o)
{
    void *memory;
    int is_new;

    if (o->form.weight == NULL)
        return false;
    memory = host->keep(host, &o->form, size_ahead(p, o), &is_new);
    if (memory != NULL)
        lay_ahead(host, p, o, memory, !is_new);
    return memory != NULL;
}

bool db_bf16_keeps_right(const dreambooth_kernel_host *host,
                         const struct db_bf16_product *product)
{
    struct db_bf16_operand b = product->b;

    return db_bf16_lay_once(host, product, &b);
}

int db_bf16_lay_for_now(const dreambooth_kernel_host *host,
                        const struct db_bf16_product *p,
                        struct db_bf16_operand *o, void **memory)
{
    *memory = host->scratch_new(host, size_ahead(p, o));
    if (*memory == NULL)
        return DREAMBOOTH_ENOMEM;
    lay_ahead(host, p, o, *memory, false);
    return DREAMBOOTH_OK;
}

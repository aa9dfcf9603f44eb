/* SPDX-License-Identifier: MIT */
/* What a product of tiles packs next, and so fetches while tiles multiply. */
#include "kernel/bf16/product_int.h"

struct db_bf16_wanted db_bf16_wanted_by(const struct db_bf16_work *work,
                                        const struct db_bf16_stretch *s,
                                        int64_t steps, int64_t last)
{
    const struct db_bf16_raw *raw = &work->b.raw;
    int64_t panel = s->panel, step = s->step + s->steps;

    if (step == steps) {
        panel += work->beside;
        step = 0;
    }
    if (work->b.pack == NULL || raw->at == NULL || panel >= last)
        return (struct db_bf16_wanted){.at = NULL};
    step += s->begun;
    return (struct db_bf16_wanted){
        (const uint8_t *)raw->at + panel * raw->panel +
            (raw->step_at == NULL ? step * raw->step : 0),
        raw->step_at == NULL ? work->raw_at : raw->step_at + step,
        db_blas_smaller(work->few, s->begun + steps - step),
        raw->row,
        raw->half,
        raw->lines};
}

struct db_bf16_coming db_bf16_coming_by(const struct db_bf16_work *work,
                                        const struct db_bf16_stretch *s,
                                        int64_t strip)
{
    const struct db_bf16_raw *raw = &work->a.raw;
    const int64_t next = strip * DB_BF16_SIDE;
    const int64_t a = work->a.parts, b = work->b.parts;
    const int64_t products = a == 1 || b == 1 ? a * b : a * (a + 1) / 2;

    if (!work->p->is_turned || work->a.pack == NULL || raw->at == NULL ||
        next + DB_BF16_PANEL > work->p->m)
        return (struct db_bf16_coming){NULL, 0, 0};
    return (struct db_bf16_coming){
        (const uint8_t *)raw->at + next * raw->row, raw->row,
        (s->panel * work->p->steps + s->begun + s->step) * products};
}

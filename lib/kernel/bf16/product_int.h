/* SPDX-License-Identifier: MIT */
/* What the files of a product of tiles share: how it is cut, and where sums
 * are. */
#ifndef DB_KERNEL_BF16_PRODUCT_INT_H
#define DB_KERNEL_BF16_PRODUCT_INT_H

#include "kernel/bf16/bf16_int.h"
#include "kernel/blas/blas_int.h"

#define DB_BF16_MOST_STRIPS 64 /* of a task */
#define DB_BF16_PANEL_TILES                                                    \
    192 /* KB of B at once, in the second-level cache                          \
         */
#define DB_BF16_STRIP_SUMS ((int64_t)DB_BF16_SIDE * DB_BF16_PANEL)

struct db_bf16_work {
    const struct db_bf16_product *p;
    struct db_bf16_operand a, b; /* as they are after packing before */
    int64_t block;               /* strips of A */
    int64_t blocks, groups;      /* tasks along A, and along B */
    int64_t panels, group;       /* of B, and those of a task */
    int64_t part, few;           /* steps in a part, and of a panel at once */
    int64_t beside;              /* panels that are packed together */
    bool is_far;                 /* whether the caches will not have y */
    uint8_t *own;                /* the workers' memory, OWN_SIZE each */
    int64_t own_size, block_size, panel_size; /* bytes */
    int64_t *a_at; /* steps in packed memory, behind OWN */
    int64_t b_at[DB_BF16_PANEL_TILES];
    int64_t raw_at[DB_BF16_PANEL_TILES];
};

/* A few steps of a panel: of which part of k, and whether there are others
 * before or behind. */
struct db_bf16_stretch {
    int64_t panel, begun, step, steps;
    int64_t place; /* of the panel among those that are packed together */
    bool is_first_part, is_first, is_last;
};

static inline int64_t db_bf16_tile_size(const struct db_bf16_operand *o)
{
    return (int64_t)o->parts * DB_BF16_TILE;
}

/* Cuts the work of work->p into some WANTED tasks of THREADS: all but a, b and
 * own. B may lie in place by then. */
void db_bf16_divide(struct db_bf16_work *work, int64_t threads, int64_t wanted);
/* The sizes of what a worker needs for its tasks, and that for all: scratch
 * that is to be freed. */
void db_bf16_measure_own(struct db_bf16_work *work);
void *db_bf16_new_own(const dreambooth_kernel_host *host,
                      struct db_bf16_work *work);
/* Whether panels of a right side that lies in place cannot be divided evenly,
 * where its strips can; and the product by shares of these, one a thread. */
bool db_bf16_has_shares(const struct db_bf16_work *work);
int db_bf16_multiply_shares(const dreambooth_kernel_host *host,
                            const struct db_bf16_work *work);
/* Task number INDEX of blocks times groups. */
void db_bf16_multiply_block(void *work, int64_t index, int worker);
/* Packs all of O, which then lies in place: in memory where later products find
 * it, if there is any; or in *MEMORY, which is the caller's to free. */
bool db_bf16_lay_once(const dreambooth_kernel_host *host,
                      const struct db_bf16_product *p,
                      struct db_bf16_operand *o);
int db_bf16_lay_for_now(const dreambooth_kernel_host *host,
                        const struct db_bf16_product *p,
                        struct db_bf16_operand *o, void **memory);
/* Whether A or B is packed before all tasks. */
bool db_bf16_is_a_ahead(const struct db_bf16_work *work);
bool db_bf16_is_b_ahead(const struct db_bf16_work *work);

/* Whether sums may lie in y itself between the parts of k. Other results have
 * one part, so that no bit depends on how k is cut. */
bool db_bf16_is_plain(const struct db_bf16_product *p);
/* Whether they begin with the bias; else it is added when they are put away. */
bool db_bf16_begins_with_bias(const struct db_bf16_product *p);
/* Whether sums that are not whole begin with what lies in C. */
bool db_bf16_begins_in_c(const struct db_bf16_product *p, int64_t panel);
/* Whether the rows of y that a strip makes lie one behind the other, and
 * whether the columns of a panel do. */
bool db_bf16_is_whole_strip(const struct db_bf16_product *p, int64_t strip);
bool db_bf16_is_whole_panel(const struct db_bf16_product *p, int64_t panel);
/* Numbers in y of row I of all strips, -1 for none, and of a strip's first
 * column. */
int64_t db_bf16_row_of(const struct db_bf16_product *p, int64_t i);
int64_t db_bf16_column_of(const struct db_bf16_product *p, int64_t strip);

/* A strip of y, not whole, comes into C, [16, 32], and goes back. */
void db_bf16_take_strip(const struct db_bf16_product *p,
                        const struct db_bf16_stretch *s, int64_t strip,
                        float *c);
void db_bf16_put_strip(const struct db_bf16_product *p,
                       const struct db_bf16_stretch *s, int64_t strip,
                       const float *c);

/* What the task packs next of B, of whose panels it has those before LAST; or
 * what comes of A, where that is packed strip by strip: the two from STRIP on,
 * if both are whole. */
struct db_bf16_wanted db_bf16_wanted_by(const struct db_bf16_work *work,
                                        const struct db_bf16_stretch *s,
                                        int64_t steps, int64_t last);
struct db_bf16_coming db_bf16_coming_by(const struct db_bf16_work *work,
                                        const struct db_bf16_stretch *s,
                                        int64_t strip);

/* Between a few steps and the next, sums lie in C; before the first and behind
 * the last, in Y, unless that is NULL. BIAS may be. */
struct db_bf16_sums db_bf16_sums_of(const struct db_bf16_product *p,
                                    const struct db_bf16_stretch *s, float *c,
                                    float *y, const float *bias);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Where the sums of a product of tiles lie. Between the parts of k they are in
 * y itself, which tiles are read from and written to; strips of which y has
 * only a part go by way of a buffer, with the same additions in the same order.
 */
#include <string.h>

#include "kernel/bf16/product_int.h"
#include "kernel/elementwise/elementwise.h"

int64_t db_bf16_row_of(const struct db_bf16_product *p, int64_t i)
{
    return p->row_of != NULL ? p->row_of[i] : i < p->m ? i : -1;
}

bool db_bf16_is_whole_strip(const struct db_bf16_product *p, int64_t strip)
{
    const int64_t first = strip * DB_BF16_SIDE;
    int64_t i;

    if (p->row_of == NULL)
        return first + DB_BF16_SIDE <= p->m;
    for (i = 0; i < DB_BF16_SIDE; i++)
        if (p->row_of[first + i] != p->row_of[first] + i)
            return false;
    return p->row_of[first] >= 0;
}

bool db_bf16_is_whole_panel(const struct db_bf16_product *p, int64_t panel)
{
    const int64_t first = panel * 2;
    const bool is_narrow = first + 1 == p->b.strips;
    const int64_t width = is_narrow ? DB_BF16_SIDE : DB_BF16_PANEL;

    if (p->column_of == NULL)
        return panel * DB_BF16_PANEL + width <= p->n;
    return p->width_of[first] == DB_BF16_SIDE &&
           (is_narrow ||
            (p->width_of[first + 1] == DB_BF16_SIDE &&
             p->column_of[first + 1] == p->column_of[first] + DB_BF16_SIDE));
}

int64_t db_bf16_column_of(const struct db_bf16_product *p, int64_t strip)
{
    return p->column_of != NULL ? p->column_of[strip] : strip * DB_BF16_SIDE;
}

bool db_bf16_is_plain(const struct db_bf16_product *p)
{
    const struct db_bf16_result *result = &p->result;

    return result->alpha == 1.0f &&
           (result->beta == 0.0f ||
            (result->beta == 1.0f && result->bias == NULL)) &&
           result->gating == NULL && result->y_bf16 == NULL;
}

bool db_bf16_begins_with_bias(const struct db_bf16_product *p)
{
    return p->result.alpha == 1.0f;
}

bool db_bf16_begins_in_c(const struct db_bf16_product *p, int64_t panel)
{
    return db_bf16_is_plain(p) ||
           (db_bf16_begins_with_bias(p) && !db_bf16_is_whole_panel(p, panel));
}

/* What sums begin with: y, where they are plain, the bias, or zeros. */
static bool begins_with_y(const struct db_bf16_product *p,
                          const struct db_bf16_stretch *s)
{
    return db_bf16_is_plain(p) && (!s->is_first_part || p->result.beta != 0.0f);
}

static int64_t width_of(const struct db_bf16_product *p, int64_t strip)
{
    return p->width_of != NULL
               ? p->width_of[strip]
               : db_blas_smaller(DB_BF16_SIDE, p->n - strip * DB_BF16_SIDE);
}

/* The strip's rows are columns of y: sums begin with the bias, or zeros. */
static void take_turned(const struct db_bf16_product *p, int64_t strip,
                        float *c)
{
    int64_t i, j;

    for (i = 0; i < DB_BF16_SIDE; i++, c += DB_BF16_PANEL) {
        const int64_t column = strip * DB_BF16_SIDE + i;
        const float first = p->result.bias != NULL && column < p->m
                                ? p->result.bias[column]
                                : 0.0f;

        for (j = 0; j < DB_BF16_PANEL; j++)
            c[j] = first;
    }
}

/* The rows of y that a strip makes, in C: only in part there. */
void db_bf16_take_strip(const struct db_bf16_product *p,
                        const struct db_bf16_stretch *s, int64_t strip,
                        float *c)
{
    int64_t i, side;

    if (p->is_turned) {
        take_turned(p, strip, c);
        return;
    }
    memset(c, 0, DB_BF16_STRIP_SUMS * sizeof(*c));
    for (i = 0; i < DB_BF16_SIDE; i++, c += DB_BF16_PANEL) {
        const int64_t row = db_bf16_row_of(p, strip * DB_BF16_SIDE + i);

        for (side = 0; side < 2 && s->panel * 2 + side < p->b.strips; side++) {
            const int64_t number = s->panel * 2 + side;
            const float *from = begins_with_y(p, s)
                                    ? p->result.y + row * p->y_row
                                    : p->result.bias;

            if (row >= 0 && from != NULL)
                memcpy(c + side * DB_BF16_SIDE,
                       from + db_bf16_column_of(p, number),
                       (size_t)width_of(p, number) * sizeof(*c));
        }
    }
}

/* Rows of x and gate, which lie side by side, to those of y. */
static void put_gated(const struct db_bf16_product *p, int64_t panel,
                      int64_t strip, const float *c)
{
    const struct db_bf16_result *result = &p->result;
    const int64_t row = strip * DB_BF16_SIDE;
    const int64_t at = row * p->y_row + panel * DB_BF16_SIDE;
    const struct db_gated_rows rows = {
        .rows = db_blas_smaller(DB_BF16_SIDE, p->m - row),
        .width = DB_BF16_SIDE,
        .x = c,
        .gate = c + DB_BF16_SIDE,
        .x_row = DB_BF16_PANEL,
        .y = result->y == NULL ? NULL : result->y + at,
        .y_bf16 = result->y == NULL ? result->y_bf16 + at : NULL,
        .y_row = p->y_row,
        .is_rough = result->is_rough};

    result->gating->geglu(&rows);
}

/* And they go there. */
static void put_turned(const struct db_bf16_product *p,
                       const struct db_bf16_stretch *s, int64_t strip,
                       const float *c)
{
    const int64_t first = strip * DB_BF16_SIDE;
    const int64_t count = db_blas_smaller(DB_BF16_SIDE, p->m - first);
    struct db_bf16_result here = {.alpha = 1.0f};
    int64_t side;

    if (!db_bf16_is_plain(p)) {
        here = p->result;
        here.bias = here.bias == NULL ? NULL : here.bias + first;
    }
    for (side = 0; side < 2 && s->panel * 2 + side < p->b.strips; side++) {
        const int64_t number = s->panel * 2 + side;

        here.y = p->result.y + number * DB_BF16_SIDE * p->y_row + first;
        p->isa->put_columns(width_of(p, number), count, c + side * DB_BF16_SIDE,
                            DB_BF16_PANEL, &here, p->y_row);
    }
}

/* What is left to be done with sums that begin as they should. */
static struct db_bf16_result result_at(const struct db_bf16_product *p,
                                       int64_t row, int64_t column)
{
    const struct db_bf16_result *result = &p->result;
    const int64_t at = row * p->y_row + column;
    struct db_bf16_result here = {
        .y = result->y == NULL ? NULL : result->y + at,
        .y_bf16 = result->y == NULL ? result->y_bf16 + at : NULL,
        .alpha = 1.0f};

    if (!db_bf16_is_plain(p)) {
        here.alpha = result->alpha;
        here.beta = result->beta;
        here.bias = result->bias == NULL || db_bf16_begins_with_bias(p)
                        ? NULL
                        : result->bias + column;
    }
    return here;
}

/* Rows of y that lie one behind the other. */
static void put_rows(const struct db_bf16_product *p, int64_t panel,
                     int64_t row, const float *c)
{
    const int64_t column = panel * DB_BF16_PANEL;
    const struct db_bf16_result here = result_at(p, row, column);

    p->isa->put(db_blas_smaller(DB_BF16_SIDE, p->m - row),
                db_blas_smaller(DB_BF16_PANEL, p->n - column), c, DB_BF16_PANEL,
                &here, p->y_row);
}

/* And from there to y. */
void db_bf16_put_strip(const struct db_bf16_product *p,
                       const struct db_bf16_stretch *s, int64_t strip,
                       const float *c)
{
    int64_t i, side;

    if (p->result.gating != NULL) {
        put_gated(p, s->panel, strip, c);
        return;
    }
    if (p->is_turned) {
        put_turned(p, s, strip, c);
        return;
    }
    if (p->row_of == NULL && p->column_of == NULL) {
        put_rows(p, s->panel, strip * DB_BF16_SIDE, c);
        return;
    }
    for (i = 0; i < DB_BF16_SIDE; i++, c += DB_BF16_PANEL) {
        const int64_t row = db_bf16_row_of(p, strip * DB_BF16_SIDE + i);

        for (side = 0; side < 2 && s->panel * 2 + side < p->b.strips; side++) {
            const int64_t number = s->panel * 2 + side;
            const struct db_bf16_result here =
                result_at(p, row, db_bf16_column_of(p, number));

            if (row >= 0)
                p->isa->put(1, width_of(p, number), c + side * DB_BF16_SIDE, 0,
                            &here, 0);
        }
    }
}

struct db_bf16_sums db_bf16_sums_of(const struct db_bf16_product *p,
                                    const struct db_bf16_stretch *s, float *c,
                                    float *y, const float *bias)
{
    struct db_bf16_sums sums = {c, c, DB_BF16_PANEL, DB_BF16_PANEL};

    if (s->is_last && y != NULL) {
        sums.to = y;
        sums.to_row = p->y_row;
    }
    if (!s->is_first)
        return sums;
    if (y == NULL && !db_bf16_is_plain(p)) {
        if (db_bf16_begins_in_c(p, s->panel))
            return sums;
        sums.from = db_bf16_begins_with_bias(p) ? bias : NULL;
        sums.from_row = 0;
    } else if (y != NULL && begins_with_y(p, s)) {
        sums.from = y;
        sums.from_row = p->y_row;
    } else if (y != NULL) {
        sums.from = bias;
        sums.from_row = 0;
    }
    return sums;
}

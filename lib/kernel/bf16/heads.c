/* SPDX-License-Identifier: MIT */
/* Heads of attention as tiles. */
#include "kernel/bf16/attention_int.h"

#include <string.h>

#define MOST_TERMS 6
#define ROWS_AHEAD 16 /* of what is laid out */
#define FLOATS_OF_LINE 16

/* The parts of both sides in each term, the smallest products first. */
static const struct {
    int left, right;
} terms_of[][MOST_TERMS] = {
    {{0, 0}},
    {{1, 0}, {0, 1}, {0, 0}},
    {{2, 0}, {0, 2}, {1, 1}, {1, 0}, {0, 1}, {0, 0}},
};

static int count_terms(int parts)
{
    return parts * (parts + 1) / 2;
}

static int64_t steps_of(const dreambooth_attention *a, int parts)
{
    return db_blas_pieces(count_terms(parts) * a->head_size, DB_BF16_STEP);
}

bool db_bf16_heads_fit(const dreambooth_attention *a, int parts)
{
    return steps_of(a, parts) <= DB_BF16_MOST_STEPS;
}

void db_bf16_heads_init(struct db_bf16_heads *heads,
                        const struct db_bf16_isa *isa, int parts,
                        const dreambooth_attention *a)
{
    int64_t i;

    heads->a = a;
    heads->isa = isa;
    heads->parts = parts;
    heads->terms = count_terms(parts);
    heads->row = a->heads * a->head_size;
    heads->size_panels = db_blas_pieces(a->head_size, DB_BF16_PANEL);
    heads->size_strips = db_blas_pieces(a->head_size, DB_BF16_SIDE);
    heads->score_steps = steps_of(a, parts);
    heads->score_line = heads->score_steps * DB_BF16_LINE;
    for (i = 0; i < DB_BF16_MOST_STEPS; i++) {
        heads->line_at[i] = i * DB_BF16_LINE;
        heads->tile_at[i] = i * DB_BF16_TILE;
        heads->tile_at_parts[i] = i * DB_BF16_TILE * parts;
    }
}

int64_t db_bf16_head_at(const struct db_bf16_heads *heads, int64_t length,
                        int64_t head)
{
    return head / heads->a->heads * length * heads->row +
           head % heads->a->heads * heads->a->head_size;
}

/* Other heads lie between positions of one: their distance is not foreseen. */
static void fetch(const float *x, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i += FLOATS_OF_LINE)
        __builtin_prefetch(x + i);
}

void db_bf16_lay_terms(const struct db_bf16_heads *heads, const float *x,
                       int64_t length, int64_t head, int64_t first,
                       int64_t count, float factor, bool is_left, uint8_t *to)
{
    const int64_t size = heads->a->head_size;
    const int64_t there =
        db_blas_larger(db_blas_smaller(count, length - first), 0);
    int which[MOST_TERMS];
    int64_t r;
    int i;

    for (i = 0; i < heads->terms; i++)
        which[i] = is_left ? terms_of[heads->parts - 1][i].left
                           : terms_of[heads->parts - 1][i].right;
    x += db_bf16_head_at(heads, length, head) + first * heads->row;
    for (r = 0; r < there; r++) {
        fetch(x + (r + ROWS_AHEAD) * heads->row, size);
        heads->isa->terms(x + r * heads->row, size, factor, heads->parts, which,
                          heads->terms, to);
        memset(to + heads->terms * size * 2, 0,
               (size_t)(heads->score_line - heads->terms * size * 2));
        to += heads->score_line;
    }
    memset(to, 0, (size_t)((count - there) * heads->score_line));
}

void db_bf16_lay_queries(const struct db_bf16_heads *heads, int64_t head,
                         int64_t first, uint8_t *to)
{
    const dreambooth_attention *a = heads->a;
    const int64_t count =
        db_blas_smaller(DB_BF16_PANEL, a->query_length - first);
    const size_t size = (size_t)a->head_size * sizeof(*a->q_bf16);
    const uint16_t *q;
    int64_t r;

    if (a->q_bf16 == NULL) {
        db_bf16_lay_terms(heads, a->q, a->query_length, head, first,
                          DB_BF16_PANEL,
                          (float)((double)a->scale * DB_BF16_LOG2_E), true, to);
        return;
    }
    memset(to, 0, (size_t)(DB_BF16_PANEL * heads->score_line));
    q = a->q_bf16 + db_bf16_head_at(heads, a->query_length, head) +
        first * heads->row;
    for (r = 0; r < count; r++, q += heads->row, to += heads->score_line)
        memcpy(to, q, size);
}

static struct db_bf16_pair pair_of(const struct db_bf16_row *row,
                                   const uint8_t *b0, const uint8_t *b1,
                                   float *c)
{
    const int64_t line = DB_BF16_PANEL;
    float *below = c + DB_BF16_SIDE * line;

    return (struct db_bf16_pair){{row->a[0], row->a[1]},
                                 {b0, b1},
                                 {{row->add ? c : NULL, c, line, line},
                                  {row->add ? below : NULL, below, line, line}},
                                 NULL};
}

#define PAIRS_AT_ONCE 8

void db_bf16_multiply_row(const struct db_bf16_heads *heads,
                          const struct db_bf16_row *row)
{
    const int64_t *tiles =
        row->parts == 1 ? heads->tile_at : heads->tile_at_parts;
    const struct db_bf16_block block = {
        .steps = row->steps,
        .a_at = row->is_lines ? heads->line_at : tiles,
        .b_at = tiles,
        .a_line = row->is_lines ? heads->score_line : DB_BF16_LINE,
        .b_line = DB_BF16_LINE,
        .a_parts = row->parts,
        .b_parts = row->parts,
        .a_apart = DB_BF16_TILE,
        .b_apart = DB_BF16_TILE};
    struct db_bf16_pair pairs[PAIRS_AT_ONCE];
    const uint8_t *b = row->b;
    float *c = row->c;
    int64_t strip = 0, count;

    while (strip < row->strips) {
        for (count = 0; count < PAIRS_AT_ONCE && strip + 1 < row->strips;
             count++, strip += 2, b += 2 * row->b_strip) {
            pairs[count] = pair_of(row, b, b + row->b_strip, c);
            c += DB_BF16_PANEL * DB_BF16_PANEL;
        }
        if (count == 0) {
            pairs[count++] = pair_of(row, b, NULL, c);
            strip++;
        }
        heads->isa->multiply(&block, pairs, count);
    }
}

int64_t db_bf16_whole_panels(int64_t length)
{
    return db_blas_pieces(length, DB_BF16_PANEL) * DB_BF16_PANEL;
}

void db_bf16_pack_along(const struct db_bf16_heads *heads, const float *x,
                        int64_t length, int64_t head, int64_t first,
                        uint8_t *to)
{
    struct db_bf16_from from = {x + db_bf16_head_at(heads, length, head) +
                                    first * heads->row,
                                NULL, heads->row};
    int64_t i;

    for (i = 0; i < heads->a->head_size; i += DB_BF16_SIDE) {
        heads->isa->apart(
            &from, db_blas_smaller(DB_BF16_SIDE, heads->a->head_size - i),
            length - first, to, heads->parts);
        from.f32 += DB_BF16_SIDE;
        to += heads->parts * DB_BF16_TILE;
    }
}

struct packing {
    const struct db_bf16_heads *heads;
    const struct db_bf16_units *out;
    int64_t tasks; /* a head */
};

/* Values of a head from position FIRST on, of either. */
static struct db_bf16_from positions_of(const struct db_bf16_heads *heads,
                                        const float *f32, const uint16_t *bf16,
                                        int64_t head, int64_t first)
{
    const int64_t at =
        db_bf16_head_at(heads, heads->a->key_length, head) + first * heads->row;

    return (struct db_bf16_from){f32 == NULL ? NULL : f32 + at,
                                 bf16 == NULL ? NULL : bf16 + at, heads->row};
}

static void fetch_positions(const struct db_bf16_heads *heads,
                            const struct db_bf16_from *from, int64_t first)
{
    const int64_t size = heads->a->head_size;
    int64_t r;

    for (r = first; r < first + ROWS_AHEAD; r++)
        if (from->f32 != NULL)
            fetch(from->f32 + r * from->row, size);
        else
            fetch((const float *)(const void *)(from->bf16 + r * from->row),
                  size / 2);
}

/* A strip of keys as a right side of scores: 16 positions with k along the
 * terms. */
static void pack_keys(const struct db_bf16_heads *heads, int64_t head,
                      int64_t strip, uint8_t *to)
{
    const dreambooth_attention *a = heads->a;
    const int64_t first = strip * DB_BF16_SIDE;
    const int64_t count = db_blas_smaller(DB_BF16_SIDE, a->key_length - first);
    const struct db_bf16_from from =
        positions_of(heads, a->k, a->k_bf16, head, first);
    uint8_t line[DB_BF16_MOST_STEPS * DB_BF16_LINE];
    int64_t i, r;

    if (heads->parts == 1 && count > 0) {
        fetch_positions(heads, &from, DB_BF16_SIDE);
        db_bf16_columns(heads->isa, &from, count, a->head_size, to,
                        heads->score_steps, 1);
        return;
    }
    for (r = 0; r < DB_BF16_SIDE; r++) {
        db_bf16_lay_terms(heads, a->k, a->key_length, head, first + r, 1, 1.0f,
                          false, line);
        for (i = 0; i < heads->score_steps; i++)
            memcpy(to + i * DB_BF16_TILE + r * DB_BF16_LINE,
                   line + i * DB_BF16_LINE, DB_BF16_LINE);
    }
    for (i = 0; i < heads->score_steps; i++)
        heads->isa->turn(to + i * DB_BF16_TILE, DB_BF16_LINE,
                         to + i * DB_BF16_TILE);
}

/* 32 positions of v, with ones behind its values: their sum is that of the
 * weights. */
static void pack_values(const struct db_bf16_heads *heads, int64_t head,
                        int64_t first, uint8_t *to)
{
    const dreambooth_attention *a = heads->a;
    const uint16_t one = 0x3f80;
    const int64_t length = db_blas_smaller(a->key_length - first, DB_BF16_STEP);
    const int64_t tiles = heads->parts * DB_BF16_TILE;
    struct db_bf16_from from =
        positions_of(heads, a->v, a->v_bf16, head, first);
    int64_t i;

    fetch_positions(heads, &from, DB_BF16_STEP);
    for (i = 0; i <= a->head_size; i += DB_BF16_SIDE) {
        heads->isa->apart(&from,
                          db_blas_smaller(DB_BF16_SIDE, a->head_size - i),
                          length, to, heads->parts);
        if (from.f32 != NULL)
            from.f32 += DB_BF16_SIDE;
        else
            from.bf16 += DB_BF16_SIDE;
        to += tiles;
    }
    to += (a->head_size % DB_BF16_SIDE * 2) * (int64_t)sizeof(one) - tiles;
    for (i = 0; i < length; i++)
        memcpy(to + i % DB_BF16_SIDE * DB_BF16_LINE +
                   i / DB_BF16_SIDE * (int64_t)sizeof(one),
               &one, sizeof(one));
}

#define UNITS_OF_TASK 8

static void pack_some(void *argument, int64_t index, int worker)
{
    const struct packing *p = argument;
    const struct db_bf16_heads *h = p->heads;
    const int64_t head = index / p->tasks;
    int64_t unit = index % p->tasks * UNITS_OF_TASK;
    const int64_t end = db_blas_smaller(unit + UNITS_OF_TASK, p->out->count);

    (void)worker;
    for (; unit < end; unit++) {
        uint8_t *to = db_bf16_unit(p->out, head, unit);
        int i;

        for (i = 0; i < 2; i++, to += h->score_steps * DB_BF16_TILE)
            pack_keys(h, head, 2 * unit + i, to);
        pack_values(h, head, unit * DB_BF16_PANEL, to);
    }
}

int db_bf16_pack_units(const dreambooth_kernel_host *host,
                       const struct db_bf16_heads *heads,
                       struct db_bf16_units *out)
{
    const dreambooth_attention *a = heads->a;
    const int64_t count = a->batch * a->heads;
    struct packing packing = {.heads = heads, .out = out};

    out->count = db_blas_pieces(a->key_length, DB_BF16_PANEL);
    out->strips = a->head_size / DB_BF16_SIDE + 1;
    out->size =
        (2 * heads->score_steps + out->strips * heads->parts) * DB_BF16_TILE;
    out->at = host->scratch_new(host, (size_t)(count * out->count * out->size));
    if (out->at == NULL)
        return DREAMBOOTH_ENOMEM;
    packing.tasks = db_blas_pieces(out->count, UNITS_OF_TASK);
    host->parallel(host, count * packing.tasks, pack_some, &packing);
    return DREAMBOOTH_OK;
}

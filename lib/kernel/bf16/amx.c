/* SPDX-License-Identifier: MIT */
/*
 * Tiles multiplied by AMX: four sums of 16 x 16 floats, and two tiles of each
 * operand. Linux gives the tile registers to processes that ask for them
 * (arch_prctl, since 5.16); begin() does, which costs nothing the second time.
 */
#include "kernel/bf16/bf16_int.h"

#ifdef DB_BF16_AMX
#ifdef __clang__
#pragma clang attribute push(                                                  \
    __attribute__((                                                            \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vbmi,fma," \
               "prfchw,amx-tile,amx-bf16"))),                                  \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,prfchw")
#pragma GCC target("avx512vbmi,amx-tile,amx-bf16")
#endif
#include "kernel/bf16/soften_int.h"

/* What LDTILECFG reads. */
struct configuration {
    uint8_t palette, start_line, reserved[14];
    uint16_t line_bytes[16];
    uint8_t lines[16];
};

#define EIGHT(x) x, x, x, x, x, x, x, x
static const struct configuration whole_tiles = {
    1, 0, {0}, {EIGHT(DB_BF16_LINE)}, {EIGHT(DB_BF16_SIDE)}};

static void begin(void)
{
    _tile_loadconfig(&whole_tiles);
}

static void end(void)
{
    _tile_release();
}

/* Tiles 0..3 are sums; 4 and 5 are of A, 6 and 7 of B, where there may be one
 * strip only. */
#define MULTIPLY()                                                             \
    do {                                                                       \
        _tile_dpbf16ps(0, 4, 6);                                               \
        if (!is_narrow)                                                        \
            _tile_dpbf16ps(1, 4, 7);                                           \
        _tile_dpbf16ps(2, 5, 6);                                               \
        if (!is_narrow)                                                        \
            _tile_dpbf16ps(3, 5, 7);                                           \
    } while (0)

/* What is known when the code is made: whether there is one strip of B, whether
 * A is the right side, and the parts of the left and the right one. */
struct kind {
    bool is_narrow, is_turned;
    int parts, left, right;
};

/* Where both sides' tiles of a step are. */
struct step {
    int64_t a, b;
};

INLINE void load(const struct db_bf16_block *block,
                 const struct db_bf16_pair *pair, const struct step at,
                 bool is_a, int part, bool is_narrow)
{
    if (is_a) {
        const int64_t where = at.a + part * block->a_apart;

        _tile_loadd(4, pair->a[0] + where, block->a_line);
        _tile_loadd(5, pair->a[1] + where, block->a_line);
    } else {
        const int64_t where = at.b + part * block->b_apart;

        _tile_loadd(6, pair->b[0] + where, block->b_line);
        if (!is_narrow)
            _tile_loadd(7, pair->b[1] + where, block->b_line);
    }
}

#define LEFT_TILES(part) load(block, pair, at, !kind.is_turned, part, is_narrow)
#define RIGHT_TILES(part) load(block, pair, at, kind.is_turned, part, is_narrow)

#define BYTES(row) ((row) * (int64_t)sizeof(float))

/* What a pair fetches at each of its steps. */
struct fetching {
    const uint8_t *far; /* rows of where its sums will go */
    int64_t far_row, far_rows, far_left;
    int far_lines;
    const int64_t *row_at; /* and its share of the rows that are wanted */
    int64_t rows;
    const uint8_t *coming;                        /* and between its products */
    int64_t coming_row, coming_back, coming_left; /* rows of this step */
};

INLINE void fetch_coming(struct fetching *f)
{
    _mm_prefetch((const char *)f->coming, _MM_HINT_T1);
    _mm_prefetch((const char *)f->coming + DB_BF16_LINE, _MM_HINT_T1);
    f->coming += f->coming_row;
    if (--f->coming_left == 0) {
        f->coming_left = DB_BF16_PANEL;
        f->coming += f->coming_back;
    }
}

#define MULTIPLY_AND_FETCH()                                                   \
    do {                                                                       \
        MULTIPLY();                                                            \
        if (kind.is_turned)                                                    \
            fetch_coming(f);                                                   \
    } while (0)

/* All products of parts whose numbers add up to less than PARTS, in the same
 * order whichever side is A. */
INLINE void one_step(const struct db_bf16_block *block,
                     const struct db_bf16_pair *pair, const struct step at,
                     struct fetching *f, const struct kind kind)
{
    const bool is_narrow = kind.is_narrow;

    RIGHT_TILES(0);
    if (kind.left > 2) {
        LEFT_TILES(2);
        MULTIPLY_AND_FETCH();
    }
    if (kind.left > 1) {
        LEFT_TILES(1);
        MULTIPLY_AND_FETCH();
    }
    LEFT_TILES(0);
    MULTIPLY_AND_FETCH();
    if (kind.right > 1) {
        RIGHT_TILES(1);
        MULTIPLY_AND_FETCH();
    }
    if (kind.parts > 2 && kind.left > 1 && kind.right > 1) {
        LEFT_TILES(1);
        MULTIPLY_AND_FETCH();
    }
    if (kind.right > 2) {
        RIGHT_TILES(2);
        if (kind.left > 1)
            LEFT_TILES(0);
        MULTIPLY_AND_FETCH();
    }
}

INLINE void fetch_sums(struct fetching *f)
{
    int64_t i;

    for (i = 0; i < f->far_rows; i++, f->far_left--, f->far += f->far_row) {
        __builtin_prefetch(f->far, 1, 3);
        if (f->far_lines > 1)
            __builtin_prefetch(f->far + DB_BF16_LINE, 1, 3);
    }
}

INLINE void fetch_wanted(const struct db_bf16_wanted *wanted,
                         const struct fetching *f, int64_t step)
{
    const uint8_t *from = wanted->at + wanted->step_at[step];
    int64_t i;

    for (i = 0; i < f->rows; i++) {
        _mm_prefetch((const char *)from + f->row_at[i], _MM_HINT_T1);
        if (wanted->lines > 1)
            _mm_prefetch((const char *)from + f->row_at[i] + DB_BF16_LINE,
                         _MM_HINT_T1);
    }
}

INLINE void fetch(const struct db_bf16_block *block, struct fetching *f,
                  int64_t step)
{
    if (f->far_left > 0)
        fetch_sums(f);
    if (step < block->wanted.steps)
        fetch_wanted(&block->wanted, f, step);
}

#define TOGETHER 8 /* steps */

/* Products run ahead of what waits for them. A tile that is stored after more
 * than 130 of them was measured to wait for 250 ns, which is 40 products; one
 * that is stored between, wherever, keeps them from it. */
INLINE void along_k(const struct db_bf16_block *block,
                    const struct db_bf16_pair *pair, struct fetching *f,
                    const struct kind kind)
{
    const int64_t *a = block->a_at, *b = block->b_at;
    const int64_t *const end = a + block->steps;
    _Alignas(DB_BF16_LINE) uint8_t line[DB_BF16_LINE];
    int i;

    for (; end - a >= TOGETHER; a += TOGETHER, b += TOGETHER) {
#pragma GCC unroll 8
        for (i = 0; i < TOGETHER; i++) {
            fetch(block, f, a - block->a_at + i);
            one_step(block, pair, (struct step){a[i], b[i]}, f, kind);
        }
        _tile_stored(0, line, 0);
    }
    for (; a < end; a++, b++) {
        fetch(block, f, a - block->a_at);
        one_step(block, pair, (struct step){*a, *b}, f, kind);
    }
}

/* Tiles LEFT and RIGHT are the sums of a strip. */
#define BEGIN_SUMS(left, right, sums)                                          \
    do {                                                                       \
        if ((sums)->from == NULL) {                                            \
            _tile_zero(left);                                                  \
            _tile_zero(right);                                                 \
        } else {                                                               \
            _tile_loadd(left, (sums)->from, BYTES((sums)->from_row));          \
            if (!kind.is_narrow)                                               \
                _tile_loadd(right, (sums)->from + DB_BF16_SIDE,                \
                            BYTES((sums)->from_row));                          \
        }                                                                      \
    } while (0)

#define END_SUMS(left, right, sums)                                            \
    do {                                                                       \
        _tile_stored(left, (sums)->to, BYTES((sums)->to_row));                 \
        if (!kind.is_narrow)                                                   \
            _tile_stored(right, (sums)->to + DB_BF16_SIDE,                     \
                         BYTES((sums)->to_row));                               \
    } while (0)

/* Where nothing comes, what is there anyway is fetched. */
INLINE void begin_coming(const struct db_bf16_block *block,
                         const struct db_bf16_pair *pair, struct fetching *f)
{
    const struct db_bf16_coming *coming = &block->coming;
    const int64_t row = coming->first % DB_BF16_PANEL;
    const int64_t step = coming->first / DB_BF16_PANEL * 2 * DB_BF16_LINE;

    f->coming = pair->a[0];
    f->coming_row = 0;
    f->coming_back = 0;
    f->coming_left = DB_BF16_PANEL;
    if (coming->at == NULL)
        return;
    f->coming = coming->at + row * coming->row + step;
    f->coming_row = coming->row;
    f->coming_back = 2 * DB_BF16_LINE - DB_BF16_PANEL * coming->row;
    f->coming_left = DB_BF16_PANEL - row;
}

INLINE void all_pairs(const struct db_bf16_block *block,
                      const struct db_bf16_pair *pair, int64_t count,
                      const struct kind kind)
{
    const int64_t rows = (DB_BF16_PANEL + count - 1) / count;
    int64_t row_at[DB_BF16_PANEL], i;
    struct fetching f;

    begin_coming(block, pair, &f);
    for (i = 0; i < DB_BF16_PANEL && block->wanted.steps > 0; i++)
        row_at[i] = i % DB_BF16_SIDE * block->wanted.row +
                    i / DB_BF16_SIDE * block->wanted.half;
    for (i = 0; i < count; i++, pair++) {
        const int64_t left = DB_BF16_PANEL - i * rows;

        f.far = pair->far;
        f.far_left = pair->far != NULL ? DB_BF16_PANEL : 0;
        f.far_row = block->far_row;
        f.far_lines = block->far_lines;
        f.far_rows = (DB_BF16_PANEL + block->steps - 1) / block->steps;
        f.row_at = row_at + i * rows;
        f.rows = left < rows ? left : rows;
        BEGIN_SUMS(0, 1, &pair->sums[0]);
        BEGIN_SUMS(2, 3, &pair->sums[1]);
        along_k(block, pair, &f, kind);
        END_SUMS(0, 1, &pair->sums[0]);
        END_SUMS(2, 3, &pair->sums[1]);
    }
}

typedef void pairs_of_kind(const struct db_bf16_block *block,
                           const struct db_bf16_pair *pairs, int64_t count);

#define KIND(name, is_turned, parts, left, right)                              \
    static void name(const struct db_bf16_block *block,                        \
                     const struct db_bf16_pair *pairs, int64_t count)          \
    {                                                                          \
        const struct kind kind = {false, is_turned, parts, left, right};       \
                                                                               \
        all_pairs(block, pairs, count, kind);                                  \
    }                                                                          \
    static void narrow_##name(const struct db_bf16_block *block,               \
                              const struct db_bf16_pair *pairs, int64_t count) \
    {                                                                          \
        const struct kind kind = {true, is_turned, parts, left, right};        \
                                                                               \
        all_pairs(block, pairs, count, kind);                                  \
    }
KIND(one, false, 1, 1, 1)
KIND(two_by_one, false, 2, 2, 1)
KIND(three_by_one, false, 3, 3, 1)
KIND(two, false, 2, 2, 2)
KIND(three, false, 3, 3, 3)
KIND(turned_one, true, 1, 1, 1)
KIND(turned_two_by_one, true, 2, 2, 1)
KIND(turned_three_by_one, true, 3, 3, 1)
KIND(turned_two, true, 2, 2, 2)
KIND(turned_three, true, 3, 3, 3)

static void multiply(const struct db_bf16_block *block,
                     const struct db_bf16_pair *pairs, int64_t count)
{
    /* By the parts of the left side; the right one has one, or as many. */
    static pairs_of_kind *const kinds[2][2][3][2] = {
        {{{one, narrow_one},
          {two_by_one, narrow_two_by_one},
          {three_by_one, narrow_three_by_one}},
         {{one, narrow_one}, {two, narrow_two}, {three, narrow_three}}},
        {{{turned_one, narrow_turned_one},
          {turned_two_by_one, narrow_turned_two_by_one},
          {turned_three_by_one, narrow_turned_three_by_one}},
         {{turned_one, narrow_turned_one},
          {turned_two, narrow_turned_two},
          {turned_three, narrow_turned_three}}}};
    const int left = block->is_turned ? block->b_parts : block->a_parts;
    const int right = block->is_turned ? block->a_parts : block->b_parts;

    kinds[block->is_turned][right > 1][left - 1][pairs->b[1] == NULL](
        block, pairs, count);
}

#include "kernel/bf16/amx_attention_backward_int.h"
#include "kernel/bf16/amx_attention_int.h"

const struct db_bf16_isa db_bf16_amx = {
    begin,       end,   multiply, rows,         pairs,  turn, put,
    put_columns, terms, apart,    raise_maxima, soften, meet, weigh,
    meet_back,   scale, 3,        INT64_MAX};

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif

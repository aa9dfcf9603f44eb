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
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,amx-tile,"   \
               "amx-bf16"))),                                                  \
    apply_to = function)
#else
#pragma GCC target(                                                            \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,amx-tile,amx-bf16")
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

#define LOAD_A(where)                                                          \
    do {                                                                       \
        _tile_loadd(4, a0 + (where), block->a_line);                           \
        _tile_loadd(5, a1 + (where), block->a_line);                           \
    } while (0)

#define LOAD_B(where)                                                          \
    do {                                                                       \
        _tile_loadd(6, b0 + (where), block->b_line);                           \
        if (!is_narrow)                                                        \
            _tile_loadd(7, b1 + (where), block->b_line);                       \
    } while (0)

/* All products of parts whose numbers add up to less than PARTS. */
INLINE void along_k(const struct db_bf16_block *block, const bool is_narrow,
                    const int parts, const int a_parts, const int b_parts)
{
    const uint8_t *const a0 = block->a[0], *const a1 = block->a[1];
    const uint8_t *const b0 = block->b[0], *const b1 = block->b[1];
    int64_t i;

    for (i = 0; i < block->steps; i++) {
        const int64_t a = block->a_at[i], b = block->b_at[i];

        LOAD_B(b);
        if (a_parts > 2) {
            LOAD_A(a + 2 * block->a_apart);
            MULTIPLY();
        }
        if (a_parts > 1) {
            LOAD_A(a + block->a_apart);
            MULTIPLY();
        }
        LOAD_A(a);
        MULTIPLY();
        if (b_parts > 1) {
            LOAD_B(b + block->b_apart);
            MULTIPLY();
        }
        if (parts > 2 && a_parts > 1 && b_parts > 1) {
            LOAD_A(a + block->a_apart);
            MULTIPLY();
        }
        if (b_parts > 2) {
            LOAD_B(b + 2 * block->b_apart);
            if (a_parts > 1)
                LOAD_A(a);
            MULTIPLY();
        }
    }
}

#define ALONG_K(name, parts, a_parts, b_parts)                                 \
    static void name(const struct db_bf16_block *block)                        \
    {                                                                          \
        along_k(block, false, parts, a_parts, b_parts);                        \
    }                                                                          \
    static void narrow_##name(const struct db_bf16_block *block)               \
    {                                                                          \
        along_k(block, true, parts, a_parts, b_parts);                         \
    }
ALONG_K(one, 1, 1, 1)
ALONG_K(two_of_a, 2, 2, 1)
ALONG_K(three_of_a, 3, 3, 1)
ALONG_K(two, 2, 2, 2)
ALONG_K(three, 3, 3, 3)

#define BYTES(row) ((row) * (int64_t)sizeof(float))

/* Tiles LEFT and RIGHT are the sums of a strip. */
#define BEGIN_SUMS(left, right, sums)                                          \
    do {                                                                       \
        if ((sums)->from == NULL) {                                            \
            _tile_zero(left);                                                  \
            _tile_zero(right);                                                 \
        } else {                                                               \
            _tile_loadd(left, (sums)->from, BYTES((sums)->from_row));          \
            if (!is_narrow)                                                    \
                _tile_loadd(right, (sums)->from + DB_BF16_SIDE,                \
                            BYTES((sums)->from_row));                          \
        }                                                                      \
    } while (0)

#define END_SUMS(left, right, sums)                                            \
    do {                                                                       \
        _tile_stored(left, (sums)->to, BYTES((sums)->to_row));                 \
        if (!is_narrow)                                                        \
            _tile_stored(right, (sums)->to + DB_BF16_SIDE,                     \
                         BYTES((sums)->to_row));                               \
    } while (0)

static void multiply(const struct db_bf16_block *block)
{
    /* B has one part, or as many as A. */
    static void (*const along_k_of[][2])(const struct db_bf16_block *) = {
        {one, narrow_one},
        {two_of_a, narrow_two_of_a},
        {three_of_a, narrow_three_of_a},
        {two, narrow_two},
        {three, narrow_three}};
    const int first = block->b_parts == 1 ? 0 : 2;
    const bool is_narrow = block->b[1] == NULL;
    struct db_bf16_sums sums[2];

    db_bf16_sums_of(block, sums);
    BEGIN_SUMS(0, 1, &sums[0]);
    BEGIN_SUMS(2, 3, &sums[1]);
    along_k_of[first + block->a_parts - 1][is_narrow](block);
    END_SUMS(0, 1, &sums[0]);
    END_SUMS(2, 3, &sums[1]);
}

const struct db_bf16_isa db_bf16_amx = {
    begin, end,   multiply,     rows,   pairs, turn, put,
    terms, apart, raise_maxima, soften, weigh, scale};

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * Products of tiles of bfloat16. A float is a sum of parts: itself rounded to
 * bfloat16, what that leaves, rounded as well, and once more what is left; each
 * has 8 of its 24 bits, and a sign. Sums are floats. With
 *     1 part of each factor, a b is one product: DREAMBOOTH_BFLOAT16;
 *     2 parts, it is three, a0 b0 + a0 b1 + a1 b0, good to 17 bits;
 *     3 parts, it is six, as good as a product of floats.
 * Processors that multiply tiles make six such products in less time than one
 * of floats.
 *
 * A tile is 1 KB: 16 lines of 64 bytes. Of A a line is a row with 32 values
 * along k; of B it is a pair of values of k, k and k + 1 side by side, for 16
 * columns. 32 values of k are a step; 16 rows, or columns, over all steps are a
 * strip. Parts of the same values lie APART bytes from each other.
 *
 * Each sum is made along k in one order, however the work is divided: the same
 * bits on any number of threads.
 */
#ifndef DB_KERNEL_BF16_BF16_INT_H
#define DB_KERNEL_BF16_BF16_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "dreambooth/backend.h"

struct db_elementwise;

#define DB_BF16_TILE 1024 /* bytes */
#define DB_BF16_LINE 64
#define DB_BF16_SIDE 16 /* lines of a tile; rows or columns of a strip */
#define DB_BF16_STEP 32 /* values of k */
#define DB_BF16_PANEL (2 * DB_BF16_SIDE) /* rows and columns of a block */

/* Floats, or bfloat16 as they are; one of the two is NULL. Neighbouring lines
 * are ROW values apart. */
struct db_bf16_from {
    const float *f32;
    const uint16_t *bf16;
    int64_t row;
};

/* Where the sums of a strip of A, [16, 32], come from and go to: neighbouring
 * rows are so many floats apart; FROM_ROW 0 is one row for all. */
struct db_bf16_sums {
    const float *from; /* NULL: zeros */
    float *to;
    int64_t from_row, to_row;
};

/* Memory that is read soon: for each step, 32 rows of a line or two. */
struct db_bf16_wanted {
    const uint8_t *at; /* NULL: nothing */
    const int64_t *step_at;
    int64_t steps, row; /* bytes from row to row */
    int64_t half;       /* bytes from the first to the 17th row */
    int lines;
};

/* 32 rows of floats that are packed next: two lines of each, then the next two
 * lines. A pair begins with number FIRST, and goes on with its products. */
struct db_bf16_coming {
    const uint8_t *at; /* NULL: nothing */
    int64_t row;       /* bytes from row to row */
    int64_t first;
};

/* Two strips of A times two of B. */
struct db_bf16_pair {
    const uint8_t *a[2], *b[2]; /* b[1] may be NULL */
    struct db_bf16_sums sums[2];
    /* 32 rows of the result that the caches do not have, or NULL */
    const uint8_t *far;
};

/* What pairs that are multiplied together have in common. */
struct db_bf16_block {
    int64_t steps;
    const int64_t *a_at, *b_at; /* bytes from a and b to each step's tile */
    int64_t a_line, b_line;     /* bytes from line to line of a tile */
    int a_parts, b_parts;
    int64_t a_apart, b_apart;
    int64_t far_row; /* bytes from row to row of what is far */
    int far_lines;
    bool is_turned; /* A is the right side, whose parts are last */
    struct db_bf16_wanted wanted; /* to be fetched meanwhile */
    struct db_bf16_coming coming; /* the same where A is the right side */
};

/* How the result is put away: y = alpha c + beta y + bias. Y is NULL where
 * Y_BF16 is there, with beta 0. */
struct db_bf16_result {
    float *y;
    float alpha, beta;
    const float *bias; /* or NULL */
    /* Or y = x gelu(gate), where panels are a strip of x, c + bias, and one of
     * its gate; the bias has them side by side, too. alpha is 1, beta 0. */
    const struct db_elementwise *gating; /* or NULL */
    bool is_rough;
    uint16_t *y_bf16;
};

/* Softmax over KEYS more keys, a multiple of 32, of 32 queries. Values along k
 * are in pairs of I and I + 16, as apart() lays them. */
struct db_bf16_softening {
    int64_t keys;
    const float *scores; /* [keys / 32][32 queries, 32 keys], of base 2 */
    float *maximum;      /* [32] */
    uint8_t *p;          /* [2 strips][keys / 32][parts] tiles of A */
    int parts;
};

/*
 * 32 queries meet units of 32 keys, none of which is hidden, with maxima as
 * they are: y += 2^(q k - maximum) v. A unit is tiles of k, [2 strips][steps],
 * and of v, [strips][parts], with values along the keys in pairs of I and I
 * + 16.
 */
struct db_bf16_meeting {
    int parts;
    const uint8_t *units;
    int64_t count, unit_size; /* bytes of each */
    int64_t size;             /* of a head */
    int64_t steps, strips;
    const uint8_t *q; /* lines of STEPS times 64 bytes */
    const float *maximum;
    float *y;      /* [strips / 2][32, 32] */
    int64_t group; /* units that are softened together */
    float *scores; /* room for two groups: [units][32, 32] */
    uint8_t *p;    /* and here [2 strips][units][parts] tiles */
};

/* Softmax backward for 32 keys and 32 queries: p = 2^(scores - lse), ds = p (dp
 * - sum). */
struct db_bf16_weighing {
    int parts;
    const float *scores;    /* [32 keys, 32 queries], of base 2 */
    const float *dp;        /* the same */
    const float *lse, *sum; /* [32], lse of base 2 */
    uint8_t *p, *ds;        /* [2 strips][parts] tiles of A */
    uint8_t *right;         /* ds as B, the same */
};

#define DB_BF16_RETURNED 4 /* units that are weighed together */

/*
 * The way back: 32 keys, a panel, meet units of 32 queries, none of which is
 * hidden: dv += p dy, dk += ds q, dq^T += k^T ds. A panel is lines of k and of
 * v, 32 of STEPS times 64 bytes each, and tiles of k^T, [strips][parts]. A unit
 * is tiles of q and of dy, [2 strips][steps] each, and of both with values
 * along the queries in pairs of I and I + 16, [strips][parts] each.
 */
struct db_bf16_return {
    int parts;
    int64_t steps, strips;
    const uint8_t *panel, *units;
    int64_t count, unit_size;
    const float *lse, *sum; /* [count][32], lse of base 2 */
    float *dk, *dv;         /* [strips / 2][32 keys, 32] */
    float *dq;              /* [count][strips / 2][32, 32 queries] */
    float *scores;          /* room: [RETURNED][2][32, 32] */
    uint8_t *weights;       /* and here [RETURNED][3][2 strips][parts] tiles */
};

struct db_bf16_isa {
    /* Around the blocks of a task, on its thread. */
    void (*begin)(void);
    void (*end)(void);
    /* COUNT pairs; b[1] is NULL in all of them or in none. */
    void (*multiply)(const struct db_bf16_block *block,
                     const struct db_bf16_pair *pairs, int64_t count);
    /* COUNT lines of K values along k, in tiles that are STEP bytes apart,
     * zeros behind the last; all parts. bfloat16 has one. */
    void (*rows)(const struct db_bf16_from *from, int64_t count, int64_t k,
                 uint8_t *to, int64_t step, int parts, int64_t apart);
    /* 16 lines of pairs: K <= 32 lines of COUNT <= 16 values are given. */
    void (*pairs)(const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int parts, int64_t apart);
    /* 16 lines of 64 bytes, LINE bytes apart, become columns of a tile, in
     * units of pairs. They may be the tile itself. */
    void (*turn)(const uint8_t *lines, int64_t line, uint8_t *tile);
    /* ROWS of COUNT values, C_ROW and Y_ROW apart. */
    void (*put)(int64_t rows, int64_t count, const float *c, int64_t c_row,
                const struct db_bf16_result *result, int64_t y_row);
    /* COLUMNS <= 16 of 16 lines of c, C_ROW floats apart, become rows of y,
     * Y_ROW apart, COUNT <= 16 values each. */
    void (*put_columns)(int64_t columns, int64_t count, const float *c,
                        int64_t c_row, const struct db_bf16_result *result,
                        int64_t y_row);
    /* The parts WHICH[0..TERMS) of FACTOR x [count], one behind the other. */
    void (*terms)(const float *x, int64_t count, float factor, int parts,
                  const int *which, int terms, uint8_t *to);
    /* The same as pairs, with lines I and I + 16 side by side, and a tile
     * between parts. */
    void (*apart)(const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int parts);
    /* Raises the maxima to those of scores; factor is what all that was summed
     * with the former ones is worth then. */
    void (*raise_maxima)(const struct db_bf16_softening *s, float *factor);
    /* p = 2^(scores - maximum) */
    void (*soften)(const struct db_bf16_softening *s);
    /* NULL where it is no faster than its steps. false: some scores were beyond
     * what it can, and y is of no use. */
    bool (*meet)(const struct db_bf16_meeting *m);
    void (*weigh)(const struct db_bf16_weighing *w);
    /* NULL as meet. */
    void (*meet_back)(const struct db_bf16_return *m);
    /* y [32] *= factor */
    void (*scale)(float factor, float *y);
    int most_parts; /* with which products are faster than those of floats */
    /* Of 4 x 4 pixels of a convolution: with more, Winograd's way with floats
     * is faster where it is open. */
    int64_t most_squares;
};

/* STEPS whole tiles of COUNT <= 16 lines, all parts of one behind the other and
 * zeros behind COUNT and K. */
void db_bf16_rows(const struct db_bf16_isa *isa,
                  const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int64_t steps, int parts);

/* The same with the lines as columns: a right side that runs along k. */
void db_bf16_columns(const struct db_bf16_isa *isa,
                     const struct db_bf16_from *from, int64_t count, int64_t k,
                     uint8_t *to, int64_t steps, int parts);

/* The same of pairs: K lines of COUNT values. */
void db_bf16_pairs(const struct db_bf16_isa *isa,
                   const struct db_bf16_from *from, int64_t count, int64_t k,
                   uint8_t *to, int64_t steps, int parts);

/* The isa whose products are faster on this processor than those of floats, or
 * NULL. */
const struct db_bf16_isa *db_bf16_fastest(void);
/* Whether this processor runs ISA. */
bool db_bf16_is_there(const struct db_bf16_isa *isa);
/* Every isa that this processor runs, by number from 0; NULL behind them. */
const struct db_bf16_isa *db_bf16_isa_at(size_t index);

extern const struct db_bf16_isa db_bf16_plain;
/* Those that the compiler knows. */
#if defined(__GNUC__) && defined(__x86_64__) && defined(__has_include)
#if __has_include(<avx512bf16intrin.h>)
#define DB_BF16_AVX512
extern const struct db_bf16_isa db_bf16_avx512;
#if __has_include(<amxbf16intrin.h>) && defined(__linux__)
#define DB_BF16_AMX
extern const struct db_bf16_isa db_bf16_amx;
#endif
#endif
#endif

struct db_bf16_product;

/* Tiles of a strip for STEPS steps from STEP on, one behind the other, each
 * with all its parts together. */
typedef void db_bf16_pack(const struct db_bf16_product *product, int64_t strip,
                          int64_t step, int64_t steps, uint8_t *to);

/* All strips of unit number UNIT, which then lie in place. */
typedef void db_bf16_lay(const struct db_bf16_product *product, int64_t unit,
                         uint8_t *to);

/* What packing of a panel reads: panels PANEL bytes apart; steps at STEP_AT,
 * or, where that is NULL, STEP bytes apart. */
struct db_bf16_raw {
    const void *at;
    int64_t panel, row, step;
    int64_t half; /* to the second strip of a panel */
    const int64_t *step_at;
    int lines;
};

/* The first number of a form. */
enum db_bf16_form { DB_BF16_FORM_GEMM, DB_BF16_FORM_CONV2D };

/* An operand: packed where it is needed, or lying in tiles already. */
struct db_bf16_operand {
    int64_t strips;
    int parts;
    db_bf16_pack *pack;     /* NULL: it lies at */
    int cost;               /* of that, in cycles for a part of a tile */
    bool is_across;         /* strips have values of the same rows of memory */
    struct db_bf16_raw raw; /* at may be NULL */
    /* Of a weight: what packing all of it makes. weight is NULL: it is none. */
    dreambooth_form form;
    const uint8_t *base;
    const int64_t *strip_at, *step_at; /* bytes, added up */
    int64_t line, apart;
    /* Or laid out by the task that needs it, UNITS of UNIT strips and UNIT_SIZE
     * bytes; strip_at are those of one. */
    db_bf16_lay *lay;
    int64_t units, unit, unit_size;
};

struct db_bf16_product {
    const struct db_bf16_isa *isa;
    struct db_bf16_operand a, b;
    const void *source; /* for pack */
    int64_t steps;
    int64_t part; /* steps that are finished before the next; 0: any */
    int64_t run;  /* steps for which B's values are neighbours; 0: all */
    /* Rows of y: those below M, or row_of[strips of a][16], -1 for none. */
    int64_t m, n;
    const int64_t *row_of;
    /* Columns: those below N, or column_of[strips of b], width_of of each. */
    const int64_t *column_of, *width_of;
    int64_t y_row;
    struct db_bf16_result result;
    bool is_turned; /* rows are columns of y; M and N are of the product */
};

/* Whether B is kept from product to product; it then is there. */
bool db_bf16_keeps_right(const dreambooth_kernel_host *host,
                         const struct db_bf16_product *product);

int db_bf16_multiply(const dreambooth_kernel_host *host,
                     const struct db_bf16_product *product);

/* Each is a task; none is larger than the first. */
int db_bf16_multiply_several(const dreambooth_kernel_host *host,
                             const struct db_bf16_product *products,
                             int64_t count);

/*
 * Images as tiles read them: every 32 channels are a plane of lines, one a
 * position of an image with its padding. Lines of two pixels, COLUMNS positions
 * apart, are those of two rows. Behind the last there are zeros.
 *
 * Or there are COPIES of it, one a place in a row of the kernel, each of which
 * has the pixels of every STRIDE-th column from there on, and rows that are
 * STRIDE apart behind each other: what a place sees of an image is lines in a
 * row. So strips of narrow images have no padding among their pixels.
 */
struct db_bf16_picture {
    int64_t batch, height, width, channels; /* of x */
    int64_t top, left;                      /* padding before */
    int64_t spread;                         /* positions from pixel to pixel */
    int64_t rows, columns;                  /* positions with padding */
    int64_t copies, stride;                 /* copies 0: none; spread is 1 */
    int64_t positions; /* of a plane: at least rows times columns */
    int64_t planes;
    int parts;
    uint8_t *at; /* [parts][batch][planes][positions] lines */
    int64_t apart;
};

/* Completes PICTURE, from parts, top, left, spread, rows, columns and positions
 * on: its memory is parts x apart bytes. */
void db_bf16_picture_measure(struct db_bf16_picture *picture);
/* Fills the memory that it has from X. */
void db_bf16_picture_lay(const struct db_bf16_isa *isa, const float *x,
                         const struct db_bf16_picture *picture);
/* All of it, by several threads. Free picture->at as scratch. */
int db_bf16_picture_new(const dreambooth_kernel_host *host,
                        const struct db_bf16_isa *isa, const float *x,
                        struct db_bf16_picture *picture);

#define DB_BF16_SLOT(name, arguments)                                          \
    int db_bf16_##name(const dreambooth_kernel_host *host,                     \
                       const struct db_bf16_isa *isa, int parts,               \
                       const arguments *a)

DB_BF16_SLOT(gemm, dreambooth_gemm);
/* Products without gates, none larger than the first, each a task. */
int db_bf16_gemms(const dreambooth_kernel_host *host,
                  const struct db_bf16_isa *isa, int parts,
                  const dreambooth_gemm *gemms, int64_t count);
/* Whether k is cut into pieces, and number BATCH of such products. */
bool db_bf16_has_pieces(const dreambooth_gemm *g);
/* The same of the gradient of a convolution's weight as *PRODUCT. */
bool db_bf16_weight_has_pieces(const dreambooth_kernel_host *host,
                               const dreambooth_conv2d *a,
                               dreambooth_gemm *product);
int db_bf16_gemm_by_pieces(const dreambooth_kernel_host *host,
                           const struct db_bf16_isa *isa, int parts,
                           const dreambooth_gemm *g, int64_t batch);
/* With geglu, if it can be. */
bool db_bf16_gates(const dreambooth_gemm *a);
DB_BF16_SLOT(gated_gemm, dreambooth_gemm);
DB_BF16_SLOT(conv2d_forward, dreambooth_conv2d);
DB_BF16_SLOT(conv2d_backward_data, dreambooth_conv2d);
DB_BF16_SLOT(conv2d_backward_weight, dreambooth_conv2d);
/* Attention with heads that are not too large for the caches. */
bool db_bf16_heads_fit(const dreambooth_attention *a, int parts);
DB_BF16_SLOT(attention_forward, dreambooth_attention);
DB_BF16_SLOT(attention_backward, dreambooth_attention);

#endif

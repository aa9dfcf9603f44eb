/* SPDX-License-Identifier: MIT */
/*
 * What the simd kernels share. All products, also those inside convolutions,
 * are cut into tiles of C that stay in registers while a micro-kernel runs
 * along k. Micro-kernels exist once for each set of vector instructions (an
 * isa), from one template, and the processor chooses at run time.
 *
 * Work is divided by shape, never by the number of threads; each value of C is
 * summed along k in one order. So results have the same bits on any number of
 * threads, and other bits, in the last places, with another isa.
 */
#ifndef DB_KERNEL_SIMD_SIMD_INT_H
#define DB_KERNEL_SIMD_SIMD_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "dreambooth/backend.h"
#include "kernel/bf16/bf16_int.h"

#define DB_SIMD_MOST_COLUMNS 64 /* of any isa's tile */

/* What is asked for of memory while a tile is made: LINES lines, LINE floats
 * apart, one after the other, STEP floats further with each k. */
struct db_simd_fetch {
    const float *at;
    int64_t lines, line, step;
};

/* c[r, n] = sum_k a[r, k] b[k, n] + bias[n], or + c[r, n] where it adds, for r
 * < COUNT and n < columns of the isa. */
struct db_simd_tile {
    int count; /* <= rows of the isa */
    int64_t k;
    const float *a; /* a[r, k] is at a[r A_ROW + k] with A_STEP 0, else at */
    int64_t a_row, a_step; /* a[k A_STEP + r] */
    const float *b;        /* [k, columns] */
    float *c;
    int64_t c_row;
    const float *bias; /* or NULL */
    bool adds;
    struct db_simd_fetch fetch;
};

/* y [keys, row] += weights b: weights [keys, columns] of several panels, and
 * for each of these a b [columns, row]. */
struct db_simd_spread {
    int64_t keys, panels;
    int64_t row; /* a multiple of lanes */
    const float *weights;
    int64_t panel_step; /* floats between weights of two panels */
    const float *b;
    float *y;
};

struct db_simd_isa {
    int rows, columns; /* of a tile; 128 is a multiple of columns */
    int lanes;         /* of a vector; columns is a multiple */
    /* panel[k, j] = factor source[j ROW + k] for j < COUNT <= columns, and 0
     * behind. */
    void (*turn)(int count, int64_t k, const float *source, int64_t row,
                 float factor, float *panel);
    /* tiles[r / rows][i, r % rows] = source[i STEP + r] for r < COUNT, i < k.
     * There must be room for columns floats more. */
    void (*split)(int64_t count, int64_t k, const float *source, int64_t step,
                  float *tiles);
    void (*any_tile)(const struct db_simd_tile *t);
    /* panel[k, j] = factor source[k ROW + j] for j < COUNT <= columns, and 0
     * behind. */
    void (*copy)(int count, int64_t k, const float *source, int64_t row,
                 float factor, float *panel);
    /*
     * The transforms of winograd.c for CHANNELS neighbours, a multiple of
     * lanes: 36 pixels of x to 36 values STEP floats apart; 9 weights PLACE
     * floats apart to 36; 36 products to 16 pixels of y, where NULL is none.
     */
    void (*winograd_input)(int64_t channels, const float *const pixels[36],
                           float *v, int64_t step);
    void (*winograd_weight)(int64_t channels, const float *g, int64_t place,
                            float *u, int64_t step);
    void (*winograd_output)(int64_t channels, const float *m, int64_t step,
                            const float *bias, float *const pixels[16]);
    /* c[r, n] = sum_k a[r, k] b[k, n] for r < COUNT <= rows, n < columns, added
     * to what it is if ADD. Rows of a are A_ROW floats apart; b is [k,
     * columns], c [count, columns]. FETCH is asked for meanwhile, STEP floats
     * further with each k. */
    void (*winograd_tile)(int count, int64_t k, const float *a, int64_t a_row,
                          const float *b, float *c, bool add,
                          const float *fetch, int64_t step);
    /* Those of winograd_weight.c: 16 pixels of dy to 36 values; 36 sums to 9
     * weights, added to g if ADD; and the product with a[r, k] at a[k A_STEP +
     * r]. */
    void (*winograd_gradient)(int64_t channels, const float *const pixels[16],
                              float *v, int64_t step);
    void (*winograd_weight_gradient)(int64_t channels, const float *m,
                                     int64_t step, float *g, int64_t place,
                                     bool add);
    void (*winograd_turned_tile)(int count, int64_t k, const float *a,
                                 int64_t a_step, const float *b, float *c,
                                 bool add);
    /* to[r TO_ROW + i] = factor source[r ROW + i] for i < SIZE. */
    void (*lay)(int64_t count, int64_t size, const float *source, int64_t row,
                float factor, float *to, int64_t to_row);
    /*
     * What attention is made of: panels [.., columns], where queries are
     * columns. turn_in: panel[i, j] = factor source[j ROW + i] for j < COUNT,
     * i < SIZE; any finite values behind, unless the source has others.
     * turn_out: to[j ROW + i] = factor[j] panel[i, j].
     */
    void (*turn_in)(int count, int64_t size, const float *source, int64_t row,
                    float factor, float *panel);
    void (*turn_out)(int count, int64_t size, const float *panel,
                     const float *factor, float *to, int64_t row);
    /* s [keys, columns] = a [keys, k] panel; rows of a are A_ROW apart. */
    void (*score)(int64_t keys, int64_t k, const float *a, int64_t a_row,
                  const float *panel, float *s);
    /* s [keys, columns] = 2^(s - maximum), with the maximum of each column
     * raised first; factor is what its former sum, and all that was summed with
     * it, are worth then. */
    void (*soften)(int64_t keys, float *s, float *maximum, float *sum,
                   float *factor);
    /* part = 1 / sum, lse = ln(sum 2^maximum), of each column. */
    void (*finish)(const float *maximum, const float *sum, float *part,
                   float *lse);
    /* sum[j] = sum_i x[j ROW + i] y[j ROW + i] for j < columns, i < ROW, a
     * multiple of lanes. */
    void (*dots)(int64_t row, const float *x, const float *y, float *sum);
    /* s = 2^(s - lse), dp = s (dp - sum): lse and sum of each column. */
    void (*weigh)(int64_t keys, const float *lse, const float *sum, float *s,
                  float *dp);
    /* y [size, columns] = factor y + a^T panel: a [keys, size], rows A_STEP
     * apart; factor of each column. */
    void (*gather)(int64_t size, int64_t keys, const float *a, int64_t a_step,
                   const float *panel, const float *factor, float *y);
    void (*spread)(const struct db_simd_spread *p);
};

extern const struct db_simd_isa db_simd_plain;
#if defined(__GNUC__) && defined(__x86_64__)
extern const struct db_simd_isa db_simd_avx512, db_simd_avx2;
#elif defined(__GNUC__) && defined(__aarch64__)
extern const struct db_simd_isa db_simd_neon;
#endif

/* What a backend computes with, where the user of its table names it. */
struct db_simd_isas {
    const struct db_simd_isa *floats;
    const struct db_bf16_isa *tiles; /* NULL: none */
};

/* One for each isa, and db_backend_simd, which takes the best that is there. */
extern const dreambooth_backend db_backend_simd, db_backend_simd_plain;
#if defined(__GNUC__) && defined(__x86_64__)
extern const dreambooth_backend db_backend_simd_avx512, db_backend_simd_avx2;
#elif defined(__GNUC__) && defined(__aarch64__)
extern const dreambooth_backend db_backend_simd_neon;
#endif
#ifdef DB_BF16_AVX512
extern const dreambooth_backend db_backend_simd_avx512bf16;
#endif

bool db_simd_is_there(const struct db_simd_isas *named);
/* The isa that the slots of HOST's backend run on. */
const struct db_simd_isa *db_simd_isa_of(const dreambooth_kernel_host *host);

/* Whether the processor has no isa that is worth more than its BLAS, and none
 * was named. */
bool db_simd_is_blas(const dreambooth_kernel_host *host);

/* The tiles of a backend that names its isas, or of the one that does not;
 * NULL: none. */
const struct db_bf16_isa *db_simd_tiles(const struct db_simd_isas *named);
/* The multiplications from which on a product is worth being less exact for:
 * those of models that draw are, those of models that are there to be compared
 * number by number are not. */
#define DB_SIMD_LARGE_GEMM 8e6
#define DB_SIMD_LARGE_CONV2D 1.5e7 /* also for Winograd's way */
#define DB_SIMD_LARGE_ATTENTION 2.4e7

/* The tiles of bfloat16 that products are to be made of instead, and in how
 * many PARTS; NULL where floats are faster, asked for, or all that the backend
 * names. */
const struct db_bf16_isa *db_simd_tiles_of(const dreambooth_kernel_host *host,
                                           bool is_large, int *parts);

/* Where the rows of a block of A are. */
struct db_simd_rows {
    const float *at;
    int64_t row; /* floats from one to the next; 0: they are neighbours */
};

struct db_simd_product;

/*
 * Gives rows [row, row + count) of A for k in [first, first + width): where
 * they are, or copied into BUFFER.
 */
typedef void db_simd_lay(const struct db_simd_product *p, int64_t row,
                         int64_t count, int64_t first, int64_t width,
                         float *buffer, struct db_simd_rows *out);
/*
 * Packs columns [column, column + count), at most isa->columns, of B for the
 * same k into PANEL [width, isa->columns], zeros behind COUNT. BUFFER has room
 * for as much again.
 */
typedef void db_simd_pack(const struct db_simd_product *p, int64_t column,
                          int64_t count, int64_t first, int64_t width,
                          float *buffer, float *panel);

/* Where column COLUMN of B is for k from FIRST on, ROW floats before the next
 * line; lines run along k, or across. */
struct db_simd_origin {
    const float *at;
    int64_t row;
    bool along_k;
};

typedef struct db_simd_origin db_simd_find(const struct db_simd_product *p,
                                           int64_t column, int64_t first);

/* What becomes of a product whose columns are those of x, then those of its
 * gate: y = x gelu(gate), which lies where Y says. */
struct db_simd_gates {
    const struct db_elementwise *row;
    const struct db_gated_rows *y;
};

/* c [m, n] = beta c + A B + bias, where A [m, k] and B [k, n] are whatever the
 * two functions say. bias is [n] or NULL; with beta 0, c is not read. */
struct db_simd_product {
    const struct db_simd_isa *isa;
    int64_t m, n, k;
    db_simd_lay *lay;
    db_simd_pack *pack;
    db_simd_find *find; /* where pack reads, or NULL */
    int64_t step; /* of db_simd_step(), if lay is by db_simd_lay_across() */
    bool copies;  /* lay fills its buffer */
    const void *source; /* for these */
    float *c;
    int64_t c_row;
    float beta;
    const float *bias;
    const struct db_simd_gates *gates; /* or NULL; else c is, and beta is 0 */
};

/* For rows of A that are neighbours in memory, each k ROW floats behind the one
 * before, and COLUMNS of B: they are read where they are, or split into tiles
 * first, with 0. */
int64_t db_simd_step(int64_t row, int64_t columns);
void db_simd_lay_across(const struct db_simd_product *p, const float *at,
                        int64_t row, int64_t count, int64_t width,
                        float *buffer, struct db_simd_rows *out);

int db_simd_multiply(const dreambooth_kernel_host *host,
                     const struct db_simd_product *product);
/* Whether PRODUCT may have gates: B is packed at once, and so all sums of a
 * block are there when its task ends. */
bool db_simd_may_gate(const struct db_simd_product *product);

/* y[j Y_ROW + i] = x[i, j] + bias[i]: x [rows, columns], bias NULL for none. */
void db_simd_transpose(const dreambooth_kernel_host *host, const float *x,
                       int64_t rows, int64_t columns, const float *bias,
                       float *y, int64_t y_row);

/* A convolution of stride 1 that makes y of x, and where its weights lie. */
struct db_simd_convolution {
    dreambooth_conv2d c;
    int64_t places, patch; /* patch: values of x a pixel of y sees */
    const float *weight;   /* of the convolution asked for */
    const uint16_t *bf16;  /* or this, for Winograd's way */
    int64_t weight_row;    /* floats of one of its output channels */
    bool reversed;         /* c is its backward_data */
};

/* Squares of 4 x 4 pixels that Winograd's way makes. */
int64_t db_simd_winograd_squares(const dreambooth_conv2d *c);
/* Whether Winograd's way is open to C and faster. */
bool db_simd_winograd_pays(const dreambooth_kernel_host *host,
                           const struct db_simd_convolution *convolution);
int db_simd_winograd(const dreambooth_kernel_host *host,
                     const struct db_simd_convolution *convolution);

/* The same for backward_weight; dbias is not made. */
bool db_simd_winograd_weight_pays(const dreambooth_kernel_host *host,
                                  const dreambooth_conv2d *c);
int db_simd_winograd_weight(const dreambooth_kernel_host *host,
                            const dreambooth_conv2d *c);

/* Whether C makes so few channels of y that tiles would be all but empty; and
 * makes them, without tiles of bfloat16. */
bool db_simd_has_few_channels(const dreambooth_conv2d *c);
int db_simd_few_channels(const dreambooth_kernel_host *host,
                         const dreambooth_conv2d *c);

/* Whether A has so few rows that memory is what it waits for; and does it. */
bool db_simd_has_few_rows(const dreambooth_gemm *a);
int db_simd_few_rows(const dreambooth_kernel_host *host,
                     const dreambooth_gemm *a);

/* Attention backward by floats. */
int db_simd_return(const dreambooth_kernel_host *host,
                   const dreambooth_attention *a);

#define DB_SIMD_SLOT(name, arguments)                                          \
    int db_simd_##name(const dreambooth_kernel_host *host, const arguments *a)

DB_SIMD_SLOT(gemm, dreambooth_gemm);
DB_SIMD_SLOT(conv2d_forward, dreambooth_conv2d);
DB_SIMD_SLOT(conv2d_backward_data, dreambooth_conv2d);
DB_SIMD_SLOT(conv2d_backward_weight, dreambooth_conv2d);
DB_SIMD_SLOT(attention_forward, dreambooth_attention);
DB_SIMD_SLOT(attention_backward, dreambooth_attention);

#endif

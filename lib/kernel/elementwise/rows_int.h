/* SPDX-License-Identifier: MIT */
/*
 * The template of an isa's functions on rows. A file that includes it has
 * defined LANES (floats in a vector), ISA (the name of the struct), FUSES where
 * the processor multiplies and adds with one rounding, and on
 * vectors multiply_add(a, b, c), square_root(x), reciprocal(x) of a finite x,
 * larger(a, b) and smaller(a, b), which are b where b is a NaN, low(x) and
 * high(x), the halves as doubles, and, on integers, lower_halves(x). Vectors
 * are the compiler's own. The rest of a row, shorter than one, goes through a
 * whole vector too, so that a value comes out the same wherever it lies.
 * Polynomials are our own minimax fits; the stated errors are those of the fit.
 */
#include <math.h>
#include <string.h>

#include "kernel/elementwise/elementwise.h"

typedef float loose __attribute__((vector_size(LANES * 4), aligned(4)));
typedef float loose_half __attribute__((vector_size(LANES * 2), aligned(4)));

#define HALF (LANES / 2)
/* Vectors of a row whose sums are held at a time. */
#define TILE 4
#define SLOPES_TILE 2

INLINE vector load(const float *at, int64_t count)
{
    vector value = {0};

    if (count >= LANES)
        return *(const loose *)at;
    memcpy(&value, at, (size_t)count * sizeof(*at));
    return value;
}

INLINE void store(float *at, int64_t count, vector value)
{
    if (count >= LANES)
        *(loose *)at = value;
    else
        memcpy(at, &value, (size_t)count * sizeof(*at));
}

INLINE vector all(float value)
{
    return value - (vector){0};
}

/* Both let a NaN through. */
INLINE vector at_least(vector x, float bound)
{
    return larger(all(bound), x);
}

INLINE vector at_most(vector x, float bound)
{
    return smaller(all(bound), x);
}

INLINE double add_up(wide x)
{
    double sum = 0.0;
    int l;

    for (l = 0; l < HALF; l++)
        sum += x[l];
    return sum;
}

/* The vectors at I in loops over rows. */
#define FOR_EACH(i, count) for (i = 0; i < (count); i += LANES)
#define LOAD(from) load((from) + i, count - i)
#define STORE(to, value) store((to) + i, count - i, value)

/* e^x = 2^n e^r with |r| <= ln 2 / 2 and e^r = 1 + r + r^2 q(r), to 3e-9.
 * Adding 1.5 2^23 rounds to an integer and leaves n in the low bits of the sum.
 * Below -87.7 the result is 0, above 88.3 infinity. */
INLINE vector exponential(vector x)
{
    const vector round = all(12582912.0f);
    const vector bounded = at_most(at_least(x, -88.3f), 88.7f);
    const vector sum = multiply_add(bounded, all(1.44269504f), round);
    const vector n = sum - round;
    vector r = multiply_add(n, all(-0.693359375f), bounded);
    vector q;

    r = multiply_add(n, all(2.12194440e-4f), r);
    q = multiply_add(all(1.38144311e-3f), r, all(8.36879689e-3f));
    q = multiply_add(q, r, all(4.16683958e-2f));
    q = multiply_add(q, r, all(1.66665200e-1f));
    q = multiply_add(q, r, all(4.99999934e-1f));
    return (1.0f + multiply_add(r * r, q, r)) *
           (vector)(((integers)sum << 23) + 0x3f800000);
}

/* Phi(x), the normal distribution, with *DENSITY = exp(-x^2 / 2). With
 * z = |x| / sqrt 2 and t = 1 / (1 + 0.4 z), erfc(z) = exp(-z^2) t q(t) to 6e-8.
 */
INLINE vector normal(vector x, vector *density)
{
    const vector z = (vector)((integers)x & 0x7fffffff) * 0.707106781f;
    const vector t =
        reciprocal(multiply_add(at_most(z, 1e4f), all(0.4f), all(1.0f)));
    const vector e = exponential(-0.5f * x * x);
    vector q = multiply_add(all(4.12537265e-2f), t, all(-1.40322517e-1f)), tail;

    q = multiply_add(q, t, all(8.39939222e-2f));
    q = multiply_add(q, t, all(8.79569402e-2f));
    q = multiply_add(q, t, all(7.97614507e-2f));
    q = multiply_add(q, t, all(1.93391169e-1f));
    q = multiply_add(q, t, all(2.01888091e-1f));
    q = multiply_add(q, t, all(2.26443044e-1f));
    q = multiply_add(q, t, all(2.25634235e-1f));
    tail = 0.5f * t * q * e;
    *density = e;
    return choose(x < all(0.0f), tail, 1.0f - tail);
}

#define SQRT_TWO_OVER_PI 0.797884561f
#define INVERSE_SQRT_TWO_PI 0.398942280f
#define TANH_CUBIC 0.044715f
#define QUICK_SCALE 1.702f
/* Below, every function is 0, and no product of 0 and infinity. */
#define LEAST_INPUT (-88.0f)
#define MOST_EXPONENT 80.0f

INLINE vector bounded(vector x)
{
    return choose(x < all(LEAST_INPUT), all(0.0f), x);
}

/* For slopes: within these bounds neither e^x nor e^-x overflows, and beyond
 * them every slope is 0 or 1 to the last digit. */
INLINE vector between(vector x)
{
    return at_most(at_least(x, -MOST_EXPONENT), MOST_EXPONENT);
}

/* sigmoid(x) and *REST = 1 - sigmoid(x), which keeps its digits when small */
INLINE vector sigmoid(vector x, vector *rest)
{
    const vector e = exponential(-x);
    const vector s = reciprocal(1.0f + e);

    *rest = e * s;
    return s;
}

/* x sigmoid(y), where y goes with x */
INLINE vector swish(vector x, vector y)
{
    return bounded(x) * reciprocal(at_most(1.0f + exponential(-y), 3e38f));
}

INLINE vector silu(vector x)
{
    return swish(x, x);
}

INLINE vector silu_slope(vector x)
{
    const vector v = between(x);
    vector rest;
    const vector s = sigmoid(v, &rest);

    return s * multiply_add(v, rest, all(1.0f));
}

INLINE vector quick_gelu(vector x)
{
    return swish(x, QUICK_SCALE * x);
}

INLINE vector quick_gelu_slope(vector x)
{
    return silu_slope(QUICK_SCALE * x);
}

INLINE vector gelu(vector x)
{
    vector density;

    return bounded(x) * normal(x, &density);
}

#define PHI_REACH 5.5f

/* The same to 1e-6, in half the instructions: Phi(x) - 1/2 is x p(x^2) /
 * q(x^2) to 8e-9 where |x| <= PHI_REACH. */
INLINE vector rough_gelu(vector x)
{
    const vector v = at_most(at_least(x, -PHI_REACH), PHI_REACH);
    const vector s = v * v;
    vector p = multiply_add(all(2.274942818e-8f), s, all(6.352121157e-6f));
    vector q = multiply_add(all(1.197506042e-6f), s, all(7.364751659e-5f));

    p = multiply_add(p, s, all(1.688256537e-4f));
    q = multiply_add(q, s, all(1.884444618e-3f));
    p = multiply_add(p, s, all(4.677260410e-3f));
    q = multiply_add(q, s, all(2.864586869e-2f));
    p = multiply_add(p, s, all(3.385264088e-2f));
    q = multiply_add(q, s, all(2.515219051e-1f));
    p = multiply_add(p, s, all(3.989422346e-1f));
    q = multiply_add(q, s, all(1.0f));
    return choose(x < all(-PHI_REACH), all(0.0f), x) *
           multiply_add(v * p, reciprocal(q), all(0.5f));
}

INLINE vector gelu_slope(vector x)
{
    vector density;
    const vector phi = normal(x, &density);

    return phi + bounded(x) * INVERSE_SQRT_TWO_PI * density;
}

/* 0.5 (1 + tanh u) = sigmoid(2 u) */
INLINE vector gelu_tanh(vector x)
{
    const vector u = SQRT_TWO_OVER_PI * (x + TANH_CUBIC * x * x * x);

    return swish(x, 2.0f * u);
}

INLINE vector gelu_tanh_slope(vector x)
{
    const vector v = between(x);
    const vector u = SQRT_TWO_OVER_PI * (v + TANH_CUBIC * v * v * v);
    const vector du = SQRT_TWO_OVER_PI * (1.0f + 3.0f * TANH_CUBIC * v * v);
    vector rest;
    const vector s = sigmoid(between(2.0f * u), &rest);

    return s + v * s * rest * (2.0f * du);
}

#define ACTIVATION(name)                                                       \
    static void name##_row(const float *x, int64_t count, float *y)            \
    {                                                                          \
        int64_t i;                                                             \
                                                                               \
        FOR_EACH(i, count) STORE(y, name(LOAD(x)));                            \
    }                                                                          \
    static void name##_slope_row(const float *x, const float *dy,              \
                                 int64_t count, float *dx)                     \
    {                                                                          \
        int64_t i;                                                             \
                                                                               \
        FOR_EACH(i, count) STORE(dx, LOAD(dy) * name##_slope(LOAD(x)));        \
    }
ACTIVATION(silu)
ACTIVATION(gelu)
ACTIVATION(gelu_tanh)
ACTIVATION(quick_gelu)

/* To nearest, ties to even. */
INLINE void store_bf16(uint16_t *at, int64_t count, vector value)
{
    const integers bits = (integers)value;
    const integers even = (bits >> 16 & 1) + 0x7fff;
    const integers nan = (integers)(value != value);
    const halves rounded =
        lower_halves(((bits + even) >> 16 & ~nan) | (nan & 0x7fc0));

    if (count >= LANES)
        memcpy(at, &rounded, sizeof(rounded));
    else
        memcpy(at, &rounded, (size_t)count * sizeof(*at));
}

INLINE void gate(const struct db_gated_rows *rows, const bool is_rough)
{
    const int64_t count = rows->width;
    int64_t r, i;

    for (r = 0; r < rows->rows; r++) {
        const float *x = rows->x + r * rows->x_row;
        const float *gate = rows->gate + r * rows->x_row;
        const int64_t at = r * rows->y_row;

        FOR_EACH(i, count)
        {
            const vector g = LOAD(gate);
            const vector y = LOAD(x) * (is_rough ? rough_gelu(g) : gelu(g));

            if (rows->y != NULL)
                STORE(rows->y + at, y);
            else
                store_bf16(rows->y_bf16 + at + i, count - i, y);
        }
    }
}

static void geglu(const struct db_gated_rows *rows)
{
    if (rows->is_rough)
        gate(rows, true);
    else
        gate(rows, false);
}

static void geglu_slope(const float *x, const float *gate, const float *dy,
                        int64_t count, float *dx, float *dgate)
{
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector g = LOAD(gate), dv = LOAD(dy), v = LOAD(x);
        vector density;
        const vector phi = normal(g, &density);

        STORE(dx, dv * (bounded(g) * phi));
        STORE(dgate,
              dv * v * (phi + bounded(g) * INVERSE_SQRT_TWO_PI * density));
    }
}

static void combine(float alpha, const float *x, float beta, int64_t count,
                    float *y)
{
    int64_t i;

    if (beta == 0.0f)
        FOR_EACH(i, count) STORE(y, alpha * LOAD(x));
    else
        FOR_EACH(i, count) STORE(y, alpha * LOAD(x) + beta * LOAD(y));
}

static void add(const float *x, const float *v, int64_t count, float *y)
{
    int64_t i;

    FOR_EACH(i, count) STORE(y, LOAD(x) + LOAD(v));
}

/* The sums of a column's vectors, and where they go. */
struct sums {
    wide low, high;
};

INLINE void add_to(struct sums *sums, vector x)
{
    sums->low += low(x);
    sums->high += high(x);
}

INLINE void add_square(struct sums *sums, vector x)
{
    const wide a = low(x), b = high(x);

    sums->low += a * a;
    sums->high += b * b;
}

INLINE void store_sums(const struct sums *sums, int64_t count, double *at)
{
    memcpy(at, sums, (size_t)(count < LANES ? count : LANES) * sizeof(*at));
}

/* Calls WHAT(vectors, c, count) for the columns of a row in tiles: vectors is a
 * constant there, so that sums are registers. */
#define IN_TILES(most, width, what)                                            \
    do {                                                                       \
        int64_t c_ = 0;                                                        \
                                                                               \
        for (; c_ + (most)*LANES <= (width); c_ += (most)*LANES)               \
            what(most, c_, (most)*LANES);                                      \
        for (; c_ < (width); c_ += LANES)                                      \
            what(1, c_, (width)-c_);                                           \
    } while (0)

INLINE void sum_tile(const int vectors, const float *x, int64_t rows,
                     int64_t row, int64_t count, double *sum)
{
    struct sums sums[TILE] = {{{0}, {0}}};
    int64_t r;
    int v;

    for (r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            add_to(&sums[v], load(x + r * row + v * LANES, count - v * LANES));
    for (v = 0; v < vectors; v++)
        store_sums(&sums[v], count - v * LANES, sum + v * LANES);
}

static void sum_rows(const float *x, int64_t rows, int64_t row, int64_t width,
                     double *sum)
{
#define SUM_TILE(vectors, c, count)                                            \
    sum_tile(vectors, x + (c), rows, row, count, sum + (c))
    IN_TILES(TILE, width, SUM_TILE);
}

INLINE void moments_tile(const int vectors, const float *x, int64_t rows,
                         int64_t row, int64_t count, double *sum,
                         double *square)
{
    struct sums sums[TILE] = {{{0}, {0}}}, squares[TILE] = {{{0}, {0}}};
    vector first[TILE];
    int64_t r;
    int v;

#pragma GCC unroll 4
    for (v = 0; v < vectors; v++)
        first[v] = load(x + v * LANES, count - v * LANES);
    for (r = 1; r < rows; r++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++) {
            const vector apart =
                load(x + r * row + v * LANES, count - v * LANES) - first[v];

            add_to(&sums[v], apart);
            add_square(&squares[v], apart);
        }
    for (v = 0; v < vectors; v++) {
        store_sums(&sums[v], count - v * LANES, sum + v * LANES);
        store_sums(&squares[v], count - v * LANES, square + v * LANES);
    }
}

static void moments(const float *x, int64_t rows, int64_t row, int64_t width,
                    double *sum, double *square)
{
#define MOMENTS_TILE(vectors, c, count)                                        \
    moments_tile(vectors, x + (c), rows, row, count, sum + (c), square + (c))
    IN_TILES(TILE, width, MOMENTS_TILE);
}

/* dy before the SiLU at I, if there is one */
INLINE vector slope_within(const struct db_norm_row *norm, int64_t i,
                           int64_t count, vector apart, vector dy)
{
    if (!norm->silu)
        return dy;
    return dy * silu_slope(multiply_add(apart, load(norm->factor + i, count),
                                        load(norm->bias + i, count)));
}

INLINE void slopes_tile(const int vectors, const struct db_norm_row *norm,
                        int64_t c, const float *x, const float *dy,
                        int64_t rows, int64_t row, int64_t count, double *sum,
                        double *product, float *within)
{
    struct sums sums[SLOPES_TILE] = {{{0}, {0}}};
    struct sums products[SLOPES_TILE] = {{{0}, {0}}};
    int64_t r;
    int v;

    for (r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++) {
            const int64_t i = c + v * LANES, left = count - v * LANES;
            const vector apart =
                load(x + r * row + i, left) - load(norm->mean + i, left);
            const vector slope = slope_within(norm, i, left, apart,
                                              load(dy + r * row + i, left));

            add_to(&sums[v], slope);
            add_to(&products[v], slope * apart);
            if (within != NULL)
                store(within + r * row + i, left, slope);
        }
    for (v = 0; v < vectors; v++) {
        store_sums(&sums[v], count - v * LANES, sum + c + v * LANES);
        store_sums(&products[v], count - v * LANES, product + c + v * LANES);
    }
}

static void slopes(const struct db_norm_row *norm, const float *x,
                   const float *dy, int64_t rows, int64_t row, int64_t width,
                   double *sum, double *product, float *within)
{
#define SLOPES_OF(vectors, c, count)                                           \
    slopes_tile(vectors, norm, c, x, dy, rows, row, count, sum, product, within)
    IN_TILES(SLOPES_TILE, width, SLOPES_OF);
}

static void normalise(const struct db_norm_row *norm, const float *x,
                      int64_t count, float *y)
{
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector z = multiply_add(LOAD(x) - LOAD(norm->mean),
                                      LOAD(norm->factor), LOAD(norm->bias));

        STORE(y, norm->silu ? silu(z) : z);
    }
}

static void unnormalise(const struct db_norm_row *norm, const float *x,
                        const float *dy, int64_t count, float *dx)
{
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector apart = LOAD(x) - LOAD(norm->mean);
        const vector slope = slope_within(norm, i, count - i, apart, LOAD(dy));

        STORE(dx, slope * LOAD(norm->factor) - apart * LOAD(norm->slope) -
                      LOAD(norm->shift));
    }
}

/* Zero in the lanes behind COUNT. */
INLINE vector only(vector x, int64_t count)
{
    vector kept = {0};

    if (count >= LANES)
        return x;
    memcpy(&kept, &x, (size_t)count * sizeof(float));
    return kept;
}

static void normalise_row(const float *x, const float *weight,
                          const float *bias, double epsilon, int64_t count,
                          float *y, uint16_t *y_bf16, float *mean_out,
                          float *rstd_out)
{
    const vector first = all(x[0]);
    struct sums sums = {{0}, {0}}, squares = {{0}, {0}};
    double apart, variance, mean;
    vector shift, rest, rstd;
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector v = only(LOAD(x) - first, count - i);

        add_to(&sums, v);
        add_square(&squares, v);
    }
    apart = add_up(sums.low + sums.high) / (double)count;
    variance =
        add_up(squares.low + squares.high) / (double)count - apart * apart;
    mean = (double)x[0] + apart;
    *mean_out = (float)mean;
    *rstd_out = (float)(1.0 / sqrt(fmax(variance, 0.0) + epsilon));
    shift = all((float)mean);
    rest = all((float)(mean - (double)(float)mean));
    rstd = all(*rstd_out);
    FOR_EACH(i, count)
    {
        const vector v = multiply_add(((LOAD(x) - shift) - rest) * rstd,
                                      LOAD(weight), LOAD(bias));

        if (y != NULL)
            STORE(y, v);
        else
            store_bf16(y_bf16 + i, count - i, v);
    }
}

/* The two sums of a row: of dy weight, and of that times x - mean. */
INLINE void sum_slopes(const float *x, const float *dy, const float *weight,
                       float mean, int64_t count, double *sum, double *product)
{
    struct sums sums = {{0}, {0}}, products = {{0}, {0}};
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector slope = LOAD(dy) * LOAD(weight);

        add_to(&sums, slope);
        add_to(&products, slope * (LOAD(x) - mean));
    }
    *sum = add_up(sums.low + sums.high);
    *product = add_up(products.low + products.high);
}

/* dx = rstd (dy weight - s - (x - mean) q), the means over the row */
static void unnormalise_row(const float *x, const float *dy,
                            const float *weight, float mean, float rstd,
                            int64_t count, float *dx, float *dweight,
                            float *dbias)
{
    double sum = 0.0, product = 0.0;
    vector s, q;
    int64_t i;

    if (dx != NULL)
        sum_slopes(x, dy, weight, mean, count, &sum, &product);
    s = all((float)(sum / (double)count));
    q = all((float)(product * (double)rstd * (double)rstd / (double)count));
    FOR_EACH(i, count)
    {
        const vector slope = LOAD(dy), apart = LOAD(x) - mean;

        STORE(dweight, LOAD(dweight) + slope * (apart * rstd));
        STORE(dbias, LOAD(dbias) + slope);
        if (dx != NULL)
            STORE(dx, rstd * (slope * LOAD(weight) - s - apart * q));
    }
}

static float dot(const float *x, const float *w, int64_t count)
{
    vector even = {0}, odd = {0};
    int64_t i;

    for (i = 0; i + 2 * LANES <= count; i += 2 * LANES) {
        even = multiply_add(load(x + i, LANES), load(w + i, LANES), even);
        odd = multiply_add(load(x + i + LANES, LANES),
                           load(w + i + LANES, LANES), odd);
    }
    for (; i < count; i += LANES)
        even = multiply_add(LOAD(x), LOAD(w), even);
    return (float)add_up(low(even) + high(even) + low(odd) + high(odd));
}

INLINE vector load_bf16(const uint16_t *at, int64_t count)
{
    halves value = {0};

    memcpy(&value, at, (size_t)(count < LANES ? count : LANES) * sizeof(*at));
    return (vector)(__builtin_convertvector(value, integers) << 16);
}

static float dot_bf16(const float *x, const uint16_t *w, int64_t count)
{
    vector even = {0}, odd = {0};
    int64_t i;

    for (i = 0; i + 2 * LANES <= count; i += 2 * LANES) {
        even = multiply_add(load(x + i, LANES), load_bf16(w + i, LANES), even);
        odd = multiply_add(load(x + i + LANES, LANES),
                           load_bf16(w + i + LANES, LANES), odd);
    }
    for (; i < count; i += LANES)
        even = multiply_add(LOAD(x), load_bf16(w + i, count - i), even);
    return (float)add_up(low(even) + high(even) + low(odd) + high(odd));
}

static double squares(const float *x, int64_t count)
{
    struct sums even = {{0}, {0}}, odd = {{0}, {0}};
    int64_t i;

    for (i = 0; i + 2 * LANES <= count; i += 2 * LANES) {
        add_square(&even, load(x + i, LANES));
        add_square(&odd, load(x + i + LANES, LANES));
    }
    for (; i < count; i += LANES)
        add_square(&even, LOAD(x));
    return add_up((even.low + even.high) + (odd.low + odd.high));
}

/* a + b c with one rounding: the product of two floats is exact in double. */
#ifdef FUSES
INLINE vector add_product(vector a, vector b, vector c)
{
    return multiply_add(b, c, a);
}
#else
INLINE vector add_product(vector a, vector b, vector c)
{
    const half l = __builtin_convertvector(low(a) + low(b) * low(c), half);
    const half h = __builtin_convertvector(high(a) + high(b) * high(c), half);
    vector sum;

    memcpy(&sum, &l, sizeof(l));
    memcpy((char *)&sum + sizeof(l), &h, sizeof(h));
    return sum;
}
#endif

/* With the roundings of torch.optim.AdamW; m moves as torch.lerp, from the
 * nearer end. */
static void adamw(const struct db_adamw_form *form, const float *gradient,
                  int64_t count, float *p, float *m, float *v)
{
    const vector weight1 = all(form->weight1), far = all(form->weight1 - 1.0f);
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector g = LOAD(gradient) * form->gradient_scale;
        const vector old = LOAD(m), apart = g - old;
        const vector mean = form->weight1 < 0.5f
                                ? add_product(old, weight1, apart)
                                : add_product(g, far, apart);
        const vector square =
            add_product(LOAD(v) * form->beta2, form->weight2 * g, g);
        const vector root = square_root(square) / form->root2 + form->epsilon;

        STORE(m, mean);
        STORE(v, square);
        STORE(p, LOAD(p) * form->decay + form->step_size * mean / root);
    }
}

#include "kernel/elementwise/narrow_int.h"

const struct db_elementwise ISA = {
    .value = {[DREAMBOOTH_SILU] = silu_row,
              [DREAMBOOTH_GELU] = gelu_row,
              [DREAMBOOTH_GELU_TANH] = gelu_tanh_row,
              [DREAMBOOTH_QUICK_GELU] = quick_gelu_row},
    .slope = {[DREAMBOOTH_SILU] = silu_slope_row,
              [DREAMBOOTH_GELU] = gelu_slope_row,
              [DREAMBOOTH_GELU_TANH] = gelu_tanh_slope_row,
              [DREAMBOOTH_QUICK_GELU] = quick_gelu_slope_row},
    .geglu = geglu,
    .geglu_slope = geglu_slope,
    .combine = combine,
    .add = add,
    .sum_rows = sum_rows,
    .moments = moments,
    .slopes = slopes,
    .normalise = normalise,
    .unnormalise = unnormalise,
    .normalise_row = normalise_row,
    .unnormalise_row = unnormalise_row,
    .dot = dot,
    .dot_bf16 = dot_bf16,
    .squares = squares,
    .adamw = adamw,
    .adamw_narrow = adamw_narrow,
    .narrow = narrow,
};

/* SPDX-License-Identifier: MIT */
/*
 * Activations and GEGLU in vector code. Each function fills a chunk of a local
 * array from memory that it does not overlap, so that loops vectorise although
 * the slots allow the output to lie on an input.
 */
#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"

#define SQRT_TWO_OVER_PI 0.797884561f
#define INVERSE_SQRT_TWO_PI 0.398942280f
#define TANH_CUBIC 0.044715f
#define QUICK_SCALE 1.702f
/* Here every sigmoid is 0; below it x only makes 0 times infinity. */
#define LEAST_INPUT (-200.0f)
#define MOST_EXPONENT 80.0f

typedef void value_function(const float *restrict x, float *restrict y,
                            int64_t count);
typedef void slope_function(const float *restrict x, const float *restrict dy,
                            float *restrict dx, int64_t count);

static inline float bounded(float x)
{
    return db_at_least(x, LEAST_INPUT);
}

/* For slopes: within these bounds neither e^x nor e^-x overflows, and beyond
 * them every slope is 0 or 1 to the last digit. */
static inline float between(float x)
{
    return db_at_most(db_at_least(x, -MOST_EXPONENT), MOST_EXPONENT);
}

/* sigmoid(x) and *REST = 1 - sigmoid(x), which keeps its digits when small */
static inline float sigmoid(float x, float *rest)
{
    float e = db_exp(-x);
    float s = 1.0f / (1.0f + e);

    *rest = e * s;
    return s;
}

static void silu(const float *restrict x, float *restrict y, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        y[i] = bounded(x[i]) / (1.0f + db_exp(-x[i]));
}

static void silu_slope(const float *restrict x, const float *restrict dy,
                       float *restrict dx, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float v = between(x[i]);
        float rest;
        float s = sigmoid(v, &rest);

        dx[i] = dy[i] * (s * (1.0f + v * rest));
    }
}

static void quick_gelu(const float *restrict x, float *restrict y,
                       int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++)
        y[i] = bounded(x[i]) / (1.0f + db_exp(-QUICK_SCALE * x[i]));
}

static void quick_gelu_slope(const float *restrict x, const float *restrict dy,
                             float *restrict dx, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float v = between(QUICK_SCALE * x[i]);
        float rest;
        float s = sigmoid(v, &rest);

        dx[i] = dy[i] * (s * (1.0f + v * rest));
    }
}

static void gelu(const float *restrict x, float *restrict y, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float density;

        y[i] = bounded(x[i]) * db_normal(x[i], &density);
    }
}

static void gelu_slope(const float *restrict x, const float *restrict dy,
                       float *restrict dx, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float density;
        float phi = db_normal(x[i], &density);

        dx[i] = dy[i] * (phi + bounded(x[i]) * INVERSE_SQRT_TWO_PI * density);
    }
}

/* 0.5 (1 + tanh u) = sigmoid(2 u) */
static void gelu_tanh(const float *restrict x, float *restrict y, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float u = SQRT_TWO_OVER_PI * (x[i] + TANH_CUBIC * x[i] * x[i] * x[i]);

        y[i] = bounded(x[i]) / (1.0f + db_exp(-2.0f * u));
    }
}

static void gelu_tanh_slope(const float *restrict x, const float *restrict dy,
                            float *restrict dx, int64_t count)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        float v = between(x[i]);
        float u = SQRT_TWO_OVER_PI * (v + TANH_CUBIC * v * v * v);
        float du = SQRT_TWO_OVER_PI * (1.0f + 3.0f * TANH_CUBIC * v * v);
        float rest;
        float s = sigmoid(between(2.0f * u), &rest);

        dx[i] = dy[i] * (s + v * s * rest * (2.0f * du));
    }
}

static const struct {
    value_function *value;
    slope_function *slope;
} activations[] = {
    [DREAMBOOTH_SILU] = {silu, silu_slope},
    [DREAMBOOTH_GELU] = {gelu, gelu_slope},
    [DREAMBOOTH_GELU_TANH] = {gelu_tanh, gelu_tanh_slope},
    [DREAMBOOTH_QUICK_GELU] = {quick_gelu, quick_gelu_slope},
};

#define ACTIVATIONS (int32_t)(sizeof(activations) / sizeof(activations[0]))

static void forward_piece(void *argument, int64_t index, int worker)
{
    const dreambooth_unary *a = argument;
    const int64_t end = db_blas_smaller((index + 1) * DB_BLAS_TASK, a->count);
    float y[DB_BLAS_CHUNK];
    int64_t i;

    (void)worker;
    for (i = index * DB_BLAS_TASK; i < end; i += DB_BLAS_CHUNK) {
        int64_t count = db_blas_smaller(DB_BLAS_CHUNK, end - i);

        activations[a->activation].value(a->x + i, y, count);
        memcpy(a->y + i, y, (size_t)count * sizeof(float));
    }
}

static void backward_piece(void *argument, int64_t index, int worker)
{
    const dreambooth_unary *a = argument;
    const int64_t end = db_blas_smaller((index + 1) * DB_BLAS_TASK, a->count);
    float dx[DB_BLAS_CHUNK];
    int64_t i;

    (void)worker;
    for (i = index * DB_BLAS_TASK; i < end; i += DB_BLAS_CHUNK) {
        int64_t count = db_blas_smaller(DB_BLAS_CHUNK, end - i);

        activations[a->activation].slope(a->x + i, a->dy + i, dx, count);
        memcpy(a->dx + i, dx, (size_t)count * sizeof(float));
    }
}

int db_blas_unary_forward(const dreambooth_kernel_host *host,
                          const dreambooth_unary *a)
{
    dreambooth_unary work = *a;

    if (a->activation < 0 || a->activation >= ACTIVATIONS)
        return DREAMBOOTH_EINVAL;
    host->parallel(host, db_blas_pieces(a->count, DB_BLAS_TASK), forward_piece,
                   &work);
    return DREAMBOOTH_OK;
}

int db_blas_unary_backward(const dreambooth_kernel_host *host,
                           const dreambooth_unary *a)
{
    dreambooth_unary work = *a;

    if (a->activation < 0 || a->activation >= ACTIVATIONS)
        return DREAMBOOTH_EINVAL;
    host->parallel(host, db_blas_pieces(a->count, DB_BLAS_TASK), backward_piece,
                   &work);
    return DREAMBOOTH_OK;
}

struct geglu_work {
    const dreambooth_geglu *a;
    int64_t block; /* rows of a task */
};

static void geglu_row(const float *restrict x, const float *restrict gate,
                      int64_t width, float *restrict y)
{
    float density;
    int64_t i;

    for (i = 0; i < width; i++)
        y[i] = x[i] * (bounded(gate[i]) * db_normal(gate[i], &density));
}

static void geglu_slope_row(const float *restrict x, const float *restrict gate,
                            const float *restrict dy, int64_t width,
                            float *restrict dx, float *restrict dgate)
{
    int64_t i;

    for (i = 0; i < width; i++) {
        float density;
        float phi = db_normal(gate[i], &density);
        float g = bounded(gate[i]);

        dx[i] = dy[i] * (g * phi);
        dgate[i] = dy[i] * x[i] * (phi + g * INVERSE_SQRT_TWO_PI * density);
    }
}

static void geglu_forward_rows(void *argument, int64_t index, int worker)
{
    const struct geglu_work *work = argument;
    const dreambooth_geglu *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++)
        geglu_row(a->x + r * 2 * a->width, a->x + (r * 2 + 1) * a->width,
                  a->width, a->y + r * a->width);
}

static void geglu_backward_rows(void *argument, int64_t index, int worker)
{
    const struct geglu_work *work = argument;
    const dreambooth_geglu *a = work->a;
    const int64_t end = db_blas_smaller((index + 1) * work->block, a->rows);
    int64_t r;

    (void)worker;
    for (r = index * work->block; r < end; r++)
        geglu_slope_row(a->x + r * 2 * a->width, a->x + (r * 2 + 1) * a->width,
                        a->dy + r * a->width, a->width,
                        a->dx + r * 2 * a->width,
                        a->dx + (r * 2 + 1) * a->width);
}

static int run_geglu(const dreambooth_kernel_host *host,
                     const dreambooth_geglu *a,
                     void (*task)(void *, int64_t, int))
{
    struct geglu_work work = {
        a, db_blas_larger(1, DB_BLAS_TASK / db_blas_larger(a->width, 1))};

    host->parallel(host, db_blas_pieces(a->rows, work.block), task, &work);
    return DREAMBOOTH_OK;
}

int db_blas_geglu_forward(const dreambooth_kernel_host *host,
                          const dreambooth_geglu *a)
{
    return run_geglu(host, a, geglu_forward_rows);
}

int db_blas_geglu_backward(const dreambooth_kernel_host *host,
                           const dreambooth_geglu *a)
{
    return run_geglu(host, a, geglu_backward_rows);
}

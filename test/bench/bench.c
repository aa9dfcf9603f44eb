/* SPDX-License-Identifier: MIT */
/*
 * How fast the blas backend is, kernel by kernel, on the shapes of Stable
 * Diffusion 1.5 at 512 x 512, as a Markdown table. What counts is the share of
 * a bare sgemm, measured in the same run on the same number of threads: it says
 * what all that surrounds the products costs, on any machine.
 *
 *     bench [THREADS [BACKEND [PART_OF_NAME]]]
 *
 * Of at least five runs that take a third of a second, the first column is the
 * median, all others are the best, which other work on the machine moves least.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef DREAMBOOTH_MKL
#include <mkl_cblas.h>
#else
#include <cblas.h>
#endif

#include "kernel/device.h"
#include "model/unet.h"
#include "worker.h"

#define LEAST_RUNS 5
#define MOST_RUNS 200
#define LEAST_SECONDS 0.35
#define BARE 1024 /* side of the bare products */
#define MOST_BUFFERS 12

/* OpenBLAS's own functions: there when it is OpenBLAS that we have. */
#if defined(__GNUC__)
extern char *openblas_get_corename(void) __attribute__((weak));
extern void openblas_set_num_threads(int threads) __attribute__((weak));
#endif

struct bench {
    struct db_env env;
    struct db_device device;
    double bare; /* GFLOP/s */
    float *buffers[MOST_BUFFERS];
    int used;
};

/* One row of the table; what shape and variant mean stands at RUN. */
struct row {
    const char *name;
    void (*run)(struct bench *bench, const char *name, const int64_t *shape,
                int64_t variant);
    int64_t variant;
    int64_t shape[6];
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *text)
{
    fprintf(stderr, "bench: %s\n", text);
    exit(EXIT_FAILURE);
}

static void check(struct bench *bench, int status)
{
    if (status != DREAMBOOTH_OK)
        die(bench->env.error_text);
}

/* Floats in -1..1 that belong to the row. */
static float *values(struct bench *bench, int64_t count)
{
    float *block = db_alloc(&bench->env, (size_t)count * sizeof(float));
    uint32_t state = 1;
    int64_t i;

    if (block == NULL || bench->used == MOST_BUFFERS)
        die("out of memory");
    bench->buffers[bench->used++] = block;
    for (i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        block[i] = (float)(int32_t)state / 2147483648.0f;
    }
    return block;
}

static void release(struct bench *bench)
{
    while (bench->used > 0)
        db_free(&bench->env, bench->buffers[--bench->used]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Seconds of a slot. */
struct time {
    double median;
    double best;
};

static struct time measure(struct bench *bench,
                           int (*slot)(struct db_device *device,
                                       void *arguments),
                           void *arguments)
{
    struct time result;
    double times[MOST_RUNS];
    double begin;
    double total = 0.0;
    int runs = 0;

    check(bench, slot(&bench->device, arguments));
    while (runs < MOST_RUNS && (runs < LEAST_RUNS || total < LEAST_SECONDS)) {
        begin = now();
        check(bench, slot(&bench->device, arguments));
        times[runs] = now() - begin;
        total += times[runs++];
    }
    qsort(times, (size_t)runs, sizeof(times[0]), by_size);
    result.best = times[0];
    result.median = times[runs / 2];
    return result;
}

static void print(const struct bench *bench, const char *name, struct time time,
                  double flops, double bytes)
{
    printf("| %-36s | %8.2f | %8.2f ", name, time.median * 1e3,
           time.best * 1e3);
    if (flops > 0.0)
        printf("| %7.1f | %5.2f |       |\n", flops / time.best * 1e-9,
               flops / time.best * 1e-9 / bench->bare);
    else
        printf("|         |       | %5.1f |\n", bytes / time.best * 1e-9);
    fflush(stdout);
}

#define SLOT(name, arguments)                                                  \
    static int slot_##name(struct db_device *device, void *a)                  \
    {                                                                          \
        return db_run(device, name, (arguments *)a);                           \
    }

SLOT(gemm, dreambooth_gemm)
SLOT(conv2d_forward, dreambooth_conv2d)
SLOT(conv2d_backward_data, dreambooth_conv2d)
SLOT(conv2d_backward_weight, dreambooth_conv2d)
SLOT(attention_forward, dreambooth_attention)
SLOT(attention_backward, dreambooth_attention)
SLOT(group_norm_forward, dreambooth_group_norm)
SLOT(group_norm_backward, dreambooth_group_norm)
SLOT(layer_norm_forward, dreambooth_layer_norm)
SLOT(layer_norm_backward, dreambooth_layer_norm)
SLOT(unary_forward, dreambooth_unary)
SLOT(unary_backward, dreambooth_unary)
SLOT(geglu_forward, dreambooth_geglu)
SLOT(geglu_backward, dreambooth_geglu)
SLOT(axpby, dreambooth_axpby)
SLOT(adamw, dreambooth_adamw)
SLOT(sum_squares, dreambooth_sum_squares)

/* The operands of one bare product a thread. */
struct bare {
    const float *a, *b;
    float *c;
};

static void bare_task(void *argument, int64_t index, int worker)
{
    const struct bare *bare = argument;
    const int64_t at = index * BARE * BARE;

    (void)worker;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, BARE, BARE, BARE,
                1.0f, bare->a + at, BARE, bare->b + at, BARE, 0.0f,
                bare->c + at, BARE);
}

static int slot_bare(struct db_device *device, void *a)
{
    db_pool_run(device->pool, db_pool_threads(device->pool), bare_task, a);
    return DREAMBOOTH_OK;
}

static void run_bare(struct bench *bench)
{
    const int64_t threads = db_pool_threads(bench->device.pool);
    struct bare bare = {values(bench, threads * BARE * BARE),
                        values(bench, threads * BARE * BARE),
                        values(bench, threads * BARE * BARE)};
    double flops = 2.0 * BARE * BARE * BARE * (double)threads;
    struct time time = measure(bench, slot_bare, &bare);

    bench->bare = flops / time.best * 1e-9;
    print(bench, "bare sgemm 1024", time, flops, 0.0);
    release(bench);
}

/* m, n, k; variant: 0 forward (x w^T), 1 data (dy w), 2 weight (dy^T x) */
static void run_gemm(struct bench *bench, const char *name, const int64_t *s,
                     int64_t variant)
{
    dreambooth_gemm a = {.batch = 1,
                         .m = s[0],
                         .n = s[1],
                         .k = s[2],
                         .transpose_a = variant == 2,
                         .transpose_b = variant == 0,
                         .alpha = 1.0f,
                         .beta = variant == 2 ? 1.0f : 0.0f};

    a.lda = a.transpose_a ? a.m : a.k;
    a.ldb = a.transpose_b ? a.k : a.n;
    a.ldc = a.n;
    a.a = values(bench, a.m * a.k);
    a.b = values(bench, a.k * a.n);
    a.c = values(bench, a.m * a.n);
    a.bias = variant == 0 ? values(bench, a.n) : NULL;
    print(bench, name, measure(bench, slot_gemm, &a),
          2.0 * (double)(a.m * a.n * a.k), 0.0);
}

/* batch, side, in, out, kernel, stride; variant: forward, data, weight */
static void run_conv(struct bench *bench, const char *name, const int64_t *s,
                     int64_t variant)
{
    static int (*const slots[])(struct db_device *, void *) = {
        slot_conv2d_forward, slot_conv2d_backward_data,
        slot_conv2d_backward_weight};
    dreambooth_conv2d a = {.batch = s[0],
                           .in_height = s[1],
                           .in_width = s[1],
                           .in_channels = s[2],
                           .out_height = s[1] / s[5],
                           .out_width = s[1] / s[5],
                           .out_channels = s[3],
                           .kernel_height = s[4],
                           .kernel_width = s[4],
                           .stride = s[5],
                           .pad_top = s[4] / 2,
                           .pad_bottom = s[4] / 2,
                           .pad_left = s[4] / 2,
                           .pad_right = s[4] / 2};
    int64_t pixels = a.batch * a.out_height * a.out_width;
    int64_t patch = s[4] * s[4] * s[2];

    a.x = values(bench, s[0] * s[1] * s[1] * s[2]);
    a.dx = values(bench, s[0] * s[1] * s[1] * s[2]);
    a.weight = values(bench, s[3] * patch);
    a.dweight = values(bench, s[3] * patch);
    a.bias = values(bench, s[3]);
    a.dbias = values(bench, s[3]);
    a.y = values(bench, pixels * s[3]);
    a.dy = values(bench, pixels * s[3]);
    print(bench, name, measure(bench, slots[variant], &a),
          2.0 * (double)(pixels * s[3] * patch), 0.0);
}

/* batch, heads, queries, keys, head_size; variant: forward, backward. The flops
 * are those of 2 and of 5 products. */
static void run_attention(struct bench *bench, const char *name,
                          const int64_t *s, int64_t variant)
{
    const int64_t queries = s[0] * s[1] * s[2] * s[4];
    const int64_t keys = s[0] * s[1] * s[3] * s[4];
    dreambooth_attention a = {.batch = s[0],
                              .heads = s[1],
                              .query_length = s[2],
                              .key_length = s[3],
                              .head_size = s[4],
                              .scale = 0.2f};

    a.q = values(bench, queries);
    a.k = values(bench, keys);
    a.v = values(bench, keys);
    a.y = values(bench, queries);
    a.lse = values(bench, s[0] * s[1] * s[2]);
    a.dy = values(bench, queries);
    a.dq = values(bench, queries);
    a.dk = values(bench, keys);
    a.dv = values(bench, keys);
    check(bench, slot_attention_forward(&bench->device, &a));
    print(bench, name,
          measure(bench,
                  variant ? slot_attention_backward : slot_attention_forward,
                  &a),
          (variant ? 10.0 : 4.0) * (double)(queries * s[3]), 0.0);
}

/* rows (pixels, tokens), channels; variant: forward, backward */
static void run_group_norm(struct bench *bench, const char *name,
                           const int64_t *s, int64_t variant)
{
    dreambooth_group_norm a = {.batch = 1,
                               .pixels = s[0],
                               .channels = s[1],
                               .groups = 32,
                               .epsilon = 1e-5f};

    a.x = values(bench, s[0] * s[1]);
    a.weight = values(bench, s[1]);
    a.bias = values(bench, s[1]);
    a.y = values(bench, s[0] * s[1]);
    a.mean = values(bench, 32);
    a.rstd = values(bench, 32);
    a.dy = values(bench, s[0] * s[1]);
    a.dx = values(bench, s[0] * s[1]);
    a.dweight = values(bench, s[1]);
    a.dbias = values(bench, s[1]);
    print(bench, name,
          measure(bench,
                  variant ? slot_group_norm_backward : slot_group_norm_forward,
                  &a),
          0.0, (variant ? 12.0 : 8.0) * (double)(s[0] * s[1]));
}

static void run_layer_norm(struct bench *bench, const char *name,
                           const int64_t *s, int64_t variant)
{
    dreambooth_layer_norm a = {
        .rows = s[0], .channels = s[1], .epsilon = 1e-5f};

    a.x = values(bench, s[0] * s[1]);
    a.weight = values(bench, s[1]);
    a.bias = values(bench, s[1]);
    a.y = values(bench, s[0] * s[1]);
    a.mean = values(bench, s[0]);
    a.rstd = values(bench, s[0]);
    a.dy = values(bench, s[0] * s[1]);
    a.dx = values(bench, s[0] * s[1]);
    a.dweight = values(bench, s[1]);
    a.dbias = values(bench, s[1]);
    print(bench, name,
          measure(bench,
                  variant ? slot_layer_norm_backward : slot_layer_norm_forward,
                  &a),
          0.0, (variant ? 12.0 : 8.0) * (double)(s[0] * s[1]));
}

/* rows, channels, activation; variant: forward, backward */
static void run_unary(struct bench *bench, const char *name, const int64_t *s,
                      int64_t variant)
{
    dreambooth_unary a = {.activation = (int32_t)s[2], .count = s[0] * s[1]};

    a.x = values(bench, a.count);
    a.y = values(bench, a.count);
    a.dy = values(bench, a.count);
    a.dx = values(bench, a.count);
    print(
        bench, name,
        measure(bench, variant ? slot_unary_backward : slot_unary_forward, &a),
        0.0, (variant ? 12.0 : 8.0) * (double)a.count);
}

static void run_geglu(struct bench *bench, const char *name, const int64_t *s,
                      int64_t variant)
{
    dreambooth_geglu a = {.rows = s[0], .width = s[1]};

    a.x = values(bench, 2 * s[0] * s[1]);
    a.y = values(bench, s[0] * s[1]);
    a.dy = values(bench, s[0] * s[1]);
    a.dx = values(bench, 2 * s[0] * s[1]);
    print(
        bench, name,
        measure(bench, variant ? slot_geglu_backward : slot_geglu_forward, &a),
        0.0, (variant ? 20.0 : 12.0) * (double)(s[0] * s[1]));
}

static void run_axpby(struct bench *bench, const char *name, const int64_t *s,
                      int64_t variant)
{
    dreambooth_axpby a = {
        .count = s[0] * s[1], .alpha = 1.0f, .beta = (float)variant};

    a.x = values(bench, a.count);
    a.y = values(bench, a.count);
    print(bench, name, measure(bench, slot_axpby, &a), 0.0,
          (variant ? 12.0 : 8.0) * (double)a.count);
}

static void run_adamw(struct bench *bench, const char *name, const int64_t *s,
                      int64_t variant)
{
    dreambooth_adamw a = {.count = s[0],
                          .step = 3,
                          .learning_rate = 1e-9,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .epsilon = 1e-8,
                          .weight_decay = 1e-2,
                          .gradient_scale = 1.0f};

    (void)variant;
    a.gradient = values(bench, a.count);
    a.parameter = values(bench, a.count);
    a.m = values(bench, a.count);
    a.v = values(bench, a.count);
    check(bench, slot_adamw(&bench->device, &a));
    memset(a.v, 0, (size_t)a.count * sizeof(float));
    print(bench, name, measure(bench, slot_adamw, &a), 0.0,
          28.0 * (double)a.count);
}

static void run_squares(struct bench *bench, const char *name, const int64_t *s,
                        int64_t variant)
{
    double sum;
    dreambooth_sum_squares a = {.count = s[0], .sum = &sum};

    (void)variant;
    a.x = values(bench, a.count);
    print(bench, name, measure(bench, slot_sum_squares, &a), 0.0,
          4.0 * (double)a.count);
}

/* A whole UNet in the shape of Stable Diffusion 1.5's, without its files. */
static const char unet_config[] =
    "{\"block_out_channels\": [320, 640, 1280, 1280],"
    " \"down_block_types\": [\"CrossAttnDownBlock2D\","
    " \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
    " \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\","
    " \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"],"
    " \"attention_head_dim\": 8, \"cross_attention_dim\": 768,"
    " \"in_channels\": 4, \"out_channels\": 4, \"sample_size\": 64,"
    " \"layers_per_block\": 2, \"norm_num_groups\": 32}";

struct unet_call {
    struct db_unet *unet;
    struct db_tensor *sample, *context;
};

static int slot_unet(struct db_device *device, void *a)
{
    const struct unet_call *call = a;
    const float timestep = 500.0f;
    struct db_tape tape;

    db_tape_init(&tape, device, false);
    db_drop(db_unet_forward(&tape, call->unet,
                            db_var_new(&tape, call->sample, false), &timestep,
                            db_var_new(&tape, call->context, false), NULL));
    return tape.status;
}

/* latent side; at 64 it is 803 GFLOP: convolutions 439, linear layers 233,
 * attention 126, and the rest */
static void run_unet(struct bench *bench, const char *name, const int64_t *s,
                     int64_t variant)
{
    struct db_shape sample = db_shape4(1, s[0], s[0], 4);
    struct db_shape context = db_shape3(1, 77, 768);
    json_t *config = json_loads(unet_config, 0, NULL);
    struct unet_call call = {NULL, NULL, NULL};

    (void)variant;
    check(bench, db_unet_new(&bench->env, "bench", config, &call.unet));
    check(bench, db_params_randomize(&call.unet->params, "unet", 1));
    check(bench,
          db_tensor_new_zero(&bench->env, DB_F32, &sample, &call.sample));
    check(bench,
          db_tensor_new_zero(&bench->env, DB_F32, &context, &call.context));
    print(bench, name, measure(bench, slot_unet, &call), 803e9, 0.0);
    db_tensor_release(call.sample);
    db_tensor_release(call.context);
    db_unet_free(call.unet);
    json_decref(config);
}

static const struct row rows[] = {
    {"gemm 4096 x 320 x 1280", run_gemm, 0, {4096, 320, 1280}},
    {"gemm 4096 x 2560 x 320", run_gemm, 0, {4096, 2560, 320}},
    {"gemm 4096 x 320 x 320", run_gemm, 0, {4096, 320, 320}},
    {"gemm 64 x 1280 x 1280", run_gemm, 0, {64, 1280, 1280}},
    {"gemm 77 x 320 x 768", run_gemm, 0, {77, 320, 768}},
    {"gemm 1 x 1280 x 1280", run_gemm, 0, {1, 1280, 1280}},
    {"gemm 4096 x 1280 x 320, dx", run_gemm, 1, {4096, 1280, 320}},
    {"gemm 320 x 1280 x 4096, dw", run_gemm, 2, {320, 1280, 4096}},
    {"conv 3x3 4 -> 320 at 64", run_conv, 0, {1, 64, 4, 320, 3, 1}},
    {"conv 3x3 320 -> 4 at 64", run_conv, 0, {1, 64, 320, 4, 3, 1}},
    {"conv 3x3 320 -> 320 at 64", run_conv, 0, {1, 64, 320, 320, 3, 1}},
    {"  dx", run_conv, 1, {1, 64, 320, 320, 3, 1}},
    {"  dw", run_conv, 2, {1, 64, 320, 320, 3, 1}},
    {"conv 3x3 640 -> 640 at 32", run_conv, 0, {1, 32, 640, 640, 3, 1}},
    {"  dx", run_conv, 1, {1, 32, 640, 640, 3, 1}},
    {"  dw", run_conv, 2, {1, 32, 640, 640, 3, 1}},
    {"conv 3x3 1280 -> 1280 at 16", run_conv, 0, {1, 16, 1280, 1280, 3, 1}},
    {"  dx", run_conv, 1, {1, 16, 1280, 1280, 3, 1}},
    {"  dw", run_conv, 2, {1, 16, 1280, 1280, 3, 1}},
    {"conv 3x3 1280 -> 1280 at 8", run_conv, 0, {1, 8, 1280, 1280, 3, 1}},
    {"  dx", run_conv, 1, {1, 8, 1280, 1280, 3, 1}},
    {"  dw", run_conv, 2, {1, 8, 1280, 1280, 3, 1}},
    {"conv 3x3 / 2 320 -> 320 at 64", run_conv, 0, {1, 64, 320, 320, 3, 2}},
    {"  dx", run_conv, 1, {1, 64, 320, 320, 3, 2}},
    {"  dw", run_conv, 2, {1, 64, 320, 320, 3, 2}},
    {"conv 3x3 128 -> 128 at 256", run_conv, 0, {1, 256, 128, 128, 3, 1}},
    {"attention 4096 x 4096 x 40, 8 heads",
     run_attention,
     0,
     {1, 8, 4096, 4096, 40}},
    {"  backward", run_attention, 1, {1, 8, 4096, 4096, 40}},
    {"attention 4096 x 77 x 40, 8 heads",
     run_attention,
     0,
     {1, 8, 4096, 77, 40}},
    {"  backward", run_attention, 1, {1, 8, 4096, 77, 40}},
    {"attention 1024 x 1024 x 80, 8 heads",
     run_attention,
     0,
     {1, 8, 1024, 1024, 80}},
    {"  backward", run_attention, 1, {1, 8, 1024, 1024, 80}},
    {"attention 4096 x 4096 x 512, 1 head",
     run_attention,
     0,
     {1, 1, 4096, 4096, 512}},
    {"group norm 4096 x 320", run_group_norm, 0, {4096, 320}},
    {"  backward", run_group_norm, 1, {4096, 320}},
    {"layer norm 4096 x 320", run_layer_norm, 0, {4096, 320}},
    {"  backward", run_layer_norm, 1, {4096, 320}},
    {"silu 4096 x 320", run_unary, 0, {4096, 320, DREAMBOOTH_SILU}},
    {"  backward", run_unary, 1, {4096, 320, DREAMBOOTH_SILU}},
    {"geglu 4096 x 1280", run_geglu, 0, {4096, 1280}},
    {"  backward", run_geglu, 1, {4096, 1280}},
    {"add 4096 x 320", run_axpby, 1, {4096, 320}},
    {"adamw, 8 M parameters", run_adamw, 0, {8000000}},
    {"sum of squares, 8 M", run_squares, 0, {8000000}},
    {"UNet of SD 1.5 at 512 x 512", run_unet, 0, {64}},
};

static void open_bench(struct bench *bench, int threads, const char *name)
{
    const dreambooth_backend *table = db_backend_find(name);
    struct db_pool *pool = NULL;

    if (table == NULL)
        die("there is no such backend");
    memset(bench, 0, sizeof(*bench));
    db_env_init(&bench->env);
    check(bench, db_pool_new(&bench->env, threads, &pool));
    db_device_init(&bench->device, &bench->env, pool, table);
}

static void print_head(const struct bench *bench)
{
    const char *core = "unknown";

#if defined(__GNUC__)
    if (openblas_set_num_threads != NULL)
        openblas_set_num_threads(1);
    if (openblas_get_corename != NULL)
        core = openblas_get_corename();
#endif
    printf("Backend %s, threads %d, BLAS core %s.\n\n",
           bench->device.kernels.table.name,
           db_pool_threads(bench->device.pool), core);
    printf("| %-36s | %8s | %8s | %7s | %5s | %5s |\n", "kernel", "ms",
           "best ms", "GFLOP/s", "share", "GB/s");
    printf("|%.38s|---------:|---------:|--------:|------:|------:|\n",
           "------------------------------------------------");
}

static int print_machine(void)
{
    char blas[256];

    db_blas_describe(blas, sizeof(blas));
    puts(blas);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    const char *only = argc > 3 ? argv[3] : "";
    struct bench bench;
    size_t i;

    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return bench_worker(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "machine") == 0)
        return print_machine();
    open_bench(&bench, threads, argc > 2 ? argv[2] : "blas");
    print_head(&bench);
    run_bare(&bench);
    for (i = 0; i < DB_COUNT(rows); i++)
        if (strstr(rows[i].name, only) != NULL) {
            rows[i].run(&bench, rows[i].name, rows[i].shape, rows[i].variant);
            release(&bench);
        }
    db_pool_free(bench.device.pool);
    return EXIT_SUCCESS;
}

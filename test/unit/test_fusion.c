/* SPDX-License-Identifier: MIT */
/* Products that take along what follows them give what the two give one after
 * the other, to the bit, on every backend that does it. */
#include <math.h>
#include <string.h>

#include "halves.h"
#include "kernel/device.h"
#include "unit.h"

/* Rounds X in place; the upper halves are the result. */
static uint16_t *round_values(float *x, int64_t count)
{
    uint16_t *half = halves(x, count, 1.0f);
    int64_t i;

    for (i = 0; i < count; i++)
        x[i] = widened(half[i]);
    return half;
}

/* m, n, k, whether there is a bias */
struct shape {
    int64_t m, n, k;
    bool has_bias;
};

struct operands {
    float *a, *b, *bias, *sums, *want, *got;
    uint16_t *a_bf16, *b_bf16, *got_bf16;
};

static void open_operands(const struct shape *s, struct operands *o)
{
    o->a = values(s->m * s->k, 1);
    o->b = values(s->n * s->k, 2);
    o->bias = values(s->n, 3);
    o->sums = values(s->m * s->n, 4);
    o->want = values(s->m * s->n / 2, 5);
    o->got = values(s->m * s->n / 2, 6);
    o->a_bf16 = round_values(o->a, s->m * s->k);
    o->b_bf16 = round_values(o->b, s->n * s->k);
    o->got_bf16 = (uint16_t *)values(s->m * s->n / 2, 7);
}

static void close_operands(struct operands *o)
{
    void *const blocks[] = {o->a,   o->b,      o->bias,   o->sums,    o->want,
                            o->got, o->a_bf16, o->b_bf16, o->got_bf16};
    size_t i;

    for (i = 0; i < DB_COUNT(blocks); i++)
        db_free(&env, blocks[i]);
}

static dreambooth_gemm product(const struct shape *s, const struct operands *o)
{
    return (dreambooth_gemm){.batch = 1,
                             .m = s->m,
                             .n = s->n,
                             .k = s->k,
                             .transpose_b = 1,
                             .alpha = 1.0f,
                             .a = o->a,
                             .b = o->b,
                             .c = o->sums,
                             .lda = s->k,
                             .ldb = s->k,
                             .ldc = s->n,
                             .bias = s->has_bias ? o->bias : NULL};
}

/* The product, then its halves. */
static void run_apart(struct db_device *d, const struct shape *s,
                      const struct operands *o)
{
    const dreambooth_gemm sums = product(s, o);
    const dreambooth_geglu gates = {
        .rows = s->m, .width = s->n / 2, .x = o->sums, .y = o->want};

    ck_assert_int_eq(db_run(d, gemm, &sums), DREAMBOOTH_OK);
    ck_assert_int_eq(db_run(d, geglu_forward, &gates), DREAMBOOTH_OK);
}

static void check_floats(struct db_device *d, const struct shape *s,
                         const struct operands *o, const dreambooth_gemm *a)
{
    memset(o->got, 0x7f, (size_t)(s->m * s->n / 2) * sizeof(float));
    ck_assert_int_eq(db_run(d, gemm, a), DREAMBOOTH_OK);
    ck_assert_msg(
        memcmp(o->got, o->want, (size_t)(s->m * s->n / 2) * sizeof(float)) == 0,
        "%dx%dx%d in precision %d, a in %s", (int)s->m, (int)s->n, (int)s->k,
        d->host.precision, a->a != NULL ? "floats" : "bfloat16");
}

/* The whole at once: from floats, from bfloat16, and to bfloat16. */
static void check_shape(struct db_device *d, const struct shape *s)
{
    struct operands o;
    dreambooth_gemm a;
    int64_t i;

    open_operands(s, &o);
    run_apart(d, s, &o);
    a = product(s, &o);
    a.geglu = 1;
    a.c = o.got;
    a.ldc = s->n / 2;
    check_floats(d, s, &o, &a);
    a.b = NULL;
    a.b_bf16 = o.b_bf16;
    if (d->host.precision == DREAMBOOTH_BFLOAT16) {
        a.a = NULL;
        a.a_bf16 = o.a_bf16;
        check_floats(d, s, &o, &a);
    }
    a.c = NULL;
    a.c_bf16 = o.got_bf16;
    ck_assert_int_eq(db_run(d, gemm, &a), DREAMBOOTH_OK);
    for (i = 0; i < s->m * s->n / 2; i++)
        unit_assert_msg(o.got_bf16[i] == rounded(o.want[i]),
                        "%dx%dx%d in precision %d, rounded", (int)s->m,
                        (int)s->n, (int)s->k, d->host.precision);
    close_operands(&o);
}

#define QUICK 4 /* shapes, where time is short */

START_TEST(geglu_goes_along)
{
    static const struct shape shapes[] = {
        {1, 2, 1, true},        {3, 64, 40, true},     {33, 96, 70, false},
        {17, 30, 33, true},     {131, 640, 77, true},  {600, 128, 320, true},
        {1100, 320, 90, false}, {40, 1280, 640, true}, {290, 154, 700, true}};
    const dreambooth_backend *table;
    struct db_device device;
    size_t t, i;
    int threads, precision;

    db_env_init(&env);
    for (t = 0; (table = db_backend_at(t)) != NULL; t++)
        for (i = 0; i < 3 * 3 && (table->features & DREAMBOOTH_FUSES) != 0;
             i++) {
            size_t s;

            threads = 1 + 2 * (int)(i / 3);
            precision = (int)(i % 3);
            open_device(&device, threads, table, precision);
            for (s = 0; s < (unit_is_quick() ? QUICK : DB_COUNT(shapes)); s++)
                check_shape(&device, &shapes[s]);
            db_pool_free(device.pool);
        }
    ck_assert_uint_eq(atomic_load(&env.live_bytes), 0);
}
END_TEST

/* The rough function is as good as it says. */
START_TEST(rough_geglu_is_near)
{
    enum { COUNT = 4096 };
    struct db_device device;
    float x[2 * COUNT], y[2][COUNT];
    dreambooth_geglu a = {.rows = 1, .width = COUNT, .x = x};
    int i, precision;

    db_env_init(&env);
    for (i = 0; i < COUNT; i++) {
        x[i] = 1.0f;
        x[COUNT + i] = -12.0f + 24.0f * (float)i / COUNT;
    }
    x[COUNT] = -INFINITY;
    x[COUNT + 1] = NAN;
    x[2 * COUNT - 1] = INFINITY;
    for (precision = DREAMBOOTH_FLOAT32; precision <= DREAMBOOTH_BFLOAT16;
         precision++) {
        open_device(&device, 1, db_backend_find("simd"), precision);
        a.y = y[precision - DREAMBOOTH_FLOAT32];
        ck_assert_int_eq(db_run(&device, geglu_forward, &a), DREAMBOOTH_OK);
        db_pool_free(device.pool);
    }
    for (i = 2; i < COUNT - 1; i++)
        ck_assert_float_le(fabsf(y[0][i] - y[1][i]), 1e-6f);
    ck_assert(y[1][0] == 0.0f);
    ck_assert(isnan(y[1][1]));
    ck_assert(y[1][COUNT - 1] == INFINITY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fusion");

    unit_add(suite, "geglu_goes_along", geglu_goes_along);
    unit_add(suite, "rough_geglu_is_near", rough_geglu_is_near);
    return unit_main(suite);
}

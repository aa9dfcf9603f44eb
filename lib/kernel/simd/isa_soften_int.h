/* SPDX-License-Identifier: MIT */
/* A part of the template in isa_int.h: what attention.c does to scores. */

typedef int32_t integers __attribute__((vector_size(LANES * 4)));

INLINE vector larger(vector a, vector b)
{
    const integers mask = a > b;

    return (vector)(((integers)a & mask) | ((integers)b & ~mask));
}

/* 2^x for x <= 0, as db_exp2(). */
INLINE vector power_of_two(vector x)
{
    const vector round = (vector){0} + 12582912.0f;
    const vector bounded = larger(x, (vector){0} - 127.0f);
    const vector sum = bounded + round;
    const vector r = bounded - (sum - round);
    vector q = 1.32645875e-3f * r + 9.67161923e-3f;

    q = q * r + 5.55073504e-2f;
    q = q * r + 2.40222405e-1f;
    q = q * r + 6.93146976e-1f;
    return (1.0f + r * q) * (vector)(((integers)sum << 23) + 0x3f800000);
}

static void soften(int64_t keys, float *s, float *maximum, float *sum,
                   float *factor)
{
    int64_t k;
    int v;

    for (v = 0; v < COLUMNS; v += LANES) {
        const vector before = load(maximum + v);
        vector most = before, part = {0}, rise;

        for (k = 0; k < keys; k++)
            most = larger(most, load(s + k * COLUMNS + v));
        rise = power_of_two(before - most);
        for (k = 0; k < keys; k++) {
            vector e = power_of_two(load(s + k * COLUMNS + v) - most);

            store(s + k * COLUMNS + v, e);
            part += e;
        }
        store(maximum + v, most);
        store(factor + v, rise);
        store(sum + v, load(sum + v) * rise + part);
    }
}

static void scale(int64_t rows, const float *factor, float *y)
{
    int64_t r;
    int v;

    for (r = 0; r < rows; r++)
        for (v = 0; v < COLUMNS; v += LANES)
            store(y + r * COLUMNS + v,
                  load(y + r * COLUMNS + v) * load(factor + v));
}

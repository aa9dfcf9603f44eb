/* SPDX-License-Identifier: MIT */
/*
 * The part of the template that is about numbers in fewer bits: rounding to
 * bfloat16, and AdamW's update of a block, which becomes floats in the
 * first-level cache, is updated as floats are, and is rounded. The loops have
 * no branches, so that compilers vectorise them.
 */
#define BLOCK DREAMBOOTH_NARROW_BLOCK

/* Fraction bits of the codes. */
#define M_FRACTION 3
#define V_FRACTION 4

INLINE uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

INLINE float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* All ones where CONDITION is 1, which is 0 or 1. */
INLINE uint32_t mask_of(int condition)
{
    return 0 - (uint32_t)condition;
}

INLINE uint32_t either(uint32_t mask, uint32_t one, uint32_t other)
{
    return (one & mask) | (other & ~mask);
}

/* BITS of a float and ADDED, cut off; infinities and NaN are kept. */
INLINE uint16_t cut_off(uint32_t bits, uint32_t added)
{
    const uint32_t size = bits & 0x7fffffffu;
    const uint32_t finite = mask_of(size < 0x7f800000u);
    const uint32_t quiet = mask_of(size > 0x7f800000u) & 0x400000u;

    return (uint16_t)(((bits + (added & finite)) | quiet) >> 16);
}

INLINE uint16_t to_nearest(float value)
{
    const uint32_t bits = bits_of(value);

    return cut_off(bits, 0x7fffu + (bits >> 16 & 1u));
}

static void widen(const uint16_t *restrict x, int64_t count, float *restrict y)
{
    int64_t i;

    for (i = 0; i < count; i++)
        y[i] = float_of((uint32_t)x[i] << 16);
}

/* What the magnitude CODE stands for. */
INLINE float value_of(uint32_t code, int fraction)
{
    const float usual = float_of((code << (23 - fraction)) + (112u << 23));
    const float subnormal =
        (float)(int32_t)code * (fraction == M_FRACTION ? 0x1p-17f : 0x1p-18f);

    return float_of(either(mask_of(code < 1u << fraction), bits_of(subnormal),
                           bits_of(usual)));
}

/* The code of Y >= 0, rounded by the random number DRAWN in 0..255. */
INLINE uint32_t code_of(float y, int fraction, uint32_t drawn)
{
    const int cut = 23 - fraction;
    const uint32_t largest = (16u << fraction) - 1;
    const uint32_t middle = 1u << (cut - 9);
    const uint32_t usual =
        ((bits_of(y) + (drawn << (cut - 8)) + middle) >> cut) -
        (112u << fraction);
    const float units = y * (fraction == M_FRACTION ? 0x1p33f : 0x1p34f);
    const uint32_t small = mask_of(y < 0x1p-14f);
    const uint32_t subnormal =
        ((uint32_t)(int32_t)float_of(bits_of(units) & small) + drawn * 256 +
         128) >>
        16;
    const uint32_t code = either(small, subnormal, usual);

    return either(mask_of(code > largest), largest, code);
}

/* The random words of BLOCK elements from number BLOCK * INDEX on. */
static void draw(const dreambooth_adamw_narrow *a, int64_t index,
                 uint32_t *restrict out)
{
    enum { COUNT = BLOCK / 4 };
    uint32_t c0[COUNT], c1[COUNT], c2[COUNT], c3[COUNT];
    uint32_t k0 = a->key[0], k1 = a->key[1];
    int round, i;

    for (i = 0; i < COUNT; i++) {
        c0[i] = (uint32_t)index * COUNT + (uint32_t)i;
        c1[i] = a->counter[0];
        c2[i] = a->counter[1];
        c3[i] = a->counter[2];
    }
    for (round = 0; round < 10; round++) {
        for (i = 0; i < COUNT; i++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c0[i];
            const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2[i];

            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c1[i] = (uint32_t)p1;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (i = 0; i < COUNT; i++) {
        out[4 * i] = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

/* A block's floats, where they are not to be found as such. */
struct room {
    float g[BLOCK], p[BLOCK], m[BLOCK], v[BLOCK];
    uint32_t drawn[BLOCK];
};

static void read_m(const uint8_t *restrict codes, float scale, int64_t count,
                   float *restrict m)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        const uint32_t code = codes[i];
        const float size = value_of(code & 127u, M_FRACTION) * scale;

        m[i] = float_of(bits_of(size) | (code & 128u) << 24);
    }
}

static void read_v(const uint8_t *restrict codes, float scale, int64_t count,
                   float *restrict v)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        const float root = value_of(codes[i], V_FRACTION) * scale;

        v[i] = root * root;
    }
}

/* The largest magnitude. */
static float largest_of(const float *x, int64_t count)
{
    vector largest = {0};
    float result = 0;
    int64_t i;

    FOR_EACH(i, count)
    {
        const vector value = LOAD(x);

        largest = larger(largest, larger(value, -value));
    }
    for (i = 0; i < LANES; i++)
        result = largest[i] > result ? largest[i] : result;
    return result;
}

static float write_m(const struct room *room, const float *restrict m,
                     int64_t count, uint8_t *restrict codes)
{
    const float largest = largest_of(m, count);
    const float scale = largest / 1.875f;
    const float inverse = 1.0f / scale;
    int64_t i;

    if (largest < 1e-30f) {
        memset(codes, 0, (size_t)count);
        return 0;
    }
    for (i = 0; i < count; i++) {
        const uint32_t bits = bits_of(m[i]);
        const float y = float_of(bits & 0x7fffffffu) * inverse;

        codes[i] =
            (uint8_t)(code_of(y, M_FRACTION, room->drawn[i] >> 16 & 255u) |
                      (bits >> 24 & 128u));
    }
    return scale;
}

/* A root that is not 0 does not become 0, by which steps are divided. */
static float write_v(const struct room *room, float *restrict v, int64_t count,
                     uint8_t *restrict codes)
{
    float largest, scale, inverse;
    int64_t i;

    for (i = 0; i < count; i++)
        v[i] = sqrtf(v[i]);
    largest = largest_of(v, count);
    if (largest < 1e-30f) {
        memset(codes, 0, (size_t)count);
        return 0;
    }
    scale = largest / 1.9375f;
    inverse = 1.0f / scale;
    for (i = 0; i < count; i++) {
        const uint32_t code =
            code_of(v[i] * inverse, V_FRACTION, room->drawn[i] >> 24);

        codes[i] =
            (uint8_t)(code | (mask_of(code == 0) & mask_of(v[i] > 0) & 1u));
    }
    return scale;
}

static void write_p(const struct room *room, const float *restrict p,
                    int64_t count, uint16_t *restrict out)
{
    int64_t i;

    for (i = 0; i < count; i++)
        out[i] = cut_off(bits_of(p[i]), room->drawn[i] & 0xffffu);
}

/* The update of a block of A. */
static void adamw_narrow(const struct db_adamw_form *form,
                         const dreambooth_adamw_narrow *a, int64_t index)
{
    struct room place, *room = &place;
    const int64_t at = index * BLOCK;
    const int64_t count = db_blas_smaller(BLOCK, a->count - at);
    const float *g = a->gradient != NULL ? a->gradient + at : room->g;
    float *p = a->parameter != NULL ? a->parameter + at : room->p;
    float *m = a->m != NULL ? a->m + at : room->m;
    float *v = a->v != NULL ? a->v + at : room->v;

    draw(a, index, room->drawn);
    if (a->gradient == NULL)
        widen(a->gradient_bf16 + at, count, room->g);
    if (a->parameter == NULL)
        widen(a->parameter_bf16 + at, count, room->p);
    if (a->m == NULL)
        read_m(a->m_codes + at, a->m_scales[index], count, room->m);
    if (a->v == NULL)
        read_v(a->v_codes + at, a->v_scales[index], count, room->v);
    adamw(form, g, count, p, m, v);
    if (a->parameter == NULL)
        write_p(room, p, count, a->parameter_bf16 + at);
    if (a->m == NULL)
        a->m_scales[index] = write_m(room, m, count, a->m_codes + at);
    if (a->v == NULL)
        a->v_scales[index] = write_v(room, v, count, a->v_codes + at);
}

/* y = x, or y + x, rounded; the sum of the squares of y. */
static double narrow(const float *restrict x, int64_t count, int to_add,
                     uint16_t *restrict y)
{
    double lanes[DB_BLAS_LANES] = {0}, sum = 0;
    int64_t i;

    for (i = 0; to_add && i < count; i++)
        y[i] = to_nearest(float_of((uint32_t)y[i] << 16) + x[i]);
    for (i = 0; !to_add && i < count; i++)
        y[i] = to_nearest(x[i]);
    for (i = 0; i < count; i++) {
        const double value = (double)float_of((uint32_t)y[i] << 16);

        lanes[i % DB_BLAS_LANES] += value * value;
    }
    for (i = 0; i < DB_BLAS_LANES; i++)
        sum += lanes[i];
    return sum;
}

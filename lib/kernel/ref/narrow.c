/* SPDX-License-Identifier: MIT */
/*
 * Numbers in fewer bits: rounding to bfloat16, and the AdamW update of such.
 * The arithmetic is that of the update of floats, in between.
 */
#include "kernel/ref/ref_int.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

static float widen(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Cut off to bfloat16, once ADDED has been added to the bits. */
static uint16_t cut_off(float value, uint32_t added)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)(isinf(value) ? bits >> 16 : (bits + added) >> 16);
}

static uint16_t to_nearest(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return cut_off(value, 0x7fff + (bits >> 16 & 1));
}

/* What the magnitude CODE stands for, with FRACTION bits of it. */
static double value_of(int code, int fraction)
{
    const int exponent = code >> fraction;
    const int rest = code - (exponent << fraction);

    if (exponent == 0)
        return ldexp(rest, -14 - fraction);
    return ldexp((1 << fraction) + rest, exponent - 15 - fraction);
}

/* The code of VALUE >= 0, rounded by the random number BITS in 0..255. */
static int code_of(double value, int fraction, int bits)
{
    const int largest = (16 << fraction) - 1;
    int code = 0;
    double part;

    while (code < largest && value_of(code + 1, fraction) <= value)
        code++;
    part = (value - value_of(code, fraction)) /
           (value_of(code + 1, fraction) - value_of(code, fraction));
    if (code < 1 << fraction)
        part = floor(part * 65536) / 65536;
    if (256 * part + bits + 0.5 >= 256)
        code++;
    return code < largest ? code : largest;
}

/* The floats of a block, and the bits that are drawn for them. */
struct block {
    int64_t at, count;
    float g[DREAMBOOTH_NARROW_BLOCK], p[DREAMBOOTH_NARROW_BLOCK];
    float m[DREAMBOOTH_NARROW_BLOCK], v[DREAMBOOTH_NARROW_BLOCK];
    uint32_t drawn[DREAMBOOTH_NARROW_BLOCK];
};

static void load(const dreambooth_adamw_narrow *a, struct block *b)
{
    const int64_t number = b->at / DREAMBOOTH_NARROW_BLOCK;
    int64_t i;

    for (i = 0; i < b->count; i++) {
        const int64_t at = b->at + i;
        const uint32_t counter[4] = {(uint32_t)(at / 4), a->counter[0],
                                     a->counter[1], a->counter[2]};
        uint32_t words[4];

        db_philox4x32(counter, a->key, words);
        b->drawn[i] = words[at % 4];
        b->g[i] = a->gradient ? a->gradient[at] : widen(a->gradient_bf16[at]);
        b->p[i] =
            a->parameter ? a->parameter[at] : widen(a->parameter_bf16[at]);
        if (a->m != NULL) {
            b->m[i] = a->m[at];
        } else {
            b->m[i] =
                (float)value_of(a->m_codes[at] & 127, 3) * a->m_scales[number];
            if (a->m_codes[at] & 128)
                b->m[i] = -b->m[i];
        }
        if (a->v != NULL) {
            b->v[i] = a->v[at];
        } else {
            b->v[i] = (float)value_of(a->v_codes[at], 4) * a->v_scales[number];
            b->v[i] *= b->v[i];
        }
    }
}

/* The largest magnitude of COUNT numbers, or of their roots. */
static float largest_of(const float *values, int64_t count, int roots)
{
    float largest = 0;
    int64_t i;

    for (i = 0; i < count; i++) {
        const float size = roots ? sqrtf(values[i]) : fabsf(values[i]);

        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Codes of the block's m, or of the roots of its v; gives the scale. */
static float encode(const struct block *b, int roots, uint8_t *codes)
{
    const float *values = roots ? b->v : b->m;
    const int fraction = roots ? 4 : 3;
    const float largest = largest_of(values, b->count, roots);
    const float scale =
        largest / (float)value_of((16 << fraction) - 1, fraction);
    int64_t i;

    if (largest < 1e-30f) {
        memset(codes, 0, (size_t)b->count);
        return 0;
    }
    for (i = 0; i < b->count; i++) {
        const float size = roots ? sqrtf(values[i]) : fabsf(values[i]);
        const int bits = b->drawn[i] >> (roots ? 24 : 16) & 255;
        int code = code_of((double)(size * (1.0f / scale)), fraction, bits);

        if (roots && code == 0 && size > 0)
            code = 1;
        if (!roots && signbit(values[i]))
            code |= 128;
        codes[i] = (uint8_t)code;
    }
    return scale;
}

static void store(const dreambooth_adamw_narrow *a, const struct block *b)
{
    const int64_t number = b->at / DREAMBOOTH_NARROW_BLOCK;
    const size_t size = (size_t)b->count * sizeof(float);
    int64_t i;

    if (a->parameter != NULL)
        memcpy(a->parameter + b->at, b->p, size);
    for (i = 0; a->parameter == NULL && i < b->count; i++)
        a->parameter_bf16[b->at + i] = cut_off(b->p[i], b->drawn[i] & 0xffff);
    if (a->m != NULL)
        memcpy(a->m + b->at, b->m, size);
    else
        a->m_scales[number] = encode(b, 0, a->m_codes + b->at);
    if (a->v != NULL)
        memcpy(a->v + b->at, b->v, size);
    else
        a->v_scales[number] = encode(b, 1, a->v_codes + b->at);
}

int db_ref_adamw_narrow(const dreambooth_kernel_host *host,
                        const dreambooth_adamw_narrow *a)
{
    struct block b;

    for (b.at = 0; b.at < a->count; b.at += b.count) {
        const dreambooth_adamw update = {
            .count = a->count - b.at < DREAMBOOTH_NARROW_BLOCK
                         ? a->count - b.at
                         : DREAMBOOTH_NARROW_BLOCK,
            .step = a->step,
            .learning_rate = a->learning_rate,
            .beta1 = a->beta1,
            .beta2 = a->beta2,
            .epsilon = a->epsilon,
            .weight_decay = a->weight_decay,
            .gradient_scale = a->gradient_scale,
            .gradient = b.g,
            .parameter = b.p,
            .m = b.m,
            .v = b.v};

        b.count = update.count;
        load(a, &b);
        db_ref_adamw(host, &update);
        store(a, &b);
    }
    return DREAMBOOTH_OK;
}

int db_ref_narrow(const dreambooth_kernel_host *host,
                  const dreambooth_narrow *a)
{
    double sum = 0.0;
    int64_t i;

    (void)host;
    for (i = 0; i < a->count; i++) {
        double value;

        a->y[i] = to_nearest(a->add ? widen(a->y[i]) + a->x[i] : a->x[i]);
        value = (double)widen(a->y[i]);
        sum += value * value;
    }
    *a->sum = sum;
    return DREAMBOOTH_OK;
}

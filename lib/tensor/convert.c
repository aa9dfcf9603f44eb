/* SPDX-License-Identifier: MIT */
/*
 * Conversions between float widths, on the bits; see convert.h. A half's
 * exponent is moved into place in integers; subnormal halves are the one case
 * that needs arithmetic, and that arithmetic is exact.
 */
#include "tensor/convert.h"

#include <string.h>

#include "base/byte_order.h"

static float float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t bits_of_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float db_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t fraction = half & 0x3ffu;
    float magnitude;

    if (exponent == 0) {
        magnitude = (float)fraction * 0x1p-24f;
        return float_of_bits(sign | bits_of_float(magnitude));
    }
    if (exponent == 31)
        return float_of_bits(sign | 0x7f800000u | fraction << 13);
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* BITS >> SHIFT, rounded to nearest, ties to even; 0 < SHIFT < 32. */
static uint32_t round_shift(uint32_t bits, unsigned shift)
{
    uint32_t half = (uint32_t)1 << (shift - 1);
    uint32_t rest = bits & (2 * half - 1);
    uint32_t kept = bits >> shift;

    if (rest > half || (rest == half && (kept & 1u) != 0))
        kept++;
    return kept;
}

uint16_t db_f32_to_f16(float value)
{
    uint32_t bits = bits_of_float(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t exponent = magnitude >> 23;
    uint32_t half;

    if (magnitude > 0x7f800000u)
        half = 0x7e00u | (magnitude >> 13 & 0x1ffu);
    else if (magnitude >= 0x47800000u) /* 65536 and more */
        half = 0x7c00u;
    else if (exponent >= 113) /* a rounding up carries into the exponent */
        half = round_shift(magnitude - (112u << 23), 13);
    else if (exponent >= 102) /* subnormal: 2^-24 is the unit */
        half = round_shift((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent);
    else
        half = 0;
    return (uint16_t)(sign | half);
}

float db_bf16_to_f32(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

uint16_t db_f32_to_bf16(float value)
{
    uint32_t bits = bits_of_float(value);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)round_shift(bits, 16);
}

void db_bf16_to_floats(const uint16_t *source, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)source[i] << 16;

        memcpy(&out[i], &bits, sizeof(bits));
    }
}

/* Without a branch, so that compilers vectorise it: half of the last place is
 * added, less one where the last place is even. */
void db_bf16_from_floats(const float *source, int64_t count, uint16_t *out)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits, nan;

        memcpy(&bits, &source[i], sizeof(bits));
        nan = 0 - (uint32_t)((bits & 0x7fffffffu) > 0x7f800000u);
        out[i] =
            (uint16_t)(((bits + 0x7fffu + (bits >> 16 & 1u)) & ~nan) >> 16 |
                       ((bits >> 16 | 0x40u) & nan));
    }
}

bool db_dtype_is_float(enum db_dtype dtype)
{
    return dtype == DB_F32 || dtype == DB_F16 || dtype == DB_BF16 ||
           dtype == DB_F64;
}

static void widen(float (*convert)(uint16_t), const unsigned char *source,
                  int64_t count, float *out)
{
    uint16_t bits;

    for (int64_t i = 0; i < count; i++) {
        memcpy(&bits, source + 2 * i, sizeof(bits));
        db_swap_little(&bits, sizeof(bits), 1);
        out[i] = convert(bits);
    }
}

static void narrow(uint16_t (*convert)(float), const float *source,
                   int64_t count, unsigned char *out)
{
    uint16_t bits;

    for (int64_t i = 0; i < count; i++) {
        bits = convert(source[i]);
        db_swap_little(&bits, sizeof(bits), 1);
        memcpy(out + 2 * i, &bits, sizeof(bits));
    }
}

static void copy_in(const void *source, int64_t count, float *out)
{
    memcpy(out, source, (size_t)count * sizeof(*out));
    db_swap_little(out, sizeof(*out), (size_t)count);
}

static void copy_out(const float *source, int64_t count, void *out)
{
    memcpy(out, source, (size_t)count * sizeof(*source));
    db_swap_little(out, sizeof(*source), (size_t)count);
}

static void float_of_double(const unsigned char *source, int64_t count,
                            float *out)
{
    double value;

    for (int64_t i = 0; i < count; i++) {
        memcpy(&value, source + 8 * i, sizeof(value));
        db_swap_little(&value, sizeof(value), 1);
        out[i] = (float)value;
    }
}

static void double_of_float(const float *source, int64_t count,
                            unsigned char *out)
{
    double value;

    for (int64_t i = 0; i < count; i++) {
        value = source[i];
        db_swap_little(&value, sizeof(value), 1);
        memcpy(out + 8 * i, &value, sizeof(value));
    }
}

bool db_convert_to_f32(enum db_dtype dtype, const void *source, int64_t count,
                       float *out)
{
    if (!db_dtype_is_float(dtype))
        return false;
    if (count == 0)
        return true;
    if (dtype == DB_F32)
        copy_in(source, count, out);
    else if (dtype == DB_F64)
        float_of_double(source, count, out);
    else
        widen(dtype == DB_F16 ? db_f16_to_f32 : db_bf16_to_f32, source, count,
              out);
    return true;
}

bool db_convert_from_f32(enum db_dtype dtype, const float *source,
                         int64_t count, void *out)
{
    if (!db_dtype_is_float(dtype))
        return false;
    if (count == 0)
        return true;
    if (dtype == DB_F32)
        copy_out(source, count, out);
    else if (dtype == DB_F64)
        double_of_float(source, count, out);
    else
        narrow(dtype == DB_F16 ? db_f32_to_f16 : db_f32_to_bf16, source, count,
               out);
    return true;
}

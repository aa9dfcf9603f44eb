/* SPDX-License-Identifier: MIT */
/*
 * Numbers of other widths: 16-bit and 64-bit floats to the 32 bits that the
 * library computes in, and back. Arrays of them are bytes as files have them,
 * little-endian; they need not be aligned.
 */
#ifndef DB_TENSOR_CONVERT_H
#define DB_TENSOR_CONVERT_H

#include "tensor/tensor.h"

/* IEEE 754 half precision and bfloat16. To 32 bits is exact; back rounds to
 * nearest, ties to even, overflow to infinity, and keeps a NaN a NaN. */
float db_f16_to_f32(uint16_t half);
uint16_t db_f32_to_f16(float value);
float db_bf16_to_f32(uint16_t bits);
uint16_t db_f32_to_bf16(float value);

/* The last two for COUNT elements, in this machine's order. */
void db_bf16_to_floats(const uint16_t *source, int64_t count, float *out);
void db_bf16_from_floats(const float *source, int64_t count, uint16_t *out);

bool db_dtype_is_float(enum db_dtype dtype);

/* COUNT elements of DTYPE, little-endian, at SOURCE to OUT, in this machine's
 * order (F64 is rounded to nearest). False,
 * with nothing written, when DTYPE is no float. */
bool db_convert_to_f32(enum db_dtype dtype, const void *source, int64_t count,
                       float *out);
/* COUNT floats to elements of DTYPE, little-endian, at OUT. */
bool db_convert_from_f32(enum db_dtype dtype, const float *source,
                         int64_t count, void *out);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The simd backend: blas with products, convolutions and attention overlaid by
 * our own micro-kernels, or by tiles of bfloat16 where the processor multiplies
 * these faster. "simd" takes the best isa that the processor has; the
 * others are there to be tested, and for programs that want the same bits on
 * several machines.
 */
#include <string.h>

#include "kernel/blas/blas_int.h"
#include "kernel/device.h"
#include "kernel/simd/simd_int.h"

#if defined(__GNUC__) && defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq");
}
#endif

static bool always(void)
{
    return true;
}

/* The best first. */
static const struct {
    const struct db_simd_isa *isa;
    bool (*is_there)(void);
} isas[] = {
#if defined(__GNUC__) && defined(__x86_64__)
    {&db_simd_avx512, has_avx512},
    {&db_simd_avx2, has_avx2},
#elif defined(__GNUC__) && defined(__aarch64__)
    {&db_simd_neon, always},
#endif
    {&db_simd_plain, always},
};

bool db_simd_is_there(const struct db_simd_isas *named)
{
    size_t i = 0;

    while (i + 1 < DB_COUNT(isas) && isas[i].isa != named->floats)
        i++;
    return isas[i].is_there() &&
           (named->tiles == NULL || db_bf16_is_there(named->tiles));
}

const struct db_simd_isa *db_simd_isa_of(const dreambooth_kernel_host *host)
{
    const struct db_simd_isas *named = host->user;
    size_t i = 0;

    if (named != NULL)
        return named->floats;
    while (!isas[i].is_there())
        i++;
    return isas[i].isa;
}

bool db_simd_is_blas(const dreambooth_kernel_host *host)
{
    return host->user == NULL && db_simd_isa_of(host) == &db_simd_plain;
}

const struct db_bf16_isa *db_simd_tiles(const struct db_simd_isas *named)
{
    return named == NULL ? db_bf16_fastest() : named->tiles;
}

const struct db_bf16_isa *db_simd_tiles_of(const dreambooth_kernel_host *host,
                                           bool is_large, int *parts)
{
    const struct db_bf16_isa *tiles =
        host->precision == DREAMBOOTH_EXACT ? NULL : db_simd_tiles(host->user);

    *parts = host->precision == DREAMBOOTH_BFLOAT16 ? 1 : is_large ? 2 : 3;
    return tiles == NULL || *parts > tiles->most_parts ? NULL : tiles;
}

#define TABLE(called, with)                                                    \
    {                                                                          \
        .size = sizeof(dreambooth_backend), .abi = DREAMBOOTH_BACKEND_ABI,     \
        .features = DREAMBOOTH_READS_BFLOAT16 | DREAMBOOTH_OVERWRITES |        \
                    DREAMBOOTH_FUSES | DREAMBOOTH_NARROWS,                     \
        .name = called, .user = with, .gemm = db_simd_gemm,                    \
        .conv2d_forward = db_simd_conv2d_forward,                              \
        .conv2d_backward_data = db_simd_conv2d_backward_data,                  \
        .conv2d_backward_weight = db_simd_conv2d_backward_weight,              \
        .group_norm_forward = db_blas_group_norm_forward,                      \
        .group_norm_backward = db_blas_group_norm_backward,                    \
        .layer_norm_forward = db_blas_layer_norm_forward,                      \
        .layer_norm_backward = db_blas_layer_norm_backward,                    \
        .attention_forward = db_simd_attention_forward,                        \
        .attention_backward = db_simd_attention_backward,                      \
        .softmax_forward = db_blas_softmax_forward,                            \
        .softmax_backward = db_blas_softmax_backward,                          \
        .unary_forward = db_blas_unary_forward,                                \
        .unary_backward = db_blas_unary_backward,                              \
        .geglu_forward = db_blas_geglu_forward,                                \
        .geglu_backward = db_blas_geglu_backward, .axpby = db_blas_axpby,      \
        .add_rows = db_blas_add_rows, .sum_rows = db_blas_sum_rows,            \
        .copy = db_blas_copy,                                                  \
        .upsample_nearest_forward = db_blas_upsample_nearest_forward,          \
        .upsample_nearest_backward = db_blas_upsample_nearest_backward,        \
        .average_pool_forward = db_blas_average_pool_forward,                  \
        .average_pool_backward = db_blas_average_pool_backward,                \
        .embedding_forward = db_blas_embedding_forward,                        \
        .embedding_backward = db_blas_embedding_backward,                      \
        .mse_forward = db_blas_mse_forward,                                    \
        .mse_backward = db_blas_mse_backward, .adamw = db_blas_adamw,          \
        .sum_squares = db_blas_sum_squares,                                    \
        .adamw_narrow = db_blas_adamw_narrow, .narrow = db_blas_narrow,        \
    }

const dreambooth_backend db_backend_simd = TABLE("simd", NULL);

#define NAMED(backend, called, floats, tiles)                                  \
    static const struct db_simd_isas isas_of_##backend = {floats, tiles};      \
    const dreambooth_backend db_backend_##backend =                            \
        TABLE(called, (void *)&isas_of_##backend);

#if defined(__GNUC__) && defined(__x86_64__)
NAMED(simd_avx512, "simd-avx512", &db_simd_avx512, NULL)
NAMED(simd_avx2, "simd-avx2", &db_simd_avx2, NULL)
#elif defined(__GNUC__) && defined(__aarch64__)
NAMED(simd_neon, "simd-neon", &db_simd_neon, NULL)
#endif
#ifdef DB_BF16_AVX512
NAMED(simd_avx512bf16, "simd-avx512bf16", &db_simd_avx512, &db_bf16_avx512)
#endif
NAMED(simd_plain, "simd-plain", &db_simd_plain, NULL)

/* SPDX-License-Identifier: MIT */
/*
 * The loops are in assembly, so that no compiler can see that nobody wants
 * their result. A round is one instruction for each accumulator, of which there
 * are enough to hide how long one takes. All registers hold zeros: the time
 * does not depend on values.
 */
#include "peaks.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ACCUMULATORS 14
/* INSTRUCTION on each register KIND2 to KIND15, from KIND0 and KIND1. */
#define ONE(instruction, kind, number)                                         \
    instruction " %%" kind "0, %%" kind "1, %%" kind #number "\n\t"
#define ALL(instruction, kind)                                                 \
    ONE(instruction, kind, 2)                                                  \
    ONE(instruction, kind, 3)                                                  \
    ONE(instruction, kind, 4)                                                  \
    ONE(instruction, kind, 5)                                                  \
    ONE(instruction, kind, 6)                                                  \
    ONE(instruction, kind, 7)                                                  \
    ONE(instruction, kind, 8)                                                  \
    ONE(instruction, kind, 9)                                                  \
    ONE(instruction, kind, 10)                                                 \
    ONE(instruction, kind, 11)                                                 \
    ONE(instruction, kind, 12)                                                 \
    ONE(instruction, kind, 13)                                                 \
    ONE(instruction, kind, 14)                                                 \
    ONE(instruction, kind, 15)

#define LOOP(name, feature, instruction, kind)                                 \
    __attribute__((target(feature))) static void name(int64_t rounds)          \
    {                                                                          \
        __asm__ volatile("vzeroall\n"                                          \
                         "1:\n\t" ALL(instruction, kind) "dec %0\n\t"          \
                                                         "jnz 1b\n\t"          \
                                                         "vzeroupper"          \
                         : "+r"(rounds)                                        \
                         :                                                     \
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",       \
                           "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",    \
                           "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");       \
    }

LOOP(loop_avx2, "avx2,fma", "vfmadd231ps", "ymm")
LOOP(loop_avx512, "avx512f", "vfmadd231ps", "zmm")
LOOP(loop_avx512_bf16, "avx512f", "vdpbf16ps", "zmm")

/* A bit of leaf 7 of CPUID. */
static bool has(int subleaf, int reg, int bit)
{
    unsigned a[4];

    return __get_cpuid_count(7, (unsigned)subleaf, &a[0], &a[1], &a[2],
                             &a[3]) &&
           (a[reg] >> bit & 1) != 0;
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") != 0;
}

static bool has_avx512_bf16(void)
{
    return has_avx512() && has(1, 0, 5);
}

/* Tiles are only for processes that ask Linux for them. */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA 18

static bool has_amx(void)
{
    return has(0, 3, 24) && has(0, 3, 22) &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) ==
               0;
}

/* Eight tiles of 16 rows of 64 bytes; see LDTILECFG. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

#define AMX_ACCUMULATORS 4

static void loop_amx(int64_t rounds)
{
    struct tile_config config = {.palette = 1};
    int i;

    for (i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %1\n\t"
                     "tilezero %%tmm0\n\ttilezero %%tmm1\n\t"
                     "tilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\ttilezero %%tmm5\n"
                     "1:\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm0\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm1\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm2\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm3\n\t"
                     "dec %0\n\t"
                     "jnz 1b\n\t"
                     "tilerelease"
                     : "+r"(rounds)
                     : "m"(config)
                     : "cc");
}

const struct bench_instruction bench_instructions[] = {
    {"AVX2 and FMA", false, has_avx2, loop_avx2, ACCUMULATORS * 8 * 2},
    {"AVX-512", false, has_avx512, loop_avx512, ACCUMULATORS * 16 * 2},
    {"AVX512-BF16", true, has_avx512_bf16, loop_avx512_bf16,
     ACCUMULATORS * 32 * 2},
    {"AMX-BF16", true, has_amx, loop_amx, AMX_ACCUMULATORS * 16 * 16 * 32 * 2}};
const int bench_instruction_count =
    sizeof(bench_instructions) / sizeof(bench_instructions[0]);

#elif defined(__GNUC__) && defined(__aarch64__)

#define ACCUMULATORS 8

static bool always(void)
{
    return true;
}

static void loop_neon(int64_t rounds)
{
    __asm__ volatile("1:\n\t"
                     "fmla v2.4s, v0.4s, v1.4s\n\t"
                     "fmla v3.4s, v0.4s, v1.4s\n\t"
                     "fmla v4.4s, v0.4s, v1.4s\n\t"
                     "fmla v5.4s, v0.4s, v1.4s\n\t"
                     "fmla v6.4s, v0.4s, v1.4s\n\t"
                     "fmla v7.4s, v0.4s, v1.4s\n\t"
                     "fmla v16.4s, v0.4s, v1.4s\n\t"
                     "fmla v17.4s, v0.4s, v1.4s\n\t"
                     "subs %0, %0, #1\n\t"
                     "b.ne 1b"
                     : "+r"(rounds)
                     :
                     : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
                       "v16", "v17");
}

const struct bench_instruction bench_instructions[] = {
    {"NEON", false, always, loop_neon, ACCUMULATORS * 4 * 2}};
const int bench_instruction_count = 1;

#else

const struct bench_instruction bench_instructions[] = {
    {"none", false, 0, 0, 0.0}};
const int bench_instruction_count = 0;

#endif

/* SPDX-License-Identifier: MIT */
/* Which isas the processor has and the system allows. */
#include <string.h>

#include "kernel/bf16/bf16_int.h"

#ifdef DB_BF16_AMX
#include <sys/syscall.h>
#include <unistd.h>

#define REQUEST_PERMISSION 0x1023 /* ARCH_REQ_XCOMP_PERM */
#define TILE_DATA 18              /* the state component of the tiles */

/* Every processor with tiles multiplies bfloat16. Asking again costs nothing.
 */
static bool has_amx(void)
{
    return __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512vbmi") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

#ifdef DB_BF16_AVX512
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

/* Zen 5 multiplies bfloat16 at twice the rate of floats (902 GFLOP/s for 450 on
 * two cores); Intel's processors with AMX at half of it. */
static bool is_amd(void)
{
    return __builtin_cpu_is("amd");
}
#endif

static bool always(void)
{
    return true;
}

static bool never(void)
{
    return false;
}

/* The fastest first. */
static const struct {
    const struct db_bf16_isa *isa;
    bool (*is_there)(void);
    bool (*beats_floats)(void);
} isas[] = {
#ifdef DB_BF16_AMX
    {&db_bf16_amx, has_amx, always},
#endif
#ifdef DB_BF16_AVX512
    {&db_bf16_avx512, has_avx512, is_amd},
#endif
    {&db_bf16_plain, always, never},
};

const struct db_bf16_isa *db_bf16_fastest(void)
{
    size_t i = 0;

    while (!isas[i].is_there())
        i++;
    return isas[i].beats_floats() ? isas[i].isa : NULL;
}

bool db_bf16_is_there(const struct db_bf16_isa *isa)
{
    size_t i = 0;

    while (isas[i].isa != isa)
        i++;
    return isas[i].is_there();
}

const struct db_bf16_isa *db_bf16_isa_at(size_t index)
{
    size_t i;

    for (i = 0; i < sizeof(isas) / sizeof(isas[0]); i++)
        if (isas[i].is_there() && index-- == 0)
            return isas[i].isa;
    return NULL;
}

void db_bf16_rows(const struct db_bf16_isa *isa,
                  const struct db_bf16_from *from, int64_t count, int64_t k,
                  uint8_t *to, int64_t steps, int parts)
{
    const int64_t bytes = count * DB_BF16_LINE;
    int64_t i;

    isa->rows(from, count, k, to, parts * DB_BF16_TILE, parts, DB_BF16_TILE);
    if (count == DB_BF16_SIDE)
        return;
    for (i = 0; i < steps * parts; i++)
        memset(to + i * DB_BF16_TILE + bytes, 0,
               (size_t)(DB_BF16_TILE - bytes));
}

void db_bf16_columns(const struct db_bf16_isa *isa,
                     const struct db_bf16_from *from, int64_t count, int64_t k,
                     uint8_t *to, int64_t steps, int parts)
{
    const int64_t line = from->row * (int64_t)sizeof(*from->bf16);
    int64_t done = 0, i;

    /* Whole tiles of bfloat16 are turned from where they are. */
    if (from->bf16 != NULL && count == DB_BF16_SIDE)
        for (; (done + 1) * DB_BF16_STEP <= k; done++, to += DB_BF16_TILE)
            isa->turn((const uint8_t *)(from->bf16 + done * DB_BF16_STEP), line,
                      to);
    if (done < steps) {
        struct db_bf16_from rest = *from;

        if (rest.f32 != NULL)
            rest.f32 += done * DB_BF16_STEP;
        else
            rest.bf16 += done * DB_BF16_STEP;
        db_bf16_rows(isa, &rest, count, k - done * DB_BF16_STEP, to,
                     steps - done, parts);
    }
    for (i = done * parts; i < steps * parts; i++, to += DB_BF16_TILE)
        isa->turn(to, DB_BF16_LINE, to);
}

void db_bf16_pairs(const struct db_bf16_isa *isa,
                   const struct db_bf16_from *from, int64_t count, int64_t k,
                   uint8_t *to, int64_t steps, int parts)
{
    struct db_bf16_from at = *from;
    int64_t i;

    for (i = 0; i < steps; i++, k -= DB_BF16_STEP) {
        isa->pairs(&at, count, k, to, parts, DB_BF16_TILE);
        if (at.f32 != NULL)
            at.f32 += DB_BF16_STEP * at.row;
        else
            at.bf16 += DB_BF16_STEP * at.row;
        to += parts * DB_BF16_TILE;
    }
}

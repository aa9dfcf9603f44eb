/* SPDX-License-Identifier: MIT */
/* Which functions on rows belong to which isa: those for its vectors. */
#include "kernel/elementwise/elementwise.h"
#include "kernel/simd/simd_int.h"

const struct db_elementwise *db_elementwise_of(
    const dreambooth_kernel_host *host)
{
#if defined(__GNUC__) && defined(__x86_64__)
    switch (db_simd_isa_of(host)->lanes) {
    case 16:
        return &db_elementwise_avx512;
    case 8:
        return &db_elementwise_avx2;
    default:
        break;
    }
#else
    (void)host;
#endif
    return &db_elementwise_plain;
}

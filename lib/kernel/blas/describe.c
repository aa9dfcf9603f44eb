/* SPDX-License-Identifier: MIT */
/*
 * Which BLAS it is that the library was linked with. cblas has no question for
 * that, so those that have one of their own are asked, where they are there.
 */
#include <stdio.h>

#include "kernel/device.h"

#if defined(__GNUC__) && defined(__ELF__)
#define IF_THERE __attribute__((weak))

IF_THERE char *openblas_get_config(void);
IF_THERE char *openblas_get_corename(void);
IF_THERE const char *bli_info_get_version_str(void);
IF_THERE void mkl_get_version_string(char *text, int size);

void db_blas_describe(char *text, size_t size)
{
    char mkl[200] = "";

    if (openblas_get_config != NULL && openblas_get_corename != NULL) {
        snprintf(text, size, "%s, core %s", openblas_get_config(),
                 openblas_get_corename());
    } else if (bli_info_get_version_str != NULL) {
        snprintf(text, size, "BLIS %s", bli_info_get_version_str());
    } else if (mkl_get_version_string != NULL) {
        mkl_get_version_string(mkl, (int)sizeof(mkl));
        snprintf(text, size, "%s", mkl);
    } else {
        snprintf(text, size, "cblas");
    }
}
#else
void db_blas_describe(char *text, size_t size)
{
    snprintf(text, size, "cblas");
}
#endif

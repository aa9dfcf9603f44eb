/* SPDX-License-Identifier: MIT */
/* Closes what begin.h has opened. */
#if defined(DREAMBOOTH_BUILDING) && defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

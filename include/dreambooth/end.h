/* SPDX-License-Identifier: MIT */
/* Closes what begin.h has opened. */
#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

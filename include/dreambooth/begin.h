/* SPDX-License-Identifier: MIT */
/*
 * Opens the declarations of a public header; end.h closes them. They have C
 * linkage, and are visible to other libraries whatever a program says of its
 * own. Between the two, headers but
 * backend.h hold no preprocessor lines and no macros: that part of them is what
 * dreambooth_declarations() gives to other languages.
 *
 * No include guard: each header includes it anew.
 */
#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

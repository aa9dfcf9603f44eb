/* SPDX-License-Identifier: MIT */
/* What --json prints: one object, indented, keys in the order in which they are
 * added. The keys are documented where the flag is. */
#ifndef JSON_H
#define JSON_H

#include <stdint.h>

#include <jansson.h>

/* A text as it is, but for damaged UTF-8, which becomes U+FFFD; NULL gives
 * null. */
json_t *json_text(const char *text);
json_t *json_ids(const int32_t *ids, size_t count);
/* Prints OBJECT and frees it; complains of memory that was lacking (also when
 * OBJECT is NULL), and gives an exit code. */
int json_print(json_t *object);

#endif

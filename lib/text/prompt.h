/* SPDX-License-Identifier: MIT */
/*
 * The place holder of the DreamBooth paper: in a prompt, [V] stands for the
 * identifier that the subject is bound to.
 */
#ifndef DB_TEXT_PROMPT_H
#define DB_TEXT_PROMPT_H

#include "base/env.h"

#define DB_PROMPT_PLACE_HOLDER "[V]"

bool db_prompt_has_place_holder(const char *prompt);
/* A fresh copy of PROMPT with IDENTIFIER for every [V] of it; with IDENTIFIER
 * NULL, a plain copy. Free it with db_free(). */
int db_prompt_fill(struct db_env *env, const char *prompt,
                   const char *identifier, char **out);

#endif

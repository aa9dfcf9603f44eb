/* SPDX-License-Identifier: MIT */
/*
 * The values of flags. What can be told from a flag's type alone is told before
 * a model of gigabytes is read; ranges are the library's to judge.
 */
#ifndef VALUE_H
#define VALUE_H

#include "options.h"

/* Complains when VALUE does not read as FLAG's type; WHAT names the flag and
 * where it is set. */
int value_check(const struct flag *flag, const char *what, const char *value);
/* Complains when VALUE is none of CHOICES, which have blanks between. */
int value_check_choice(const char *choices, const char *what,
                       const char *value);
/* VALUE as the library takes it, for free(): sizes in bytes may have been given
 * as 500M or 8G. NULL: no memory. */
char *value_copy(const struct flag *flag, const char *value);
bool value_is_yes(const char *value);

#endif

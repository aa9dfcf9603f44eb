/* SPDX-License-Identifier: MIT */
/* Did you mean...? */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stddef.h>

struct suggestion {
    const char *wrong;
    const char *best; /* NULL: nothing is close enough */
    size_t distance;
};

/* For the word WRONG; nothing farther away than a third of it is close. */
struct suggestion suggestion_for(const char *wrong);
/* Considers WORD, which must outlive the suggestion. */
void suggestion_consider(struct suggestion *suggestion, const char *word);

#endif

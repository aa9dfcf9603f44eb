/* SPDX-License-Identifier: MIT */
/* The nearest word by edit distance (insertions, deletions, replacements and
 * swaps of neighbours). */
#include "suggest.h"

#include <string.h>

#define LONGEST 48

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* LONGEST for words that are too long to have been meant. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    size_t m = strlen(a), n = strlen(b), i, j;

    if (m > LONGEST || n > LONGEST)
        return LONGEST;
    for (j = 0; j <= n; j++)
        rows[0][j] = j;
    for (i = 1; i <= m; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *before = rows[(i + 1) % 3];

        row[0] = i;
        for (j = 1; j <= n; j++) {
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]),
                           1 + least(above[j], row[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[m % 3][n];
}

struct suggestion suggestion_for(const char *wrong)
{
    struct suggestion suggestion = {wrong, NULL, 2 + strlen(wrong) / 3};

    suggestion.distance = least(suggestion.distance, 5);
    return suggestion;
}

void suggestion_consider(struct suggestion *suggestion, const char *word)
{
    size_t distance = edit_distance(suggestion->wrong, word);
    size_t length = strlen(suggestion->wrong);

    /* What was cut short counts as near: "--guid" for guidance-scale. */
    if (length >= 4 && strncmp(word, suggestion->wrong, length) == 0)
        distance = 1;
    if (distance < suggestion->distance) {
        suggestion->distance = distance;
        suggestion->best = word;
    }
}

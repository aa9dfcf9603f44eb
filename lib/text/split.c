/* SPDX-License-Identifier: MIT */
/* CLIP's pattern, by hand: its alternatives are tried in order. */
#include "text/split.h"

#define LONG_S 0x17fu
#define IOTA_SUBSCRIPT 0x345u

static const char *const whole_words[] = {
    "<|startoftext|>",
    "<|endoftext|>",
    "'s",
    "'t",
    "'re",
    "'ve",
    "'m",
    "'ll",
    "'d",
};

/* Ignoring case, in which the long s is an s as well. */
static bool same_letter(uint32_t code, char wanted)
{
    if (code >= 'A' && code <= 'Z')
        code += 'a' - 'A';
    return code == (uint32_t)wanted || (code == LONG_S && wanted == 's');
}

static size_t match_word(const struct db_codepoints *text, size_t at,
                         const char *word)
{
    size_t i;

    for (i = 0; word[i] != '\0'; i++)
        if (at + i >= text->count || !same_letter(text->at[at + i], word[i]))
            return 0;
    return i;
}

/* White space, and the one mark that the pattern passes over: ignoring case it
 * is a letter (iota) where letters are excluded, yet none where they count. */
static bool is_between(uint32_t code)
{
    return db_is_space(code) || code == IOTA_SUBSCRIPT;
}

static bool is_other(uint32_t code)
{
    return !is_between(code) && !db_is_letter(code) && !db_is_number(code);
}

static size_t run_length(const struct db_codepoints *text, size_t at,
                         bool (*belongs)(uint32_t code))
{
    size_t end = at;

    while (end < text->count && belongs(text->at[end]))
        end++;
    return end - at;
}

size_t db_split_next(const struct db_codepoints *text, size_t *at)
{
    size_t i, length;

    while (*at < text->count && is_between(text->at[*at]))
        *at += 1;
    if (*at == text->count)
        return 0;
    for (i = 0; i < DB_COUNT(whole_words); i++) {
        length = match_word(text, *at, whole_words[i]);
        if (length > 0)
            return length;
    }
    if (db_is_number(text->at[*at]))
        return 1;
    length = run_length(text, *at, db_is_letter);
    return length > 0 ? length : run_length(text, *at, is_other);
}

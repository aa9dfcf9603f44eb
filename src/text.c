/* SPDX-License-Identifier: MIT */
/* UTF-8 after table 3-7 of the Unicode standard: the second byte's limits keep
 * out surrogates, numbers that are too large, and forms that are too long. */
#include "text.h"

#include <string.h>

size_t text_character(const char *text)
{
    static const struct {
        unsigned char first, last; /* of the first byte */
        unsigned char least, most; /* of the second */
        size_t length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i, j = 0;

    if (bytes[0] < 0x80)
        return 1;
    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (bytes[0] >= forms[i].first && bytes[0] <= forms[i].last)
            break;
    if (i == sizeof(forms) / sizeof(forms[0]) || bytes[1] < forms[i].least ||
        bytes[1] > forms[i].most)
        return 0;
    for (j = 2; j < forms[i].length; j++)
        if ((bytes[j] & 0xc0) != 0x80)
            return 0;
    return forms[i].length;
}

int text_cut(const char *text, size_t most)
{
    size_t length = strnlen(text, most + 1);

    if (length <= most)
        return (int)length;
    for (length = most;
         length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80;)
        length--;
    return (int)length;
}

bool text_is_clean(const char *text)
{
    size_t length;

    for (; *text != '\0'; text += length) {
        unsigned char byte = (unsigned char)*text;

        length = text_character(text);
        if (length == 0 || byte == 0x7f ||
            (byte < ' ' && byte != '\t' && byte != '\r'))
            return false;
    }
    return true;
}

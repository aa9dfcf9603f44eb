/* SPDX-License-Identifier: MIT */
/*
 * HTML's character references. The forgiving reading is Python's
 * html.unescape(), which follows the HTML 5 standard: a name may lack its
 * semicolon, and the longest known beginning of a name counts. The strict one
 * is ftfy 6.3's unescape_html.
 */
#include "text/html.h"

#include <string.h>

#include "text/html_int.h"

#define REPLACEMENT 0xfffdu
#define LONGEST_NAME 32        /* html.unescape() looks no further */
#define LONGEST_STRICT_NAME 24 /* nor does ftfy here */

/* What HTML makes of the numbers 0x80 to 0x9f: Windows-1252. */
static const uint16_t c1_numbers[32] = {
    0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
    0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
    0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

static int compare_name(const char *name, const char *key, size_t length)
{
    int order = strncmp(name, key, length);

    return order != 0 ? order : (name[length] != '\0');
}

static const struct db_html_entity *find_name(const char *key, size_t length)
{
    size_t low = 0, high = db_html_entity_count, middle;
    int order;

    while (low < high) {
        middle = (low + high) / 2;
        order = compare_name(db_html_entities[middle].name, key, length);
        if (order == 0)
            return &db_html_entities[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void append_entity(struct db_codepoints *out,
                          const struct db_html_entity *entity)
{
    size_t i;

    for (i = 0; i < 3 && entity->codes[i] != 0; i++)
        db_codepoints_append(out, entity->codes[i]);
}

static int digit_value(uint32_t code, uint32_t base)
{
    if (code >= '0' && code <= '9')
        return (int)(code - '0');
    if (base == 16 && code >= 'a' && code <= 'f')
        return (int)(code - 'a') + 10;
    if (base == 16 && code >= 'A' && code <= 'F')
        return (int)(code - 'A') + 10;
    return -1;
}

/* "#65" or "#x41" with or without semicolon at AT: the number of characters
 * that it takes, 0 where there is none. Numbers beyond Unicode stop growing. */
static size_t read_number(const uint32_t *at, size_t count, uint32_t *number)
{
    uint32_t base = 10;
    size_t i = 1, first;

    if (count < 2 || at[0] != '#')
        return 0;
    if (at[1] == 'x' || at[1] == 'X') {
        base = 16;
        i = 2;
    }
    *number = 0;
    for (first = i; i < count && digit_value(at[i], base) >= 0; i++)
        if (*number <= 0x10ffff)
            *number = *number * base + (uint32_t)digit_value(at[i], base);
    if (i == first)
        return 0;
    return i < count && at[i] == ';' ? i + 1 : i;
}

static void append_number(struct db_codepoints *out, uint32_t number)
{
    if (number == 0 || (number >= 0xd800 && number <= 0xdfff) ||
        number > 0x10ffff)
        db_codepoints_append(out, REPLACEMENT);
    else if (number >= 0x80 && number <= 0x9f)
        db_codepoints_append(out, c1_numbers[number - 0x80]);
    else if (number >= 9 && number != 0xb && number != 0x7f &&
             !(number >= 0xe && number <= 0x1f) &&
             !(number >= 0xfdd0 && number <= 0xfdef) &&
             (number & 0xfffe) != 0xfffe)
        db_codepoints_append(out, number);
}

static bool ends_name(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\f' || code == ' ' ||
           code == '<' || code == '&' || code == '#' || code == ';';
}

/* The ASCII at the start of AT as bytes, at most LIMIT of them. */
static size_t ascii_prefix(const uint32_t *at, size_t count, char *name,
                           size_t limit)
{
    size_t i;

    for (i = 0; i < count && i < limit && at[i] > 0 && at[i] < 0x80; i++)
        name[i] = (char)at[i];
    return i;
}

/* A name at AT, behind its ampersand: appends its meaning and whatever of the
 * name is left over, and returns the number of characters taken. */
static size_t unescape_name(const uint32_t *at, size_t count,
                            struct db_codepoints *out)
{
    const struct db_html_entity *entity = NULL;
    char name[LONGEST_NAME + 1];
    size_t length = 0, ascii, known;

    while (length < count && length < LONGEST_NAME && !ends_name(at[length]))
        length++;
    if (length > 0 && length < count && at[length] == ';')
        length++;
    ascii = ascii_prefix(at, length, name, sizeof(name));
    for (known = ascii; known > 1; known--) {
        entity = find_name(name, known);
        if (entity != NULL && !entity->only_capitals)
            break;
    }
    if (known < 2 || entity == NULL) {
        db_codepoints_append(out, '&');
        known = 0;
    } else {
        append_entity(out, entity);
    }
    db_codepoints_append_all(out, at + known, length - known);
    return length;
}

static size_t unescape_one(const uint32_t *at, size_t count,
                           struct db_codepoints *out)
{
    uint32_t number;
    size_t taken = read_number(at, count, &number);

    if (taken == 0)
        return unescape_name(at, count, out);
    append_number(out, number);
    return taken;
}

static bool is_alphanumeric(uint32_t code)
{
    return (code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') ||
           (code >= 'a' && code <= 'z');
}

/* As unescape_one(), but nothing is taken (and only the ampersand appended)
 * unless the whole reference is understood. */
static size_t unescape_one_strict(const uint32_t *at, size_t count,
                                  struct db_codepoints *out)
{
    const struct db_html_entity *entity;
    char name[LONGEST_STRICT_NAME + 1];
    size_t hash = count > 0 && at[0] == '#';
    size_t end = hash;
    uint32_t number;

    while (end < count && end - hash < LONGEST_STRICT_NAME &&
           is_alphanumeric(at[end]))
        end++;
    if (end == hash || end == count || at[end] != ';')
        goto leave;
    end++;
    if (hash) {
        if (read_number(at, end, &number) != end || number == ';')
            goto leave;
        append_number(out, number);
        return end;
    }
    entity = find_name(name, ascii_prefix(at, end, name, sizeof(name)));
    if (entity == NULL)
        goto leave;
    append_entity(out, entity);
    return end;

leave:
    db_codepoints_append(out, '&');
    return 0;
}

typedef size_t unescape_function(const uint32_t *at, size_t count,
                                 struct db_codepoints *out);

static int unescape_all(struct db_codepoints *text, unescape_function *one)
{
    struct db_codepoints out;
    size_t i = 0;

    while (i < text->count && text->at[i] != '&')
        i++;
    if (i == text->count)
        return DREAMBOOTH_OK;
    db_codepoints_init(&out, text->env);
    db_codepoints_append_all(&out, text->at, i);
    while (i < text->count) {
        if (text->at[i] != '&')
            db_codepoints_append(&out, text->at[i++]);
        else
            i += 1 + one(text->at + i + 1, text->count - i - 1, &out);
    }
    if (out.status < 0) {
        db_codepoints_release(&out);
        return text->env->error_status;
    }
    db_codepoints_replace(text, &out);
    return DREAMBOOTH_OK;
}

int db_html_unescape(struct db_codepoints *text)
{
    return unescape_all(text, unescape_one);
}

int db_html_unescape_strict(struct db_codepoints *text)
{
    return unescape_all(text, unescape_one_strict);
}

/* SPDX-License-Identifier: MIT */
/*
 * Is this mojibake? The heuristic of ftfy 6.3.1 (Robyn Speer, Apache License
 * 2.0): characters that wrong decoding produces have roles, and some
 * neighbourhoods of roles, or of single characters, hardly occur in text that
 * is in order. A neighbourhood is a row of the table below.
 */
#include <uchar.h>

#include "text/mojibake_int.h"

#define LONGEST_RULE 7

/* Roles beside those of the table in mojibake_tables.c. */
enum {
    SPACE = 1 << 19,
    WORD = 1 << 20,
    SMALL = 1 << 21,   /* a to z */
    CAPITAL = 1 << 22, /* A to Z */
    NOT_LATIN = 1 << 23,
    ANY_BUT_NEWLINE = 1 << 24,
    LATIN = SMALL | CAPITAL
};

enum {
    COMMON = DB_ROLE_COMMON,
    C1 = DB_ROLE_C1,
    BAD = DB_ROLE_BAD,
    LAW = DB_ROLE_LAW,
    CURRENCY = DB_ROLE_CURRENCY,
    OPENING = DB_ROLE_OPENING,
    CLOSING = DB_ROLE_CLOSING,
    NUMERIC = DB_ROLE_NUMERIC,
    KAOMOJI = DB_ROLE_KAOMOJI,
    UPPER = DB_ROLE_UPPER_ACCENTED,
    LOWER = DB_ROLE_LOWER_ACCENTED,
    BOX = DB_ROLE_BOX,
    ACCENTED = UPPER | LOWER,
    FOREIGN = DB_ROLE_UPPER_COMMON | DB_ROLE_LOWER_COMMON,
    SYMBOL = BOX | OPENING | CLOSING | CURRENCY | NUMERIC | LAW,
    ARABIC = COMMON | CURRENCY | BAD | NUMERIC | OPENING,
    DOUBLED = C1 | BAD | OPENING | CLOSING | CURRENCY
};

/* One character of a neighbourhood: any of the roles, or any of the letters. */
struct element {
    uint32_t roles;
    const char16_t *letters;
};

struct rule {
    bool only_at_start;
    struct element elements[LONGEST_RULE];
};

#define ARABIC_LEAD                                                            \
    {                                                                          \
        0, u"\u00d8\u00d9"                                                     \
    }
#define ARABIC_TAIL                                                            \
    {                                                                          \
        ARABIC, u"\u0178\u0160\u00ae\u00b0\u00b5\u00bb"                        \
    }
#define CYRILLIC_LEAD                                                          \
    {                                                                          \
        0, u"\u0412\u0413\u0420\u0421"                                         \
    }
#define GREEK_LEAD                                                             \
    {                                                                          \
        0, u"\u0392\u0393\u039e\u039f"                                         \
    }
#define A_TILDE_OR_CIRCUMFLEX                                                  \
    {                                                                          \
        0, u"\u00c3\u00c2"                                                     \
    }
#define BLANK                                                                  \
    {                                                                          \
        0, u" "                                                                \
    }

static const struct rule rules[] = {
    {false, {{C1, NULL}}},
    {false, {{BAD | ACCENTED | SYMBOL, NULL}, {BAD, NULL}}},
    {false, {{LATIN, NULL}, {FOREIGN, NULL}, {BAD, NULL}}},
    {false, {{BAD, NULL}, {ACCENTED | SYMBOL, NULL}}},
    {false,
     {{LOWER | DB_ROLE_LOWER_COMMON | BOX | CLOSING | CURRENCY | NUMERIC, NULL},
      {UPPER, NULL}}},
    {false, {{BOX | CLOSING | CURRENCY | NUMERIC, NULL}, {LOWER, NULL}}},
    {false, {{LOWER | BOX | CLOSING, NULL}, {CURRENCY, NULL}}},
    {false, {{SPACE, NULL}, {UPPER, NULL}, {CURRENCY, NULL}}},
    {false, {{UPPER | BOX, NULL}, {NUMERIC | LAW, NULL}}},
    {false,
     {{ACCENTED | BOX | CURRENCY | CLOSING, NULL},
      {OPENING, NULL},
      {NUMERIC, NULL}}},
    {false,
     {{ACCENTED | CURRENCY | NUMERIC | BOX | LAW, NULL},
      {CLOSING, NULL},
      {OPENING, NULL}}},
    {false, {{CURRENCY | NUMERIC | BOX, NULL}, {OPENING, NULL}}},
    {false, {{SMALL, NULL}, {UPPER, NULL}, {OPENING | CURRENCY, NULL}}},
    {false, {{BOX, NULL}, {KAOMOJI, NULL}}},
    {false,
     {{ACCENTED | CURRENCY | NUMERIC | OPENING | CLOSING | LAW, NULL},
      {BOX, NULL}}},
    {false, {{BOX, NULL}, {CLOSING, NULL}}},
    {false, {{ACCENTED, NULL}, {OPENING | CLOSING, NULL}, {WORD, NULL}}},
    /* The ligature of o and e before what is no Latin letter. */
    {false, {{0, u"\u0152\u0153"}, {NOT_LATIN, NULL}}},
    /* A degree sign behind a capital. */
    {false, {{UPPER, NULL}, {0, u"\u00b0"}}},
    /* Pairs that Windows-1252 makes of two bytes. */
    {false,
     {{0, u"\u00c2\u00c3\u00ce\u00d0"},
      {OPENING | CLOSING,
       u"\u20ac\u0153\u0160\u0161\u00a2\u00a3\u0178\u017e\u00a0\u00ad\u00ae"
       u"\u00a9\u00b0\u00b7\u00bb\u2013\u2014\u00b4"}}},
    {false, {{0, u"\u00d7"}, {0, u"\u00b2\u00b3"}}},
    /* Arabic in Windows-1252, where one pair alone may be meant. */
    {false, {ARABIC_LEAD, ARABIC_TAIL, ARABIC_LEAD, ARABIC_TAIL}},
    /* South Asian scripts in Windows-1252. */
    {false, {{0, u"\u00e0"}, {0, u"\u00b2\u00b5\u00b9\u00bc\u00bd\u00be"}}},
    /* MacRoman. */
    {false,
     {{0, u"\u221a"},
      {0, u"\u00b1\u2202\u2020\u2260\u00ae\u2122\u00b4\u2264\u2265\u00a5\u00b5"
          u"\u00f8"}}},
    {false, {{0, u"\u2248"}, {0, u"\u00b0\u00a2"}}},
    {false,
     {{0, u"\u201a"},
      {0, u"\u00c4"},
      {0, u"\u00ec\u00ee\u00ef\u00f2\u00f4\u00fa\u00f9\u00fb\u2020\u00b0\u00a2"
          u"\u03c0"}}},
    {false,
     {{0, u"\u201a"}, {0, u"\u00e2\u00f3"}, {0, u"\u00e0\u00e4\u00b0\u00ea"}}},
    /* Punctuation from U+2000 on in Windows-1251. */
    {false, {{0, u"\u0432"}, {0, u"\u0402"}}},
    /* Latin-1 or Cyrillic in Windows-1251: three, as pairs are common. */
    {false, {CYRILLIC_LEAD, {DOUBLED, u"\u00b0\u00b5"}, CYRILLIC_LEAD}},
    /* Windows-1251 over Latin-1 over Windows-1252, with Latin text near. */
    {false,
     {{0, u"\u0413"},
      {0, u"\u045e"},
      {0, u"\u0412"},
      {0, u"\u0402"},
      {0, u"\u0412"},
      {ANY_BUT_NEWLINE, NULL},
      {LATIN, u" "}}},
    /* The letter a with grave or acute, and the no-break space. */
    {false, {{0, u"\u00c3"}, {0, u"\u00a0\u00a1"}}},
    {false, {{SMALL, NULL}, A_TILDE_OR_CIRCUMFLEX, BLANK}},
    {false, {{SMALL, NULL}, {SPACE, NULL}, A_TILDE_OR_CIRCUMFLEX, BLANK}},
    {true, {A_TILDE_OR_CIRCUMFLEX, BLANK}},
    /* A character that is its own second byte behind an A with circumflex. */
    {false,
     {{SMALL | CLOSING, u".,?!"}, {0, u"\u00c2"}, {OPENING | CLOSING, u" "}}},
    /* Punctuation from U+2000 on in Windows-1253. */
    {false,
     {{0, u"\u03b2"},
      {0, u"\u20ac"},
      {0, u"\u2122\u00a0\u0386\u00ad\u00ae\u00b0"}}},
    /* Latin-1 or Greek in Windows-1253. */
    {false, {GREEK_LEAD, {DOUBLED, u"\u00b0"}, GREEK_LEAD}},
    /* Punctuation from U+2000 on in Windows-1257. */
    {false, {{0, u"\u0101"}, {0, u"\u20ac"}}},
};

uint32_t db_roles_of(uint32_t code)
{
    size_t low = 0, high = db_role_run_count, middle;

    while (low < high) {
        middle = (low + high) / 2;
        if (code < db_role_runs[middle].first)
            high = middle;
        else if (code > db_role_runs[middle].last)
            low = middle + 1;
        else
            return db_role_runs[middle].roles;
    }
    return 0;
}

static uint32_t all_roles_of(uint32_t code)
{
    uint32_t roles = db_roles_of(code);

    if (code >= 'a' && code <= 'z')
        roles |= SMALL;
    else if (code >= 'A' && code <= 'Z')
        roles |= CAPITAL;
    else
        roles |= NOT_LATIN;
    if (db_is_space(code) || (code >= 0x1c && code <= 0x1f))
        roles |= SPACE;
    if (code == '_' || db_is_letter(code) || db_is_number(code))
        roles |= WORD;
    if (code != '\n')
        roles |= ANY_BUT_NEWLINE;
    return roles;
}

static bool belongs(const struct element *element, uint32_t code,
                    uint32_t roles)
{
    const char16_t *letter = element->letters;

    if ((roles & element->roles) != 0)
        return true;
    for (; letter != NULL && *letter != 0; letter++)
        if (*letter == code)
            return true;
    return false;
}

static bool is_end(const struct element *element)
{
    return element->roles == 0 && element->letters == NULL;
}

/* The rest of a rule whose first character fits. */
static bool continues(const struct rule *rule, const uint32_t *codes,
                      size_t count)
{
    size_t i;

    for (i = 1; i < LONGEST_RULE && !is_end(&rule->elements[i]); i++)
        if (i >= count ||
            !belongs(&rule->elements[i], codes[i], all_roles_of(codes[i])))
            return false;
    return true;
}

bool db_is_bad(const uint32_t *codes, size_t count)
{
    const struct rule *rule;
    uint32_t roles;
    size_t i, j;

    for (i = 0; i < count; i++) {
        roles = all_roles_of(codes[i]);
        for (j = 0; j < DB_COUNT(rules); j++) {
            rule = &rules[j];
            if (belongs(&rule->elements[0], codes[i], roles) &&
                (i == 0 || !rule->only_at_start) &&
                continues(rule, codes + i, count - i))
                return true;
        }
    }
    return false;
}

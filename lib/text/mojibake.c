/* SPDX-License-Identifier: MIT */
/*
 * Repair of mojibake by ftfy 6.3's rules. One step tries, in this order: the
 * whole text as one of ten single-byte encodings of UTF-8; those parts of it
 * that look like UTF-8; Latin-1 that should have been Windows-1252. Steps
 * follow one another until nothing changes.
 */
#include "text/mojibake.h"

#include <string.h>

#include "text/mojibake_int.h"

#define REPLACEMENT 0xfffdu
#define SUBSTITUTE 0x1a /* the byte that stands for U+FFFD */
#define LATIN_1 0       /* indices into db_charmaps */
#define WINDOWS_1252 1
#define DEEPEST_NESTING 100 /* of mojibake within mojibake */

struct bytes {
    unsigned char *at;
    size_t count;
};

static int fix_encoding(struct db_codepoints *text, int depth);

/* The byte that CHARMAP has for a character, or -1. */
static int encode_character(const struct db_charmap *charmap, uint32_t code)
{
    int i;

    if (code == SUBSTITUTE && charmap->sloppy)
        return -1;
    if (code < 0x80)
        return (int)code;
    if (code == REPLACEMENT && charmap->sloppy)
        return SUBSTITUTE;
    for (i = 0; i < 128; i++)
        if (charmap->high[i] == code)
            return 0x80 + i;
    return -1;
}

/* The whole text into OUT, which has room; false where it does not fit. */
static bool encode_text(const struct db_charmap *charmap,
                        const struct db_codepoints *text, unsigned char *out)
{
    size_t i;
    int byte;

    for (i = 0; i < text->count; i++) {
        byte = encode_character(charmap, text->at[i]);
        if (byte < 0)
            return false;
        out[i] = (unsigned char)byte;
    }
    return true;
}

/* Byte sets for the patterns below; a byte belongs to any number of them. */
enum {
    BLANK = 1 << 0,
    SUB = 1 << 1,
    QUESTION = 1 << 2,
    TAIL = 1 << 3,         /* 80-bf */
    LIKELY_TAIL = 1 << 4,  /* the same without 85 and a0 */
    LEAD_BLANK_2 = 1 << 5, /* leads of 2 that a0 may well follow */
    LEAD_E2_E3 = 1 << 6,
    LEAD_E0_E3 = 1 << 7,
    LEAD_F0 = 1 << 8,
    LEAD_2 = 1 << 9, /* c2-df */
    LEAD_C2_C3 = 1 << 10,
    LEAD_3 = 1 << 11, /* e0-ef */
    LEAD_4 = 1 << 12, /* f0-f4 */
    LEAD_ED = 1 << 13,
    HIGH_TAIL = 1 << 14, /* a0-af, behind ed a high surrogate */
    LOW_TAIL = 1 << 15   /* b0-bf, behind ed a low surrogate */
};

static const struct {
    unsigned char first, last;
    int sets;
} byte_sets[] = {
    {0x20, 0x20, BLANK},        {0x1a, 0x1a, SUB},
    {'?', '?', QUESTION},       {0x80, 0xbf, TAIL},
    {0x80, 0x84, LIKELY_TAIL},  {0x86, 0x9f, LIKELY_TAIL},
    {0xa1, 0xbf, LIKELY_TAIL},  {0xa0, 0xaf, HIGH_TAIL},
    {0xb0, 0xbf, LOW_TAIL},     {0xc2, 0xc3, LEAD_BLANK_2 | LEAD_C2_C3},
    {0xc2, 0xdf, LEAD_2},       {0xc5, 0xc5, LEAD_BLANK_2},
    {0xce, 0xce, LEAD_BLANK_2}, {0xd0, 0xd0, LEAD_BLANK_2},
    {0xd9, 0xd9, LEAD_BLANK_2}, {0xe0, 0xe3, LEAD_E0_E3},
    {0xe2, 0xe3, LEAD_E2_E3},   {0xe0, 0xef, LEAD_3},
    {0xed, 0xed, LEAD_ED},      {0xf0, 0xf0, LEAD_F0},
    {0xf0, 0xf4, LEAD_4},
};

/* UTF-8 in which a byte a0 has become a blank, where that makes sense. */
static const int blanked[][6] = {
    {LEAD_BLANK_2, BLANK},
    {LEAD_E2_E3, BLANK, LIKELY_TAIL},
    {LEAD_E0_E3, LIKELY_TAIL, BLANK},
    {LEAD_F0, BLANK, TAIL, TAIL},
    {LEAD_F0, TAIL, BLANK, TAIL},
    {LEAD_F0, TAIL, TAIL, BLANK},
};

/* UTF-8, or surrogates in UTF-8, that has lost bytes. */
static const int lossy[][6] = {
    {LEAD_2, SUB},
    {LEAD_C2_C3, QUESTION},
    {LEAD_ED, HIGH_TAIL, SUB | QUESTION, LEAD_ED, LOW_TAIL,
     SUB | QUESTION | TAIL},
    {LEAD_ED, HIGH_TAIL, SUB | QUESTION | TAIL, LEAD_ED, LOW_TAIL,
     SUB | QUESTION},
    {LEAD_3, SUB | QUESTION, SUB | TAIL},
    {LEAD_3, SUB | TAIL, SUB | QUESTION},
    {LEAD_4, SUB | QUESTION, SUB | TAIL, SUB | TAIL},
    {LEAD_4, SUB | TAIL, SUB | QUESTION, SUB | TAIL},
    {LEAD_4, SUB | TAIL, SUB | TAIL, SUB | QUESTION},
    {SUB},
};

static int sets_of(unsigned char byte)
{
    int sets = 0;
    size_t i;

    for (i = 0; i < DB_COUNT(byte_sets); i++)
        if (byte >= byte_sets[i].first && byte <= byte_sets[i].last)
            sets |= byte_sets[i].sets;
    return sets;
}

/* The length of the first pattern that fits at AT, or 0. */
static size_t match_bytes(const int (*patterns)[6], size_t pattern_count,
                          const unsigned char *at, size_t count)
{
    size_t i, length;

    for (i = 0; i < pattern_count; i++) {
        length = 0;
        while (length < 6 && patterns[i][length] != 0 && length < count &&
               (sets_of(at[length]) & patterns[i][length]) != 0)
            length++;
        if (length == 6 || patterns[i][length] == 0)
            return length;
    }
    return 0;
}

/* Is the c3 of "c3 20" a word of its own, rather than the start of one of the
 * Portuguese words with a grave? */
static bool is_a_grave_word(const unsigned char *at, size_t count)
{
    static const char *const beginnings[] = {" ", "quele", "quela", "quilo",
                                             "s "};
    size_t i, length;

    if (count < 2 || at[0] != 0xc3 || at[1] != ' ')
        return false;
    for (i = 0; i < DB_COUNT(beginnings); i++) {
        length = strlen(beginnings[i]);
        if (count - 2 >= length && memcmp(at + 2, beginnings[i], length) == 0)
            return false;
    }
    return true;
}

static bool has_blanked(const struct bytes *bytes)
{
    size_t i;

    for (i = 0; i < bytes->count; i++)
        if (bytes->at[i] >= 0xc2 &&
            match_bytes(blanked, DB_COUNT(blanked), bytes->at + i,
                        bytes->count - i) > 0)
            return true;
    return false;
}

/* Put a0 back, from IN to OUT. A blank behind a lone "a grave" is kept beside
 * it. */
static void restore_blanks(const struct bytes *in, struct bytes *out)
{
    size_t i, j, length;

    out->count = 0;
    for (i = 0; i < in->count; i++) {
        out->at[out->count++] = in->at[i];
        if (is_a_grave_word(in->at + i, in->count - i))
            out->at[out->count++] = 0xa0;
    }
    for (i = 0; i<out->count; i += length> 0 ? length : 1) {
        length = out->at[i] < 0xc2 ? 0
                                   : match_bytes(blanked, DB_COUNT(blanked),
                                                 out->at + i, out->count - i);
        for (j = i; j < i + length; j++)
            if (out->at[j] == ' ')
                out->at[j] = 0xa0;
    }
}

/* What has lost bytes becomes U+FFFD in UTF-8, from IN to OUT. */
static void replace_lossy(const struct bytes *in, struct bytes *out)
{
    size_t i, length;

    out->count = 0;
    for (i = 0; i < in->count; i += length) {
        length = 0;
        if (in->at[i] >= 0xc2 || in->at[i] == SUBSTITUTE)
            length =
                match_bytes(lossy, DB_COUNT(lossy), in->at + i, in->count - i);
        if (length > 0) {
            memcpy(out->at + out->count, "\xef\xbf\xbd", 3);
            out->count += 3;
        } else {
            out->at[out->count++] = in->at[i];
            length = 1;
        }
    }
}

/* Python's `$` is the end of the text and the place before a last newline. */
static bool is_end(const struct bytes *bytes, size_t i)
{
    return i == bytes->count || (i + 1 == bytes->count && bytes->at[i] == '\n');
}

/*
 * Two surrogates of three bytes each (CESU-8) at I as one character, or 0. ftfy
 * takes a newline for the sixth byte where that ends the text.
 */
static uint32_t read_surrogates(const struct bytes *bytes, size_t i)
{
    const unsigned char *at = bytes->at + i;

    if (bytes->count - i < 6 || at[0] != 0xed || (at[1] & 0xf0) != 0xa0 ||
        (at[2] & 0xc0) != 0x80 || at[3] != 0xed || (at[4] & 0xf0) != 0xb0)
        return 0;
    if ((at[5] & 0xc0) != 0x80 && !is_end(bytes, i + 5))
        return 0;
    return 0x10000u + ((at[1] & 0xfu) << 16) + ((at[2] & 0x3fu) << 10) +
           ((at[4] & 0xfu) << 6) + (at[5] & 0x3fu);
}

/*
 * Strict UTF-8 into TEXT; false, with nothing appended, where it is none. With
 * bytes ed or c0 in it the variants count as well: CESU-8's surrogates, and
 * Java's NUL, c0 80.
 */
static bool decode_utf8(const struct bytes *bytes, struct db_codepoints *text)
{
    size_t i = 0, start = text->count, used;
    uint32_t pair;
    long code;

    while (i < bytes->count) {
        pair = read_surrogates(bytes, i);
        if (pair != 0) {
            db_codepoints_append(text, pair);
            i += 6;
        } else if (bytes->at[i] == 0xc0 && i + 1 < bytes->count &&
                   (bytes->at[i + 1] == 0x80 || is_end(bytes, i + 1))) {
            db_codepoints_append(text, 0);
            i += 2;
        } else {
            code = db_utf8_get((const char *)bytes->at + i, bytes->count - i,
                               &used);
            if (code < 0 || (code >= 0xd800 && code <= 0xdfff)) {
                text->count = start;
                return false;
            }
            db_codepoints_append(text, (uint32_t)code);
            i += used;
        }
    }
    return true;
}

/* TEXT was read as CHARMAP; if it was UTF-8, read it again, into OUT. BYTES has
 * the encoded text and, like SPARE, room for three times as much. */
static bool reread(size_t index, struct bytes *bytes, struct bytes *spare,
                   struct db_codepoints *out)
{
    const struct db_charmap *charmap = &db_charmaps[index];
    struct bytes swapped;

    if (strcmp(charmap->name, "macroman") != 0 && has_blanked(bytes)) {
        restore_blanks(bytes, spare);
        swapped = *bytes;
        *bytes = *spare;
        *spare = swapped;
    }
    if (charmap->sloppy) {
        replace_lossy(bytes, spare);
        return decode_utf8(spare, out);
    }
    return decode_utf8(bytes, out);
}

/*
 * The first of the encodings in which the text is UTF-8. *found says whether
 * there is one, and OUT is what it makes of the text; *is_latin_1 whether the
 * text fits Latin-1.
 */
static int try_charmaps(const struct db_codepoints *text,
                        struct db_codepoints *out, bool *found,
                        bool *is_latin_1)
{
    struct bytes bytes = {NULL, 0}, spare = {NULL, 0};
    int status = DREAMBOOTH_OK;
    size_t i;

    *found = false;
    *is_latin_1 = false;
    bytes.at = db_alloc_array(text->env, text->count, 3);
    spare.at = db_alloc_array(text->env, text->count, 3);
    if (bytes.at == NULL || spare.at == NULL) {
        status = text->env->error_status;
        goto done;
    }
    for (i = 0; i < db_charmap_count && !*found; i++) {
        if (!encode_text(&db_charmaps[i], text, bytes.at))
            continue;
        if (i == LATIN_1)
            *is_latin_1 = true;
        bytes.count = text->count;
        *found = reread(i, &bytes, &spare, out);
    }
    if (*found)
        status = out->status;

done:
    db_free(text->env, spare.at);
    db_free(text->env, bytes.at);
    return status;
}

/* The length of what looks like misread UTF-8 at I, all of it, or 0. */
static size_t misread_length(const struct db_codepoints *text, size_t i)
{
    size_t end = i, size, j;
    uint32_t roles;

    if (i > 0 &&
        (db_roles_of(text->at[i - 1]) & DB_ROLE_STRICT_CONTINUATION) != 0)
        return 0;
    for (;;) {
        roles = end < text->count ? db_roles_of(text->at[end]) : 0;
        size = (roles & DB_ROLE_FIRST_OF_2) != 0   ? 2
               : (roles & DB_ROLE_FIRST_OF_3) != 0 ? 3
               : (roles & DB_ROLE_FIRST_OF_4) != 0 ? 4
                                                   : 0;
        if (size == 0 || size > text->count - end)
            return end - i;
        for (j = 1; j < size; j++)
            if ((db_roles_of(text->at[end + j]) & DB_ROLE_CONTINUATION) == 0)
                return end - i;
        end += size;
    }
}

/* Append COUNT characters at AT to OUT, repaired where they look bad. */
static void fix_part(const struct db_codepoints *text, size_t at, size_t count,
                     int depth, struct db_codepoints *out)
{
    struct db_codepoints part;

    db_codepoints_init(&part, text->env);
    db_codepoints_append_all(&part, text->at + at, count);
    if (count < text->count && depth < DEEPEST_NESTING && part.status == 0 &&
        db_is_bad(part.at, part.count))
        part.status = fix_encoding(&part, depth + 1);
    if (part.status < 0)
        out->status = part.status;
    else
        db_codepoints_append_all(out, part.at, part.count);
    db_codepoints_release(&part);
}

static int fix_parts(const struct db_codepoints *text, int depth,
                     struct db_codepoints *out)
{
    size_t i = 0, length;

    while (i < text->count && out->status == DREAMBOOTH_OK) {
        length = misread_length(text, i);
        if (length == 0) {
            db_codepoints_append(out, text->at[i++]);
            continue;
        }
        fix_part(text, i, length, depth, out);
        i += length;
    }
    return out->status;
}

static bool is_c1(uint32_t code)
{
    return code >= 0x80 && code <= 0x9f;
}

void db_fix_c1_controls(struct db_codepoints *text)
{
    size_t i;

    for (i = 0; i < text->count; i++)
        if (is_c1(text->at[i]))
            text->at[i] = db_charmaps[WINDOWS_1252].high[text->at[i] - 0x80];
}

static bool is_ascii(const struct db_codepoints *text)
{
    size_t i;

    for (i = 0; i < text->count; i++)
        if (text->at[i] >= 0x80)
            return false;
    return true;
}

/*
 * One step: OUT, which is empty, becomes the repaired text, or the text itself
 * where there is nothing to repair. C1 controls become Windows-1252 whether
 * the whole text is Latin-1 or not.
 */
static int fix_step(const struct db_codepoints *text, int depth,
                    struct db_codepoints *out)
{
    bool found, is_latin_1;
    int status;

    if (is_ascii(text) || !db_is_bad(text->at, text->count)) {
        db_codepoints_append_all(out, text->at, text->count);
        return out->status;
    }
    status = try_charmaps(text, out, &found, &is_latin_1);
    if (status < 0 || found)
        return status;
    status = fix_parts(text, depth, out);
    if (status < 0 || !db_codepoints_equal(text, out))
        return status;
    db_fix_c1_controls(out);
    return DREAMBOOTH_OK;
}

static int fix_encoding(struct db_codepoints *text, int depth)
{
    struct db_codepoints out;
    bool same = false;
    int status = DREAMBOOTH_OK;

    while (status == DREAMBOOTH_OK && !same) {
        db_codepoints_init(&out, text->env);
        status = fix_step(text, depth, &out);
        same = status == DREAMBOOTH_OK && db_codepoints_equal(text, &out);
        if (status == DREAMBOOTH_OK && !same)
            db_codepoints_replace(text, &out);
        db_codepoints_release(&out);
    }
    return status;
}

int db_fix_encoding(struct db_codepoints *text)
{
    return fix_encoding(text, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * ftfy 6.3's fix_text(): the small repairs, and the order in which all of them
 * are made, line by line, until a line no longer changes.
 */
#include <string.h>

#include <utf8proc.h>

#include "text/clean.h"
#include "text/html.h"
#include "text/mojibake.h"

#define REPLACEMENT 0xfffdu
#define ESCAPE 0x1bu
#define LONGEST_SEGMENT 1000000 /* code points that are repaired at once */

typedef void rewrite_function(const struct db_codepoints *text,
                              struct db_codepoints *out);

static const struct {
    uint32_t code;
    const char *letters; /* UTF-8 */
} ligatures[] = {
    {0x132, "IJ"},      {0x133, "ij"},      {0x149, "\u02bcn"},
    {0x1c4, "D\u017d"}, {0x1c5, "D\u017e"}, {0x1c6, "d\u017e"},
    {0x1c7, "LJ"},      {0x1c8, "Lj"},      {0x1c9, "lj"},
    {0x1ca, "NJ"},      {0x1cb, "Nj"},      {0x1cc, "nj"},
    {0x1f1, "DZ"},      {0x1f2, "Dz"},      {0x1f3, "dz"},
    {0xfb00, "ff"},     {0xfb01, "fi"},     {0xfb02, "fl"},
    {0xfb03, "ffi"},    {0xfb04, "ffl"},    {0xfb05, "\u017ft"},
    {0xfb06, "st"},
};

static void split_ligatures(const struct db_codepoints *text,
                            struct db_codepoints *out)
{
    size_t i, j;

    for (i = 0; i < text->count; i++) {
        j = text->at[i] < ligatures[0].code ? DB_COUNT(ligatures) : 0;
        while (j < DB_COUNT(ligatures) && ligatures[j].code != text->at[i])
            j++;
        if (j == DB_COUNT(ligatures))
            db_codepoints_append(out, text->at[i]);
        else
            db_codepoints_append_utf8(out, ligatures[j].letters,
                                      strlen(ligatures[j].letters));
    }
}

/* Full-width Latin and half-width Katakana and Hangul in their usual width:
 * what compatibility decomposition makes of that block. */
static void fix_width(const struct db_codepoints *text,
                      struct db_codepoints *out)
{
    utf8proc_int32_t parts[8];
    utf8proc_ssize_t count, j;
    uint32_t code;
    size_t i;
    int boundary;

    for (i = 0; i < text->count; i++) {
        code = text->at[i];
        count = 0;
        boundary = 0;
        if (code == 0x3000)
            code = ' ';
        else if (code >= 0xff01 && code < 0xfff0)
            count = utf8proc_decompose_char(
                (utf8proc_int32_t)code, parts, 8,
                UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
                &boundary);
        if (count < 1 || count > 8)
            db_codepoints_append(out, code);
        else
            for (j = 0; j < count; j++)
                db_codepoints_append(out, (uint32_t)parts[j]);
    }
}

static void uncurl_quotes(const struct db_codepoints *text,
                          struct db_codepoints *out)
{
    uint32_t code;
    size_t i;

    for (i = 0; i < text->count; i++) {
        code = text->at[i];
        if (code == 0x2bc || (code >= 0x2018 && code <= 0x201b))
            code = '\'';
        else if (code >= 0x201c && code <= 0x201f)
            code = '"';
        db_codepoints_append(out, code);
    }
}

static void fix_line_breaks(const struct db_codepoints *text,
                            struct db_codepoints *out)
{
    uint32_t code;
    size_t i;

    for (i = 0; i < text->count; i++) {
        code = text->at[i];
        if (code == '\r' && i + 1 < text->count && text->at[i + 1] == '\n')
            continue;
        if (code == '\r' || code == 0x2028 || code == 0x2029 || code == 0x85)
            code = '\n';
        db_codepoints_append(out, code);
    }
}

static bool is_half(uint32_t code, uint32_t first)
{
    return code >= first && code < first + 0x400;
}

static void join_surrogates(const struct db_codepoints *text,
                            struct db_codepoints *out)
{
    uint32_t code;
    size_t i;

    for (i = 0; i < text->count; i++) {
        code = text->at[i];
        if (is_half(code, 0xd800) && i + 1 < text->count &&
            is_half(text->at[i + 1], 0xdc00))
            code =
                0x10000u + ((code - 0xd800u) << 10) + (text->at[++i] - 0xdc00u);
        else if (is_half(code, 0xd800) || is_half(code, 0xdc00))
            code = REPLACEMENT;
        db_codepoints_append(out, code);
    }
}

static bool is_digit(uint32_t code)
{
    return code < 0x80 ? code >= '0' && code <= '9'
                       : utf8proc_category((utf8proc_int32_t)code) ==
                             UTF8PROC_CATEGORY_ND;
}

/* The length of a terminal's escape sequence ("ESC [ 1;31 m") at I, or 0. */
static size_t escape_length(const struct db_codepoints *text, size_t i)
{
    size_t end = i + 2;
    uint32_t code;

    if (text->at[i] != ESCAPE || end >= text->count || text->at[i + 1] != '[')
        return 0;
    while (end < text->count &&
           (text->at[end] == ';' || is_digit(text->at[end])))
        end++;
    code = end < text->count ? text->at[end] : 0;
    if ((code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z'))
        return end + 1 - i;
    return 0;
}

static void remove_escapes(const struct db_codepoints *text,
                           struct db_codepoints *out)
{
    size_t i, length;

    for (i = 0; i < text->count; i += length) {
        length = escape_length(text, i);
        if (length == 0) {
            db_codepoints_append(out, text->at[i]);
            length = 1;
        }
    }
}

static bool is_unwanted(uint32_t code)
{
    return code <= 0x08 || code == 0x0b || (code >= 0x0e && code <= 0x1f) ||
           code == 0x7f || (code >= 0x206a && code <= 0x206f) ||
           code == 0xfeff || (code >= 0xfff9 && code <= 0xfffc);
}

static void remove_controls(const struct db_codepoints *text,
                            struct db_codepoints *out)
{
    size_t i;

    for (i = 0; i < text->count; i++)
        if (!is_unwanted(text->at[i]))
            db_codepoints_append(out, text->at[i]);
}

static rewrite_function *const rewrites[] = {
    split_ligatures, fix_width,      uncurl_quotes,   fix_line_breaks,
    join_surrogates, remove_escapes, remove_controls,
};

static int rewrite(struct db_codepoints *text, rewrite_function *function)
{
    struct db_codepoints out;
    int status;

    db_codepoints_init(&out, text->env);
    function(text, &out);
    status = out.status;
    if (status == DREAMBOOTH_OK)
        db_codepoints_replace(text, &out);
    db_codepoints_release(&out);
    return status;
}

/* All repairs once. */
static int fix_once(struct db_codepoints *text, bool unescape)
{
    int status = DREAMBOOTH_OK;
    size_t i;

    if (unescape)
        status = db_html_unescape_strict(text);
    if (status == DREAMBOOTH_OK)
        status = db_fix_encoding(text);
    if (status == DREAMBOOTH_OK)
        db_fix_c1_controls(text);
    for (i = 0; i < DB_COUNT(rewrites) && status == DREAMBOOTH_OK; i++)
        status = rewrite(text, rewrites[i]);
    return status == DREAMBOOTH_OK ? db_codepoints_nfc(text) : status;
}

static int fix_segment(struct db_codepoints *segment, bool unescape)
{
    struct db_codepoints before;
    bool same = false;
    int status = DREAMBOOTH_OK;

    db_codepoints_init(&before, segment->env);
    while (status == DREAMBOOTH_OK && !same) {
        before.count = 0;
        db_codepoints_append_all(&before, segment->at, segment->count);
        status = before.status;
        if (status == DREAMBOOTH_OK)
            status = fix_once(segment, unescape);
        same = db_codepoints_equal(&before, segment);
    }
    db_codepoints_release(&before);
    return status;
}

/* The end of the segment from START: behind its newline, if it has one. */
static size_t segment_end(const struct db_codepoints *text, size_t start)
{
    size_t end = start;

    while (end < text->count && end - start < LONGEST_SEGMENT)
        if (text->at[end++] == '\n')
            break;
    return end;
}

static bool has_less_than(const struct db_codepoints *text, size_t start,
                          size_t end)
{
    while (start < end && text->at[start] != '<')
        start++;
    return start < end;
}

/* A text that has "<" may be HTML: from that segment on, no references are
 * resolved here. */
int db_fix_text(struct db_codepoints *text)
{
    struct db_codepoints segment, out;
    bool unescape = true;
    size_t start, end;
    int status = DREAMBOOTH_OK;

    db_codepoints_init(&segment, text->env);
    db_codepoints_init(&out, text->env);
    for (start = 0; start < text->count && status == DREAMBOOTH_OK;
         start = end) {
        end = segment_end(text, start);
        if (has_less_than(text, start, end))
            unescape = false;
        segment.count = 0;
        db_codepoints_append_all(&segment, text->at + start, end - start);
        status = segment.status;
        if (status == DREAMBOOTH_OK)
            status = fix_segment(&segment, unescape);
        db_codepoints_append_all(&out, segment.at, segment.count);
        if (out.status < 0)
            status = out.status;
    }
    if (status == DREAMBOOTH_OK)
        db_codepoints_replace(text, &out);
    db_codepoints_release(&out);
    db_codepoints_release(&segment);
    return status;
}

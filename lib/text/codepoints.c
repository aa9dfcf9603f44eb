/* SPDX-License-Identifier: MIT */
/*
 * Code points in and out of UTF-8, and the three questions that cleaning asks
 * of Unicode: what is this character, what is its small form, what is its
 * composed form. The first is answered by a table of our own, the other two by
 * utf8proc, one character at a time, so that all memory comes from the
 * environment.
 */
#include "text/codepoints.h"

#include <string.h>

#include <utf8proc.h>

#include "text/codepoints_int.h"

#define REPLACEMENT 0xfffdu
#define CAPITAL_SIGMA 0x3a3u
#define SMALL_SIGMA 0x3c3u
#define FINAL_SIGMA 0x3c2u
#define CAPITAL_DOTTED_I 0x130u
#define DOT_ABOVE 0x307u

void db_codepoints_init(struct db_codepoints *text, struct db_env *env)
{
    memset(text, 0, sizeof(*text));
    text->env = env;
}

void db_codepoints_release(struct db_codepoints *text)
{
    db_free(text->env, text->at);
    db_codepoints_init(text, text->env);
}

static void grow(struct db_codepoints *text, size_t wanted)
{
    size_t capacity = text->capacity < 32 ? 64 : text->capacity * 2;
    uint32_t *fresh;

    if (capacity < wanted)
        capacity = wanted;
    if (capacity > SIZE_MAX / 8) {
        text->status =
            db_fail(text->env, DREAMBOOTH_ENOMEM,
                    "a text of %zu characters is impossible", wanted);
        return;
    }
    fresh = db_resize(text->env, text->at, capacity * sizeof(*fresh));
    if (fresh == NULL) {
        text->status = text->env->error_status;
        return;
    }
    text->at = fresh;
    text->capacity = capacity;
}

void db_codepoints_append(struct db_codepoints *text, uint32_t code)
{
    if (text->status < 0)
        return;
    if (text->count == text->capacity)
        grow(text, text->count + 1);
    if (text->status == DREAMBOOTH_OK)
        text->at[text->count++] = code;
}

void db_codepoints_append_all(struct db_codepoints *text, const uint32_t *codes,
                              size_t count)
{
    if (text->status < 0 || count == 0)
        return;
    if (count > text->capacity - text->count)
        grow(text, text->count + count);
    if (text->status < 0)
        return;
    memcpy(text->at + text->count, codes, count * sizeof(*codes));
    text->count += count;
}

void db_codepoints_replace(struct db_codepoints *text,
                           struct db_codepoints *fresh)
{
    db_codepoints_release(text);
    *text = *fresh;
    db_codepoints_init(fresh, fresh->env);
}

bool db_codepoints_equal(const struct db_codepoints *a,
                         const struct db_codepoints *b)
{
    return a->count == b->count &&
           (a->count == 0 ||
            memcmp(a->at, b->at, a->count * sizeof(*a->at)) == 0);
}

/* What a first byte says: bytes in all (0: none such), and the range that the
 * second byte must lie in. Surrogates are let through. */
static int lead_byte(unsigned char byte, unsigned char *low,
                     unsigned char *high)
{
    *low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    *high = byte == 0xf4 ? 0x8f : 0xbf;
    if (byte < 0x80)
        return 1;
    if (byte < 0xc2)
        return 0;
    return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
}

long db_utf8_get(const char *text, size_t length, size_t *used)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char low, high;
    int size = lead_byte(bytes[0], &low, &high);
    long code;

    *used = 1;
    if (size == 0)
        return -1;
    if (size == 1)
        return bytes[0];
    code = bytes[0] & (0x7f >> size);
    while (*used < (size_t)size) {
        if (*used >= length || bytes[*used] < low || bytes[*used] > high) {
            if (bytes[0] == 0xed && *used == 2 && bytes[1] >= 0xa0)
                *used = 1; /* the start of a surrogate is no start */
            return -1;
        }
        code = code << 6 | (bytes[*used] & 0x3f);
        *used += 1;
        low = 0x80;
        high = 0xbf;
    }
    return code;
}

void db_codepoints_append_utf8(struct db_codepoints *text, const char *bytes,
                               size_t length)
{
    size_t used;
    long code;

    while (length > 0) {
        code = db_utf8_get(bytes, length, &used);
        db_codepoints_append(text, code < 0 ? REPLACEMENT : (uint32_t)code);
        bytes += used;
        length -= used;
    }
}

long db_utf8_count(const char *bytes, size_t length)
{
    size_t used;
    long code, count = 0;

    for (; length > 0; bytes += used, length -= used, count++) {
        code = db_utf8_get(bytes, length, &used);
        if (code < 0 || (code >= 0xd800 && code <= 0xdfff))
            return -1;
    }
    return count;
}

size_t db_utf8_put(char bytes[4], uint32_t code)
{
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    size_t i;

    if (size == 1) {
        bytes[0] = (char)code;
        return 1;
    }
    for (i = size - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)((0xf00u >> size) | code);
    return size;
}

char *db_codepoints_to_utf8(struct db_env *env, const uint32_t *codes,
                            size_t count, size_t *length)
{
    char *bytes;
    size_t i, at = 0;

    if (count > SIZE_MAX / 8) {
        db_fail(env, DREAMBOOTH_ENOMEM,
                "a text of %zu characters is impossible", count);
        return NULL;
    }
    bytes = db_alloc(env, count * 4 + 1);
    if (bytes == NULL)
        return NULL;
    for (i = 0; i < count; i++)
        at += db_utf8_put(bytes + at, codes[i]);
    bytes[at] = '\0';
    if (length != NULL)
        *length = at;
    return bytes;
}

static unsigned classes_of(uint32_t code)
{
    size_t low = 0, high = db_unicode_run_count, middle;
    const uint32_t *run;

    while (low < high) {
        middle = (low + high) / 2;
        run = db_unicode_runs[middle];
        if (code < run[0])
            high = middle;
        else if (code - run[0] >= run[1] >> 4)
            low = middle + 1;
        else
            return run[1] & 15;
    }
    return 0;
}

bool db_is_letter(uint32_t code)
{
    return (classes_of(code) & DB_CLASS_LETTER) != 0;
}

bool db_is_number(uint32_t code)
{
    return (classes_of(code) & DB_CLASS_NUMBER) != 0;
}

bool db_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 ||
           code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* Unicode's Final_Sigma: a cased letter before and none after, looking past
 * whatever case ignores. */
static bool ends_word(const struct db_codepoints *text, size_t index)
{
    size_t i = index;
    unsigned classes = DB_CLASS_IGNORABLE;

    while (i > 0 && (classes & DB_CLASS_IGNORABLE) != 0)
        classes = classes_of(text->at[--i]);
    if ((classes & DB_CLASS_CASED) == 0)
        return false;
    classes = DB_CLASS_IGNORABLE;
    for (i = index + 1; i < text->count && (classes & DB_CLASS_IGNORABLE) != 0;
         i++)
        classes = classes_of(text->at[i]);
    return (classes & DB_CLASS_CASED) == 0;
}

int db_codepoints_lower(struct db_codepoints *text)
{
    struct db_codepoints lower;
    uint32_t code;
    size_t i;

    db_codepoints_init(&lower, text->env);
    for (i = 0; i < text->count; i++) {
        code = text->at[i];
        if (code == CAPITAL_DOTTED_I) {
            db_codepoints_append(&lower, 'i');
            code = DOT_ABOVE;
        } else if (code == CAPITAL_SIGMA) {
            code = ends_word(text, i) ? FINAL_SIGMA : SMALL_SIGMA;
        } else {
            code = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
        }
        db_codepoints_append(&lower, code);
    }
    if (lower.status < 0) {
        db_codepoints_release(&lower);
        return text->env->error_status;
    }
    db_codepoints_replace(text, &lower);
    return DREAMBOOTH_OK;
}

static void append_decomposed(struct db_codepoints *text, uint32_t code)
{
    utf8proc_int32_t parts[8];
    utf8proc_ssize_t i, count;
    int boundary = 0;

    if (code < 0xc0) {
        db_codepoints_append(text, code);
        return;
    }
    count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8,
                                    UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
                                    &boundary);
    if (count < 1 || count > 8) {
        db_codepoints_append(text, code);
        return;
    }
    for (i = 0; i < count; i++)
        db_codepoints_append(text, (uint32_t)parts[i]);
}

static int combining_class(uint32_t code)
{
    if (code < 0x300)
        return 0;
    return utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

/* Canonical order: marks between two starters, stably by combining class. The
 * run of marks is merge sorted, so that a long one costs no square. */
static void order_marks(uint32_t *marks, uint32_t *scratch, size_t count)
{
    size_t left = 0, middle = count / 2, right = middle, i;

    if (count < 2)
        return;
    order_marks(marks, scratch, middle);
    order_marks(marks + middle, scratch, count - middle);
    memcpy(scratch, marks, count * sizeof(*marks));
    for (i = 0; i < count; i++) {
        if (left < middle &&
            (right == count ||
             combining_class(scratch[left]) <= combining_class(scratch[right])))
            marks[i] = scratch[left++];
        else
            marks[i] = scratch[right++];
    }
}

static int canonical_order(struct db_codepoints *text)
{
    uint32_t *scratch =
        db_alloc_array(text->env, text->count, sizeof(*scratch));
    size_t start, end;

    if (scratch == NULL)
        return text->env->error_status;
    for (start = 0; start < text->count; start = end + 1) {
        end = start;
        while (end < text->count && combining_class(text->at[end]) != 0)
            end++;
        order_marks(text->at + start, scratch, end - start);
    }
    db_free(text->env, scratch);
    return DREAMBOOTH_OK;
}

static bool is_plain(const struct db_codepoints *text)
{
    size_t i;

    for (i = 0; i < text->count; i++)
        if (text->at[i] >= 0x300)
            return false;
    return true;
}

int db_codepoints_nfc(struct db_codepoints *text)
{
    struct db_codepoints parts;
    utf8proc_ssize_t count;
    size_t i;

    if (is_plain(text))
        return DREAMBOOTH_OK;
    db_codepoints_init(&parts, text->env);
    for (i = 0; i < text->count; i++)
        append_decomposed(&parts, text->at[i]);
    if (parts.status < 0 || canonical_order(&parts) < 0) {
        db_codepoints_release(&parts);
        return text->env->error_status;
    }
    count = utf8proc_normalize_utf32((utf8proc_int32_t *)parts.at,
                                     (utf8proc_ssize_t)parts.count,
                                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    parts.count = (size_t)count;
    db_codepoints_replace(text, &parts);
    return DREAMBOOTH_OK;
}

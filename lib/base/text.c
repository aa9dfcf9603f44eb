/* SPDX-License-Identifier: MIT */
/*
 * Text buffers, edit distance and numbers as text. The C library's number
 * functions follow the program's locale, which is not ours to set: the decimal
 * separator in force is found by writing 0.5, and exchanged for a point.
 */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make_room(struct db_env *env, struct db_text *text, size_t more)
{
    size_t wanted, capacity;
    char *bytes;

    if (more >= SIZE_MAX / 4 - text->length)
        return db_fail(env, DREAMBOOTH_ENOMEM, "a text of %zu bytes more",
                       more);
    wanted = text->length + more + 1;
    if (wanted <= text->capacity)
        return DREAMBOOTH_OK;
    capacity = text->capacity < 32 ? 64 : text->capacity * 2;
    if (capacity < wanted)
        capacity = wanted;
    bytes = db_resize(env, text->bytes, capacity);
    if (bytes == NULL)
        return env->error_status;
    bytes[text->length] = '\0';
    text->bytes = bytes;
    text->capacity = capacity;
    return DREAMBOOTH_OK;
}

int db_text_append_bytes(struct db_env *env, struct db_text *text,
                         const char *bytes, size_t length)
{
    int status = make_room(env, text, length);

    if (status != DREAMBOOTH_OK)
        return status;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
    return DREAMBOOTH_OK;
}

int db_text_append(struct db_env *env, struct db_text *text, const char *more)
{
    return db_text_append_bytes(env, text, more, strlen(more));
}

int db_text_appendf(struct db_env *env, struct db_text *text,
                    const char *format, ...)
{
    va_list arguments;
    int length, status;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return db_fail(env, DREAMBOOTH_EINTERNAL, "a text cannot be formatted");
    status = make_room(env, text, (size_t)length);
    if (status != DREAMBOOTH_OK)
        return status;
    va_start(arguments, format);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format,
              arguments);
    va_end(arguments);
    text->length += (size_t)length;
    return DREAMBOOTH_OK;
}

int db_text_take(struct db_env *env, struct db_text *text, char **out)
{
    int status = make_room(env, text, 0);

    if (status != DREAMBOOTH_OK)
        return status;
    *out = text->bytes;
    memset(text, 0, sizeof(*text));
    return DREAMBOOTH_OK;
}

void db_text_free(struct db_env *env, struct db_text *text)
{
    db_free(env, text->bytes);
    memset(text, 0, sizeof(*text));
}

#define WORD 64

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return (a == '_' ? '-' : a) == (b == '_' ? '-' : b);
}

size_t db_edit_distance(const char *a, const char *b)
{
    size_t rows[3][WORD], length_a, length_b, i, j;

    length_a = smaller(strlen(a), WORD - 1);
    length_b = smaller(strlen(b), WORD - 1);
    for (j = 0; j <= length_b; j++)
        rows[0][j] = j;
    for (i = 1; i <= length_a; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3];

        row[0] = i;
        for (j = 1; j <= length_b; j++) {
            size_t best = above[j - 1] + !same_letter(a[i - 1], b[j - 1]);

            best = smaller(best, smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1]))
                best = smaller(best, rows[(i + 1) % 3][j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[length_a % 3][length_b];
}

static size_t skip_digits(const char *text, size_t at)
{
    while (text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

bool db_read_integer(const char *text, int64_t *out)
{
    size_t start = text[0] == '-' || text[0] == '+';
    size_t end = skip_digits(text, start);
    long long value;

    if (end == start || text[end] != '\0')
        return false;
    errno = 0;
    value = strtoll(text, NULL, 10);
    if (errno != 0)
        return false;
    *out = (int64_t)value;
    return true;
}

/* Is this [sign] digits [. digits] [e [sign] digits], with a digit before or
 * behind the point? *POINT is where the point is, or -1. */
static bool is_real(const char *text, int *point)
{
    size_t at = text[0] == '-' || text[0] == '+';
    size_t end = skip_digits(text, at);
    size_t digits = end - at;

    *point = -1;
    if (text[end] == '.') {
        *point = (int)end;
        at = end + 1;
        end = skip_digits(text, at);
        digits += end - at;
    }
    if (digits == 0)
        return false;
    if (text[end] == 'e' || text[end] == 'E') {
        at = end + 1;
        at += text[at] == '-' || text[at] == '+';
        end = skip_digits(text, at);
        if (end == at)
            return false;
    }
    return text[end] == '\0';
}

/* The decimal separator in force, which is at most a few bytes long. */
static void find_separator(char separator[16])
{
    char half[16];

    snprintf(half, sizeof(half), "%.1f", 0.5);
    half[strlen(half) - 1] = '\0';
    memmove(separator, half + 1, strlen(half));
}

bool db_read_real(const char *text, double *out)
{
    char copy[400], separator[16];
    double value;
    int point;

    if (strlen(text) > sizeof(copy) - sizeof(separator) ||
        !is_real(text, &point))
        return false;
    if (point < 0) {
        memcpy(copy, text, strlen(text) + 1);
    } else {
        find_separator(separator);
        snprintf(copy, sizeof(copy), "%.*s%s%s", point, text, separator,
                 text + point + 1);
    }
    value = strtod(copy, NULL);
    if (!isfinite(value))
        return false;
    *out = value;
    return true;
}

static void put_point(char *text)
{
    char separator[16];
    char *at;

    find_separator(separator);
    at = strstr(text, separator);
    if (at == NULL)
        return;
    *at = '.';
    memmove(at + 1, at + strlen(separator), strlen(at + strlen(separator)) + 1);
}

void db_real_text(double value, char text[DB_REAL_TEXT])
{
    double back;
    int digits;

    if (!isfinite(value)) {
        snprintf(text, DB_REAL_TEXT, "%s",
                 isnan(value) ? "nan" : (value < 0 ? "-inf" : "inf"));
        return;
    }
    for (digits = 15; digits <= 17; digits++) {
        snprintf(text, DB_REAL_TEXT, "%.*g", digits, value);
        put_point(text);
        if (db_read_real(text, &back) && back == value)
            return;
    }
}

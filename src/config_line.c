/* SPDX-License-Identifier: MIT */
/*
 * "name = value", "[section]" and "# comment". A value may stand in double
 * quotes, where \" and \\ are a quote and a backslash; plain, it ends before a
 * # that has a blank in front.
 */
#include "config_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text.h"

#define BLANKS " \t\r"
#define MOST_BYTES 1000000

/* Whether there is nothing more but a comment. */
static int is_end(const char *text)
{
    text += strspn(text, BLANKS);
    return *text == '\0' || *text == '#';
}

static void trim_end(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && strchr(BLANKS, text[length - 1]) != NULL)
        text[--length] = '\0';
}

static const char *read_section(char *text, struct config_line *out)
{
    char *end = strchr(text, ']');

    if (end == NULL || !is_end(end + 1))
        return "a section is [name] and stands alone, such as [train]";
    *end = '\0';
    text += strspn(text, BLANKS);
    trim_end(text);
    out->section = text;
    return NULL;
}

/* TEXT begins behind the opening quote. */
static const char *read_quoted(char *text, struct config_line *out)
{
    char *to = text;

    out->value = text;
    for (; *text != '"'; *to++ = *text++) {
        if (*text == '\\' && (text[1] == '"' || text[1] == '\\'))
            text++;
        else if (*text == '\\')
            return "in quotes, a backslash stands before \" or \\ only: write "
                   "\\\\ for one";
        if (*text == '\0')
            return "a quote is missing at the end of the value";
    }
    if (!is_end(text + 1))
        return "there is more behind the value's quote: write \\\" for a quote "
               "inside";
    *to = '\0';
    return NULL;
}

static const char *read_plain(char *text, struct config_line *out)
{
    char *mark = text;

    while ((mark = strchr(mark, '#')) != NULL) {
        if (mark == text || strchr(BLANKS, mark[-1]) != NULL) {
            *mark = '\0';
            break;
        }
        mark++;
    }
    trim_end(text);
    if (*text == '\0')
        return "a value is missing behind =";
    out->value = text;
    return NULL;
}

static const char *read_setting(char *text, struct config_line *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t length = strspn(text, letters);
    char *rest = text + length, *underscore;

    rest += strspn(rest, BLANKS);
    if (length == 0 || *rest != '=')
        return "this is no \"name = value\", such as \"steps = 400\"";
    text[length] = '\0';
    while ((underscore = strchr(text, '_')) != NULL)
        *underscore = '-';
    out->name = text;
    rest++;
    rest += strspn(rest, BLANKS);
    return *rest == '"' ? read_quoted(rest + 1, out) : read_plain(rest, out);
}

const char *config_line_read(char *line, struct config_line *out)
{
    memset(out, 0, sizeof(*out));
    if (!text_is_clean(line))
        return "this is not UTF-8, or has control characters in it: save the "
               "file as plain text";
    line += strspn(line, BLANKS);
    if (is_end(line))
        return NULL;
    if (*line == '[')
        return read_section(line + 1, out);
    return read_setting(line, out);
}

static const char *read_all(FILE *file, char **text, size_t *length)
{
    char *room = malloc(MOST_BYTES + 2);

    if (room == NULL)
        return "out of memory";
    *length = fread(room, 1, MOST_BYTES + 1, file);
    if (ferror(file) || *length > MOST_BYTES) {
        free(room);
        return ferror(file) ? strerror(errno)
                            : "this is larger than 1 MB, and so no "
                              "configuration file";
    }
    room[*length] = '\0';
    *text = room;
    return NULL;
}

const char *config_load(const char *path, char **text, size_t *length)
{
    FILE *file = fopen(path, "rb");
    struct stat facts;
    const char *error;

    if (file == NULL)
        return errno == ENOENT ? "there is no such configuration file"
                               : strerror(errno);
    if (fstat(fileno(file), &facts) == 0 && S_ISDIR(facts.st_mode))
        error = "this is a folder: give a configuration file";
    else
        error = read_all(file, text, length);
    fclose(file);
    if (error != NULL)
        errno = 0;
    return error;
}

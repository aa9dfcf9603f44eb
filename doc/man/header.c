/* SPDX-License-Identifier: MIT */
/* Reading a public header; see header.h for how much of C that takes. */
#include "header.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *must(void *memory)
{
    if (memory != NULL)
        return memory;
    fputs("make-pages: out of memory\n", stderr);
    exit(1);
}

char *file_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t size = 0, got;

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    do {
        text = must(realloc(text, size + 4096 + 1));
        got = fread(text + size, 1, 4096, file);
        size += got;
    } while (got > 0);
    fclose(file);
    text[size] = '\0';
    return text;
}

bool span_is(struct span span, const char *text)
{
    return strlen(text) == span.length &&
           strncmp(span.at, text, span.length) == 0;
}

static struct span span_between(const char *at, const char *end)
{
    struct span span = {at, (size_t)(end - at)};

    return span;
}

static struct span trimmed(struct span span)
{
    while (span.length > 0 && isspace((unsigned char)span.at[0])) {
        span.at++;
        span.length--;
    }
    while (span.length > 0 && isspace((unsigned char)span.at[span.length - 1]))
        span.length--;
    return span;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The name that ends at END. */
static struct span name_before(const char *begin, const char *end)
{
    const char *at;

    while (end > begin && !is_name(end[-1]))
        end--;
    for (at = end; at > begin && is_name(at[-1]); at--)
        continue;
    return span_between(at, end);
}

static const char *behind_comment(const char *at)
{
    const char *end = strstr(at, "*/");

    return end == NULL ? at + strlen(at) : end + 2;
}

/* The semicolon that ends the declaration at AT. */
static const char *declaration_end(const char *at)
{
    int depth = 0;

    while (*at != '\0' && (depth > 0 || *at != ';')) {
        if (strncmp(at, "/*", 2) == 0) {
            at = behind_comment(at);
            continue;
        }
        depth += *at == '{';
        depth -= *at == '}';
        at++;
    }
    return at;
}

static bool begins(struct span text, const char *word)
{
    return text.length > strlen(word) &&
           strncmp(text.at, word, strlen(word)) == 0;
}

static const char *find(struct span text, char c)
{
    return memchr(text.at, c, text.length);
}

static void classify(struct declaration *declaration)
{
    struct span text = declaration->text;
    const char *end = text.at + text.length;
    const char *brace = find(text, '{'), *open = find(text, '(');

    if (brace != NULL && (open == NULL || brace < open)) {
        declaration->kind = begins(text, "enum") ? ENUMERATION : STRUCTURE;
        end = brace;
    } else if (brace != NULL) {
        declaration->kind = STRUCTURE;
        end = brace;
    } else if (open != NULL) {
        declaration->kind = begins(text, "typedef") ? CALLBACK : FUNCTION;
        end = open;
    } else {
        declaration->kind = OPAQUE;
    }
    declaration->name = name_before(text.at, end);
}

static void add(struct header *header, struct declaration declaration)
{
    size_t size = (header->count + 1) * sizeof(*header->declarations);

    header->declarations = must(realloc(header->declarations, size));
    classify(&declaration);
    header->declarations[header->count++] = declaration;
}

/* Behind the preprocessor's line, with those that continue it. */
static const char *behind_directive(const char *at)
{
    while (*at != '\0' && (*at != '\n' || at[-1] == '\\'))
        at++;
    return at;
}

static const char *behind_blanks(const char *at, bool *empty_line)
{
    int lines = 0;

    for (; isspace((unsigned char)*at); at++)
        lines += *at == '\n';
    *empty_line = lines > 1;
    return at;
}

static void read_declarations(struct header *header, const char *at,
                              const char *end)
{
    struct span comment = {at, 0};
    bool opens = true, empty_line;

    while ((at = behind_blanks(at, &empty_line)) < end && *at != '\0') {
        const char *from = at;

        if (empty_line)
            opens = true;
        if (empty_line && header->count > 0)
            comment.length = 0;
        if (*at == '#') {
            at = behind_directive(at);
        } else if (strncmp(at, "/*", 2) == 0) {
            at = behind_comment(at);
            comment = span_between(from, at);
            opens = true;
        } else {
            struct declaration declaration = {.comment = comment,
                                              .opens = opens};

            at = declaration_end(at);
            declaration.text = span_between(from, at);
            add(header, declaration);
            at += *at == ';';
            opens = false;
            comment.length = 0;
        }
    }
}

/* The second comment of the file; the first is the licence. */
static struct span opening_comment(const char *text)
{
    const char *at = strstr(text, "/*");

    at = at == NULL ? NULL : strstr(behind_comment(at), "/*");
    return at == NULL ? span_between(text, text)
                      : span_between(at, behind_comment(at));
}

void header_read(struct header *header, const char *path)
{
    static const char opener[] = "#include \"dreambooth/begin.h\"";
    const char *begin, *end;

    memset(header, 0, sizeof(*header));
    header->text = file_text(path);
    header->about = opening_comment(header->text);
    begin = strstr(header->text, opener);
    end = strstr(header->text, "#include \"dreambooth/end.h\"");
    if (begin != NULL && end != NULL)
        read_declarations(header, begin + sizeof(opener) - 1, end);
}

void header_free(struct header *header)
{
    free(header->declarations);
    free(header->text);
}

struct span declaration_arguments(const struct declaration *declaration)
{
    struct span text = declaration->text;
    const char *open = find(text, '(');

    return trimmed(span_between(open + 1, text.at + text.length - 1));
}

struct span declaration_result(const struct declaration *declaration)
{
    return trimmed(span_between(declaration->text.at, declaration->name.at));
}

bool declaration_argument(struct span *rest, struct span *argument)
{
    const char *end = rest->at + rest->length;
    const char *comma = find(*rest, ',');

    if (rest->length == 0)
        return false;
    *argument = trimmed(span_between(rest->at, comma == NULL ? end : comma));
    *rest = comma == NULL ? span_between(end, end)
                          : trimmed(span_between(comma + 1, end));
    return true;
}

struct span argument_name(struct span argument)
{
    const char *bracket = find(argument, '[');
    const char *end = argument.at + argument.length;

    return name_before(argument.at, bracket == NULL ? end : bracket);
}

struct span declaration_body(const struct declaration *declaration)
{
    const char *open = find(declaration->text, '{');
    const char *end = declaration->text.at + declaration->text.length;

    while (end > open && *end != '}')
        end--;
    return span_between(open + 1, end);
}

bool declaration_constant(struct span *rest, struct span *name,
                          struct span *value, struct span *comment)
{
    struct span left = trimmed(*rest);
    const char *end = left.at + left.length, *at = left.at;
    const char *line;

    if (left.length == 0)
        return false;
    while (at < end && is_name(*at))
        at++;
    *name = span_between(left.at, at);
    for (line = at; at < end && *at != ',' && strncmp(at, "/*", 2) != 0; at++)
        continue;
    *value = trimmed(span_between(line, at));
    if (value->length > 0 && value->at[0] == '=')
        *value = trimmed(span_between(value->at + 1, at));
    at += at < end && *at == ',';
    while (at < end && *at == ' ')
        at++;
    *comment = span_between(at, at);
    if (at < end && strncmp(at, "/*", 2) == 0) {
        *comment = span_between(at, behind_comment(at));
        at = behind_comment(at);
    }
    *rest = span_between(at, end);
    return true;
}

/* One line of a comment without the frame. */
static struct span bare_line(struct span line)
{
    struct span bare = trimmed(line);

    if (bare.length >= 2 && strncmp(bare.at + bare.length - 2, "*/", 2) == 0)
        bare.length -= 2;
    if (bare.length >= 2 && strncmp(bare.at, "/*", 2) == 0) {
        bare.at += 2;
        bare.length -= 2;
    } else if (bare.length >= 1 && bare.at[0] == '*') {
        bare.at++;
        bare.length--;
    }
    if (bare.length > 0 && bare.at[0] == ' ') {
        bare.at++;
        bare.length--;
    }
    return bare;
}

char *comment_text(struct span comment)
{
    char *text = must(malloc(comment.length + 2)), *to = text;
    const char *at = comment.at, *end = comment.at + comment.length;

    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        struct span line = bare_line(span_between(at, next ? next : end));

        while (line.length > 0 && line.at[line.length - 1] == ' ')
            line.length--;
        memcpy(to, line.at, line.length);
        to += line.length;
        *to++ = '\n';
        at = next == NULL ? end : next + 1;
    }
    *to = '\0';
    return text;
}

/* SPDX-License-Identifier: MIT */
/* Insertions made of the public headers, and of the examples. */
#include "pages.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/base.h>

#include "prose.h"

static char *path_of(const struct page *page, const char *folder,
                     const char *name)
{
    size_t size = strlen(page->source_dir) + strlen(folder) + strlen(name) + 3;
    char *path = must(malloc(size));

    snprintf(path, size, "%s/%s/%s", page->source_dir, folder, name);
    return path;
}

static void read_header(struct header *header, const struct page *page,
                        const char *name)
{
    char *path = path_of(page, "include/dreambooth", name);

    header_read(header, path);
    free(path);
}

/* On one line, for free(). */
static char *one_line(struct span span)
{
    char *text = must(malloc(span.length + 1)), *to = text;
    size_t i;

    for (i = 0; i < span.length; i++) {
        bool blank = isspace((unsigned char)span.at[i]) != 0;

        if (!blank || !isspace((unsigned char)span.at[i - 1]))
            *to++ = blank ? ' ' : span.at[i];
    }
    *to = '\0';
    return text;
}

/* How many declarations are under the comment of the first. */
static size_t group_size(const struct header *header, size_t first)
{
    size_t count = 1;

    while (first + count < header->count &&
           !header->declarations[first + count].opens)
        count++;
    return count;
}

static bool is_called(const struct declaration *declaration)
{
    return declaration->kind == FUNCTION || declaration->kind == CALLBACK;
}

/* NAME and SYNOPSIS ----------------------------------------------------------
 */

/* The functions behind the page's own name, which stands before this. */
void insert_names(const struct page *page, const char *what, const char *which)
{
    struct header header;
    const char *comma = " ,";
    size_t i, last = 0;

    (void)which;
    read_header(&header, page, what);
    for (i = 0; i < header.count; i++)
        if (header.declarations[i].kind == FUNCTION)
            last = i;
    for (i = 0; i < header.count; i++) {
        if (header.declarations[i].kind != FUNCTION)
            continue;
        if (i == last)
            comma = "";
        fprintf(page->out, ".Nm %.*s%s\n",
                (int)header.declarations[i].name.length,
                header.declarations[i].name.at, comma);
    }
    header_free(&header);
}

/* Lines are broken between arguments; long ones, before the first as well. */
static void print_prototype(FILE *out, const struct declaration *declaration)
{
    struct span rest = declaration_arguments(declaration), argument;
    char *text = one_line(declaration_result(declaration));
    size_t name = declaration->name.length;
    bool first = true;

    fprintf(out, ".Ft %s\n.Fo %.*s\n", text, (int)name, declaration->name.at);
    free(text);
    while (declaration_argument(&rest, &argument)) {
        text = one_line(argument);
        fprintf(out, ".Fa \"%s%s\"\n",
                first && name + strlen(text) > 70 ? "\\:" : "", text);
        free(text);
        first = false;
    }
    fputs(".Fc\n", out);
}

void insert_synopsis(const struct page *page, const char *what,
                     const char *which)
{
    struct header header;
    size_t i;

    (void)which;
    read_header(&header, page, what);
    fprintf(page->out, ".In dreambooth/%s\n", what);
    for (i = 0; i < header.count; i++)
        if (is_called(&header.declarations[i]))
            print_prototype(page->out, &header.declarations[i]);
    header_free(&header);
}

/* DESCRIPTION ----------------------------------------------------------------
 */

void insert_about(const struct page *page, const char *what, const char *which)
{
    struct header header;
    struct subject subject = {.header = &header};
    char *text;

    (void)which;
    read_header(&header, page, what);
    text = comment_text(header.about);
    prose(page->out, &subject, text);
    free(text);
    header_free(&header);
}

/* The declarations of a comment, and the comment. */
static void print_group(FILE *out, const struct header *header, size_t first,
                        size_t count)
{
    const struct declaration *declaration = &header->declarations[first];
    struct subject subject = {header, declaration, count, NULL};
    char *text = comment_text(declaration->comment);
    size_t i;

    for (i = 0; i < count; i++)
        if (is_called(&declaration[i]))
            fprintf(out, ".It Fn %.*s\n", (int)declaration[i].name.length,
                    declaration[i].name.at);
    prose(out, &subject, text);
    free(text);
}

/* All comments whose declarations are of KIND. */
static void print_called(FILE *out, const struct header *header,
                         enum declaration_kind kind)
{
    bool any = false;
    size_t i, count;

    for (i = 0; i < header->count; i += count) {
        count = group_size(header, i);
        if (header->declarations[i].kind != kind)
            continue;
        fputs(any ? ".Pp\n" : ".Bl -tag -width Ds -compact\n", out);
        any = true;
        print_group(out, header, i, count);
    }
    if (any)
        fputs(".El\n", out);
}

void insert_functions(const struct page *page, const char *what,
                      const char *which)
{
    struct header header;

    (void)which;
    read_header(&header, page, what);
    print_called(page->out, &header, FUNCTION);
    header_free(&header);
}

static void print_constants(FILE *out, const struct declaration *declaration)
{
    struct span rest = declaration_body(declaration), name, value, comment;
    struct subject nothing = {0};

    fputs(".Bl -tag -width Ds\n", out);
    while (declaration_constant(&rest, &name, &value, &comment)) {
        char *text = comment_text(comment);

        text[strcspn(text, "\n")] = '\0';
        fprintf(out, ".It Dv %.*s", (int)name.length, name.at);
        fprintf(out, " Pq %.*s\n", (int)value.length, value.at);
        if (text[0] != '\0')
            prose_sentence(out, &nothing, text);
        free(text);
    }
    fputs(".El\n", out);
}

/* The fields as they stand in the header, without their indentation. */
static void print_fields(FILE *out, const struct declaration *declaration)
{
    struct span body = declaration_body(declaration);
    const char *at = body.at + 1, *end = body.at + body.length;

    fputs(".Bd -literal\n", out);
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));

        next = next == NULL ? end : next + 1;
        if (next - at > 4 && strncmp(at, "    ", 4) == 0)
            at += 4;
        print_literal(out, at, (size_t)(next - at));
        at = next;
    }
    fputs(".Ed\n", out);
}

/* The comment may stand over a forward declaration before it. */
static struct span type_comment(const struct header *header, size_t index)
{
    while (index > 0 && !header->declarations[index].opens)
        index--;
    return header->declarations[index].comment;
}

static void print_type(FILE *out, const struct header *header, size_t index)
{
    const struct declaration *declaration = &header->declarations[index];
    struct subject subject = {header, declaration, 1, NULL};
    char *text = comment_text(type_comment(header, index));

    fprintf(out, ".Ss %s%.*s\n",
            declaration->kind == ENUMERATION ? "enum " : "",
            (int)declaration->name.length, declaration->name.at);
    prose(out, &subject, text);
    if (declaration->kind == ENUMERATION)
        print_constants(out, declaration);
    else
        print_fields(out, declaration);
    free(text);
}

void insert_types(const struct page *page, const char *what, const char *which)
{
    struct header header;
    size_t i;

    (void)which;
    read_header(&header, page, what);
    print_called(page->out, &header, CALLBACK);
    for (i = 0; i < header.count; i++)
        if (header.declarations[i].kind == ENUMERATION ||
            header.declarations[i].kind == STRUCTURE)
            print_type(page->out, &header, i);
    header_free(&header);
}

/* Status codes ---------------------------------------------------------------
 */

/* Is the status called NAME spoken of in TEXT, by its brief name? */
static bool mentions(const char *text, struct span name)
{
    const size_t prefix = strlen("DREAMBOOTH_");
    const char *at = text;
    struct span brief = {name.at + prefix, name.length - prefix};

    for (; (at = strstr(at, "E")) != NULL; at++)
        if (strncmp(at, brief.at, brief.length) == 0 &&
            !isalnum((unsigned char)at[brief.length]) && at > text &&
            !isalnum((unsigned char)at[-1]))
            return true;
    return false;
}

/* The codes of base.h; with HEADER, those that its text mentions. */
static void print_statuses(const struct page *page, const struct header *header)
{
    struct header base;
    struct subject subject = {.header = header};
    struct span rest, name, value, comment;
    size_t i;

    read_header(&base, page, "base.h");
    for (i = 0; i < base.count; i++)
        if (base.declarations[i].kind == ENUMERATION)
            break;
    if (i == base.count)
        give_up("base.h has no status codes");
    rest = declaration_body(&base.declarations[i]);
    fputs(".Bl -tag -width Ds\n", page->out);
    while (declaration_constant(&rest, &name, &value, &comment)) {
        char *meaning;

        if (header != NULL && !mentions(header->text, name))
            continue;
        meaning = comment_text(comment);
        meaning[strcspn(meaning, "\n")] = '\0';
        fprintf(page->out, ".It Dv %.*s", (int)name.length, name.at);
        if (header == NULL)
            fprintf(page->out, " Pq %.*s", (int)value.length, value.at);
        putc('\n', page->out);
        prose_sentence(page->out, &subject, meaning);
        free(meaning);
    }
    fputs(".El\n", page->out);
    header_free(&base);
}

void insert_statuses(const struct page *page, const char *what,
                     const char *which)
{
    (void)what;
    (void)which;
    print_statuses(page, NULL);
}

void insert_errors(const struct page *page, const char *what, const char *which)
{
    struct header header;

    (void)which;
    read_header(&header, page, what);
    print_statuses(page, &header);
    header_free(&header);
}

/* Examples and links ---------------------------------------------------------
 */

/* The function WHICH of the program WHAT. */
void insert_program(const struct page *page, const char *what,
                    const char *which)
{
    char *path = path_of(page, "doc/examples", what);
    char *text = file_text(path), *at = text;
    const char *end;
    size_t length = strlen(which);

    while ((at = strstr(at, which)) != NULL)
        if (at[length] == '(' && at[-1] != '\n' && strchr(" *", at[-1]) &&
            at[strcspn(at, ";{\n")] == '\n' && at[strcspn(at, ";{")] == '{')
            break;
        else
            at++;
    end = at == NULL ? NULL : strstr(at, "\n}\n");
    if (end == NULL)
        give_up("%s has no function \"%s\"", path, which);
    while (at > text && at[-1] != '\n')
        at--;
    fputs(".Bd -literal\n", page->out);
    print_literal(page->out, at, (size_t)(end - at) + 2);
    fputs(".Ed\n", page->out);
    free(text);
    free(path);
}

void write_links(const char *source_dir, const char *header_name,
                 const char *folder, const char *target)
{
    struct page page = {.source_dir = source_dir};
    struct header header;
    char path[1024];
    size_t i;

    read_header(&header, &page, header_name);
    for (i = 0; i < header.count; i++) {
        struct span name = header.declarations[i].name;
        FILE *file;

        if (header.declarations[i].kind != FUNCTION)
            continue;
        snprintf(path, sizeof(path), "%s/%.*s.3", folder, (int)name.length,
                 name.at);
        file = fopen(path, "w");
        if (file == NULL || fprintf(file, ".so man3/%s\n", target) < 0 ||
            fclose(file) != 0)
            give_up("%s cannot be written", path);
    }
    header_free(&header);
}

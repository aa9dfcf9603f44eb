/* SPDX-License-Identifier: MIT */
/*
 * Makes a manual page of its source, in which lines such as "@options trainer@"
 * stand for what the library and the command say of themselves. @VERSION@ and
 * @DATE@ may be anywhere.
 *
 * make-pages DATE SOURCE-DIR FOLDER PAGE...: FOLDER/man1/dreambooth.1 and so on
 * from SOURCE-DIR/doc/man/dreambooth.1.in, with a link for each function that a
 * page of section 3 describes.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <dreambooth/base.h>

#include "header.h"
#include "pages.h"

static const struct {
    const char *name;
    insertion *print;
} insertions[] = {
    {"about", insert_about},
    {"arguments", insert_arguments},
    {"command-example", insert_command_example},
    {"commands", insert_commands},
    {"config-files", insert_config_files},
    {"description", insert_description},
    {"environment", insert_environment},
    {"errors", insert_errors},
    {"exit-codes", insert_exit_codes},
    {"facts", insert_facts},
    {"flags", insert_flags},
    {"functions", insert_functions},
    {"names", insert_names},
    {"options", insert_options},
    {"program", insert_program},
    {"statuses", insert_statuses},
    {"synopsis", insert_synopsis},
    {"types", insert_types},
    {"usage", insert_usage},
};

struct job {
    const char *date, *source_dir, *folder;
};

void give_up(const char *format, ...)
{
    va_list arguments;

    fputs("make-pages: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* LINE is "@name what which@". */
static void insert(const struct page *page, char *line)
{
    char name[32] = "", what[64] = "", which[64] = "";
    size_t i;

    line[strcspn(line + 1, "@") + 1] = '\0';
    sscanf(line + 1, "%31s %63s %63s", name, what, which);
    for (i = 0; i < sizeof(insertions) / sizeof(insertions[0]); i++)
        if (strcmp(insertions[i].name, name) == 0) {
            insertions[i].print(page, what, which);
            return;
        }
    give_up("\"%s\" stands for nothing", line);
}

static void replace(const struct job *job, FILE *out, const char *line)
{
    const struct {
        const char *name, *value;
    } values[] = {{"@VERSION@", dreambooth_version()}, {"@DATE@", job->date}};
    size_t i;

    while (*line != '\0') {
        for (i = 0; i < 2; i++)
            if (strncmp(line, values[i].name, strlen(values[i].name)) == 0)
                break;
        if (i < 2) {
            fputs(values[i].value, out);
            line += strlen(values[i].name);
        } else {
            putc(*line++, out);
        }
    }
    putc('\n', out);
}

static void fill(const struct job *job, FILE *out, char *text)
{
    struct page page = {out, job->source_dir};
    char *line, *next;

    for (line = text; *line != '\0'; line = next) {
        next = line + strcspn(line, "\n");
        if (*next != '\0')
            *next++ = '\0';
        if (line[0] == '@' && line[1] >= 'a' && line[1] <= 'z')
            insert(&page, line);
        else
            replace(job, out, line);
    }
}

/* The header in "@synopsis trainer.h@", or "". */
static void find_header(const char *text, char *header, size_t size)
{
    static const char mark[] = "\n@synopsis ";
    const char *at = strstr(text, mark);

    header[0] = '\0';
    if (at != NULL)
        snprintf(header, size, "%.*s", (int)strcspn(at + sizeof(mark) - 1, "@"),
                 at + sizeof(mark) - 1);
}

static void make_page(const struct job *job, const char *name)
{
    char path[1024], folder[1024], header[64], *text;
    FILE *out;

    snprintf(path, sizeof(path), "%s/doc/man/%s.in", job->source_dir, name);
    text = file_text(path);
    find_header(text, header, sizeof(header));
    snprintf(folder, sizeof(folder), "%s/man%s", job->folder,
             strrchr(name, '.') == NULL ? "" : strrchr(name, '.') + 1);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        give_up("%s: %s", folder, strerror(errno));
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >=
        (int)sizeof(path))
        give_up("%s/%s: the name is too long", folder, name);
    out = fopen(path, "w");
    if (out == NULL)
        give_up("%s: %s", path, strerror(errno));
    fill(job, out, text);
    if (ferror(out) != 0 || fclose(out) != 0)
        give_up("%s cannot be written", path);
    if (header[0] != '\0')
        write_links(job->source_dir, header, folder, name);
    free(text);
}

int main(int argc, char **argv)
{
    struct job job;
    int i;

    if (argc < 5) {
        fputs("usage: make-pages DATE SOURCE-DIR FOLDER PAGE...\n", stderr);
        return 2;
    }
    job = (struct job){argv[1], argv[2], argv[3]};
    for (i = 4; i < argc; i++)
        make_page(&job, argv[i]);
    return 0;
}

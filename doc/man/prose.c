/* SPDX-License-Identifier: MIT */
/* Words to macros, sentences to lines. */
#include "prose.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <dreambooth/dreambooth.h>

#include "options.h"

#define WIDTH 78
#define PREFIX "DREAMBOOTH_"

/* A line of the page that is being filled. */
struct line {
    FILE *out;
    size_t length;
    bool sentence_ended;
};

/* "(*MODEL's)." as "(", "*MODEL", "'s" and ").". */
struct word {
    bool parenthesis;
    struct span core;
    bool genitive;
    struct span tail;
};

static void flush(struct line *line)
{
    if (line->length > 0)
        putc('\n', line->out);
    line->length = 0;
}

static void print_escaped(FILE *out, const char *text, size_t length)
{
    size_t i;

    for (i = 0; i < length; i++)
        if (text[i] == '\\')
            fputs("\\e", out);
        else
            putc(text[i], out);
}

void print_argument(FILE *out, const char *text)
{
    bool quoted = text[strcspn(text, " \"")] != '\0' || text[0] == '\0';
    /* A word such as "No" would be called as a macro. */
    bool callable = isupper((unsigned char)text[0]) && strlen(text) <= 3 &&
                    islower((unsigned char)text[1]);

    putc(' ', out);
    if (quoted)
        putc('"', out);
    if (callable)
        fputs("\\&", out);
    for (; *text != '\0'; text++)
        if (*text == '"')
            fputs("\\(dq", out);
        else
            print_escaped(out, text, 1);
    if (quoted)
        putc('"', out);
}

void print_literal(FILE *out, const char *text, size_t length)
{
    const char *end = text + length;

    while (text < end) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t size = (size_t)((next == NULL ? end : next) - text);

        if (size > 0 && (text[0] == '.' || text[0] == '\''))
            fputs("\\&", out);
        print_escaped(out, text, size);
        putc('\n', out);
        text += size + 1;
    }
}

static void add_text(struct line *line, const char *text, size_t length)
{
    if (line->length > 0 && line->length + 1 + length > WIDTH)
        flush(line);
    if (line->length > 0)
        putc(' ', line->out);
    else if (text[0] == '.' || text[0] == '\'')
        fputs("\\&", line->out);
    line->length += length + 1;
    print_escaped(line->out, text, length);
}

/* Macros ---------------------------------------------------------------------
 */

const char *status_called(const char *name, size_t length)
{
    int status;

    for (status = DREAMBOOTH_DONE; status > -64; status--) {
        const char *known = dreambooth_status_name(status);
        const char *brief = known + sizeof(PREFIX) - 1;

        if (strncmp(known, PREFIX, sizeof(PREFIX) - 1) != 0)
            continue;
        if ((strlen(known) == length && strncmp(known, name, length) == 0) ||
            (brief[0] == 'E' && strlen(brief) == length &&
             strncmp(brief, name, length) == 0))
            return known;
    }
    return NULL;
}

static bool is_fact_or_option(struct span name)
{
    static const char *const handles[] = {"context", "identifier", "model",
                                          "sampler", "trainer"};
    char known[64];
    size_t i, index;

    for (i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        for (index = 0; dreambooth_option_info(handles[i], index, "name", known,
                                               sizeof(known)) == 0;
             index++)
            if (span_is(name, known))
                return true;
        for (index = 0; dreambooth_fact_info(handles[i], index, "name", known,
                                             sizeof(known)) == 0;
             index++)
            if (span_is(name, known))
                return true;
    }
    return false;
}

static bool is_capital_of(struct span word, struct span name)
{
    size_t i;

    if (word.length != name.length)
        return false;
    for (i = 0; i < word.length; i++)
        if (word.at[i] != toupper((unsigned char)name.at[i]))
            return false;
    return true;
}

static bool is_argument(const struct subject *subject, struct span word)
{
    size_t i;

    if (word.length > 1 && word.at[0] == '*') {
        word.at++;
        word.length--;
    }
    for (i = 0; i < subject->count; i++) {
        const struct declaration *declaration = &subject->declaration[i];
        struct span rest, argument;

        if (declaration->kind != FUNCTION && declaration->kind != CALLBACK)
            continue;
        rest = declaration_arguments(declaration);
        while (declaration_argument(&rest, &argument))
            if (is_capital_of(word, argument_name(argument)))
                return true;
    }
    return false;
}

/* "malloc()" */
static bool is_function(struct span word)
{
    size_t i;

    if (word.length < 4 || word.length > 100 ||
        strncmp(word.at + word.length - 2, "()", 2) != 0)
        return false;
    for (i = 0; i < word.length - 2; i++)
        if (!isalnum((unsigned char)word.at[i]) && word.at[i] != '_')
            return false;
    return true;
}

static bool is_of_page(const struct subject *subject, struct span function)
{
    size_t i;

    for (i = 0; subject->header != NULL && i < subject->header->count; i++) {
        struct span name = subject->header->declarations[i].name;

        if (name.length == function.length &&
            strncmp(name.at, function.at, name.length) == 0)
            return true;
    }
    return false;
}

/* Macros: each says whether WORD is its, and changes it to what the macro
 * takes. TEXT has room for SIZE bytes. */
typedef bool macro_rule(const struct subject *subject, struct span word,
                        char *text, size_t size);

static bool take_status(const struct subject *subject, struct span word,
                        char *text, size_t size)
{
    const char *status = status_called(word.at, word.length);

    (void)subject;
    if (status != NULL)
        snprintf(text, size, "%s", status);
    return status != NULL || span_is(word, "NULL") ||
           strncmp(text, PREFIX, sizeof(PREFIX) - 1) == 0;
}

static bool take_argument(const struct subject *subject, struct span word,
                          char *text, size_t size)
{
    (void)size;
    if (!is_argument(subject, word))
        return false;
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
    return true;
}

static bool take_function(const struct subject *subject, struct span word,
                          char *text, size_t size)
{
    (void)size;
    if (!is_function(word))
        return false;
    word.length -= 2;
    text[word.length] = '\0';
    return strncmp(text, "dreambooth_", 11) != 0 || is_of_page(subject, word);
}

static bool take_other_function(const struct subject *subject, struct span word,
                                char *text, size_t size)
{
    (void)size;
    if (!is_function(word) || take_function(subject, word, text, size))
        return false;
    return true;
}

static bool take_option(const struct subject *subject, struct span word,
                        char *text, size_t size)
{
    (void)subject;
    if (word.length < 3 || word.at[0] != '"')
        return false;
    word.at++;
    word.length -= 2;
    if (!is_fact_or_option(word))
        return false;
    snprintf(text, size, "%.*s", (int)word.length, word.at);
    return true;
}

static bool take_flag(const struct subject *subject, struct span word,
                      char *text, size_t size)
{
    (void)subject;
    if (word.length < 4 || strncmp(word.at, "--", 2) != 0)
        return false;
    snprintf(text, size, "%.*s", (int)word.length - 1, word.at + 1);
    return true;
}

static bool take_positional(const struct subject *subject, struct span word,
                            char *text, size_t size)
{
    const struct positional *positional;

    (void)text;
    (void)size;
    if (subject->command == NULL)
        return false;
    for (positional = subject->command->positionals; positional->name != NULL;
         positional++)
        if (span_is(word, positional->name))
            return true;
    return false;
}

static bool take_file(const struct subject *subject, struct span word,
                      char *text, size_t size)
{
    static const char *const ends[] = {".json", ".csv",         ".txt", ".png",
                                       ".conf", ".safetensors", "/"};
    size_t i, length;

    (void)subject;
    (void)size;
    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        length = strlen(ends[i]);
        if (word.length > length && islower((unsigned char)text[0]) &&
            strcmp(text + word.length - length, ends[i]) == 0)
            return true;
    }
    return false;
}

static bool take_type(const struct subject *subject, struct span word,
                      char *text, size_t size)
{
    (void)subject;
    (void)size;
    return strncmp(text, "dreambooth_", 11) == 0 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == word.length;
}

static const struct {
    const char *macro, *behind;
    macro_rule *takes;
} macros[] = {
    {"Dv", "", take_status},     {"Fa", "", take_argument},
    {"Fn", "", take_function},   {"Xr", " 3", take_other_function},
    {"Cm", "", take_option},     {"Fl", "", take_flag},
    {"Ar", "", take_positional}, {"Pa", "", take_file},
    {"Vt", "", take_type},
};

/* Begins the macro's line where WORD has one: ".Fa model". */
static bool print_macro(struct line *line, const struct subject *subject,
                        const struct word *word)
{
    char text[128];
    size_t i;

    if (word->core.length >= sizeof(text))
        return false;
    for (i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
        snprintf(text, sizeof(text), "%.*s", (int)word->core.length,
                 word->core.at);
        if (!macros[i].takes(subject, word->core, text, sizeof(text)))
            continue;
        flush(line);
        fprintf(line->out, ".%s%s", word->parenthesis ? "Pf ( " : "",
                macros[i].macro);
        print_argument(line->out, text);
        fputs(macros[i].behind, line->out);
        return true;
    }
    return false;
}

static void add_word(struct line *line, const struct subject *subject,
                     const struct word *word)
{
    const char *begin = word->core.at - (word->parenthesis ? 1 : 0);
    size_t i;

    if (line->sentence_ended && !islower((unsigned char)word->core.at[0]))
        flush(line);
    if (print_macro(line, subject, word)) {
        if (word->genitive)
            fputs(" Ns No 's", line->out);
        for (i = 0; i < word->tail.length; i++)
            fprintf(line->out, " %c", word->tail.at[i]);
        putc('\n', line->out);
    } else {
        add_text(line, begin,
                 (size_t)(word->tail.at + word->tail.length - begin));
    }
    line->sentence_ended = false;
    for (i = 0; i < word->tail.length; i++)
        if (strchr(".?!", word->tail.at[i]) != NULL)
            line->sentence_ended = true;
}

/* Words ----------------------------------------------------------------------
 */

static const char *word_end(const char *at)
{
    const char *quote;

    if (at[0] == '(')
        at++;
    quote = at[0] == '"' ? strchr(at + 1, '"') : NULL;
    if (quote != NULL)
        at = quote;
    while (*at != '\0' && !isspace((unsigned char)*at))
        at++;
    return at;
}

static struct word split_word(const char *at, const char *end)
{
    struct word word = {.parenthesis = at[0] == '('};
    const char *tail = end;

    if (word.parenthesis)
        at++;
    while (tail > at + 1 && strchr(".,;:?!)", tail[-1]) != NULL &&
           strncmp(tail - 2, "()", 2) != 0)
        tail--;
    word.tail.at = tail;
    word.tail.length = (size_t)(end - tail);
    word.genitive = tail - at > 2 && strncmp(tail - 2, "'s", 2) == 0;
    if (word.genitive)
        tail -= 2;
    word.core.at = at;
    word.core.length = (size_t)(tail - at);
    return word;
}

/* One paragraph, up to END. */
static void fill(FILE *out, const struct subject *subject, const char *at,
                 const char *end)
{
    struct line line = {.out = out};

    while (at < end) {
        const char *next = word_end(at);
        struct word word = split_word(at, next > end ? end : next);

        add_word(&line, subject, &word);
        for (at = next; at < end && isspace((unsigned char)*at); at++)
            continue;
    }
    flush(&line);
}

/* Behind the line that ends at AT. */
static const char *behind_line(const char *at)
{
    at += strcspn(at, "\n");
    return *at == '\n' ? at + 1 : at;
}

static void display(FILE *out, const char *at, const char *end)
{
    fputs(".Bd -literal -offset indent\n", out);
    while (at < end) {
        const char *next = behind_line(at);

        if (*at != '\n')
            print_literal(out, at + 4, (size_t)(next - at) - 4);
        else
            putc('\n', out);
        at = next;
    }
    fputs(".Ed\n", out);
}

static bool is_indented(const char *at)
{
    return strncmp(at, "    ", 4) == 0;
}

void prose(FILE *out, const struct subject *subject, const char *text)
{
    const char *at = text + strspn(text, "\n"), *end;
    bool first = true;

    for (; *at != '\0'; at += strspn(at, "\n")) {
        bool indented = is_indented(at);

        for (end = at; *end != '\0' && *end != '\n'; end = behind_line(end))
            if (is_indented(end) != indented)
                break;
        if (indented)
            display(out, at, end);
        else if (!first)
            fputs(".Pp\n", out);
        if (!indented)
            fill(out, subject, at, end);
        first = false;
        at = end;
    }
}

void prose_sentence(FILE *out, const struct subject *subject, const char *text)
{
    size_t length = strlen(text);
    char *sentence = must(malloc(length + 2));

    snprintf(sentence, length + 2, "%s%s", text,
             length > 0 && strchr(".?!", text[length - 1]) ? "" : ".");
    if (strchr("(_:", sentence[strcspn(sentence, " ._(:")]) == NULL)
        sentence[0] = (char)toupper((unsigned char)sentence[0]);
    fill(out, subject, sentence, sentence + strlen(sentence));
    free(sentence);
}

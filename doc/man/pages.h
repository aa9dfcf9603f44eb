/* SPDX-License-Identifier: MIT */
/*
 * What can be inserted into a page: a line "@options trainer@" of its source
 * becomes what the function called options prints of "trainer".
 */
#ifndef MAN_PAGES_H
#define MAN_PAGES_H

#include <stdio.h>

struct page {
    FILE *out;
    const char *source_dir;
};

/* WHAT and WHICH are the words behind the name; "" for those that are not
 * there. Exits with a message for what is unknown. */
typedef void insertion(const struct page *page, const char *what,
                       const char *which);

/* Of the tables of the library and the command (tables.c). */
insertion insert_arguments, insert_command_example, insert_commands,
    insert_config_files, insert_description, insert_environment,
    insert_exit_codes, insert_facts, insert_flags, insert_options, insert_usage;
/* Of a public header (functions.c). */
insertion insert_about, insert_errors, insert_functions, insert_names,
    insert_statuses, insert_synopsis, insert_types;
/* Of a file of doc/examples: a function of it. */
insertion insert_program;

/* "make-pages: ..." on stderr, and the end. */
_Noreturn void give_up(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Links for the functions of HEADER: FOLDER/NAME.3, which open PAGE. */
void write_links(const char *source_dir, const char *header, const char *folder,
                 const char *page);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Completion scripts for shells, made at run time from the tables of
 * subcommands and options: what is added there is completed without a further
 * word.
 */
#ifndef COMPLETION_H
#define COMPLETION_H

#include "options.h"

/* What a shell offers for an argument or a flag's value. */
enum completion_kind {
    COMPLETE_NOTHING, /* numbers and texts */
    COMPLETE_FOLDERS,
    COMPLETE_FILES,
    COMPLETE_COMMANDS,
    COMPLETE_WORDS, /* its choices */
    COMPLETE_FLAG   /* a flag that takes no value */
};

enum completion_kind completion_of_flag(const struct flag *flag);
enum completion_kind completion_of_positional(const struct positional *one);
/* "steps", or "no-prior" for a boolean that is on. */
const char *completion_name(const struct flag *flag, char *text, size_t size);
/* Writes the names of all commands, with blanks between. */
void completion_commands(void);
/* Writes TEXT with a backslash before each of the characters in SPECIAL, and a
 * single quote as QUOTE. */
void completion_escape(const char *text, const char *special,
                       const char *quote);

/* One script for each shell. FLAGS has those of each of all_commands. */
void completion_bash(const struct options *flags);
void completion_zsh(const struct options *flags);
void completion_fish(const struct options *flags);

#endif

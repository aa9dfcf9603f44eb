/* SPDX-License-Identifier: MIT */
/*
 * Folders: what is in them, in an order that depends on the names alone and
 * not on the file system.
 */
#ifndef DB_FILE_FOLDER_H
#define DB_FILE_FOLDER_H

#include "base/env.h"

/* Symbolic links are followed; a dangling one does not exist. */
bool db_path_exists(const char *path);
bool db_path_is_folder(const char *path);
bool db_path_is_file(const char *path); /* a regular file */

/* FOLDER/NAME in fresh memory (just NAME where FOLDER is ""); NULL with the
 * error set without memory. */
char *db_path_join(struct db_env *env, const char *folder, const char *name);
/* The part of PATH behind its last '/', trailing ones aside; inside PATH. */
const char *db_path_name(const char *path);
/* What is before db_path_name(), in fresh memory: "." or "/" where there is no
 * more. */
char *db_path_parent(struct db_env *env, const char *path);

/* Are both there, and the same folder or file? */
bool db_path_same(const char *a, const char *b);

struct db_folder_list {
    char **names; /* COUNT of them, in bytewise order */
    size_t count;
};

/*
 * Lists the names of the regular files in the folder PATH, those aside that
 * begin with a dot, into *OUT (to be freed with db_folder_list_free()).
 * ENOTFOUND when there is no such folder.
 */
int db_folder_files(struct db_env *env, const char *path,
                    struct db_folder_list *out);
/* The same for the folders in it. */
int db_folder_folders(struct db_env *env, const char *path,
                      struct db_folder_list *out);
/* Leaves LIST empty; an all-zero one is fine. */
void db_folder_list_free(struct db_env *env, struct db_folder_list *list);

#endif

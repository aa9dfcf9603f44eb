/* SPDX-License-Identifier: MIT */
/*
 * Writing that is seen whole or not at all. What is new is written under a
 * hidden temporary name in the same folder, made durable, and renamed over the
 * old: whoever reads, and whoever is killed, finds the old or the new.
 *
 * A temporary is called ".NAME.tmp-PID-N" and locked (flock) by the process
 * that writes it. One that a killed process left behind is in nobody's way:
 * listings skip hidden names, and db_atomic_sweep() takes away those without a
 * lock.
 */
#ifndef DB_FILE_ATOMIC_H
#define DB_FILE_ATOMIC_H

#include "base/env.h"

struct db_atomic;

/*
 * Starts writing what is to become the file PATH (PATH is copied). A symbolic
 * link at PATH will be replaced, not followed. End with commit or abort.
 */
int db_atomic_begin(struct db_env *env, const char *path,
                    struct db_atomic **out);
/* Appends SIZE bytes. ENOSPACE on a full disk. After an error only
 * db_atomic_abort() is of use. */
int db_atomic_write(struct db_atomic *file, const void *bytes, size_t size);
/* Makes it durable and puts it in place. Frees FILE in any case; on an error
 * the temporary is gone and the old file is as it was. */
int db_atomic_commit(struct db_atomic *file);
/* Removes the temporary and frees FILE; NULL is fine. */
void db_atomic_abort(struct db_atomic *file);

/* All of it at once. */
int db_atomic_write_file(struct db_env *env, const char *path,
                         const void *bytes, size_t size);

/*
 * The same for a folder: what is put under db_atomic_folder_path() becomes the
 * folder PATH at the commit; a folder that was there before is moved away and
 * then removed. Where the system can exchange two names in one go it does so;
 * elsewhere there is a moment without PATH, and db_atomic_folder_recover() puts
 * the old one back if the process was killed in it.
 */
struct db_atomic_folder;

int db_atomic_folder_begin(struct db_env *env, const char *path,
                           struct db_atomic_folder **out);
const char *db_atomic_folder_path(const struct db_atomic_folder *folder);
int db_atomic_folder_commit(struct db_atomic_folder *folder);
void db_atomic_folder_abort(struct db_atomic_folder *folder);
int db_atomic_folder_recover(struct db_env *env, const char *path);

/* Removes what killed processes left in FOLDER: temporaries that nobody has
 * locked. What cannot be removed stays. */
int db_atomic_sweep(struct db_env *env, const char *folder);

/* mkdir -p. EIO when something on the way is no folder. */
int db_make_folders(struct db_env *env, const char *path);

/*
 * Removes the folder PATH with everything in it. Symbolic links in it are
 * removed, never followed; EIO when PATH itself is one or no folder. OK when
 * there is nothing at PATH.
 */
int db_remove_tree(struct db_env *env, const char *path);

/* The bytes that may still be written to the file system which PATH, or its
 * nearest existing parent folder, lies on. */
int db_disk_free(struct db_env *env, const char *path, uint64_t *bytes);

#endif

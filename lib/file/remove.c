/* SPDX-License-Identifier: MIT */
/*
 * Removing trees, and what killed processes left behind; see atomic.h. A tree
 * is walked by folder descriptors, and every folder is opened with O_NOFOLLOW:
 * a symbolic link, even one that is put there meanwhile, never leads out.
 */
#include "file/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/folder.h"

#define MAX_DEPTH 32

static int remove_entry(struct db_env *env, int parent, const char *name,
                        int depth);

/* Removes what is in the folder behind DESCRIPTOR, which is closed. */
static int empty_folder(struct db_env *env, int descriptor, const char *name,
                        int depth)
{
    DIR *folder = fdopendir(descriptor);
    struct dirent *entry;
    int status = DREAMBOOTH_OK;

    if (folder == NULL) {
        db_fail_errno(env, errno, "%s: cannot open the folder", name);
        close(descriptor);
        return env->error_status;
    }
    while (status == DREAMBOOTH_OK) {
        errno = 0;
        entry = readdir(folder);
        if (entry == NULL) {
            if (errno != 0)
                status = db_fail_errno(env, errno, "%s: cannot list", name);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = remove_entry(env, dirfd(folder), entry->d_name, depth + 1);
    }
    closedir(folder);
    return status;
}

/* Removes the folder NAME in PARENT; EIO where it is a symbolic link. */
static int remove_folder(struct db_env *env, int parent, const char *name,
                         int depth)
{
    int descriptor, status;

    if (depth > MAX_DEPTH)
        return db_fail(env, DREAMBOOTH_EIO,
                       "%s: more than %d folders deep; not removed", name,
                       MAX_DEPTH);
    descriptor =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return db_fail(env, DREAMBOOTH_EIO, "%s: %s; not removed", name,
                       errno == ELOOP || errno == ENOTDIR
                           ? "is no folder"
                           : "cannot open the folder");
    status = empty_folder(env, descriptor, name, depth);
    if (status == DREAMBOOTH_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0)
        status = db_fail_errno(env, errno, "%s: cannot remove", name);
    return status;
}

static int remove_entry(struct db_env *env, int parent, const char *name,
                        int depth)
{
    struct stat facts;

    if (fstatat(parent, name, &facts, AT_SYMLINK_NOFOLLOW) != 0)
        return db_fail_errno(env, errno, "%s: cannot remove", name);
    if (S_ISDIR(facts.st_mode))
        return remove_folder(env, parent, name, depth);
    if (unlinkat(parent, name, 0) != 0)
        return db_fail_errno(env, errno, "%s: cannot remove", name);
    return DREAMBOOTH_OK;
}

int db_remove_tree(struct db_env *env, const char *path)
{
    struct stat facts;

    if (lstat(path, &facts) != 0) {
        if (errno == ENOENT)
            return DREAMBOOTH_OK;
        return db_fail_errno(env, errno, "%s: cannot remove", path);
    }
    return remove_folder(env, AT_FDCWD, path, 0);
}

/* Where "KIND-PID-N", KIND including its dot, begins at the end of NAME, or
 * NULL. */
static const char *find_suffix(const char *name, const char *kind)
{
    const char *found = NULL, *next = name, *rest;

    while ((next = strstr(next, kind)) != NULL)
        found = next++;
    if (name[0] != '.' || found == NULL || found == name)
        return NULL;
    rest = found + strlen(kind);
    rest += strspn(rest, "0123456789");
    if (*rest != '-' || rest[1] == '\0')
        return NULL;
    rest++;
    return rest[strspn(rest, "0123456789")] == '\0' ? found : NULL;
}

/* Removes the temporary NAME in FOLDER unless a process has it locked. */
static void sweep_entry(struct db_env *env, int folder, const char *name)
{
    int descriptor =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (descriptor < 0)
        return;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0 &&
        remove_entry(env, folder, name, 0) != DREAMBOOTH_OK)
        db_log(env, DB_LOG_WARNING, "left behind: %s", env->error_text);
    close(descriptor);
}

int db_atomic_sweep(struct db_env *env, const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (folder == NULL)
        return db_fail_errno(env, errno, "%s: cannot open the folder", path);
    while ((entry = readdir(folder)) != NULL) {
        if (find_suffix(entry->d_name, ".tmp-") != NULL)
            sweep_entry(env, dirfd(folder), entry->d_name);
    }
    closedir(folder);
    return DREAMBOOTH_OK;
}

/* Is ENTRY an old folder that was moved away from NAME? */
static bool is_old_of(const char *entry, const char *name)
{
    const char *end = find_suffix(entry, ".old-");
    size_t length = strlen(name);

    return end != NULL && (size_t)(end - entry) == length + 1 &&
           strncmp(entry + 1, name, length) == 0;
}

/* The one's path in fresh memory into *OLD, or NULL there. */
static int find_old(struct db_env *env, const char *parent, const char *path,
                    char **old)
{
    size_t length = strlen(path);
    const char *name = db_path_name(path);
    char *wanted;
    DIR *folder;
    struct dirent *entry;
    int status = DREAMBOOTH_OK;

    while (length > 1 && path[length - 1] == '/')
        length--;
    wanted = db_copy_bytes(env, name, length - (size_t)(name - path));
    if (wanted == NULL)
        return env->error_status;
    folder = opendir(parent);
    *old = NULL;
    while (folder != NULL && *old == NULL &&
           (entry = readdir(folder)) != NULL) {
        if (!is_old_of(entry->d_name, wanted))
            continue;
        *old = db_path_join(env, parent, entry->d_name);
        if (*old == NULL) {
            status = env->error_status;
            break;
        }
    }
    if (folder != NULL)
        closedir(folder);
    db_free(env, wanted);
    return status;
}

int db_atomic_folder_recover(struct db_env *env, const char *path)
{
    char *parent = db_path_parent(env, path);
    char *old = NULL;
    int status;

    if (parent == NULL)
        return env->error_status;
    status = find_old(env, parent, path, &old);
    if (status == DREAMBOOTH_OK && old != NULL) {
        if (db_path_exists(path))
            status = db_remove_tree(env, old);
        else if (rename(old, path) != 0)
            status = db_fail_errno(env, errno, "%s: cannot put back", path);
    }
    db_free(env, old);
    db_free(env, parent);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * Atomic files and folders; see atomic.h. The order is what makes it safe:
 * contents durable, then the name, then the folder that holds the name.
 */
#include "file/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include "file/folder.h"

#define BUFFER_SIZE ((size_t)64 * 1024)
#define TEMPORARY_TRIES 10000
/* So much of a name is repeated in its temporary's; 255 is a usual limit. */
#define NAME_KEPT 180

struct db_atomic {
    struct db_env *env;
    char *path, *temporary;
    int descriptor;
    size_t filled; /* bytes of buffer that are not written yet */
    unsigned char buffer[BUFFER_SIZE];
};

/* PARENT/.NAME.KIND-PID-N for the entry PATH. */
static char *temporary_name(struct db_env *env, const char *path,
                            const char *kind, int n)
{
    const char *name = db_path_name(path);
    char *parent = db_path_parent(env, path);
    char *base, *result = NULL;

    if (parent == NULL)
        return NULL;
    base = db_format(env, ".%.*s.%s-%ld-%d", NAME_KEPT, name, kind,
                     (long)getpid(), n);
    if (base != NULL)
        result = db_path_join(env, parent, base);
    db_free(env, base);
    db_free(env, parent);
    return result;
}

/* Opens, makes durable and closes the folder PATH. */
static int sync_folder(struct db_env *env, const char *path)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = 0;

    if (descriptor < 0)
        return db_fail_errno(env, errno, "%s: cannot open the folder", path);
    if (fsync(descriptor) != 0)
        error = errno;
    close(descriptor);
    /* Some file systems have no fsync for folders. */
    if (error != 0 && error != EINVAL && error != ENOTSUP)
        return db_fail_errno(env, error, "%s: cannot sync the folder", path);
    return DREAMBOOTH_OK;
}

/* Makes a new, locked file with a temporary name for PATH. */
static int temporary_file(struct db_env *env, const char *path, char **name,
                          int *descriptor)
{
    char *candidate;
    int opened, error;

    for (int n = 0; n < TEMPORARY_TRIES; n++) {
        candidate = temporary_name(env, path, "tmp", n);
        if (candidate == NULL)
            return env->error_status;
        opened = open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        error = errno;
        if (opened >= 0) {
            /* Where there are no locks, sweeping finds nothing to lock. */
            (void)flock(opened, LOCK_EX | LOCK_NB);
            *name = candidate;
            *descriptor = opened;
            return DREAMBOOTH_OK;
        }
        db_free(env, candidate);
        if (error != EEXIST)
            return db_fail_errno(env, error, "%s: cannot write", path);
    }
    return db_fail_errno(env, EEXIST, "%s: no free temporary name", path);
}

int db_atomic_begin(struct db_env *env, const char *path,
                    struct db_atomic **out)
{
    struct db_atomic *file = db_alloc(env, sizeof(*file));
    int status;

    if (file == NULL)
        return env->error_status;
    file->env = env;
    file->filled = 0;
    file->temporary = NULL;
    file->path = db_copy_text(env, path);
    if (file->path == NULL) {
        status = env->error_status;
        goto fail;
    }
    status = temporary_file(env, path, &file->temporary, &file->descriptor);
    if (status != DREAMBOOTH_OK)
        goto fail;
    *out = file;
    return DREAMBOOTH_OK;
fail:
    db_free(env, file->path);
    db_free(env, file);
    return status;
}

static int write_through(struct db_atomic *file, const unsigned char *bytes,
                         size_t size)
{
    ssize_t written;

    while (size > 0) {
        written = write(file->descriptor, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return db_fail_errno(file->env, errno, "%s: cannot write",
                                 file->path);
        if (written == 0)
            return db_fail_errno(file->env, ENOSPC, "%s: cannot write",
                                 file->path);
        bytes += written;
        size -= (size_t)written;
    }
    return DREAMBOOTH_OK;
}

static int write_buffer(struct db_atomic *file)
{
    size_t filled = file->filled;

    file->filled = 0;
    return write_through(file, file->buffer, filled);
}

int db_atomic_write(struct db_atomic *file, const void *bytes, size_t size)
{
    int status;

    if (size > BUFFER_SIZE - file->filled) {
        status = write_buffer(file);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    if (size >= BUFFER_SIZE)
        return write_through(file, bytes, size);
    if (size > 0)
        memcpy(file->buffer + file->filled, bytes, size);
    file->filled += size;
    return DREAMBOOTH_OK;
}

static void atomic_free(struct db_atomic *file)
{
    struct db_env *env = file->env;

    db_free(env, file->temporary);
    db_free(env, file->path);
    db_free(env, file);
}

int db_atomic_commit(struct db_atomic *file)
{
    struct db_env *env = file->env;
    /* What may fail is done before the rename, which cannot be undone. */
    char *parent = db_path_parent(env, file->path);
    int status = parent == NULL ? env->error_status : write_buffer(file);

    if (status == DREAMBOOTH_OK && fsync(file->descriptor) != 0)
        status = db_fail_errno(env, errno, "%s: cannot sync", file->path);
    if (status == DREAMBOOTH_OK && rename(file->temporary, file->path) != 0)
        status = db_fail_errno(env, errno, "%s: cannot replace", file->path);
    if (status != DREAMBOOTH_OK) {
        db_free(env, parent);
        db_atomic_abort(file);
        return status;
    }
    close(file->descriptor);
    status = sync_folder(env, parent);
    db_free(env, parent);
    atomic_free(file);
    return status;
}

void db_atomic_abort(struct db_atomic *file)
{
    if (file == NULL)
        return;
    unlink(file->temporary);
    close(file->descriptor);
    atomic_free(file);
}

int db_atomic_write_file(struct db_env *env, const char *path,
                         const void *bytes, size_t size)
{
    struct db_atomic *file;
    int status = db_atomic_begin(env, path, &file);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_atomic_write(file, bytes, size);
    if (status != DREAMBOOTH_OK) {
        db_atomic_abort(file);
        return status;
    }
    return db_atomic_commit(file);
}

struct db_atomic_folder {
    struct db_env *env;
    char *path, *temporary;
    int descriptor; /* of the temporary folder: holds its lock */
};

static int temporary_folder(struct db_env *env, const char *path, char **name,
                            int *descriptor)
{
    char *candidate;
    int error;

    for (int n = 0; n < TEMPORARY_TRIES; n++) {
        candidate = temporary_name(env, path, "tmp", n);
        if (candidate == NULL)
            return env->error_status;
        if (mkdir(candidate, 0777) == 0) {
            *descriptor = open(candidate, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (*descriptor >= 0)
                (void)flock(*descriptor, LOCK_EX | LOCK_NB);
            *name = candidate;
            return DREAMBOOTH_OK;
        }
        error = errno;
        db_free(env, candidate);
        if (error != EEXIST)
            return db_fail_errno(env, error, "%s: cannot make the folder",
                                 path);
    }
    return db_fail_errno(env, EEXIST, "%s: no free temporary name", path);
}

/* PATH without trailing slashes, in fresh memory. */
static char *copy_trimmed(struct db_env *env, const char *path)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    return db_copy_bytes(env, path, length);
}

int db_atomic_folder_begin(struct db_env *env, const char *path,
                           struct db_atomic_folder **out)
{
    struct db_atomic_folder *folder = db_alloc(env, sizeof(*folder));
    int status;

    if (folder == NULL)
        return env->error_status;
    folder->env = env;
    folder->path = copy_trimmed(env, path);
    if (folder->path == NULL) {
        status = env->error_status;
        goto fail;
    }
    status = temporary_folder(env, folder->path, &folder->temporary,
                              &folder->descriptor);
    if (status != DREAMBOOTH_OK)
        goto fail;
    *out = folder;
    return DREAMBOOTH_OK;
fail:
    db_free(env, folder->path);
    db_free(env, folder);
    return status;
}

const char *db_atomic_folder_path(const struct db_atomic_folder *folder)
{
    return folder->temporary;
}

static void folder_free(struct db_atomic_folder *folder)
{
    struct db_env *env = folder->env;

    if (folder->descriptor >= 0)
        close(folder->descriptor);
    db_free(env, folder->temporary);
    db_free(env, folder->path);
    db_free(env, folder);
}

/* Removes a tree that is nobody's any more; what has been done stays done and
 * the error is not worth losing another one for. */
static void remove_quietly(struct db_env *env, const char *path)
{
    int status = env->error_status;
    char text[sizeof(env->error_text)];

    memcpy(text, env->error_text, sizeof(text));
    if (db_remove_tree(env, path) != DREAMBOOTH_OK)
        db_log(env, DB_LOG_WARNING, "left behind: %s", env->error_text);
    env->error_status = status;
    memcpy(env->error_text, text, sizeof(text));
}

/* Exchanges two names in one go; false where the system cannot. */
static bool exchange_names(const char *a, const char *b)
{
#if defined(__linux__) && defined(SYS_renameat2)
    const unsigned exchange = 1u << 1; /* RENAME_EXCHANGE */

    return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, exchange) == 0;
#else
    (void)a;
    (void)b;
    return false;
#endif
}

/* Moves the old folder to ".NAME.old-PID-0" and the new one to its name. */
static int replace_in_two_steps(struct db_atomic_folder *folder)
{
    struct db_env *env = folder->env;
    char *old = temporary_name(env, folder->path, "old", 0);
    int status = DREAMBOOTH_OK;

    if (old == NULL)
        return env->error_status;
    remove_quietly(env, old);
    if (rename(folder->path, old) != 0) {
        status = db_fail_errno(env, errno, "%s: cannot replace", folder->path);
    } else if (rename(folder->temporary, folder->path) != 0) {
        status = db_fail_errno(env, errno, "%s: cannot replace", folder->path);
        (void)rename(old, folder->path);
    } else {
        remove_quietly(env, old);
    }
    db_free(env, old);
    return status;
}

static int put_folder_in_place(struct db_atomic_folder *folder)
{
    struct stat facts;
    bool there = lstat(folder->path, &facts) == 0;

    if (there && !S_ISDIR(facts.st_mode))
        return db_fail(folder->env, DREAMBOOTH_EIO,
                       "%s: is there already and no folder", folder->path);
    if (!there) {
        if (rename(folder->temporary, folder->path) == 0)
            return DREAMBOOTH_OK;
        return db_fail_errno(folder->env, errno, "%s: cannot put in place",
                             folder->path);
    }
    if (!exchange_names(folder->temporary, folder->path))
        return replace_in_two_steps(folder);
    remove_quietly(folder->env, folder->temporary);
    return DREAMBOOTH_OK;
}

int db_atomic_folder_commit(struct db_atomic_folder *folder)
{
    struct db_env *env = folder->env;
    char *parent = db_path_parent(env, folder->path);
    int status = parent == NULL ? env->error_status
                                : sync_folder(env, folder->temporary);

    if (status == DREAMBOOTH_OK)
        status = put_folder_in_place(folder);
    if (status != DREAMBOOTH_OK) {
        db_free(env, parent);
        db_atomic_folder_abort(folder);
        return status;
    }
    status = sync_folder(env, parent);
    db_free(env, parent);
    folder_free(folder);
    return status;
}

void db_atomic_folder_abort(struct db_atomic_folder *folder)
{
    if (folder == NULL)
        return;
    remove_quietly(folder->env, folder->temporary);
    folder_free(folder);
}

int db_make_folders(struct db_env *env, const char *path)
{
    char *partial = copy_trimmed(env, path);
    int status = DREAMBOOTH_OK;
    int error;
    char kept;

    if (partial == NULL)
        return env->error_status;
    for (char *end = partial + 1; partial[0] != '\0'; end++) {
        if (*end != '/' && *end != '\0')
            continue;
        kept = *end;
        *end = '\0';
        error = mkdir(partial, 0777) == 0 ? 0 : errno;
        if (error != 0 && !db_path_is_folder(partial)) {
            status =
                error == EEXIST
                    ? db_fail(env, DREAMBOOTH_EIO,
                              "%s: is there already and no folder", partial)
                    : db_fail_errno(env, error, "%s: cannot make the folder",
                                    partial);
            break;
        }
        *end = kept;
        if (kept == '\0')
            break;
    }
    db_free(env, partial);
    return status;
}

int db_disk_free(struct db_env *env, const char *path, uint64_t *bytes)
{
    char *place = copy_trimmed(env, path);
    char *parent;
    struct statvfs facts;

    while (place != NULL && statvfs(place, &facts) != 0) {
        if (errno != ENOENT || strcmp(place, ".") == 0) {
            db_fail_errno(env, errno, "%s: cannot tell the free space", path);
            db_free(env, place);
            return env->error_status;
        }
        parent = db_path_parent(env, place);
        db_free(env, place);
        place = parent;
    }
    if (place == NULL)
        return env->error_status;
    db_free(env, place);
    *bytes = (uint64_t)facts.f_bavail * (uint64_t)facts.f_frsize;
    return DREAMBOOTH_OK;
}

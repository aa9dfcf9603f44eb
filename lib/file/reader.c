/* SPDX-License-Identifier: MIT */
/*
 * Reading files by position; see reader.h. Behind each piece the file is looked
 * at again: what was read is only believed if it has not changed.
 */
#include "file/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux reads at most 2 GB at once. */
#define MOST_AT_ONCE ((size_t)1 << 30)

/* What the regular file behind DESCRIPTOR is like. It must not be empty. */
static int measure(struct db_env *env, const char *path,
                   struct db_reader *reader)
{
    struct stat facts;

    if (fstat(reader->descriptor, &facts) != 0)
        return db_fail_errno(env, errno, "%s: cannot tell its size", path);
    if (!S_ISREG(facts.st_mode))
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s: is not a regular file",
                       path);
    if (facts.st_size == 0)
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s: the file is empty", path);
    reader->size = (uint64_t)facts.st_size;
    reader->changed = facts.st_mtim;
    return DREAMBOOTH_OK;
}

int db_reader_open(struct db_env *env, const char *path, struct db_reader *out)
{
    /* Without O_NONBLOCK, opening a pipe that nobody writes to would wait. */
    struct db_reader reader = {
        .descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    int status;

    if (reader.descriptor < 0)
        return db_fail_errno(env, errno, "%s: cannot open", path);
    status = measure(env, path, &reader);
    if (status == DREAMBOOTH_OK)
        *out = reader;
    else
        close(reader.descriptor);
    return status;
}

void db_reader_close(struct db_reader *reader)
{
    if (reader->descriptor >= 0)
        close(reader->descriptor);
    reader->descriptor = -1;
}

static bool has_changed(const struct db_reader *reader)
{
    struct stat facts;

    return fstat(reader->descriptor, &facts) != 0 ||
           (uint64_t)facts.st_size != reader->size ||
           facts.st_mtim.tv_sec != reader->changed.tv_sec ||
           facts.st_mtim.tv_nsec != reader->changed.tv_nsec;
}

int db_reader_get(const struct db_reader *reader, uint64_t offset, size_t size,
                  void *out)
{
    char *bytes = out;
    size_t done = 0;

    while (done < size) {
        size_t left = size - done;
        ssize_t got = pread(reader->descriptor, bytes + done,
                            left < MOST_AT_ONCE ? left : MOST_AT_ONCE,
                            (off_t)(offset + done));

        if (got < 0 && errno != EINTR)
            return errno;
        if (got == 0)
            return ESTALE;
        if (got > 0)
            done += (size_t)got;
    }
    return has_changed(reader) ? ESTALE : 0;
}

int db_reader_fail(struct db_env *env, int error_number, const char *what)
{
    if (error_number == ESTALE)
        return db_fail(env, DREAMBOOTH_EIO,
                       "%s: the file has changed since it was opened", what);
    return db_fail_errno(env, error_number, "%s: cannot read", what);
}

int db_file_load(struct db_env *env, const char *path, char **bytes,
                 size_t *size)
{
    struct db_reader reader;
    char *data;
    int error, status = db_reader_open(env, path, &reader);

    if (status != DREAMBOOTH_OK)
        return status;
    data =
        reader.size > SIZE_MAX / 2 ? NULL : db_alloc(env, (size_t)reader.size);
    if (data == NULL) {
        status =
            reader.size > SIZE_MAX / 2
                ? db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                          "%s: too large for this machine's addresses", path)
                : env->error_status;
    } else {
        error = db_reader_get(&reader, 0, (size_t)reader.size, data);
        if (error != 0)
            status = db_reader_fail(env, error, path);
    }
    if (status == DREAMBOOTH_OK) {
        *bytes = data;
        *size = (size_t)reader.size;
    } else {
        db_free(env, data);
    }
    db_reader_close(&reader);
    return status;
}

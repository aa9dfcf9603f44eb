/* SPDX-License-Identifier: MIT */
/*
 * Mapping files into memory; see map.h. The file is closed as soon as it is
 * mapped: the mapping keeps it.
 */
#include "file/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The size of the regular file behind DESCRIPTOR, which must not be empty. */
static int map_size(struct db_env *env, int descriptor, const char *path,
                    size_t *size)
{
    struct stat facts;

    if (fstat(descriptor, &facts) != 0)
        return db_fail_errno(env, errno, "%s: cannot tell its size", path);
    if (!S_ISREG(facts.st_mode))
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s: is not a regular file",
                       path);
    if (facts.st_size == 0)
        return db_fail(env, DREAMBOOTH_EFORMAT, "%s: the file is empty", path);
    if ((uintmax_t)facts.st_size > SIZE_MAX / 2)
        return db_fail(env, DREAMBOOTH_EUNSUPPORTED,
                       "%s: too large for this machine's addresses", path);
    *size = (size_t)facts.st_size;
    return DREAMBOOTH_OK;
}

int db_map_open(struct db_env *env, const char *path, struct db_map *out)
{
    size_t size = 0;
    void *data;
    /* Without O_NONBLOCK, opening a pipe that nobody writes to would wait. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int status;

    if (descriptor < 0)
        return db_fail_errno(env, errno, "%s: cannot open", path);
    status = map_size(env, descriptor, path, &size);
    if (status != DREAMBOOTH_OK)
        goto end;
    data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
        status = db_fail_errno(env, errno, "%s: cannot map", path);
        goto end;
    }
    out->data = data;
    out->size = size;
end:
    close(descriptor);
    return status;
}

void db_map_close(struct db_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->size);
    map->data = NULL;
    map->size = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Listing folders and taking paths apart; see folder.h. Names are compared as
 * bytes, so that neither the locale nor the file system has a say in which
 * photo comes first.
 */
#include "file/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool db_path_exists(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0;
}

bool db_path_is_folder(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

bool db_path_is_file(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

bool db_path_same(const char *a, const char *b)
{
    struct stat first, second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

char *db_path_join(struct db_env *env, const char *folder, const char *name)
{
    size_t length = strlen(folder);

    if (length == 0)
        return db_copy_text(env, name);
    if (folder[length - 1] == '/')
        return db_format(env, "%s%s", folder, name);
    return db_format(env, "%s/%s", folder, name);
}

const char *db_path_name(const char *path)
{
    const char *name = path + strlen(path);

    while (name > path && name[-1] == '/')
        name--;
    while (name > path && name[-1] != '/')
        name--;
    return name;
}

char *db_path_parent(struct db_env *env, const char *path)
{
    size_t length = (size_t)(db_path_name(path) - path);

    if (length == 0)
        return db_copy_text(env, path[0] == '/' ? "/" : ".");
    while (length > 1 && path[length - 1] == '/')
        length--;
    return db_copy_bytes(env, path, length);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_append(struct db_env *env, struct db_folder_list *list,
                       size_t *capacity, const char *name)
{
    char *copy;

    if (list->count == *capacity) {
        size_t wanted = *capacity == 0 ? 16 : 2 * *capacity;
        char **names =
            db_resize(env, list->names, wanted * sizeof(*list->names));

        if (names == NULL)
            return env->error_status;
        list->names = names;
        *capacity = wanted;
    }
    copy = db_copy_text(env, name);
    if (copy == NULL)
        return env->error_status;
    list->names[list->count++] = copy;
    return DREAMBOOTH_OK;
}

/* Appends NAME, which lies in FOLDER, if IS_WANTED likes its path. */
static int list_consider(struct db_env *env, struct db_folder_list *list,
                         size_t *capacity, const char *folder, const char *name,
                         bool (*is_wanted)(const char *))
{
    char *path;
    bool wanted;

    if (name[0] == '.')
        return DREAMBOOTH_OK;
    path = db_path_join(env, folder, name);
    if (path == NULL)
        return env->error_status;
    wanted = is_wanted(path);
    db_free(env, path);
    return wanted ? list_append(env, list, capacity, name) : DREAMBOOTH_OK;
}

static int list_folder(struct db_env *env, const char *path,
                       bool (*is_wanted)(const char *),
                       struct db_folder_list *out)
{
    struct db_folder_list list = {NULL, 0};
    size_t capacity = 0;
    struct dirent *entry;
    DIR *folder = opendir(path);
    int status = DREAMBOOTH_OK;

    if (folder == NULL)
        return db_fail_errno(env, errno, "%s: cannot open the folder", path);
    for (;;) {
        errno = 0;
        entry = readdir(folder);
        if (entry == NULL)
            break;
        status = list_consider(env, &list, &capacity, path, entry->d_name,
                               is_wanted);
        if (status != DREAMBOOTH_OK)
            goto fail;
    }
    if (errno != 0) {
        status = db_fail_errno(env, errno, "%s: cannot list the folder", path);
        goto fail;
    }
    closedir(folder);
    if (list.count > 0)
        qsort(list.names, list.count, sizeof(*list.names), compare_names);
    *out = list;
    return DREAMBOOTH_OK;
fail:
    closedir(folder);
    db_folder_list_free(env, &list);
    return status;
}

int db_folder_files(struct db_env *env, const char *path,
                    struct db_folder_list *out)
{
    return list_folder(env, path, db_path_is_file, out);
}

int db_folder_folders(struct db_env *env, const char *path,
                      struct db_folder_list *out)
{
    return list_folder(env, path, db_path_is_folder, out);
}

void db_folder_list_free(struct db_env *env, struct db_folder_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        db_free(env, list->names[i]);
    db_free(env, list->names);
    list->names = NULL;
    list->count = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Atomic saves: whatever goes wrong in the middle, the old contents stay whole,
 * nothing is left behind, and what a killed process leaves is in nobody's way.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "file/atomic.h"
#include "file/folder.h"

/* How many entries, hidden ones too, are in DIRECTORY? */
static int count_entries(const char *directory)
{
    DIR *folder = opendir(directory);
    int count = -2; /* "." and ".." */

    ck_assert_ptr_nonnull(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void check_contents(const char *path, const char *want)
{
    size_t size;
    char *bytes = unit_read_file(path, &size);

    ck_assert_str_eq(bytes, want);
    free(bytes);
}

START_TEST(test_file)
{
    struct db_env env;
    struct db_atomic *file, *other;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a");
    ck_assert_int_eq(db_atomic_write_file(&env, path, "one", 3), 0);
    check_contents(path, "one");
    ck_assert_int_eq(db_atomic_begin(&env, path, &file), 0);
    ck_assert_int_eq(db_atomic_begin(&env, path, &other), 0);
    ck_assert_int_eq(db_atomic_write(file, "tw", 2), 0);
    ck_assert_int_eq(db_atomic_write(other, "three", 5), 0);
    ck_assert_int_eq(db_atomic_write(file, "o", 1), 0);
    check_contents(path, "one");
    db_atomic_abort(other);
    check_contents(path, "one");
    ck_assert_int_eq(db_atomic_commit(file), 0);
    check_contents(path, "two");
    ck_assert_int_eq(count_entries(directory), 1);
    ck_assert_int_eq(db_atomic_write_file(&env, directory, "x", 1),
                     DREAMBOOTH_EIO);
    unit_path(path, directory, "no/where");
    ck_assert_int_eq(db_atomic_write_file(&env, path, "x", 1),
                     DREAMBOOTH_ENOTFOUND);
    db_atomic_abort(NULL);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* Pieces of all sizes around the buffer's come out in order. */
START_TEST(test_pieces)
{
    struct db_env env;
    struct db_atomic *file;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    size_t size = 400000, at = 0, piece = 1, read;
    char *bytes = malloc(size), *back;

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a");
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    ck_assert_int_eq(db_atomic_begin(&env, path, &file), 0);
    while (at < size) {
        size_t some = piece < size - at ? piece : size - at;

        ck_assert_int_eq(db_atomic_write(file, bytes + at, some), 0);
        at += some;
        piece = piece * 3 % 131071;
    }
    ck_assert_int_eq(db_atomic_commit(file), 0);
    back = unit_read_file(path, &read);
    ck_assert_uint_eq(read, size);
    ck_assert_mem_eq(back, bytes, size);
    free(back);
    free(bytes);
    unit_directory_free(directory);
}
END_TEST

/* A file size limit stands in for a full disk. */
START_TEST(test_failing_write)
{
    struct db_env env;
    struct rlimit old, limit;
    struct db_atomic *file;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    char *bytes = calloc(1, 300000);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    int status;

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a");
    ck_assert_int_eq(db_atomic_write_file(&env, path, "one", 3), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 100000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    status = db_atomic_write_file(&env, path, bytes, 300000);
    ck_assert_int_eq(db_atomic_begin(&env, path, &file), 0);
    for (int i = 0; i < 10; i++) /* the last of it is written by the commit */
        ck_assert_int_eq(db_atomic_write(file, bytes, 6000), 0);
    ck_assert_int_eq(db_atomic_write(file, bytes, 50000), 0);
    ck_assert_int_lt(db_atomic_commit(file), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    ck_assert_int_eq(status, DREAMBOOTH_EIO);
    ck_assert_ptr_nonnull(strstr(env.error_text, path));
    check_contents(path, "one");
    ck_assert_int_eq(count_entries(directory), 1);
    ck_assert_uint_eq(env.live_bytes, 0);
    free(bytes);
    unit_directory_free(directory);
}
END_TEST

/* Makes the folder PATH atomically with the file "a" that says CONTENTS. */
static void put_folder(struct db_env *env, const char *path,
                       const char *contents)
{
    struct db_atomic_folder *folder;
    char inner[UNIT_PATH_MAX];

    ck_assert_int_eq(db_atomic_folder_begin(env, path, &folder), 0);
    unit_path(inner, db_atomic_folder_path(folder), "a");
    ck_assert_int_eq(
        db_atomic_write_file(env, inner, contents, strlen(contents)), 0);
    ck_assert_msg(db_atomic_folder_commit(folder) == 0, "%s", env->error_text);
}

START_TEST(test_folder)
{
    struct db_env env;
    struct db_atomic_folder *folder;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX], inner[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "checkpoint");
    unit_path(inner, path, "a");
    put_folder(&env, path, "one");
    check_contents(inner, "one");
    strcat(path, "/");
    put_folder(&env, path, "two");
    check_contents(inner, "two");
    ck_assert_int_eq(count_entries(directory), 1);
    ck_assert_int_eq(db_atomic_folder_begin(&env, path, &folder), 0);
    ck_assert_int_eq(count_entries(directory), 2);
    db_atomic_folder_abort(folder);
    db_atomic_folder_abort(NULL);
    check_contents(inner, "two");
    ck_assert_int_eq(count_entries(directory), 1);
    ck_assert_int_eq(db_atomic_folder_begin(&env, inner, &folder), 0);
    ck_assert_int_eq(db_atomic_folder_commit(folder), DREAMBOOTH_EIO);
    check_contents(inner, "two");
    ck_assert_int_eq(count_entries(path), 1);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* Killed between the two renames: only the folder that was moved away is there.
 */
START_TEST(test_recover)
{
    struct db_env env;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX], old[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "step");
    ck_assert_int_eq(db_atomic_folder_recover(&env, path), 0);
    ck_assert_int_eq(mkdir(unit_path(old, directory, ".step.old-12-0"), 0777),
                     0);
    ck_assert_int_eq(mkdir(unit_path(old, directory, ".other.old-12-0"), 0777),
                     0);
    ck_assert_int_eq(db_atomic_folder_recover(&env, path), 0);
    ck_assert(db_path_is_folder(path) && db_path_is_folder(old));
    ck_assert_int_eq(count_entries(directory), 2);
    ck_assert_int_eq(mkdir(unit_path(old, directory, ".step.old-13-0"), 0777),
                     0);
    ck_assert_int_eq(db_atomic_folder_recover(&env, path), 0);
    ck_assert_int_eq(count_entries(directory), 2);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* A child process that is killed in the middle of a file and a folder. */
static void leave_behind(const char *directory)
{
    char path[UNIT_PATH_MAX];
    struct db_env env;
    struct db_atomic *file;
    struct db_atomic_folder *folder;
    int status;
    pid_t child = fork();

    if (child == 0) {
        db_env_init(&env);
        db_atomic_begin(&env, unit_path(path, directory, "a"), &file);
        db_atomic_write(file, path, sizeof(path));
        db_atomic_folder_begin(&env, unit_path(path, directory, "b"), &folder);
        db_atomic_write_file(
            &env, unit_path(path, db_atomic_folder_path(folder), "c"), "x", 1);
        raise(SIGKILL);
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
}

START_TEST(test_sweep)
{
    struct db_env env;
    struct db_atomic *file;
    struct db_folder_list list;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    leave_behind(directory);
    ck_assert_int_eq(count_entries(directory), 2);
    ck_assert_int_eq(db_folder_files(&env, directory, &list), 0);
    ck_assert_uint_eq(list.count, 0);
    unit_path(path, directory, "a");
    ck_assert_int_eq(db_atomic_begin(&env, path, &file), 0);
    unit_write_file(unit_path(path, directory, ".a.tmp-notes"), "x", 1);
    unit_write_file(unit_path(path, directory, "a.tmp-1-1"), "x", 1);
    ck_assert_int_eq(db_atomic_sweep(&env, directory), 0);
    /* What is being written, and what is not ours, stays. */
    ck_assert_int_eq(count_entries(directory), 3);
    ck_assert_int_eq(db_atomic_commit(file), 0);
    ck_assert_int_eq(count_entries(directory), 3);
    ck_assert_int_eq(db_atomic_sweep(&env, "/nowhere"), DREAMBOOTH_ENOTFOUND);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

START_TEST(test_remove_tree)
{
    struct db_env env;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX], kept[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(kept, directory, "kept");
    ck_assert_int_eq(mkdir(kept, 0777), 0);
    unit_write_file(unit_path(path, kept, "file"), "x", 1);
    ck_assert_int_eq(db_make_folders(&env, unit_path(path, directory, "t/u/v")),
                     0);
    ck_assert_int_eq(symlink(kept, unit_path(path, directory, "t/u/link")), 0);
    ck_assert_int_eq(
        symlink("../../kept/file", unit_path(path, directory, "t/link")), 0);
    unit_write_file(unit_path(path, directory, "t/u/.hidden"), "x", 1);
    ck_assert_int_eq(
        db_remove_tree(&env, unit_path(path, directory, "t/u/link")),
        DREAMBOOTH_EIO);
    ck_assert_int_eq(db_remove_tree(&env, unit_path(path, kept, "file")),
                     DREAMBOOTH_EIO);
    ck_assert_int_eq(db_remove_tree(&env, unit_path(path, directory, "t")), 0);
    ck_assert_int_eq(db_remove_tree(&env, path), 0);
    ck_assert_int_eq(count_entries(directory), 1);
    ck_assert_int_eq(count_entries(kept), 1);
    unit_directory_free(directory);
}
END_TEST

START_TEST(test_make_folders)
{
    struct db_env env;
    uint64_t bytes = 0;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a//b/c/");
    ck_assert_int_eq(db_make_folders(&env, path), 0);
    ck_assert_int_eq(db_make_folders(&env, path), 0);
    ck_assert(db_path_is_folder(path));
    ck_assert_int_eq(db_make_folders(&env, "/"), 0);
    unit_write_file(unit_path(path, directory, "file"), "x", 1);
    ck_assert_int_eq(db_make_folders(&env, path), DREAMBOOTH_EIO);
    strcat(path, "/x");
    ck_assert_int_lt(db_make_folders(&env, path), 0);
    unit_path(path, directory, "not/yet/there");
    ck_assert_int_eq(db_disk_free(&env, path, &bytes), 0);
    ck_assert_uint_gt(bytes, 0);
    ck_assert_int_eq(db_disk_free(&env, "not-yet", &bytes), 0);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* An allocator that fails from its call with the number FAIL_AT on. */
struct failing {
    int64_t calls, fail_at;
};

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    struct failing *failing = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (failing->calls++ >= failing->fail_at)
        return NULL;
    return realloc(pointer, size);
}

static int save_all(struct db_env *env, const char *directory)
{
    struct db_atomic_folder *folder;
    char path[UNIT_PATH_MAX];
    int status =
        db_atomic_write_file(env, unit_path(path, directory, "a"), "two", 3);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_make_folders(env, unit_path(path, directory, "f"));
    if (status != DREAMBOOTH_OK)
        return status;
    status = db_atomic_folder_begin(env, path, &folder);
    if (status != DREAMBOOTH_OK)
        return status;
    return db_atomic_folder_commit(folder);
}

START_TEST(test_failing_allocations)
{
    struct failing failing = {0, 0};
    struct db_env env;
    char directory[UNIT_PATH_MAX];
    int status = -1;

    unit_directory_new(directory);
    for (; status != DREAMBOOTH_OK; failing.fail_at++) {
        db_env_init(&env);
        env.resize = failing_resize;
        env.resize_user = &failing;
        failing.calls = 0;
        status = save_all(&env, directory);
        if (status != DREAMBOOTH_OK)
            ck_assert_int_eq(status, DREAMBOOTH_ENOMEM);
        ck_assert_uint_eq(env.live_bytes, 0);
        ck_assert_int_le(count_entries(directory), 2);
        ck_assert_int_lt(failing.fail_at, 1000);
    }
    ck_assert_int_eq(count_entries(directory), 2);
    unit_directory_free(directory);
}
END_TEST

static Suite *atomic_suite(void)
{
    Suite *suite = suite_create("atomic");

    unit_add(suite, "file", test_file);
    unit_add(suite, "pieces", test_pieces);
    unit_add(suite, "failing write", test_failing_write);
    unit_add(suite, "folder", test_folder);
    unit_add(suite, "recover", test_recover);
    unit_add(suite, "sweep", test_sweep);
    unit_add(suite, "remove tree", test_remove_tree);
    unit_add(suite, "make folders", test_make_folders);
    unit_add(suite, "failing allocations", test_failing_allocations);
    return suite;
}

int main(void)
{
    return unit_main(atomic_suite());
}

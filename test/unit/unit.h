/* SPDX-License-Identifier: MIT */
/*
 * What every unit test shares: a test file builds a Check suite and ends with
 *
 *     int main(void)
 *     {
 *         return unit_main(my_suite());
 *     }
 *
 * Tests run in one process unless CK_FORK says otherwise, so that a debugger,
 * valgrind and the sanitizers see them whole.
 */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT_PATH_MAX 4096

static inline int unit_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    if (getenv("CK_FORK") == NULL)
        srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Adds the test FUNCTION to SUITE as a case of its own. */
static inline void unit_add(Suite *suite, const char *name,
                            const TTest *function)
{
    TCase *test_case = tcase_create(name);

    tcase_set_timeout(test_case, 0);
    tcase_add_test(test_case, function);
    suite_add_tcase(suite, test_case);
}

/* For inner loops: each of Check's own assertions writes to a file, which takes
 * the time of hundreds of comparisons, and of thousands under valgrind. */
#define unit_assert_msg(condition, ...)                                        \
    do {                                                                       \
        if (!(condition))                                                      \
            ck_abort_msg(__VA_ARGS__);                                         \
    } while (0)

/* Under valgrind and the sanitizers: tests with large inputs take small ones.
 */
static inline int unit_is_quick(void)
{
    return getenv("TEST_QUICK") != NULL;
}

/* Writes "DIRECTORY/NAME" to PATH and returns it. */
static inline char *unit_path(char path[UNIT_PATH_MAX], const char *directory,
                              const char *name)
{
    int length = snprintf(path, UNIT_PATH_MAX, "%s/%s", directory, name);

    ck_assert_int_lt(length, UNIT_PATH_MAX);
    return path;
}

/* Makes an empty directory, writes its path to PATH and returns it. */
static inline char *unit_directory_new(char path[UNIT_PATH_MAX])
{
    const char *parent = getenv("TMPDIR");

    unit_path(path, parent != NULL ? parent : "/tmp", "dreambooth-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

/* Removes the directory with all that is in it. */
static inline void unit_directory_free(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    struct stat status;
    char inner[UNIT_PATH_MAX];

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        unit_path(inner, path, entry->d_name);
        ck_assert_int_eq(lstat(inner, &status), 0);
        if (S_ISDIR(status.st_mode))
            unit_directory_free(inner);
        else
            ck_assert_int_eq(unlink(inner), 0);
    }
    closedir(directory);
    ck_assert_int_eq(rmdir(path), 0);
}

/* Writes SIZE bytes to the file PATH. */
static inline void unit_write_file(const char *path, const void *bytes,
                                   size_t size)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* Reads the file PATH into fresh memory, with a NUL behind it. */
static inline char *unit_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    char *bytes;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fstat(fileno(file), &status), 0);
    *size = (size_t)status.st_size;
    bytes = calloc(1, *size + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

#endif

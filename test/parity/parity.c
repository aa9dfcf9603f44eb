/* SPDX-License-Identifier: MIT */
/*
 * parity-run: puts a folder of reference data through the library. Each kind of
 * case has a folder of its own name in it and a function in the table below;
 * folders that the table does not have are listed as skipped, so that nothing
 * passes by being overlooked.
 */
#include "parity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "file/folder.h"

static const struct {
    const char *name;
    void (*run)(struct parity *p);
} kinds[] = {
    {"tokenizer", parity_tokenizer},
    {"images", parity_images},
    {"rng", parity_rng},
    {"schedulers", parity_schedulers},
    {"ops", parity_ops},
    {"models", parity_models},
    {"modules", parity_modules},
    {"pipeline", parity_pipeline},
    {"train", parity_train},
};

/* The worst comparison of a case is the one nearest to, or furthest beyond, its
 * tolerance. */
struct parity_case {
    char name[160];
    bool failed;
    char reason[1200];
    int comparisons;
    double worst; /* largest error / allowed */
    char worst_what[96];
    double absolute, relative;
    struct parity_tolerance tolerance;
};

void parity_begin(struct parity *p, const char *format, ...)
{
    va_list arguments;

    memset(p->current, 0, sizeof(*p->current));
    p->current->worst = -1;
    va_start(arguments, format);
    vsnprintf(p->current->name, sizeof(p->current->name), format, arguments);
    va_end(arguments);
}

/* The first reason is the one that is told. */
void parity_fail(struct parity *p, const char *format, ...)
{
    struct parity_case *now = p->current;
    va_list arguments;

    if (!now->failed) {
        va_start(arguments, format);
        vsnprintf(now->reason, sizeof(now->reason), format, arguments);
        va_end(arguments);
    }
    now->failed = true;
}

/* Takes the figures of one comparison into the case. */
static void note(struct parity *p, const char *what, double ratio,
                 double absolute, double relative,
                 const struct parity_tolerance *tolerance)
{
    struct parity_case *now = p->current;

    now->comparisons++;
    if (ratio <= now->worst)
        return;
    now->worst = ratio;
    now->absolute = absolute;
    now->relative = relative;
    now->tolerance = *tolerance;
    snprintf(now->worst_what, sizeof(now->worst_what), "%s", what);
}

/* How many times the allowed error is ERROR? */
static double excess(double error, double allowed)
{
    if (error == 0)
        return 0;
    return allowed > 0 ? error / allowed : HUGE_VAL;
}

/* NaN belongs where NaN is wanted, an infinity where the same one is. */
static bool same_special(double got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    return got == want;
}

static bool is_special(double got, double want)
{
    return !isfinite(got) || !isfinite(want);
}

/* The largest finite magnitude. */
static double largest(const float *values, int64_t count)
{
    double most = 0;

    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i]) && fabs((double)values[i]) > most)
            most = fabs((double)values[i]);
    return most;
}

/*
 * The relative error that is told is the largest absolute one over the largest
 * magnitude that is wanted: entries near zero would make any other meaningless.
 */
void parity_compare(struct parity *p, const char *what, const float *got,
                    const float *want, int64_t count,
                    struct parity_tolerance tolerance)
{
    double most = largest(want, count), worst_ratio = 0, worst_error = 0;
    int64_t worst_index = -1;

    for (int64_t i = 0; i < count; i++) {
        double g = got[i], w = want[i], error = fabs(g - w);
        double allowed = tolerance.absolute + tolerance.of_max * most +
                         tolerance.relative * fabs(w);
        double ratio = excess(error, allowed);

        if (is_special(g, w)) {
            if (same_special(g, w))
                continue;
            error = HUGE_VAL;
            ratio = HUGE_VAL;
        }
        if (error > worst_error)
            worst_error = error;
        if (ratio > worst_ratio) {
            worst_ratio = ratio;
            worst_index = i;
        }
    }
    note(p, what, worst_ratio, worst_error,
         most > 0 ? worst_error / most : worst_error, &tolerance);
    if (worst_ratio > 1)
        parity_fail(p, "%s[%" PRId64 "] is %.9g, wanted %.9g", what,
                    worst_index, (double)got[worst_index],
                    (double)want[worst_index]);
}

void parity_compare_double(struct parity *p, const char *what, double got,
                           double want, struct parity_tolerance tolerance)
{
    double error = fabs(got - want);
    double allowed = tolerance.absolute +
                     (tolerance.of_max + tolerance.relative) * fabs(want);
    double ratio = excess(error, allowed);

    if (is_special(got, want)) {
        error = same_special(got, want) ? 0 : HUGE_VAL;
        ratio = error;
    }
    note(p, what, ratio, error,
         want != 0 && isfinite(want) ? error / fabs(want) : error, &tolerance);
    if (ratio > 1)
        parity_fail(p, "%s is %.12g, wanted %.12g", what, got, want);
}

void parity_compare_bytes(struct parity *p, const char *what, const void *got,
                          const void *want, size_t size)
{
    static const struct parity_tolerance exact = {0, 0, 0};
    const unsigned char *g = got, *w = want;
    size_t i = 0;

    while (i < size && g[i] == w[i])
        i++;
    note(p, what, i < size ? HUGE_VAL : 0, i < size ? 1 : 0, i < size ? 1 : 0,
         &exact);
    if (i < size)
        parity_fail(p, "%s: byte %zu of %zu is %u, wanted %u", what, i, size,
                    g[i], w[i]);
}

static void print_tolerance(const struct parity_tolerance *tolerance)
{
    if (tolerance->absolute == 0 && tolerance->of_max == 0 &&
        tolerance->relative == 0) {
        printf("exact");
        return;
    }
    printf("%.2g", tolerance->absolute);
    if (tolerance->of_max != 0)
        printf(" + %.2g max", tolerance->of_max);
    if (tolerance->relative != 0)
        printf(" + %.2g |want|", tolerance->relative);
}

/* Bytes that are freed when the case ends. */
struct parity_data {
    struct parity_data *next;
    void *bytes;
};

void *parity_data(struct parity *p, const struct db_safetensors_entry *entry)
{
    struct parity_data *data = db_alloc_zero(p->env, sizeof(*data));

    if (data != NULL)
        data->bytes = db_alloc_zero(p->env, (size_t)entry->size);
    if (data == NULL || data->bytes == NULL) {
        fprintf(stderr, "parity: %s\n", p->env->error_text);
        exit(EXIT_FAILURE);
    }
    data->next = p->data;
    p->data = data;
    if (db_safetensors_read(p->env, entry, 0, (size_t)entry->size,
                            data->bytes) != DREAMBOOTH_OK)
        parity_fail(p, "%s", p->env->error_text);
    return data->bytes;
}

static void free_data(struct parity *p)
{
    struct parity_data *data;

    while ((data = p->data) != NULL) {
        p->data = data->next;
        db_free(p->env, data->bytes);
        db_free(p->env, data);
    }
}

void parity_end(struct parity *p)
{
    const struct parity_case *now = p->current;

    if (now->comparisons == 0 && !now->failed)
        parity_fail(p, "nothing was compared");
    printf("%-4s %-44s", now->failed ? "FAIL" : "ok", now->name);
    if (now->comparisons > 0) {
        printf(" abs %.1e  rel %.1e  tol ", now->absolute, now->relative);
        print_tolerance(&now->tolerance);
        printf("  (%s)", now->worst_what);
    }
    if (now->failed)
        printf("  %s", now->reason);
    printf("\n");
    fflush(stdout);
    if (now->failed)
        p->failed++;
    else
        p->passed++;
    free_data(p);
}

void parity_skip(struct parity *p, const char *name, const char *reason)
{
    printf("skip %-44s %s\n", name, reason);
    fflush(stdout);
    p->skipped++;
}

struct parity_tolerance parity_no_finer(struct parity_tolerance tolerance,
                                        double deviation)
{
    double *largest_part =
        tolerance.of_max > 0 ? &tolerance.of_max : &tolerance.relative;

    if (isfinite(deviation) && 4 * deviation > *largest_part)
        *largest_part = 4 * deviation;
    return tolerance;
}

char *parity_find_vocabulary(struct parity *p)
{
    struct db_folder_list models = {NULL, 0};
    char *root = db_path_join(p->env, p->directory, "models");
    char *found = NULL, *vocabulary;
    size_t i;

    if (root != NULL && db_path_is_folder(root))
        db_folder_folders(p->env, root, &models);
    for (i = 0; i < models.count && found == NULL; i++) {
        found = db_format(p->env, "%s/%s/tokenizer", root, models.names[i]);
        vocabulary =
            found == NULL ? NULL : db_path_join(p->env, found, "vocab.json");
        if (vocabulary == NULL || !db_path_is_file(vocabulary)) {
            db_free(p->env, found);
            found = NULL;
        }
        db_free(p->env, vocabulary);
    }
    db_folder_list_free(p->env, &models);
    db_free(p->env, root);
    return found;
}

/* Was KIND asked for? An empty list asks for all. */
static bool is_wanted(const char *kind, char *const *wanted, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(wanted[i], kind) == 0)
            return true;
    return count == 0;
}

static bool is_kind(const char *name)
{
    for (size_t i = 0; i < DB_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return true;
    return false;
}

static int run_kinds(struct parity *p, char *const *wanted, int count)
{
    struct db_folder_list folders = {NULL, 0};
    char *path;

    if (db_folder_folders(p->env, p->directory, &folders) != DREAMBOOTH_OK)
        return p->env->error_status;
    for (size_t i = 0; i < DB_COUNT(kinds); i++) {
        path = db_path_join(p->env, p->directory, kinds[i].name);
        if (path != NULL && db_path_is_folder(path) &&
            is_wanted(kinds[i].name, wanted, count))
            kinds[i].run(p);
        db_free(p->env, path);
    }
    for (size_t i = 0; i < folders.count; i++)
        if (!is_kind(folders.names[i]) &&
            is_wanted(folders.names[i], wanted, count))
            parity_skip(p, folders.names[i], "no such kind of case here");
    db_folder_list_free(p->env, &folders);
    return DREAMBOOTH_OK;
}

/* The closing line stands alone: its form is relied upon by whoever counts. */
static int conclude(const struct parity *p)
{
    if (p->skipped > 0)
        printf("%d skipped\n", p->skipped);
    printf("%d passed, %d failed\n", p->passed, p->failed);
    return p->failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int complain(const struct db_env *env)
{
    fprintf(stderr, "parity-run: %s\n", env->error_text);
    return 2;
}

static int run(const char *directory, const dreambooth_backend *backend,
               int threads, char *const *wanted, int count)
{
    struct db_env env;
    struct db_device device;
    struct db_pool *pool;
    struct parity_case current;
    struct parity p = {.env = &env,
                       .device = &device,
                       .directory = directory,
                       .current = &current};
    int status;

    db_env_init(&env);
    if (db_pool_new(&env, threads, &pool) != DREAMBOOTH_OK)
        return complain(&env);
    db_device_init(&device, &env, pool, backend);
    status = run_kinds(&p, wanted, count);
    db_pool_free(pool);
    if (status != DREAMBOOTH_OK)
        return complain(&env);
    return conclude(&p);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: parity-run [--backend reference|blas] [--threads N] "
            "DIR [KIND...]\n");
    return 2;
}

int main(int count, char **arguments)
{
    const dreambooth_backend *backend = &db_backend_blas;
    int threads = 2, i = 1;

    for (; i + 1 < count && strncmp(arguments[i], "--", 2) == 0; i += 2) {
        if (strcmp(arguments[i], "--threads") == 0)
            threads = atoi(arguments[i + 1]);
        else if (strcmp(arguments[i], "--backend") != 0)
            return usage();
        else if ((backend = db_backend_find(arguments[i + 1])) == NULL)
            return usage();
    }
    if (i >= count || threads < 1)
        return usage();
    return run(arguments[i], backend, threads, arguments + i + 1,
               count - i - 1);
}

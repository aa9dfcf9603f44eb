/* SPDX-License-Identifier: MIT */
/*
 * PyTorch's CPU stream. A tensor's name says which draw it is: the table below
 * reads the names, so that other sizes, bounds and seeds need no new code.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/torch_random.h"
#include "file/folder.h"
#include "file/safetensors.h"
#include "parity.h"

/* Fills OUT, COUNT numbers of the tensor's dtype; ARGUMENTS is what stands in
 * the name behind the draw's. */
typedef void draw_function(struct db_torch_random *random,
                           const char *arguments, int64_t count, void *out);

/* One number of a name, "m5" being -5, "05" 0.5 and "2p20m1" 2^20 - 1; moves
 * the name behind it and its '_'. */
static double take_number(const char **name)
{
    double sign = **name == 'm' ? -1 : 1, value;
    char *end;

    if (**name == 'm')
        (*name)++;
    value = (double)strtoll(*name, &end, 10);
    if (**name == '0')
        value *= pow(10, 1 - (double)(end - *name));
    if (*end == 'p')
        value = pow(value, (double)strtoll(end + 1, &end, 10));
    if (*end == 'm')
        value -= (double)strtoll(end + 1, &end, 10);
    *name = *end == '_' ? end + 1 : end;
    return sign * value;
}

static void draw_words(struct db_torch_random *random, const char *arguments,
                       int64_t count, void *out)
{
    int64_t i;

    (void)arguments;
    for (i = 0; i < count; i++)
        ((int64_t *)out)[i] = db_torch_u32(random);
}

static void draw_randn(struct db_torch_random *random, const char *arguments,
                       int64_t count, void *out)
{
    (void)arguments;
    db_torch_randn(random, out, count);
}

static void draw_randn_f64(struct db_torch_random *random,
                           const char *arguments, int64_t count, void *out)
{
    (void)arguments;
    db_torch_randn_f64(random, out, count);
}

static void draw_rand(struct db_torch_random *random, const char *arguments,
                      int64_t count, void *out)
{
    (void)arguments;
    db_torch_rand(random, out, count);
}

static void draw_rand_f64(struct db_torch_random *random, const char *arguments,
                          int64_t count, void *out)
{
    (void)arguments;
    db_torch_rand_f64(random, out, count);
}

static void draw_uniform(struct db_torch_random *random, const char *arguments,
                         int64_t count, void *out)
{
    float low = (float)take_number(&arguments);
    float high = (float)take_number(&arguments);

    db_torch_uniform(random, low, high, out, count);
}

static void draw_normal(struct db_torch_random *random, const char *arguments,
                        int64_t count, void *out)
{
    double mean = take_number(&arguments);
    double deviation = take_number(&arguments);

    db_torch_normal(random, mean, deviation, out, count);
}

static void draw_randint(struct db_torch_random *random, const char *arguments,
                         int64_t count, void *out)
{
    int64_t low = (int64_t)take_number(&arguments);
    int64_t high = (int64_t)take_number(&arguments);

    db_torch_randint(random, low, high, out, count);
}

static void draw_randint_edge(struct db_torch_random *random,
                              const char *arguments, int64_t count, void *out)
{
    db_torch_randint(random, 0, (int64_t)take_number(&arguments), out, count);
}

static void draw_randint_thousand(struct db_torch_random *random,
                                  const char *arguments, int64_t count,
                                  void *out)
{
    (void)arguments;
    db_torch_randint(random, 0, 1000, out, count);
}

static void draw_random_i32(struct db_torch_random *random,
                            const char *arguments, int64_t count, void *out)
{
    int32_t value;
    int64_t i;

    (void)arguments;
    for (i = 0; i < count; i++) {
        db_torch_random_i32(random, &value, 1);
        ((int64_t *)out)[i] = value;
    }
}

static void draw_random_i64(struct db_torch_random *random,
                            const char *arguments, int64_t count, void *out)
{
    (void)arguments;
    db_torch_random_i64(random, out, count);
}

static void draw_randperm(struct db_torch_random *random, const char *arguments,
                          int64_t count, void *out)
{
    (void)arguments;
    db_torch_randperm(random, out, count);
}

struct draw {
    const char *prefix;
    enum db_dtype dtype;
    draw_function *draw;
    bool exact;
};

/* The first prefix that fits counts. */
static const struct draw draws[] = {
    {"mt19937_u32", DB_I64, draw_words, true},
    {"randn_f64_", DB_F64, draw_randn_f64, false},
    {"randn_", DB_F32, draw_randn, false},
    {"generator_object_randn_", DB_F32, draw_randn, false},
    {"rand_f64_", DB_F64, draw_rand_f64, true},
    {"rand_", DB_F32, draw_rand, true},
    {"uniform_", DB_F32, draw_uniform, true},
    {"normal_", DB_F32, draw_normal, false},
    {"randint_edges_", DB_I64, draw_randint_edge, true},
    {"randint_", DB_I64, draw_randint, true},
    {"random_int32_", DB_I64, draw_random_i32, true},
    {"random_int64_", DB_I64, draw_random_i64, true},
    {"randperm_", DB_I64, draw_randperm, true},
};

/* Draws within one stream, by what stands behind "randn_chain_" and a letter;
 * the last is for a bare number. */
static const struct draw links[] = {
    {"_randint", DB_I64, draw_randint_thousand, true},
    {"_rand", DB_F32, draw_rand, true},
    {"_perm", DB_I64, draw_randperm, true},
    {"_f64_", DB_F64, draw_randn_f64, false},
    {"", DB_F32, draw_randn, false},
};

static const struct draw train_order[] = {
    {"train_vae_noise", DB_F32, draw_randn, false},
    {"train_noise", DB_F32, draw_randn, false},
    {"train_timesteps", DB_I64, draw_randint_thousand, true},
};

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const struct draw *find_draw(const struct draw *table, size_t count,
                                    const char *name)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (has_prefix(name, table[i].prefix))
            return &table[i];
    return NULL;
}

static void compare(struct parity *p, const struct draw *draw,
                    const struct db_safetensors_entry *entry, const void *got,
                    const void *want)
{
    struct parity_tolerance tolerance = {0, 0, 0};
    const double *got_f64 = got, *want_f64 = want;
    int64_t i;

    if (draw->exact) {
        parity_compare_bytes(p, entry->name, got, want, (size_t)entry->size);
        return;
    }
    tolerance.absolute = entry->count < 16 ? 2e-7 : 1e-6;
    if (draw->dtype == DB_F32) {
        parity_compare(p, entry->name, got, want, entry->count, tolerance);
        return;
    }
    for (i = 0; i < entry->count; i++)
        parity_compare_double(p, entry->name, got_f64[i], want_f64[i],
                              tolerance);
}

/* Draws the next numbers of the stream and compares them with the entry. */
static void check_entry(struct parity *p, const struct draw *draw,
                        struct db_torch_random *random, const char *arguments,
                        const struct db_safetensors_entry *entry)
{
    size_t size = (size_t)entry->size;
    void *got = db_alloc(p->env, size), *want = db_alloc(p->env, size);

    if (entry->dtype != draw->dtype) {
        parity_fail(p, "%s is %s, wanted %s", entry->name,
                    db_dtype_name(entry->dtype), db_dtype_name(draw->dtype));
    } else if (got == NULL || want == NULL) {
        parity_fail(p, "%s", p->env->error_text);
    } else {
        memcpy(want, parity_data(p, entry), size);
        draw->draw(random, arguments, entry->count, got);
        compare(p, draw, entry, got, want);
    }
    db_free(p->env, want);
    db_free(p->env, got);
}

static bool is_sequence(const char *name)
{
    return has_prefix(name, "randn_chain_") || has_prefix(name, "train_") ||
           has_prefix(name, "state_");
}

/* All tensors of one kind of draw, each from a fresh stream. */
static void check_draw(struct parity *p, const struct draw *draw,
                       const char *file_name, uint64_t seed,
                       const struct db_safetensors *file)
{
    struct db_torch_random random;
    size_t i, found = 0;

    parity_begin(p, "rng/%s %s", file_name, draw->prefix);
    for (i = 0; i < db_safetensors_count(file); i++) {
        const struct db_safetensors_entry *entry = db_safetensors_at(file, i);

        if (is_sequence(entry->name) ||
            find_draw(draws, DB_COUNT(draws), entry->name) != draw)
            continue;
        db_torch_seed(&random, seed);
        check_entry(p, draw, &random, entry->name + strlen(draw->prefix),
                    entry);
        found++;
    }
    if (found > 0)
        parity_end(p);
}

static const struct db_safetensors_entry *find_link(
    const struct db_safetensors *file, char letter)
{
    char prefix[] = "randn_chain_?";
    size_t i;

    prefix[strlen(prefix) - 1] = letter;
    for (i = 0; i < db_safetensors_count(file); i++) {
        const struct db_safetensors_entry *entry = db_safetensors_at(file, i);

        if (has_prefix(entry->name, prefix))
            return entry;
    }
    return NULL;
}

/* Draws of several kinds from one stream. */
static void check_chain(struct parity *p, const char *file_name, uint64_t seed,
                        const struct db_safetensors *file)
{
    const struct db_safetensors_entry *entry;
    struct db_torch_random random;
    char letter;

    if (find_link(file, 'a') == NULL)
        return;
    parity_begin(p, "rng/%s randn_chain", file_name);
    db_torch_seed(&random, seed);
    for (letter = 'a'; (entry = find_link(file, letter)) != NULL; letter++) {
        const char *rest = entry->name + strlen("randn_chain_a");

        check_entry(p, find_draw(links, DB_COUNT(links), rest), &random, rest,
                    entry);
    }
    parity_end(p);
}

static void check_train(struct parity *p, const char *file_name, uint64_t seed,
                        const struct db_safetensors *file)
{
    struct db_torch_random random;
    size_t i;

    if (db_safetensors_find(file, train_order[0].prefix) == NULL)
        return;
    parity_begin(p, "rng/%s train", file_name);
    db_torch_seed(&random, seed);
    for (i = 0; i < DB_COUNT(train_order); i++) {
        const struct db_safetensors_entry *entry =
            db_safetensors_find(file, train_order[i].prefix);

        if (entry == NULL)
            parity_fail(p, "%s is missing", train_order[i].prefix);
        else
            check_entry(p, &train_order[i], &random, "", entry);
    }
    parity_end(p);
}

/* torch.get_rng_state(): seed, left and seeded, next, 624 words of 64 bits,
 * the waiting normal number, two unused ones, whether it waits. */
static void compare_state(struct parity *p,
                          const struct db_torch_random *random,
                          const struct db_safetensors_entry *entry)
{
    const unsigned char *bytes = parity_data(p, entry);
    uint64_t next, words[624], mine[625];
    int32_t waits;
    int i;

    if (entry->size != 5056) {
        parity_fail(p, "%s has %" PRIu64 " bytes", entry->name, entry->size);
        return;
    }
    memcpy(&next, bytes + 16, sizeof(next));
    memcpy(words, bytes + 24, sizeof(words));
    memcpy(&waits, bytes + 5040, sizeof(waits));
    for (i = 0; i < 624; i++)
        mine[i] = random->words[i];
    mine[624] = (uint64_t)random->next % 624;
    parity_compare_bytes(p, entry->name, mine, words, sizeof(words));
    parity_compare_bytes(p, "next", &mine[624], &next, sizeof(next));
    if ((waits != 0) != random->has_normal)
        parity_fail(p, "%s: a normal number waits on one side", entry->name);
}

static void check_state(struct parity *p, const char *file_name, uint64_t seed,
                        const struct db_safetensors *file)
{
    const struct db_safetensors_entry *seeded =
        db_safetensors_find(file, "state_after_seed_u8");
    const struct db_safetensors_entry *drawn =
        db_safetensors_find(file, "state_after_randn3_rand2_u8");
    struct db_torch_random random;
    float unused[3];

    if (seeded == NULL || drawn == NULL)
        return;
    parity_begin(p, "rng/%s state", file_name);
    db_torch_seed(&random, seed);
    compare_state(p, &random, seeded);
    db_torch_randn(&random, unused, 3);
    db_torch_rand(&random, unused, 2);
    compare_state(p, &random, drawn);
    parity_end(p);
}

/* "seed_6_randn_20", "seed_6_randint": seeds in the names. */
static void check_low_seeds(struct parity *p, const char *file_name,
                            const struct db_safetensors *file)
{
    static const struct draw wide = {"randint", DB_I64, draw_randint_edge,
                                     true};
    static const struct draw normal = {"randn", DB_F32, draw_randn, false};
    struct db_torch_random random;
    size_t i;

    parity_begin(p, "rng/%s", file_name);
    for (i = 0; i < db_safetensors_count(file); i++) {
        const struct db_safetensors_entry *entry = db_safetensors_at(file, i);
        uint64_t seed;
        int length = 0;

        if (sscanf(entry->name, "seed_%" SCNu64 "_%n", &seed, &length) < 1 ||
            length == 0)
            continue;
        db_torch_seed(&random, seed);
        check_entry(
            p, has_prefix(entry->name + length, "randint") ? &wide : &normal,
            &random, "2p40", entry);
    }
    parity_end(p);
}

static void skip_unknown(struct parity *p, const char *file_name,
                         const struct db_safetensors *file)
{
    char name[160];
    size_t i;

    for (i = 0; i < db_safetensors_count(file); i++) {
        const struct db_safetensors_entry *entry = db_safetensors_at(file, i);

        if (is_sequence(entry->name) ||
            find_draw(draws, DB_COUNT(draws), entry->name) != NULL)
            continue;
        snprintf(name, sizeof(name), "rng/%s %s", file_name, entry->name);
        parity_skip(p, name, "no such draw here");
    }
}

static void check_file(struct parity *p, const char *file_name,
                       const struct db_safetensors *file)
{
    uint64_t seed;
    size_t i;

    if (sscanf(file_name, "seed_%" SCNu64, &seed) != 1) {
        check_low_seeds(p, file_name, file);
        return;
    }
    for (i = 0; i < DB_COUNT(draws); i++)
        check_draw(p, &draws[i], file_name, seed, file);
    check_chain(p, file_name, seed, file);
    check_train(p, file_name, seed, file);
    check_state(p, file_name, seed, file);
    skip_unknown(p, file_name, file);
}

static void open_file(struct parity *p, const char *folder, const char *name)
{
    struct db_safetensors *file;
    char *path = db_path_join(p->env, folder, name);

    if (path == NULL ||
        db_safetensors_open(p->env, path, &file) != DREAMBOOTH_OK) {
        parity_begin(p, "rng/%s", name);
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
    } else {
        check_file(p, name, file);
        db_safetensors_free(file);
    }
    db_free(p->env, path);
}

void parity_rng(struct parity *p)
{
    struct db_folder_list files = {NULL, 0};
    char *folder = db_path_join(p->env, p->directory, "rng");
    size_t i;

    if (folder != NULL &&
        db_folder_files(p->env, folder, &files) == DREAMBOOTH_OK) {
        for (i = 0; i < files.count; i++)
            if (strstr(files.names[i], ".safetensors") != NULL)
                open_file(p, folder, files.names[i]);
    }
    db_folder_list_free(p->env, &files);
    db_free(p->env, folder);
}

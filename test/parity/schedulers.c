/* SPDX-License-Identifier: MIT */
/*
 * Noise schedules and whole trajectories of the steppers over a stand-in for
 * the model, model(x, t) = x t / (t + 1).
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "diffusion/schedule.h"
#include "diffusion/stepper.h"
#include "file/folder.h"
#include "file/safetensors.h"
#include "parity.h"

/* A trajectory file and its list of cases. */
struct source {
    const char *name; /* "ddpm" */
    struct db_safetensors *file;
    json_t *cases;
};

static const char *const trajectories[] = {"ddpm", "ddim", "pndm",
                                           "euler_ancestral"};
static const char *const later[] = {"euler", "dpmsolver", "lcm"};

static char *new_path(struct parity *p, const char *name, const char *suffix)
{
    return db_format(p->env, "%s/schedulers/%s%s", p->directory, name, suffix);
}

static bool open_source(struct parity *p, const char *name,
                        struct source *source)
{
    char *list = new_path(p, name, ".json");
    char *data = new_path(p, name, ".safetensors");
    json_error_t error;
    bool opened = false;

    source->name = name;
    if (list == NULL || data == NULL ||
        (!db_path_exists(list) && !db_path_exists(data)))
        goto done;
    source->cases = json_load_file(list, 0, &error);
    if (source->cases == NULL) {
        parity_begin(p, "schedulers/%s", name);
        parity_fail(p, "%s: %s", list, error.text);
        parity_end(p);
    } else if (db_safetensors_open(p->env, data, &source->file) !=
               DREAMBOOTH_OK) {
        parity_begin(p, "schedulers/%s", name);
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
        json_decref(source->cases);
    } else {
        opened = true;
    }
done:
    db_free(p->env, list);
    db_free(p->env, data);
    return opened;
}

static void close_source(struct source *source)
{
    json_decref(source->cases);
    db_safetensors_free(source->file);
}

/* The tensor CASE.NAME in fresh memory of COUNT floats, integers turned into
 * such; NULL if there is none. */
static float *read_tensor(struct parity *p, const struct source *source,
                          const char *case_name, const char *name,
                          const struct db_safetensors_entry **entry)
{
    char full[160];
    float *values;
    int64_t i, integer;

    snprintf(full, sizeof(full), "%s.%s", case_name, name);
    *entry = db_safetensors_find(source->file, full);
    if (*entry == NULL)
        return NULL;
    values = db_alloc_array(p->env, (size_t)(*entry)->count, sizeof(*values));
    if (values == NULL)
        return NULL;
    if ((*entry)->dtype == DB_I64) {
        const char *integers = parity_data(p, *entry);

        for (i = 0; i < (*entry)->count; i++) {
            memcpy(&integer, integers + 8 * i, 8);
            values[i] = (float)integer;
        }
    } else if (db_safetensors_read_f32(p->env, *entry, values) !=
               DREAMBOOTH_OK) {
        db_free(p->env, values);
        return NULL;
    }
    return values;
}

static int set_field(struct db_env *env, struct db_schedule_config *config,
                     const char *name, json_t *value)
{
    if (json_is_string(value))
        return db_schedule_config_set(env, config, name,
                                      json_string_value(value));
    if (json_is_boolean(value))
        return db_schedule_config_set(env, config, name,
                                      json_is_true(value) ? "true" : "false");
    if (json_is_number(value))
        return db_schedule_config_set_real(env, config, name,
                                           json_number_value(value));
    return DREAMBOOTH_OK;
}

static int read_config(struct parity *p, json_t *object,
                       struct db_schedule_config *config)
{
    const char *name;
    json_t *value;
    int status = db_schedule_config_init(p->env, config);

    if (status != DREAMBOOTH_OK)
        return status;
    json_object_foreach(object, name, value)
    {
        status = set_field(p->env, config, name, value);
        if (status != DREAMBOOTH_OK) {
            db_schedule_config_release(p->env, config);
            return status;
        }
    }
    return DREAMBOOTH_OK;
}

static int new_stepper(struct parity *p, json_t *test, int64_t images,
                       int64_t size, struct db_stepper **out)
{
    json_t *arguments = json_object_get(test, "step_args");
    struct db_stepper_settings settings = {0};
    struct db_schedule_config config;
    enum db_stepper_kind kind;
    int status;

    if (!db_stepper_find_class(
            json_string_value(json_object_get(test, "class")), &kind))
        return db_fail(p->env, DREAMBOOTH_EUNSUPPORTED, "no such class");
    settings.steps = json_integer_value(json_object_get(test, "steps"));
    settings.eta = json_number_value(json_object_get(arguments, "eta"));
    settings.use_clipped_model_output =
        json_is_true(json_object_get(arguments, "use_clipped_model_output"));
    status = read_config(p, json_object_get(test, "config"), &config);
    if (status != DREAMBOOTH_OK)
        return status;
    status =
        db_stepper_new(p->env, kind, &config, &settings, images, size, out);
    db_schedule_config_release(p->env, &config);
    return status;
}

/* One trajectory on its way. */
struct run {
    struct db_stepper *stepper;
    json_t *test;
    const float *noises; /* [draws, count], or NULL: made by formula */
    int64_t draws, drawn;
    int64_t count;
    float *input, *output, *noise;
};

static void make_noise(struct run *run)
{
    int64_t i;

    for (i = 0; i < run->count; i++)
        run->noise[i] = (float)sin(
            12.9898 * (double)(run->count * run->drawn + i) + 78.233);
}

/* The noise of this call, NULL where none is drawn. */
static const float *next_noise(struct run *run, int64_t step)
{
    const float *noise = run->noise;

    if (!db_stepper_needs_noise(run->stepper, step))
        return NULL;
    if (run->noises != NULL && run->drawn < run->draws)
        noise = run->noises + run->drawn * run->count;
    else
        make_noise(run);
    run->drawn++;
    return noise;
}

static int take_step(struct run *run, int64_t step, float *sample)
{
    float timestep = db_stepper_timestep(run->stepper, step);
    int64_t i;

    db_stepper_scale_input(run->stepper, step, sample, run->input);
    for (i = 0; i < run->count; i++)
        run->output[i] = run->input[i] * timestep / (timestep + 1);
    return db_stepper_step(run->stepper, step, run->output, sample,
                           next_noise(run, step));
}

/* Is sample number INDEX recorded, in row ROW of x? */
static bool is_recorded(json_t *test, int64_t index, int64_t row)
{
    json_t *rows = json_object_get(test, "x_index");

    if (rows == NULL)
        return index == row;
    return json_integer_value(json_array_get(rows, (size_t)row)) == index;
}

/* Fills the rows of GOT [rows, count] from the first one on. */
static int follow(struct run *run, float *got, int64_t rows)
{
    size_t bytes = (size_t)run->count * sizeof(float);
    int64_t calls = db_stepper_calls(run->stepper), step, row = 1;
    float *sample = got + rows * run->count; /* behind the last row */
    int status;

    memcpy(sample, got, bytes);
    for (step = 0; step < calls; step++) {
        status = take_step(run, step, sample);
        if (status != DREAMBOOTH_OK)
            return status;
        if (row < rows && is_recorded(run->test, step + 1, row))
            memcpy(got + row++ * run->count, sample, bytes);
    }
    return DREAMBOOTH_OK;
}

static void compare_timesteps(struct parity *p, const struct source *source,
                              const char *name,
                              const struct db_stepper *stepper)
{
    const struct db_safetensors_entry *entry;
    float *want = read_tensor(p, source, name, "timesteps", &entry);
    struct parity_tolerance tolerance = {0, 0, 0};
    int64_t i;

    if (want == NULL || entry->count != db_stepper_calls(stepper)) {
        parity_fail(p, "%" PRId64 " calls, wanted %" PRId64,
                    db_stepper_calls(stepper), want ? entry->count : 0);
    } else {
        tolerance.absolute = entry->dtype == DB_I64 ? 0 : 1e-3;
        for (i = 0; i < entry->count; i++)
            parity_compare_double(p, "timesteps",
                                  (double)db_stepper_timestep(stepper, i),
                                  (double)want[i], tolerance);
    }
    db_free(p->env, want);
}

/* The steps at which noise is drawn, unless they are given as a range. */
static void compare_noise_steps(struct parity *p, json_t *test,
                                const struct db_stepper *stepper)
{
    json_t *steps = json_object_get(test, "noise_steps");
    size_t drawn = 0;
    int64_t i;

    if (!json_is_array(steps))
        return;
    for (i = 0; i < db_stepper_calls(stepper); i++) {
        if (!db_stepper_needs_noise(stepper, i))
            continue;
        if (json_integer_value(json_array_get(steps, drawn)) != i ||
            drawn >= json_array_size(steps))
            parity_fail(p, "noise is drawn at step %" PRId64, i);
        drawn++;
    }
    if (drawn != json_array_size(steps))
        parity_fail(p, "noise is drawn %zu times, wanted %zu", drawn,
                    json_array_size(steps));
}

static void compare_trajectory(struct parity *p, struct run *run,
                               const struct db_safetensors_entry *entry,
                               const float *want)
{
    struct parity_tolerance tolerance = {0, 0, 0};
    double deviation = json_number_value(json_object_get(run->test, "f64_dev"));
    size_t bytes = (size_t)run->count * sizeof(float);
    float *got = db_alloc(p->env, (size_t)(entry->shape[0] + 1) * bytes);

    tolerance.of_max = fmax(1e-5, 4 * deviation);
    run->input = db_alloc(p->env, 3 * bytes);
    if (got == NULL || run->input == NULL) {
        parity_fail(p, "%s", p->env->error_text);
    } else {
        run->output = run->input + run->count;
        run->noise = run->output + run->count;
        memcpy(got, want, bytes);
        if (follow(run, got, entry->shape[0]) != DREAMBOOTH_OK)
            parity_fail(p, "%s", p->env->error_text);
        else
            parity_compare(p, "x", got, want, entry->count, tolerance);
    }
    db_free(p->env, run->input);
    db_free(p->env, got);
}

static void check_case(struct parity *p, const struct source *source,
                       json_t *test)
{
    const char *name = json_string_value(json_object_get(test, "case"));
    const struct db_safetensors_entry *entry, *noise_entry;
    struct parity_tolerance tolerance = {0, 0, 1e-5};
    struct run run = {.test = test};
    float *want = read_tensor(p, source, name, "x", &entry);
    float *noises = read_tensor(p, source, name, "noise", &noise_entry);

    parity_begin(p, "schedulers/%s %s", source->name, name);
    if (want == NULL || entry->rank < 3) {
        parity_fail(p, "x is missing");
        goto done;
    }
    run.count = entry->count / entry->shape[0];
    if (noises != NULL) {
        run.noises = noises;
        run.draws = noise_entry->shape[0];
    }
    if (new_stepper(p, test, entry->shape[1], run.count / entry->shape[1],
                    &run.stepper) != DREAMBOOTH_OK) {
        parity_fail(p, "%s", p->env->error_text);
        goto done;
    }
    compare_timesteps(p, source, name, run.stepper);
    compare_noise_steps(p, test, run.stepper);
    parity_compare_double(
        p, "init_noise_sigma", (double)db_stepper_init_noise_sigma(run.stepper),
        json_number_value(json_object_get(test, "init_noise_sigma")),
        tolerance);
    compare_trajectory(p, &run, entry, want);
done:
    parity_end(p);
    db_stepper_free(run.stepper);
    db_free(p->env, noises);
    db_free(p->env, want);
}

/* SCHEDULE's NAME ("betas"), a number for each timestep. */
static void compare_curve(struct parity *p, const struct source *source,
                          const char *schedule_name, const char *name,
                          const float *got, int64_t count,
                          struct parity_tolerance tolerance)
{
    const struct db_safetensors_entry *entry;
    float *want = read_tensor(p, source, schedule_name, name, &entry);

    if (want == NULL || entry->count != count)
        parity_fail(p, "%s: missing or of another length", name);
    else
        parity_compare(p, name, got, want, count, tolerance);
    db_free(p->env, want);
}

static void compare_snr(struct parity *p, const struct source *source,
                        const char *name, const struct db_schedule *schedule)
{
    struct parity_tolerance tolerance = {0, 0, 1e-5};
    size_t count = (size_t)schedule->count, i;
    float *snr = db_alloc_array(p->env, count, sizeof(*snr));

    if (snr == NULL) {
        parity_fail(p, "%s", p->env->error_text);
        return;
    }
    for (i = 0; i < count; i++)
        snr[i] = (float)db_schedule_snr(schedule, (int64_t)i);
    compare_curve(p, source, name, "snr", snr, schedule->count, tolerance);
    db_free(p->env, snr);
}

/*
 * A schedule that is RESCALED to zero terminal SNR goes through square roots in
 * float, which torch takes from MKL; their last bit depends on the processor.
 * A unit there is 6e-8 of a beta near 0 and, where the root that is shifted to
 * 0 is left, 1e-5 of alphas_cumprod. torch itself, on a processor of another
 * make, is 3e-6 off these betas and 4e-6 of these alphas_cumprod.
 */
static void compare_curves(struct parity *p, const struct source *source,
                           const char *name, const struct db_schedule *schedule,
                           bool rescaled)
{
    struct parity_tolerance of_betas = {rescaled ? 1e-5 : 0, 0, 1e-6};
    struct parity_tolerance of_alphas = {0, 0, rescaled ? 2e-5 : 1e-6};

    compare_curve(p, source, name, "betas", schedule->betas, schedule->count,
                  of_betas);
    compare_curve(p, source, name, "alphas_cumprod", schedule->alphas_cumprod,
                  schedule->count, of_alphas);
}

typedef void mix_function(const struct db_schedule *schedule, int64_t timestep,
                          const float *sample, const float *noise,
                          int64_t count, float *out);

/* NAME is what MIX makes of x0 and noise at the timesteps t. */
static void compare_mix(struct parity *p, const struct source *source,
                        const char *schedule_name, const char *name,
                        const struct db_schedule *schedule, mix_function *mix)
{
    static const char *const names[] = {"t", "x0", "noise"};
    struct parity_tolerance tolerance = {1e-6, 0, 0};
    const struct db_safetensors_entry *entries[4];
    float *in[4] = {NULL}, *got = NULL;
    int64_t i, each;
    size_t k;

    for (k = 0; k < 4; k++)
        in[k] = read_tensor(p, source, schedule_name, k < 3 ? names[k] : name,
                            &entries[k]);
    if (in[0] != NULL && in[1] != NULL && in[2] != NULL && in[3] != NULL)
        got = db_alloc_array(p->env, (size_t)entries[1]->count, sizeof(*got));
    if (got == NULL) {
        parity_fail(p, "%s: a tensor is missing", name);
    } else {
        each = entries[1]->count / entries[0]->count;
        for (i = 0; i < entries[0]->count; i++)
            mix(schedule, (int64_t)in[0][i], in[1] + i * each, in[2] + i * each,
                each, got + i * each);
        parity_compare(p, name, got, in[3], entries[1]->count, tolerance);
    }
    db_free(p->env, got);
    for (k = 0; k < 4; k++)
        db_free(p->env, in[k]);
}

/* What follows from alphas_cumprod: from those of the reference, since 1 -
 * alphas_cumprod makes much of their last bits. */
static void compare_uses(struct parity *p, const struct source *source,
                         const char *name, const struct db_schedule *schedule)
{
    struct db_schedule reference = *schedule;
    const struct db_safetensors_entry *entry;

    reference.alphas_cumprod =
        read_tensor(p, source, name, "alphas_cumprod", &entry);
    if (reference.alphas_cumprod != NULL && entry->count == schedule->count) {
        compare_snr(p, source, name, &reference);
        compare_mix(p, source, name, "add_noise", &reference,
                    db_schedule_add_noise);
        compare_mix(p, source, name, "velocity", &reference,
                    db_schedule_velocity);
    }
    db_free(p->env, reference.alphas_cumprod);
}

/* The entry has the config's fields among others. */
static int read_schedule(struct parity *p, json_t *test,
                         struct db_schedule **out)
{
    struct db_schedule_config config;
    const char *name;
    json_t *value;
    int status = db_schedule_config_init(p->env, &config);

    json_object_foreach(test, name, value)
    {
        if (status == DREAMBOOTH_OK &&
            db_option_lookup(&db_schedule_config_table, name) != NULL)
            status = set_field(p->env, &config, name, value);
    }
    if (status == DREAMBOOTH_OK)
        status = set_field(p->env, &config, "num_train_timesteps",
                           json_object_get(test, "T"));
    if (status == DREAMBOOTH_OK)
        status = db_schedule_new(p->env, &config, out);
    return status;
}

static void check_schedule(struct parity *p, const struct source *source,
                           json_t *test)
{
    const char *name = json_string_value(json_object_get(test, "name"));
    struct db_schedule *schedule;

    if (json_object_get(test, "T") == NULL)
        return; /* a note among the entries */
    parity_begin(p, "schedulers/betas %s", name);
    if (read_schedule(p, test, &schedule) != DREAMBOOTH_OK) {
        parity_fail(p, "%s", p->env->error_text);
    } else {
        compare_curves(
            p, source, name, schedule,
            json_is_true(json_object_get(test, "rescale_betas_zero_snr")));
        compare_uses(p, source, name, schedule);
        db_schedule_free(schedule);
    }
    parity_end(p);
}

static void run_source(struct parity *p, const char *name,
                       void (*check)(struct parity *p,
                                     const struct source *source, json_t *test))
{
    struct source source;
    json_t *test;
    size_t i;

    if (!open_source(p, name, &source))
        return;
    json_array_foreach(source.cases, i, test) check(p, &source, test);
    close_source(&source);
}

static void skip_case(struct parity *p, const struct source *source,
                      json_t *test)
{
    char name[160];

    snprintf(name, sizeof(name), "schedulers/%s %s", source->name,
             json_string_value(json_object_get(test, "case")));
    parity_skip(p, name, "a sampler of a later issue");
}

void parity_schedulers(struct parity *p)
{
    size_t i;

    run_source(p, "betas", check_schedule);
    for (i = 0; i < DB_COUNT(trajectories); i++)
        run_source(p, trajectories[i], check_case);
    for (i = 0; i < DB_COUNT(later); i++)
        run_source(p, later[i], skip_case);
}

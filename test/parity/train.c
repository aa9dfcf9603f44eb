/* SPDX-License-Identifier: MIT */
/*
 * DreamBooth steps: recorded photos, noises and timesteps through our VAE,
 * noising, UNet, loss, gradients, clip and AdamW, for five steps, against what
 * PyTorch and diffusers made of them.
 *
 * Adam turns a gradient that is zero but for rounding into a move of any size
 * up to the learning rate; so a few entries may lie off, and the sums that the
 * reference gives with its own float64 run say how many.
 */
#include "parity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/noise.h"
#include "diffusion/schedule_config.h"
#include "diffusion/stepper.h"
#include "file/folder.h"
#include "file/json.h"
#include "train/optimizer.h"
#include "train/step.h"

#define PATH_BYTES 4096
#define SAMPLES 48

static const struct parity_tolerance noise_tolerance = {2e-6, 0, 0};
static const struct parity_tolerance value_tolerance = {0, 2e-5, 0};
static const struct parity_tolerance first_log_tolerance = {0, 0, 2e-5};
static const struct parity_tolerance log_tolerance = {0, 0, 1e-3};
static const struct parity_tolerance change_tolerance = {0, 0, 0.02};

/* A run at work. */
struct subject {
    struct parity *p;
    const char *kind;    /* "sd1" */
    const char *name;    /* "unet_lr1e-3" */
    const json_t *facts; /* of runs.json */
    struct db_pipeline *pipeline;
    struct db_schedule *schedule;
    struct db_optimizer *optimizer;
    struct db_trainer_settings settings;
    bool prior;
    struct db_safetensors *inputs, *step1, *after;
    struct db_tensor *posterior; /* [2, rows, h, w, c]'s rows: mean, then
                                  * logvar: [2 rows, h, w, c] */
    struct db_tensor *context;   /* [rows, length, width]; NULL: trained */
    float **before;              /* of each trained parameter, file's layout */
};

static int open_file(struct db_env *env, const struct parity *p,
                     const char *kind, const char *what,
                     struct db_safetensors **out)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/train/%s.%s.safetensors", p->directory,
             kind, what);
    return db_safetensors_open(env, path, out);
}

/* The part PART of the model in FOLDER; the reference's models need not have
 * tokenizers, so that they are no whole pipelines. */
static int open_part(struct db_pipeline *pipeline, enum db_part part,
                     const char *folder)
{
    static const char *const bases[DB_PARTS] = {
        "model", "diffusion_pytorch_model", "diffusion_pytorch_model"};
    struct db_env *env = pipeline->env;
    struct db_weights *weights = NULL;
    json_t *config = NULL;
    const char *prefix = "";
    char path[PATH_BYTES];
    int status;

    snprintf(path, sizeof(path), "%s/%s/config.json", folder,
             db_part_names[part]);
    status = db_json_load(env, path, &config);
    if (status != DREAMBOOTH_OK)
        return status;
    *strrchr(path, '/') = '\0';
    status = db_weights_open(env, path, bases[part], NULL, &weights);
    if (status == DREAMBOOTH_OK && part == DB_TEXT_ENCODER &&
        db_weights_find(weights,
                        "text_model.embeddings.token_embedding.weight") != NULL)
        prefix = "text_model.";
    if (status == DREAMBOOTH_OK && part == DB_TEXT_ENCODER)
        status = db_text_encoder_new(env, path, config, prefix,
                                     &pipeline->text_encoder);
    if (status == DREAMBOOTH_OK && part == DB_UNET)
        status = db_unet_new(env, path, config, &pipeline->unet);
    if (status == DREAMBOOTH_OK && part == DB_VAE)
        status = db_vae_new(env, path, config, &pipeline->vae);
    if (status == DREAMBOOTH_OK)
        status = db_params_load(db_pipeline_params(pipeline, part), weights);
    db_weights_free(weights);
    json_decref(config);
    return status;
}

static int open_schedule(struct subject *subject, const char *folder)
{
    struct db_env *env = subject->p->env;
    struct db_schedule_config config;
    json_t *json = NULL;
    char *text = NULL;
    char path[PATH_BYTES];
    int status;

    snprintf(path, sizeof(path), "%s/scheduler/scheduler_config.json", folder);
    status = db_json_load(env, path, &json);
    if (status == DREAMBOOTH_OK)
        status = db_json_text(env, json, &text);
    json_decref(json);
    if (status == DREAMBOOTH_OK)
        status = db_schedule_config_read(env, path, text, &config);
    db_free(env, text);
    if (status != DREAMBOOTH_OK)
        return status;
    status = db_stepper_resolve_config(env, DB_STEPPER_DDPM, &config);
    if (status == DREAMBOOTH_OK)
        status = db_schedule_new(env, &config, &subject->schedule);
    db_schedule_config_release(env, &config);
    return status;
}

static int open_model(struct subject *subject)
{
    struct db_env *env = subject->p->env;
    char folder[PATH_BYTES - 256];
    int part, status = DREAMBOOTH_OK;

    snprintf(folder, sizeof(folder), "%s/models/tiny-%s", subject->p->directory,
             subject->kind);
    subject->pipeline = db_alloc_zero(env, sizeof(*subject->pipeline));
    if (subject->pipeline == NULL)
        return env->error_status;
    subject->pipeline->env = env;
    for (part = 0; part < DB_PARTS && status == DREAMBOOTH_OK; part++)
        status = open_part(subject->pipeline, (enum db_part)part, folder);
    if (status == DREAMBOOTH_OK)
        status = open_schedule(subject, folder);
    return status;
}

/* The names that the reference gives, and we. */
static void full_name(const struct db_trained *item, char name[PATH_BYTES])
{
    const char *prefix = "";

    if (item->part == DB_TEXT_ENCODER &&
        strncmp(item->param->name, "text_model.", 11) != 0)
        prefix = "text_model.";
    snprintf(name, PATH_BYTES, "%s.%s%s", db_part_names[item->part], prefix,
             item->param->name);
}

static bool is_token_embedding(const struct db_trained *item)
{
    return strstr(item->param->name, "token_embedding") != NULL;
}

/* Its gradient is zero but for rounding. */
static bool is_key_bias(const struct db_trained *item)
{
    return strstr(item->param->name, "k_proj.bias") != NULL;
}

/* DATA, which is laid out like PARAM, in the order of the files; fresh. */
static float *in_file_order(struct db_env *env, const struct db_param *param,
                            const float *data)
{
    const int64_t *size = param->shape.size;
    int64_t count = db_shape_count(&param->shape);
    float *out = db_alloc_array(env, (size_t)count, sizeof(*out));

    if (out == NULL)
        return NULL;
    if (param->layout == DB_LAYOUT_CONV)
        db_nhwc_to_nchw(data, size[0], size[2], size[3], size[1], out);
    else
        memcpy(out, data, (size_t)count * sizeof(*out));
    return out;
}

/* Mean and log variance of every photo, one by one. */
static int encode_photos(struct subject *subject)
{
    const struct db_safetensors_entry *pixels =
        db_safetensors_find(subject->inputs, "pixel_values");
    const struct db_vae *vae = subject->pipeline->vae;
    struct db_env *env = subject->p->env;
    int64_t rows = pixels->shape[0], size = pixels->count / rows, i;
    struct db_shape image =
        db_shape4(1, pixels->shape[2], pixels->shape[3], pixels->shape[1]);
    struct db_shape latents =
        db_shape4(2 * rows, image.size[1] / vae->factor,
                  image.size[2] / vae->factor, vae->config.latent_channels);
    int64_t part = db_shape_count(&latents) / (2 * rows);
    int status = db_tensor_new(env, DB_F32, &latents, &subject->posterior);

    for (i = 0; i < rows && status == DREAMBOOTH_OK; i++) {
        float *out = db_tensor_f32(subject->posterior);
        struct db_var *x, *mean = NULL, *logvar = NULL;
        struct db_tape tape;

        db_tape_init(&tape, subject->p->device, false);
        x = db_var_empty(&tape, &image);
        if (x != NULL)
            db_nchw_to_nhwc((const float *)parity_data(subject->p, pixels) +
                                i * size,
                            1, image.size[3], image.size[1], image.size[2],
                            db_tensor_f32(x->data));
        status = db_vae_encode(&tape, vae, x, &mean, &logvar, NULL);
        if (status == DREAMBOOTH_OK) {
            memcpy(out + i * part, db_tensor_f32(mean->data),
                   (size_t)part * sizeof(float));
            memcpy(out + (rows + i) * part, db_tensor_f32(logvar->data),
                   (size_t)part * sizeof(float));
        }
        db_drop(mean);
        db_drop(logvar);
        db_tape_clear(&tape);
    }
    return status;
}

static int encode_prompts(struct subject *subject)
{
    const struct db_safetensors_entry *ids =
        db_safetensors_find(subject->inputs, "input_ids");
    struct db_tape tape;
    struct db_var *context;
    int status;

    db_tape_init(&tape, subject->p->device, false);
    context = db_text_encoder_forward(&tape, subject->pipeline->text_encoder,
                                      parity_data(subject->p, ids),
                                      ids->shape[0], ids->shape[1], NULL);
    status = tape.status;
    if (status == DREAMBOOTH_OK)
        subject->context = db_tensor_hold(context->data);
    db_drop(context);
    db_tape_clear(&tape);
    return status;
}

/* Rows of step STEP of the recorded noise NAME, in our layout. */
static int noise_tensor(const struct subject *subject, const char *name,
                        int64_t step, struct db_tensor **out)
{
    const struct db_safetensors_entry *entry =
        db_safetensors_find(subject->inputs, name);
    const int64_t *size = entry->shape;
    struct db_shape shape = db_shape4(size[1], size[3], size[4], size[2]);
    int status = db_tensor_new(subject->p->env, DB_F32, &shape, out);

    if (status == DREAMBOOTH_OK)
        db_nchw_to_nhwc((const float *)parity_data(subject->p, entry) +
                            step * (entry->count / size[0]),
                        size[1], size[2], size[3], size[4],
                        db_tensor_f32(*out));
    return status;
}

static int make_batch(const struct subject *subject, int64_t step,
                      struct db_train_batch *batch)
{
    const struct db_safetensors_entry *ids =
        db_safetensors_find(subject->inputs, "input_ids");
    const struct db_safetensors_entry *timesteps =
        db_safetensors_find(subject->inputs, "timesteps");
    float factor = (float)subject->pipeline->vae->config.scaling_factor;
    const float *mean = db_tensor_f32(subject->posterior);
    const float *logvar = mean + db_tensor_count(subject->posterior) / 2;
    int64_t rows = ids->shape[0], i;
    int status = noise_tensor(subject, "noise", step, &batch->noise);

    if (status == DREAMBOOTH_OK)
        status = noise_tensor(subject, "vae_noise", step, &batch->latents);
    if (status != DREAMBOOTH_OK)
        return status;
    for (i = 0; i < db_tensor_count(batch->latents); i++) {
        float *value = db_tensor_f32(batch->latents) + i;

        *value = (mean[i] + expf(0.5f * logvar[i]) * *value) * factor;
    }
    batch->classes = subject->prior ? rows / 2 : 0;
    batch->instances = rows - batch->classes;
    batch->timesteps =
        (int64_t *)parity_data(subject->p, timesteps) + step * rows;
    batch->context = subject->context;
    batch->ids = (int64_t *)parity_data(subject->p, ids);
    batch->length = ids->shape[1];
    return DREAMBOOTH_OK;
}

/* A tensor of ours, [n, h, w, c] or [n, l, w], against the record's. */
static void compare_tensor(const struct subject *subject, const char *name,
                           const struct db_tensor *got)
{
    const struct db_safetensors_entry *want =
        db_safetensors_find(subject->step1, name);
    const int64_t *size = got->shape.size;
    int64_t count = db_tensor_count(got);
    float *turned =
        db_alloc_array(subject->p->env, (size_t)count, sizeof(*turned));

    if (want == NULL)
        goto done;
    if (turned == NULL || want->count != count) {
        parity_fail(subject->p, "%s has another size", name);
        goto done;
    }
    if (got->shape.rank == 4)
        db_nhwc_to_nchw(db_tensor_f32(got), size[0], size[1], size[2], size[3],
                        turned);
    else
        memcpy(turned, got->data, (size_t)count * sizeof(*turned));
    parity_compare(subject->p, name, turned, parity_data(subject->p, want),
                   count, value_tolerance);
done:
    db_free(subject->p->env, turned);
}

/* The rows IDS of VALUES [.., columns], into OUT. */
static void take_rows(struct parity *p, const float *values, int64_t columns,
                      const struct db_safetensors_entry *ids, float *out)
{
    const char *integers = parity_data(p, ids);
    int64_t i, id;

    for (i = 0; i < ids->count; i++) {
        memcpy(&id, integers + (size_t)i * sizeof(id), sizeof(id));
        memcpy(out + i * columns, values + id * columns,
               (size_t)columns * sizeof(float));
    }
}

/* Every ceil(COUNT / SAMPLES)th of VALUES, in place. */
static int64_t thin_out(float *values, int64_t count)
{
    int64_t stride = (count + SAMPLES - 1) / SAMPLES;
    int64_t kept = 0, i;

    for (i = 0; i < count; i += stride)
        values[kept++] = values[i];
    return kept;
}

/* One gradient: whole, sampled, or by rows. */
static void compare_gradient(const struct subject *subject,
                             const struct db_trained *item, double norm)
{
    struct parity_tolerance tolerance = {1e-7 * norm, 5e-5, 0};
    const struct db_safetensors_entry *want, *rows;
    int64_t count = db_shape_count(&item->param->shape);
    char name[PATH_BYTES], key[PATH_BYTES + 32];
    float *got;

    full_name(item, name);
    got = in_file_order(subject->p->env, item->param,
                        db_tensor_f32(item->param->gradient));
    snprintf(key, sizeof(key), "grad.rows_of.%s", name);
    rows = db_safetensors_find(subject->step1, key);
    if (rows != NULL && got != NULL) {
        take_rows(subject->p, db_tensor_f32(item->param->gradient),
                  item->param->shape.size[1], rows, got);
        count = rows->count * item->param->shape.size[1];
        snprintf(key, sizeof(key), "grad.rows.%s", name);
    } else {
        snprintf(key, sizeof(key), "grad.%s", name);
    }
    want = db_safetensors_find(subject->step1, key);
    if (want != NULL && got != NULL && want->count < count)
        count = thin_out(got, count);
    if (got == NULL || (want == NULL && !is_token_embedding(item)))
        parity_fail(subject->p, "%s is missing", key);
    else if (want != NULL && want->count != count)
        parity_fail(subject->p, "%s has another size", key);
    else if (want != NULL)
        parity_compare(subject->p, name, got, parity_data(subject->p, want),
                       count, tolerance);
    db_free(subject->p->env, got);
}

/* The record of step 1 that this run has, if it has one. */
static int open_step1(struct subject *subject)
{
    double gamma = subject->settings.snr_gamma;

    if (!subject->prior || subject->settings.prior_loss_weight != 1 ||
        (gamma != 0 && gamma != 5))
        return DREAMBOOTH_OK;
    return open_file(subject->p->env, subject->p, subject->kind,
                     gamma == 0 ? "step1" : "step1_snr5", &subject->step1);
}

static void compare_step1(const struct subject *subject,
                          const struct db_train_batch *batch,
                          const struct db_train_trace *trace, double norm)
{
    size_t i;

    if (subject->step1 == NULL)
        return;
    compare_tensor(subject, "latents", batch->latents);
    compare_tensor(subject, "noisy", trace->noisy);
    compare_tensor(subject, "context", trace->context);
    compare_tensor(subject, "pred", trace->prediction);
    compare_tensor(subject, "target", trace->target);
    for (i = 0; i < subject->optimizer->count; i++)
        compare_gradient(subject, &subject->optimizer->items[i], norm);
}

/* How far the reference's own float and double runs have parted at STEP: large
 * learning rates make some of them chaotic. */
static double log_deviation(const struct subject *subject, const char *key,
                            int64_t step)
{
    const json_t *all = json_object_get(subject->facts, "f64_dev");

    return json_number_value(
        json_array_get(json_object_get(all, key), (size_t)step));
}

static void compare_log(const struct subject *subject, int64_t step,
                        const struct db_train_losses *losses, double norm)
{
    const json_t *log =
        json_array_get(json_object_get(subject->facts, "steps"), (size_t)step);
    const struct {
        const char *key;
        double got;
        const char *floor;
    } rows[] = {{"loss", losses->loss, "loss_rel"},
                {"instance_loss", losses->instance, "loss_rel"},
                {"prior_loss", losses->prior, "loss_rel"},
                {"grad_norm", norm, "grad_norm_rel"}};
    size_t i;

    for (i = 0; i < DB_COUNT(rows); i++) {
        const json_t *want = json_object_get(log, rows[i].key);
        char what[48];

        snprintf(what, sizeof(what), "%s of step %lld", rows[i].key,
                 (long long)step + 1);
        if (json_is_number(want))
            parity_compare_double(
                subject->p, what, rows[i].got, json_number_value(want),
                parity_no_finer(step == 0 ? first_log_tolerance : log_tolerance,
                                log_deviation(subject, rows[i].floor, step)));
    }
}

/* How the sampled parameters lie: entries off, entries, and the largest
 * distance in units of the learning rate. */
struct tally {
    int64_t beyond, entries;
    double largest;
};

static void tally_up(const struct subject *subject, const float *got,
                     const float *want, int64_t count, bool is_counted,
                     struct tally *tally)
{
    double rate = subject->settings.learning_rate;
    int64_t i;

    for (i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)want[i]);

        if (is_counted &&
            !(error <= 0.02 * rate + 3e-7 * fabs((double)want[i])))
            tally->beyond++;
        if (!(error / rate <= tally->largest))
            tally->largest = error / rate;
    }
    if (is_counted)
        tally->entries += count;
}

static void tally_parameter(const struct subject *subject,
                            const struct db_trained *item, int64_t step,
                            struct tally *tally)
{
    const struct db_safetensors_entry *want, *rows;
    int64_t count = db_shape_count(&item->param->shape);
    char name[PATH_BYTES], key[PATH_BYTES + 64];
    float *got;

    full_name(item, name);
    snprintf(key, sizeof(key), "%s.after%lld.%s", subject->name,
             (long long)step, name);
    want = db_safetensors_find(subject->after, key);
    if (want == NULL)
        return;
    got = in_file_order(subject->p->env, item->param,
                        db_tensor_f32(item->param->data));
    if (got == NULL) {
        parity_fail(subject->p, "%s", subject->p->env->error_text);
        return;
    }
    rows = db_safetensors_find(subject->after, "rows_of");
    if (is_token_embedding(item) && rows != NULL) {
        take_rows(subject->p, db_tensor_f32(item->param->data),
                  item->param->shape.size[1], rows, got);
        count = rows->count * item->param->shape.size[1];
    } else {
        count = thin_out(got, count);
    }
    if (want->count != count)
        parity_fail(subject->p, "%s has another size", key);
    else
        tally_up(subject, got, parity_data(subject->p, want), count,
                 !is_key_bias(item), tally);
    db_free(subject->p->env, got);
}

static void compare_parameters(const struct subject *subject, int64_t step)
{
    char key[32];
    const json_t *deviation;
    struct tally tally = {0, 0, 0};
    double share;
    size_t i;

    snprintf(key, sizeof(key), "after%lld", (long long)step);
    deviation =
        json_object_get(json_object_get(subject->facts, "f64_dev"), key);
    share = json_number_value(json_object_get(deviation, "share_beyond"));
    for (i = 0; i < subject->optimizer->count; i++)
        tally_parameter(subject, &subject->optimizer->items[i], step, &tally);
    if (tally.entries == 0)
        return;
    parity_compare_double(subject->p, "share of parameters beyond",
                          (double)tally.beyond / (double)tally.entries, 0,
                          (struct parity_tolerance){3 * share + 1e-3, 0, 0});
    parity_compare_double(subject->p, "largest deviation in learning rates",
                          tally.largest, 0,
                          (struct parity_tolerance){2.1 * (double)step, 0, 0});
}

/* How far each tensor has moved, after the last step. */
static void compare_changes(const struct subject *subject)
{
    const json_t *stats = json_object_get(subject->facts, "stats");
    char name[PATH_BYTES];
    size_t i;

    for (i = 0; i < subject->optimizer->count; i++) {
        const struct db_trained *item = &subject->optimizer->items[i];
        const json_t *want;
        double sum = 0;
        int64_t k;

        full_name(item, name);
        want = json_array_get(json_object_get(stats, name), 2);
        if (want == NULL || is_key_bias(item))
            continue;
        for (k = 0; k < db_tensor_count(item->param->data); k++) {
            double change = (double)db_tensor_f32(item->param->data)[k] -
                            (double)subject->before[i][k];

            sum += change * change;
        }
        parity_compare_double(subject->p, name, sqrt(sum),
                              json_number_value(want), change_tolerance);
    }
}

static int take_step(struct subject *subject, int64_t step)
{
    struct db_train_form form = {.prior_loss_weight =
                                     subject->settings.prior_loss_weight,
                                 .snr_gamma = subject->settings.snr_gamma,
                                 .scale = 1,
                                 .recompute = step % 2 == 1,
                                 .step = step + 1};
    struct db_train_trace trace = {NULL, NULL, NULL, NULL};
    struct db_train_batch batch = {.instances = 0};
    struct db_train_losses losses = {0, 0, 0};
    double norm = 0;
    int status = make_batch(subject, step, &batch);

    if (status == DREAMBOOTH_OK)
        status = db_train_gradients(subject->p->device, subject->pipeline,
                                    subject->schedule, &batch, &form, &losses,
                                    &trace);
    if (status == DREAMBOOTH_OK)
        status = db_optimizer_norm(subject->optimizer, step + 1, &norm);
    if (status == DREAMBOOTH_OK) {
        if (step == 0)
            compare_step1(subject, &batch, &trace, norm);
        compare_log(subject, step, &losses, norm);
        status = db_optimizer_update(subject->optimizer,
                                     subject->settings.learning_rate, norm);
    }
    db_optimizer_free_gradients(subject->optimizer);
    db_train_trace_release(&trace);
    db_tensor_release(batch.latents);
    db_tensor_release(batch.noise);
    return status;
}

static int keep_before(struct subject *subject)
{
    struct db_env *env = subject->p->env;
    size_t i;

    subject->before = db_alloc_zero(env, subject->optimizer->count *
                                             sizeof(*subject->before));
    if (subject->before == NULL)
        return env->error_status;
    for (i = 0; i < subject->optimizer->count; i++) {
        const struct db_tensor *data = subject->optimizer->items[i].param->data;
        size_t bytes = (size_t)db_tensor_count(data) * sizeof(float);

        subject->before[i] = db_alloc(env, bytes);
        if (subject->before[i] == NULL)
            return env->error_status;
        memcpy(subject->before[i], data->data, bytes);
    }
    return DREAMBOOTH_OK;
}

static int read_settings(struct subject *subject)
{
    struct db_trainer_settings *settings = &subject->settings;
    const json_t *facts = subject->facts;
    const json_t *gamma = json_object_get(facts, "snr_gamma");
    int status =
        db_options_init(subject->p->env, &db_trainer_options, settings);

    subject->prior = json_is_true(json_object_get(facts, "prior"));
    settings->learning_rate = json_number_value(json_object_get(facts, "lr"));
    settings->train_text_encoder = json_is_true(json_object_get(facts, "te"));
    settings->snr_gamma = json_is_number(gamma) ? json_number_value(gamma) : 0;
    settings->prior_loss_weight =
        json_number_value(json_object_get(facts, "prior_weight"));
    return status;
}

/* Seed and order of the draws must give the recorded ones. */
static void compare_draws(const struct subject *subject)
{
    static const char *const names[] = {"vae_noise", "noise"};
    const struct db_safetensors_entry *timesteps =
        db_safetensors_find(subject->inputs, "timesteps");
    int64_t rows = timesteps->shape[1], step;
    struct db_noise noise;
    size_t i;

    db_noise_init(
        &noise, DB_NOISE_TORCH,
        (uint64_t)json_integer_value(json_object_get(subject->facts, "seed")));
    for (step = 0; step < timesteps->shape[0]; step++) {
        int64_t drawn[64];

        for (i = 0; i < DB_COUNT(names); i++) {
            const struct db_safetensors_entry *want =
                db_safetensors_find(subject->inputs, names[i]);
            int64_t count = want->count / timesteps->shape[0];
            float *got =
                db_alloc_array(subject->p->env, (size_t)count, sizeof(*got));

            if (got == NULL)
                return;
            db_noise_normal(&noise, DB_RANDOM_TRAIN_NOISE, 0, 0, rows,
                            count / rows, got);
            parity_compare(subject->p, names[i], got,
                           (const float *)parity_data(subject->p, want) +
                               step * count,
                           count, noise_tolerance);
            db_free(subject->p->env, got);
        }
        if (rows > (int64_t)DB_COUNT(drawn))
            return;
        db_noise_integers(&noise, DB_RANDOM_TRAIN_TIMESTEPS, 0, 0, rows, 1000,
                          drawn);
        parity_compare_bytes(
            subject->p, "timesteps", drawn,
            (const int64_t *)parity_data(subject->p, timesteps) + step * rows,
            (size_t)rows * sizeof(*drawn));
    }
}

/* Everything that the run takes from its file of inputs. */
static int check_inputs(const struct subject *subject)
{
    static const struct {
        const char *name;
        enum db_dtype dtype;
        int rank;
    } wanted[] = {{"pixel_values", DB_F32, 4},
                  {"input_ids", DB_I64, 2},
                  {"vae_noise", DB_F32, 5},
                  {"noise", DB_F32, 5},
                  {"timesteps", DB_I64, 2}};
    size_t i;

    for (i = 0; i < DB_COUNT(wanted); i++) {
        const struct db_safetensors_entry *entry =
            db_safetensors_find(subject->inputs, wanted[i].name);

        if (entry == NULL || entry->dtype != wanted[i].dtype ||
            entry->rank != wanted[i].rank || entry->count == 0)
            return db_fail(subject->p->env, DREAMBOOTH_EFORMAT,
                           "the inputs have no %s of the right kind",
                           wanted[i].name);
    }
    return DREAMBOOTH_OK;
}

static int open_subject(struct subject *subject)
{
    struct parity *p = subject->p;
    int status = read_settings(subject);

    if (status == DREAMBOOTH_OK)
        status = open_file(p->env, p, subject->kind,
                           subject->prior ? "inputs" : "inputs_noprior",
                           &subject->inputs);
    if (status == DREAMBOOTH_OK)
        status = check_inputs(subject);
    if (status == DREAMBOOTH_OK)
        status = open_file(p->env, p, subject->kind, "after", &subject->after);
    if (status == DREAMBOOTH_OK)
        status = open_step1(subject);
    if (status == DREAMBOOTH_OK)
        status = open_model(subject);
    if (status == DREAMBOOTH_OK)
        status = encode_photos(subject);
    if (status == DREAMBOOTH_OK && !subject->settings.train_text_encoder)
        status = encode_prompts(subject);
    if (status == DREAMBOOTH_OK)
        status = db_optimizer_new(p->device, subject->pipeline,
                                  &subject->settings, &subject->optimizer);
    if (status == DREAMBOOTH_OK)
        status = keep_before(subject);
    return status;
}

static void close_subject(struct subject *subject)
{
    struct db_env *env = subject->p->env;
    size_t i;

    for (i = 0; subject->before != NULL && i < subject->optimizer->count; i++)
        db_free(env, subject->before[i]);
    db_free(env, subject->before);
    db_optimizer_free(subject->optimizer);
    db_tensor_release(subject->context);
    db_tensor_release(subject->posterior);
    db_schedule_free(subject->schedule);
    db_pipeline_free(subject->pipeline);
    db_safetensors_free(subject->inputs);
    db_safetensors_free(subject->step1);
    db_safetensors_free(subject->after);
    db_options_release(env, &db_trainer_options, &subject->settings);
}

static void run_case(struct parity *p, const char *kind, const char *name,
                     const json_t *facts)
{
    struct subject subject = {
        .p = p, .kind = kind, .name = name, .facts = facts};
    int64_t steps = (int64_t)json_array_size(json_object_get(facts, "steps"));
    int64_t step;
    int status;

    parity_begin(p, "train/%s.%s", kind, name);
    status = open_subject(&subject);
    if (status == DREAMBOOTH_OK)
        compare_draws(&subject);
    for (step = 0; step < steps && status == DREAMBOOTH_OK; step++) {
        status = take_step(&subject, step);
        if (status == DREAMBOOTH_OK)
            compare_parameters(&subject, step + 1);
    }
    if (status == DREAMBOOTH_OK)
        compare_changes(&subject);
    else
        parity_fail(p, "%s", p->env->error_text);
    close_subject(&subject);
    parity_end(p);
}

/* Runs of other kinds, told by what their names end in. */
static const char *why_not(const char *name)
{
    if (strstr(name, "lora") != NULL)
        return "LoRA: a later issue";
    if (strstr(name, "textual_inversion") != NULL)
        return "textual inversion: a later issue";
    return NULL;
}

void parity_train(struct parity *p)
{
    char path[PATH_BYTES];
    const char *key;
    json_t *runs = NULL;
    json_t *facts;

    snprintf(path, sizeof(path), "%s/train/runs.json", p->directory);
    if (db_json_load(p->env, path, &runs) != DREAMBOOTH_OK) {
        parity_begin(p, "train");
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
        return;
    }
    json_object_foreach(runs, key, facts)
    {
        const char *dot = strchr(key, '.');
        char kind[32], title[160];

        snprintf(title, sizeof(title), "train/%s", key);
        if (dot == NULL || dot - key >= (long)sizeof(kind)) {
            parity_skip(p, title, "no such kind of run here");
            continue;
        }
        snprintf(kind, sizeof(kind), "%.*s", (int)(dot - key), key);
        if (why_not(dot + 1) != NULL)
            parity_skip(p, title, why_not(dot + 1));
        else
            run_case(p, kind, dot + 1, facts);
    }
    json_decref(runs);
}

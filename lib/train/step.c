/* SPDX-License-Identifier: MIT */
/*
 * One forward and backward pass: noising, text tower (where it is trained),
 * UNet, the two-part loss. Both parts are one weighted mean over all rows, so
 * that one backward pass does.
 */
#include "train/step.h"

#include <math.h>
#include <string.h>

void db_train_trace_release(struct db_train_trace *trace)
{
    db_tensor_release(trace->noisy);
    db_tensor_release(trace->context);
    db_tensor_release(trace->prediction);
    db_tensor_release(trace->target);
    memset(trace, 0, sizeof(*trace));
}

/* All exponent bits of a float or a bfloat16 set: infinite or no number. */
#define EXPONENT 0x7f80u

bool db_tensor_is_finite(const struct db_tensor *tensor)
{
    int64_t count = db_tensor_count(tensor), i;
    const float *floats = tensor->data;
    const uint16_t *halves = tensor->data;

    for (i = 0; i < count; i++)
        if (tensor->dtype == DB_BF16 ? (halves[i] & EXPONENT) == EXPONENT
                                     : !isfinite(floats[i]))
            return false;
    return true;
}

/* What the pass works with; everything in it is released at the end. */
struct pass {
    struct db_env *env;
    struct db_device *device;
    const struct db_pipeline *pipeline;
    const struct db_schedule *schedule;
    const struct db_train_batch *batch;
    const struct db_train_form *form;
    int64_t rows, row_size;
    struct db_train_trace made;
    float *timesteps; /* [rows], for the UNet */
    float *weights;   /* [rows], of the loss of each half */
    float *joint;     /* [rows], of the one mean over all rows */
};

static void release(struct pass *pass)
{
    db_train_trace_release(&pass->made);
    db_free(pass->env, pass->timesteps);
    db_free(pass->env, pass->weights);
    db_free(pass->env, pass->joint);
}

static int allocate(struct pass *pass)
{
    const struct db_shape *shape = &pass->batch->latents->shape;
    size_t rows = (size_t)pass->rows;
    int status = db_tensor_new(pass->env, DB_F32, shape, &pass->made.noisy);

    if (status == DREAMBOOTH_OK)
        status = db_tensor_new(pass->env, DB_F32, shape, &pass->made.target);
    if (status != DREAMBOOTH_OK)
        return status;
    pass->timesteps = db_alloc_array(pass->env, rows, sizeof(float));
    if (pass->timesteps != NULL)
        pass->weights = db_alloc_array(pass->env, rows, sizeof(float));
    if (pass->weights != NULL)
        pass->joint = db_alloc_array(pass->env, rows, sizeof(float));
    return pass->joint != NULL ? DREAMBOOTH_OK : pass->env->error_status;
}

/* Noisy latents and targets, row by row, each at its timestep. */
static void add_noise(struct pass *pass)
{
    int64_t r;

    for (r = 0; r < pass->rows; r++) {
        int64_t offset = r * pass->row_size;
        const float *latents = db_tensor_f32(pass->batch->latents) + offset;
        const float *noise = db_tensor_f32(pass->batch->noise) + offset;
        int64_t t = pass->batch->timesteps[r];

        db_schedule_add_noise(pass->schedule, t, latents, noise, pass->row_size,
                              db_tensor_f32(pass->made.noisy) + offset);
        db_schedule_target(pass->schedule, t, latents, noise, pass->row_size,
                           db_tensor_f32(pass->made.target) + offset);
        pass->timesteps[r] = (float)t;
    }
}

/* The mean over all rows has the factor 1 / rows, where the instance half wants
 * 1 / instances and the class half prior_loss_weight / classes. */
static void weigh(struct pass *pass)
{
    const struct db_train_form *form = pass->form;
    double instances = (double)pass->batch->instances;
    double classes = (double)pass->batch->classes;
    double rows = (double)pass->rows;
    int64_t r;

    for (r = 0; r < pass->rows; r++) {
        bool is_instance = r < pass->batch->instances;
        double weight = 1;

        if (is_instance && form->snr_gamma > 0)
            weight = db_schedule_min_snr_weight(
                pass->schedule, pass->batch->timesteps[r], form->snr_gamma);
        pass->weights[r] = (float)weight;
        weight *= is_instance ? rows / instances
                              : form->prior_loss_weight * rows / classes;
        pass->joint[r] = (float)(weight * form->scale);
    }
}

static struct db_var *make_context(struct pass *pass, struct db_tape *tape)
{
    const struct db_train_batch *batch = pass->batch;

    if (batch->context != NULL)
        return db_var_new(tape, batch->context, false);
    return db_text_encoder_forward(tape, pass->pipeline->text_encoder,
                                   batch->ids, pass->rows, batch->length, NULL);
}

/* The prediction for the whole batch, recorded on TAPE. */
static struct db_var *forward(struct pass *pass, struct db_tape *tape)
{
    struct db_var *context = make_context(pass, tape);
    struct db_var *noisy = db_var_new(tape, pass->made.noisy, false);
    struct db_var *prediction;

    if (context != NULL)
        pass->made.context = db_tensor_hold(context->data);
    prediction = db_unet_forward(tape, pass->pipeline->unet, noisy,
                                 pass->timesteps, context, NULL);
    if (prediction != NULL)
        pass->made.prediction = db_tensor_hold(prediction->data);
    return prediction;
}

/* The mean of COUNT rows from FIRST on, weighted. */
static int half_loss(struct pass *pass, int64_t first, int64_t count,
                     double *loss)
{
    int64_t offset = first * pass->row_size;
    dreambooth_mse arguments = {
        .batch = count,
        .count = pass->row_size,
        .prediction = db_tensor_f32(pass->made.prediction) + offset,
        .target = db_tensor_f32(pass->made.target) + offset,
        .weight = pass->weights + first,
        .loss = loss};

    *loss = 0;
    if (count == 0)
        return DREAMBOOTH_OK;
    return db_run(pass->device, mse_forward, &arguments);
}

static int measure(struct pass *pass, struct db_train_losses *losses)
{
    const struct db_train_batch *batch = pass->batch;
    int status = half_loss(pass, 0, batch->instances, &losses->instance);

    if (status == DREAMBOOTH_OK)
        status =
            half_loss(pass, batch->instances, batch->classes, &losses->prior);
    losses->loss =
        losses->instance + pass->form->prior_loss_weight * losses->prior;
    return status;
}

static int blame(const struct pass *pass, const char *kind, const char *name)
{
    return db_fail(pass->env, DREAMBOOTH_ENONFINITE,
                   "step %lld: the loss is not finite; first non-finite "
                   "values in the %s %s",
                   (long long)pass->form->step, kind, name);
}

/* Names the first tensor that can have made the loss what it is. */
static int explain(const struct pass *pass)
{
    const struct {
        const char *name;
        const struct db_tensor *tensor;
    } tensors[] = {{"latents", pass->batch->latents},
                   {"noise", pass->batch->noise},
                   {"context", pass->made.context},
                   {"prediction", pass->made.prediction}};
    char name[256];
    int part;
    size_t i;

    for (part = 0; part < DB_PARTS; part++) {
        const struct db_params *params =
            db_pipeline_params(pass->pipeline, (enum db_part)part);

        for (i = 0; i < params->count; i++) {
            const struct db_tensor *data = params->items[i]->data;

            if (data == NULL || db_tensor_is_finite(data))
                continue;
            db_shape_text(&params->items[i]->shape, name, sizeof(name));
            return db_fail(pass->env, DREAMBOOTH_ENONFINITE,
                           "step %lld: the loss is not finite; first "
                           "non-finite values in the parameter %s.%s %s",
                           (long long)pass->form->step, db_part_names[part],
                           params->items[i]->name, name);
        }
    }
    for (i = 0; i < DB_COUNT(tensors); i++) {
        if (tensors[i].tensor != NULL &&
            !db_tensor_is_finite(tensors[i].tensor))
            return blame(pass, "tensor", tensors[i].name);
    }
    return blame(pass, "tensor", "loss");
}

static int run(struct pass *pass, struct db_train_losses *losses)
{
    struct db_tape tape;
    struct db_var *prediction;
    int status;

    db_tape_init(&tape, pass->device, true);
    tape.recompute = pass->form->recompute;
    tape.kept = pass->form->kept;
    prediction = forward(pass, &tape);
    status = tape.status;
    if (status == DREAMBOOTH_OK)
        status = measure(pass, losses);
    if (status == DREAMBOOTH_OK && !isfinite(losses->loss))
        status = explain(pass);
    if (status == DREAMBOOTH_OK)
        status = db_check_cancelled(pass->env);
    if (status != DREAMBOOTH_OK) {
        db_drop(prediction);
        db_tape_clear(&tape);
        return status;
    }
    status = db_tape_backward(
        &tape, db_mse(&tape, prediction, pass->made.target, pass->joint, NULL),
        NULL);
    db_tape_clear(&tape);
    return status;
}

int db_train_gradients(struct db_device *device,
                       const struct db_pipeline *pipeline,
                       const struct db_schedule *schedule,
                       const struct db_train_batch *batch,
                       const struct db_train_form *form,
                       struct db_train_losses *losses,
                       struct db_train_trace *trace)
{
    struct pass pass = {.env = device->env,
                        .device = device,
                        .pipeline = pipeline,
                        .schedule = schedule,
                        .batch = batch,
                        .form = form,
                        .rows = batch->instances + batch->classes};
    struct db_train_losses measured = {0};
    int status;

    pass.row_size = db_tensor_count(batch->latents) / pass.rows;
    status = allocate(&pass);
    if (status == DREAMBOOTH_OK) {
        add_noise(&pass);
        weigh(&pass);
        status = run(&pass, &measured);
    }
    if (status == DREAMBOOTH_OK) {
        *losses = measured;
        if (trace != NULL) {
            *trace = pass.made;
            memset(&pass.made, 0, sizeof(pass.made));
        }
    }
    release(&pass);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* The update is the kernel table's; here are the moments and the joint norm. */
#include "train/optimizer.h"

#include <math.h>

static bool is_trained(const struct db_trainer_settings *settings,
                       enum db_part part)
{
    return part == DB_UNET ||
           (part == DB_TEXT_ENCODER && settings->train_text_encoder);
}

static int add_part(struct db_optimizer *optimizer,
                    const struct db_params *params, enum db_part part)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        struct db_trained *item = &optimizer->items[optimizer->count];
        int status = db_param_need(params->items[i], optimizer->device->pool);
        struct db_tensor *data = params->items[i]->data;

        if (status == DREAMBOOTH_OK && data->dtype != DB_F32)
            status = db_fail(optimizer->env, DREAMBOOTH_EUNSUPPORTED,
                             "weights in bfloat16 cannot be trained yet; set "
                             "weights to float32");
        if (status == DREAMBOOTH_OK)
            status = db_tensor_new_zero(optimizer->env, DB_F32, &data->shape,
                                        &item->m);

        if (status != DREAMBOOTH_OK)
            return status;
        item->part = part;
        item->param = params->items[i];
        optimizer->count++;
        status =
            db_tensor_new_zero(optimizer->env, DB_F32, &data->shape, &item->v);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    return DREAMBOOTH_OK;
}

/* Room for all trained parameters, and the marks on them. */
static int choose(struct db_optimizer *optimizer, struct db_pipeline *pipeline,
                  const struct db_trainer_settings *settings)
{
    size_t count = 0;
    int part, status = DREAMBOOTH_OK;

    for (part = 0; part < DB_PARTS; part++) {
        struct db_params *params =
            db_pipeline_params(pipeline, (enum db_part)part);
        bool trained = is_trained(settings, (enum db_part)part);

        db_params_set_trainable(params, trained);
        if (trained)
            count += params->count;
    }
    optimizer->items =
        db_alloc_zero(optimizer->env, count * sizeof(*optimizer->items));
    if (optimizer->items == NULL)
        return optimizer->env->error_status;
    for (part = 0; part < DB_PARTS && status == DREAMBOOTH_OK; part++) {
        if (is_trained(settings, (enum db_part)part))
            status = add_part(optimizer,
                              db_pipeline_params(pipeline, (enum db_part)part),
                              (enum db_part)part);
    }
    return status;
}

int db_optimizer_new(struct db_device *device, struct db_pipeline *pipeline,
                     const struct db_trainer_settings *settings,
                     struct db_optimizer **out)
{
    struct db_env *env = device->env;
    struct db_optimizer *optimizer = db_alloc_zero(env, sizeof(*optimizer));
    int status;

    if (optimizer == NULL)
        return env->error_status;
    optimizer->env = env;
    optimizer->device = device;
    optimizer->beta1 = settings->beta1;
    optimizer->beta2 = settings->beta2;
    optimizer->epsilon = settings->epsilon;
    optimizer->weight_decay = settings->weight_decay;
    optimizer->max_gradient_norm = settings->max_gradient_norm;
    status = choose(optimizer, pipeline, settings);
    if (status != DREAMBOOTH_OK) {
        db_optimizer_free(optimizer);
        return status;
    }
    *out = optimizer;
    return DREAMBOOTH_OK;
}

void db_optimizer_free(struct db_optimizer *optimizer)
{
    size_t i;

    if (optimizer == NULL)
        return;
    for (i = 0; i < optimizer->count; i++) {
        db_tensor_release(optimizer->items[i].m);
        db_tensor_release(optimizer->items[i].v);
    }
    db_free(optimizer->env, optimizer->items);
    db_free(optimizer->env, optimizer);
}

int db_optimizer_check(struct db_optimizer *optimizer, int64_t step)
{
    size_t i;

    for (i = 0; i < optimizer->count; i++) {
        const struct db_trained *item = &optimizer->items[i];
        double sum = 0;
        dreambooth_sum_squares arguments = {
            .count = db_tensor_count(item->param->data),
            .x = db_tensor_f32(item->param->data),
            .sum = &sum};
        int status = db_run(optimizer->device, sum_squares, &arguments);

        if (status != DREAMBOOTH_OK)
            return status;
        if (!isfinite(sum))
            return db_fail(optimizer->env, DREAMBOOTH_ENONFINITE,
                           "step %lld: its update made %s.%s not finite; a "
                           "lower learning rate may help",
                           (long long)step, db_part_names[item->part],
                           item->param->name);
    }
    return DREAMBOOTH_OK;
}

int db_optimizer_norm(struct db_optimizer *optimizer, int64_t step,
                      double *norm)
{
    double total = 0;
    size_t i;

    for (i = 0; i < optimizer->count; i++) {
        const struct db_trained *item = &optimizer->items[i];
        double sum = 0;
        dreambooth_sum_squares arguments = {.sum = &sum};
        int status;

        if (item->param->gradient == NULL)
            continue;
        arguments.count = db_tensor_count(item->param->gradient);
        arguments.x = db_tensor_f32(item->param->gradient);
        status = db_run(optimizer->device, sum_squares, &arguments);
        if (status != DREAMBOOTH_OK)
            return status;
        if (!isfinite(sum))
            return db_fail(optimizer->env, DREAMBOOTH_ENONFINITE,
                           "step %lld: the gradient of %s.%s is not finite; "
                           "a lower learning rate may help",
                           (long long)step, db_part_names[item->part],
                           item->param->name);
        total += sum;
    }
    *norm = sqrt(total);
    return DREAMBOOTH_OK;
}

int db_optimizer_update(struct db_optimizer *optimizer, double learning_rate,
                        double norm)
{
    double scale = optimizer->max_gradient_norm / (norm + 1e-6);
    size_t i;

    for (i = 0; i < optimizer->count; i++) {
        const struct db_trained *item = &optimizer->items[i];
        dreambooth_adamw arguments = {.step = optimizer->step + 1,
                                      .learning_rate = learning_rate,
                                      .beta1 = optimizer->beta1,
                                      .beta2 = optimizer->beta2,
                                      .epsilon = optimizer->epsilon,
                                      .weight_decay = optimizer->weight_decay};
        int status;

        if (item->param->gradient == NULL)
            continue;
        item->param->load = NULL; /* no file has these values any more */
        item->param->version++;
        arguments.gradient_scale = scale < 1 ? (float)scale : 1;
        arguments.count = db_tensor_count(item->param->data);
        arguments.gradient = db_tensor_f32(item->param->gradient);
        arguments.parameter = db_tensor_f32(item->param->data);
        arguments.m = db_tensor_f32(item->m);
        arguments.v = db_tensor_f32(item->v);
        status = db_run(optimizer->device, adamw, &arguments);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    optimizer->step++;
    return DREAMBOOTH_OK;
}

void db_optimizer_free_gradients(struct db_optimizer *optimizer)
{
    size_t i;

    for (i = 0; i < optimizer->count; i++) {
        struct db_param *param = optimizer->items[i].param;

        db_tensor_release(param->gradient);
        param->gradient = NULL;
    }
}

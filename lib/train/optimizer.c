/* SPDX-License-Identifier: MIT */
/* The update is the kernel table's; here are the moments and the joint norm. */
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "train/step.h"

static bool is_trained(const struct db_trainer_settings *settings,
                       enum db_part part)
{
    return part == DB_UNET ||
           (part == DB_TEXT_ENCODER && settings->train_text_encoder);
}

/* Zeros for the moments of ITEM, whose parameter is there. */
static int make_moments(struct db_optimizer *optimizer, struct db_trained *item)
{
    const struct db_shape *shape = &item->param->data->shape;
    /* Little is to be saved on what is no weight of products. */
    bool codes = optimizer->eight_bits && db_param_is_weight(item->param);
    enum db_dtype dtype = codes ? DB_U8 : DB_F32;
    struct db_env *env = optimizer->env;
    struct db_shape blocks =
        db_shape1((db_shape_count(shape) + DREAMBOOTH_NARROW_BLOCK - 1) /
                  DREAMBOOTH_NARROW_BLOCK);
    int status = db_tensor_new_zero(env, dtype, shape, &item->m);

    if (status == DREAMBOOTH_OK)
        status = db_tensor_new_zero(env, dtype, shape, &item->v);
    if (status == DREAMBOOTH_OK && codes)
        status = db_tensor_new_zero(env, DB_F32, &blocks, &item->m_scales);
    if (status == DREAMBOOTH_OK && codes)
        status = db_tensor_new_zero(env, DB_F32, &blocks, &item->v_scales);
    return status;
}

static int add_part(struct db_optimizer *optimizer,
                    const struct db_params *params, enum db_part part)
{
    size_t i;

    for (i = 0; i < params->count; i++) {
        struct db_trained *item = &optimizer->items[optimizer->count++];
        int status = db_param_need(params->items[i], optimizer->device->pool);

        item->part = part;
        item->param = params->items[i];
        item->param->gradients = DB_F32;
        if (optimizer->narrow_gradients && db_param_is_weight(item->param))
            item->param->gradients = DB_BF16;
        if (status == DREAMBOOTH_OK)
            status = make_moments(optimizer, item);
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
    optimizer->seed = (uint64_t)settings->seed;
    optimizer->eight_bits = settings->optimizer == DB_ADAMW_8BIT;
    optimizer->narrow_gradients = settings->gradients == DB_GRADIENTS_BF16;
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
        db_tensor_release(optimizer->items[i].m_scales);
        db_tensor_release(optimizer->items[i].v_scales);
    }
    db_free(optimizer->env, optimizer->items);
    db_free(optimizer->env, optimizer);
}

static int check_floats(struct db_optimizer *optimizer,
                        const struct db_tensor *data, bool *finite)
{
    double sum = 0;
    dreambooth_sum_squares arguments = {
        .count = db_tensor_count(data), .x = db_tensor_f32(data), .sum = &sum};
    int status = db_run(optimizer->device, sum_squares, &arguments);

    *finite = isfinite(sum);
    return status;
}

int db_optimizer_check(struct db_optimizer *optimizer, int64_t step)
{
    size_t i;

    for (i = 0; i < optimizer->count; i++) {
        const struct db_trained *item = &optimizer->items[i];
        const struct db_tensor *data = item->param->data;
        bool finite = true;
        int status = DREAMBOOTH_OK;

        if (data->dtype == DB_F32)
            status = check_floats(optimizer, data, &finite);
        else
            finite = db_tensor_is_finite(data);
        if (status != DREAMBOOTH_OK)
            return status;
        if (!finite)
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

        if (item->param->gradient == NULL)
            continue;
        if (!isfinite(item->param->squares))
            return db_fail(optimizer->env, DREAMBOOTH_ENONFINITE,
                           "step %lld: the gradient of %s.%s is not finite; "
                           "a lower learning rate may help",
                           (long long)step, db_part_names[item->part],
                           item->param->name);
        total += item->param->squares;
    }
    *norm = sqrt(total);
    return DREAMBOOTH_OK;
}

/* Are parameter, gradient and moments floats? */
static bool is_wide(const struct db_trained *item)
{
    return item->param->data->dtype == DB_F32 &&
           item->param->gradient->dtype == DB_F32 && item->m->dtype == DB_F32;
}

static int update_wide(struct db_optimizer *optimizer,
                       const struct db_trained *item,
                       const dreambooth_adamw_narrow *form)
{
    dreambooth_adamw a = {.count = form->count,
                          .step = form->step,
                          .learning_rate = form->learning_rate,
                          .beta1 = form->beta1,
                          .beta2 = form->beta2,
                          .epsilon = form->epsilon,
                          .weight_decay = form->weight_decay,
                          .gradient_scale = form->gradient_scale};

    a.gradient = db_tensor_f32(item->param->gradient);
    a.parameter = db_tensor_f32(item->param->data);
    a.m = db_tensor_f32(item->m);
    a.v = db_tensor_f32(item->v);
    return db_run(optimizer->device, adamw, &a);
}

/* The tensor's data where it is of DTYPE, else NULL. */
static void *data_as(const struct db_tensor *tensor, enum db_dtype dtype)
{
    return tensor != NULL && tensor->dtype == dtype ? tensor->data : NULL;
}

static int update_narrow(struct db_optimizer *optimizer,
                         const struct db_trained *item,
                         dreambooth_adamw_narrow *form)
{
    struct db_random random;

    db_random_init(&random, optimizer->seed, DB_RANDOM_TRAIN_ROUNDING,
                   (uint64_t)form->step, (uint32_t)(item - optimizer->items));
    memcpy(form->key, random.key, sizeof(form->key));
    memcpy(form->counter, random.counter + 1, sizeof(form->counter));
    form->gradient = data_as(item->param->gradient, DB_F32);
    form->gradient_bf16 = data_as(item->param->gradient, DB_BF16);
    form->parameter = data_as(item->param->data, DB_F32);
    form->parameter_bf16 = data_as(item->param->data, DB_BF16);
    form->m = data_as(item->m, DB_F32);
    form->v = data_as(item->v, DB_F32);
    form->m_codes = data_as(item->m, DB_U8);
    form->v_codes = data_as(item->v, DB_U8);
    form->m_scales = data_as(item->m_scales, DB_F32);
    form->v_scales = data_as(item->v_scales, DB_F32);
    return db_run(optimizer->device, adamw_narrow, form);
}

int db_optimizer_update(struct db_optimizer *optimizer, double learning_rate,
                        double norm)
{
    double scale = optimizer->max_gradient_norm / (norm + 1e-6);
    size_t i;

    for (i = 0; i < optimizer->count; i++) {
        const struct db_trained *item = &optimizer->items[i];
        dreambooth_adamw_narrow form = {.step = optimizer->step + 1,
                                        .learning_rate = learning_rate,
                                        .beta1 = optimizer->beta1,
                                        .beta2 = optimizer->beta2,
                                        .epsilon = optimizer->epsilon,
                                        .weight_decay = optimizer->weight_decay,
                                        .gradient_scale =
                                            scale < 1 ? (float)scale : 1};
        int status;

        if (item->param->gradient == NULL)
            continue;
        form.count = db_tensor_count(item->param->data);
        item->param->load = NULL; /* no file has these values any more */
        item->param->version++;
        status = is_wide(item) ? update_wide(optimizer, item, &form)
                               : update_narrow(optimizer, item, &form);
        if (status != DREAMBOOTH_OK)
            return status;
    }
    optimizer->step++;
    return DREAMBOOTH_OK;
}

void db_optimizer_free_gradients(struct db_optimizer *optimizer)
{
    size_t i;

    for (i = 0; i < optimizer->count; i++)
        db_param_free_gradient(optimizer->items[i].param);
}

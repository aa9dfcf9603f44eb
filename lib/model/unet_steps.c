/* SPDX-License-Identifier: MIT */
/*
 * The UNet over the steps of a sampler. Embeddings of timesteps, and with them
 * what every residual block makes of them, are computed for many steps at once:
 * the matrices are read once, not once a step. And what kernels have made of
 * the weights of a small model serves in all steps.
 */
#include "model/unet_int.h"

/* Timesteps at once: the embeddings of all of a thousand, in all layers, would
 * take more memory than they save time. */
#define AT_ONCE 64

/* Forms of a model that takes more are not worth their memory: its products are
 * so large that what is made of the weights is a small part of the work. */
#define MOST_FORMS ((size_t)128 << 20)

int db_unet_steps_new(struct db_env *env, int64_t count,
                      struct db_unet_steps *steps)
{
    *steps = (struct db_unet_steps){
        .memo = {.env = env}, .count = count, .forms = {.env = env}};
    steps->timesteps =
        db_alloc_array(env, (size_t)count, sizeof(*steps->timesteps));
    return steps->timesteps == NULL ? env->error_status : DREAMBOOTH_OK;
}

static void forget(struct db_unet_steps *steps)
{
    db_memo_clear(&steps->memo);
    db_tensor_release(steps->times);
    steps->times = NULL;
}

void db_unet_steps_release(struct db_unet_steps *steps)
{
    if (steps->memo.env == NULL)
        return;
    forget(steps);
    db_forms_release(&steps->forms);
    db_free(steps->memo.env, steps->timesteps);
    steps->timesteps = NULL;
}

/* What a linear layer gives for each row. */
static uint64_t width_of(const struct db_linear_layer *layer)
{
    return (uint64_t)layer->weight->shape.size[0];
}

static uint64_t resnets_width(const struct db_resnet *resnets, int64_t count)
{
    uint64_t width = 0;
    int64_t i;

    for (i = 0; i < count; i++)
        width += width_of(&resnets[i].time_emb_proj);
    return width;
}

/* Keys and values of the prompt. */
static uint64_t transformers_width(const struct db_transformer *transformers,
                                   int64_t count)
{
    uint64_t width = 0;
    int64_t i, k;

    for (i = 0; i < count; i++)
        for (k = 0; k < transformers[i].count; k++)
            width += width_of(&transformers[i].blocks[k].attn2.to_k) +
                     width_of(&transformers[i].blocks[k].attn2.to_v);
    return width;
}

uint64_t db_unet_steps_floats(const struct db_unet *unet, int64_t count,
                              int64_t rows, int64_t length)
{
    const struct db_unet_block *const sides[] = {unet->down, unet->up};
    uint64_t times = (uint64_t)(count < AT_ONCE ? count : AT_ONCE);
    uint64_t time_width =
        width_of(&unet->time_linear_2) + resnets_width(unet->mid_resnets, 2);
    uint64_t context_width = transformers_width(&unet->mid_attention, 1);
    int64_t level;
    size_t side;

    for (side = 0; side < DB_COUNT(sides); side++)
        for (level = 0; level < unet->config.levels; level++) {
            const struct db_unet_block *block = &sides[side][level];

            time_width += resnets_width(block->resnets, block->count);
            if (block->attentions != NULL)
                context_width +=
                    transformers_width(block->attentions, block->count);
        }
    return times * time_width +
           (uint64_t)rows * (uint64_t)length * context_width;
}

static uint64_t version_of(const struct db_unet *unet)
{
    uint64_t version = 0;
    size_t i;

    for (i = 0; i < unet->params.count; i++)
        version += unet->params.items[i]->version;
    return version;
}

/* Has the embedding of timestep INDEX among those at hand. */
static void embed(struct db_tape *tape, const struct db_unet *unet,
                  struct db_unet_steps *steps, int64_t index)
{
    int64_t first = index - index % AT_ONCE, count = steps->count - first;
    struct db_var *times;

    if (steps->version != version_of(unet))
        forget(steps);
    steps->version = version_of(unet);
    steps->memo.row = index - first;
    if (steps->times != NULL && steps->first == first)
        return;
    db_tensor_release(steps->times);
    steps->times = NULL;
    times = db_unet_embed(tape, unet, steps->timesteps + first,
                          count < AT_ONCE ? count : AT_ONCE, NULL);
    if (times == NULL)
        return;
    steps->times = db_tensor_hold(times->data);
    steps->first = first;
    db_drop(times);
}

static uint64_t raised(int64_t size, int64_t unit)
{
    return (uint64_t)((size + unit - 1) / unit * unit);
}

/* Bytes of PARAM, a weight, as products read it: in tiles of 16 outputs and 32
 * inputs, with up to three numbers of 16 bits for one. */
static size_t form_size(const struct db_param *param, bool is_narrow)
{
    const struct db_shape *shape = &param->shape;
    uint64_t places = 1;
    int i;

    for (i = 2; i < shape->rank; i++)
        places *= (uint64_t)shape->size[i];
    return db_forms_size((size_t)(raised(shape->size[0], 16) *
                                      raised(shape->size[1], 32) * places *
                                      (is_narrow ? 2 : 6) +
                                  (raised(shape->size[0], 16) / 16 +
                                   raised(shape->size[1], 32) / 32 * places) *
                                      sizeof(int64_t)));
}

size_t db_unet_forms_size(const struct db_unet *unet,
                          const struct db_device *device)
{
    const bool is_narrow = device->host.precision == DREAMBOOTH_BFLOAT16;
    size_t size = 0, i;

    for (i = 0; i < unet->params.count; i++) {
        const struct db_param *param = unet->params.items[i];

        if (db_param_is_weight(param))
            size += form_size(param, is_narrow || param->dtype == DB_BF16);
    }
    return size <= MOST_FORMS ? size : 0;
}

/* Has the forms of the weights as they are. */
static int begin_forms(struct db_forms *forms, const struct db_params *params)
{
    size_t i;
    int status = DREAMBOOTH_OK;

    if (forms->most > 0)
        status = db_forms_count(forms, params->count);
    for (i = 0; i < forms->count && status == DREAMBOOTH_OK; i++) {
        const struct db_param *param = params->items[i];

        db_forms_set(forms, i, param->data == NULL ? NULL : param->data->data,
                     param->version);
    }
    return status;
}

struct db_var *db_unet_step(struct db_tape *tape, const struct db_unet *unet,
                            struct db_unet_steps *steps, int64_t index,
                            struct db_var *sample, struct db_var *context)
{
    struct db_var *y;

    embed(tape, unet, steps, index);
    db_tape_fail(tape, begin_forms(&steps->forms, &unet->params));
    tape->memo = &steps->memo;
    tape->device->forms = &steps->forms;
    y = db_unet_run(tape, unet, sample, db_var_new(tape, steps->times, false),
                    context, NULL);
    tape->device->forms = NULL;
    tape->memo = NULL;
    return y;
}

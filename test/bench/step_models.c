/* SPDX-License-Identifier: MIT */
/*
 * A single pass of one part of a pipeline, which alone is in memory: below the
 * public interface, where the parts are on their own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/json.h"
#include "model/text_encoder.h"
#include "model/unet.h"
#include "model/vae.h"
#include "step.h"

/* Of these the kind's part is there, with its inputs. */
struct own {
    struct db_unet *unet;
    struct db_vae *vae;
    struct db_text_encoder *text_encoder;
    struct db_tensor *sample, *context;
    float *timesteps;
    int64_t *ids;
};

static json_t *load(struct bench_step *step, const char *file)
{
    char path[4096];
    json_t *config;

    bench_step_path(step, file, path, sizeof(path));
    bench_check(step->env, db_json_load(step->env, path, &config));
    return config;
}

static struct own *begin(struct bench_step *step)
{
    struct own *own = db_alloc_zero(step->env, sizeof(*own));

    if (own == NULL)
        bench_die("out of memory");
    step->own = own;
    return own;
}

/* How many levels the model has. */
static size_t levels_of(const json_t *config)
{
    return json_array_size(json_object_get(config, "block_out_channels"));
}

/* The side of the latents: each level of the VAE but one halves it. */
static int64_t latent_side(struct bench_step *step)
{
    json_t *config = load(step, "vae/config.json");
    int64_t side = step->request.side >> (levels_of(config) - 1);

    json_decref(config);
    return side;
}

static void close_models(struct bench_step *step)
{
    struct own *own = step->own;

    db_tensor_release(own->sample);
    db_tensor_release(own->context);
    db_free(step->env, own->timesteps);
    db_free(step->env, own->ids);
    db_unet_free(own->unet);
    db_vae_free(own->vae);
    db_text_encoder_free(own->text_encoder);
    db_free(step->env, own);
}

/* Values in -1..1, the same each time. */
static struct db_tensor *noise(struct bench_step *step, struct db_shape shape)
{
    struct db_tensor *tensor;
    uint32_t state = 1;
    int64_t i;

    bench_check(step->env, db_tensor_new(step->env, DB_F32, &shape, &tensor));
    for (i = 0; i < db_tensor_count(tensor); i++) {
        state = state * 1664525u + 1013904223u;
        db_tensor_f32(tensor)[i] = (float)(int32_t)state / 2147483648.0f;
    }
    return tensor;
}

static void end(struct bench_step *step, struct db_tape *tape,
                struct db_var *result)
{
    db_drop(result);
    bench_check(step->env, tape->status);
}

/* Random parameters, of which the weights are kept as the request says. */
static void fill(struct bench_step *step, struct db_params *params,
                 const char *part)
{
    const char *weights = step->request.weights;

    if (weights != NULL && strcmp(weights, "bfloat16") == 0)
        db_params_set_weights(params, DB_BF16);
    bench_check(step->env, db_params_randomize(params, part, 1));
}

/* The shape of Stable Diffusion's, in another width. */
static void set_width(json_t *config, int64_t width)
{
    json_t *widths = json_array();
    size_t levels = levels_of(config);
    size_t level;

    for (level = 0; level < levels; level++)
        json_array_append_new(
            widths, json_integer(width * (level < 2 ? 1 << level : 4)));
    json_object_set_new(config, "block_out_channels", widths);
}

static void open_unet(struct bench_step *step)
{
    const struct bench_request *request = &step->request;
    json_t *config = load(step, "unet/config.json");
    struct own *own = begin(step);
    int64_t side = latent_side(step);
    int64_t row;

    if (request->width > 0)
        set_width(config, request->width);
    bench_check(step->env, db_unet_new(step->env, "unet", config, &own->unet));
    fill(step, &own->unet->params, "unet");
    own->sample = noise(step, db_shape4(request->batch, side, side, 4));
    own->context =
        noise(step, db_shape3(request->batch, 77,
                              own->unet->config.cross_attention_dim[0]));
    own->timesteps =
        db_alloc_array(step->env, (size_t)request->batch, sizeof(float));
    for (row = 0; own->timesteps != NULL && row < request->batch; row++)
        own->timesteps[row] = 500.0f;
    json_decref(config);
}

static void run_unet(struct bench_step *step)
{
    const struct own *own = step->own;
    struct db_tape tape;

    db_tape_init(&tape, &step->device, false);
    end(step, &tape,
        db_unet_forward(&tape, own->unet, db_var_new(&tape, own->sample, false),
                        own->timesteps, db_var_new(&tape, own->context, false),
                        NULL));
}

const struct bench_kind bench_step_unet = {"unet", open_unet, run_unet,
                                           close_models};

static void open_vae(struct bench_step *step)
{
    json_t *config = load(step, "vae/config.json");
    struct own *own = begin(step);
    int64_t side = latent_side(step);

    bench_check(step->env, db_vae_new(step->env, "vae", config, &own->vae));
    fill(step, &own->vae->params, "vae");
    own->sample = noise(step, db_shape4(step->request.batch, side, side, 4));
    json_decref(config);
}

static void run_vae(struct bench_step *step)
{
    const struct own *own = step->own;
    struct db_tape tape;

    db_tape_init(&tape, &step->device, false);
    end(step, &tape,
        db_vae_decode(&tape, own->vae, db_var_new(&tape, own->sample, false),
                      NULL));
}

const struct bench_kind bench_step_vae = {"vae", open_vae, run_vae,
                                          close_models};

static void open_text(struct bench_step *step)
{
    json_t *config = load(step, "text_encoder/config.json");
    struct own *own = begin(step);
    int64_t i, count;

    bench_check(step->env,
                db_text_encoder_new(step->env, "text_encoder", config,
                                    "text_model.", &own->text_encoder));
    fill(step, &own->text_encoder->params, "text_encoder");
    count =
        step->request.batch * own->text_encoder->config.max_position_embeddings;
    own->ids = db_alloc_array(step->env, (size_t)count, sizeof(int64_t));
    for (i = 0; own->ids != NULL && i < count; i++)
        own->ids[i] = i % own->text_encoder->config.vocab_size;
    json_decref(config);
}

static void run_text(struct bench_step *step)
{
    const struct own *own = step->own;
    struct db_tape tape;

    db_tape_init(&tape, &step->device, false);
    end(step, &tape,
        db_text_encoder_forward(
            &tape, own->text_encoder, own->ids, step->request.batch,
            own->text_encoder->config.max_position_embeddings, NULL));
}

const struct bench_kind bench_step_text = {"text", open_text, run_text,
                                           close_models};

/* SPDX-License-Identifier: MIT */
/*
 * A pipeline small enough to train and sample in milliseconds, made here: two
 * levels, a handful of channels, a vocabulary of a few words, random weights.
 */
#ifndef TINY_H
#define TINY_H

#include "file/png.h"
#include "model/pipeline.h"
#include "unit.h"
#include "vocabulary.h"

static const char tiny_index[] =
    "{\"_class_name\": \"StableDiffusionPipeline\","
    " \"scheduler\": [\"diffusers\", \"PNDMScheduler\"],"
    " \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],"
    " \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],"
    " \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],"
    " \"vae\": [\"diffusers\", \"AutoencoderKL\"]}";

static const char tiny_scheduler[] =
    "{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.00085,"
    " \"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\","
    " \"num_train_timesteps\": 1000, \"set_alpha_to_one\": false,"
    " \"skip_prk_steps\": true, \"steps_offset\": 1}";

static const char tiny_text[] =
    "{\"hidden_size\": 8, \"intermediate_size\": 16, \"num_hidden_layers\": 1,"
    " \"num_attention_heads\": 2, \"max_position_embeddings\": 8,"
    " \"vocab_size\": %d}";

static const char tiny_unet[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"attention_head_dim\": 2,"
    " \"block_out_channels\": [8, 16], \"layers_per_block\": 1,"
    " \"cross_attention_dim\": 8, \"norm_num_groups\": 4, \"sample_size\": 8,"
    " \"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
    " \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]}";

static const char tiny_vae[] =
    "{\"block_out_channels\": [4, 8], \"norm_num_groups\": 2,"
    " \"sample_size\": 16, \"layers_per_block\": 1,"
    " \"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
    " \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}";

static inline void tiny_write(const char *folder, const char *name,
                              const char *text)
{
    char path[UNIT_PATH_MAX];

    unit_write_file(unit_path(path, folder, name), text, strlen(text));
}

/* Writes the configuration into the empty FOLDER. */
static inline void tiny_write_model(const char *folder)
{
    static const char *const words[] = {"a",  "dog", "cat", "photo",
                                        "of", "qzx", NULL};
    static const char *const inner[] = {"text_encoder", "unet", "vae",
                                        "scheduler", "tokenizer"};
    struct vocabulary *vocabulary = vocabulary_new(words);
    char path[UNIT_PATH_MAX], text[512];
    size_t i;

    for (i = 0; i < DB_COUNT(inner); i++)
        ck_assert_int_eq(mkdir(unit_path(path, folder, inner[i]), 0777), 0);
    tiny_write(folder, "model_index.json", tiny_index);
    tiny_write(folder, "scheduler/scheduler_config.json", tiny_scheduler);
    snprintf(text, sizeof(text), tiny_text, vocabulary->count);
    tiny_write(folder, "text_encoder/config.json", text);
    tiny_write(folder, "unet/config.json", tiny_unet);
    tiny_write(folder, "vae/config.json", tiny_vae);
    tiny_write(folder, "tokenizer/vocab.json", vocabulary->vocab_json);
    tiny_write(folder, "tokenizer/merges.txt", vocabulary->merges_txt);
    vocabulary_free(vocabulary);
}

/* The model of FOLDER, always with the same weights. */
static inline struct db_pipeline *tiny_pipeline(struct db_env *env,
                                                const char *folder)
{
    struct db_pipeline *pipeline = NULL;
    int status = db_pipeline_init(env, folder, NULL, 5, &pipeline);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env->error_text);
    return pipeline;
}

/* A picture with a pattern that NUMBER chooses. */
static inline struct db_image *tiny_picture(struct db_env *env, int number,
                                            int width, int height)
{
    struct db_image *image = NULL;
    int x, y, c;

    ck_assert_int_eq(db_image_new(env, width, height, &image), DREAMBOOTH_OK);
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++)
            for (c = 0; c < 3; c++)
                image->pixels[(y * width + x) * 3 + c] =
                    (uint8_t)(x * (5 + number) + y * (11 - c) + 70 * c);
    return image;
}

static inline void tiny_write_picture(struct db_env *env, const char *path,
                                      int number, int width, int height)
{
    struct db_image *image = tiny_picture(env, number, width, height);

    ck_assert_int_eq(db_png_write(env, path, image, NULL, 0), DREAMBOOTH_OK);
    db_image_free(env, image);
}

/* Have both models the same bits? */
static inline bool tiny_same(const struct db_pipeline *a,
                             const struct db_pipeline *b)
{
    int part;
    size_t i;

    for (part = 0; part < DB_PARTS; part++) {
        struct db_params *x = db_pipeline_params(a, (enum db_part)part);
        struct db_params *y = db_pipeline_params(b, (enum db_part)part);

        ck_assert_int_eq(db_params_need(x, NULL), DREAMBOOTH_OK);
        ck_assert_int_eq(db_params_need(y, NULL), DREAMBOOTH_OK);
        for (i = 0; i < x->count; i++) {
            size_t bytes = (size_t)db_tensor_count(x->items[i]->data) *
                           db_dtype_size(x->items[i]->data->dtype);

            if (memcmp(x->items[i]->data->data, y->items[i]->data->data,
                       bytes) != 0)
                return false;
        }
    }
    return true;
}

#endif

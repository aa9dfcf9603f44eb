/* SPDX-License-Identifier: MIT */
/*
 * Models from configurations that are made here: what is refused and how it is
 * told, saving and opening again, gradients against finite differences, and
 * memory that runs out anywhere.
 */
#include "unit.h"

#include <math.h>

#include "file/folder.h"
#include "file/json.h"
#include "kernel/device.h"
#include "model/pipeline.h"
#include "model/prompt.h"

static const char index_json[] =
    "{\"_class_name\": \"StableDiffusionPipeline\","
    " \"scheduler\": [\"diffusers\", \"PNDMScheduler\"],"
    " \"safety_checker\": [null, null],"
    " \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],"
    " \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],"
    " \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],"
    " \"vae\": [\"diffusers\", \"AutoencoderKL\"]}";

static const char scheduler_json[] =
    "{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.00085}";

static const char text_json[] =
    "{\"hidden_size\": 8, \"intermediate_size\": 12, \"num_hidden_layers\": 1,"
    " \"num_attention_heads\": 2, \"max_position_embeddings\": 5,"
    " \"torch_dtype\": \"float16\", \"vocab_size\": 514%s}";

static const char unet_json[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"attention_head_dim\": [2, "
    "1],"
    " \"block_out_channels\": [4, 8], \"layers_per_block\": 1,"
    " \"cross_attention_dim\": 8, \"norm_num_groups\": 2,"
    " \"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
    " \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]%s}";

static const char vae_json[] =
    "{\"block_out_channels\": [4, 4], \"norm_num_groups\": 2,"
    " \"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
    " \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]%s}";

static struct db_env env;
static struct db_pool *pool;
static struct db_device device;
static char folder[UNIT_PATH_MAX];

static void write_text(const char *name, const char *text)
{
    char path[UNIT_PATH_MAX];

    unit_write_file(unit_path(path, folder, name), text, strlen(text));
}

/* The part's configuration with MORE inside. */
static void write_config(const char *name, const char *form, const char *more)
{
    char text[2048];
    size_t length = strcspn(form, "%");

    snprintf(text, sizeof(text), "%.*s%s%s", (int)length, form, more, "}");
    write_text(name, text);
}

/* The byte alphabet: printable bytes are themselves, others 256, 257... */
static int byte_letter(int byte)
{
    static const int first[] = {33, 161, 174}, last[] = {126, 172, 255};
    int other = 0, i, b;

    for (b = 0; b <= byte; b++) {
        bool printable = false;

        for (i = 0; i < 3; i++)
            printable |= b >= first[i] && b <= last[i];
        if (b == byte)
            return printable ? b : 256 + other;
        other += !printable;
    }
    return -1;
}

/* A vocabulary of bytes alone: 256 letters, 256 that end a word, 2 specials. */
static void write_vocabulary(void)
{
    char path[UNIT_PATH_MAX];
    FILE *file = fopen(unit_path(path, folder, "tokenizer/vocab.json"), "wb");
    int i;

    ck_assert_ptr_nonnull(file);
    fputc('{', file);
    for (i = 0; i < 512; i++)
        fprintf(file, "\"\\u%04x%s\": %d, ", byte_letter(i % 256),
                i < 256 ? "" : "</w>", i);
    fputs("\"<|startoftext|>\": 512, \"<|endoftext|>\": 513}\n", file);
    ck_assert_int_eq(fclose(file), 0);
    write_text("tokenizer/merges.txt", "#version: 0.2\n");
}

static void write_folder(void)
{
    static const char *const inner[] = {"text_encoder", "unet", "vae",
                                        "scheduler", "tokenizer"};
    char path[UNIT_PATH_MAX];
    size_t i;

    for (i = 0; i < DB_COUNT(inner); i++)
        ck_assert_int_eq(mkdir(unit_path(path, folder, inner[i]), 0777), 0);
    write_text("model_index.json", index_json);
    write_text("scheduler/scheduler_config.json", scheduler_json);
    write_config("text_encoder/config.json", text_json, "");
    write_config("unet/config.json", unet_json, "");
    write_config("vae/config.json", vae_json, "");
    write_vocabulary();
}

static void setup(void)
{
    db_env_init(&env);
    ck_assert_int_eq(db_pool_new(&env, 1, &pool), DREAMBOOTH_OK);
    db_device_init(&device, &env, pool, &db_backend_reference);
    unit_directory_new(folder);
    write_folder();
}

static void teardown(void)
{
    unit_directory_free(folder);
    db_pool_free(pool);
    ck_assert_uint_eq(env.live_bytes, 0);
}

static struct db_pipeline *init(void)
{
    struct db_pipeline *pipeline = NULL;
    int status = db_pipeline_init(&env, folder, NULL, 7, &pipeline);

    ck_assert_msg(status == DREAMBOOTH_OK, "%s", env.error_text);
    return pipeline;
}

/* The same folder, with weights. */
static void save_here(void)
{
    struct db_pipeline *pipeline = init();

    ck_assert_int_eq(db_pipeline_save(pipeline, folder, DB_F32), DREAMBOOTH_OK);
    db_pipeline_free(pipeline);
}

/* Opening or making a model fails with STATUS and a text that has TEXT. */
static void refused_by(int got, int status, const char *text)
{
    ck_assert_msg(got == status, "status %d, \"%s\"", got, env.error_text);
    ck_assert_msg(strstr(env.error_text, text) != NULL,
                  "\"%s\" is not in \"%s\"", text, env.error_text);
}

static void init_refused(int status, const char *text)
{
    struct db_pipeline *pipeline = NULL;

    refused_by(db_pipeline_init(&env, folder, NULL, 1, &pipeline), status,
               text);
    ck_assert_ptr_null(pipeline);
}

static void open_refused(int status, const char *text)
{
    struct db_pipeline *pipeline = NULL;

    refused_by(db_pipeline_open(&env, folder, &pipeline), status, text);
    refused_by(db_pipeline_describe(&env, folder, &pipeline), status, text);
    ck_assert_ptr_null(pipeline);
}

/* What is put into a configuration, and what is said about it. */
struct refusal {
    const char *file, *form, *more;
    int status;
    const char *text;
};

START_TEST(configurations_are_checked)
{
    static const struct refusal refusals[] = {
        {"unet/config.json", unet_json, ", \"foo\": 1", DREAMBOOTH_EUNSUPPORTED,
         "unet/config.json: field \"foo\" is not known to this version"},
        {"unet/config.json", unet_json, ", \"class_embed_type\": \"timestep\"",
         DREAMBOOTH_EUNSUPPORTED,
         "unet/config.json: field \"class_embed_type\" has the value "
         "\"timestep\", which is not supported (only null)"},
        {"unet/config.json", unet_json, ", \"in_channels\": 9",
         DREAMBOOTH_EFORMAT, "in_channels of the unet is 9"},
        {"unet/config.json", unet_json, ", \"in_channels\": 0",
         DREAMBOOTH_EFORMAT, "field \"in_channels\" is 0"},
        {"unet/config.json", unet_json, ", \"in_channels\": \"4\"",
         DREAMBOOTH_EFORMAT, "field \"in_channels\" must be an integer"},
        {"unet/config.json", unet_json,
         ", \"transformer_layers_per_block\": [1, 2, 3]", DREAMBOOTH_EFORMAT,
         "\"transformer_layers_per_block\" has 3 values"},
        {"unet/config.json", unet_json, ", \"mid_block_type\": null",
         DREAMBOOTH_EUNSUPPORTED, "\"mid_block_type\""},
        {"vae/config.json", vae_json, ", \"shift_factor\": 0.1",
         DREAMBOOTH_EUNSUPPORTED, "\"shift_factor\""},
        {"vae/config.json", vae_json, ", \"layers_per_block\": 1000000",
         DREAMBOOTH_EFORMAT, "\"layers_per_block\" is 1000000"},
        {"text_encoder/config.json", text_json, ", \"hidden_act\": \"relu\"",
         DREAMBOOTH_EUNSUPPORTED,
         "\"relu\", which is not supported (only silu, gelu, gelu_new, "
         "quick_gelu)"},
        {"text_encoder/config.json", text_json, ", \"layer_norm_eps\": true",
         DREAMBOOTH_EFORMAT, "\"layer_norm_eps\" must be a number"},
    };
    size_t i;

    for (i = 0; i < DB_COUNT(refusals); i++) {
        write_config(refusals[i].file, refusals[i].form, refusals[i].more);
        init_refused(refusals[i].status, refusals[i].text);
        write_config(refusals[i].file, refusals[i].form, "");
    }
    db_pipeline_free(init());
}
END_TEST

START_TEST(indivisible_channels_are_refused)
{
    write_text("unet/config.json",
               "{\"block_out_channels\": [4, 6], \"norm_num_groups\": 4,"
               " \"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\"],"
               " \"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"]}");
    init_refused(DREAMBOOTH_EFORMAT, "\"norm_num_groups\", 4, does not divide");
}
END_TEST

static const char sd1_unet_json[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"act_fn\": \"silu\","
    " \"_diffusers_version\": \"0.2.2\", \"attention_head_dim\": 8,"
    " \"block_out_channels\": [320, 640, 1280, 1280],"
    " \"center_input_sample\": false, \"cross_attention_dim\": 768,"
    " \"down_block_types\": [\"CrossAttnDownBlock2D\","
    " \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
    " \"downsample_padding\": 1, \"flip_sin_to_cos\": true,"
    " \"freq_shift\": 0, \"in_channels\": 4, \"layers_per_block\": 2,"
    " \"mid_block_scale_factor\": 1, \"norm_eps\": 1e-05,"
    " \"norm_num_groups\": 32, \"out_channels\": 4, \"sample_size\": 64,"
    " \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\","
    " \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"]}";

static const char sd2_unet_json[] =
    "{\"act_fn\": \"silu\", \"attention_head_dim\": [5, 10, 20, 20],"
    " \"cross_attention_dim\": 1024, \"dual_cross_attention\": false,"
    " \"num_class_embeds\": null, \"only_cross_attention\": false,"
    " \"resnet_time_scale_shift\": \"default\", \"sample_size\": 96,"
    " \"upcast_attention\": true, \"use_linear_projection\": true}";

static const char sd_vae_json[] =
    "{\"act_fn\": \"silu\", \"block_out_channels\": [128, 256, 512, 512],"
    " \"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\","
    " \"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
    " \"in_channels\": 3, \"latent_channels\": 4, \"layers_per_block\": 2,"
    " \"norm_num_groups\": 32, \"out_channels\": 3, \"sample_size\": 512,"
    " \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\","
    " \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}";

static const char sd1_text_json[] =
    "{\"_name_or_path\": \"openai/clip-vit-large-patch14\","
    " \"architectures\": [\"CLIPTextModel\"], \"attention_dropout\": 0.0,"
    " \"bos_token_id\": 0, \"dropout\": 0.0, \"eos_token_id\": 2,"
    " \"hidden_act\": \"quick_gelu\", \"hidden_size\": 768,"
    " \"initializer_factor\": 1.0, \"initializer_range\": 0.02,"
    " \"intermediate_size\": 3072, \"layer_norm_eps\": 1e-05,"
    " \"max_position_embeddings\": 77, \"model_type\": \"clip_text_model\","
    " \"num_attention_heads\": 12, \"num_hidden_layers\": 12,"
    " \"pad_token_id\": 1, \"projection_dim\": 768,"
    " \"torch_dtype\": \"float32\", \"transformers_version\": \"4.22.0\","
    " \"vocab_size\": 49408}";

static const char sd2_text_json[] =
    "{\"hidden_act\": \"gelu\", \"hidden_size\": 1024,"
    " \"intermediate_size\": 4096, \"num_attention_heads\": 16,"
    " \"num_hidden_layers\": 23, \"projection_dim\": 512,"
    " \"vocab_size\": 49408}";

/* How many parameters the model of this configuration has. */
static int64_t parameters_of(enum db_part part, const char *text)
{
    struct db_text_encoder *encoder = NULL;
    struct db_unet *unet = NULL;
    struct db_vae *vae = NULL;
    const struct db_params *params = NULL;
    int64_t count;
    json_t *json;

    ck_assert_int_eq(db_json_parse(&env, "test", text, strlen(text), &json),
                     DREAMBOOTH_OK);
    if (part == DB_TEXT_ENCODER &&
        db_text_encoder_new(&env, "test", json, "", &encoder) == DREAMBOOTH_OK)
        params = &encoder->params;
    if (part == DB_UNET &&
        db_unet_new(&env, "test", json, &unet) == DREAMBOOTH_OK)
        params = &unet->params;
    if (part == DB_VAE && db_vae_new(&env, "test", json, &vae) == DREAMBOOTH_OK)
        params = &vae->params;
    ck_assert_msg(params != NULL, "%s", env.error_text);
    count = db_params_elements(params);
    db_text_encoder_free(encoder);
    db_unet_free(unet);
    db_vae_free(vae);
    json_decref(json);
    return count;
}

START_TEST(published_models_have_their_sizes)
{
    ck_assert_int_eq(parameters_of(DB_UNET, sd1_unet_json), 859520964);
    ck_assert_int_eq(parameters_of(DB_UNET, sd2_unet_json), 865910724);
    ck_assert_int_eq(parameters_of(DB_VAE, sd_vae_json), 83653863);
    ck_assert_int_eq(parameters_of(DB_TEXT_ENCODER, sd1_text_json), 123060480);
    ck_assert_int_eq(parameters_of(DB_TEXT_ENCODER, sd2_text_json), 340387840);
}
END_TEST

START_TEST(index_is_checked)
{
    write_text("model_index.json",
               "{\"_class_name\": \"StableDiffusionXLPipeline\"}");
    init_refused(DREAMBOOTH_EUNSUPPORTED, "StableDiffusionXLPipeline");
    write_text("model_index.json",
               "{\"_class_name\": \"StableDiffusionPipeline\"}");
    init_refused(DREAMBOOTH_EFORMAT, "\"text_encoder\" is missing");
    write_text("model_index.json", "{\"_class_name\": ");
    init_refused(DREAMBOOTH_EFORMAT, "model_index.json");
}
END_TEST

static void same_params(struct db_params *a, struct db_params *b)
{
    size_t i;

    ck_assert_uint_eq(a->count, b->count);
    ck_assert_int_eq(db_params_need(a, NULL), DREAMBOOTH_OK);
    ck_assert_int_eq(db_params_need(b, device.pool), DREAMBOOTH_OK);
    for (i = 0; i < a->count; i++) {
        const struct db_tensor *x = a->items[i]->data, *y = b->items[i]->data;

        ck_assert_str_eq(a->items[i]->name, b->items[i]->name);
        ck_assert(db_shape_equal(&x->shape, &y->shape));
        ck_assert_mem_eq(x->data, y->data,
                         (size_t)db_tensor_count(x) * sizeof(float));
    }
}

static void same_parts(const struct db_pipeline *a, const struct db_pipeline *b)
{
    int part;

    for (part = 0; part < DB_PARTS; part++) {
        same_params(db_pipeline_params(a, (enum db_part)part),
                    db_pipeline_params(b, (enum db_part)part));
        ck_assert_int_eq(a->facts[part].parameters, b->facts[part].parameters);
        ck_assert_uint_eq(a->facts[part].tensors, b->facts[part].tensors);
        ck_assert_uint_eq(a->facts[part].bytes, b->facts[part].bytes);
    }
}

START_TEST(saved_model_opens_with_the_same_bits)
{
    struct db_pipeline *made = init(), *opened = NULL;
    char copy[UNIT_PATH_MAX];

    ck_assert_int_eq(db_pipeline_set(made, "identifier", "sks"), DREAMBOOTH_OK);
    ck_assert_int_eq(db_pipeline_set(made, "class-prompt", "a d\xc3\xb6g"),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_pipeline_set(made, "gone", "x"), DREAMBOOTH_OK);
    ck_assert_int_eq(db_pipeline_set(made, "gone", NULL), DREAMBOOTH_OK);
    unit_path(copy, folder, "copy/of/it");
    ck_assert_int_eq(db_pipeline_save(made, copy, DB_F32), DREAMBOOTH_OK);
    ck_assert_msg(db_pipeline_open(&env, copy, &opened) == DREAMBOOTH_OK, "%s",
                  env.error_text);
    same_parts(made, opened);
    ck_assert_str_eq(db_pipeline_get(opened, "identifier"), "sks");
    ck_assert_str_eq(db_pipeline_get(opened, "class-prompt"), "a d\xc3\xb6g");
    ck_assert_ptr_null(db_pipeline_get(opened, "gone"));
    ck_assert_str_eq(opened->scheduler_class, "PNDMScheduler");
    ck_assert_str_eq(opened->scheduler_config, made->scheduler_config);
    ck_assert_str_eq(opened->model_index, made->model_index);
    ck_assert_int_eq(db_prompt_length(opened), 5);
    db_pipeline_free(opened);
    db_pipeline_free(made);
}
END_TEST

START_TEST(half_precision_is_read_and_told)
{
    struct db_pipeline *made = init(), *opened = NULL;
    char copy[UNIT_PATH_MAX], path[UNIT_PATH_MAX], variant[UNIT_PATH_MAX];
    size_t size;
    char *config;

    unit_path(copy, folder, "half");
    ck_assert_int_eq(db_pipeline_save(made, copy, DB_F16), DREAMBOOTH_OK);
    unit_path(path, copy, "unet/diffusion_pytorch_model.safetensors");
    unit_path(variant, copy, "unet/diffusion_pytorch_model.fp16.safetensors");
    ck_assert_int_eq(rename(path, variant), 0);
    ck_assert_int_eq(db_pipeline_describe(&env, copy, &opened), DREAMBOOTH_OK);
    ck_assert_int_eq(opened->facts[DB_UNET].dtype, DB_F16);
    ck_assert_int_eq(opened->facts[DB_UNET].parameters,
                     made->facts[DB_UNET].parameters);
    ck_assert_ptr_null(opened->unet->conv_in.weight->data);
    db_pipeline_free(opened);
    config = unit_read_file(unit_path(path, copy, "text_encoder/config.json"),
                            &size);
    ck_assert_ptr_nonnull(strstr(config, "\"torch_dtype\": \"float16\""));
    free(config);
    db_pipeline_free(made);
}
END_TEST

START_TEST(first_values_depend_on_seed_and_name_alone)
{
    struct db_pipeline *first = init(), *second = init();
    struct db_params *a = db_pipeline_params(first, DB_UNET);
    struct db_params *b = db_pipeline_params(second, DB_UNET);
    const float *values;
    double bound = 1 / sqrt(4 * 9);
    int64_t i;

    same_parts(first, second);
    ck_assert_int_eq(db_params_randomize(b, "unet", 8), DREAMBOOTH_OK);
    ck_assert_mem_ne(a->items[0]->data->data, b->items[0]->data->data, 16);
    values = db_tensor_f32(db_params_find(a, "conv_in.weight")->data);
    for (i = 0; i < 4 * 4 * 9; i++)
        ck_assert(fabs((double)values[i]) <= bound);
    values = db_tensor_f32(db_params_find(a, "conv_norm_out.weight")->data);
    ck_assert(values[0] == 1.0f);
    db_pipeline_free(first);
    db_pipeline_free(second);
}
END_TEST

/* Saves the UNet of a new model with its item NUMBER changed by CHANGE. */
static void save_changed(void (*change)(struct db_safetensors_item *item))
{
    struct db_pipeline *made = init();
    struct db_params *params = db_pipeline_params(made, DB_UNET);
    struct db_safetensors_item items[256];
    char path[UNIT_PATH_MAX];

    ck_assert_uint_lt(params->count, DB_COUNT(items));
    db_params_items(params, DB_F32, items);
    change(&items[0]);
    unit_path(path, folder, "unet/diffusion_pytorch_model.safetensors");
    ck_assert_int_eq(
        db_safetensors_write(&env, path, items, params->count, NULL, 0),
        DREAMBOOTH_OK);
    db_pipeline_free(made);
}

static void rename_item(struct db_safetensors_item *item)
{
    item->name = "conv_in.wait";
}

static void turn_item(struct db_safetensors_item *item)
{
    int64_t first = item->shape[0];

    item->shape[0] = item->shape[2];
    item->shape[2] = first;
}

static void join_item(struct db_safetensors_item *item)
{
    item->shape[0] *= item->shape[1];
    item->shape[1] = item->shape[2];
    item->shape[2] = item->shape[3];
    item->rank = 3;
}

START_TEST(weights_are_checked)
{
    char path[UNIT_PATH_MAX];
    char *bytes;
    size_t size;

    save_here();
    save_changed(rename_item);
    open_refused(DREAMBOOTH_EFORMAT,
                 "unet/diffusion_pytorch_model.safetensors: tensor "
                 "conv_in.weight is missing");
    save_changed(turn_item);
    open_refused(DREAMBOOTH_EFORMAT,
                 "tensor conv_in.weight has shape [3, 4, 4, 3], config.json "
                 "asks for [4, 4, 3, 3]");
    save_changed(join_item);
    open_refused(DREAMBOOTH_EFORMAT, "conv_in.weight has shape [16, 3, 3]");
    save_here();
    unit_path(path, folder, "vae/diffusion_pytorch_model.safetensors");
    bytes = unit_read_file(path, &size);
    unit_write_file(path, bytes, size - 1);
    free(bytes);
    open_refused(DREAMBOOTH_EFORMAT, path);
    ck_assert_int_eq(unlink(path), 0);
    open_refused(DREAMBOOTH_ENOTFOUND, "vae");
}
END_TEST

START_TEST(extra_tensors_are_refused)
{
    save_here();
    write_config("unet/config.json", unet_json,
                 ", \"use_linear_projection\": true");
    open_refused(DREAMBOOTH_EFORMAT, "config.json asks for");
    write_config("unet/config.json", unet_json, "");
    write_config("vae/config.json", vae_json, ", \"use_quant_conv\": false");
    open_refused(DREAMBOOTH_EFORMAT, "tensor quant_conv.bias is not part");
}
END_TEST

/* Saves PART with other names: FROM in them becomes TO. */
static void save_renamed(const struct db_pipeline *pipeline, enum db_part part,
                         const char *name, const char *const renames[][2],
                         size_t rename_count)
{
    const struct db_params *params = db_pipeline_params(pipeline, part);
    struct db_safetensors_item items[256];
    char names[256][128], path[UNIT_PATH_MAX];
    size_t i, r;

    ck_assert_uint_lt(params->count, DB_COUNT(items));
    db_params_items(params, DB_F32, items);
    for (i = 0; i < params->count; i++)
        for (r = 0; r < rename_count; r++) {
            const char *at = strstr(items[i].name, renames[r][0]);

            if (at == NULL)
                continue;
            snprintf(names[i], sizeof(names[i]), "%.*s%s%s",
                     (int)(at - items[i].name), items[i].name, renames[r][1],
                     at + strlen(renames[r][0]));
            items[i].name = names[i];
            break;
        }
    ck_assert_int_eq(db_safetensors_write(&env, unit_path(path, folder, name),
                                          items, params->count, NULL, 0),
                     DREAMBOOTH_OK);
}

START_TEST(other_spellings_are_read)
{
    static const char *const bare[][2] = {{"text_model.", ""}};
    static const char *const old[][2] = {{"to_q.", "query."},
                                         {"to_k.", "key."},
                                         {"to_v.", "value."},
                                         {"to_out.0.", "proj_attn."}};
    struct db_pipeline *made = init(), *opened = NULL;
    struct db_params *params;
    size_t i;

    ck_assert_int_eq(db_pipeline_save(made, folder, DB_F32), DREAMBOOTH_OK);
    save_renamed(made, DB_TEXT_ENCODER, "text_encoder/model.safetensors", bare,
                 DB_COUNT(bare));
    save_renamed(made, DB_VAE, "vae/diffusion_pytorch_model.safetensors", old,
                 DB_COUNT(old));
    ck_assert_msg(db_pipeline_open(&env, folder, &opened) == DREAMBOOTH_OK,
                  "%s", env.error_text);
    same_params(&made->vae->params, &opened->vae->params);
    params = &opened->text_encoder->params;
    ck_assert_int_eq(db_params_need(params, NULL), DREAMBOOTH_OK);
    ck_assert_str_eq(params->items[0]->name,
                     "embeddings.token_embedding.weight");
    for (i = 0; i < params->count; i++)
        ck_assert_mem_eq(params->items[i]->data->data,
                         made->text_encoder->params.items[i]->data->data,
                         (size_t)db_tensor_count(params->items[i]->data) *
                             sizeof(float));
    db_pipeline_free(opened);
    db_pipeline_free(made);
}
END_TEST

/* A batch for the UNet, from its own stream. */
struct batch {
    struct db_tensor *sample, *context, *target;
    float timesteps[2];
};

static struct db_tensor *filled(const struct db_shape *shape, int seed)
{
    struct db_tensor *tensor;
    int64_t i;

    ck_assert_int_eq(db_tensor_new(&env, DB_F32, shape, &tensor),
                     DREAMBOOTH_OK);
    for (i = 0; i < db_tensor_count(tensor); i++)
        db_tensor_f32(tensor)[i] = (float)sin((double)((i + 1) * seed));
    return tensor;
}

static struct batch batch_new(void)
{
    struct db_shape image = db_shape4(2, 5, 3, 4), text = db_shape3(2, 5, 8);
    struct batch batch = {.timesteps = {999, 3}};

    batch.sample = filled(&image, 3);
    batch.context = filled(&text, 5);
    batch.target = filled(&image, 7);
    return batch;
}

static void batch_free(struct batch *batch)
{
    db_tensor_release(batch->sample);
    db_tensor_release(batch->context);
    db_tensor_release(batch->target);
}

static struct db_var *run_unet(struct db_tape *tape, const struct db_unet *unet,
                               const struct batch *batch, double *loss)
{
    struct db_var *sample = db_var_new(tape, batch->sample, false);
    struct db_var *context = db_var_new(tape, batch->context, false);
    struct db_var *y =
        db_unet_forward(tape, unet, sample, batch->timesteps, context, NULL);

    return db_mse(tape, y, batch->target, NULL, loss);
}

static double unet_loss(const struct db_unet *unet, const struct batch *batch)
{
    struct db_tape tape;
    double loss = 0;

    db_tape_init(&tape, &device, false);
    db_drop(run_unet(&tape, unet, batch, &loss));
    ck_assert_msg(tape.status == DREAMBOOTH_OK, "%s", env.error_text);
    db_tape_clear(&tape);
    return loss;
}

static const struct db_segments no_segment = {{0}};

/* KEPT: the segments that are not run again; NULL: all. */
static void unet_backward(struct db_unet *unet, const struct batch *batch,
                          const struct db_segments *kept)
{
    struct db_tape tape;
    double loss;

    db_tape_init(&tape, &device, true);
    tape.recompute = kept != NULL;
    tape.kept = kept;
    db_params_free_gradients(&unet->params);
    db_tape_backward(&tape, run_unet(&tape, unet, batch, &loss), NULL);
    ck_assert_msg(tape.status == DREAMBOOTH_OK, "%s", env.error_text);
    db_tape_clear(&tape);
}

/* d loss / d element by a central difference. */
static double difference(struct db_unet *unet, const struct batch *batch,
                         float *element)
{
    float kept = *element, step = 4e-3f;
    double above, below;

    *element = kept + step;
    above = unet_loss(unet, batch);
    *element = kept - step;
    below = unet_loss(unet, batch);
    *element = kept;
    return (above - below) / (2 * (double)step);
}

START_TEST(gradients_agree_with_differences)
{
    struct db_pipeline *made = init();
    struct db_unet *unet = made->unet;
    struct batch batch = batch_new();
    size_t i;

    db_params_set_trainable(&unet->params, true);
    unet_backward(unet, &batch, NULL);
    for (i = 0; i < unet->params.count; i++) {
        struct db_param *param = unet->params.items[i];
        int64_t at = db_tensor_count(param->data) / 2;
        double got, want;

        ck_assert_msg(param->gradient != NULL, "%s has no gradient",
                      param->name);
        got = db_tensor_f32(param->gradient)[at];
        want = difference(unet, &batch, db_tensor_f32(param->data) + at);
        ck_assert_msg(fabs(got - want) <= 2e-4 + 1e-2 * fabs(want),
                      "%s[%lld]: %g, by differences %g", param->name,
                      (long long)at, got, want);
    }
    batch_free(&batch);
    db_pipeline_free(made);
}
END_TEST

START_TEST(frozen_parameters_get_no_gradient)
{
    struct db_pipeline *made = init();
    struct db_unet *unet = made->unet;
    struct batch batch = batch_new();
    struct db_param *one =
        db_params_find(&unet->params, "mid_block.resnets.0.conv1.weight");
    size_t i;

    one->trainable = true;
    unet_backward(unet, &batch, &no_segment);
    for (i = 0; i < unet->params.count; i++)
        ck_assert((unet->params.items[i]->gradient != NULL) ==
                  (unet->params.items[i] == one));
    batch_free(&batch);
    db_pipeline_free(made);
}
END_TEST

static void same_gradients(const struct db_params *x, const struct db_params *y)
{
    size_t i;

    for (i = 0; i < x->count; i++) {
        const struct db_param *a = x->items[i], *b = y->items[i];
        size_t size = (size_t)db_tensor_count(a->data) * sizeof(float);

        ck_assert_msg(memcmp(a->gradient->data, b->gradient->data, size) == 0,
                      "the gradient of %s differs", a->name);
    }
}

START_TEST(recomputing_changes_no_bit)
{
    static const struct db_segments some = {{0xa5}};
    const struct db_segments *const runs[] = {&no_segment, &some};
    struct db_pipeline *kept = init(), *again = init();
    struct batch batch = batch_new();
    size_t i;

    db_params_set_trainable(&kept->unet->params, true);
    db_params_set_trainable(&again->unet->params, true);
    unet_backward(kept->unet, &batch, NULL);
    for (i = 0; i < DB_COUNT(runs); i++) {
        unet_backward(again->unet, &batch, runs[i]);
        same_gradients(&kept->unet->params, &again->unet->params);
    }
    batch_free(&batch);
    db_pipeline_free(kept);
    db_pipeline_free(again);
}
END_TEST

/* The allocation after which there are no more; < 0: never. */
static long allocations_left;

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    (void)user;
    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (allocations_left == 0)
        return NULL;
    if (allocations_left > 0)
        allocations_left--;
    return realloc(pointer, size);
}

/* Opens the model and runs all of it: encode, denoise backwards, decode. */
static int open_and_run(void)
{
    static const int64_t ids[] = {512, 65, 513, 513, 513};
    struct db_shape shape = db_shape4(1, 4, 2, 4);
    struct db_pipeline *pipeline = NULL;
    struct db_var *z = NULL, *context, *mean = NULL, *logvar = NULL;
    float timestep = 7;
    struct db_tape tape;
    int status = db_pipeline_open(&env, folder, &pipeline);

    if (status != DREAMBOOTH_OK)
        return status;
    db_params_set_trainable(&pipeline->unet->params, true);
    db_tape_init(&tape, &device, true);
    tape.recompute = true;
    z = db_var_empty(&tape, &shape);
    if (z != NULL)
        memset(z->data->data, 0, 4 * 2 * 4 * sizeof(float));
    context =
        db_text_encoder_forward(&tape, pipeline->text_encoder, ids, 1, 5, NULL);
    z = db_unet_forward(&tape, pipeline->unet, z, &timestep, context, NULL);
    status = db_tape_backward(&tape, db_hold(z), NULL);
    tape.recording = false;
    if (status == DREAMBOOTH_OK) {
        z = db_vae_decode(&tape, pipeline->vae, z, NULL);
        status = db_vae_encode(&tape, pipeline->vae, z, &mean, &logvar, NULL);
    } else {
        db_drop(z);
    }
    db_drop(mean);
    db_drop(logvar);
    db_tape_clear(&tape);
    db_pipeline_free(pipeline);
    return status;
}

/* Makes a model and saves it. */
static int init_and_save(void)
{
    struct db_pipeline *pipeline = NULL;
    char copy[UNIT_PATH_MAX];
    int status = db_pipeline_init(&env, folder, NULL, 3, &pipeline);

    if (status == DREAMBOOTH_OK)
        status = db_pipeline_set(pipeline, "identifier", "sks");
    if (status == DREAMBOOTH_OK)
        status =
            db_pipeline_save(pipeline, unit_path(copy, folder, "c"), DB_F16);
    db_pipeline_free(pipeline);
    return status;
}

/* Runs FUNCTION with ever more allocations until it succeeds; gives their
 * number. */
static long starve(int (*function)(void))
{
    db_resize_function *kept = env.resize;
    uint64_t before = env.live_bytes;
    long n, step = 1;
    int status;

    env.resize = failing_resize;
    for (n = 0;; n += step) {
        allocations_left = n;
        status = function();
        ck_assert_uint_eq(env.live_bytes, before);
        if (status == DREAMBOOTH_OK)
            break;
        ck_assert_msg(status == DREAMBOOTH_ENOMEM, "n %ld: %d %s", n, status,
                      env.error_text);
        step = unit_is_quick() ? 1 + n / 50 : 1;
    }
    env.resize = kept;
    return n;
}

START_TEST(memory_may_run_out_anywhere)
{
    save_here();
    ck_assert_int_gt(starve(open_and_run), 1000);
    ck_assert_int_gt(starve(init_and_save), 500);
}
END_TEST

/* Opens the model whatever the files say: it works or is refused. */
static void open_anyhow(void)
{
    struct db_pipeline *pipeline = NULL;
    int status = db_pipeline_open(&env, folder, &pipeline);

    ck_assert((status == DREAMBOOTH_OK) == (pipeline != NULL));
    ck_assert_int_ne(status, DREAMBOOTH_EINTERNAL);
    db_pipeline_free(pipeline);
}

/* Truncates FILE, and flips bits of it, at COUNT places each. */
static void damage(const char *name, size_t count)
{
    char path[UNIT_PATH_MAX];
    size_t size, i;
    char *bytes = unit_read_file(unit_path(path, folder, name), &size);

    for (i = 0; i < count; i++) {
        /* The beginnings of files say more than their ends. */
        size_t at = (size_t)((double)size * pow((double)i / (double)count, 3));

        unit_write_file(path, bytes, at);
        open_anyhow();
        bytes[at] = (char)(bytes[at] ^ (1 << i % 8));
        unit_write_file(path, bytes, size);
        open_anyhow();
        bytes[at] = (char)(bytes[at] ^ (1 << i % 8));
    }
    unit_write_file(path, bytes, size);
    free(bytes);
}

START_TEST(damaged_files_are_refused_or_read)
{
    static const char *const names[] = {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
        "dreambooth.json",
    };
    struct db_pipeline *pipeline = init(), *opened = NULL;
    size_t i;

    ck_assert_int_eq(db_pipeline_set(pipeline, "identifier", "sks"),
                     DREAMBOOTH_OK);
    ck_assert_int_eq(db_pipeline_save(pipeline, folder, DB_F32), DREAMBOOTH_OK);
    db_pipeline_free(pipeline);
    env.limit_bytes = 256u << 20;
    for (i = 0; i < DB_COUNT(names); i++)
        damage(names[i], unit_is_quick() ? 8 : 64);
    env.limit_bytes = 0;
    ck_assert_int_eq(db_pipeline_open(&env, folder, &opened), DREAMBOOTH_OK);
    db_pipeline_free(opened);
}
END_TEST

static Suite *model_suite(void)
{
    static const struct {
        const char *name;
        const TTest *const *function;
    } tests[] = {
        {"configurations", &configurations_are_checked},
        {"published sizes", &published_models_have_their_sizes},
        {"divisions", &indivisible_channels_are_refused},
        {"index", &index_is_checked},
        {"round trip", &saved_model_opens_with_the_same_bits},
        {"half precision", &half_precision_is_read_and_told},
        {"first values", &first_values_depend_on_seed_and_name_alone},
        {"weights", &weights_are_checked},
        {"spellings", &other_spellings_are_read},
        {"extra tensors", &extra_tensors_are_refused},
        {"gradients", &gradients_agree_with_differences},
        {"frozen", &frozen_parameters_get_no_gradient},
        {"recomputing", &recomputing_changes_no_bit},
        {"memory", &memory_may_run_out_anywhere},
        {"damage", &damaged_files_are_refused_or_read},
    };
    Suite *suite = suite_create("model");
    size_t i;

    for (i = 0; i < DB_COUNT(tests); i++) {
        TCase *test_case = tcase_create(tests[i].name);

        tcase_set_timeout(test_case, 0);
        tcase_add_checked_fixture(test_case, setup, teardown);
        tcase_add_test(test_case, *tests[i].function);
        suite_add_tcase(suite, test_case);
    }
    return suite;
}

int main(void)
{
    return unit_main(model_suite());
}

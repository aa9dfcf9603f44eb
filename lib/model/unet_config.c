/* SPDX-License-Identifier: MIT */
/* UNet2DConditionModel's configuration. */
#include "model/unet_int.h"

#include <string.h>

#include "model/config.h"

#define CHANNELS_MAX 65536
#define LAYERS_MAX 16
#define HEADS_MAX 1024

/* The index of each: is there attention in it? */
static const char *const down_types[] = {"DownBlock2D", "CrossAttnDownBlock2D",
                                         NULL};
static const char *const up_types[] = {"UpBlock2D", "CrossAttnUpBlock2D", NULL};

/* The fields as they stand in the file. */
struct fields {
    struct db_unet_config config;
    struct db_config_list sample_size;
    struct db_config_list block_out_channels;
    struct db_config_list layers_per_block;
    struct db_config_list attention_head_dim;
    struct db_config_list transformer_layers_per_block;
    struct db_config_list cross_attention_dim;
    struct db_config_list down_block_types, up_block_types;
};

#define IN_CONFIG(name) offsetof(struct fields, config.name)
#define IN_FIELDS(name) offsetof(struct fields, name)
#define INTEGER(name, low, high)                                               \
    DB_ROW_NUMBER(#name, DB_CONFIG_INTEGER, IN_CONFIG(name), low, high)
#define REAL(name, low, high)                                                  \
    DB_ROW_NUMBER(#name, DB_CONFIG_REAL, IN_CONFIG(name), low, high)
#define BOOLEAN(name) DB_ROW_BOOLEAN(#name, IN_CONFIG(name))
#define LIST(name, high)                                                       \
    DB_ROW_NUMBER(#name, DB_CONFIG_LIST, IN_FIELDS(name), 1, high)
#define CHOICES(name, names)                                                   \
    DB_ROW_CHOICE(#name, DB_CONFIG_CHOICES, IN_FIELDS(name), names)

static const struct db_config_field table[] = {
    INTEGER(in_channels, 1, 1024),
    INTEGER(out_channels, 1, 1024),
    INTEGER(norm_num_groups, 1, CHANNELS_MAX),
    REAL(norm_eps, 0, 1),
    REAL(freq_shift, -1000, 1000),
    BOOLEAN(flip_sin_to_cos),
    BOOLEAN(use_linear_projection),
    LIST(sample_size, CHANNELS_MAX),
    LIST(block_out_channels, CHANNELS_MAX),
    LIST(layers_per_block, LAYERS_MAX),
    LIST(attention_head_dim, HEADS_MAX), /* which is the number of heads */
    LIST(transformer_layers_per_block, LAYERS_MAX),
    LIST(cross_attention_dim, CHANNELS_MAX),
    CHOICES(down_block_types, down_types),
    CHOICES(up_block_types, up_types),
    DB_ROW_ONLY("act_fn", "[\"silu\", \"swish\"]"),
    DB_ROW_ONLY("addition_embed_type", "[null]"),
    DB_ROW_ONLY("addition_time_embed_dim", "[null]"),
    DB_ROW_ONLY("attention_type", "[\"default\"]"),
    DB_ROW_ONLY("center_input_sample", "[false]"),
    DB_ROW_ONLY("class_embed_type", "[null]"),
    DB_ROW_ONLY("class_embeddings_concat", "[false]"),
    DB_ROW_ONLY("conv_in_kernel", "[3]"),
    DB_ROW_ONLY("conv_out_kernel", "[3]"),
    DB_ROW_ONLY("cross_attention_norm", "[null]"),
    DB_ROW_ONLY("downsample_padding", "[1]"),
    DB_ROW_ONLY("dropout", "[0]"),
    DB_ROW_ONLY("dual_cross_attention", "[false]"),
    DB_ROW_ONLY("encoder_hid_dim", "[null]"),
    DB_ROW_ONLY("encoder_hid_dim_type", "[null]"),
    DB_ROW_ONLY("mid_block_only_cross_attention", "[null, false]"),
    DB_ROW_ONLY("mid_block_scale_factor", "[1]"),
    DB_ROW_ONLY("mid_block_type", "[\"UNetMidBlock2DCrossAttn\"]"),
    DB_ROW_ONLY("num_attention_heads", "[null]"),
    DB_ROW_ONLY("num_class_embeds", "[null]"),
    DB_ROW_ONLY("only_cross_attention", "[false]"),
    DB_ROW_ONLY("projection_class_embeddings_input_dim", "[null]"),
    DB_ROW_ONLY("resnet_out_scale_factor", "[1]"),
    DB_ROW_ONLY("resnet_skip_time_act", "[false]"),
    DB_ROW_ONLY("resnet_time_scale_shift", "[\"default\"]"),
    DB_ROW_ONLY("reverse_transformer_layers_per_block", "[null]"),
    DB_ROW_ONLY("time_cond_proj_dim", "[null]"),
    DB_ROW_ONLY("time_embedding_act_fn", "[null]"),
    DB_ROW_ONLY("time_embedding_dim", "[null]"),
    DB_ROW_ONLY("time_embedding_type", "[\"positional\"]"),
    DB_ROW_ONLY("timestep_post_act", "[null]"),
    DB_ROW_IGNORED("addition_embed_type_num_heads"),
    DB_ROW_IGNORED("upcast_attention"), /* we compute in 32 bits anyway */
};

/* diffusers' UNet2DConditionModel(). */
static const struct fields defaults = {
    .config = {.in_channels = 4,
               .out_channels = 4,
               .norm_num_groups = 32,
               .norm_eps = 1e-5,
               .flip_sin_to_cos = true},
    .block_out_channels = {{320, 640, 1280, 1280}, 4, false},
    .layers_per_block = {{2}, 1, true},
    .attention_head_dim = {{8}, 1, true},
    .transformer_layers_per_block = {{1}, 1, true},
    .cross_attention_dim = {{1280}, 1, true},
    .down_block_types = {{1, 1, 1, 0}, 4, false},
    .up_block_types = {{0, 1, 1, 1}, 4, false},
};

/* Spreads one value, or one for each level, over the levels. */
static int spread(struct db_env *env, const char *file,
                  const struct fields *fields, struct db_unet_config *config)
{
    int64_t down[DB_UNET_MAX_LEVELS], up[DB_UNET_MAX_LEVELS];
    const struct {
        const char *name;
        const struct db_config_list *list;
        int64_t *values;
    } lists[] = {
        {"block_out_channels", &fields->block_out_channels,
         config->block_out_channels},
        {"layers_per_block", &fields->layers_per_block,
         config->layers_per_block},
        {"attention_head_dim", &fields->attention_head_dim, config->heads},
        {"transformer_layers_per_block", &fields->transformer_layers_per_block,
         config->transformer_layers},
        {"cross_attention_dim", &fields->cross_attention_dim,
         config->cross_attention_dim},
        {"down_block_types", &fields->down_block_types, down},
        {"up_block_types", &fields->up_block_types, up},
    };
    int64_t level;
    size_t i;

    for (i = 0; i < DB_COUNT(lists); i++) {
        int status = db_config_spread(env, file, lists[i].name, lists[i].list,
                                      config->levels, lists[i].values);

        if (status != DREAMBOOTH_OK)
            return status;
    }
    for (level = 0; level < config->levels; level++) {
        config->down_attention[level] = down[level] == 1;
        config->up_attention[level] = up[level] == 1;
    }
    return DREAMBOOTH_OK;
}

/* The divisions that the layers will make. */
static int check(struct db_env *env, const char *file,
                 const struct db_unet_config *config)
{
    int64_t last = config->levels - 1;
    int64_t level;
    int status;

    status =
        db_config_divides(env, file, "block_out_channels",
                          config->block_out_channels[0], "flip_sin_to_cos", 2);
    for (level = 0; level <= last && status == DREAMBOOTH_OK; level++) {
        int64_t channels = config->block_out_channels[level];

        status = db_config_divides(env, file, "block_out_channels", channels,
                                   "norm_num_groups", config->norm_num_groups);
        if (status == DREAMBOOTH_OK &&
            (config->down_attention[level] ||
             config->up_attention[last - level] || level == last))
            status =
                db_config_divides(env, file, "block_out_channels", channels,
                                  "attention_head_dim", config->heads[level]);
    }
    return status;
}

int db_unet_config_read(struct db_env *env, const char *file,
                        const json_t *object, struct db_unet_config *out)
{
    struct fields fields = defaults;
    int status =
        db_config_read(env, file, object, table, DB_COUNT(table), &fields);

    if (status != DREAMBOOTH_OK)
        return status;
    fields.config.sample_size = fields.sample_size.values[0];
    fields.config.levels = fields.down_block_types.count;
    status = spread(env, file, &fields, &fields.config);
    if (status == DREAMBOOTH_OK)
        status = check(env, file, &fields.config);
    if (status == DREAMBOOTH_OK)
        *out = fields.config;
    return status;
}

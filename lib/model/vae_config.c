/* SPDX-License-Identifier: MIT */
/* AutoencoderKL's configuration. */
#include "model/vae_int.h"

#include "model/config.h"

#define CHANNELS_MAX 65536
#define SIDE_MAX 65536

static const char *const down_types[] = {"DownEncoderBlock2D", NULL};
static const char *const up_types[] = {"UpDecoderBlock2D", NULL};

/* The fields as they stand in the file. */
struct fields {
    struct db_vae_config config;
    struct db_config_list sample_size;
    struct db_config_list block_out_channels;
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
    INTEGER(latent_channels, 1, 1024),
    INTEGER(layers_per_block, 1, 16),
    INTEGER(norm_num_groups, 1, CHANNELS_MAX),
    REAL(scaling_factor, 1e-6, 1e6),
    BOOLEAN(mid_block_add_attention),
    BOOLEAN(use_quant_conv),
    BOOLEAN(use_post_quant_conv),
    LIST(sample_size, SIDE_MAX),
    LIST(block_out_channels, CHANNELS_MAX),
    CHOICES(down_block_types, down_types),
    CHOICES(up_block_types, up_types),
    DB_ROW_ONLY("act_fn", "[\"silu\", \"swish\"]"),
    DB_ROW_ONLY("latents_mean", "[null]"),
    DB_ROW_ONLY("latents_std", "[null]"),
    DB_ROW_ONLY("shift_factor", "[null, 0]"),
    DB_ROW_IGNORED("force_upcast"), /* we compute in 32 bits anyway */
};

/* diffusers' AutoencoderKL(). */
static const struct fields defaults = {
    .config = {.in_channels = 3,
               .out_channels = 3,
               .latent_channels = 4,
               .layers_per_block = 1,
               .norm_num_groups = 32,
               .mid_block_add_attention = true,
               .use_quant_conv = true,
               .use_post_quant_conv = true,
               .scaling_factor = 0.18215},
    .sample_size = {{32}, 1, true},
    .block_out_channels = {{64}, 1, false},
    .down_block_types = {{0}, 1, false},
    .up_block_types = {{0}, 1, false},
};

static int check(struct db_env *env, const char *file,
                 const struct fields *fields, struct db_vae_config *config)
{
    int64_t types[DB_VAE_MAX_LEVELS];
    int64_t level;
    int status;

    status = db_config_spread(env, file, "block_out_channels",
                              &fields->block_out_channels, config->levels,
                              config->block_out_channels);
    if (status == DREAMBOOTH_OK)
        status =
            db_config_spread(env, file, "up_block_types",
                             &fields->up_block_types, config->levels, types);
    for (level = 0; level < config->levels && status == DREAMBOOTH_OK; level++)
        status = db_config_divides(env, file, "block_out_channels",
                                   config->block_out_channels[level],
                                   "norm_num_groups", config->norm_num_groups);
    return status;
}

int db_vae_config_read(struct db_env *env, const char *file,
                       const json_t *object, struct db_vae_config *out)
{
    struct fields fields = defaults;
    int status =
        db_config_read(env, file, object, table, DB_COUNT(table), &fields);

    if (status != DREAMBOOTH_OK)
        return status;
    fields.config.sample_size = fields.sample_size.values[0];
    fields.config.levels = fields.down_block_types.count;
    status = check(env, file, &fields, &fields.config);
    if (status == DREAMBOOTH_OK)
        *out = fields.config;
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * The UNet as a row of segments (resnets and transformers), each with what it
 * keeps for its backward pass and how many gradients it makes. Going back
 * through the row, the first falls and the second grows: the peak is the
 * largest sum. Counted in floats for each image pixel, as the operations in
 * grad/ keep their inputs.
 */
#include "train/activations.h"

#include <string.h>

/* 2 for each pair on the way down and up, and those in between. */
#define SEGMENTS_MAX 512

struct segment {
    uint64_t input;      /* floats: kept even when recomputed */
    uint64_t inner;      /* kept besides, unless recomputed */
    int number;          /* as the tape counts; -1: never recomputed */
    uint64_t gradients;  /* of the parameters */
    uint64_t temporary;  /* while the segment is run backwards */
    uint64_t skip_made;  /* gradients of a skip that wait for the way down */
    uint64_t skip_taken; /* such that are used up here */
};

struct walk {
    const struct db_unet_config *config;
    uint64_t rows, height, width; /* of the level at hand */
    struct segment segments[SEGMENTS_MAX];
    size_t count;
    int numbers;       /* of the tape's segments so far */
    uint64_t gradient; /* bytes of one */
};

static struct segment *add(struct walk *walk)
{
    static const struct segment none = {.number = -1};
    size_t last = walk->count < SEGMENTS_MAX ? walk->count++ : SEGMENTS_MAX - 1;

    walk->segments[last] = none;
    return &walk->segments[last];
}

static uint64_t pixels(const struct walk *walk)
{
    return walk->rows * walk->height * walk->width;
}

/* Norms and convolutions each keep their input, twice over. */
static struct segment *add_resnet(struct walk *walk, uint64_t inputs,
                                  uint64_t outputs)
{
    struct segment *segment = add(walk);
    uint64_t time = 4 * (uint64_t)walk->config->block_out_channels[0];

    segment->number = walk->numbers++;
    segment->input = pixels(walk) * inputs;
    segment->inner = pixels(walk) * (inputs + 2 * outputs);
    segment->temporary = pixels(walk) * 2 * (inputs + outputs);
    segment->gradients = 9 * outputs * (inputs + outputs) +
                         (inputs != outputs ? inputs * outputs : 0) +
                         time * outputs;
    return segment;
}

/*
 * Norm and projection 2, self-attention 6 (norm, input, q, k, v, output),
 * cross-attention 4, feed-forward 2 + 8 + 4, projection out 1: all in units of
 * the channels.
 */
static void add_transformer(struct walk *walk, int64_t level)
{
    struct segment *segment = add(walk);
    const struct db_unet_config *config = walk->config;
    uint64_t channels = (uint64_t)config->block_out_channels[level];
    uint64_t layers = (uint64_t)config->transformer_layers[level];
    uint64_t context = (uint64_t)config->cross_attention_dim[level];

    segment->number = walk->numbers++;
    segment->input = pixels(walk) * channels;
    segment->inner = pixels(walk) * channels * (2 + 24 * layers);
    segment->temporary = pixels(walk) * channels * 15;
    segment->gradients =
        channels * (2 * channels + layers * (18 * channels + 2 * context));
}

static void walk_down(struct walk *walk, int64_t level)
{
    const struct db_unet_config *config = walk->config;
    uint64_t channels = (uint64_t)config->block_out_channels[level];
    uint64_t inputs =
        (uint64_t)config->block_out_channels[level > 0 ? level - 1 : 0];
    int64_t i;

    for (i = 0; i < config->layers_per_block[level]; i++) {
        struct segment *segment =
            add_resnet(walk, i == 0 ? inputs : channels, channels);

        segment->skip_taken = segment->input;
        if (config->down_attention[level])
            add_transformer(walk, level);
    }
    if (level < config->levels - 1) {
        struct segment *segment = add(walk);

        segment->input = segment->skip_taken = pixels(walk) * channels;
        segment->gradients = 9 * channels * channels;
        walk->height = (walk->height + 1) / 2;
        walk->width = (walk->width + 1) / 2;
    }
}

static void walk_up(struct walk *walk, int64_t level)
{
    const struct db_unet_config *config = walk->config;
    int64_t last = config->levels - 1;
    uint64_t channels = (uint64_t)config->block_out_channels[level];
    uint64_t below =
        (uint64_t)config->block_out_channels[level < last ? level + 1 : last];
    uint64_t above =
        (uint64_t)config->block_out_channels[level > 0 ? level - 1 : 0];
    int64_t count = config->layers_per_block[level] + 1;
    int64_t i;

    for (i = 0; i < count; i++) {
        uint64_t skip = i == count - 1 ? above : channels;
        struct segment *segment =
            add_resnet(walk, (i == 0 ? below : channels) + skip, channels);

        segment->skip_made = pixels(walk) * skip;
        if (config->up_attention[last - level])
            add_transformer(walk, level);
    }
    if (level > 0) {
        struct segment *segment = add(walk);

        walk->height *= 2;
        walk->width *= 2;
        segment->input = pixels(walk) * channels;
        segment->gradients = 9 * channels * channels;
        segment->temporary = 2 * segment->input;
    }
}

static void walk_unet(struct walk *walk)
{
    const struct db_unet_config *config = walk->config;
    uint64_t first = (uint64_t)config->block_out_channels[0];
    int64_t last = config->levels - 1;
    struct segment *segment;
    int64_t level;

    for (level = 0; level <= last; level++)
        walk_down(walk, level);
    add_resnet(walk, (uint64_t)config->block_out_channels[last],
               (uint64_t)config->block_out_channels[last]);
    add_transformer(walk, last);
    add_resnet(walk, (uint64_t)config->block_out_channels[last],
               (uint64_t)config->block_out_channels[last]);
    for (level = last; level >= 0; level--)
        walk_up(walk, level);
    segment = add(walk); /* the norm, SiLU and convolution at the end */
    segment->input = 3 * pixels(walk) * first;
    segment->temporary = 2 * pixels(walk) * first;
}

static bool is_kept(const struct db_segments *kept, int number)
{
    return number < 0 || (number < DB_SEGMENTS &&
                          (kept->bits[number / 64] >> number % 64 & 1) != 0);
}

/* The largest sum on the way back, in bytes. */
static uint64_t peak_of(const struct walk *walk, const struct db_segments *kept)
{
    uint64_t floats = 0, gradients = 0, skips = 0, peak = 0;
    size_t i;

    for (i = 0; i < walk->count; i++)
        floats +=
            walk->segments[i].input + (is_kept(kept, walk->segments[i].number)
                                           ? walk->segments[i].inner
                                           : 0);
    for (i = walk->count; i-- > 0;) {
        const struct segment *segment = &walk->segments[i];
        bool again = !is_kept(kept, segment->number);
        uint64_t now;

        gradients += segment->gradients;
        skips += segment->skip_made;
        now = (floats + skips + segment->temporary +
               (again ? segment->inner : 0)) *
                  sizeof(float) +
              gradients * walk->gradient;
        if (now > peak)
            peak = now;
        floats -= segment->input + (again ? 0 : segment->inner);
        skips -= segment->skip_taken < skips ? segment->skip_taken : skips;
    }
    return peak;
}

/* The text encoder's layers keep 16 numbers a channel and position. */
static uint64_t text_floats(const struct db_pipeline *pipeline,
                            const struct db_trainer_settings *settings,
                            uint64_t rows)
{
    const struct db_text_encoder_config *config =
        &pipeline->text_encoder->config;

    if (!settings->train_text_encoder)
        return 0;
    return rows * 16 *
           (uint64_t)(config->max_position_embeddings * config->hidden_size *
                      config->num_hidden_layers);
}

/* What encoding one image takes: a resnet at the full size. */
static uint64_t vae_floats(const struct db_pipeline *pipeline,
                           const struct db_trainer_settings *settings)
{
    uint64_t side = (uint64_t)settings->size;

    return 4 * side * side *
           (uint64_t)pipeline->vae->config.block_out_channels[0];
}

static void walk_pipeline(struct walk *walk, const struct db_pipeline *pipeline,
                          const struct db_trainer_settings *settings)
{
    memset(walk, 0, sizeof(*walk));
    walk->config = &pipeline->unet->config;
    walk->rows =
        (uint64_t)settings->batch * (db_trainer_has_prior(settings) ? 2 : 1);
    walk->height = walk->width =
        (uint64_t)(settings->size / pipeline->vae->factor);
    walk->gradient = settings->gradients == DB_GRADIENTS_F32 ? 4 : 2;
    if (settings->train_text_encoder) /* whose layers come first */
        walk->numbers = (int)pipeline->text_encoder->config.num_hidden_layers;
    walk_unet(walk);
}

/* What a step takes with the segments KEPT. */
static uint64_t whole_peak(const struct walk *walk,
                           const struct db_pipeline *pipeline,
                           const struct db_trainer_settings *settings,
                           const struct db_segments *kept, uint64_t gradients)
{
    uint64_t text = text_floats(pipeline, settings, walk->rows) * sizeof(float);
    uint64_t encoding = vae_floats(pipeline, settings) * sizeof(float);
    uint64_t peak = peak_of(walk, kept) + text;

    if (peak < gradients)
        peak = gradients;
    return peak > encoding ? peak : encoding;
}

uint64_t db_activations_peak(const struct db_pipeline *pipeline,
                             const struct db_trainer_settings *settings,
                             const struct db_segments *kept, uint64_t gradients)
{
    struct walk walk;

    walk_pipeline(&walk, pipeline, settings);
    return whole_peak(&walk, pipeline, settings, kept, gradients);
}

void db_activations_keep(const struct db_pipeline *pipeline,
                         const struct db_trainer_settings *settings,
                         uint64_t gradients, uint64_t budget,
                         struct db_segments *kept)
{
    struct walk walk;
    size_t i;

    memset(kept, 0, sizeof(*kept));
    walk_pipeline(&walk, pipeline, settings);
    for (i = walk.count; i-- > 0;) {
        struct db_segments more = *kept;
        int number = walk.segments[i].number;

        if (number < 0 || number >= DB_SEGMENTS)
            continue;
        more.bits[number / 64] |= (uint64_t)1 << number % 64;
        if (whole_peak(&walk, pipeline, settings, &more, gradients) <= budget)
            *kept = more;
    }
}

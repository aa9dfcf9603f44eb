/* SPDX-License-Identifier: MIT */
/*
 * The noise schedule: how much of an image is left at each timestep of the
 * diffusion process, and what follows from that for training: noising, the
 * target of the loss, its weight.
 *
 * z_t = sqrt(alphas_cumprod[t]) z + sqrt(1 - alphas_cumprod[t]) noise, t in
 * 0..num_train_timesteps-1 (Ho et al., 2020, "Denoising diffusion probabilistic
 * models", equation 4). Arithmetic is in float where diffusers' is, so that
 * values agree to the last bits.
 */
#ifndef DB_DIFFUSION_SCHEDULE_H
#define DB_DIFFUSION_SCHEDULE_H

#include "base/env.h"
#include "base/option.h"

enum db_beta_schedule {
    DB_BETA_LINEAR,
    DB_BETA_SCALED_LINEAR,     /* linear in the square root */
    DB_BETA_SQUAREDCOS_CAP_V2, /* Nichol and Dhariwal's cosine */
    DB_BETA_SIGMOID
};

enum db_prediction_type {
    DB_PREDICTION_EPSILON, /* the model's output is the noise */
    DB_PREDICTION_V,       /* sqrt(ab) noise - sqrt(1 - ab) z */
    DB_PREDICTION_SAMPLE   /* z itself */
};

enum db_timestep_spacing {
    DB_SPACING_LEADING,
    DB_SPACING_TRAILING,
    DB_SPACING_LINSPACE
};

enum db_variance_type {
    DB_VARIANCE_FIXED_SMALL,
    DB_VARIANCE_FIXED_SMALL_LOG,
    DB_VARIANCE_FIXED_LARGE,
    DB_VARIANCE_FIXED_LARGE_LOG,
    DB_VARIANCE_LEARNED,
    DB_VARIANCE_LEARNED_RANGE
};

/*
 * A scheduler_config.json of diffusers: the union of what the schedulers of
 * this library read. Which fields the file stated is kept, because those that
 * it did not have other defaults for other samplers: see
 * db_stepper_resolve_config().
 */
struct db_schedule_config {
    int64_t num_train_timesteps;
    double beta_start, beta_end;
    int beta_schedule;     /* enum db_beta_schedule */
    float *trained_betas;  /* [num_train_timesteps] or NULL; owned */
    int64_t trained_count; /* of trained_betas */
    int prediction_type;   /* enum db_prediction_type */
    int timestep_spacing;  /* enum db_timestep_spacing */
    int64_t steps_offset;
    bool set_alpha_to_one;
    bool skip_prk_steps;
    bool clip_sample;
    double clip_sample_range;
    bool thresholding;
    double dynamic_thresholding_ratio;
    double sample_max_value;
    bool rescale_betas_zero_snr;
    int variance_type; /* enum db_variance_type */
    uint32_t given;    /* bit i: row i of the table was set */
};

/* The fields above but trained_betas, by diffusers' names ('_' or '-'). */
extern const struct db_option_table db_schedule_config_table;

/* Everything at its default, nothing given. */
int db_schedule_config_init(struct db_env *env,
                            struct db_schedule_config *config);
void db_schedule_config_release(struct db_env *env,
                                struct db_schedule_config *config);
int db_schedule_config_copy(struct db_env *env, struct db_schedule_config *to,
                            const struct db_schedule_config *from);

/*
 * Set a field by name and mark it as given. A JSON string goes through set(),
 * true and false as "true" and "false", and a number through set_real(); null
 * means not given. ENOTFOUND for a name that is no field, EINVAL for a value.
 */
int db_schedule_config_set(struct db_env *env,
                           struct db_schedule_config *config, const char *name,
                           const char *text);
int db_schedule_config_set_real(struct db_env *env,
                                struct db_schedule_config *config,
                                const char *name, double value);
/* The values are copied. EINVAL for one outside 0..1. */
int db_schedule_config_set_betas(struct db_env *env,
                                 struct db_schedule_config *config,
                                 const double *betas, int64_t count);
bool db_schedule_config_given(const struct db_schedule_config *config,
                              const char *name);

/*
 * Corrects what old configs of Stable Diffusion state wrongly, as diffusers'
 * pipeline does when it loads one: steps_offset is 1, and latents are not
 * clipped. For models of latents, before a sampler is made.
 */
void db_schedule_config_correct(struct db_schedule_config *config);

struct db_schedule {
    int64_t count; /* num_train_timesteps */
    enum db_prediction_type prediction_type;
    float *betas;          /* [count] */
    float *alphas_cumprod; /* [count], falling */
    struct db_env *env;
};

/* EINVAL when the numbers do not make a schedule (trained_betas of another
 * length). The config is not kept. */
int db_schedule_new(struct db_env *env, const struct db_schedule_config *config,
                    struct db_schedule **out);
void db_schedule_free(struct db_schedule *schedule); /* NULL is fine */

/* The signal-to-noise ratio ab / (1 - ab) at a timestep. */
double db_schedule_snr(const struct db_schedule *schedule, int64_t timestep);

/*
 * The weight of a timestep's loss after Hang et al., 2023, "Efficient diffusion
 * training via min-SNR weighting strategy": min(snr, gamma) for a model that
 * predicts the sample, and what amounts to the same for the others: divided by
 * snr for epsilon, by snr + 1 for v. GAMMA > 0, usually 5.
 */
double db_schedule_min_snr_weight(const struct db_schedule *schedule,
                                  int64_t timestep, double gamma);

/* out = sqrt(ab) sample + sqrt(1 - ab) noise, of COUNT numbers each; OUT may be
 * SAMPLE or NOISE here and below. */
void db_schedule_add_noise(const struct db_schedule *schedule, int64_t timestep,
                           const float *sample, const float *noise,
                           int64_t count, float *out);
/* out = sqrt(ab) noise - sqrt(1 - ab) sample (Salimans and Ho, 2022). */
void db_schedule_velocity(const struct db_schedule *schedule, int64_t timestep,
                          const float *sample, const float *noise,
                          int64_t count, float *out);
/* What the model should have predicted: noise, velocity or sample. */
void db_schedule_target(const struct db_schedule *schedule, int64_t timestep,
                        const float *sample, const float *noise, int64_t count,
                        float *out);

#endif

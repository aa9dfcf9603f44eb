/* SPDX-License-Identifier: MIT */
/*
 * Pseudo numerical methods (Liu et al., 2022, "Pseudo numerical methods for
 * diffusion models on manifolds"): the step of DDIM, equation 9, taken with a
 * combination of several model outputs instead of the last one: a linear
 * multistep formula (PLMS), started either by three Runge-Kutta steps of four
 * calls (PRK) or by one repeated step.
 *
 * Every call is planned in advance: between which timesteps it moves the
 * sample, and by which rule it combines.
 */
#include <math.h>
#include <string.h>

#include "diffusion/stepper_int.h"

#define HISTORY 4
#define PRK_STEPS 3

enum rule {
    RULE_MULTISTEP, /* the order grows with the history */
    RULE_FIRST,     /* as that; keeps the sample for the next */
    RULE_REPEAT,    /* the first step again with the mean of both outputs */
    RULE_PRK_1,     /* the four calls of a Runge-Kutta step */
    RULE_PRK_2,
    RULE_PRK_3,
    RULE_PRK_4
};

struct call {
    int64_t from, to; /* timesteps */
    enum rule rule;
};

struct state {
    struct call *calls;
    float *history[HISTORY]; /* outputs, the newest first */
    int known;               /* how many of them */
    float *kept;             /* the sample that a start goes back to */
    float *sum;              /* of the outputs of a Runge-Kutta step */
    float *combined;
};

static void end(struct db_stepper *stepper)
{
    struct state *state = stepper->state;
    int i;

    if (state == NULL)
        return;
    db_free(stepper->env, state->calls);
    for (i = 0; i < HISTORY; i++)
        db_free(stepper->env, state->history[i]);
    db_free(stepper->env, state->kept);
    db_free(stepper->env, state->sum);
    db_free(stepper->env, state->combined);
    db_free(stepper->env, state);
}

/* Timestep INDEX of the steps, the noisiest first. */
static int64_t whole_timestep(const struct db_stepper *stepper, int64_t index)
{
    return (int64_t)rint(db_spaced_timestep(stepper, index));
}

static void plan_call(struct db_stepper *stepper, int64_t call,
                      int64_t timestep, int64_t from, int64_t to,
                      enum rule rule)
{
    struct state *state = stepper->state;

    stepper->timesteps[call] = (float)timestep;
    state->calls[call] = (struct call){from, to, rule};
}

/* N steps are N + 1 calls: the second timestep comes twice. */
static void plan_repeated_start(struct db_stepper *stepper)
{
    int64_t distance = stepper->schedule->count / stepper->settings.steps;
    int64_t call, t = whole_timestep(stepper, 0);

    plan_call(stepper, 0, t, t, t - distance, RULE_FIRST);
    for (call = 1; call < stepper->calls; call++) {
        t = whole_timestep(stepper, call == 1 ? 1 : call - 1);
        if (call == 1)
            plan_call(stepper, call, t, t + distance, t, RULE_REPEAT);
        else
            plan_call(stepper, call, t, t, t - distance, RULE_MULTISTEP);
    }
}

/*
 * The three first steps take four calls each: at the step's start, twice half
 * way (HALF before the next step's timestep, as diffusers has it), at its end.
 */
static void plan_runge_kutta_start(struct db_stepper *stepper)
{
    int64_t distance = stepper->schedule->count / stepper->settings.steps;
    int64_t half = distance / 2, call = 0, step, t, next;

    for (step = 0; step < PRK_STEPS; step++) {
        t = whole_timestep(stepper, step);
        next = whole_timestep(stepper, step + 1);
        plan_call(stepper, call++, t, t, t - half, RULE_PRK_1);
        plan_call(stepper, call++, next + half, t, next + half, RULE_PRK_2);
        plan_call(stepper, call++, next + half, t, next, RULE_PRK_3);
        plan_call(stepper, call++, next, t, next, RULE_PRK_4);
    }
    for (; step < stepper->settings.steps; step++) {
        t = whole_timestep(stepper, step);
        plan_call(stepper, call++, t, t, t - distance, RULE_MULTISTEP);
    }
}

static int check_config(struct db_stepper *stepper)
{
    if (stepper->schedule->prediction_type == DB_PREDICTION_SAMPLE)
        return db_fail(
            stepper->env, DREAMBOOTH_EUNSUPPORTED,
            "prediction_type \"sample\" does not go with the sampler "
            "pndm; ddim and ddpm take it");
    if (!stepper->config.skip_prk_steps && stepper->settings.steps <= PRK_STEPS)
        return db_fail(stepper->env, DREAMBOOTH_EINVAL,
                       "%lld steps: the sampler pndm needs at least %d, unless "
                       "the model's config has skip_prk_steps",
                       (long long)stepper->settings.steps, PRK_STEPS + 1);
    return DREAMBOOTH_OK;
}

static float *new_array(struct db_stepper *stepper)
{
    return db_alloc_array(stepper->env, (size_t)stepper->count, sizeof(float));
}

static int allocate(struct db_stepper *stepper)
{
    struct db_env *env = stepper->env;
    size_t calls = (size_t)stepper->calls;
    struct state *state = db_alloc_zero(env, sizeof(*state));
    int i;

    stepper->state = state;
    if (state == NULL)
        return env->error_status;
    stepper->timesteps = db_alloc_array(env, calls, sizeof(float));
    if (stepper->timesteps == NULL)
        return env->error_status;
    state->calls = db_alloc_array(env, calls, sizeof(*state->calls));
    if (state->calls == NULL)
        return env->error_status;
    for (i = 0; i < HISTORY; i++) {
        state->history[i] = new_array(stepper);
        if (state->history[i] == NULL)
            return env->error_status;
    }
    state->kept = new_array(stepper);
    state->sum = new_array(stepper);
    state->combined = new_array(stepper);
    if (state->kept == NULL || state->sum == NULL || state->combined == NULL)
        return env->error_status;
    return DREAMBOOTH_OK;
}

static int begin(struct db_stepper *stepper)
{
    const struct call *calls;
    int64_t steps = stepper->settings.steps, i;
    int status = check_config(stepper);

    if (status != DREAMBOOTH_OK)
        return status;
    if (!stepper->config.skip_prk_steps)
        stepper->calls = steps + 3 * PRK_STEPS;
    else
        stepper->calls = steps > 1 ? steps + 1 : 1;
    status = allocate(stepper);
    if (status != DREAMBOOTH_OK)
        return status;
    if (stepper->config.skip_prk_steps)
        plan_repeated_start(stepper);
    else
        plan_runge_kutta_start(stepper);
    calls = ((struct state *)stepper->state)->calls;
    for (i = 0; i < stepper->calls && status == DREAMBOOTH_OK; i++)
        status = db_stepper_check_timestep(stepper, calls[i].from);
    return status;
}

/* Puts OUTPUT in front of the history; the oldest falls out. */
static void remember(struct db_stepper *stepper, const float *output)
{
    struct state *state = stepper->state;
    float *fresh = state->history[HISTORY - 1];

    memmove(state->history + 1, state->history,
            (HISTORY - 1) * sizeof(state->history[0]));
    state->history[0] = fresh;
    memcpy(fresh, output, (size_t)stepper->count * sizeof(*output));
    if (state->known < HISTORY)
        state->known++;
}

/* Adams and Bashforth's formulas, of the order that the history allows. */
static void combine_history(struct db_stepper *stepper)
{
    struct state *state = stepper->state;
    const float *e1 = state->history[0], *e2 = state->history[1];
    const float *e3 = state->history[2], *e4 = state->history[3];
    float *out = state->combined;
    int64_t i;

    for (i = 0; i < stepper->count; i++) {
        if (state->known == 1)
            out[i] = e1[i];
        else if (state->known == 2)
            out[i] = (3 * e1[i] - e2[i]) / 2;
        else if (state->known == 3)
            out[i] = (23 * e1[i] - 16 * e2[i] + 5 * e3[i]) / 12;
        else
            out[i] = (float)(1.0 / 24) *
                     (55 * e1[i] - 59 * e2[i] + 37 * e3[i] - 9 * e4[i]);
    }
}

/* One call of a Runge-Kutta step: the outputs count 1/6, 1/3, 1/3 and 1/6; the
 * first three calls move the sample by their own output alone. */
static void combine_runge_kutta(struct db_stepper *stepper, enum rule rule,
                                const float *output, const float *sample)
{
    const float share =
        (float)(rule == RULE_PRK_1 || rule == RULE_PRK_4 ? 1.0 / 6 : 1.0 / 3);
    struct state *state = stepper->state;
    size_t bytes = (size_t)stepper->count * sizeof(float);
    int64_t i;

    if (rule == RULE_PRK_1) {
        remember(stepper, output);
        memcpy(state->kept, sample, bytes);
        memset(state->sum, 0, bytes);
    }
    for (i = 0; i < stepper->count; i++)
        state->sum[i] += share * output[i];
    memcpy(state->combined, rule == RULE_PRK_4 ? state->sum : output, bytes);
}

/* Combines the outputs so far; gives the sample that the call starts from. */
static const float *combine(struct db_stepper *stepper, enum rule rule,
                            const float *output, const float *sample)
{
    struct state *state = stepper->state;
    int64_t i;

    switch (rule) {
    case RULE_FIRST:
        memcpy(state->kept, sample, (size_t)stepper->count * sizeof(float));
        /* fall through */
    case RULE_MULTISTEP:
        remember(stepper, output);
        combine_history(stepper);
        return sample;
    case RULE_REPEAT:
        for (i = 0; i < stepper->count; i++)
            state->combined[i] = (output[i] + state->history[0][i]) / 2;
        return state->kept;
    default:
        combine_runge_kutta(stepper, rule, output, sample);
        return state->kept;
    }
}

static void step_pndm(struct db_stepper *stepper, int64_t step,
                      const float *output, float *sample, const float *noise)
{
    const struct db_schedule *schedule = stepper->schedule;
    struct state *state = stepper->state;
    const struct call *call = &state->calls[step];
    float final =
        stepper->config.set_alpha_to_one ? 1 : schedule->alphas_cumprod[0];
    float alpha = db_alpha_at(stepper, call->from, final);
    float alpha_to = db_alpha_at(stepper, call->to, final);
    float a = sqrtf(alpha), b = sqrtf(1 - alpha);
    float of_sample = sqrtf(alpha_to / alpha);
    float divisor =
        alpha * sqrtf(1 - alpha_to) + sqrtf(alpha * (1 - alpha) * alpha_to);
    const float *start = combine(stepper, call->rule, output, sample);
    int64_t i;

    (void)noise;
    for (i = 0; i < stepper->count; i++) {
        float epsilon = state->combined[i];

        if (schedule->prediction_type == DB_PREDICTION_V)
            epsilon = a * epsilon + b * start[i];
        sample[i] =
            of_sample * start[i] - (alpha_to - alpha) * epsilon / divisor;
    }
}

const struct db_stepper_class db_stepper_pndm = {.class_name = "PNDMScheduler",
                                                 .begin = begin,
                                                 .end = end,
                                                 .step = step_pndm};

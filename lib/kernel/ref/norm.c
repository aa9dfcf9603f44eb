/* SPDX-License-Identifier: MIT */
/*
 * Group and layer normalisation. A layer norm is a group norm of one pixel and
 * one group, so both run on the same two functions over one group of values.
 * The statistics take two passes: with a large mean, E[x^2] - E[x]^2 has no
 * digits left.
 *
 * With xhat = (x - mean) rstd and dxhat = dy weight,
 *     dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)).
 */
#include "kernel/ref/ref_int.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Values [rows, width] with STRIDE between rows, normalised together, and their
 * weights and biases. */
struct group {
    int64_t rows;
    int64_t width;
    int64_t stride;
    bool silu;
    const float *weight, *bias;
};

static void group_forward(struct group g, float epsilon, const float *x,
                          float *y, float *mean_out, float *rstd_out)
{
    const double count = (double)(g.rows * g.width);
    double mean = 0.0;
    double variance = 0.0;
    double rstd;
    int64_t r;
    int64_t i;

    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++)
            mean += (double)x[r * g.stride + i];
    mean /= count;
    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++) {
            double apart = (double)x[r * g.stride + i] - mean;

            variance += apart * apart;
        }
    rstd = 1.0 / sqrt(variance / count + (double)epsilon);
    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++) {
            double xhat = ((double)x[r * g.stride + i] - mean) * rstd;
            double z = xhat * (double)g.weight[i] + (double)g.bias[i];

            y[r * g.stride + i] = (float)(g.silu ? db_ref_silu(z) : z);
        }
    *mean_out = (float)mean;
    *rstd_out = (float)rstd;
}

/* dy of channel I, before the SiLU if there is one */
static double slope_within(const struct group *g, int64_t i, double xhat,
                           float dy)
{
    if (!g->silu)
        return (double)dy;
    return (double)dy *
           db_ref_silu_slope(xhat * (double)g->weight[i] + (double)g->bias[i]);
}

static void group_backward(struct group g, const float *x, const float *dy,
                           double mean, double rstd, float *dx)
{
    const double count = (double)(g.rows * g.width);
    double sum = 0.0;
    double product = 0.0;
    int64_t r;
    int64_t i;

    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++) {
            double xhat = ((double)x[r * g.stride + i] - mean) * rstd;
            double dxhat = slope_within(&g, i, xhat, dy[r * g.stride + i]) *
                           (double)g.weight[i];

            sum += dxhat;
            product += dxhat * xhat;
        }
    sum /= count;
    product /= count;
    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++) {
            double xhat = ((double)x[r * g.stride + i] - mean) * rstd;
            double dxhat = slope_within(&g, i, xhat, dy[r * g.stride + i]) *
                           (double)g.weight[i];

            dx[r * g.stride + i] =
                (float)(rstd * (dxhat - sum - xhat * product));
        }
}

/* Adds sums[i] to out[i], unless there is no out. */
static void add_sums(float *out, const double *sums, int64_t count)
{
    int64_t i;

    for (i = 0; out != NULL && i < count; i++)
        out[i] = (float)((double)out[i] + sums[i]);
}

/* Group I, counted over all images, and where its values begin. */
static struct group group_at(const dreambooth_group_norm *a, int64_t i,
                             int64_t *at)
{
    const int64_t width = a->channels / a->groups;
    const int64_t first = i % a->groups * width;
    const struct group g = {a->pixels,         width,
                            a->channels,       a->silu != 0,
                            a->weight + first, a->bias + first};

    *at = i / a->groups * a->pixels * a->channels + first;
    return g;
}

int db_ref_group_norm_forward(const dreambooth_kernel_host *host,
                              const dreambooth_group_norm *a)
{
    int64_t at, i;

    (void)host;
    for (i = 0; i < a->batch * a->groups; i++) {
        const struct group g = group_at(a, i, &at);

        group_forward(g, a->epsilon, a->x + at, a->y + at, &a->mean[i],
                      &a->rstd[i]);
    }
    return DREAMBOOTH_OK;
}

/* dweight and dbias of the channels first .. first + width - 1 */
static void group_norm_parameters(const dreambooth_group_norm *a, int64_t first,
                                  int64_t width)
{
    const struct group whole = {
        .silu = a->silu != 0, .weight = a->weight, .bias = a->bias};
    const int64_t group_width = a->channels / a->groups;
    double dweight[DB_REF_BLOCK] = {0};
    double dbias[DB_REF_BLOCK] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < a->batch * a->pixels; r++)
        for (i = 0; i < width; i++) {
            int64_t at = r * a->channels + first + i;
            int64_t group =
                r / a->pixels * a->groups + (first + i) / group_width;
            double xhat = ((double)a->x[at] - (double)a->mean[group]) *
                          (double)a->rstd[group];
            double slope = slope_within(&whole, first + i, xhat, a->dy[at]);

            dweight[i] += slope * xhat;
            dbias[i] += slope;
        }
    add_sums(a->dweight == NULL ? NULL : a->dweight + first, dweight, width);
    add_sums(a->dbias == NULL ? NULL : a->dbias + first, dbias, width);
}

/* dx comes last: it may lie on dy. */
int db_ref_group_norm_backward(const dreambooth_kernel_host *host,
                               const dreambooth_group_norm *a)
{
    int64_t at, i;

    (void)host;
    for (i = 0; i < a->channels; i += DB_REF_BLOCK)
        if (a->dweight != NULL || a->dbias != NULL)
            group_norm_parameters(a, i,
                                  a->channels - i < DB_REF_BLOCK
                                      ? a->channels - i
                                      : DB_REF_BLOCK);
    for (i = 0; a->dx != NULL && i < a->batch * a->groups; i++) {
        const struct group g = group_at(a, i, &at);

        group_backward(g, a->x + at, a->dy + at, (double)a->mean[i],
                       (double)a->rstd[i], a->dx + at);
    }
    return DREAMBOOTH_OK;
}

int db_ref_layer_norm_forward(const dreambooth_kernel_host *host,
                              const dreambooth_layer_norm *a)
{
    const struct group g = {1,     a->channels, a->channels,
                            false, a->weight,   a->bias};
    int64_t r;

    (void)host;
    for (r = 0; r < a->rows; r++)
        group_forward(g, a->epsilon, a->x + r * a->channels,
                      a->y + r * a->channels, &a->mean[r], &a->rstd[r]);
    return DREAMBOOTH_OK;
}

/* dweight and dbias of the channels first .. first + width - 1 */
static void layer_norm_parameters(const dreambooth_layer_norm *a, int64_t first,
                                  int64_t width)
{
    double dweight[DB_REF_BLOCK] = {0};
    double dbias[DB_REF_BLOCK] = {0};
    int64_t r;
    int64_t i;

    for (r = 0; r < a->rows; r++)
        for (i = 0; i < width; i++) {
            int64_t at = r * a->channels + first + i;
            double xhat =
                ((double)a->x[at] - (double)a->mean[r]) * (double)a->rstd[r];

            dweight[i] += (double)a->dy[at] * xhat;
            dbias[i] += (double)a->dy[at];
        }
    add_sums(a->dweight == NULL ? NULL : a->dweight + first, dweight, width);
    add_sums(a->dbias == NULL ? NULL : a->dbias + first, dbias, width);
}

int db_ref_layer_norm_backward(const dreambooth_kernel_host *host,
                               const dreambooth_layer_norm *a)
{
    const struct group g = {1,     a->channels, a->channels,
                            false, a->weight,   NULL};
    int64_t i;

    (void)host;
    for (i = 0; i < a->channels; i += DB_REF_BLOCK)
        if (a->dweight != NULL || a->dbias != NULL)
            layer_norm_parameters(a, i,
                                  a->channels - i < DB_REF_BLOCK
                                      ? a->channels - i
                                      : DB_REF_BLOCK);
    for (i = 0; a->dx != NULL && i < a->rows; i++)
        group_backward(g, a->x + i * a->channels, a->dy + i * a->channels,
                       (double)a->mean[i], (double)a->rstd[i],
                       a->dx + i * a->channels);
    return DREAMBOOTH_OK;
}

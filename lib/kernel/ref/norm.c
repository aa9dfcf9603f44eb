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
#include <stddef.h>

/* Values [rows, width] with STRIDE between rows, normalised together. */
struct group {
    int64_t rows;
    int64_t width;
    int64_t stride;
};

static void group_forward(struct group g, float epsilon, const float *x,
                          const float *weight, const float *bias, float *y,
                          float *mean_out, float *rstd_out)
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

            y[r * g.stride + i] =
                (float)(xhat * (double)weight[i] + (double)bias[i]);
        }
    *mean_out = (float)mean;
    *rstd_out = (float)rstd;
}

static void group_backward(struct group g, const float *x, const float *weight,
                           const float *dy, double mean, double rstd, float *dx)
{
    const double count = (double)(g.rows * g.width);
    double sum = 0.0;
    double product = 0.0;
    int64_t r;
    int64_t i;

    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++) {
            double dxhat = (double)dy[r * g.stride + i] * (double)weight[i];

            sum += dxhat;
            product += dxhat * ((double)x[r * g.stride + i] - mean) * rstd;
        }
    sum /= count;
    product /= count;
    for (r = 0; r < g.rows; r++)
        for (i = 0; i < g.width; i++) {
            double dxhat = (double)dy[r * g.stride + i] * (double)weight[i];
            double xhat = ((double)x[r * g.stride + i] - mean) * rstd;

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

int db_ref_group_norm_forward(const dreambooth_kernel_host *host,
                              const dreambooth_group_norm *a)
{
    const struct group g = {a->pixels, a->channels / a->groups, a->channels};
    int64_t i;

    (void)host;
    for (i = 0; i < a->batch * a->groups; i++) {
        int64_t first = i % a->groups * g.width;
        int64_t at = i / a->groups * a->pixels * a->channels + first;

        group_forward(g, a->epsilon, a->x + at, a->weight + first,
                      a->bias + first, a->y + at, &a->mean[i], &a->rstd[i]);
    }
    return DREAMBOOTH_OK;
}

/* dweight and dbias of the channels first .. first + width - 1 */
static void group_norm_parameters(const dreambooth_group_norm *a, int64_t first,
                                  int64_t width)
{
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

            dweight[i] += (double)a->dy[at] * xhat;
            dbias[i] += (double)a->dy[at];
        }
    add_sums(a->dweight == NULL ? NULL : a->dweight + first, dweight, width);
    add_sums(a->dbias == NULL ? NULL : a->dbias + first, dbias, width);
}

int db_ref_group_norm_backward(const dreambooth_kernel_host *host,
                               const dreambooth_group_norm *a)
{
    const struct group g = {a->pixels, a->channels / a->groups, a->channels};
    int64_t i;

    (void)host;
    for (i = 0; a->dx != NULL && i < a->batch * a->groups; i++) {
        int64_t first = i % a->groups * g.width;
        int64_t at = i / a->groups * a->pixels * a->channels + first;

        group_backward(g, a->x + at, a->weight + first, a->dy + at,
                       (double)a->mean[i], (double)a->rstd[i], a->dx + at);
    }
    if (a->dweight == NULL && a->dbias == NULL)
        return DREAMBOOTH_OK;
    for (i = 0; i < a->channels; i += DB_REF_BLOCK)
        group_norm_parameters(a, i,
                              a->channels - i < DB_REF_BLOCK ? a->channels - i
                                                             : DB_REF_BLOCK);
    return DREAMBOOTH_OK;
}

int db_ref_layer_norm_forward(const dreambooth_kernel_host *host,
                              const dreambooth_layer_norm *a)
{
    const struct group g = {1, a->channels, a->channels};
    int64_t r;

    (void)host;
    for (r = 0; r < a->rows; r++)
        group_forward(g, a->epsilon, a->x + r * a->channels, a->weight, a->bias,
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
    const struct group g = {1, a->channels, a->channels};
    int64_t i;

    (void)host;
    for (i = 0; a->dx != NULL && i < a->rows; i++)
        group_backward(g, a->x + i * a->channels, a->weight,
                       a->dy + i * a->channels, (double)a->mean[i],
                       (double)a->rstd[i], a->dx + i * a->channels);
    if (a->dweight == NULL && a->dbias == NULL)
        return DREAMBOOTH_OK;
    for (i = 0; i < a->channels; i += DB_REF_BLOCK)
        layer_norm_parameters(a, i,
                              a->channels - i < DB_REF_BLOCK ? a->channels - i
                                                             : DB_REF_BLOCK);
    return DREAMBOOTH_OK;
}

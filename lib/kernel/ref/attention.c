/* SPDX-License-Identifier: MIT */
/*
 * Attention, one query at a time: only one row of scores is ever held.
 *
 * With p = exp(s - lse) and D = sum(dy y) of a query,
 *     ds = p (dy v^T - D), dq = scale ds k, dk = scale ds^T q, dv = p^T dy
 * (Dao et al. 2022, "FlashAttention", appendix B).
 */
#include "kernel/ref/ref_int.h"

#include <math.h>
#include <string.h>

static int64_t visible_keys(const dreambooth_attention *a, int64_t query)
{
    return a->causal && query + 1 < a->key_length ? query + 1 : a->key_length;
}

/* Where the vector of (image, head, position) starts in [.., LENGTH, ..]. */
static int64_t place(const dreambooth_attention *a, int64_t head,
                     int64_t length, int64_t position)
{
    return ((head / a->heads * length + position) * a->heads +
            head % a->heads) *
           a->head_size;
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0.0;
    int64_t i;

    for (i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* s[j] = scale q k_j for the visible keys */
static void score_row(const dreambooth_attention *a, int64_t head,
                      int64_t query, double *s)
{
    const float *q = a->q + place(a, head, a->query_length, query);
    const int64_t keys = visible_keys(a, query);
    int64_t j;

    for (j = 0; j < keys; j++)
        s[j] = (double)a->scale *
               dot(q, a->k + place(a, head, a->key_length, j), a->head_size);
}

static void forward_row(const dreambooth_attention *a, int64_t head,
                        int64_t query, double *s)
{
    float *y = a->y + place(a, head, a->query_length, query);
    const int64_t keys = visible_keys(a, query);
    double maximum = -INFINITY;
    double sum = 0.0;
    int64_t i;
    int64_t j;

    score_row(a, head, query, s);
    for (j = 0; j < keys; j++)
        maximum = s[j] > maximum ? s[j] : maximum;
    for (j = 0; j < keys; j++) {
        s[j] = exp(s[j] - maximum);
        sum += s[j];
    }
    for (i = 0; i < a->head_size; i++) {
        double value = 0.0;

        for (j = 0; j < keys; j++)
            value += s[j] * (double)a->v[place(a, head, a->key_length, j) + i];
        y[i] = (float)(value / sum);
    }
    a->lse[head * a->query_length + query] = (float)(maximum + log(sum));
}

int db_ref_attention_forward(const dreambooth_kernel_host *host,
                             const dreambooth_attention *a)
{
    double *s = host->scratch_new(host, (size_t)a->key_length * sizeof(*s));
    int64_t head;
    int64_t query;

    if (s == NULL)
        return DREAMBOOTH_ENOMEM;
    for (head = 0; head < a->batch * a->heads; head++)
        for (query = 0; query < a->query_length; query++)
            forward_row(a, head, query, s);
    host->scratch_free(host, s);
    return DREAMBOOTH_OK;
}

/* Sums of one head, in double: dk and dv [key_length, head_size], dq
 * [head_size] of one query, and its row of scores. */
struct sums {
    double *dk;
    double *dv;
    double *dq;
    double *s;
};

static void backward_row(const dreambooth_attention *a, int64_t head,
                         int64_t query, const struct sums *sums)
{
    const int64_t at = place(a, head, a->query_length, query);
    const double lse = (double)a->lse[head * a->query_length + query];
    const double d = dot(a->dy + at, a->y + at, a->head_size);
    const int64_t keys = visible_keys(a, query);
    int64_t i;
    int64_t j;

    score_row(a, head, query, sums->s);
    for (i = 0; i < a->head_size; i++)
        sums->dq[i] = 0.0;
    for (j = 0; j < keys; j++) {
        int64_t key = place(a, head, a->key_length, j);
        double p = exp(sums->s[j] - lse);
        double ds = p * (dot(a->dy + at, a->v + key, a->head_size) - d) *
                    (double)a->scale;

        for (i = 0; i < a->head_size; i++) {
            sums->dq[i] += ds * (double)a->k[key + i];
            sums->dk[j * a->head_size + i] += ds * (double)a->q[at + i];
            sums->dv[j * a->head_size + i] += p * (double)a->dy[at + i];
        }
    }
    for (i = 0; i < a->head_size; i++)
        a->dq[at + i] = (float)sums->dq[i];
}

static void backward_head(const dreambooth_attention *a, int64_t head,
                          const struct sums *sums)
{
    const int64_t values = a->key_length * a->head_size;
    int64_t query;
    int64_t j;
    int64_t i;

    memset(sums->dk, 0, (size_t)values * sizeof(double));
    memset(sums->dv, 0, (size_t)values * sizeof(double));
    for (query = 0; query < a->query_length; query++)
        backward_row(a, head, query, sums);
    for (j = 0; j < a->key_length; j++)
        for (i = 0; i < a->head_size; i++) {
            int64_t at = place(a, head, a->key_length, j) + i;

            a->dk[at] = (float)sums->dk[j * a->head_size + i];
            a->dv[at] = (float)sums->dv[j * a->head_size + i];
        }
}

int db_ref_attention_backward(const dreambooth_kernel_host *host,
                              const dreambooth_attention *a)
{
    const int64_t values = a->key_length * a->head_size;
    double *scratch = host->scratch_new(
        host,
        (size_t)(2 * values + a->head_size + a->key_length) * sizeof(*scratch));
    struct sums sums;
    int64_t head;

    if (scratch == NULL)
        return DREAMBOOTH_ENOMEM;
    sums.dk = scratch;
    sums.dv = sums.dk + values;
    sums.dq = sums.dv + values;
    sums.s = sums.dq + a->head_size;
    for (head = 0; head < a->batch * a->heads; head++)
        backward_head(a, head, &sums);
    host->scratch_free(host, scratch);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* AdamW with the operations and roundings of PyTorch's, as the reference has
 * them, and the sum of squares, over fixed pieces. */
#include "kernel/blas/blas_int.h"
#include "kernel/blas/vector_int.h"

#include <math.h>

struct adamw_work {
    const dreambooth_adamw *a;
    float decay, step_size, root2, weight1, weight2, beta2, epsilon;
};

/* m + weight (g - m), as torch.lerp: from the nearer end, with the product
 * unrounded. A product of two floats is exact in double. */
static void move_average(float *restrict m, const float *restrict gradient,
                         float scale, float weight, int64_t count)
{
    int64_t i;

    if (weight < 0.5f)
        for (i = 0; i < count; i++) {
            float apart = gradient[i] * scale - m[i];

            m[i] = (float)((double)m[i] + (double)weight * (double)apart);
        }
    else
        for (i = 0; i < count; i++) {
            float end = gradient[i] * scale;

            m[i] = (float)((double)end +
                           (double)(weight - 1.0f) * (double)(end - m[i]));
        }
}

static void move_parameters(const struct adamw_work *w, float *restrict p,
                            const float *restrict gradient,
                            const float *restrict m, float *restrict v,
                            int64_t count)
{
    const float scale = w->a->gradient_scale;
    const float decay = w->decay;
    const float step_size = w->step_size;
    const float root2 = w->root2;
    const float weight2 = w->weight2;
    const float beta2 = w->beta2;
    const float epsilon = w->epsilon;
    int64_t i;

    for (i = 0; i < count; i++) {
        float g = gradient[i] * scale;

        v[i] =
            (float)((double)(v[i] * beta2) + (double)(weight2 * g) * (double)g);
        p[i] =
            p[i] * decay + step_size * m[i] / (sqrtf(v[i]) / root2 + epsilon);
    }
}

static void adamw_piece(void *argument, int64_t index, int worker)
{
    const struct adamw_work *w = argument;
    const dreambooth_adamw *a = w->a;
    const int64_t at = index * DB_BLAS_TASK;
    const int64_t count = db_blas_smaller(DB_BLAS_TASK, a->count - at);

    (void)worker;
    move_average(a->m + at, a->gradient + at, a->gradient_scale, w->weight1,
                 count);
    move_parameters(w, a->parameter + at, a->gradient + at, a->m + at,
                    a->v + at, count);
}

int db_blas_adamw(const dreambooth_kernel_host *host, const dreambooth_adamw *a)
{
    const double correction1 = 1.0 - pow(a->beta1, (double)a->step);
    const double correction2 = 1.0 - pow(a->beta2, (double)a->step);
    struct adamw_work work = {
        .a = a,
        .decay = (float)(1.0 - a->learning_rate * a->weight_decay),
        .step_size = (float)(-(a->learning_rate / correction1)),
        .root2 = (float)sqrt(correction2),
        .weight1 = (float)(1.0 - a->beta1),
        .weight2 = (float)(1.0 - a->beta2),
        .beta2 = (float)a->beta2,
        .epsilon = (float)a->epsilon,
    };

    host->parallel(host, db_blas_pieces(a->count, DB_BLAS_TASK), adamw_piece,
                   &work);
    return DREAMBOOTH_OK;
}

struct squares_work {
    const dreambooth_sum_squares *a;
    double *partial;
};

static void squares_piece(void *argument, int64_t index, int worker)
{
    const struct squares_work *work = argument;
    const int64_t at = index * DB_BLAS_TASK;
    const float *x = work->a->x + at;

    (void)worker;
    work->partial[index] =
        db_dot(x, x, db_blas_smaller(DB_BLAS_TASK, work->a->count - at));
}

int db_blas_sum_squares(const dreambooth_kernel_host *host,
                        const dreambooth_sum_squares *a)
{
    const int64_t pieces = db_blas_pieces(a->count, DB_BLAS_TASK);
    struct squares_work work = {a, NULL};
    double sum = 0.0;
    int64_t i;

    work.partial = host->scratch_new(host, (size_t)pieces * sizeof(double));
    if (work.partial == NULL)
        return DREAMBOOTH_ENOMEM;
    host->parallel(host, pieces, squares_piece, &work);
    for (i = 0; i < pieces; i++)
        sum += work.partial[i];
    *a->sum = sum;
    host->scratch_free(host, work.partial);
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * The AdamW update, with the operations and roundings of PyTorch's
 * single-tensor implementation, and the sum of squares that the gradient norm
 * is made of.
 */
#include "kernel/ref/ref_int.h"

#include <math.h>

/*
 * start + weight (end - start), as torch.lerp: from the nearer end, with the
 * product unrounded. A product of two floats is exact in double.
 */
static float lerp(float start, float end, float weight)
{
    double apart = (double)(end - start);

    if (weight < 0.5f)
        return (float)((double)start + (double)weight * apart);
    return (float)((double)end + (double)(weight - 1.0f) * apart);
}

int db_ref_adamw(const dreambooth_kernel_host *host, const dreambooth_adamw *a)
{
    const double correction1 = 1.0 - pow(a->beta1, (double)a->step);
    const double correction2 = 1.0 - pow(a->beta2, (double)a->step);
    const float decay = (float)(1.0 - a->learning_rate * a->weight_decay);
    const float step_size = (float)(-(a->learning_rate / correction1));
    const float root2 = (float)sqrt(correction2);
    const float weight1 = (float)(1.0 - a->beta1);
    const float weight2 = (float)(1.0 - a->beta2);
    const float beta2 = (float)a->beta2;
    const float epsilon = (float)a->epsilon;
    int64_t i;

    (void)host;
    for (i = 0; i < a->count; i++) {
        float g = a->gradient[i] * a->gradient_scale;
        float m = lerp(a->m[i], g, weight1);
        float v = (float)((double)(a->v[i] * beta2) +
                          (double)(weight2 * g) * (double)g);
        float p = a->parameter[i] * decay;

        a->m[i] = m;
        a->v[i] = v;
        a->parameter[i] = p + step_size * m / (sqrtf(v) / root2 + epsilon);
    }
    return DREAMBOOTH_OK;
}

int db_ref_sum_squares(const dreambooth_kernel_host *host,
                       const dreambooth_sum_squares *a)
{
    double sum = 0.0;
    int64_t i;

    (void)host;
    for (i = 0; i < a->count; i++)
        sum += (double)a->x[i] * (double)a->x[i];
    *a->sum = sum;
    return DREAMBOOTH_OK;
}

/* SPDX-License-Identifier: MIT */
/* Where kernels are measured: a context's device, and operands for a row. */
#include "bench.h"

#include <string.h>

#include "api/handle_int.h"

static void check(const struct bench_bed *bed, int status)
{
    bench_check(bed->env, status);
}

bool bench_bed_open(struct bench_bed *bed, const char *backend, int threads,
                    const char *precision)
{
    int status = DREAMBOOTH_OK;

    memset(bed, 0, sizeof(*bed));
    if (dreambooth_context_new(&bed->context) != DREAMBOOTH_OK)
        bench_die("out of memory");
    bed->env = &bed->context->env;
    if (precision != NULL)
        status = dreambooth_context_set(bed->context, "precision", precision);
    if (status == DREAMBOOTH_ENOTFOUND) {
        dreambooth_context_free(bed->context);
        return false;
    }
    check(bed, status);
    check(bed, dreambooth_context_set(bed->context, "backend", backend));
    check(bed,
          dreambooth_context_set_integer(bed->context, "threads", threads));
    check(bed, db_context_device(bed->context, &bed->device));
    return true;
}

void bench_bed_close(struct bench_bed *bed)
{
    bench_release(bed);
    dreambooth_context_free(bed->context);
}

float *bench_values(struct bench_bed *bed, int64_t count)
{
    float *block = db_alloc(bed->env, (size_t)count * sizeof(float));
    uint32_t state = 1;
    int64_t i;

    if (block == NULL || bed->used == BENCH_BUFFERS)
        bench_die("out of memory");
    bed->buffers[bed->used++] = block;
    for (i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        block[i] = (float)(int32_t)state / 2147483648.0f;
    }
    return block;
}

void bench_release(struct bench_bed *bed)
{
    while (bed->used > 0)
        db_free(bed->env, bed->buffers[--bed->used]);
}

double bench_rate(const struct bench_cost *cost)
{
    return (cost->flops > 0.0 ? cost->flops : cost->bytes) / cost->time.best;
}

/* SPDX-License-Identifier: MIT */
/*
 * Compute kernels of one's own: a backend that counts matrix products and hands
 * them on. It fills one slot; all others it inherits.
 */
#include <stdio.h>

#include <dreambooth/backend.h>
#include <dreambooth/dreambooth.h>

/* Slots have no argument of the caller's, so this is the program's. */
static dreambooth_backend inherited;
static long long products;
static double flops;

static int counting_gemm(const dreambooth_kernel_host *host,
                         const dreambooth_gemm *a)
{
    products++;
    flops +=
        2.0 * (double)a->batch * (double)a->m * (double)a->n * (double)a->k;
    return inherited.gemm(host, a);
}

static const dreambooth_backend counting = {
    .size = sizeof(dreambooth_backend),
    .abi = DREAMBOOTH_BACKEND_ABI,
    .name = "counting",
    .gemm = counting_gemm,
};

static int use_counting(dreambooth_context *context)
{
    int status = dreambooth_context_get_backend(context, "blas", &inherited,
                                                sizeof(inherited));

    if (status == DREAMBOOTH_OK)
        status = dreambooth_context_add_backend(context, &counting, "blas");
    if (status == DREAMBOOTH_OK)
        status = dreambooth_context_set(context, "backend", "counting");
    return status;
}

static int draw(dreambooth_model *model, const char *prompt)
{
    dreambooth_sampler *sampler;
    int status = dreambooth_sampler_new(&sampler, model);

    if (status != DREAMBOOTH_OK)
        return status;
    status = dreambooth_sampler_set(sampler, "prompt", prompt);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_set_integer(sampler, "steps", 5);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_run(sampler);
    dreambooth_sampler_free(sampler);
    return status;
}

int main(int argc, char **argv)
{
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    int status;

    if (argc != 3) {
        puts("usage: backend MODEL PROMPT");
        return 0;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    status = use_counting(context);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_model_open(&model, context, argv[1]);
    if (status == DREAMBOOTH_OK)
        status = draw(model, argv[2]);
    if (status != DREAMBOOTH_OK)
        fprintf(stderr, "%s\n", dreambooth_context_error(context));
    else
        printf("%lld matrix products, %.3g operations\n", products, flops);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return status != DREAMBOOTH_OK;
}

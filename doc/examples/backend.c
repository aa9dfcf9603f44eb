/* SPDX-License-Identifier: MIT */
/*
 * Compute kernels of one's own: a backend that counts matrix products and
 * hands them on. It fills one slot of the table and inherits all others.
 *
 *     ./backend my-dog "a [V] dog on the beach"
 */
#include <stdio.h>
#include <string.h>

#include <dreambooth/backend.h>
#include <dreambooth/dreambooth.h>

struct counts {
    dreambooth_backend below; /* what does the work */
    long long products;
    double operations;
};

/* Slots are called one after the other, from the thread that called the
 * library: no lock is needed. */
static int count_gemm(const dreambooth_kernel_host *host,
                      const dreambooth_gemm *a)
{
    struct counts *counts = (struct counts *)host->user;

    counts->products++;
    counts->operations += 2.0 * (double)a->batch * (double)a->m *
                          (double)a->n * (double)a->k;
    return counts->below.gemm(host, a);
}

static int use_counting(dreambooth_context *context,
                        struct counts *counts)
{
    dreambooth_backend counting;

    memset(&counting, 0, sizeof(counting)); /* NULL slots are inherited */
    counting.size = sizeof(counting);
    counting.abi = DREAMBOOTH_BACKEND_ABI;
    counting.name = "counting";
    counting.user = counts;
    counting.gemm = count_gemm;
    return dreambooth_context_get_backend(context, "blas", &counts->below,
                                          sizeof(counts->below)) ||
           dreambooth_context_add_backend(context, &counting, "blas") ||
           dreambooth_context_set(context, "backend", "counting");
}

int main(int argc, char **argv)
{
    struct counts counts;
    dreambooth_context *context = NULL;
    dreambooth_model *model = NULL;
    dreambooth_sampler *sampler = NULL;
    int failed;

    if (argc != 3) {
        fputs("usage: backend MODEL PROMPT\n", stderr);
        return 2;
    }
    if (dreambooth_context_new(&context) != DREAMBOOTH_OK)
        return 1;
    counts.products = 0;
    counts.operations = 0;
    failed = use_counting(context, &counts) ||
             dreambooth_model_open(&model, context, argv[1]) ||
             dreambooth_sampler_new(&sampler, model) ||
             dreambooth_sampler_set(sampler, "prompt", argv[2]) ||
             dreambooth_sampler_set_integer(sampler, "steps", 5) ||
             dreambooth_sampler_run(sampler);
    if (failed)
        fprintf(stderr, "backend: %s\n",
                dreambooth_context_error(context));
    else
        printf("%lld matrix products, %.3g operations\n", counts.products,
               counts.operations);
    dreambooth_sampler_free(sampler);
    dreambooth_model_free(model);
    dreambooth_context_free(context);
    return failed;
}

/* SPDX-License-Identifier: MIT */
/* oneDNN through dlopen(). */
#include "dnnl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define LIBRARY "libdnnl.so.2"

/* Numbers of its enums. */
#define ENGINE_CPU 1
#define STREAM_IN_ORDER 1u
#define TAG_ANY 1
#define TAG_AB 3 /* plain rows */
#define FORWARD_TRAINING 64
#define CONVOLUTION_DIRECT 1
#define MEMORY_ALLOCATE ((void *)(size_t)-1)
#define MOST_OPERANDS 3

/* 696 and 5976 bytes in 2.6. */
union descriptor {
    max_align_t align;
    unsigned char bytes[8192];
};

struct version {
    int major, minor, patch;
    const char *hash;
};

struct execution_argument {
    int argument;
    void *memory;
};

typedef const int64_t *dims;
typedef const union descriptor *memory_descriptor;

/* clang-format off */
#define EACH_FUNCTION(DO) \
    DO(const struct version *, version, (void)) \
    DO(int, engine_create, (void **engine, int kind, size_t index)) \
    DO(int, stream_create, (void **stream, void *engine, unsigned flags)) \
    DO(int, stream_wait, (void *stream)) \
    DO(int, memory_desc_init_by_tag, \
       (union descriptor *memory, int count, dims sizes, int type, int tag)) \
    DO(int, convolution_forward_desc_init, \
       (union descriptor *operation, int kind, int algorithm, \
        memory_descriptor source, memory_descriptor weights, \
        memory_descriptor bias, memory_descriptor destination, dims strides, \
        dims pad_left, dims pad_right)) \
    DO(int, convolution_backward_data_desc_init, \
       (union descriptor *operation, int algorithm, memory_descriptor source, \
        memory_descriptor weights, memory_descriptor destination, \
        dims strides, dims pad_left, dims pad_right)) \
    DO(int, convolution_backward_weights_desc_init, \
       (union descriptor *operation, int algorithm, memory_descriptor source, \
        memory_descriptor weights, memory_descriptor bias, \
        memory_descriptor destination, dims strides, dims pad_left, \
        dims pad_right)) \
    DO(int, matmul_desc_init, \
       (union descriptor *operation, memory_descriptor source, \
        memory_descriptor weights, memory_descriptor bias, \
        memory_descriptor destination)) \
    DO(int, primitive_desc_create, \
       (void **description, const void *operation, const void *attributes, \
        void *engine, const void *hint)) \
    DO(int, primitive_desc_destroy, (void *description)) \
    DO(memory_descriptor, primitive_desc_query_md, \
       (const void *description, int what, int index)) \
    DO(int, primitive_create, (void **primitive, const void *description)) \
    DO(int, primitive_destroy, (void *primitive)) \
    DO(int, primitive_execute, \
       (const void *primitive, void *stream, int count, \
        const struct execution_argument *arguments)) \
    DO(int, memory_create, \
       (void **memory, memory_descriptor description, void *engine, \
        void *handle)) \
    DO(int, memory_get_data_handle, (const void *memory, void **handle)) \
    DO(size_t, memory_desc_get_size, (memory_descriptor description)) \
    DO(int, memory_destroy, (void *memory))
/* clang-format on */

#define MEMBER(type, name, arguments) type(*name) arguments;

struct dnnl {
    EACH_FUNCTION(MEMBER)
    void *engine, *stream;
    char version_text[32];
};

struct dnnl_call {
    struct dnnl *dnnl;
    void *primitive;
    struct execution_argument arguments[MOST_OPERANDS];
};

/* C has no conversion from an object's pointer to a function's. */
static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

#define FIND(type, name, arguments)                                            \
    complete = complete && find(library, "dnnl_" #name, &dnnl->name);

struct dnnl *dnnl_open(int threads)
{
    struct dnnl *dnnl = calloc(1, sizeof(*dnnl));
    bool complete = dnnl != NULL;
    char text[16];
    void *library;

    snprintf(text, sizeof(text), "%d", threads);
    setenv("OMP_NUM_THREADS", text, 1);
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL || !complete) {
        free(dnnl);
        return NULL;
    }
    EACH_FUNCTION(FIND)
    if (!complete || dnnl->version()->major != 2 ||
        dnnl->engine_create(&dnnl->engine, ENGINE_CPU, 0) != 0 ||
        dnnl->stream_create(&dnnl->stream, dnnl->engine, STREAM_IN_ORDER) !=
            0) {
        free(dnnl);
        return NULL;
    }
    snprintf(dnnl->version_text, sizeof(dnnl->version_text), "%d.%d.%d",
             dnnl->version()->major, dnnl->version()->minor,
             dnnl->version()->patch);
    return dnnl;
}

const char *dnnl_version_text(const struct dnnl *dnnl)
{
    return dnnl->version_text;
}

/* What a product reads and writes: the number that execution knows each by, and
 * the one that asks for its layout. */
static const struct {
    int arguments[MOST_OPERANDS]; /* source, weights, destination */
    int queries[MOST_OPERANDS];
} operands[] = {
    {{1, 33, 17}, {129, 131, 133}},
    {{129, 33, 145}, {130, 131, 134}},
    {{1, 161, 145}, {129, 132, 134}},
    {{1, 33, 17}, {129, 131, 133}},
};

static bool describe(const struct dnnl *dnnl, union descriptor *memory,
                     int count, const int64_t *sizes, int type, int tag)
{
    int64_t all[DNNL_DIMS] = {0};

    memcpy(all, sizes, (size_t)count * sizeof(*sizes));
    return dnnl->memory_desc_init_by_tag(memory, count, all, type, tag) == 0;
}

/* A primitive's description, for a convolution that goes back with that of the
 * way there as a hint. */
static void *describe_convolution(const struct dnnl *dnnl,
                                  enum dnnl_product product, int type,
                                  const int64_t *s)
{
    const int64_t out = s[1] / s[5], pad[DNNL_DIMS] = {s[4] / 2, s[4] / 2};
    const int64_t strides[DNNL_DIMS] = {s[5], s[5]};
    const int64_t sizes[3][4] = {{s[0], s[2], s[1], s[1]},
                                 {s[3], s[2], s[4], s[4]},
                                 {s[0], s[3], out, out}};
    union descriptor memory[3], operation;
    void *forward = NULL, *result = NULL;
    int i, status;

    for (i = 0; i < 3; i++)
        if (!describe(dnnl, &memory[i], 4, sizes[i], type, TAG_ANY))
            return NULL;
    if (dnnl->convolution_forward_desc_init(
            &operation, FORWARD_TRAINING, CONVOLUTION_DIRECT, &memory[0],
            &memory[1], NULL, &memory[2], strides, pad, pad) != 0 ||
        dnnl->primitive_desc_create(&forward, &operation, NULL, dnnl->engine,
                                    NULL) != 0)
        return NULL;
    if (product == DNNL_CONV_FORWARD)
        return forward;
    if (product == DNNL_CONV_BACKWARD_DATA)
        status = dnnl->convolution_backward_data_desc_init(
            &operation, CONVOLUTION_DIRECT, &memory[0], &memory[1], &memory[2],
            strides, pad, pad);
    else
        status = dnnl->convolution_backward_weights_desc_init(
            &operation, CONVOLUTION_DIRECT, &memory[0], &memory[1], NULL,
            &memory[2], strides, pad, pad);
    if (status == 0)
        dnnl->primitive_desc_create(&result, &operation, NULL, dnnl->engine,
                                    forward);
    dnnl->primitive_desc_destroy(forward);
    return result;
}

static void *describe_matmul(const struct dnnl *dnnl, int type,
                             const int64_t *s)
{
    const int64_t sizes[3][2] = {{s[0], s[2]}, {s[2], s[1]}, {s[0], s[1]}};
    union descriptor memory[3], operation;
    void *result = NULL;
    int i;

    for (i = 0; i < 3; i++)
        if (!describe(dnnl, &memory[i], 2, sizes[i], type,
                      i == 1 ? TAG_ANY : TAG_AB))
            return NULL;
    if (dnnl->matmul_desc_init(&operation, &memory[0], &memory[1], NULL,
                               &memory[2]) == 0)
        dnnl->primitive_desc_create(&result, &operation, NULL, dnnl->engine,
                                    NULL);
    return result;
}

/* Memory for an operand, filled with small numbers of its type. */
static bool allocate(const struct dnnl *dnnl, memory_descriptor description,
                     int type, void **memory)
{
    const float values[4] = {0.5f, -0.25f, 0.125f, -1.0f};
    size_t size = dnnl->memory_desc_get_size(description);
    void *data = NULL;
    uint16_t *halves;
    size_t i;

    if (dnnl->memory_create(memory, description, dnnl->engine,
                            MEMORY_ALLOCATE) != 0 ||
        dnnl->memory_get_data_handle(*memory, &data) != 0)
        return false;
    halves = data;
    for (i = 0; type == DNNL_F32 && i < size / sizeof(float); i++)
        memcpy((char *)data + i * sizeof(float), &values[i % 4], sizeof(float));
    for (i = 0; type == DNNL_BF16 && i < size / sizeof(*halves); i++)
        halves[i] = i % 2 == 0 ? 0x3f00 : 0xbe80; /* 0.5, -0.25 */
    return true;
}

struct dnnl_call *dnnl_prepare(struct dnnl *dnnl, enum dnnl_product product,
                               int type, const int64_t *shape)
{
    struct dnnl_call *call = calloc(1, sizeof(*call));
    void *description = product == DNNL_MATMUL
                            ? describe_matmul(dnnl, type, shape)
                            : describe_convolution(dnnl, product, type, shape);
    bool good = call != NULL && description != NULL &&
                dnnl->primitive_create(&call->primitive, description) == 0;
    int i;

    if (call == NULL)
        bench_die("out of memory");
    call->dnnl = dnnl;
    for (i = 0; i < MOST_OPERANDS && good; i++) {
        call->arguments[i].argument = operands[product].arguments[i];
        good = allocate(dnnl,
                        dnnl->primitive_desc_query_md(
                            description, operands[product].queries[i], 0),
                        type, &call->arguments[i].memory);
    }
    if (description != NULL)
        dnnl->primitive_desc_destroy(description);
    if (good)
        return call;
    dnnl_release(call);
    return NULL;
}

void dnnl_run(void *argument)
{
    struct dnnl_call *call = argument;
    const struct dnnl *dnnl = call->dnnl;

    if (dnnl->primitive_execute(call->primitive, dnnl->stream, MOST_OPERANDS,
                                call->arguments) != 0 ||
        dnnl->stream_wait(dnnl->stream) != 0)
        bench_die("oneDNN failed");
}

void dnnl_release(struct dnnl_call *call)
{
    int i;

    for (i = 0; i < MOST_OPERANDS; i++)
        if (call->arguments[i].memory != NULL)
            call->dnnl->memory_destroy(call->arguments[i].memory);
    if (call->primitive != NULL)
        call->dnnl->primitive_destroy(call->primitive);
    free(call);
}

/* SPDX-License-Identifier: MIT */
/*
 * Whole steps, of which the tables tell: a pass of the UNet, of the VAE's
 * decoder or of the text encoder, a training step, the drawing of an image. A
 * step is opened once, with random weights, and run as often as one likes.
 *
 * Training and drawing go through the public interface, as a program would; the
 * models alone are called below it.
 */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include "common.h"
#include "count.h"
#include "kernel/device.h"

/* What step. Texts are not copied. */
struct bench_request {
    const char *kind;         /* "unet", "vae", "text", "train" or "sample" */
    const char *model;        /* a folder of test/bench/config */
    const char *backend;      /* NULL: "blas" */
    const char *precision;    /* NULL: the context's default */
    const char *weights;      /* the same */
    const char *recompute;    /* "train": NULL: the trainer's default */
    const char *optimizer;    /* the same */
    const char *gradients;    /* the same */
    const char *memory_limit; /* bytes; NULL: none */
    int64_t threads;          /* 0: one a processor */
    int64_t side;             /* of the image, in pixels */
    int64_t batch;
    int64_t width;     /* channels of the UNet's finest level; 0: the model's */
    int64_t steps;     /* of "sample" */
    bool prior;        /* "train": as many class images beside the batch */
    bool text_encoder; /* "train": train it as well */
};

extern const struct bench_request bench_request_default;

struct bench_step;

/* What one kind of step needs to know how to do. */
struct bench_kind {
    const char *name;
    void (*open)(struct bench_step *step);
    void (*run)(struct bench_step *step);
    void (*close)(struct bench_step *step);
};

extern const struct bench_kind bench_step_unet, bench_step_vae, bench_step_text,
    bench_step_train, bench_step_sample;

struct bench_step {
    struct bench_request request;
    const struct bench_kind *kind;
    struct bench_count count;
    dreambooth_context *context;
    struct db_env *env;      /* the context's */
    struct db_device device; /* bound to the context's threads and kernels */
    void *own;               /* the kind's */
};

/*
 * Sets one field of a request from "NAME=VALUE"; the program ends on what it
 * does not know.
 */
void bench_request_set(struct bench_request *request, const char *text);

/* False if the library does not have an option that REQUEST names. */
bool bench_step_open(struct bench_step *step,
                     const struct bench_request *request);
/* The program ends if it does not. */
void bench_step_need(struct bench_step *step,
                     const struct bench_request *request);
void bench_step_run(void *step);
void bench_step_close(struct bench_step *step);

/* Writes the path of FILE of the step's model. */
void bench_step_path(const struct bench_step *step, const char *file,
                     char *path, size_t size);
void bench_step_check(const struct bench_step *step, int status);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The frame of the parity program: it walks a folder of reference data and puts
 * each case through the library. A kind of case is one file here with one
 * function; parity.c has the table of kinds, the comparing and the counting.
 */
#ifndef PARITY_H
#define PARITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "kernel/device.h"
#include "file/safetensors.h"

/* |got - want| <= absolute + of_max max|want| + relative |want| for each. */
struct parity_tolerance {
    double absolute;
    double of_max;
    double relative;
};

struct parity {
    struct db_env *env;
    struct db_device *device;
    const char *directory; /* of the reference data */
    int passed, failed, skipped;
    struct parity_case *current;
    struct parity_data *data; /* of the case */
};

/*
 * A case: begin, compare any number of tensors, end. The line printed at the
 * end has the worst tensor's largest absolute and relative error and its
 * tolerance, and the case fails if any comparison failed.
 */
void parity_begin(struct parity *p, const char *format, ...) DB_PRINTF(2, 3);
void parity_compare(struct parity *p, const char *what, const float *got,
                    const float *want, int64_t count,
                    struct parity_tolerance tolerance);
void parity_compare_double(struct parity *p, const char *what, double got,
                           double want, struct parity_tolerance tolerance);
void parity_compare_bytes(struct parity *p, const char *what, const void *got,
                          const void *want, size_t size);
/* The bytes of an entry, until the case ends; zeros where they cannot be read,
 * and the case fails. */
void *parity_data(struct parity *p, const struct db_safetensors_entry *entry);
/* The case fails with this reason (an error's text, a shape that is wrong). */
void parity_fail(struct parity *p, const char *format, ...) DB_PRINTF(2, 3);
void parity_end(struct parity *p);
/* A case that is not run, with the reason; counted as skipped. */
void parity_skip(struct parity *p, const char *name, const char *reason);
/*
 * The reference tells how far its own float run lies from one in double, in
 * units of the largest magnitude or, for single numbers, of the number: nothing
 * can be held to less. The larger of TOLERANCE and four times that DEVIATION.
 */
struct parity_tolerance parity_no_finer(struct parity_tolerance tolerance,
                                        double deviation);
/* The tokenizer folder of the first model in models/ that brings a vocabulary
 * along; NULL if none does. The caller's to db_free(). */
char *parity_find_vocabulary(struct parity *p);

/* One function a kind; p->directory/KIND exists when it is called. */
void parity_tokenizer(struct parity *p);
void parity_images(struct parity *p);
void parity_ops(struct parity *p);
void parity_schedulers(struct parity *p);
void parity_rng(struct parity *p);
void parity_models(struct parity *p);
void parity_modules(struct parity *p);
void parity_pipeline(struct parity *p);
void parity_train(struct parity *p);

#endif

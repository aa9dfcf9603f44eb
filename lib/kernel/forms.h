/* SPDX-License-Identifier: MIT */
/*
 * What kernels have made of weights, such as the panels of their products, for
 * a time in which the weights do not change: while a sampler draws, each is
 * used once a step. Whoever knows that time owns the forms, and hangs them on
 * the device for as long (db_device); at all others kernels keep nothing.
 *
 * All lies in one block of a size that is given. What does not fit is made anew
 * in each call.
 */
#ifndef DB_KERNEL_FORMS_H
#define DB_KERNEL_FORMS_H

#include "base/env.h"
#include "dreambooth/backend.h"

struct db_form;

/* Where the values of a weight begin, NULL where there are none now, and which
 * they are, as their owner counts. */
struct db_formed {
    const void *weight;
    uint64_t version;
};

/* All zero but env and most: none. */
struct db_forms {
    struct db_env *env;
    size_t most; /* bytes; 0: no form is kept */
    struct db_formed *weights;
    size_t count;
    char *memory; /* [most], once there is a form */
    size_t used;
    struct db_form *first, *found; /* found: that which was asked for last */
};

/* What a form of SIZE bytes takes. */
size_t db_forms_size(size_t size);

/* Forms are those of COUNT weights, none of which has values yet, unless that
 * is what they are already. ENOMEM. */
int db_forms_count(struct db_forms *forms, size_t count);
/* What weight INDEX is from now on. Where it was another, all forms go. */
void db_forms_set(struct db_forms *forms, size_t index, const void *weight,
                  uint64_t version);
/* The memory of FORM, as dreambooth_kernel_host tells; FORMS may be NULL. */
void *db_forms_keep(struct db_forms *forms, const dreambooth_form *form,
                    size_t size, int *is_new);
/* Frees all. */
void db_forms_release(struct db_forms *forms);

#endif

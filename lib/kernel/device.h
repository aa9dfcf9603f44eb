/* SPDX-License-Identifier: MIT */
/*
 * A device is a complete kernel table together with what it runs on: the
 * thread pool and scratch memory of one context. Everything above this floor
 * computes through db_run() alone.
 */
#ifndef DB_KERNEL_DEVICE_H
#define DB_KERNEL_DEVICE_H

#include "base/env.h"
#include "base/pool.h"
#include "dreambooth/backend.h"
#include "kernel/forms.h"

#define DB_FIRST_SLOT offsetof(dreambooth_backend, gemm)
#define DB_SLOT_SIZE sizeof(void (*)(void))
#define DB_SLOT_INDEX(slot)                                                    \
    ((offsetof(dreambooth_backend, slot) - DB_FIRST_SLOT) / DB_SLOT_SIZE)
#define DB_SLOTS ((sizeof(dreambooth_backend) - DB_FIRST_SLOT) / DB_SLOT_SIZE)

/* A table with every slot filled, and the user and the features of the backend
 * that each slot was taken from. */
struct db_kernels {
    dreambooth_backend table;
    void *users[DB_SLOTS];
    uint32_t features[DB_SLOTS];
};

struct db_device {
    struct db_env *env;
    struct db_pool *pool;
    struct db_kernels kernels;
    /* What db_run() calls: the same, but for slots in front of those that
     * cannot read weights in bfloat16. */
    dreambooth_backend table;
    dreambooth_kernel_host host;
    struct db_forms *forms; /* NULL: none are kept now; not owned */
};

/* The built-in backends; each table is complete. */
extern const dreambooth_backend db_backend_reference;
extern const dreambooth_backend db_backend_blas;

/* The built-in backends that this machine's processor can run, by number from
 * 0, and by name; NULL if there is none. */
const dreambooth_backend *db_backend_at(size_t index);
const dreambooth_backend *db_backend_find(const char *name);

/* Name and version of the BLAS behind it, cut off at SIZE bytes. */
void db_blas_describe(char *text, size_t size);

/* Fills KERNELS with TABLE, which must be complete. */
void db_kernels_init(struct db_kernels *kernels,
                     const dreambooth_backend *table);

/*
 * Fills DEVICE with TABLE, which must be complete. Neither ENV nor POOL is
 * owned. The device must not move in memory while it is in use. Its host's
 * precision is DREAMBOOTH_FLOAT32.
 */
void db_device_init(struct db_device *device, struct db_env *env,
                    struct db_pool *pool, const dreambooth_backend *table);

/* Makes DEVICE compute with KERNELS instead. */
void db_device_set_kernels(struct db_device *device,
                           const struct db_kernels *kernels);

/*
 * Checks a third party's table and lays it over the complete KERNELS.
 * EINVAL when its size, ABI number or name is missing.
 */
int db_backend_merge(struct db_env *env, const dreambooth_backend *table,
                     struct db_kernels *kernels);

/* Whether conv2d_backward_weight writes where its host says so. */
bool db_device_overwrites(const struct db_device *device);

/* Whether gemm takes what follows it along (geglu). */
bool db_device_fuses(const struct db_device *device);

/* Whether values between products may be bfloat16: gemm, attention and layer
 * normalisation read and write them. */
bool db_device_narrows(const struct db_device *device);

/* What the slot at INDEX is given as its host. */
const dreambooth_kernel_host *db_device_host(struct db_device *device,
                                             size_t index);

/* Sets an error that names the slot when STATUS is not OK and none is set. */
int db_device_check(struct db_device *device, const char *slot, int status);

/* db_run(device, gemm, &arguments): run a slot and hand up its status. */
#define db_run(device, slot, arguments)                                        \
    db_device_check(                                                           \
        (device), #slot,                                                       \
        (device)->table.slot(db_device_host((device), DB_SLOT_INDEX(slot)),    \
                             (arguments)))

#endif

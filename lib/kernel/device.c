/* SPDX-License-Identifier: MIT */
/*
 * Binds a kernel table to a context's threads and memory, and joins the tables
 * of third parties with ours. The slots of a table are alike in memory, one
 * function pointer behind the other, so that merging needs no list of names.
 */
#include "kernel/device.h"

#include <string.h>

#include "kernel/expand.h"
#include "kernel/simd/simd_int.h"

typedef void any_function(void);

static const dreambooth_backend *const built_in[] = {
    &db_backend_reference,       &db_backend_blas,      &db_backend_simd,
#if defined(__GNUC__) && defined(__x86_64__)
    &db_backend_simd_avx512,     &db_backend_simd_avx2,
#elif defined(__GNUC__) && defined(__aarch64__)
    &db_backend_simd_neon,
#endif
#ifdef DB_BF16_AVX512
    &db_backend_simd_avx512bf16,
#endif
    &db_backend_simd_plain,
};

static bool is_there(const dreambooth_backend *table)
{
    return table->user == NULL || db_simd_is_there(table->user);
}

const dreambooth_backend *db_backend_at(size_t index)
{
    size_t i;

    for (i = 0; i < DB_COUNT(built_in); i++)
        if (is_there(built_in[i]) && index-- == 0)
            return built_in[i];
    return NULL;
}

const dreambooth_backend *db_backend_find(const char *name)
{
    const dreambooth_backend *table;
    size_t i;

    for (i = 0; (table = db_backend_at(i)) != NULL; i++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static void host_parallel(const dreambooth_kernel_host *host, int64_t count,
                          void (*task)(void *argument, int64_t index,
                                       int worker),
                          void *argument)
{
    const struct db_device *device = host->library;

    db_pool_run(device->pool, count, task, argument);
}

static void *host_scratch_new(const dreambooth_kernel_host *host, size_t size)
{
    const struct db_device *device = host->library;

    return db_alloc_briefly(device->env, size);
}

static void host_scratch_free(const dreambooth_kernel_host *host, void *scratch)
{
    const struct db_device *device = host->library;

    db_free(device->env, scratch);
}

static void *host_keep(const dreambooth_kernel_host *host,
                       const dreambooth_form *form, size_t size, int *is_new)
{
    const struct db_device *device = host->library;

    return db_forms_keep(device->forms, form, size, is_new);
}

/* Slots in front of those that read floats only. */

static const struct db_kernels *kernels_of(const dreambooth_kernel_host *host)
{
    const struct db_device *device = host->library;

    return &device->kernels;
}

static int expand_gemm(const dreambooth_kernel_host *host,
                       const dreambooth_gemm *a)
{
    return db_expand_gemm(host, a, kernels_of(host)->table.gemm);
}

static int expand_forward(const dreambooth_kernel_host *host,
                          const dreambooth_conv2d *a)
{
    return db_expand_conv2d(host, a, kernels_of(host)->table.conv2d_forward);
}

static int expand_backward_data(const dreambooth_kernel_host *host,
                                const dreambooth_conv2d *a)
{
    return db_expand_conv2d(host, a,
                            kernels_of(host)->table.conv2d_backward_data);
}

static bool reads_bfloat16(const struct db_kernels *kernels, size_t slot)
{
    return (kernels->features[slot] & DREAMBOOTH_READS_BFLOAT16) != 0;
}

/* What TABLE does well on this processor: without tiles, our own has bfloat16
 * by way of memory alone. */
static uint32_t features_of(const dreambooth_backend *table)
{
    return table->gemm == db_simd_gemm && db_simd_tiles(table->user) == NULL
               ? table->features & ~(uint32_t)DREAMBOOTH_NARROWS
               : table->features;
}

void db_kernels_init(struct db_kernels *kernels,
                     const dreambooth_backend *table)
{
    size_t i;

    kernels->table = *table;
    for (i = 0; i < DB_SLOTS; i++) {
        kernels->users[i] = table->user;
        kernels->features[i] = features_of(table);
    }
}

void db_device_set_kernels(struct db_device *device,
                           const struct db_kernels *kernels)
{
    device->kernels = *kernels;
    device->table = kernels->table;
    if (!reads_bfloat16(kernels, DB_SLOT_INDEX(gemm)))
        device->table.gemm = expand_gemm;
    if (!reads_bfloat16(kernels, DB_SLOT_INDEX(conv2d_forward)))
        device->table.conv2d_forward = expand_forward;
    if (!reads_bfloat16(kernels, DB_SLOT_INDEX(conv2d_backward_data)))
        device->table.conv2d_backward_data = expand_backward_data;
}

void db_device_init(struct db_device *device, struct db_env *env,
                    struct db_pool *pool, const dreambooth_backend *table)
{
    struct db_kernels kernels;

    memset(device, 0, sizeof(*device));
    device->env = env;
    device->pool = pool;
    db_kernels_init(&kernels, table);
    db_device_set_kernels(device, &kernels);
    device->host.size = sizeof(device->host);
    device->host.abi = DREAMBOOTH_BACKEND_ABI;
    device->host.threads = db_pool_threads(pool);
    device->host.parallel = host_parallel;
    device->host.scratch_new = host_scratch_new;
    device->host.scratch_free = host_scratch_free;
    device->host.keep = host_keep;
    device->host.library = device;
    device->host.precision = DREAMBOOTH_FLOAT32;
}

static int check_head(struct db_env *env, const dreambooth_backend *table)
{
    if (table->size < DB_FIRST_SLOT)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "the backend's size is %zu, less than the head of "
                       "dreambooth_backend (%zu); set size to sizeof(*table)",
                       table->size, DB_FIRST_SLOT);
    if (table->abi != DREAMBOOTH_BACKEND_ABI)
        return db_fail(env, DREAMBOOTH_EINVAL,
                       "the backend's ABI number is %lu, this library has %d; "
                       "compile it with this library's dreambooth/backend.h",
                       (unsigned long)table->abi, DREAMBOOTH_BACKEND_ABI);
    if (table->name == NULL || table->name[0] == '\0')
        return db_fail(env, DREAMBOOTH_EINVAL, "the backend has no name");
    return DREAMBOOTH_OK;
}

int db_backend_merge(struct db_env *env, const dreambooth_backend *table,
                     struct db_kernels *kernels)
{
    any_function *slot;
    size_t i, at;
    int status = check_head(env, table);

    if (status != DREAMBOOTH_OK)
        return status;
    kernels->table.size = sizeof(kernels->table);
    kernels->table.abi = DREAMBOOTH_BACKEND_ABI;
    kernels->table.name = table->name;
    kernels->table.user = table->user;
    for (i = 0; i < DB_SLOTS; i++) {
        at = DB_FIRST_SLOT + i * sizeof(slot);
        if (at + sizeof(slot) > table->size)
            break;
        memcpy(&slot, (const char *)table + at, sizeof(slot));
        if (slot == NULL)
            continue;
        memcpy((char *)&kernels->table + at, &slot, sizeof(slot));
        kernels->users[i] = table->user;
        kernels->features[i] = table->features;
    }
    kernels->table.features = kernels->features[0];
    for (i = 1; i < DB_SLOTS; i++)
        kernels->table.features &= kernels->features[i];
    return DREAMBOOTH_OK;
}

bool db_device_overwrites(const struct db_device *device)
{
    return (device->kernels.features[DB_SLOT_INDEX(conv2d_backward_weight)] &
            DREAMBOOTH_OVERWRITES) != 0;
}

bool db_device_fuses(const struct db_device *device)
{
    return (device->kernels.features[DB_SLOT_INDEX(gemm)] & DREAMBOOTH_FUSES) !=
           0;
}

bool db_device_narrows(const struct db_device *device)
{
    return (device->kernels.features[DB_SLOT_INDEX(gemm)] &
            device->kernels.features[DB_SLOT_INDEX(attention_forward)] &
            device->kernels.features[DB_SLOT_INDEX(layer_norm_forward)] &
            DREAMBOOTH_NARROWS) != 0;
}

const dreambooth_kernel_host *db_device_host(struct db_device *device,
                                             size_t index)
{
    device->host.user = device->kernels.users[index];
    return &device->host;
}

int db_device_check(struct db_device *device, const char *slot, int status)
{
    struct db_env *env = device->env;

    if (status == DREAMBOOTH_OK)
        return DREAMBOOTH_OK;
    if (status == DREAMBOOTH_ENOMEM &&
        (env->error_status == DREAMBOOTH_ENOMEM ||
         env->error_status == DREAMBOOTH_ELIMIT))
        return env->error_status; /* scratch memory: it knows the size */
    if (status > 0)
        return db_fail(env, DREAMBOOTH_EINTERNAL,
                       "kernel %s of backend %s returned %d, which is no "
                       "status",
                       slot, device->kernels.table.name, status);
    return db_fail(env, status, "kernel %s of backend %s failed with status %d",
                   slot, device->kernels.table.name, status);
}

/* SPDX-License-Identifier: MIT */
/* What the library says of itself: how it was built, what it found, and its own
 * declarations. */
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "dreambooth/base.h"
#include "file/libraries.h"
#include "kernel/device.h"

static void describe_version(char *text, size_t size)
{
    snprintf(text, size, "%s", dreambooth_version());
}

static void describe_backends(char *text, size_t size)
{
    const dreambooth_backend *table;
    size_t i, length = 0;

    for (i = 0; (table = db_backend_at(i)) != NULL && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s%s",
                                   i == 0 ? "" : " ", table->name);
}

static void describe_compiler(char *text, size_t size)
{
#if defined(__clang__)
    snprintf(text, size, "%s", __VERSION__);
#elif defined(__GNUC__)
    snprintf(text, size, "GCC %s", __VERSION__);
#else
    snprintf(text, size, "unknown");
#endif
}

int dreambooth_build_info(const char *field, char *text, size_t size)
{
    static const struct {
        const char *field;
        void (*describe)(char *text, size_t size);
    } facts[] = {
        {"version", describe_version},   {"backends", describe_backends},
        {"blas", db_blas_describe},      {"cpu", db_cpu_describe},
        {"compiler", describe_compiler}, {"libraries", db_libraries_describe},
    };
    size_t i;

    if (field == NULL || (text == NULL && size > 0))
        return DREAMBOOTH_EINVAL;
    for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (strcmp(facts[i].field, field) != 0)
            continue;
        if (size > 0)
            facts[i].describe(text, size);
        return DREAMBOOTH_OK;
    }
    return DREAMBOOTH_ENOTFOUND;
}

const char *dreambooth_declarations(void)
{
    static const char text[] = {
#include "declarations.inc"
        0};

    return text;
}

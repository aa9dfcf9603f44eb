/* SPDX-License-Identifier: MIT */
/* What needs no context: names of statuses, the version. */
#include "dreambooth/base.h"

#include <stddef.h>

#ifndef DREAMBOOTH_VERSION
#define DREAMBOOTH_VERSION "unknown"
#endif

const char *dreambooth_status_name(int status)
{
    static const char *const names[] = {
        "DREAMBOOTH_OK",         "DREAMBOOTH_ENOMEM",
        "DREAMBOOTH_ELIMIT",     "DREAMBOOTH_EINVAL",
        "DREAMBOOTH_EIO",        "DREAMBOOTH_ENOTFOUND",
        "DREAMBOOTH_EFORMAT",    "DREAMBOOTH_EUNSUPPORTED",
        "DREAMBOOTH_ECANCELLED", "DREAMBOOTH_ENONFINITE",
        "DREAMBOOTH_ENOSPACE",   "DREAMBOOTH_ESTATE",
        "DREAMBOOTH_EINTERNAL"};

    if (status == DREAMBOOTH_DONE)
        return "DREAMBOOTH_DONE";
    if (status > 0 || status <= -(int)(sizeof(names) / sizeof(names[0])))
        return "unknown status";
    return names[-status];
}

const char *dreambooth_version(void)
{
    return DREAMBOOTH_VERSION;
}

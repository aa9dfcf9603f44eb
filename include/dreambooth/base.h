/* SPDX-License-Identifier: MIT */
/*
 * What every other public header needs: the status codes, and what the library
 * says of itself.
 *
 * Every function that can fail returns one of these codes: 0 for success, a
 * negative DREAMBOOTH_E... for failure, and from the stepwise functions the
 * positive DREAMBOOTH_DONE once there is nothing left to do. The numbers are
 * part of the ABI; new ones are only ever added.
 *
 * For all functions: results are written on success only. Texts are UTF-8,
 * names of files and folders whatever bytes the system has. A text that must be
 * given and is NULL is EINVAL; handles, and places for results where nothing
 * else is said, must be there. NULL is fine for all functions that free. A
 * const handle is not a promise that several threads may use it at once.
 */
#ifndef DREAMBOOTH_BASE_H
#define DREAMBOOTH_BASE_H

#include <stddef.h>
#include <stdint.h>

#include "dreambooth/begin.h"

enum dreambooth_status {
    DREAMBOOTH_DONE = 1,          /* a stepwise run is over; not an error */
    DREAMBOOTH_OK = 0,            /* success */
    DREAMBOOTH_ENOMEM = -1,       /* the allocator gave no memory */
    DREAMBOOTH_ELIMIT = -2,       /* the context's memory limit is in the way */
    DREAMBOOTH_EINVAL = -3,       /* an argument or option value is wrong */
    DREAMBOOTH_EIO = -4,          /* reading or writing failed */
    DREAMBOOTH_ENOTFOUND = -5,    /* no such file, option, token or fact */
    DREAMBOOTH_EFORMAT = -6,      /* a file is damaged or not what it claims */
    DREAMBOOTH_EUNSUPPORTED = -7, /* well-formed, but beyond this library */
    DREAMBOOTH_ECANCELLED = -8,   /* dreambooth_context_cancel() was called */
    DREAMBOOTH_ENONFINITE = -9,   /* a NaN or infinity came up in a run */
    DREAMBOOTH_ENOSPACE = -10,    /* the disk is, or would become, full */
    DREAMBOOTH_ESTATE = -11,      /* the handle is not in a state for this */
    DREAMBOOTH_EINTERNAL = -12    /* a defect in this library: please report */
};

/*
 * The name of a status code, such as "DREAMBOOTH_EINVAL"; "unknown status" for
 * a number that is none. The text is static.
 */
const char *dreambooth_status_name(int status);

/* The library's version, such as "0.1.0". The text is static. */
const char *dreambooth_version(void);

/*
 * How the library was built and what it found here. FIELD is "version",
 * "backends" (names with blanks between), "blas" (what the BLAS says of itself,
 * with the core it chose), "cpu" (the architecture and those features of this
 * machine's processor that kernels may use), "compiler" or "libraries" (names
 * and versions of the others). The value is written to TEXT, at most SIZE bytes
 * with the NUL, and never longer than 1023 bytes. ENOTFOUND for an unknown
 * field. Any thread may call it.
 */
int dreambooth_build_info(const char *field, char *text, size_t size);

/*
 * The declarations of all public headers but backend.h, with their comments, as
 * C without a preprocessor in it, for foreign function interfaces that read C
 * (LuaJIT's ffi.cdef(), Python's cffi). They know intN_t, uintN_t and size_t.
 * The text is static.
 */
const char *dreambooth_declarations(void);

#include "dreambooth/end.h"

#endif
